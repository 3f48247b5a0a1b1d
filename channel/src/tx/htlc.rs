//! Second-level HTLC transactions: HTLC-timeout and HTLC-success. BOLT 3 § HTLC-Timeout and HTLC-Success
//! Transactions.
//!
//! They pay no fee. The peer signs one input and one output (`SIGHASH_SINGLE|SIGHASH_ANYONECANPAY`), so
//! that the owner can put in coins of its own later and sign everything (`SIGHASH_ALL`).
//!
//! Not here: putting in coins (`onchain`).

use bitcoin::absolute::LockTime;
use bitcoin::consensus::Encodable;
use bitcoin::hashes::{Hash, HashEngine, sha256, sha256d};
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};

use wire::id::Signature;

use super::commitment::{Commitment, Direction, HtlcOutput};
use super::spend::{HtlcKey, Recipe, Spend};

/// The sequence of every input that spends an HTLC output: one block after the commitment.
pub const SEQUENCE: Sequence = Sequence(1);

/// `SIGHASH_SINGLE|SIGHASH_ANYONECANPAY`, the type of the peer's HTLC signatures.
pub const PEER_SIGHASH: u8 = 0x83;

impl Commitment {
    /// Where the HTLC's output is.
    pub fn htlc_outpoint(&self, output: &HtlcOutput) -> OutPoint {
        OutPoint { txid: self.txid(), vout: output.vout }
    }

    /// The only output a second-level transaction of this HTLC may have in the HTLC's place.
    pub fn htlc_tx_output(&self, output: &HtlcOutput) -> TxOut {
        // BOLT 3: "The fee for an HTLC-timeout transaction: - If `option_anchors` applies: 1. MUST be 0."
        TxOut { value: output.value, script_pubkey: self.delayed_script().to_p2wsh() }
    }

    /// The HTLC's second-level transaction, without fee and witness.
    pub fn htlc_tx(&self, output: &HtlcOutput) -> Transaction {
        Transaction {
            version: Version::TWO,
            lock_time: lock_time(output),
            input: vec![TxIn {
                previous_output: self.htlc_outpoint(output),
                script_sig: ScriptBuf::new(),
                sequence: SEQUENCE,
                witness: Witness::new(),
            }],
            output: vec![self.htlc_tx_output(output)],
        }
    }

    /// How to spend the HTLC's output on our own commitment, with the peer's signature.
    pub fn htlc_spend(
        &self,
        output: &HtlcOutput,
        their_signature: Signature,
        key: HtlcKey,
    ) -> Spend {
        Spend {
            outpoint: self.htlc_outpoint(output),
            value: output.value,
            witness_script: output.witness_script.clone(),
            recipe: Recipe::HtlcTransaction {
                point: self.keys().per_commitment_point,
                their_signature,
                key,
                output: self.htlc_tx_output(output),
            },
        }
    }

    /// What the peer signs of each second-level transaction, in output order.
    ///
    /// BIP 143 without building the transactions: with `ANYONECANPAY` and `SINGLE` the hash covers two
    /// constants, one input and one output whose script all HTLCs share.
    pub fn htlc_digests(&self) -> HtlcDigests<'_> {
        HtlcDigests { commitment: self, second_level: self.delayed_script().to_p2wsh() }
    }
}

/// The lock time of an HTLC's second-level transaction.
pub fn lock_time(output: &HtlcOutput) -> LockTime {
    match output.htlc.direction {
        Direction::Offered => LockTime::from_consensus(output.htlc.cltv_expiry.0),
        Direction::Received => LockTime::ZERO,
    }
}

/// Computes what the peer signs, HTLC by HTLC and in any order.
#[derive(Clone, Debug)]
pub struct HtlcDigests<'a> {
    commitment: &'a Commitment,
    second_level: ScriptBuf,
}

impl HtlcDigests<'_> {
    /// The digest for the HTLC at this place in [`Commitment::htlcs`]; `None` past the end.
    pub fn digest(&self, place: usize) -> Option<[u8; 32]> {
        let output = self.commitment.htlcs().get(place)?;
        let mut outputs = sha256d::Hash::engine();
        feed(&mut outputs, &output.value);
        feed(&mut outputs, &self.second_level);
        let mut engine = sha256d::Hash::engine();
        engine.input(&2_u32.to_le_bytes());
        engine.input(&[0; 64]);
        feed(&mut engine, &self.commitment.htlc_outpoint(output));
        feed(&mut engine, &output.witness_script);
        feed(&mut engine, &output.value);
        engine.input(&SEQUENCE.0.to_le_bytes());
        engine.input(sha256d::Hash::from_engine(outputs).as_byte_array());
        engine.input(&lock_time(output).to_consensus_u32().to_le_bytes());
        engine.input(&u32::from(PEER_SIGHASH).to_le_bytes());
        Some(sha256d::Hash::from_engine(engine).to_byte_array())
    }
}

fn feed(engine: &mut sha256::HashEngine, value: &impl Encodable) {
    // Hash engines take any bytes: writing into one has no way to fail.
    let _ = value.consensus_encode(engine);
}
