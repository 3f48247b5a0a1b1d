//! Making transactions out of our coins: which coins, which fee, and why not.

use std::sync::Arc;

use bdk_wallet::coin_selection::LargestFirstCoinSelection;
use bdk_wallet::error::CreateTxError;
use bdk_wallet::{KeychainKind, TxOrdering};
use bitcoin::{Amount, FeeRate, OutPoint, Psbt, ScriptBuf, Transaction, TxIn, TxOut};
use wire::units::FeeratePerKw;

use super::book::{BookChange, Promise, PromiseId};
use super::view::anchor_reserve;
use super::{Wallet, WalletFact};
use crate::rpc::model::UnixMillis;
use crate::rpc::model::wallet::{Coins, SetAside};
use crate::rpc::refusal::{Refusal, Shortage};

/// The highest feerate a transaction of ours may have: 1 000 sat/vB. More is a slip of the keyboard.
pub(super) const FEERATE_MAX: FeeratePerKw = FeeratePerKw(250_000);

/// Why a transaction was not made. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WalletRefusal {
    /// Not enough coins.
    #[error("{0}")]
    Short(Shortage),
    /// The output would be dust.
    #[error("{amount} is below the dust limit of {dust}")]
    BelowDust {
        /// What was asked.
        amount: Amount,
        /// The least that the network relays.
        dust: Amount,
    },
    /// A feerate nobody can mean.
    #[error("feerate of {} sat per 1000 weight is outside {} to {}", .given.0, FeeratePerKw::FLOOR.0, FEERATE_MAX.0)]
    FeerateOutOfRange {
        /// What was asked.
        given: FeeratePerKw,
    },
    /// That name is taken by another promise.
    #[error("coins are promised under that name already")]
    PromiseExists,
    /// The books disagree: a coin we chose cannot be signed for.
    #[error("the wallet cannot sign for its own coin")]
    CannotSign,
    /// The books disagree in another way.
    #[error("the wallet cannot build on its own coins")]
    CannotBuild,
}

impl From<WalletRefusal> for Refusal {
    fn from(refusal: WalletRefusal) -> Self {
        match refusal {
            WalletRefusal::Short(shortage) => Self::ShortOfFunds(shortage),
            WalletRefusal::BelowDust { amount, dust } => Self::BelowDust { amount, dust },
            WalletRefusal::FeerateOutOfRange { given } => {
                Self::FeerateOutOfRange { given, min: FeeratePerKw::FLOOR, max: FEERATE_MAX }
            }
            WalletRefusal::PromiseExists => Self::WalletInconsistent { what: "promise" },
            WalletRefusal::CannotSign => Self::WalletInconsistent { what: "signing" },
            WalletRefusal::CannotBuild => Self::WalletInconsistent { what: "coin selection" },
        }
    }
}

/// What to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spend {
    /// Who gets it.
    pub to: ScriptBuf,
    /// How much.
    pub coins: Coins,
    /// How much to the miners.
    pub feerate: FeeratePerKw,
    /// How many anchor channels must be able to bump their fees afterwards, a new one included.
    pub anchor_channels: u32,
}

/// A signed transaction of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FundedTx {
    /// The transaction; unsigned if it was only planned.
    pub tx: Transaction,
    /// Which output is the one asked for.
    pub output_index: u32,
    /// What it holds.
    pub amount: Amount,
    /// What the miners get.
    pub fee: Amount,
}

impl Wallet {
    /// What [`Self::promise`] would make, unsigned; nothing changes.
    ///
    /// # Errors
    /// [`WalletRefusal`].
    pub fn plan(&mut self, spend: &Spend) -> Result<FundedTx, WalletRefusal> {
        let (psbt, funded) = self.draft(spend)?;
        Ok(FundedTx { tx: psbt.unsigned_tx, ..funded })
    }

    /// Makes and signs a transaction, and promises its coins to it, so that nothing else spends them
    /// until it is broadcast ([`Self::broadcast`]) or given up ([`Self::release`]).
    ///
    /// # Errors
    /// [`WalletRefusal`]; nothing changed.
    pub fn promise(
        &mut self,
        id: PromiseId,
        purpose: SetAside,
        spend: &Spend,
        now: UnixMillis,
    ) -> Result<(FundedTx, WalletFact), WalletRefusal> {
        if self.book.promise(id).is_some() {
            return Err(WalletRefusal::PromiseExists);
        }
        let (psbt, funded) = self.draft(spend)?;
        let tx = self.keys.sign(psbt, self.bdk.secp_ctx()).ok_or(WalletRefusal::CannotSign)?;
        self.reveal_change(&tx);
        let promised = BookChange::Promised(Promise { id, purpose, tx: tx.clone() });
        Ok((FundedTx { tx, ..funded }, self.fact(now, vec![promised])))
    }

