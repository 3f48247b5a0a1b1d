//! A channel of which only its terms are left: what is ours of the close, whichever it is. BOLT 5.
//!
//! Our balance on a commitment of the peer's is found by its script, which never changes; on one of our own
//! by the number that it shows. HTLCs are not: what a backup keeps does not name them.
//!
//! Not here: channels with their data (`walk`).

use bitcoin::OutPoint;
use secp256k1::PublicKey;
use wire::units::{BlockHeight, Sat};

use super::outputs::{OutputState, OutputView, What, taker};
use super::{Chain, Claim, Close, IRREVOCABLE_DEPTH, Resolution, sweep};
use crate::clock::Side;
use crate::keys::{ChannelBasepoints, CommitmentKeys};
use crate::tx::{CommitmentTerms, Recipe, Spend, script};

/// What is left of a channel whose data is lost.
pub struct Remains<'a> {
    /// Our public keys.
    pub our_basepoints: &'a ChannelBasepoints,
    /// The peer's public keys.
    pub their_basepoints: &'a ChannelBasepoints,
    /// The terms of our own commitments.
    pub our_terms: &'a CommitmentTerms,
    /// Our `per_commitment_point` of a number.
    pub point: &'a dyn Fn(u64) -> Option<PublicKey>,
}

impl std::fmt::Debug for Remains<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remains").field("our_terms", &self.our_terms).finish_non_exhaustive()
    }
}

/// Says what is ours, from the beginning, with nothing but the terms.
///
/// A spend that is no commitment is [`Close::Mutual`]: the funding output needs our signature, and nothing
/// else was ever signed. A commitment of the peer's is [`Close::Future`]: newer than what we know, which is
/// nothing.
pub fn resolve_lost(remains: &Remains<'_>, chain: &Chain<'_>) -> Resolution {
    let tx = chain.close.tx;
    let txid = tx.compute_txid();
    let (claims, outputs, watch) = (Vec::new(), Vec::new(), Vec::new());
    let mut found = Found { chain, close: Side::Them, claims, outputs, watch, done: true };
    found.open_unless_deep(chain.close.height);
    let number = remains.our_terms.obscuring.reveal(tx);
    let own = number.and_then(|number| own_balance(remains, number));
    let to_remote = script::to_remote(&remains.our_basepoints.payment);
    let mut close = number.map_or(Close::Mutual, |number| Close::Future { number });
    for (vout, txout) in (0..).zip(&tx.output) {
        let (outpoint, value) = (OutPoint { txid, vout }, txout.value);
        if let Some((witness_script, recipe)) = &own
            && txout.script_pubkey == witness_script.to_p2wsh()
        {
            close = Close::Ours;
            found.close = Side::Us;
            let (witness_script, recipe) = (witness_script.clone(), recipe.clone());
            // If it is an old one, the peer may take it first.
            found.claim(Spend { outpoint, value, witness_script, recipe }, true);
        } else if number.is_some() && txout.script_pubkey == to_remote.to_p2wsh() {
            let (witness_script, recipe) = (to_remote.clone(), Recipe::ToRemote);
            found.claim(Spend { outpoint, value, witness_script, recipe }, false);
        }
    }
    let Found { claims, outputs, watch, done, .. } = found;
    Resolution { close, claims, watch, fates: Default::default(), outputs, done }
}

/// The script of `to_local` on our own commitment of this number, and what opens it.
fn own_balance(remains: &Remains<'_>, number: u64) -> Option<(bitcoin::ScriptBuf, Recipe)> {
    let point = (remains.point)(number)?;
    let (ours, theirs) = (remains.our_basepoints, remains.their_basepoints);
    let keys = CommitmentKeys::derive(ours, theirs, &point).ok()?;
    let to_self_delay = remains.our_terms.to_self_delay;
    let script = script::delayed(&keys.revocation, to_self_delay, &keys.owner_delayed);
    Some((script, Recipe::Delayed { point, to_self_delay }))
}

struct Found<'a> {
    chain: &'a Chain<'a>,
    /// Whose commitment it is.
    close: Side,
    claims: Vec<Claim>,
    outputs: Vec<OutputView>,
    watch: Vec<OutPoint>,
    done: bool,
}

impl Found<'_> {
    /// Open until it is spent, watched until that is deep.
    fn claim(&mut self, spend: Spend, contested: bool) {
        self.watch.push(spend.outpoint);
        let spent = self.chain.spends.iter().find(|(outpoint, _)| *outpoint == spend.outpoint);
        let (outpoint, value, what) = (spend.outpoint, spend.value, What::Balance(Side::Us));
        let mut view = OutputView {
            outpoint,
            what,
            value,
            state: OutputState::Claimable,
            deadline: None,
            cost: Sat::ZERO,
            expected: value,
        };
        if let Some((_, mined)) = spent {
            let (txid, height) = (mined.tx.compute_txid(), mined.height);
            view.state = match taker(self.close, what, outpoint, mined.tx) {
                Side::Us => OutputState::Claimed { txid, height },
                Side::Them => OutputState::Taken { txid, height },
            };
            view.expected = if view.state.is_ours() { value } else { Sat::ZERO };
            self.outputs.push(view);
            return self.open_unless_deep(height);
        }
        self.done = false;
        let mature = self.chain.close.height.saturating_add(u32::from(spend.csv()));
        let claim = Claim { spend, htlc: None, mature, deadline: None, contested };
        if !claim.is_ready(self.chain.tip) {
            view.state = OutputState::Waits { until: mature };
        }
        view.cost = sweep::cost(&claim.spend, self.chain.feerate);
        view.expected = Sat::from_sat(value.to_sat().saturating_sub(view.cost.to_sat()));
        self.outputs.push(view);
        self.claims.push(claim);
    }

    fn open_unless_deep(&mut self, height: BlockHeight) {
        let above = self.chain.tip.blocks_since(height);
        let depth = above.map_or(0, |blocks| blocks.saturating_add(1));
        self.done &= depth >= IRREVOCABLE_DEPTH;
    }
}
