//! A conversation with a client of ours: records in, receipts out.
//!
//! Records are taken without waiting for the disk; what it has is acknowledged in order, and the newest receipt
//! stands for all before it. A receipt can be signed over what is durable only.
//!
//! Not here: LND's clients (`lnd`), the frame (`frames`), who may be here (`gate`).

use bitcoin::hashes::Hash;
use chain_backend::BlockId;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use secp256k1::{Keypair, PublicKey};
use tokio::sync::{broadcast, mpsc, oneshot};
use wire::id::Signature;
use wire::units::BlockHeight;

use super::frames::{FrameWriter, LineFault};
use super::gate::Bucket;
use super::{Offered, history};
use crate::kit::replica::ReplicaTemplate;
use crate::kit::template::Template;
use crate::message::{
    CheckpointAck, CheckpointValue, ClaimStatus, Code, DeleteAck, Event, Message, Records,
    RecordsAck, Renewed, ReplicaAck, ReplicaUpdate, SessionAck, SessionOpen, Status,
};
use crate::proof::receipt::{self, Ack};
use crate::proof::tagged::tagged;
use crate::proof::tombstone::{Scope, Tombstone};
use crate::store::state::Session;
use crate::store::{DiskKey, Durable, Fact, Keeper, Kit, Opening, Refused, Standing, Wish};
use crate::watch::{TowerEvent, View};

/// Batches that wait for the disk; then no more are read.
const IN_FLIGHT: usize = 64;
/// Claims in one answer.
const CLAIMS_MAX: usize = 600;
/// Bytes of a checkpoint.
const CHECKPOINT_MAX: usize = 60_000;
/// Bytes of an event's text.
const TEXT_MAX: usize = 200;

type Waiting = FuturesOrdered<oneshot::Receiver<Result<Durable<Standing>, Refused>>>;

/// One conversation.
pub(crate) struct Talk {
    pub(crate) key: PublicKey,
    pub(crate) keeper: Keeper,
    pub(crate) tower: Keypair,
    pub(crate) disk_key: DiskKey,
    pub(crate) view: View,
    pub(crate) offered: Offered,
    /// Whether it may hand over keys.
    pub(crate) is_trusted: bool,
    pub(crate) records: Bucket,
    pub(crate) clock: fn() -> u64,
    /// The session, once it is known.
    pub(crate) session: Option<Known>,
}

/// A session that is open.
pub(crate) struct Known {
    number: u32,
    kit: Kit,
    terms: receipt::Session,
}

impl Talk {
    /// Until the client hangs up or does what none of ours does.
    pub(crate) async fn run(
        mut self,
        first: Vec<u8>,
        mut frames: mpsc::Receiver<Vec<u8>>,
        mut writer: FrameWriter,
    ) -> Result<(), LineFault> {
        let mut waiting = Waiting::new();
        let mut events = self.view.events.subscribe();
        self.hear(&first, &mut waiting, &mut writer).await?;
        loop {
            tokio::select! {
                Some(done) = waiting.next(), if !waiting.is_empty() => {
                    self.acknowledge(done, &mut waiting, &mut writer).await?;
                }
                frame = frames.recv(), if waiting.len() < IN_FLIGHT => match frame {
                    Some(frame) => self.hear(&frame, &mut waiting, &mut writer).await?,
                    None => break,
                },
                event = events.recv() => self.event(event, &mut writer).await?,
            }
        }
        // It hung up; what it said before is stored all the same.
        while waiting.next().await.is_some() {}
        Ok(())
    }

