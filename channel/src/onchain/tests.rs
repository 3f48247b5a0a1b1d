//! Closes of every kind, told as stories; every transaction is judged by `bitcoinconsensus`.

mod battle;
mod catalogue;
mod cheating;
mod honest;
mod htlcs;
mod justice;
mod property;

use bitcoin::Txid;
use wire::units::{FeeratePerKw, Msat};

use super::sweep::Coin;
use super::*;
use crate::signer::{InMemorySigner, Memory, Signer};
use crate::tx::tests::{Pair, accepts, coin, spec};
use crate::tx::{CommitmentSpec, HtlcKey};

/// Height of the block with the close.
pub(super) const CLOSED: BlockHeight = BlockHeight(1_000);

/// A channel whose newest commitments have number 9, and everything we know of it.
pub(super) struct World {
    pub(super) pair: Pair,
    pub(super) ours: Commitment,
    pub(super) our_tx: Transaction,
    pub(super) signatures: Vec<Signature>,
    pub(super) theirs: Vec<Commitment>,
    pub(super) their_terms: CommitmentTerms,
    pub(super) secrets: RevealedSecrets,
    pub(super) closes: Vec<Txid>,
    pub(super) outgoing: Vec<SpecHtlc>,
    pub(super) past: Vec<SpecHtlc>,
    pub(super) found: Vec<PastHtlc>,
    pub(super) preimages: BTreeMap<HtlcName, Preimage>,
    pub(super) tip: BlockHeight,
    pub(super) spends: Vec<(OutPoint, Transaction, BlockHeight)>,
    pub(super) upstream: BTreeMap<u64, BlockHeight>,
    /// The revoked commitment 4 as the cheater signed it, if there is one.
    pub(super) cheat: Option<(Commitment, Transaction)>,
    pub(super) cheat_signatures: Vec<Signature>,
}

/// What claims would pay, for views.
pub(super) const FEERATE: FeeratePerKw = FeeratePerKw(1_000);

/// The same division, seen from the other side.
pub(super) fn mirrored(spec: &CommitmentSpec) -> CommitmentSpec {
    let htlcs =
        spec.htlcs.iter().map(|htlc| SpecHtlc { direction: !htlc.direction, ..*htlc }).collect();
    CommitmentSpec { to_owner: spec.to_other, to_other: spec.to_owner, htlcs, ..*spec }
}

impl World {
    /// Our commitment divides as `spec` says; the peer's two newest, 9 and 10, as its mirror.
    pub(super) fn new(spec: &CommitmentSpec) -> Self {
        Self::of(Pair::new(), spec)
    }

    /// The same between these two.
    pub(super) fn of(pair: Pair, spec: &CommitmentSpec) -> Self {
        let (ours, our_tx, signatures) = pair.signed(Side::Us, 9, spec);
        let theirs =
            [9, 10].map(|number| pair.commitment(Side::Us, Side::Them, number, &mirrored(spec)));
        let mut secrets = RevealedSecrets::new();
        for number in 0..9 {
            secrets.insert(number, pair.them_secret(number)).unwrap();
        }
        let outgoing = (spec.htlcs.iter())
            .filter(|htlc| htlc.direction == Direction::Offered)
            .copied()
            .collect();
        Self {
            their_terms: pair.terms(Side::Us, Side::Them),
            pair,
            ours,
            our_tx,
            signatures,
            theirs: theirs.to_vec(),
            secrets,
            closes: Vec::new(),
            outgoing,
            past: Vec::new(),
            found: Vec::new(),
            preimages: BTreeMap::new(),
            tip: CLOSED,
            spends: Vec::new(),
            upstream: BTreeMap::new(),
            cheat: None,
            cheat_signatures: Vec::new(),
        }
    }

    /// With the four HTLCs of [`spec`].
    pub(super) fn busy() -> Self {
        Self::new(&spec())
    }

