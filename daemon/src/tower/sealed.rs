//! Sealed records for a tower that nobody has to trust: made, sent without waiting, checked when they are
//! acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use channel::signer::InMemorySigner;
use secp256k1::PublicKey;
use watchtower::client::{ClientError, Link};
use watchtower::hint::Hint;
use watchtower::kit::sealed::{self, Record};
use watchtower::kit::template::{CHANNEL_ANCHORS, Covers, Step, Template};
use watchtower::message::{
    Code, KIT_SEALED, Message, Records, RecordsAck, Sealed, SessionAck, SessionOpen,
};
use watchtower::proof::check::{Checker, Fault};
use watchtower::proof::mmr::{self, Mmr};
use watchtower::proof::receipt::{self, Ack, Receipt};
use wire::codec::{Decode as _, Encode as _};
use wire::units::FeeratePerKw;

use super::Revoked;
use super::rows::{Cursor, NoRows, Row};
use super::upload::{End, Upload, What};
use crate::clock::now_ms;
use crate::fact::{Fact, TowerAt, TowerSession, record};

/// Records that may wait for their receipt.
const WINDOW: usize = 1_024;

/// HTLCs in one record, if the tower does not say how long one may be: 44 kB.
pub(super) const HTLCS_MAX: usize = 480;

/// The bytes of a record without HTLCs, rounded up, and of each HTLC in it.
const RECORD_BYTES: usize = 400;
const HTLC_BYTES: usize = 89;

/// How often progress becomes a fact, in milliseconds.
const KEEP_EVERY_MS: u64 = 1_000;

/// The blocks and bytes that a session asks for: as much as the tower gives.
const WANT: u32 = u32::MAX;

/// A session under way.
struct Progress {
    checker: Checker,
    /// Its key, and what receipts are about.
    session: PublicKey,
    promised: receipt::Session,
    template: Arc<Template>,
    /// For every row that was sent: the number of the record behind its last, and the row behind it.
    rows: VecDeque<(u32, u64)>,
    /// The tower has all rows before this one, and so many records of it.
    row: u64,
    skip: u32,
    /// The number of that row's first record.
    base: u32,
    /// What the tower had when the session was opened: below, nothing is sent again.
    tower_has: u32,
    kept_ms: u64,
    changed: bool,
    uncovered_sat: u64,
}

/// What was made of one row.
pub(super) struct Made {
    row: u64,
    pub(super) records: Vec<Sealed>,
    uncovered_sat: u64,
}

impl Upload {
    pub(super) async fn send_records(&mut self, mut cursor: Cursor) -> Result<(), End> {
        let session = self.sealed_session(&mut cursor).await?;
        let template = Template::decode_exact(&session.template)?;
        let (public, _) = self.session_keys(&session).ok_or(End::Idle)?;
        let mut link = self.call(&session).await?;
        let open = SessionOpen {
            kit: KIT_SEALED,
            template: session.template.clone(),
            want_blocks: WANT,
            want_bytes: WANT,
        };
        let ack = link.open(open).await?;
        self.lease.note(ack.expiry.0);
        let mut progress = self.resume(public, template, &ack)?;
        let htlcs = link.record_max().map_or(HTLCS_MAX, |bytes| {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            let room = bytes.saturating_sub(RECORD_BYTES) / HTLC_BYTES;
            room.clamp(1, HTLCS_MAX)
        });
        let done = self.send_rows(&mut cursor, &mut link, &mut progress, htlcs).await;
        // What was acknowledged before the end counts too: whoever is refused goes on behind it.
        if progress.changed && matches!(done, Err(End::Refused(_) | End::Failed(_))) {
            self.keep_progress(&mut progress, cursor_count(&cursor), true).await;
        }
        done
    }

