//! Every output of a revoked commitment, and what the cheater made of them. BOLT 5 § Revoked Transaction
//! Close Handling.

use bitcoin::OutPoint;
use wire::units::BlockHeight;

use super::{Ours, Walk};
use crate::clock::Side;
use crate::onchain::outputs::{OutputState, What};
use crate::onchain::{HtlcName, classify, name};
use crate::tx::penalty::Revoked;
use crate::tx::{Direction, script};

impl Walk<'_> {
    /// BOLT 5: "MUST *resolve* the _remote node's main output_ by spending it using the"
    pub(super) fn revoked(&mut self, revoked: &Revoked) {
        self.balance_on_theirs();
        let close = self.chain.close;
        let mut known: Vec<OutPoint> = self.watch.clone();
        for (spend, htlc) in revoked.penalties(close.tx, &classify::candidates(self.known)) {
            let outpoint = spend.outpoint;
            known.push(outpoint);
            let (deadline, contested) =
                self.race(htlc.map(|htlc| (htlc.direction, htlc.cltv_expiry)));
            let what = htlc.map_or(What::Balance(Side::Them), |htlc| What::Htlc {
                name: name(Side::Them, &htlc),
                payment_hash: htlc.payment_hash,
                cltv_expiry: htlc.cltv_expiry,
            });
            let htlc = htlc.map(|htlc| name(Side::Them, &htlc));
            if let Some((Side::Us, id)) = htlc {
                self.outputs.insert(id, self.spends.get(&outpoint).map(|mined| mined.height));
            }
            let height = close.height;
            self.claim(Ours { what, spend, height, deadline: Some(deadline), htlc, contested });
            self.second_stage(revoked, outpoint, htlc);
        }
        let past = revoked.past_penalties(close.tx, self.known.found);
        let terms = self.known.their_terms;
        let [theirs, ours] = [&terms.owner_funding, &terms.other_funding]
            .map(|funding| script::anchor(funding).to_p2wsh());
        for (vout, txout) in (0..).zip(&close.tx.output) {
            let outpoint = OutPoint { txid: self.txid, vout };
            if known.contains(&outpoint) {
                continue;
            }
            if txout.script_pubkey == ours || txout.script_pubkey == theirs {
                let whose = if txout.script_pubkey == ours { Side::Us } else { Side::Them };
                self.view_theirs(outpoint, What::Anchor(whose), txout.value);
                continue;
            }
            if let Some((spend, htlc)) = past.get(&outpoint) {
                let offerer = match htlc.by {
                    Side::Us => Direction::Received,
                    Side::Them => Direction::Offered,
                };
                let (deadline, contested) = self.race(Some((offerer, htlc.cltv_expiry)));
                let what = What::Settled { by: htlc.by, cltv_expiry: htlc.cltv_expiry };
                let (spend, height, deadline) = (spend.clone(), close.height, Some(deadline));
                self.claim(Ours { what, spend, height, deadline, htlc: None, contested });
                self.second_stage(revoked, outpoint, None);
                continue;
            }
            // An HTLC that we forgot: what the cheater makes of it still carries the revocation key.
            self.watch.push(outpoint);
            match self.spends.get(&outpoint) {
                Some(mined) => self.open_unless_deep(mined.height),
                None => self.done = false,
            }
            self.view(outpoint, What::Unknown, txout.value, OutputState::Unresolved);
            self.second_stage(revoked, outpoint, None);
        }
    }

    /// By when an output must be ours, and whether the cheater can move it before.
    ///
    /// Its balance waits for the cheater's own delay, and what it offered for the expiry. What it was
    /// offered it can take with a preimage in the very next block, and pin our claim meanwhile; what it
    /// makes of it waits for its delay again.
    fn race(&self, htlc: Option<(Direction, BlockHeight)>) -> (BlockHeight, bool) {
        let end = self.penalty_deadline(self.chain.close.height);
        match htlc {
            None => (end, false),
            Some((direction, cltv_expiry)) => match direction {
                Direction::Offered if cltv_expiry > self.chain.tip => (end.min(cltv_expiry), false),
                Direction::Offered | Direction::Received => (end, true),
            },
        }
    }

    /// What the cheater made of an HTLC output, found by its place: its transaction may do more than one
    /// thing.
    fn second_stage(&mut self, revoked: &Revoked, spent: OutPoint, htlc: Option<HtlcName>) {
        let Some(mined) = self.spends.get(&spent).copied() else { return };
        let txid = mined.tx.compute_txid();
        if let Some(spend) = revoked.second_stage(mined.tx, txid, spent) {
            let deadline = Some(self.penalty_deadline(mined.height));
            let (what, height) = (What::SecondStage { htlc }, mined.height);
            self.claim(Ours { what, spend, height, deadline, htlc, contested: false });
        }
    }

    /// The last block before the cheater's own delay is over.
    fn penalty_deadline(&self, confirmed: BlockHeight) -> BlockHeight {
        let delay = u32::from(self.known.their_terms.to_self_delay);
        confirmed.saturating_add(delay).saturating_sub(1)
    }
}