    async fn hear(
        &mut self,
        frame: &[u8],
        waiting: &mut Waiting,
        writer: &mut FrameWriter,
    ) -> Result<(), LineFault> {
        let message =
            Message::decode_frame(frame).map_err(|error| LineFault::Message(error.to_string()))?;
        // An odd message that we do not know.
        let Some(message) = message else { return Ok(()) };
        let answer: Message = match message {
            Message::SessionOpen(open) => self.open(open).await?.into(),
            Message::Records(records) => {
                return self.records(records, waiting, writer).await;
            }
            Message::StatusGet(_) => self.status().await?.into(),
            Message::Fetch(fetch) => match self.number().await? {
                Some(number) => history::fetch(&self.keeper, number, &fetch).await?.into(),
                None => history::nothing(fetch.first_seq).into(),
            },
            Message::Audit(audit) => match self.known().await? {
                Some(known) => {
                    let (number, key) = (known.number, self.key);
                    history::audit(&self.keeper, number, &audit, &key, &self.tower).await?.into()
                }
                None => history::unknown().into(),
            },
            Message::Delete(delete) => {
                let scope = match delete.scope {
                    0 => Scope::Session,
                    1 => Scope::Range { first: delete.first_seq, last: delete.last_seq },
                    _ => return Err(LineFault::Message("an unknown scope".to_owned())),
                };
                self.delete(scope, delete.signature).await?.into()
            }
            Message::CheckpointPut(put) => {
                self.put_checkpoint(put.version, put.ciphertext).await?.into()
            }
            Message::CheckpointGet(_) => self.checkpoint().await?.into(),
            Message::Renew(renew) => self.renew(renew.want_blocks, renew.want_bytes).await?.into(),
            Message::ReplicaUpdate(update) => self.replica(update).await?.into(),
            Message::SessionAck(_)
            | Message::RecordsAck(_)
            | Message::Status(_)
            | Message::Fetched(_)
            | Message::AuditReply(_)
            | Message::DeleteAck(_)
            | Message::CheckpointAck(_)
            | Message::CheckpointValue(_)
            | Message::Event(_)
            | Message::Renewed(_)
            | Message::ReplicaAck(_) => {
                return Err(LineFault::Message("an answer to nothing".to_owned()));
            }
        };
        writer.say(&answer.encode_frame()).await
    }

    /// The session of this key, if there is one.
    async fn known(&mut self) -> Result<Option<&Known>, LineFault> {
        if self.session.is_none() {
            match self.keeper.standing(self.key.serialize()).await {
                Ok((standing, session)) => self.remember(standing.get().session, &session),
                Err(Refused::NoSession) => {}
                Err(_) => return Err(LineFault::Stopped),
            }
        }
        Ok(self.session.as_ref())
    }

    async fn number(&mut self) -> Result<Option<u32>, LineFault> {
        Ok(self.known().await?.map(|known| known.number))
    }

    fn remember(&mut self, number: u32, session: &Session) {
        let opening = &session.opening;
        let template = self.template(opening);
        let terms = receipt::Session::new(self.key, opening.kit.number(), &template);
        self.session = Some(Known { number, kit: opening.kit, terms });
    }

    fn template(&self, opening: &Opening) -> Vec<u8> {
        match opening.kit {
            Kit::Replica => self.disk_key.open(&opening.template).unwrap_or_default(),
            Kit::Sealed | Kit::Lnd => opening.template.clone(),
        }
    }

    async fn open(&mut self, open: SessionOpen) -> Result<SessionAck, LineFault> {
        let refuse = |code| SessionAck {
            code,
            expiry: BlockHeight(0),
            quota_bytes: 0,
            next_seq: 0,
            mmr_root: [0; 32],
        };
        let key = self.key.serialize();
        let terms = receipt::Session::new(self.key, open.kit, &open.template);
        let (kit, template, fundings) = match Kit::of(open.kit) {
            Some(Kit::Sealed) if Template::from_bytes(&open.template).is_ok() => {
                (Kit::Sealed, open.template, Vec::new())
            }
            Some(Kit::Replica) if self.is_trusted => {
                match ReplicaTemplate::from_bytes(&open.template) {
                    Ok(template) => {
                        let sealed = self.disk_key.seal(&key, &open.template);
                        (Kit::Replica, sealed, template.fundings)
                    }
                    Err(_) => return Ok(refuse(Code::PERMANENT)),
                }
            }
            Some(Kit::Sealed) => return Ok(refuse(Code::PERMANENT)),
            Some(Kit::Replica | Kit::Lnd) | None => return Ok(refuse(Code::UNKNOWN_KIT)),
        };
        let blocks = if open.want_blocks == 0 { self.offered.blocks } else { open.want_blocks };
        let bytes = if open.want_bytes == 0 { self.offered.bytes } else { open.want_bytes };
        let wish = Wish {
            key,
            kit,
            template,
            quota_bytes: u64::from(bytes),
            quota_records: u32::MAX,
            blocks,
            replaces: true,
        };
        let standing = match self.keeper.open(wish).await {
            Ok(standing) => standing.into_inner(),
            Err(refused) => return Ok(refuse(code(refused))),
        };
        if !fundings.is_empty() {
            let update = ReplicaUpdate {
                first: 0,
                secrets: Vec::new(),
                chain: Vec::new(),
                first_htlc: 0,
                htlcs: Vec::new(),
                fundings,
            };
            if let Err(refused) = self.keeper.tell(standing.session, update).await {
                return Ok(refuse(code(refused)));
            }
        }
        self.session = Some(Known { number: standing.session, kit, terms });
        Ok(SessionAck {
            code: Code::OK,
            expiry: BlockHeight(standing.expiry_height),
            quota_bytes: standing.quota_bytes,
            next_seq: standing.next_seq,
            mmr_root: standing.root,
        })
    }

