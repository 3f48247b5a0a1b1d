//! What a tower of one's own is told: secrets that the peer gave up, HTLCs that any state may show, and what
//! claims those in flight if the peer closes with a valid state.

use bitcoin::hashes::{Hash as _, ripemd160};
use channel::tx::{Direction, SpecHtlc};
use watchtower::client::Link;
use watchtower::kit::replica::{ReplicaTemplate, Secret};
use watchtower::kit::template::CHANNEL_ANCHORS;
use watchtower::message::{
    HtlcAdd, KIT_REPLICA, Message, ReplicaAck, ReplicaNow, ReplicaUpdate, SessionOpen,
};
use wire::codec::Encode as _;

use super::Revoked;
use super::revoked::Now;
use super::rows::{Cursor, NoRows, Row};
use super::upload::{End, Upload, What};
use crate::fact::{Fact, TowerAt, TowerSession, record};

/// Secrets in a row that are said one by one; more are said all at once.
const SECRETS_MAX: u64 = 48;

impl Upload {
    pub(super) async fn replicate(&mut self, mut cursor: Cursor) -> Result<(), End> {
        let session = self.replica_session().await?;
        let told = cursor.ask().await.map_err(|_| End::Over)?.clone();
        let template = self.replica_template(&told).ok_or(End::Idle)?;
        let mut link = self.call(&session).await?;
        let open = SessionOpen {
            kit: KIT_REPLICA,
            template: template.encoded(),
            want_blocks: u32::MAX,
            want_bytes: u32::MAX,
        };
        let ack = link.open(open).await?;
        self.lease.note(ack.expiry.0);
        // What is valid now is said on every connection, and whenever it changes.
        let mut said: Option<Now> = None;
        loop {
            let rows = match cursor.read().await {
                Ok(rows) => rows,
                Err(NoRows::Over) => return Err(End::Over),
                Err(NoRows::Lost) => {
                    let lost = cursor.skip_lost();
                    self.tell(What::Lost(lost)).await;
                    continue;
                }
            };
            let Some(told) = cursor.told.clone() else { return Err(End::Over) };
            (self.seen, self.seen_now) = (told.revoked(), told.mark);
            if rows.is_empty() && said.as_ref() != Some(&told.now) {
                let at = self.at.clone().unwrap_or_else(|| start(&session));
                let mut update = nothing(&told, &at);
                update.now = Some(self.now(&told.now).ok_or(End::Idle)?);
                link.say(&update.into()).await?;
                let ack = self.hear_ack(&mut link).await?;
                check(&ack, told.first.saturating_add(at.row), at.htlcs)?;
                said = Some(told.now.clone());
                continue;
            }
            if rows.is_empty() {
                let (rows, of) = (self.at.as_ref().map_or(0, |at| at.row), told.count);
                let at = self.at.clone().map(Box::new);
                self.tell(What::Reached { rows, of, at, uncovered_sat: 0 }).await;
                if !self.linger().await {
                    return Ok(());
                }
                continue;
            }
            let count = rows.len();
            let mut at = self.at.clone().unwrap_or_else(|| start(&session));
            let mut update = update(&told, &rows, &mut at).ok_or(End::Idle)?;
            if at.skip == 0 && said.as_ref() != Some(&told.now) {
                update.now = Some(self.now(&told.now).ok_or(End::Idle)?);
                said = Some(told.now.clone());
            }
            let lagging = at.skip > 0;
            let revoked = if lagging { 0 } else { told.first.saturating_add(at.row) };
            link.say(&update.into()).await?;
            let ack = self.hear_ack(&mut link).await?;
            check(&ack, revoked, at.htlcs)?;
            let _lsn = channel::seal::Journal::append(
                &mut self.writer,
                record(&[Fact::TowerAt(Box::new(at.clone()))]),
            );
            let (rows, of) = (if lagging { 0 } else { at.row }, told.count);
            self.at = Some(at.clone());
            let at = Some(Box::new(at));
            self.tell(What::Reached { rows, of, at, uncovered_sat: 0 }).await;
            if count >= 64 {
                self.pace(count).await;
            }
        }
    }

    async fn hear_ack(&self, link: &mut Link) -> Result<ReplicaAck, End> {
        loop {
            #[expect(clippy::wildcard_enum_match_arm, reason = "all others make no sense here")]
            match link.hear().await? {
                Message::ReplicaAck(ack) => return Ok(ack),
                Message::Event(event) => super::task::log_event(self.tower.tower, &event),
                other => tracing::debug!(message = other.kind(), "a tower says something else"),
            }
        }
    }

    /// With the key that claims it.
    fn now(&self, now: &Now) -> Option<ReplicaNow> {
        Some(ReplicaNow {
            htlc_key: Secret::new(*self.signer()?.htlc_key()),
            number: now.number,
            points: now.points.clone(),
            htlcs: now.htlcs.clone(),
        })
    }

