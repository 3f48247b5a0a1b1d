//! The verbs, one file each: parse, one call, render.

pub(crate) mod channels;
pub(crate) mod close;
pub(crate) mod completions;
pub(crate) mod connect;
pub(crate) mod demo;
pub(crate) mod events;
pub(crate) mod invoice;
pub(crate) mod open;
pub(crate) mod pay;
pub(crate) mod payments;
pub(crate) mod peers;
pub(crate) mod sandbox;
pub(crate) mod status;
pub(crate) mod wallet;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use crate::context::Context;
use crate::failure::Failure;

/// Every verb that speaks to a node.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum NodeCommand {
    /// How the node is: network, block, peers, channels, coins, health.
    #[command(alias = "getinfo")]
    Status(status::Status),
    /// Coins on the chain: balance, addresses, sending.
    #[command(alias = "walletbalance")]
    Wallet(wallet::Wallet),
    /// Peers that are connected, or to which a connection is kept up.
    #[command(alias = "listpeers")]
    Peers(peers::Peers),
    /// Connect to a peer, and stay connected.
    Connect(connect::Connect),
    /// Channels: what is yours, what can be sent and received.
    #[command(alias = "listchannels")]
    Channels(channels::Channels),
    /// Open a channel: lock coins with a peer, then pay each other off the chain.
    #[command(alias = "openchannel")]
    Open(open::Open),
    /// Close a channel: bring the coins back to the chain.
    #[command(alias = "closechannel")]
    Close(close::Close),
    /// Pay an invoice.
    #[command(alias = "payinvoice")]
    Pay(pay::Pay),
    /// Make an invoice to be paid; list, watch and cancel invoices; read anybody's.
    #[command(alias = "addinvoice")]
    Invoice(invoice::Invoice),
    /// Payments that were made.
    #[command(alias = "listpayments")]
    Payments(payments::Payments),
    /// Watch what happens, as it happens.
    Events(events::Events),
}

impl NodeCommand {
    /// Does it.
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        match self {
            Self::Status(command) => command.run(cx).await,
            Self::Wallet(command) => command.run(cx).await,
            Self::Peers(command) => command.run(cx).await,
            Self::Connect(command) => command.run(cx).await,
            Self::Channels(command) => command.run(cx).await,
            Self::Open(command) => command.run(cx).await,
            Self::Close(command) => command.run(cx).await,
            Self::Pay(command) => command.run(cx).await,
            Self::Invoice(command) => command.run(cx).await,
            Self::Payments(command) => command.run(cx).await,
            Self::Events(command) => command.run(cx).await,
        }
    }
}