    async fn records(
        &mut self,
        records: Records,
        waiting: &mut Waiting,
        writer: &mut FrameWriter,
    ) -> Result<(), LineFault> {
        let Some(known) = self.known().await? else {
            return self.refuse(Code::NO_SESSION, None, None, writer).await;
        };
        let number = known.number;
        let count = u32::try_from(records.records.len()).unwrap_or(u32::MAX);
        if let Err(wait_ms) = self.records.take(count, (self.clock)()) {
            let wait_ms = u32::try_from(wait_ms).unwrap_or(u32::MAX);
            return self.refuse(Code::RATE, None, Some(wait_ms), writer).await;
        }
        let Records { first_seq, records } = records;
        let hear = self.keeper.append(number, first_seq, records).await;
        waiting.push_back(hear.map_err(|_| LineFault::Stopped)?);
        Ok(())
    }

    /// Answers what is done, one receipt for all that is.
    async fn acknowledge(
        &self,
        done: Result<Result<Durable<Standing>, Refused>, oneshot::error::RecvError>,
        waiting: &mut Waiting,
        writer: &mut FrameWriter,
    ) -> Result<(), LineFault> {
        let mut newest = None;
        let mut next = Some(done);
        while let Some(done) = next {
            match done.map_err(|_| LineFault::Stopped)? {
                Ok(standing) => newest = Some(standing),
                Err(refused) => {
                    if let Some(standing) = newest.take() {
                        let ack = self.receipt(&standing, Code::OK);
                        writer.say(&Message::from(ack).encode_frame()).await?;
                    }
                    let expected =
                        if let Refused::Gap { expected } = refused { Some(expected) } else { None };
                    self.refuse(code(refused), expected, None, writer).await?;
                }
            }
            next = waiting.next().now_or_never().flatten();
        }
        if let Some(standing) = newest {
            let ack = self.receipt(&standing, Code::OK);
            writer.say(&Message::from(ack).encode_frame()).await?;
        }
        Ok(())
    }

    /// Signs what the disk has.
    fn receipt(&self, standing: &Durable<Standing>, code: Code) -> RecordsAck {
        let standing = standing.get();
        let unknown = || receipt::Session::new(self.key, standing.kit.number(), &[]);
        let terms = self.session.as_ref().map_or_else(unknown, |known| known.terms);
        let ack = Ack {
            durable_seq: standing.next_seq,
            root: standing.root,
            height: standing.tip.height,
            tip: standing.tip.hash,
            expiry: standing.expiry_height,
        };
        ack.sign(terms, &self.tower).to_message(code)
    }

    async fn refuse(
        &self,
        code: Code,
        expected_seq: Option<u32>,
        retry_after_ms: Option<u32>,
        writer: &mut FrameWriter,
    ) -> Result<(), LineFault> {
        let ack = match self.keeper.standing(self.key.serialize()).await {
            Ok((standing, _)) => self.receipt(&standing, code),
            Err(Refused::NoSession) => RecordsAck {
                code,
                durable: 0,
                mmr_root: [0; 32],
                height: BlockHeight(0),
                tip: [0; 32],
                expiry: BlockHeight(0),
                signature: Signature([0; 64]),
                expected_seq: None,
                retry_after_ms: None,
            },
            Err(_) => return Err(LineFault::Stopped),
        };
        let ack = RecordsAck { expected_seq, retry_after_ms, ..ack };
        writer.say(&Message::from(ack).encode_frame()).await
    }