    fn draft(&mut self, spend: &Spend) -> Result<(Psbt, FundedTx), WalletRefusal> {
        if spend.feerate < FeeratePerKw::FLOOR || spend.feerate > FEERATE_MAX {
            return Err(WalletRefusal::FeerateOutOfRange { given: spend.feerate });
        }
        if let Coins::Exactly(amount) = spend.coins {
            let dust = spend.to.minimal_non_dust();
            if amount < dust {
                return Err(WalletRefusal::BelowDust { amount, dust });
            }
        }
        let change = self
            .bdk
            .peek_address(
                KeychainKind::Internal,
                self.bdk.next_derivation_index(KeychainKind::Internal),
            )
            .script_pubkey();
        let psbt = self.build(spend, &change)?;
        let funded = self.read_draft(spend, &psbt)?;
        self.check_reserve(spend, &psbt, &funded, &change)?;
        Ok((psbt, funded))
    }

    fn build(&mut self, spend: &Spend, change: &ScriptBuf) -> Result<Psbt, WalletRefusal> {
        let reserve = anchor_reserve(spend.anchor_channels);
        let unspendable = self.unspendable();
        let mut builder = self.bdk.build_tx().coin_selection(LargestFirstCoinSelection);
        builder
            .fee_rate(FeeRate::from_sat_per_kwu(u64::from(spend.feerate.0)))
            .unspendable(unspendable)
            .ordering(by_value());
        match spend.coins {
            Coins::Exactly(amount) => {
                builder.add_recipient(spend.to.clone(), amount).drain_to(change.clone());
            }
            Coins::All => {
                builder.drain_wallet().drain_to(spend.to.clone());
                if reserve > Amount::ZERO {
                    builder.add_recipient(change.clone(), reserve);
                }
            }
        }
        builder.finish().map_err(|error| {
            let CreateTxError::CoinSelection(short) = error else {
                return WalletRefusal::CannotBuild;
            };
            // With everything asked for, what is kept back is no part of what is needed.
            let kept = if spend.coins == Coins::All { reserve } else { Amount::ZERO };
            let need = short.needed.checked_sub(kept).unwrap_or(short.needed);
            WalletRefusal::Short(self.shortage(need, spend.anchor_channels))
        })
    }

    /// Finds the output that was asked for, and the fee.
    fn read_draft(&self, spend: &Spend, psbt: &Psbt) -> Result<FundedTx, WalletRefusal> {
        let tx = &psbt.unsigned_tx;
        let fee = psbt.fee().map_err(|_| WalletRefusal::CannotBuild)?;
        let asked = |out: &&(u32, &TxOut)| {
            out.1.script_pubkey == spend.to
                && match spend.coins {
                    Coins::Exactly(amount) => out.1.value == amount,
                    Coins::All => true,
                }
        };
        let outputs: Vec<(u32, &TxOut)> = (0_u32..).zip(&tx.output).collect();
        let Some((output_index, output)) = outputs.iter().find(asked) else {
            // Everything went into the fee and what is kept back.
            let need = fee.checked_add(spend.to.minimal_non_dust()).unwrap_or(fee);
            return Err(WalletRefusal::Short(self.shortage(need, spend.anchor_channels)));
        };
        Ok(FundedTx { tx: tx.clone(), output_index: *output_index, amount: output.value, fee })
    }

    /// Refuses to go below what anchor channels need to get their commitments confirmed.
    fn check_reserve(
        &self,
        spend: &Spend,
        psbt: &Psbt,
        funded: &FundedTx,
        change: &ScriptBuf,
    ) -> Result<(), WalletRefusal> {
        let taken: Vec<OutPoint> =
            psbt.unsigned_tx.input.iter().map(|input| input.previous_output).collect();
        let left = self.free_coins().filter(|coin| !taken.contains(&coin.outpoint));
        let back = psbt.unsigned_tx.output.iter().filter(|out| out.script_pubkey == *change);
        let after: Amount =
            left.map(|coin| coin.txout.value).chain(back.map(|out| out.value)).sum();
        if after >= anchor_reserve(spend.anchor_channels) {
            return Ok(());
        }
        let need = funded.amount.checked_add(funded.fee).unwrap_or(Amount::MAX_MONEY);
        Err(WalletRefusal::Short(self.shortage(need, spend.anchor_channels)))
    }

    fn reveal_change(&mut self, tx: &Transaction) {
        let next = self.bdk.next_derivation_index(KeychainKind::Internal);
        let change = self.bdk.peek_address(KeychainKind::Internal, next).script_pubkey();
        if tx.output.iter().any(|out| out.script_pubkey == change) {
            for info in self.bdk.reveal_addresses_to(KeychainKind::Internal, next) {
                debug_assert_eq!(info.index, next, "one address at a time");
            }
        }
    }
}

/// Inputs and outputs in an order that tells nothing and is the same every time.
fn by_value() -> TxOrdering {
    TxOrdering::Custom {
        input_sort: Arc::new(|a: &TxIn, b: &TxIn| a.previous_output.cmp(&b.previous_output)),
        output_sort: Arc::new(|a: &TxOut, b: &TxOut| {
            (a.value, &a.script_pubkey).cmp(&(b.value, &b.script_pubkey))
        }),
    }
}
