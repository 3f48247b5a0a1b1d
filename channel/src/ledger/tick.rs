//! One turn of the dance over everything in flight. BOLT 2 § Normal Operation.

use wire::units::Msat;

use super::{Going, How, Key, Ledger, Tombstone};
use crate::clock::{Side, Turn};
use crate::effect::Outcome;
use crate::event::Origin;
use crate::fact::TheirRemoval;
use crate::past::PastHtlc;

/// What one turn made final.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ticked {
    /// Numbers of the peer's HTLCs that are irrevocably committed now.
    pub incoming: Vec<u64>,
    /// HTLCs of ours that failed, and nobody can bring back.
    pub failed: Vec<(u64, Origin, Outcome)>,
    /// HTLCs that no commitment shows any more, and what they were worth.
    pub settled: Vec<Settled>,
    /// Whether the feerate changed for good.
    pub fee_settled: bool,
}

/// An HTLC that only revoked commitments show.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settled {
    /// What is left of it.
    pub htlc: PastHtlc,
    /// What it was worth.
    pub amount: Msat,
}

impl Ticked {
    /// Both, this first.
    pub(crate) fn absorb(&mut self, later: Self) {
        self.incoming.extend(later.incoming);
        self.failed.extend(later.failed);
        self.settled.extend(later.settled);
        self.fee_settled |= later.fee_settled;
    }
}

impl Ledger {
    /// Carries on everything that waits for `turn`, and settles what that makes final.
    pub(crate) fn tick(&mut self, turn: Turn) -> Ticked {
        let mut ticked = Ticked::default();
        let mut gone: Vec<Key> = Vec::new();
        for ((by, id), htlc) in &mut self.htlcs {
            if htlc.clock.awaits(turn) {
                htlc.clock.tick(turn);
                if htlc.clock.is_irrevocable() && *by == Side::Them {
                    ticked.incoming.push(*id);
                }
            }
            if let Some(going) = &mut htlc.removal {
                going.clock.tick(turn);
                if going.clock.is_irrevocable() {
                    gone.push((*by, *id));
                }
            }
        }
        for key in gone {
            self.settle(key, &mut ticked);
        }
        self.tick_fees(turn, &mut ticked);
        ticked
    }

    /// Moves the money of an HTLC whose removal is final, and buries it.
    fn settle(&mut self, key: Key, ticked: &mut Ticked) {
        let Some(htlc) = self.htlcs.remove(&key) else { return };
        let Some(Going { how, .. }) = htlc.removal else { return };
        let (by, id) = key;
        let past = PastHtlc::new(by, &htlc.add.payment_hash, htlc.add.cltv_expiry);
        ticked.settled.push(Settled { htlc: past, amount: htlc.add.amount_msat });
        if how.fulfils() {
            let amount = htlc.add.amount_msat;
            let (offerer, receiver) = match by {
                Side::Us => (&mut self.us, &mut self.them),
                Side::Them => (&mut self.them, &mut self.us),
            };
            // Neither can fail: the amount was taken out of the offerer's part in every commitment so far.
            if let (Some(less), Some(more)) =
                (offerer.checked_sub(amount), receiver.checked_add(amount))
            {
                (*offerer, *receiver) = (less, more);
            }
        }
        let Some(origin) = htlc.origin else { return };
        let told = htlc.ended.is_some();
        let outcome = match (htlc.ended, htlc.preimage, how) {
            // What was said upstream stands, whatever the peer says later.
            (Some(ended), ..) => ended,
            (None, Some((preimage, attribution)), _) => {
                Outcome::Fulfilled { preimage, attribution }
            }
            (None, None, How::Theirs(TheirRemoval::Failed { reason, attribution })) => {
                Outcome::Failed { reason, attribution }
            }
            (
                None,
                None,
                How::Theirs(TheirRemoval::Malformed { sha256_of_onion, failure_code }),
            ) => Outcome::Malformed { sha256_of_onion, failure_code },
            (None, None, How::Theirs(TheirRemoval::Fulfilled) | How::Ours(_)) => return,
        };
        if !told && !matches!(outcome, Outcome::Fulfilled { .. }) {
            ticked.failed.push((id, origin, outcome.clone()));
        }
        if !htlc.forgotten {
            self.tombstones.insert(id, Tombstone { origin, outcome });
        }
    }

    /// Carries feerates on; the newest final one becomes the feerate, and older ones are history.
    fn tick_fees(&mut self, turn: Turn, ticked: &mut Ticked) {
        for change in &mut self.fees {
            change.clock.tick(turn);
        }
        while let Some(first) = self.fees.first()
            && first.clock.is_irrevocable()
        {
            self.feerate = first.feerate;
            ticked.fee_settled = true;
            self.fees.remove(0);
        }
    }
}