    async fn status(&self) -> Result<Status, LineFault> {
        let tip = self.tip();
        let mut status = Status {
            code: Code::NO_SESSION,
            next_seq: 0,
            mmr_root: [0; 32],
            used_bytes: 0,
            quota_bytes: 0,
            expiry: BlockHeight(0),
            height: BlockHeight(tip.map_or(0, |tip| tip.height)),
            tip: tip.map_or([0; 32], |tip| tip.hash.to_byte_array()),
            claims: Vec::new(),
        };
        let standing = match self.keeper.standing(self.key.serialize()).await {
            Ok((standing, _)) => standing.into_inner(),
            Err(Refused::NoSession) => return Ok(status),
            Err(_) => return Err(LineFault::Stopped),
        };
        status.code = Code::OK;
        status.next_seq = standing.next_seq;
        status.mmr_root = standing.root;
        status.used_bytes = standing.used_bytes;
        status.quota_bytes = standing.quota_bytes;
        status.expiry = BlockHeight(standing.expiry_height);
        status.height = BlockHeight(standing.tip.height);
        status.tip = standing.tip.hash.to_byte_array();
        status.claims = self.claims(standing.session, standing.tip.height);
        Ok(status)
    }

    fn claims(&self, session: u32, tip_height: u32) -> Vec<ClaimStatus> {
        let watching = self.view.watching.borrow();
        watching.book.statuses(session, tip_height).take(CLAIMS_MAX).collect()
    }

    fn tip(&self) -> Option<BlockId> {
        self.view.watching.borrow().tip
    }

    async fn delete(&mut self, scope: Scope, signature: Signature) -> Result<DeleteAck, LineFault> {
        let signed = tagged("wt2/deleted", &[&signature.0]);
        let answer = |code, signature| DeleteAck { code, signature: Signature(signature) };
        let (key, tower) = (self.key, self.tower);
        let Some(known) = self.known().await? else {
            return Ok(answer(Code::NO_SESSION, [0; 64]));
        };
        let stone = Tombstone { session: key, scope, signature: signature.0 };
        if !stone.is_signed() {
            return Ok(answer(Code::PERMANENT, [0; 64]));
        }
        let session = known.number;
        let fact = match scope {
            Scope::Session => Fact::Dropped { session },
            Scope::Range { first, last } => {
                Fact::Forgotten { session, first_seq: first, last_seq: last }
            }
        };
        match self.keeper.note(fact).await {
            Ok(durable) => {
                let () = durable.into_inner();
                if scope == Scope::Session {
                    self.session = None;
                }
                Ok(answer(Code::OK, receipt::sign(&signed, &tower)))
            }
            Err(refused) => Ok(answer(code(refused), [0; 64])),
        }
    }

    async fn put_checkpoint(
        &mut self,
        version: u64,
        ciphertext: Vec<u8>,
    ) -> Result<CheckpointAck, LineFault> {
        let Some(known) = self.known().await? else {
            return Ok(CheckpointAck { code: Code::NO_SESSION, version: 0 });
        };
        let session = known.number;
        if ciphertext.len() > CHECKPOINT_MAX {
            return Ok(CheckpointAck { code: Code::PERMANENT, version: 0 });
        }
        Ok(match self.keeper.put_checkpoint(session, version, ciphertext).await {
            Ok(version) => CheckpointAck { code: Code::OK, version: version.into_inner() },
            Err((refused, version)) => CheckpointAck { code: code(refused), version },
        })
    }

    async fn checkpoint(&mut self) -> Result<CheckpointValue, LineFault> {
        let none = CheckpointValue { version: 0, ciphertext: Vec::new() };
        let Some(known) = self.known().await? else { return Ok(none) };
        let session = known.number;
        let kept = self.keeper.checkpoint(session).await;
        let (version, ciphertext) = kept.map_err(|_| LineFault::Stopped)?;
        Ok(CheckpointValue { version, ciphertext })
    }