    async fn replica_session(&mut self) -> Result<TowerSession, End> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let session = TowerSession {
            tower: self.tower.tower,
            channel: self.channel.0,
            number: self.next_number,
            kit: KIT_REPLICA,
            // It has a key in it, and is the same whenever it is made.
            template: Vec::new(),
            row: self.next_row,
        };
        self.keep(session.clone()).await?;
        Ok(session)
    }

    fn replica_template(&self, told: &Revoked) -> Option<ReplicaTemplate> {
        let (opener, accepter) = match told.we_opened {
            true => (&told.ours, &told.theirs),
            false => (&told.theirs, &told.ours),
        };
        Some(ReplicaTemplate {
            channel_type: CHANNEL_ANCHORS,
            revocation_key: Secret::new(*self.signer()?.revocation_key()),
            delayed_basepoint: told.theirs.delayed_payment,
            our_htlc_basepoint: told.ours.htlc,
            their_htlc_basepoint: told.theirs.htlc,
            opener_payment: opener.payment,
            accepter_payment: accepter.payment,
            to_self_delay: told.terms.to_self_delay,
            tx_version: 2,
            sweep_script: told.sweep_script.clone(),
            fundings: vec![told.terms.funding.outpoint],
        })
    }
}

/// Before the tower was told anything.
fn start(session: &TowerSession) -> TowerAt {
    TowerAt {
        tower: session.tower,
        channel: session.channel,
        row: session.row,
        skip: 0,
        htlcs: 0,
        next_htlc: (0, 0),
        range: Vec::new(),
        receipt: Vec::new(),
    }
}

/// What rows say that is new, and how far the tower is when it has taken that.
fn update(told: &Revoked, rows: &[Row], at: &mut TowerAt) -> Option<ReplicaUpdate> {
    let first_htlc = at.htlcs;
    let dust_limit = told.terms.dust_limit;
    let mut htlcs = Vec::new();
    for row in rows {
        let shown = row.spec.iter().flat_map(|spec| &spec.htlcs);
        let (theirs, ours) = at.next_htlc;
        let (mut theirs_next, mut ours_next) = (theirs, ours);
        for htlc in shown {
            let (next, seen) = match htlc.direction {
                Direction::Offered => (&mut theirs_next, theirs),
                Direction::Received => (&mut ours_next, ours),
            };
            if htlc.id < seen {
                continue;
            }
            *next = (*next).max(htlc.id.saturating_add(1));
            if !channel::tx::trimmed(htlc.amount, dust_limit) {
                htlcs.push(add(htlc));
            }
        }
        at.next_htlc = (theirs_next, ours_next);
        at.row = row.number.saturating_add(1);
    }
    at.htlcs = first_htlc.saturating_add(u64::try_from(htlcs.len()).unwrap_or(u64::MAX));
    let first = told.first.saturating_add(rows.first()?.number);
    let end = told.first.saturating_add(at.row);
    // A tower that has to catch up hears of the HTLCs first: secrets without them would be half a kit.
    let lagging = std::mem::replace(&mut at.skip, u32::from(at.row < told.count)) > 0;
    let in_a_row = !lagging && told.first == 0 && end.saturating_sub(first) <= SECRETS_MAX;
    let (secrets, chain) = match (at.row < told.count, in_a_row) {
        (true, _) => (Vec::new(), Vec::new()),
        (false, true) => {
            let secrets = (first..end).map(|number| told.secrets.secret(number));
            (secrets.collect::<Option<_>>()?, Vec::new())
        }
        (false, false) => (Vec::new(), told.secrets.to_bytes()),
    };
    let fundings = Vec::new();
    Some(ReplicaUpdate { first, secrets, chain, first_htlc, htlcs, fundings, now: None })
}

/// An update without any revoked state, for a tower that is that far.
fn nothing(told: &Revoked, at: &TowerAt) -> ReplicaUpdate {
    ReplicaUpdate {
        first: told.first.saturating_add(at.row),
        secrets: Vec::new(),
        chain: Vec::new(),
        first_htlc: at.htlcs,
        htlcs: Vec::new(),
        fundings: Vec::new(),
        now: None,
    }
}

fn add(htlc: &SpecHtlc) -> HtlcAdd {
    HtlcAdd {
        hash: ripemd160::Hash::hash(&htlc.payment_hash.0).to_byte_array(),
        cltv_expiry: htlc.cltv_expiry,
        offered: htlc.direction == Direction::Offered,
    }
}

fn check(ack: &ReplicaAck, revoked: u64, htlcs: u64) -> Result<(), End> {
    if !ack.code.is_ok() {
        return Err(End::Refused(ack.code));
    }
    if ack.count < revoked || ack.htlcs < htlcs {
        let why = format!(
            "it was told of {revoked} revoked states and {htlcs} HTLCs and has {} and {}",
            ack.count, ack.htlcs
        );
        return Err(End::Faulted(None, why));
    }
    Ok(())
}