    /// Everything that there is and comes, until nothing has come for a while.
    async fn send_rows(
        &mut self,
        cursor: &mut Cursor,
        link: &mut Link,
        progress: &mut Progress,
        htlcs: usize,
    ) -> Result<(), End> {
        loop {
            let rows = match cursor.read().await {
                Ok(rows) => rows,
                Err(NoRows::Over) => return Err(End::Over),
                Err(NoRows::Lost) => {
                    // How many records they were nobody knows any more: numbers begin anew.
                    let lost = cursor.skip_lost();
                    self.tell(What::Lost(lost)).await;
                    return Err(End::Another(cursor.next_row()));
                }
            };
            let Some(told) = cursor.told.clone() else { return Err(End::Over) };
            self.seen = told.revoked();
            if rows.is_empty() {
                self.drain(link, progress, 0).await?;
                self.keep_progress(progress, told.count, true).await;
                // All that there is was made: a tower with more heard it from a newer journal.
                let ours = progress.checker.next_seq();
                if progress.tower_has > ours {
                    let tower_has = progress.tower_has;
                    self.tell(What::Stale { tower_has, ours }).await;
                    return Err(End::Stale);
                }
                if !self.linger().await {
                    return Ok(());
                }
                continue;
            }
            let count = rows.len();
            let made = self.make(*told, rows, progress, htlcs).await.ok_or(End::Idle)?;
            for made in made {
                self.send(link, progress, made).await?;
            }
            self.drain(link, progress, WINDOW).await?;
            self.keep_progress(progress, cursor_count(cursor), false).await;
            if count >= 64 {
                self.pace(count).await;
            }
        }
    }

