//! Does a tower still have what it signed for? Asked by a human, and of every tower now and then.
//!
//! The records are made again from the channel's old states, so a tower that lost a share of them is found,
//! and one that has all never fails. What is only silence is no failure: a tower that is away is told
//! elsewhere (`upload`).
//!
//! Not here: the challenge and its answer (`watchtower::proof::audit`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use channel::seal::Journal as _;
use secp256k1::{PublicKey, SECP256K1};
use tokio::sync::{Semaphore, oneshot};
use watchtower::client::{ClientError, Link};
use watchtower::message::{self, Code, KIT_SEALED, Message, Sealed};
use watchtower::proof::audit::{Answer, AuditFault, Challenge, Record};
use watchtower::proof::fraud::{Exhibit, LostRecords};
use watchtower::proof::mmr::{self, Node};
use watchtower::proof::receipt::Receipt;
use wire::codec::Decode as _;
use wire::id::NodeId;

use super::book::{Kept, is_drill};
use super::keep::hear;
use super::proof;
use super::remake::remake;
use super::sealed::HTLCS_MAX;
use super::shown::{Audit, AuditEnd};
use super::task::Towers;
use super::upload::{News, Shared, What, session_key};
use crate::clock::now_ms;
use crate::fact::{ChannelIndex, Fact, TowerAudited, TowerKept, record};
use crate::journal::Writer;
use crate::payments::Reply;
use crate::rpc::refusal::{Noun, Refusal};

/// Records that an audit draws if nobody says: a tower that lost one in a hundred is found by 19 of 20.
pub(super) const DRAWS: usize = 300;

/// The most records of a session whose places can be shown: a failed audit hashes all of them for each draw.
const LEAVES_MAX: u32 = 1 << 18;

/// How often a tower is called that does not take the connection, and the pause between.
const CALLS: u32 = 15;
const PAUSE: Duration = Duration::from_millis(200);

/// Everything that an audit of one session needs.
struct Auditor {
    shared: Arc<Shared>,
    tower: TowerKept,
    key: PublicKey,
    session: Kept,
    draws: usize,
    connections: Arc<Semaphore>,
    writer: Writer,
}

impl Towers {
    /// Audits every session with a tower, and answers when all are through.
    pub(super) fn audit_all(&mut self, tower: NodeId, draws: usize, reply: Reply<Vec<Audit>>) {
        if !self.book.towers.contains_key(&tower) {
            let refusal = Refusal::NotFound { kind: Noun::Tower, id: tower.to_string() };
            let _gone = reply.send(Err(refusal));
            return;
        }
        let auditors = self.auditors(tower, draws);
        self.put_off_audit(tower);
        let shared = Arc::clone(&self.shared);
        let stop = self.tasks.token();
        self.tasks.detach("tower audit", async move {
            let work = async {
                let mut all = Vec::new();
                for auditor in auditors {
                    let audited = auditor.run().await;
                    all.push(show(&shared, &audited));
                }
                all
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                all = work => {
                    let _gone = reply.send(Ok(all));
                }
            }
        });
    }

    /// Audits one session of every tower whose time has come.
    pub(super) fn audit_some(&mut self) {
        if self.manner.audit_every_ms == 0 {
            return;
        }
        let now = now_ms();
        let towers: Vec<_> = self.book.towers.keys().copied().collect();
        self.audit_at_ms.retain(|tower, _| towers.contains(tower));
        for tower in towers {
            let Some(at) = self.audit_at_ms.get(&tower).copied() else {
                self.put_off_audit(tower);
                continue;
            };
            if at > now || self.book.faulted.contains_key(&tower) {
                continue;
            }
            self.put_off_audit(tower);
            let mut all = self.auditors(tower, DRAWS);
            let place = usize::try_from(dice()).unwrap_or(0).checked_rem(all.len()).unwrap_or(0);
            if all.is_empty() {
                continue;
            }
            let auditor = all.swap_remove(place);
            let stop = self.tasks.token();
            self.tasks.detach("tower audit", async move {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    _audited = auditor.run() => {}
                }
            });
        }
    }

    /// The next audit is between half of the usual time and one and a half from now: nobody can wait for it.
    fn put_off_audit(&mut self, tower: NodeId) {
        let every = self.manner.audit_every_ms;
        let jitter = dice().checked_rem(every.max(1)).unwrap_or(0);
        let at = now_ms().saturating_add(every / 2).saturating_add(jitter);
        self.audit_at_ms.insert(tower, at);
    }

    fn auditors(&mut self, tower: NodeId, draws: usize) -> Vec<Auditor> {
        let Some(kept) = self.book.towers.get(&tower).cloned() else { return Vec::new() };
        let Ok(key) = PublicKey::from_slice(&tower.0) else { return Vec::new() };
        let connections = self.connections_to(tower);
        let height = self.shared.height.borrow().0;
        let places = self.book.sessions.iter().filter(|((of, channel), session)| {
            *of == tower && session.opened.kit == KIT_SEALED && !is_drill(*channel)
        });
        // Of sessions that others took the place of, those are asked about that are still promised.
        let is_promised = |kept: &Kept| {
            let receipt = kept.at.as_ref().and_then(|at| Receipt::decode_exact(&at.receipt).ok());
            receipt.is_some_and(|receipt| receipt.ack.expiry >= height)
        };
        let sessions = places.flat_map(|(key, session)| {
            let past = self.book.past.get(key).into_iter().flatten();
            std::iter::once(session).chain(past.filter(move |kept| is_promised(kept)))
        });
        sessions
            .map(|session| Auditor {
                shared: Arc::clone(&self.shared),
                tower: kept.clone(),
                key,
                session: session.clone(),
                draws,
                connections: Arc::clone(&connections),
                writer: self.writer.clone(),
            })
            .collect()
    }

    /// What is shown of the last audits of a tower.
    pub(super) fn audits_of(&self, tower: NodeId) -> Vec<Audit> {
        let all = self.book.audits.iter().filter(|((of, _), _)| *of == tower);
        all.map(|(_, audited)| show(&self.shared, audited)).collect()
    }
}

