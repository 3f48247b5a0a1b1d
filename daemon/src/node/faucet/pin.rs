//! A pin: the largest child that fits, paying the least that is relayed. Whoever wants to replace its parent
//! pays for all of it (BIP 125, rule 3).
//!
//! What it makes is left alone afterwards: nothing else may stand on it.

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, Sequence, Transaction, TxIn, TxOut};

use super::{Faucet, refused, script};
use crate::payments::Reply;
use crate::rpc::refusal::Refusal;

/// Virtual bytes of parent and child together: below what a chain in the mempool may have.
const TOGETHER: u64 = 96_000;
/// Virtual bytes of everything but the outputs, witnesses included, at most.
const INPUTS: u64 = 400;
/// Virtual bytes of an output.
const OUTPUT: u64 = 31;
/// What each output holds.
const EACH: Amount = Amount::from_sat(1_000);

/// An output that the pin spends.
#[derive(Clone, Debug)]
pub(in crate::node) struct Target {
    /// Where it is.
    pub(in crate::node) outpoint: OutPoint,
    /// What it is.
    pub(in crate::node) output: TxOut,
}

/// Asks for a pin.
#[derive(Debug)]
pub(in crate::node) struct Pin {
    /// What it spends; whoever owns that signs afterwards, unless it is the faucet's.
    pub(in crate::node) target: Target,
    /// How large the transaction is that it stands on.
    pub(in crate::node) parent_vsize: u64,
    /// Answered with the transaction.
    pub(in crate::node) reply: Reply<Made>,
}

/// A pin.
#[derive(Debug)]
pub(in crate::node) struct Made {
    /// The transaction; its first input is the target.
    pub(in crate::node) tx: Transaction,
    /// What it pays.
    pub(in crate::node) fee: Amount,
}

/// An output of `tx` that is the faucet's.
pub(in crate::node) fn own_output(tx: &Transaction) -> Option<Target> {
    let ours = script();
    let (vout, output) = (0_u32..).zip(&tx.output).find(|(_, out)| out.script_pubkey == ours)?;
    let outpoint = OutPoint { txid: tx.compute_txid(), vout };
    Some(Target { outpoint, output: output.clone() })
}

impl Faucet {
    pub(super) async fn pin(
        &mut self,
        target: &Target,
        parent_vsize: u64,
    ) -> Result<Made, Refusal> {
        self.look().await?;
        let fees = self.chain.fees().await.map_err(|error| refused(&error.to_string()))?;
        let room = TOGETHER.saturating_sub(parent_vsize).saturating_sub(INPUTS);
        let count = room.checked_div(OUTPUT).unwrap_or(0);
        let vsize = count.saturating_mul(OUTPUT).saturating_add(INPUTS);
        let fee = fees.floor().fee_vb(vsize).unwrap_or(Amount::MAX_MONEY);
        let paid = Amount::from_sat(count.saturating_mul(EACH.to_sat()));
        let needed = paid.checked_add(fee).unwrap_or(Amount::MAX_MONEY);
        let coins = self.coins_for(needed).await?;
        for coin in &coins {
            self.coins.remove(coin);
        }
        let input = |outpoint: OutPoint| TxIn {
            previous_output: outpoint,
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            ..TxIn::default()
        };
        let sum = coins.iter().fold(target.output.value, |sum, coin| {
            sum.checked_add(coin.0).unwrap_or(Amount::MAX_MONEY)
        });
        let change = sum.checked_sub(needed).unwrap_or(Amount::ZERO);
        let count = usize::try_from(count).unwrap_or(0);
        let mut output = vec![TxOut { value: EACH, script_pubkey: self.script.clone() }; count];
        output.push(TxOut { value: change, script_pubkey: self.script.clone() });
        let inputs = std::iter::once(target.outpoint).chain(coins.iter().map(|coin| coin.1));
        let mut tx = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: inputs.map(input).collect(),
            output,
        };
        if target.output.script_pubkey == self.script {
            let own = (target.output.value, target.outpoint);
            let all: Vec<_> = std::iter::once(own).chain(coins).collect();
            self.sign(&mut tx, 0, &all);
        } else {
            self.sign(&mut tx, 1, &coins);
        }
        Ok(Made { tx, fee })
    }
}
