//! The verbs, one file each: parse, one call, render.

pub(crate) mod backup;
pub(crate) mod bump;
pub(crate) mod channels;
pub(crate) mod close;
pub(crate) mod completions;
pub(crate) mod connect;
pub(crate) mod demo;
pub(crate) mod events;
pub(crate) mod forwards;
pub(crate) mod graph;
pub(crate) mod invoice;
pub(crate) mod keysend;
pub(crate) mod open;
pub(crate) mod outputs;
mod parts;
pub(crate) mod pay;
pub(crate) mod payments;
pub(crate) mod peers;
pub(crate) mod route;
pub(crate) mod sandbox;
pub(crate) mod status;
pub(crate) mod tower;
pub(crate) mod wallet;
pub(crate) mod why;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use crate::context::Context;
use crate::failure::Failure;

/// Every verb that speaks to a node. Its words for the manual are at each.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum NodeCommand {
    #[command(alias = "getinfo")]
    Status(status::Status),
    #[command(alias = "walletbalance")]
    Wallet(wallet::Wallet),
    #[command(alias = "listpeers")]
    Peers(peers::Peers),
    Connect(connect::Connect),
    #[command(alias = "listchannels")]
    Channels(channels::Channels),
    #[command(alias = "openchannel")]
    Open(open::Open),
    #[command(alias = "closechannel")]
    Close(close::Close),
    #[command(alias = "bumpfee")]
    Bump(bump::Bump),
    #[command(alias = "payinvoice")]
    Pay(pay::Pay),
    #[command(alias = "sendkeysend")]
    Keysend(keysend::Keysend),
    #[command(alias = "addinvoice")]
    Invoice(invoice::Invoice),
    #[command(alias = "listpayments")]
    Payments(payments::Payments),
    #[command(alias = "fwdinghistory")]
    Forwards(forwards::Forwards),
    #[command(alias = "describegraph")]
    Graph(graph::Graph),
    #[command(alias = "queryroutes")]
    Route(route::Route),
    Events(events::Events),
    Why(why::Why),
    Backup(backup::Backup),
    #[command(alias = "wtclient")]
    Tower(tower::Tower),
}

impl NodeCommand {
    /// What needs no node, if that was asked for.
    pub(crate) const fn offline(&self) -> Option<&tower::VerifyProof> {
        if let Self::Tower(command) = self { command.offline() } else { None }
    }

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
            Self::Bump(command) => command.run(cx).await,
            Self::Pay(command) => command.run(cx).await,
            Self::Keysend(command) => command.run(cx).await,
            Self::Invoice(command) => command.run(cx).await,
            Self::Payments(command) => command.run(cx).await,
            Self::Forwards(command) => command.run(cx).await,
            Self::Graph(command) => command.run(cx).await,
            Self::Route(command) => command.run(cx).await,
            Self::Events(command) => command.run(cx).await,
            Self::Why(command) => command.run(cx).await,
            Self::Backup(command) => command.run(cx).await,
            Self::Tower(command) => command.run(cx).await,
        }
    }
}
