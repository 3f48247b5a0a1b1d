//! From the close along every output to its end. BOLT 5.
//!
//! Not here: a revoked close (`revoked`), what becomes of HTLCs upstream (`fates`).

mod fates;
mod revoked;

use std::collections::BTreeMap;

use bitcoin::{OutPoint, Txid};
use wire::id::{PaymentHash, Preimage};
use wire::units::{BlockHeight, Sat};

use super::outputs::{OutputState, OutputView, What, taker};
use super::{Chain, Claim, Close, HtlcName, IRREVOCABLE_DEPTH, Known, Mined, Resolution};
use super::{classify, name, preimages_in, sweep};
use crate::clock::Side;
use crate::tx::{
    Commitment, CommitmentTerms, HtlcKey, HtlcOutput, OutputKind, Party, Recipe, Spend, script,
};

/// Our anchor, wherever it is.
pub(super) fn anchor(terms: &CommitmentTerms, outpoint: OutPoint, value: Sat) -> Spend {
    let ours = match terms.owner {
        Side::Us => &terms.owner_funding,
        Side::Them => &terms.other_funding,
    };
    Spend { outpoint, value, witness_script: script::anchor(ours), recipe: Recipe::Anchor }
}

/// One walk over everything.
pub(super) struct Walk<'a> {
    known: &'a Known<'a>,
    chain: &'a Chain<'a>,
    txid: Txid,
    /// Whose commitment it is.
    owner: Side,
    spends: BTreeMap<OutPoint, Mined<'a>>,
    /// What the chain has shown, by hash.
    seen: BTreeMap<PaymentHash, Preimage>,
    /// Outgoing HTLCs that have an output, to the height at which it was spent.
    outputs: BTreeMap<u64, Option<BlockHeight>>,
    claims: Vec<Claim>,
    views: Vec<OutputView>,
    watch: Vec<OutPoint>,
    done: bool,
}

/// An output that is ours to take.
struct Ours {
    what: What,
    spend: Spend,
    /// The height of its block.
    height: BlockHeight,
    deadline: Option<BlockHeight>,
    htlc: Option<HtlcName>,
    contested: bool,
}

