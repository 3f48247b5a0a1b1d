//! What becomes of our HTLCs upstream. BOLT 5 § HTLC Output Handling.

use std::collections::BTreeMap;

use wire::units::BlockHeight;

use super::Walk;
use crate::clock::Side;
use crate::onchain::{Close, Fate, Known, name};
use crate::tx::{Commitment, Direction, SpecHtlc};

impl Walk<'_> {
    pub(super) fn fates(&self, close: Close) -> BTreeMap<u64, Fate> {
        (self.known.outgoing.iter())
            .filter_map(|htlc| Some((htlc.id, self.fate(close, htlc)?)))
            .collect()
    }

    /// The one rule for failing and fulfilling upstream: a known preimage always fulfils; nothing fails
    /// before the chain has buried every other way, or the incoming HTLC is about to be lost anyway.
    fn fate(&self, close: Close, htlc: &SpecHtlc) -> Option<Fate> {
        debug_assert_eq!(htlc.direction, Direction::Offered, "seen from our own commitment");
        let preimage = self.known.preimages.get(&(Side::Us, htlc.id));
        if let Some(preimage) = preimage.or_else(|| self.seen.get(&htlc.payment_hash)) {
            return Some(Fate::Fulfilled(*preimage));
        }
        // BOLT 5: "The requirement that the incoming HTLC be failed before its own timeout still applies"
        if self.known.must_fail_back(htlc.id, self.chain.tip) {
            return Some(Fate::Failed);
        }
        let buried = |height: BlockHeight| {
            (self.depth(height) >= self.known.fail_depth).then_some(Fate::Failed)
        };
        match (self.outputs.get(&htlc.id), close) {
            // BOLT 5: "once the resolving transaction has reached reasonable depth:"
            (Some(spent), _) => buried((*spent)?),
            (None, Close::Ours | Close::Theirs { .. } | Close::Revoked { .. } | Close::Mutual) => {
                // BOLT 5: "if no *valid* commitment transaction contains an output corresponding to"
                if !self.known.is_shown(htlc.id) {
                    return (self.depth(self.chain.close.height) > 0).then_some(Fate::Failed);
                }
                // BOLT 5: "once the commitment transaction has reached reasonable depth:"
                buried(self.chain.close.height)
            }
            // Which outputs these have is not known: the peer may yet show the preimage. After the expiry
            // an honest peer has done so.
            (None, Close::Future { .. } | Close::Unknown) => {
                buried(self.chain.close.height.max(htlc.cltv_expiry))
            }
        }
    }
}

impl Known<'_> {
    /// Whether any commitment that may still confirm has an output for this HTLC of ours.
    fn is_shown(&self, id: u64) -> bool {
        let shows = |commitment: &Commitment| {
            let owner = commitment.terms().owner;
            commitment.htlcs().iter().any(|output| name(owner, &output.htlc) == (Side::Us, id))
        };
        shows(self.ours) || self.theirs.iter().any(shows)
    }

    /// Whether the incoming HTLC that this outgoing one pays for is about to expire.
    pub(super) fn must_fail_back(&self, id: u64, tip: BlockHeight) -> bool {
        let near = |expiry: &BlockHeight| tip.saturating_add(self.fail_back_buffer) >= *expiry;
        self.upstream.get(&id).is_some_and(near)
    }
}