    async fn renew(&self, want_blocks: u32, want_bytes: u32) -> Result<Renewed, LineFault> {
        let none = |code| Renewed { code, expiry: BlockHeight(0), quota_bytes: 0 };
        let found = self.keeper.standing(self.key.serialize()).await;
        let standing = match found {
            Ok((standing, _)) => standing.into_inner(),
            Err(Refused::NoSession) => return Ok(none(Code::NO_SESSION)),
            Err(_) => return Err(LineFault::Stopped),
        };
        let expiry = standing.tip.height.saturating_add(want_blocks.min(self.offered.blocks_max));
        let expiry_height = standing.expiry_height.max(expiry);
        let bytes = u64::from(want_bytes).min(self.offered.bytes_max);
        let quota_bytes = standing.quota_bytes.max(bytes);
        let session = standing.session;
        match self.keeper.note(Fact::Granted { session, quota_bytes, expiry_height }).await {
            Ok(durable) => {
                let () = durable.into_inner();
                Ok(Renewed { code: Code::OK, expiry: BlockHeight(expiry_height), quota_bytes })
            }
            Err(refused) => Ok(none(code(refused))),
        }
    }

    async fn replica(&mut self, update: ReplicaUpdate) -> Result<ReplicaAck, LineFault> {
        let refuse = |code| ReplicaAck {
            code,
            count: 0,
            htlcs: 0,
            height: BlockHeight(0),
            tip: [0; 32],
            expiry: BlockHeight(0),
            signature: Signature([0; 64]),
        };
        let tower = self.tower;
        let Some(known) = self.known().await? else { return Ok(refuse(Code::NO_SESSION)) };
        if known.kit != Kit::Replica {
            return Ok(refuse(Code::UNKNOWN_KIT));
        }
        let (number, terms) = (known.number, known.terms);
        let heard = match self.keeper.tell(number, update).await {
            Ok(heard) => heard,
            Err(refused) => return Ok(refuse(code(refused))),
        };
        let heard = heard.get();
        let ack = receipt::ReplicaAck {
            revoked: heard.count,
            htlcs: heard.htlcs,
            height: heard.standing.tip.height,
            tip: heard.standing.tip.hash,
            expiry: heard.standing.expiry_height,
        };
        Ok(ReplicaAck {
            code: Code::OK,
            count: ack.revoked,
            htlcs: ack.htlcs,
            height: BlockHeight(ack.height),
            tip: ack.tip.to_byte_array(),
            expiry: BlockHeight(ack.expiry),
            signature: Signature(ack.sign(&terms, &tower)),
        })
    }

    /// Passes on what concerns this session.
    async fn event(
        &self,
        event: Result<TowerEvent, broadcast::error::RecvError>,
        writer: &mut FrameWriter,
    ) -> Result<(), LineFault> {
        let event = match event {
            Ok(event) => event,
            Err(broadcast::error::RecvError::Lagged(_)) => return Ok(()),
            Err(broadcast::error::RecvError::Closed) => return Err(LineFault::Stopped),
        };
        let ours = self.session.as_ref().map(|known| known.number);
        let Some(number) =
            event.kind.number().filter(|_| event.session.is_some() && event.session == ours)
        else {
            return Ok(());
        };
        let mut text = event.text.into_bytes();
        text.truncate(TEXT_MAX);
        let message =
            Event { event: number, txid: event.txid, height: BlockHeight(event.height), text };
        writer.say(&Message::from(message).encode_frame()).await
    }
}

/// How a refusal is said.
pub(crate) const fn code(refused: Refused) -> Code {
    match refused {
        Refused::NoSession => Code::NO_SESSION,
        Refused::Quota => Code::QUOTA,
        Refused::Expired => Code::EXPIRED,
        Refused::Gap { .. } => Code::GAP,
        Refused::Differs => Code::DIFFERS,
        Refused::Stale => Code::STALE_VERSION,
        Refused::Otherwise | Refused::TooLong => Code::PERMANENT,
        Refused::TooMany | Refused::Busy | Refused::Full | Refused::ReadOnly | Refused::Stopped => {
            Code::TEMPORARY
        }
    }
}
