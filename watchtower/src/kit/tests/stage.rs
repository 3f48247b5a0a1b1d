//! A channel between us and a cheater, with commitments of any content.

use bitcoin::absolute::LockTime;
use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version;
use bitcoin::{
    OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, WPubkeyHash, Witness,
};
use channel::clock::Side;
use channel::keys::CommitmentKeys;
use channel::shachain::RevealedSecrets;
use channel::signer::{InMemorySigner, Memory, Signer};
use channel::tx::{
    Commitment, CommitmentSpec, CommitmentTerms, Direction, RevokedSecret, SideTerms, SpecHtlc,
};
use secp256k1::{PublicKey, SECP256K1, SecretKey};
use wire::id::{PaymentHash, Preimage};
use wire::units::{BlockHeight, FeeratePerKw, Msat, Sat};

use crate::kit::claim::{Claim, Way};
use crate::kit::replica::{Replica, ReplicaTemplate, Secret};
use crate::kit::template::{CHANNEL_ANCHORS, Covers, Step, Template};

/// What the channel holds, in satoshis.
pub(crate) const CAPACITY: u64 = 10_000_000;

pub(crate) struct Stage {
    pub(crate) us: InMemorySigner,
    pub(crate) cheater: InMemorySigner,
    pub(crate) delay: u16,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let signer = |seed: u8| InMemorySigner::new(&[seed; 32], 7, Memory::default()).unwrap();
        Self { us: signer(1), cheater: signer(2), delay: 144 }
    }

    /// The secret of the cheater's commitment, as it gave it up.
    pub(crate) fn secret(number: u64) -> RevokedSecret {
        let fresh = InMemorySigner::new(&[2; 32], 7, Memory::default()).unwrap();
        RevokedSecret(fresh.reveal(number).unwrap())
    }

    pub(crate) fn secrets(count: u64) -> RevealedSecrets {
        let mut secrets = RevealedSecrets::new();
        for number in 0..count {
            secrets.insert(number, Self::secret(number).0).unwrap();
        }
        secrets
    }

    pub(crate) fn funding() -> OutPoint {
        OutPoint { txid: Txid::from_byte_array([9; 32]), vout: 1 }
    }

    pub(crate) fn sweep() -> ScriptBuf {
        ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([0x77; 20]))
    }

    pub(crate) fn template(&self) -> Template {
        let (ours, theirs) = (self.us.basepoints(), self.cheater.basepoints());
        let step = |feerate| Step { feerate: FeeratePerKw(feerate), covers: Covers::All };
        Template {
            channel_type: CHANNEL_ANCHORS,
            revocation_basepoint: ours.revocation,
            delayed_basepoint: theirs.delayed_payment,
            our_htlc_basepoint: ours.htlc,
            their_htlc_basepoint: theirs.htlc,
            to_self_delay: self.delay,
            tx_version: 2,
            ladder: vec![step(1_500), step(15_000)],
            sweep_script: Self::sweep(),
        }
    }

    pub(crate) fn replica(&self, revealed: u64) -> Replica {
        let (ours, theirs) = (self.us.basepoints(), self.cheater.basepoints());
        let template = ReplicaTemplate {
            channel_type: CHANNEL_ANCHORS,
            revocation_key: Secret::new(*self.us.revocation_key()),
            delayed_basepoint: theirs.delayed_payment,
            our_htlc_basepoint: ours.htlc,
            their_htlc_basepoint: theirs.htlc,
            opener_payment: ours.payment,
            accepter_payment: theirs.payment,
            to_self_delay: self.delay,
            tx_version: 2,
            sweep_script: Self::sweep(),
            fundings: vec![Self::funding()],
        };
        Replica::new(template, Self::secrets(revealed))
    }

    /// The cheater's commitment as we see it.
    pub(crate) fn commitment(
        &self,
        number: u64,
        to_cheater: u64,
        htlcs: Vec<SpecHtlc>,
    ) -> Commitment {
        let side = |signer: &InMemorySigner, to_self_delay| SideTerms {
            basepoints: *signer.basepoints(),
            dust_limit: Sat::from_sat(354),
            to_self_delay,
        };
        let terms = CommitmentTerms::new(
            Side::Them,
            Side::Us,
            &side(&self.us, self.delay),
            &side(&self.cheater, 1_000),
            Self::funding(),
            Sat::from_sat(CAPACITY),
        );
        let keys = CommitmentKeys::derive(
            self.cheater.basepoints(),
            self.us.basepoints(),
            &self.cheater.point(number).unwrap(),
        )
        .unwrap();
        let in_flight: u64 = htlcs.iter().map(|htlc| htlc.amount.to_u64()).sum();
        let to_owner = to_cheater * 1_000;
        let spec = CommitmentSpec {
            feerate: FeeratePerKw(253),
            to_owner: Msat::new(to_owner).unwrap(),
            to_other: Msat::new(CAPACITY * 1_000 - to_owner - in_flight).unwrap(),
            htlcs,
        };
        Commitment::build(&terms, &keys, number, &spec).unwrap()
    }

    /// A session key of ours at some tower.
    pub(crate) fn session() -> PublicKey {
        SecretKey::from_slice(&[0x51; 32]).unwrap().public_key(SECP256K1)
    }
}

/// An HTLC of `sat`, in the cheater's eyes.
pub(crate) fn htlc(direction: Direction, id: u64, sat: u64, expiry: u32) -> SpecHtlc {
    let hash = Preimage([u8::try_from(id % 251).unwrap(); 32]).hash();
    SpecHtlc {
        direction,
        id,
        amount: Msat::new(sat * 1_000).unwrap(),
        payment_hash: PaymentHash(hash.0),
        cltv_expiry: BlockHeight(expiry),
    }
}

/// Runs every input's script; the claims say what they spend.
pub(crate) fn check_tx(tx: &Transaction, spent: &[(OutPoint, TxOut)]) {
    let bytes = serialize(tx);
    for (place, input) in tx.input.iter().enumerate() {
        let (_, txout) = (spent.iter())
            .find(|(outpoint, _)| *outpoint == input.previous_output)
            .expect("an output that is known");
        let verdict = bitcoinconsensus::verify_with_flags(
            txout.script_pubkey.as_bytes(),
            txout.value.to_sat(),
            &bytes,
            None,
            place,
            bitcoinconsensus::VERIFY_ALL_PRE_TAPROOT,
        );
        assert_eq!(verdict, Ok(()), "input {place}");
    }
}

/// All pairs among the claims in one transaction, as a tower would make it.
pub(crate) fn together(claims: &[&Claim]) -> Transaction {
    let pairs = claims.iter().filter_map(|claim| match &claim.way {
        Way::Pair(pair) => Some(pair),
        Way::Ladder(_) | Way::Keyed(_) => None,
    });
    let (input, output) = pairs.map(|pair| (pair.input.clone(), pair.output.clone())).unzip();
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input, output }
}

/// One transaction that takes all claims, before its inputs are signed.
pub(crate) fn sweep_of(claims: &[&Claim], fee: u64) -> Transaction {
    let input = (claims.iter())
        .map(|claim| TxIn {
            previous_output: claim.outpoint,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::new(),
        })
        .collect();
    let sum: u64 = claims.iter().map(|claim| claim.value.to_sat()).sum();
    let value = Sat::from_sat(sum - fee);
    let output = vec![TxOut { value, script_pubkey: Stage::sweep() }];
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input, output }
}

/// What the claims spend.
pub(crate) fn spent(claims: &[Claim]) -> Vec<(OutPoint, TxOut)> {
    claims.iter().map(|claim| (claim.outpoint, claim.txout())).collect()
}