    /// The session, opened now if there is none.
    async fn sealed_session(&mut self, cursor: &mut Cursor) -> Result<TowerSession, End> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let told = cursor.ask().await.map_err(|_| End::Over)?;
        let feerate = self.shared.feerates.borrow().normal;
        let template = template(told, feerate);
        let session = TowerSession {
            tower: self.tower.tower,
            channel: self.channel.0,
            number: self.next_number,
            kit: KIT_SEALED,
            template: template.encoded(),
            row: self.next_row,
        };
        self.keep(session.clone()).await?;
        Ok(session)
    }

    fn resume(
        &self,
        session: PublicKey,
        template: Template,
        ack: &SessionAck,
    ) -> Result<Progress, End> {
        let opened = self.session.as_ref().map_or(0, |session| session.row);
        let (range, receipt) = match &self.at {
            Some(at) => {
                let receipt = (!at.receipt.is_empty()).then(|| Receipt::decode_exact(&at.receipt));
                (Mmr::decode_exact(&at.range)?, receipt.transpose()?)
            }
            None => (Mmr::new(), None),
        };
        let height = self.shared.height.borrow().0;
        if ack.next_seq < range.count() && receipt.is_some_and(|last| last.ack.expiry < height) {
            // It kept its word while it had promised to: its states are brought again, in another session.
            return Err(End::Another(opened));
        }
        if ack.next_seq < range.count() {
            let why = format!(
                "it signed for {} records and now says that it has {}",
                range.count(),
                ack.next_seq
            );
            return Err(End::Faulted(None, why));
        }
        let skip = self.at.as_ref().map_or(0, |at| at.skip);
        let promised = receipt::Session::new(session, KIT_SEALED, &template.encoded());
        Ok(Progress {
            base: range.count().saturating_sub(skip),
            checker: Checker::resume(self.key, promised, range, receipt),
            session,
            promised,
            template: Arc::new(template),
            rows: VecDeque::new(),
            row: self.at.as_ref().map_or(opened, |at| at.row),
            skip,
            tower_has: ack.next_seq,
            kept_ms: 0,
            changed: false,
            uncovered_sat: 0,
        })
    }

    /// Records of rows, made on other threads: some 150 µs each.
    async fn make(
        &self,
        told: Revoked,
        rows: Vec<Row>,
        progress: &Progress,
        htlcs: usize,
    ) -> Option<Vec<Made>> {
        let _turn = self.shared.makers.acquire().await.ok()?;
        let signer = self.signer()?;
        let template = Arc::clone(&progress.template);
        let (session, mut seq) = (progress.session, progress.checker.next_seq());
        let mut skip = if progress.rows.is_empty() { progress.skip } else { 0 };
        let work = move || {
            let mut all = Vec::with_capacity(rows.len());
            for row in rows {
                // Of the first row some records may be with the tower already: their numbers are taken.
                let first = seq.saturating_sub(std::mem::take(&mut skip));
                let made = make_one(&told, &row, &template, &session, &signer, (first, htlcs));
                seq = first.saturating_add(u32::try_from(made.records.len()).unwrap_or(u32::MAX));
                all.push(made);
            }
            all
        };
        tokio::task::spawn_blocking(work).await.ok()
    }

    async fn send(&self, link: &mut Link, progress: &mut Progress, made: Made) -> Result<(), End> {
        progress.uncovered_sat = made.uncovered_sat;
        let skip = match progress.rows.is_empty() && made.row == progress.row {
            true => usize::try_from(progress.skip).unwrap_or(usize::MAX),
            false => 0,
        };
        let (batch, mut first_seq) = (link.batch(), progress.checker.next_seq());
        let mut records = Vec::new();
        for record in made.records.into_iter().skip(skip) {
            while !progress.checker.send(mmr::leaf(
                progress.checker.next_seq(),
                &record.hint.0,
                &record.ciphertext,
            )) {
                // A tower that has more than may ever wait heard it long before our journal's last word.
                if progress.checker.next_seq() < progress.tower_has {
                    return Err(End::Failed(ClientError::Slow));
                }
                self.drain(link, progress, WINDOW).await?;
            }
            // What the tower has is not sent again, but for the last: its receipt is for all of them.
            if progress.checker.next_seq() < progress.tower_has {
                first_seq = progress.checker.next_seq();
                continue;
            }
            records.push(record);
            if records.len() >= batch {
                say(link, &mut first_seq, &mut records).await?;
            }
        }
        say(link, &mut first_seq, &mut records).await?;
        progress.rows.push_back((progress.checker.next_seq(), made.row.saturating_add(1)));
        progress.settle_rows();
        Ok(())
    }

    /// Hears receipts until at most `left` records wait for theirs.
    async fn drain(
        &self,
        link: &mut Link,
        progress: &mut Progress,
        left: usize,
    ) -> Result<(), End> {
        let waiting = |progress: &Progress| {
            let sent = progress.checker.next_seq();
            usize::try_from(sent.saturating_sub(progress.checker.acked().count())).unwrap_or(0)
        };
        // With fewer records than the tower has nothing was sent, and no receipt comes.
        while waiting(progress) > left && progress.checker.next_seq() >= progress.tower_has {
            match link.hear().await? {
                Message::RecordsAck(ack) => self.take(progress, &ack).await?,
                Message::Event(event) => super::task::log_event(self.tower.tower, &event),
                Message::SessionOpen(_)
                | Message::SessionAck(_)
                | Message::Records(_)
                | Message::StatusGet(_)
                | Message::Status(_)
                | Message::Fetch(_)
                | Message::Fetched(_)
                | Message::Audit(_)
                | Message::AuditReply(_)
                | Message::Delete(_)
                | Message::DeleteAck(_)
                | Message::CheckpointPut(_)
                | Message::CheckpointAck(_)
                | Message::CheckpointGet(_)
                | Message::CheckpointValue(_)
                | Message::Renew(_)
                | Message::Renewed(_)
                | Message::ReplicaUpdate(_)
                | Message::ReplicaAck(_) => {}
            }
        }
        Ok(())
    }

    async fn take(&self, progress: &mut Progress, ack: &RecordsAck) -> Result<(), End> {
        if ack.code == Code::RATE {
            let wait = u64::from(ack.retry_after_ms.unwrap_or(1_000).min(60_000));
            tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
            return Err(End::Refused(ack.code));
        }
        if !ack.code.is_ok() {
            return Err(End::Refused(ack.code));
        }
        let receipt = Receipt {
            session: progress.promised,
            ack: Ack {
                durable_seq: ack.durable,
                root: ack.mmr_root,
                height: ack.height.0,
                tip: BlockHash::from_byte_array(ack.tip),
                expiry: ack.expiry.0,
            },
            signature: ack.signature.0,
        };
        let height = self.shared.height.borrow().0;
        match progress.checker.check(&receipt, height) {
            Ok(_) => {
                progress.changed = true;
                progress.settle_rows();
                Ok(())
            }
            // It may have just been started, or a hundred blocks may have come at once.
            Err(evidence) if matches!(evidence.fault, Fault::Stale { .. }) => {
                Err(End::Refused(Code::TEMPORARY))
            }
            Err(evidence) => {
                let why = evidence.fault.to_string();
                Err(End::Faulted(Some(evidence), why))
            }
        }
    }

    /// Makes progress a fact, now and then, and tells how far it is.
    async fn keep_progress(&mut self, progress: &mut Progress, of: u64, now: bool) {
        let at_ms = now_ms();
        let due = now || at_ms >= progress.kept_ms.saturating_add(KEEP_EVERY_MS);
        if !due {
            return;
        }
        progress.kept_ms = at_ms;
        if std::mem::take(&mut progress.changed) {
            let at = TowerAt {
                tower: self.tower.tower,
                channel: self.channel.0,
                row: progress.row,
                skip: progress.skip,
                htlcs: 0,
                next_htlc: (0, 0),
                range: progress.checker.acked().encoded(),
                receipt: progress.checker.last().map(|last| last.encoded()).unwrap_or_default(),
            };
            // Nothing follows from it, so nobody waits for it.
            let _lsn = channel::seal::Journal::append(
                &mut self.writer,
                record(&[Fact::TowerAt(Box::new(at.clone()))]),
            );
            self.at = Some(at);
        }
        let (rows, uncovered_sat) = (progress.row, progress.uncovered_sat);
        let at = self.at.clone().map(Box::new);
        self.tell(What::Reached { rows, of, at, uncovered_sat }).await;
    }
}

