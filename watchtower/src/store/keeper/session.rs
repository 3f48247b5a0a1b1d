//! Sessions that begin, learn and end.

use ::store::disk::Disk;

use crate::message::ReplicaUpdate;
use crate::store::fact::{Fact, Kit, Opening};
use crate::store::keeper::{Pending, Thread};
use crate::store::order::{Answer, Ends, Heard, Mode, Refused, Standing, Wish};
use crate::store::replicas;
use crate::store::seal::Durable;
use crate::store::shelf;

/// A session without any record is forgotten after so many blocks.
const UNUSED_BLOCKS: u32 = 144;
/// Who ends within so many blocks is said.
const EXPIRING_BLOCKS: u32 = 2_016;

impl<D: Disk> Thread<D> {
    pub(super) fn open(&mut self, wish: Wish, answer: Answer<Result<Durable<Standing>, Refused>>) {
        let refuse = match self.opening(wish) {
            Ok(Ok(standing)) => Ok(Durable::attest(standing)),
            Ok(Err(opening)) => {
                if self.write(&[Fact::Opened(opening.clone())]) {
                    self.pending.push(Pending::Open { opening, answer });
                    // The next order may be for it.
                    self.flush();
                    return;
                }
                Err(Refused::ReadOnly)
            }
            Err(refused) => Err(refused),
        };
        let _gone = answer.send(refuse);
    }

    /// The session there is, or the one to be opened.
    fn opening(&self, wish: Wish) -> Result<Result<Standing, Opening>, Refused> {
        let tip = self.state.tip();
        if let Some((number, session)) = self.state.session_of(&wish.key) {
            let same = session.opening.kit == wish.kit && session.opening.template == wish.template;
            if same {
                return Ok(Ok(Standing::of(number, session, tip)));
            }
            if !wish.replaces || session.is_used() {
                return Err(Refused::Otherwise);
            }
        }
        if self.mode != Mode::Open {
            return Err(if self.mode == Mode::ReadOnly {
                Refused::ReadOnly
            } else {
                Refused::Busy
            });
        }
        if self.state.sessions().count() >= self.limits.sessions {
            return Err(Refused::TooMany);
        }
        let height = tip.map_or(0, |tip| tip.height);
        Ok(Err(Opening {
            session: self.state.next_session(),
            key: wish.key,
            kit: wish.kit,
            template: wish.template,
            quota_bytes: wish.quota_bytes.min(self.limits.quota_bytes),
            quota_records: wish.quota_records,
            expiry_height: height.saturating_add(wish.blocks.min(self.limits.blocks)),
            opened_height: height,
        }))
    }

    /// HTLCs into the archive first, then the fact that counts them.
    pub(super) fn tell(
        &mut self,
        session: u32,
        update: ReplicaUpdate,
        now: Vec<u8>,
        answer: Answer<Result<Durable<Heard>, Refused>>,
    ) {
        match self.telling(session, update, now) {
            Ok(facts) if self.write(&facts) => {
                self.pending.push(Pending::Tell { session, facts, answer });
                // The next update is measured against this one.
                self.flush();
            }
            Ok(_) => {
                let _gone = answer.send(Err(Refused::ReadOnly));
            }
            Err(refused) => {
                let _gone = answer.send(Err(refused));
            }
        }
    }

    fn telling(
        &self,
        session: u32,
        update: ReplicaUpdate,
        now: Vec<u8>,
    ) -> Result<Vec<Fact>, Refused> {
        match self.mode {
            Mode::Open | Mode::Full => {}
            Mode::Draining => return Err(Refused::Busy),
            Mode::ReadOnly => return Err(Refused::ReadOnly),
        }
        let found = self.state.session(session).ok_or(Refused::NoSession)?;
        if !found.is(Kit::Replica) {
            return Err(Refused::Otherwise);
        }
        if !found.is_open(self.state.tip().map_or(0, |tip| tip.height)) {
            return Err(Refused::Expired);
        }
        let ReplicaUpdate { first, secrets, chain, first_htlc, htlcs, fundings, now: _ } = update;
        let mut told = found.told.clone();
        told.reveal(first, &secrets, &chain).map_err(|_| Refused::Differs)?;
        if first_htlc > told.htlcs {
            let expected = u32::try_from(told.htlcs).unwrap_or(u32::MAX);
            return Err(Refused::Gap { expected });
        }
        let known = usize::try_from(told.htlcs.saturating_sub(first_htlc)).unwrap_or(usize::MAX);
        let new = htlcs.get(known..).unwrap_or_default();
        let more = u64::try_from(new.len()).unwrap_or(u64::MAX);
        let all = told.htlcs.saturating_add(more);
        let bytes = all.saturating_mul(replicas::HTLC_BYTES);
        let now_bytes = u64::try_from(now.len()).unwrap_or(u64::MAX);
        if bytes.saturating_add(now_bytes) > found.opening.quota_bytes
            || told.fundings.len().saturating_add(fundings.len()) > replicas::FUNDINGS_MAX
        {
            return Err(Refused::Quota);
        }
        if !new.is_empty() {
            replicas::archive(self.shelf.disk(), session, told.htlcs, new).map_err(|error| {
                if shelf::is_full(&error) { Refused::Full } else { Refused::ReadOnly }
            })?;
        }
        let mut facts = Vec::new();
        if !now.is_empty() && now != found.told.now {
            facts.push(Fact::ReplicaNow { session, sealed: now });
        }
        // Last, because it says what is looked at again.
        facts.push(Fact::Replica { session, first, secrets, chain, htlcs: all, fundings });
        Ok(facts)
    }

    pub(super) fn ends(&self, height: u32) -> Ends {
        let grace = self.limits.grace_blocks;
        let mut ends = Ends::default();
        for (number, session) in self.state.sessions() {
            let (opening, expiry) = (&session.opening, session.opening.expiry_height);
            let unused = !session.is_used();
            if height > expiry.saturating_add(grace)
                || (unused && height > opening.opened_height.saturating_add(UNUSED_BLOCKS))
            {
                ends.over.push(number);
            } else if height <= expiry && expiry <= height.saturating_add(EXPIRING_BLOCKS) {
                ends.expiring.push((number, expiry));
            }
        }
        ends
    }
}
