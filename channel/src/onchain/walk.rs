//! From the close along every output to its end. BOLT 5.

use std::collections::BTreeMap;

use bitcoin::{OutPoint, Txid};
use wire::id::{PaymentHash, Preimage};
use wire::units::{BlockHeight, Sat};

use super::{Chain, Claim, Close, Fate, HtlcName, IRREVOCABLE_DEPTH, Known, Mined, Resolution};
use super::{classify, name, preimages_in};
use crate::clock::Side;
use crate::tx::penalty::Revoked;
use crate::tx::{
    Commitment, CommitmentTerms, Direction, HtlcKey, HtlcOutput, OutputKind, Party, Recipe,
    SpecHtlc, Spend, script,
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
    spends: BTreeMap<OutPoint, Mined<'a>>,
    /// What the chain has shown, by hash.
    seen: BTreeMap<PaymentHash, Preimage>,
    /// Outgoing HTLCs that have an output, to the height at which it was spent.
    outputs: BTreeMap<u64, Option<BlockHeight>>,
    claims: Vec<Claim>,
    watch: Vec<OutPoint>,
    done: bool,
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
            spends: chain.spends.iter().copied().collect(),
            seen,
            outputs: BTreeMap::new(),
            claims: Vec::new(),
            watch: Vec::new(),
            done: true,
        }
    }

    pub(super) fn resolve(mut self) -> Resolution {
        let close = classify::classify(self.known, self.chain.close.tx);
        self.open_unless_deep(self.chain.close.height);
        match close {
            Close::Mutual => {}
            Close::Ours => self.ours(self.known.ours),
            Close::Theirs { .. } => {
                let known = self.known.theirs.iter().find(|theirs| theirs.txid() == self.txid);
                if let Some(theirs) = known {
                    self.theirs(theirs);
                }
            }
            Close::Revoked { number } => {
                self.balance_on_theirs();
                if let Some(revoked) = classify::revoked(self.known, number) {
                    self.revoked(&revoked);
                }
            }
            Close::Future { .. } | Close::Unknown => self.balance_on_theirs(),
        }
        let fates = self.fates(close);
        // Whoever waits for a fate, or for coins, still needs us to look.
        let waiting = self.known.outgoing.iter().any(|htlc| !fates.contains_key(&htlc.id));
        let done = self.done && !waiting;
        Resolution { close, claims: self.claims, watch: self.watch, fates, done }
    }

    fn ours(&mut self, commitment: &Commitment) {
        let height = self.chain.close.height;
        for (outpoint, kind, txout) in commitment.outputs() {
            match kind {
                OutputKind::ToOwner => {
                    let spend = self.delayed(commitment, outpoint, txout.value);
                    self.claim(spend, height, None, None, false);
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
                        self.htlc(Side::Us, outpoint, output, spend);
                        self.second_level(commitment, outpoint);
                    }
                }
                OutputKind::ToOther | OutputKind::Anchor(Party::Other) => {}
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
                        self.htlc(Side::Them, outpoint, output, spend);
                    }
                }
                OutputKind::ToOwner | OutputKind::ToOther | OutputKind::Anchor(Party::Owner) => {}
            }
        }
    }

    /// BOLT 5: "MUST *resolve* the _remote node's main output_ by spending it using the"
    fn revoked(&mut self, revoked: &Revoked) {
        let close = self.chain.close;
        let deadline = self.penalty_deadline(close.height);
        let mut known: Vec<OutPoint> = self.watch.clone();
        for (spend, htlc) in revoked.penalties(close.tx, &classify::candidates(self.known)) {
            let outpoint = spend.outpoint;
            known.push(outpoint);
            let htlc = htlc.map(|htlc| name(Side::Them, &htlc));
            if let Some((Side::Us, id)) = htlc {
                self.outputs.insert(id, self.spends.get(&outpoint).map(|mined| mined.height));
            }
            self.claim(spend, close.height, Some(deadline), htlc, true);
            self.second_stage(revoked, outpoint, htlc);
        }
        let terms = self.known.their_terms;
        let anchors = [&terms.owner_funding, &terms.other_funding]
            .map(|funding| script::anchor(funding).to_p2wsh());
        for (vout, txout) in (0..).zip(&close.tx.output) {
            let outpoint = OutPoint { txid: self.txid, vout };
            if known.contains(&outpoint) || anchors.contains(&txout.script_pubkey) {
                continue;
            }
            // An HTLC that we forgot: what the cheater makes of it still carries the revocation key.
            self.watch.push(outpoint);
            match self.spends.get(&outpoint) {
                Some(mined) => self.open_unless_deep(mined.height),
                None => self.done = false,
            }
            self.second_stage(revoked, outpoint, None);
        }
    }

    /// What the cheater made of an HTLC output, found by its place: its transaction may do more than one
    /// thing.
    fn second_stage(&mut self, revoked: &Revoked, spent: OutPoint, htlc: Option<HtlcName>) {
        let Some(mined) = self.spends.get(&spent).copied() else { return };
        let txid = mined.tx.compute_txid();
        if let Some(penalty) = revoked.second_stage(mined.tx, txid, spent) {
            let deadline = self.penalty_deadline(mined.height);
            self.claim(penalty, mined.height, Some(deadline), htlc, true);
        }
    }

    /// The last block before the cheater's own delay is over.
    fn penalty_deadline(&self, confirmed: BlockHeight) -> BlockHeight {
        let delay = u32::from(self.known.their_terms.to_self_delay);
        confirmed.saturating_add(delay).saturating_sub(1)
    }

    /// What our own HTLC transaction made.
    fn second_level(&mut self, commitment: &Commitment, spent: OutPoint) {
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
            self.claim(spend, mined.height, None, None, false);
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
                self.claim(spend, close.height, None, None, false);
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

    fn htlc(&mut self, owner: Side, outpoint: OutPoint, output: &HtlcOutput, spend: Option<Spend>) {
        let (height, htlc) = (self.chain.close.height, name(owner, &output.htlc));
        if htlc.0 == Side::Us {
            self.outputs.insert(htlc.1, self.spends.get(&outpoint).map(|mined| mined.height));
        }
        let deadline = match htlc.0 {
            // From its expiry on, the peer can take it back.
            Side::Them => Some(output.htlc.cltv_expiry),
            Side::Us => None,
        };
        match spend {
            Some(spend) => self.claim(spend, height, deadline, Some(htlc), true),
            // Without the preimage it is the peer's; but the preimage may still come.
            None => {
                self.watch.push(outpoint);
                match self.spends.get(&outpoint) {
                    Some(mined) => self.open_unless_deep(mined.height),
                    // BOLT 5: "If it's NOT otherwise resolved, once the HTLC output has expired, it is"
                    None => self.open_unless_deep(output.htlc.cltv_expiry),
                }
            }
        }
    }

    fn anchor(&mut self, terms: &CommitmentTerms, outpoint: OutPoint, value: Sat) {
        // Not worth waiting for: nobody loses anything if it stays.
        if !self.spends.contains_key(&outpoint) {
            let mature = BlockHeight(0);
            let spend = anchor(terms, outpoint, value);
            self.claims.push(Claim { spend, htlc: None, mature, deadline: None, contested: false });
        }
    }

    /// An output of ours, confirmed at `height`: open until it is spent, watched until that is deep.
    fn claim(
        &mut self,
        spend: Spend,
        height: BlockHeight,
        deadline: Option<BlockHeight>,
        htlc: Option<HtlcName>,
        contested: bool,
    ) {
        self.watch.push(spend.outpoint);
        if let Some(mined) = self.spends.get(&spend.outpoint) {
            return self.open_unless_deep(mined.height);
        }
        self.done = false;
        let lock = spend.lock_time().to_consensus_u32();
        let unlocked = BlockHeight(if lock == 0 { 0 } else { lock.saturating_add(1) });
        let mature = height.saturating_add(u32::from(spend.csv())).max(unlocked);
        self.claims.push(Claim { spend, htlc, mature, deadline, contested });
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

    fn fates(&self, close: Close) -> BTreeMap<u64, Fate> {
        (self.known.outgoing.iter())
            .filter_map(|htlc| Some((htlc.id, self.fate(close, htlc)?)))
            .collect()
    }

    /// The one rule for failing and fulfilling upstream: a known preimage always fulfils; nothing fails
    /// before the chain has buried every other way.
    fn fate(&self, close: Close, htlc: &SpecHtlc) -> Option<Fate> {
        debug_assert_eq!(htlc.direction, Direction::Offered, "seen from our own commitment");
        let preimage = self.known.preimages.get(&(Side::Us, htlc.id));
        if let Some(preimage) = preimage.or_else(|| self.seen.get(&htlc.payment_hash)) {
            return Some(Fate::Fulfilled(*preimage));
        }
        let buried = |height: BlockHeight| {
            (self.depth(height) >= self.known.fail_depth).then_some(Fate::Failed)
        };
        match (self.outputs.get(&htlc.id), close) {
            // BOLT 5: "once the resolving transaction has reached reasonable depth:"
            (Some(spent), _) => buried((*spent)?),
            // BOLT 5: "once the commitment transaction has reached reasonable depth:"
            (None, Close::Ours | Close::Theirs { .. } | Close::Revoked { .. } | Close::Mutual) => {
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
