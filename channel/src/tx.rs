//! Every transaction of a channel, computed from values. BOLT 3 § Transactions.
//!
//! A commitment has an *owner*, who can broadcast it, and an *other* side, whom it protects; each side
//! owns one and is the other on the peer's. Nothing here knows which of the two is us.
//!
//! Only one format exists: `option_static_remotekey` with `option_anchors` (channel type {12, 22}), in
//! which second-level HTLC transactions pay no fee of their own.
//!
//! Not here: keys (`keys`), signatures (`signer`), which HTLCs a commitment has (the ledger).

pub mod closing;
pub mod commitment;
pub mod fee;
pub mod htlc;
pub mod penalty;
pub mod script;
pub mod spend;
pub mod verify;

pub use closing::{CloseError, ClosingTx, LegacyClose, Payout};
pub use commitment::{
    BuildError, Commitment, CommitmentSpec, CommitmentTerms, Direction, HtlcOutput, OutputKind,
    Party, SideTerms, SpecHtlc,
};
pub use fee::trimmed;
pub use spend::{HtlcKey, Recipe, RevokedSecret, Show, Spend};
pub use verify::{Inline, SignatureFault, Workers};

use bitcoin::{OutPoint, ScriptBuf, TxOut};
use secp256k1::PublicKey;
use wire::units::Sat;

/// The output that holds the channel's coins. BOLT 3 § Funding Transaction Output.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FundingOutput {
    /// Where it is.
    pub outpoint: OutPoint,
    /// `funding_satoshis`: what both sides own together.
    pub amount: Sat,
    /// The 2-of-2 that a spender has to show.
    pub witness_script: ScriptBuf,
}

impl FundingOutput {
    /// The output at `outpoint` that the two funding keys (in any order) must sign for.
    pub fn new(outpoint: OutPoint, amount: Sat, one: &PublicKey, two: &PublicKey) -> Self {
        Self { outpoint, amount, witness_script: script::funding(one, two) }
    }

    /// The output as it stands in the funding transaction.
    pub fn to_txout(&self) -> TxOut {
        TxOut { value: self.amount, script_pubkey: self.witness_script.to_p2wsh() }
    }
}

#[cfg(test)]
pub(crate) mod tests;
