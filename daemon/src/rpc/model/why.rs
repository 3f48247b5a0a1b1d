//! Why a channel or a payment is where it is: causes in order, and what is still waited for.

use bitcoin::{Amount, OutPoint, Txid};
use wire::id::{ChannelId, NodeId, PaymentHash};
use wire::units::BlockHeight;

use super::UnixMillis;
use super::channel::Channel;

/// One link of a chain of causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The journal record that says so.
    pub seq: u64,
    /// When it was decided, if the record says.
    pub at: Option<UnixMillis>,
    /// The height of the best chain then, or of the block it is about.
    pub height: Option<BlockHeight>,
    /// What kind of thing happened, for programs: a word of a closed list.
    pub code: &'static str,
    /// What happened, as a sentence.
    pub text: String,
    /// The transaction it is about.
    pub txid: Option<Txid>,
    /// What it moved.
    pub amount: Option<Amount>,
    /// What it cost.
    pub fee: Option<Amount>,
}

/// Something that is still to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// What, as a sentence.
    pub text: String,
    /// Until which height.
    pub until: Option<BlockHeight>,
    /// What it will bring.
    pub amount: Option<Amount>,
    /// The output it is about.
    pub outpoint: Option<OutPoint>,
}

/// Why a channel is where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelWhy {
    /// Its id.
    pub id: ChannelId,
    /// With whom.
    pub node: NodeId,
    /// The channel as it is now, unless it was forgotten.
    pub channel: Option<Channel>,
    /// The cause in one sentence.
    pub summary: String,
    /// The force-close policy that holds for the channel now.
    pub policy: &'static str,
    /// What happened, oldest first.
    pub steps: Vec<Step>,
    /// How many steps were left out behind the first ones.
    pub left_out: u32,
    /// What is still to come.
    pub waiting: Vec<Wait>,
    /// What the end cost us so far, as far as it is known.
    pub cost: Amount,
    /// What came home so far, as far as it is known.
    pub home: Amount,
}

/// Why a payment is where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentWhy {
    /// Which.
    pub hash: PaymentHash,
    /// How it stands: `in-flight`, `succeeded` or `failed`.
    pub status: &'static str,
    /// The cause in one sentence.
    pub summary: String,
    /// What happened, oldest first.
    pub steps: Vec<Step>,
    /// What is still to come.
    pub waiting: Vec<Wait>,
}