    /// The peer signs its commitment 4, which divides as the mirror of `spec` and was revoked since; our
    /// newest ones have no HTLCs.
    pub(super) fn cheated(spec: &CommitmentSpec) -> Self {
        let all = spec.htlcs.iter().map(|htlc| htlc.amount.to_u64()).sum::<u64>();
        let all = all + spec.to_owner.to_u64() + spec.to_other.to_u64();
        let half = Msat::new(all / 2).unwrap();
        let quiet = CommitmentSpec {
            to_owner: half,
            to_other: half,
            htlcs: Vec::new(),
            feerate: FeeratePerKw(253),
        };
        let capacity = half.checked_add(half).unwrap().floor_sat();
        let mut world = Self::of(Pair { capacity, ..Pair::new() }, &quiet);
        let (revoked, tx, signatures) = world.pair.signed(Side::Them, 4, &mirrored(spec));
        // Signing as its owner sees it was the cheater's own doing; we sign what comes after with a fresh
        // signer that knows nothing of it.
        world.pair.us = InMemorySigner::new(&[1; 32], 3, Memory::default()).unwrap();
        world.past = mirrored(spec).htlcs;
        world.cheat = Some((revoked, tx));
        world.cheat_signatures = signatures;
        world
    }

    pub(super) fn their_tx(&self, number: u64) -> Transaction {
        self.theirs.iter().find(|theirs| theirs.number() == number).unwrap().tx().clone()
    }

    pub(super) fn known(&self) -> Known<'_> {
        Known {
            our_basepoints: self.pair.us.basepoints(),
            their_basepoints: self.pair.them.basepoints(),
            their_terms: &self.their_terms,
            ours: &self.ours,
            our_htlc_signatures: &self.signatures,
            theirs: &self.theirs,
            secrets: &self.secrets,
            closes: &self.closes,
            outgoing: &self.outgoing,
            past: &self.past,
            found: &self.found,
            preimages: &self.preimages,
            fail_depth: 6,
            close_script: None,
            upstream: &self.upstream,
            fail_back_buffer: 3,
        }
    }

    pub(super) fn resolve(&self, close: &Transaction) -> Resolution {
        let spends: Vec<_> = (self.spends.iter())
            .map(|(outpoint, tx, height)| (*outpoint, Mined { tx, height: *height }))
            .collect();
        let close = Mined { tx: close, height: CLOSED };
        resolve(&self.known(), &Chain { tip: self.tip, feerate: FEERATE, close, spends: &spends })
    }

    /// Puts a transaction in a block: every input of it is a spend.
    pub(super) fn mine(&mut self, tx: &Transaction, height: u32) {
        let height = BlockHeight(height);
        self.spends
            .extend(tx.input.iter().map(|input| (input.previous_output, tx.clone(), height)));
        self.tip = self.tip.max(height);
    }

    /// Builds and signs a transaction for claims, and lets Bitcoin judge every input of ours.
    pub(super) fn sweep(&self, claims: &[&Claim], parents: &[&Transaction]) -> Transaction {
        let spends: Vec<_> = claims.iter().map(|claim| &claim.spend).collect();
        let needs_coins = claims.iter().any(|claim| claim.needs_coins());
        let outpoint = coin(1).previous_output;
        let fee_coin = Coin { outpoint, value: Sat::from_sat(20_000), input_weight: 272 };
        let coins = if needs_coins { &[fee_coin][..] } else { &[] };
        let to = bitcoin::ScriptBuf::new_p2wpkh(&bitcoin::hashes::Hash::all_zeros());
        let feerate = FeeratePerKw(1_000);
        let mut sweep = sweep::build(&spends, coins, &to, feerate).unwrap();
        self.pair.us.sign_spends(&mut sweep.tx, &spends).unwrap();
        for (place, input) in sweep.tx.input.iter().enumerate() {
            let outpoint = input.previous_output;
            let parent = parents.iter().find(|tx| tx.compute_txid() == outpoint.txid);
            if let Some(parent) = parent {
                let spent = &parent.output[usize::try_from(outpoint.vout).unwrap()];
                assert!(accepts(&sweep.tx, place, spent), "{:?}", spends[place]);
            } else {
                assert_eq!(outpoint, fee_coin.outpoint);
            }
        }
        let paid: u64 = spends.iter().map(|spend| spend.value.to_sat()).sum::<u64>()
            + coins.iter().map(|coin| coin.value.to_sat()).sum::<u64>();
        let out: u64 = sweep.tx.output.iter().map(|out| out.value.to_sat()).sum();
        assert_eq!(paid - out, sweep.fee.to_sat());
        let unsigned_coins = u64::try_from(coins.len()).unwrap() * (272 - 164 - 1);
        let slack = sweep.weight - sweep.tx.weight().to_wu() - unsigned_coins;
        assert!(100 * slack <= sweep.weight, "{slack} of {}", sweep.weight);
        sweep.tx
    }
}