fn show(shared: &Shared, audited: &TowerAudited) -> Audit {
    let doors = shared.directory.doors();
    Audit {
        channel: doors.get(ChannelIndex(audited.channel)).map(|door| door.id),
        drawn: audited.drawn,
        of: audited.of,
        end: AuditEnd::of(audited.end),
        why: audited.why.0.clone(),
        at_ms: audited.at_ms,
    }
}

/// What shows to anybody that a tower answered wrongly; `None` if nobody else would believe it.
fn lost(
    tower: PublicKey,
    receipt: Receipt,
    challenge: Challenge,
    answer: Answer,
    records: BTreeMap<u32, Sealed>,
    leaves: &[Node],
) -> Option<Box<LostRecords>> {
    let with_path = |(seq, record): (u32, Sealed)| {
        let path = mmr::path(seq, leaves.iter().copied()).ok()?;
        Some((record, path))
    };
    let records = records.into_iter().map(with_path).collect::<Option<Vec<_>>>()?;
    let lost = LostRecords { tower, receipt, challenge, answer, records };
    // Nobody is accused of what our own judge would not believe.
    lost.verify(&[]).is_ok().then(|| Box::new(lost))
}

/// A number that only spreads things.
fn dice() -> u64 {
    let mut bytes = [0; 8];
    // Without random numbers audits only come at known times.
    let _spread = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// What came of an audit: how it ended, in words, and how many records were drawn out of how many.
struct Outcome {
    end: AuditEnd,
    why: String,
    drawn: usize,
    of: u32,
    /// What convicts the tower in others' eyes.
    exhibit: Option<Box<LostRecords>>,
}

impl Auditor {
    /// Audits, makes the result a fact, and tells it.
    async fn run(mut self) -> TowerAudited {
        let outcome = self.audit().await;
        let audited = TowerAudited {
            tower: self.tower.tower,
            channel: self.session.opened.channel,
            drawn: u32::try_from(outcome.drawn).unwrap_or(u32::MAX),
            of: outcome.of,
            end: outcome.end.number(),
            why: outcome.why.as_str().into(),
            at_ms: now_ms(),
        };
        let fact = Fact::TowerAudited(audited.clone());
        // Nothing follows from it but what is shown.
        let _lsn = self.writer.append(record(std::slice::from_ref(&fact)));
        let channel = ChannelIndex(self.session.opened.channel);
        self.tell(channel, What::Facts(vec![fact])).await;
        if outcome.end == AuditEnd::Failed {
            let place = match outcome.exhibit {
                Some(lost) => proof::put(&self.shared.proofs, Exhibit::Lost(lost)).await.1,
                None => "nobody else can be shown".to_owned(),
            };
            let why = format!("an audit failed: {}; {place}", outcome.why);
            tracing::error!(tower = %self.tower.tower, why, "ALARM");
            self.tell(channel, What::Faulted { evidence: None, why }).await;
        }
        audited
    }

    async fn tell(&self, channel: ChannelIndex, what: What) {
        let news = News { tower: self.tower.tower, channel, what };
        let _stopped = self.shared.news.send(news).await;
    }

    async fn audit(&self) -> Outcome {
        let unknown = |why: String, drawn, of| {
            let end = AuditEnd::Unknown;
            Outcome { end, why, drawn, of, exhibit: None }
        };
        let receipt = self.session.at.as_ref().map(|at| Receipt::decode_exact(&at.receipt));
        let Some(Ok(receipt)) = receipt else {
            return unknown("it has not signed for anything yet".to_owned(), 0, 0);
        };
        let of = receipt.ack.durable_seq;
        let mut entropy = [0; 32];
        if getrandom::fill(&mut entropy).is_err() {
            return unknown("the system gives no random numbers".to_owned(), 0, of);
        }
        let challenge = Challenge::draw(&entropy, 0..of, self.draws.max(1));
        let drawn = challenge.seqs.len();
        let mut records: BTreeMap<u32, Sealed> = BTreeMap::new();
        let mut leaves: Vec<Node> = Vec::new();
        let look = |seq: u32, record: &Sealed, leaf| {
            if of <= LEAVES_MAX {
                leaves.push(leaf);
            }
            if challenge.seqs.binary_search(&seq).is_ok() {
                records.insert(seq, record.clone());
            }
        };
        let (session, counts) = (&self.session.opened, (of, HTLCS_MAX));
        match remake(&self.shared, &self.key, session, counts, look).await {
            Ok(range) if range.root() == receipt.ack.root => {}
            Ok(_) => {
                let why = "our own old states make other records than it signed for";
                return unknown(why.to_owned(), drawn, of);
            }
            Err(why) => return unknown(why.to_string(), drawn, of),
        }
        let answer = match self.ask(&challenge).await {
            Ok(answer) => answer,
            Err(error) => return unknown(error.to_string(), drawn, of),
        };
        let height = self.shared.height.borrow().0;
        let mut exhibit = None;
        let (end, why) = match answer.code {
            Code::OK => {
                let asked = records.iter().map(|(seq, record)| Record {
                    seq: *seq,
                    hint: &record.hint.0,
                    ciphertext: &record.ciphertext,
                });
                let signed = Answer { digest: answer.digest, signature: answer.signature.0 };
                let public = self.public_key();
                let key = public.unwrap_or(self.key);
                match signed.check(&self.key, &key, &challenge, asked) {
                    Ok(()) => (AuditEnd::Passed, String::new()),
                    Err(fault @ (AuditFault::WrongSignature | AuditFault::Lost)) => {
                        let (tower, records) = (self.key, records.clone());
                        let lost =
                            move || lost(tower, receipt, challenge, signed, records, &leaves);
                        exhibit = tokio::task::spawn_blocking(lost).await.ok().flatten();
                        (AuditEnd::Failed, fault.to_string())
                    }
                }
            }
            Code::NO_SESSION | Code::PERMANENT if height <= receipt.ack.expiry => {
                let why = AuditFault::Lost.to_string();
                (AuditEnd::Failed, why)
            }
            other => (AuditEnd::Unknown, other.to_string()),
        };
        Outcome { end, why, drawn, of, exhibit }
    }

    fn public_key(&self) -> Option<PublicKey> {
        let session = &self.session.opened;
        let channel = ChannelIndex(session.channel);
        let secret = session_key(&self.shared.keys, &self.key, channel, session.number)?;
        Some(secret.public_key(SECP256K1))
    }

    /// Asks over the line of the session, which its uploads leave for that long.
    async fn ask(&self, challenge: &Challenge) -> Result<message::AuditReply, ClientError> {
        let channel = ChannelIndex(self.session.opened.channel);
        let (done, paused) = oneshot::channel();
        self.tell(channel, What::Pause(done)).await;
        let _stopped = paused.await;
        let mut calls = 0_u32;
        let answer = loop {
            calls = calls.saturating_add(1);
            match self.call(challenge).await {
                // The tower may not have seen yet that the other connection is gone.
                Err(ClientError::Broken(_)) if calls < CALLS => tokio::time::sleep(PAUSE).await,
                answer => break answer,
            }
        };
        self.tell(channel, What::Resume).await;
        answer
    }

    async fn call(&self, challenge: &Challenge) -> Result<message::AuditReply, ClientError> {
        let connections = Arc::clone(&self.connections);
        let _turn = connections.acquire().await.map_err(|_| ClientError::Slow)?;
        let session = &self.session.opened;
        let channel = ChannelIndex(session.channel);
        let secret = session_key(&self.shared.keys, &self.key, channel, session.number);
        let secret = secret.ok_or(ClientError::Random)?;
        let address = &self.tower.address.0;
        let mut link = Link::call(address, &self.key, secret, self.shared.chain).await?;
        let seqs = challenge.seqs.clone();
        link.say(&message::Audit { nonce: challenge.nonce, seqs }.into()).await?;
        hear(&mut link, |message| {
            if let Message::AuditReply(reply) = message { Some(reply.clone()) } else { None }
        })
        .await
    }
}