impl Ours {
    /// One that nobody else can take.
    const fn safe(what: What, spend: Spend, height: BlockHeight) -> Self {
        Self { what, spend, height, deadline: None, htlc: None, contested: false }
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(known: &'a Known<'a>, chain: &'a Chain<'a>) -> Self {
        let hashes: Vec<_> = known.outgoing.iter().map(|htlc| htlc.payment_hash).collect();
        let seen =
            (chain.spends.iter()).flat_map(|(_, mined)| preimages_in(mined.tx, &hashes)).collect();
        Self {
            known,
            chain,
            txid: chain.close.tx.compute_txid(),
            owner: Side::Them,
            spends: chain.spends.iter().copied().collect(),
            seen,
            outputs: BTreeMap::new(),
            claims: Vec::new(),
            views: Vec::new(),
            watch: Vec::new(),
            done: true,
        }
    }

    pub(super) fn resolve(mut self) -> Resolution {
        let close = classify::classify(self.known, self.chain.close.tx);
        self.open_unless_deep(self.chain.close.height);
        match close {
            Close::Mutual => self.mutual(),
            Close::Ours => self.ours(self.known.ours),
            Close::Theirs { .. } => {
                let known = self.known.theirs.iter().find(|theirs| theirs.txid() == self.txid);
                if let Some(theirs) = known {
                    self.theirs(theirs);
                }
            }
            Close::Revoked { number } => {
                if let Some(revoked) = classify::revoked(self.known, number) {
                    self.revoked(&revoked);
                }
            }
            Close::Future { .. } | Close::Unknown => self.unknown(),
        }
        let fates = self.fates(close);
        // Whoever waits for a fate, or for coins, still needs us to look.
        let waiting = self.known.outgoing.iter().any(|htlc| !fates.contains_key(&htlc.id));
        let done = self.done && !waiting;
        let (claims, watch, outputs) = (self.claims, self.watch, self.views);
        Resolution { close, claims, watch, fates, outputs, done }
    }

    /// Its outputs are in the hands of whoever they pay.
    fn mutual(&mut self) {
        let close = self.chain.close;
        for (vout, txout) in (0..).zip(&close.tx.output) {
            let ours = self.known.close_script.is_some_and(|ours| *ours == *txout.script_pubkey);
            let by = if ours { Side::Us } else { Side::Them };
            let state = self.taken(by, self.txid, close.height);
            let outpoint = OutPoint { txid: self.txid, vout };
            self.view(outpoint, What::Balance(by), txout.value, state);
        }
    }

    fn ours(&mut self, commitment: &Commitment) {
        self.owner = Side::Us;
        let height = self.chain.close.height;
        for (outpoint, kind, txout) in commitment.outputs() {
            match kind {
                OutputKind::ToOwner => {
                    let spend = self.delayed(commitment, outpoint, txout.value);
                    self.claim(Ours::safe(What::Balance(Side::Us), spend, height));
                }
                OutputKind::Anchor(Party::Owner) => {
                    self.anchor(commitment.terms(), outpoint, txout.value);
                }
                OutputKind::Htlc(place) => {
                    let signature = self.known.our_htlc_signatures.get(place);
                    if let Some(output) = commitment.htlcs().get(place) {
                        let key = self.key(Side::Us, output);
                        let spend = signature
                            .zip(key)
                            .map(|(signature, key)| commitment.htlc_spend(output, *signature, key));
                        self.htlc(outpoint, output, spend);
                        self.second_level(commitment, outpoint, name(Side::Us, &output.htlc));
                    }
                }
                OutputKind::ToOther => {
                    self.view_theirs(outpoint, What::Balance(Side::Them), txout.value);
                }
                OutputKind::Anchor(Party::Other) => {
                    self.view_theirs(outpoint, What::Anchor(Side::Them), txout.value);
                }
            }
        }
    }

    fn theirs(&mut self, commitment: &Commitment) {
        self.balance_on_theirs();
        for (outpoint, kind, txout) in commitment.outputs() {
            match kind {
                OutputKind::Anchor(Party::Other) => {
                    self.anchor(commitment.terms(), outpoint, txout.value);
                }
                OutputKind::Htlc(place) => {
                    if let Some(output) = commitment.htlcs().get(place) {
                        let point = commitment.keys().per_commitment_point;
                        let spend = self.key(Side::Them, output).map(|key| Spend {
                            outpoint,
                            value: output.value,
                            witness_script: output.witness_script.clone(),
                            recipe: Recipe::HtlcDirect { point, key },
                        });
                        self.htlc(outpoint, output, spend);
                    }
                }
                OutputKind::ToOwner => {
                    self.view_theirs(outpoint, What::Balance(Side::Them), txout.value);
                }
                OutputKind::Anchor(Party::Owner) => {
                    self.view_theirs(outpoint, What::Anchor(Side::Them), txout.value);
                }
                OutputKind::ToOther => {}
            }
        }
    }

    /// Our balance is found by its script. Which of the rest are HTLCs is not known, but what a spend of
    /// one shows opens the incoming HTLC all the same.
    fn unknown(&mut self) {
        self.balance_on_theirs();
        let open = !self.known.outgoing.is_empty();
        for (vout, txout) in (0..).zip(&self.chain.close.tx.output) {
            let outpoint = OutPoint { txid: self.txid, vout };
            if self.views.iter().any(|view| view.outpoint == outpoint) {
                continue;
            }
            if open {
                self.watch.push(outpoint);
            }
            self.view(outpoint, What::Unknown, txout.value, OutputState::Unresolved);
        }
    }

    /// What our own HTLC transaction made.
    fn second_level(&mut self, commitment: &Commitment, spent: OutPoint, htlc: HtlcName) {
        let Some(mined) = self.spends.get(&spent).copied() else { return };
        let inputs = &mined.tx.input;
        let Some(place) = inputs.iter().position(|input| input.previous_output == spent) else {
            return;
        };
        let Some(txout) = mined.tx.output.get(place) else { return };
        if txout.script_pubkey == commitment.delayed_script().to_p2wsh() {
            let vout = u32::try_from(place).unwrap_or(u32::MAX);
            let outpoint = OutPoint { txid: mined.tx.compute_txid(), vout };
            let spend = self.delayed(commitment, outpoint, txout.value);
            self.moved_on(spent);
            self.claim(Ours::safe(What::SecondStage { htlc: Some(htlc) }, spend, mined.height));
        }
    }

    fn delayed(&self, commitment: &Commitment, outpoint: OutPoint, value: Sat) -> Spend {
        let point = commitment.keys().per_commitment_point;
        let to_self_delay = commitment.terms().to_self_delay;
        Spend {
            outpoint,
            value,
            witness_script: commitment.delayed_script(),
            recipe: Recipe::Delayed { point, to_self_delay },
        }
    }

    /// Our balance on any commitment of the peer's, known or not: its script never changes.
    fn balance_on_theirs(&mut self) {
        let witness_script = script::to_remote(&self.known.our_basepoints.payment);
        let script_pubkey = witness_script.to_p2wsh();
        let close = self.chain.close;
        for (vout, txout) in (0..).zip(&close.tx.output) {
            if txout.script_pubkey == script_pubkey {
                let spend = Spend {
                    outpoint: OutPoint { txid: self.txid, vout },
                    value: txout.value,
                    witness_script: witness_script.clone(),
                    recipe: Recipe::ToRemote,
                };
                self.claim(Ours::safe(What::Balance(Side::Us), spend, close.height));
            }
        }
    }

    /// What opens an HTLC for us: our own expired, theirs with a preimage.
    fn key(&self, owner: Side, output: &HtlcOutput) -> Option<HtlcKey> {
        let name = name(owner, &output.htlc);
        match name.0 {
            Side::Us => Some(HtlcKey::Expiry(output.htlc.cltv_expiry)),
            Side::Them => self.known.preimages.get(&name).copied().map(HtlcKey::Preimage),
        }
    }

    fn htlc(&mut self, outpoint: OutPoint, output: &HtlcOutput, spend: Option<Spend>) {
        let (height, htlc) = (self.chain.close.height, name(self.owner, &output.htlc));
        if htlc.0 == Side::Us {
            self.outputs.insert(htlc.1, self.spends.get(&outpoint).map(|mined| mined.height));
        }
        let deadline = match htlc.0 {
            // From its expiry on, the peer can take it back.
            Side::Them => Some(output.htlc.cltv_expiry),
            // From the expiry of the incoming one on, a preimage of the peer's is our loss.
            Side::Us => self.known.upstream.get(&htlc.1).copied(),
        };
        let (payment_hash, cltv_expiry) = (output.htlc.payment_hash, output.htlc.cltv_expiry);
        let what = What::Htlc { name: htlc, payment_hash, cltv_expiry };
        let Some(spend) = spend else {
            // Without the preimage it is the peer's; but the preimage may still come.
            self.watch.push(outpoint);
            match self.spends.get(&outpoint) {
                Some(mined) => self.open_unless_deep(mined.height),
                // BOLT 5: "If it's NOT otherwise resolved, once the HTLC output has expired, it is"
                None => self.open_unless_deep(cltv_expiry),
            }
            return self.view(outpoint, what, output.value, OutputState::Unresolved);
        };
        self.claim(Ours { what, spend, height, deadline, htlc: Some(htlc), contested: true });
    }

    fn anchor(&mut self, terms: &CommitmentTerms, outpoint: OutPoint, value: Sat) {
        let what = What::Anchor(Side::Us);
        self.watch.push(outpoint);
        // Not worth waiting for: nobody loses anything if it stays.
        if !self.spends.contains_key(&outpoint) {
            let mature = BlockHeight(0);
            let spend = anchor(terms, outpoint, value);
            self.claims.push(Claim { spend, htlc: None, mature, deadline: None, contested: false });
        }
        self.view(outpoint, what, value, OutputState::Claimable);
    }

    /// An output of ours: open until it is spent, watched until that is deep.
    fn claim(&mut self, ours: Ours) {
        let Ours { what, spend, height, deadline, htlc, contested } = ours;
        let (outpoint, value) = (spend.outpoint, spend.value);
        self.watch.push(outpoint);
        if let Some(mined) = self.spends.get(&outpoint) {
            self.open_unless_deep(mined.height);
            return self.view(outpoint, what, value, OutputState::Unresolved);
        }
        self.done = false;
        let lock = spend.lock_time().to_consensus_u32();
        let unlocked = BlockHeight(if lock == 0 { 0 } else { lock.saturating_add(1) });
        let mature = height.saturating_add(u32::from(spend.csv())).max(unlocked);
        let claim = Claim { spend, htlc, mature, deadline, contested };
        let state = if claim.is_ready(self.chain.tip) {
            OutputState::Claimable
        } else {
            OutputState::Waits { until: mature }
        };
        let cost = sweep::cost(&claim.spend, self.chain.feerate);
        let expected = Sat::from_sat(value.to_sat().saturating_sub(cost.to_sat()));
        self.views.push(OutputView { outpoint, what, value, state, deadline, cost, expected });
        self.claims.push(claim);
    }

    /// Shows an output for which there is no claim; `open` is its state if nobody spent it.
    fn view(&mut self, outpoint: OutPoint, what: What, value: Sat, open: OutputState) {
        let state = self.spends.get(&outpoint).map_or(open, |mined| {
            let by = taker(self.owner, what, outpoint, mined.tx);
            self.taken(by, mined.tx.compute_txid(), mined.height)
        });
        let expected = if state.is_ours() { value } else { Sat::ZERO };
        let (deadline, cost) = (None, Sat::ZERO);
        self.views.push(OutputView { outpoint, what, value, state, deadline, cost, expected });
    }

    fn view_theirs(&mut self, outpoint: OutPoint, what: What, value: Sat) {
        self.view(outpoint, what, value, OutputState::Theirs);
    }

    /// What was expected of this output is expected of another one now.
    fn moved_on(&mut self, outpoint: OutPoint) {
        for view in self.views.iter_mut().filter(|view| view.outpoint == outpoint) {
            view.expected = Sat::ZERO;
        }
    }

    fn taken(&self, by: Side, txid: Txid, height: BlockHeight) -> OutputState {
        match by {
            _ if self.depth(height) >= IRREVOCABLE_DEPTH => {
                OutputState::Irrevocable { by, txid, height }
            }
            Side::Us => OutputState::Claimed { txid, height },
            Side::Them => OutputState::Taken { txid, height },
        }
    }

    fn open_unless_deep(&mut self, height: BlockHeight) {
        if self.depth(height) < IRREVOCABLE_DEPTH {
            self.done = false;
        }
    }

    /// Blocks from `height` to the tip, both counted; 0 if it is still to come.
    fn depth(&self, height: BlockHeight) -> u32 {
        (self.chain.tip.blocks_since(height)).map_or(0, |blocks| blocks.saturating_add(1))
    }
}