/// Kinds of the claims, sorted, for comparison.
pub(super) fn kinds(resolution: &Resolution) -> Vec<&'static str> {
    let mut kinds: Vec<_> = resolution.claims.iter().map(kind).collect();
    kinds.sort_unstable();
    kinds
}

pub(super) fn kind(claim: &Claim) -> &'static str {
    match claim.spend.recipe {
        Recipe::ToRemote => "to_remote",
        Recipe::Delayed { .. } => "delayed",
        Recipe::Anchor => "anchor",
        Recipe::HtlcTransaction { key: HtlcKey::Expiry(_), .. } => "htlc-timeout",
        Recipe::HtlcTransaction { key: HtlcKey::Preimage(_), .. } => "htlc-success",
        Recipe::HtlcDirect { key: HtlcKey::Expiry(_), .. } => "direct timeout",
        Recipe::HtlcDirect { key: HtlcKey::Preimage(_), .. } => "direct preimage",
        Recipe::PenaltyDelayed { .. } => "penalty",
        Recipe::PenaltyHtlc { .. } => "htlc penalty",
    }
}

pub(super) fn of_kind<'a>(resolution: &'a Resolution, wanted: &str) -> Vec<&'a Claim> {
    resolution.claims.iter().filter(|claim| kind(claim) == wanted).collect()
}

/// An HTLC spend by the peer, on any commitment: signed by its signer, or not signed at all but with the
/// right elements; the resolver does not judge scripts.
pub(super) fn peer_spends(outpoint: OutPoint, elements: &[&[u8]]) -> Transaction {
    let mut tx = Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![coin(4), coin(5)],
        output: Vec::new(),
    };
    tx.input[1].previous_output = outpoint;
    tx.input[1].witness = bitcoin::Witness::from_slice(elements);
    tx
}

/// The preimage of HTLC `id` of a [`crowd`].
pub(super) fn known_preimage(id: u64) -> Preimage {
    let mut bytes = [5; 32];
    bytes[..8].copy_from_slice(&id.to_be_bytes());
    Preimage(bytes)
}

/// So many HTLCs of this value, by turns ours and theirs, that expire far ahead; the rest in halves.
pub(super) fn crowd(count: u64, sat: u64, capacity: Sat) -> CommitmentSpec {
    let htlcs: Vec<_> = (0..count)
        .map(|id| SpecHtlc {
            direction: if id % 2 == 0 { Direction::Offered } else { Direction::Received },
            id: id / 2,
            amount: Msat::new(sat * 1_000).unwrap(),
            payment_hash: known_preimage(id / 2).hash(),
            cltv_expiry: BlockHeight(5_000 + id as u32),
        })
        .collect();
    let half = Msat::new((capacity.to_sat() - count * sat) * 500).unwrap();
    CommitmentSpec { feerate: FeeratePerKw(253), to_owner: half, to_other: half, htlcs }
}
