//! Every transaction against Bitcoin's own script interpreter, and the figures of BOLT 3 and 5.

mod figures;
mod scripts;

use bitcoin::absolute::LockTime;
use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash;
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use wire::id::{Preimage, Signature};
use wire::units::{BlockHeight, FeeratePerKw, Msat, Sat};

use super::*;
use crate::clock::Side;
use crate::keys::CommitmentKeys;
use crate::signer::{InMemorySigner, Memory, Signer};

/// Both ends of a channel, each with its own view of it.
pub(crate) struct Pair {
    pub(crate) us: InMemorySigner,
    pub(crate) them: InMemorySigner,
    pub(crate) opener: Side,
    pub(crate) capacity: Sat,
    pub(crate) dust_limit: Sat,
}

impl Pair {
    pub(crate) const OUR_DELAY: u16 = 144;
    pub(crate) const THEIR_DELAY: u16 = 40_000;

    pub(crate) fn new() -> Self {
        let signer = |seed: u8| InMemorySigner::new(&[seed; 32], 3, Memory::default()).unwrap();
        Self {
            us: signer(1),
            them: signer(2),
            opener: Side::Us,
            capacity: Sat::from_sat(1_000_000),
            dust_limit: Sat::from_sat(354),
        }
    }

    pub(crate) fn signer(&self, side: Side) -> &InMemorySigner {
        match side {
            Side::Us => &self.us,
            Side::Them => &self.them,
        }
    }

    /// A secret of theirs, as it comes out of a `revoke_and_ack`.
    pub(crate) fn them_secret(&self, number: u64) -> [u8; 32] {
        let fresh = InMemorySigner::new(&[2; 32], 3, Memory::default()).unwrap();
        fresh.reveal(number).unwrap()
    }

    fn side(&self, side: Side) -> SideTerms {
        SideTerms {
            basepoints: *self.signer(side).basepoints(),
            dust_limit: self.dust_limit,
            to_self_delay: match side {
                Side::Us => Self::OUR_DELAY,
                Side::Them => Self::THEIR_DELAY,
            },
        }
    }

    /// Terms of the commitments of `owner` as `viewer` sees them: everybody is `Us` to itself.
    pub(crate) fn terms(&self, viewer: Side, owner: Side) -> CommitmentTerms {
        let seen = |side: Side| if side == viewer { Side::Us } else { Side::Them };
        let outpoint = OutPoint { txid: Txid::from_byte_array([9; 32]), vout: 7 };
        CommitmentTerms::new(
            seen(owner),
            seen(self.opener),
            &self.side(viewer),
            &self.side(!viewer),
            outpoint,
            self.capacity,
        )
    }

    pub(crate) fn keys(&self, owner: Side, number: u64) -> CommitmentKeys {
        CommitmentKeys::derive(
            self.signer(owner).basepoints(),
            self.signer(!owner).basepoints(),
            &self.signer(owner).point(number).unwrap(),
        )
        .unwrap()
    }

    pub(crate) fn commitment(
        &self,
        viewer: Side,
        owner: Side,
        number: u64,
        spec: &CommitmentSpec,
    ) -> Commitment {
        let (terms, keys) = (self.terms(viewer, owner), self.keys(owner, number));
        Commitment::build(&terms, &keys, number, spec).unwrap()
    }

    /// The commitment as its owner sees it, signed by both, and the other's HTLC signatures.
    pub(crate) fn signed(
        &self,
        owner: Side,
        number: u64,
        spec: &CommitmentSpec,
    ) -> (Commitment, Transaction, Vec<Signature>) {
        let theirs = self.commitment(!owner, owner, number, spec);
        let signed = self.signer(!owner).sign_theirs(&theirs, &Inline).unwrap();
        let ours = self.commitment(owner, owner, number, spec);
        assert_eq!(ours.tx(), theirs.tx());
        ours.verify(&signed.signature, &signed.htlcs, &Inline).unwrap();
        let tx = self.signer(owner).sign_ours(&ours, &signed.signature).unwrap();
        (ours, tx, signed.htlcs)
    }
}

pub(crate) const PREIMAGE: Preimage = Preimage([0xab; 32]);

/// 300 000 sat for the owner, HTLCs of 100 000 and 50 000 sat out, 80 000 and a speck of dust in, and
/// the rest for the other.
pub(crate) fn spec() -> CommitmentSpec {
    let htlc = |direction, id, msat, expiry| SpecHtlc {
        direction,
        id,
        amount: Msat::new(msat).unwrap(),
        payment_hash: PREIMAGE.hash(),
        cltv_expiry: BlockHeight(expiry),
    };
    CommitmentSpec {
        feerate: FeeratePerKw(253),
        to_owner: Msat::new(300_000_999).unwrap(),
        to_other: Msat::new(469_700_001).unwrap(),
        htlcs: vec![
            htlc(Direction::Offered, 0, 100_000_000, 700_000),
            htlc(Direction::Offered, 1, 50_000_000, 120),
            htlc(Direction::Received, 0, 80_000_000, 700_001),
            htlc(Direction::Received, 1, 299_000, 700_002),
        ],
    }
}

/// Whether Bitcoin accepts input `place` of `tx` as a spend of `spent`.
pub(crate) fn accepts(tx: &Transaction, place: usize, spent: &TxOut) -> bool {
    bitcoinconsensus::verify_with_flags(
        spent.script_pubkey.as_bytes(),
        spent.value.to_sat(),
        &serialize(tx),
        None,
        place,
        bitcoinconsensus::VERIFY_ALL_PRE_TAPROOT,
    )
    .is_ok()
}

/// A transaction that spends these, to somewhere; HTLC transactions first, with their outputs.
pub(crate) fn sweep(spends: &[&Spend]) -> Transaction {
    let (paired, free): (Vec<&Spend>, Vec<&Spend>) =
        spends.iter().partition(|spend| spend.paired_output().is_some());
    let input = (paired.iter().chain(&free))
        .map(|spend| TxIn {
            previous_output: spend.outpoint,
            script_sig: ScriptBuf::new(),
            sequence: spend.sequence(),
            witness: Witness::new(),
        })
        .collect();
    let mut output: Vec<_> =
        paired.iter().filter_map(|spend| spend.paired_output().cloned()).collect();
    output.push(TxOut { value: Sat::from_sat(1_000), script_pubkey: ScriptBuf::from(vec![0x51]) });
    let lock_time = (spends.iter())
        .map(|spend| spend.lock_time().to_consensus_u32())
        .max()
        .map_or(LockTime::ZERO, LockTime::from_consensus);
    Transaction { version: Version::TWO, lock_time, input, output }
}

/// Signs a sweep of `spend` alone and lets Bitcoin judge it.
pub(crate) fn spends(signer: &dyn Signer, spend: &Spend, spent: &TxOut) -> bool {
    let mut tx = sweep(&[spend]);
    signer.sign_spends(&mut tx, &[spend]).unwrap();
    let weight = tx.input[0].segwit_weight().to_wu();
    let slack = spend.input_weight() - weight;
    // A signature may be two or three bytes shorter than the longest.
    assert!(slack <= 8, "estimated {} for {weight}", spend.input_weight());
    accepts(&tx, 0, spent)
}

/// An input that is not ours to sign, such as a coin of the wallet for the fee.
pub(crate) fn coin(byte: u8) -> TxIn {
    TxIn {
        previous_output: OutPoint { txid: Txid::from_byte_array([byte; 32]), vout: 1 },
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::new(),
    }
}