impl Progress {
    /// Moves past all rows whose last record is acknowledged.
    fn settle_rows(&mut self) {
        let durable = self.checker.acked().count();
        while let Some((end, row)) = self.rows.front().copied()
            && end <= durable
        {
            (self.row, self.base) = (row, end);
            self.rows.pop_front();
            self.changed = true;
        }
        // A receipt may come in the middle of a row's records.
        self.skip = durable.saturating_sub(self.base);
    }
}

fn cursor_count(cursor: &Cursor) -> u64 {
    cursor.told.as_ref().map_or(0, |told| told.count)
}

async fn say(link: &mut Link, first_seq: &mut u32, records: &mut Vec<Sealed>) -> Result<(), End> {
    if records.is_empty() {
        return Ok(());
    }
    let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
    let records = std::mem::take(records);
    link.say(&Records { first_seq: *first_seq, records }.into()).await?;
    *first_seq = first_seq.saturating_add(count);
    Ok(())
}

/// What a session with a tower promises to pay at, and where to.
///
/// The first price is half as much again as what six blocks cost today, the second ten times that.
fn template(told: &Revoked, normal: FeeratePerKw) -> Template {
    let first = normal.0.saturating_mul(3) / 2;
    let step = |feerate| Step { feerate: FeeratePerKw(feerate), covers: Covers::All };
    Template {
        channel_type: CHANNEL_ANCHORS,
        revocation_basepoint: told.ours.revocation,
        delayed_basepoint: told.theirs.delayed_payment,
        our_htlc_basepoint: told.ours.htlc,
        their_htlc_basepoint: told.theirs.htlc,
        to_self_delay: told.terms.to_self_delay,
        tx_version: 2,
        ladder: vec![step(first), step(first.saturating_mul(10))],
        sweep_script: told.sweep_script.clone(),
    }
}

/// The records of one row; none if there is nothing to punish with, or nothing to be known.
pub(super) fn make_one(
    told: &Revoked,
    row: &Row,
    template: &Template,
    session: &PublicKey,
    signer: &InMemorySigner,
    (first_seq, htlcs): (u32, usize),
) -> Made {
    let mut made = Made { row: row.number, records: Vec::new(), uncovered_sat: 0 };
    let Some((commitment, secret)) = told.commitment(row) else { return made };
    let Ok(built) = sealed::build(template, &commitment, secret, signer) else { return made };
    made.uncovered_sat = built.uncovered.to_sat();
    if built.record.is_empty() {
        return made;
    }
    let txid = commitment.txid();
    let hint = Hint::of(&txid);
    for (seq, part) in (first_seq..).zip(built.record.split(htlcs)) {
        let ciphertext = seal_checked(template, &part, &commitment, session, seq);
        made.records.push(Sealed { hint, ciphertext });
    }
    made
}

/// Seals a record after the tower's own judge has looked at it, while that costs little: in debug builds.
fn seal_checked(
    template: &Template,
    record: &Record,
    commitment: &channel::tx::Commitment,
    session: &PublicKey,
    seq: u32,
) -> Vec<u8> {
    debug_assert!(sealed::evaluate(template, record, commitment.tx()).is_ok());
    sealed::seal(record, &commitment.txid(), session, seq)
}
