//! The transaction that both sides want: balances out, channel gone. BOLT 3 § Legacy Closing
//! Transaction.
//!
//! Not here: agreeing on the fee (the closing phase).

#[cfg(test)]
mod tests;

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Script, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use secp256k1::PublicKey;
use thiserror::Error;
use wire::id::Signature;
use wire::units::{Msat, Sat};

use super::FundingOutput;
use super::commitment::funding_digest;
use super::verify::{SignatureFault, verify};
use crate::clock::Side;

/// Weight of a closing transaction before its outputs, with its witness of at most 222 bytes.
const BASE_WEIGHT: u64 = 4 * (10 + 41) + 2 + 222;

/// What one side gets, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Payout {
    /// `scriptpubkey` of its `shutdown`.
    pub script: ScriptBuf,
    /// Its final balance.
    pub balance: Msat,
}

/// Why a close cannot be built like this.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum CloseError {
    /// The two balances are not what the funding output holds; a bug on our side.
    #[error("final balances add up to {balances_msat} msat, the channel holds {funding_msat} msat")]
    NotConserved {
        /// Both balances.
        balances_msat: u64,
        /// What there is to divide.
        funding_msat: u64,
    },
    /// The funder does not have the fee.
    #[error("the funder has {balance} left and cannot pay a fee of {fee}")]
    FeeAboveBalance {
        /// The fee.
        fee: Sat,
        /// The funder's balance in whole satoshis.
        balance: Sat,
    },
    /// Both outputs are too small to make.
    #[error("nothing is left to pay out")]
    NoOutput,
}

/// A close to agree on: everything but the fee.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LegacyClose {
    /// What it spends.
    pub funding: FundingOutput,
    /// What we get.
    pub ours: Payout,
    /// What they get.
    pub theirs: Payout,
    /// Who pays the fee.
    pub funder: Side,
}

impl LegacyClose {
    /// The transaction with this fee, as a side whose `dust_limit` this is makes it; `omit` leaves out
    /// the output of a side that does not want it.
    pub fn build(
        &self,
        fee: Sat,
        dust_limit: Sat,
        omit: Option<Side>,
    ) -> Result<ClosingTx, CloseError> {
        self.check_conserved()?;
        let mut outputs = Vec::with_capacity(2);
        for (side, payout) in [(Side::Us, &self.ours), (Side::Them, &self.theirs)] {
            // BOLT 3: "MUST round each output down to whole satoshis."
            let balance = payout.balance.floor_sat();
            // BOLT 3: "MUST subtract the fee given by `fee_satoshis` from the output to the funder."
            let charge = if side == self.funder { fee } else { Sat::ZERO };
            let value = (balance.checked_sub(charge))
                .ok_or(CloseError::FeeAboveBalance { fee, balance })?;
            // BOLT 3: "MUST remove any output below its own `dust_limit_satoshis`."
            if value >= dust_limit && omit != Some(side) {
                outputs.push(TxOut { value, script_pubkey: payout.script.clone() });
            }
        }
        if outputs.is_empty() {
            return Err(CloseError::NoOutput);
        }
        outputs.sort_by(|a, b| {
            (a.value, a.script_pubkey.as_bytes()).cmp(&(b.value, b.script_pubkey.as_bytes()))
        });
        Ok(ClosingTx::new(&self.funding, outputs))
    }

    /// Every transaction that the peer may have signed with this fee: it leaves out what is dust to it
    /// or to us, and may leave out its own output.
    pub fn candidates(&self, fee: Sat, our_dust: Sat, their_dust: Sat) -> Vec<ClosingTx> {
        let mut candidates: Vec<ClosingTx> = Vec::with_capacity(4);
        for dust_limit in [their_dust, our_dust] {
            for omit in [None, Some(Side::Them)] {
                let Ok(close) = self.build(fee, dust_limit, omit) else { continue };
                if candidates.iter().all(|known| known.txid != close.txid) {
                    candidates.push(close);
                }
            }
        }
        candidates
    }

    /// What it weighs with both outputs, at most.
    pub fn weight(&self) -> u64 {
        let output = |script: &Script| {
            let bytes = u64::try_from(script.len()).unwrap_or(u64::MAX);
            bytes.saturating_add(9).saturating_mul(4)
        };
        BASE_WEIGHT
            .saturating_add(output(&self.ours.script))
            .saturating_add(output(&self.theirs.script))
    }

    fn check_conserved(&self) -> Result<(), CloseError> {
        let funding_msat = self.funding.amount.to_sat().saturating_mul(1_000);
        let (ours, theirs) = (self.ours.balance.to_u64(), self.theirs.balance.to_u64());
        let balances_msat = ours.saturating_add(theirs);
        if balances_msat == funding_msat {
            Ok(())
        } else {
            Err(CloseError::NotConserved { balances_msat, funding_msat })
        }
    }
}

/// A closing transaction without signatures.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClosingTx {
    funding: FundingOutput,
    tx: Transaction,
    txid: Txid,
}

impl ClosingTx {
    fn new(funding: &FundingOutput, output: Vec<TxOut>) -> Self {
        let tx = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: funding.outpoint,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::MAX,
                witness: Witness::new(),
            }],
            output,
        };
        let txid = tx.compute_txid();
        Self { funding: funding.clone(), tx, txid }
    }

    /// The funding output it spends.
    pub const fn funding(&self) -> &FundingOutput {
        &self.funding
    }

    /// The transaction, without witness.
    pub const fn tx(&self) -> &Transaction {
        &self.tx
    }

    /// Its id, which no signature changes.
    pub const fn txid(&self) -> Txid {
        self.txid
    }

    /// What both funding keys sign.
    pub fn digest(&self) -> [u8; 32] {
        funding_digest(&self.tx, &self.funding)
    }

    /// Checks a signature, low S included.
    pub fn verify(&self, key: &PublicKey, signature: &Signature) -> Result<(), SignatureFault> {
        verify(key, &self.digest(), signature)
    }

    /// The transaction with both signatures, ready to broadcast.
    pub fn into_signed(
        self,
        one: (&PublicKey, &Signature),
        two: (&PublicKey, &Signature),
    ) -> Result<Transaction, SignatureFault> {
        let witness = self.funding.witness(one, two)?;
        let mut tx = self.tx;
        if let Some(input) = tx.input.first_mut() {
            input.witness = witness;
        }
        Ok(tx)
    }
}
