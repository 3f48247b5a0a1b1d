//! `peers`.

use api::v1;

use crate::context::Context;
use crate::failure::Failure;
use crate::render::{Column, table};
use crate::resolve::{self, visible};
use crate::words;

/// Peers that are connected, or to which a connection is kept up.
#[derive(Debug, clap::Args)]
pub(crate) struct Peers {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// All of them (the same as no word at all).
    List,
    /// Say when channels with a peer are closed without asking you, and whether its fundings are trusted.
    Policy {
        /// The peer: its alias, or the beginning of its id.
        peer: String,
        /// automatic, when-money-at-risk or ask; node: as the daemon's setting says.
        #[arg(long, value_name = "WHEN", required_unless_present = "zero_conf", value_parser = ["automatic", "when-money-at-risk", "ask", "node"])]
        force_close: Option<String>,
        /// Whether channels that it opens are used before their funding is in a block. Until it is, it can
        /// take back what it paid you over them.
        #[arg(long, value_name = "WHETHER", value_parser = ["accept", "refuse"])]
        zero_conf: Option<String>,
    },
    /// Drop the connection and do not reconnect.
    Disconnect {
        /// The peer: its alias, or the beginning of its id.
        peer: String,
        /// Also when there are channels with it; they rest until it is connected again.
        #[arg(long)]
        force: bool,
    },
}

impl Peers {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        match self.what.unwrap_or(What::List) {
            What::List => list(cx).await,
            What::Policy { peer, force_close, zero_conf } => {
                policy(cx, &peer, force_close, zero_conf).await
            }
            What::Disconnect { peer, force } => disconnect(cx, &peer, force).await,
        }
    }
}

async fn list(cx: &mut Context<'_>) -> Result<(), Failure> {
    let peers = resolve::peers(cx).await?;
    let all = v1::ListPeersResponse { peers, next_page_token: String::new() };
    let now = cx.now;
    cx.screen.result(
        &all,
        |all| all.peers.iter().map(|peer| peer.node_id.clone()).collect(),
        |_, all| {
            let columns = [
                Column::Left("PEER"),
                Column::Left("ID"),
                Column::Left("ADDRESS"),
                Column::Left("STATE"),
                Column::Right("PING"),
                Column::Right("CHANNELS"),
            ];
            let rows = all.peers.iter().map(|peer| {
                let state = match peer.connected_at_ms {
                    Some(since) if peer.connected => {
                        format!("connected {}", words::age(now, since))
                    }
                    _ if peer.connected => "connected".to_owned(),
                    _ if peer.last_error.is_empty() => "away".to_owned(),
                    _ => format!("away: {}", visible(&peer.last_error)),
                };
                vec![
                    visible(&peer.alias),
                    peer.node_id.clone(),
                    peer.address.clone(),
                    state,
                    peer.ping_ms.map_or_else(String::new, |ms| format!("{ms} ms")),
                    peer.channels.to_string(),
                ]
            });
            table(
                &columns,
                rows.collect(),
                "no peers yet; connect to one: viaduct connect ID@HOST:PORT",
            )
        },
    )
}

async fn policy(
    cx: &mut Context<'_>,
    peer: &str,
    word: Option<String>,
    zero_conf: Option<String>,
) -> Result<(), Failure> {
    let node_id = resolve::peer(cx, peer).await?;
    let ask = v1::SetPeerPolicyRequest {
        idempotency_key: cx.key()?,
        node_id: node_id.clone(),
        force_close: word.filter(|word| word != "node"),
        trust_funding: zero_conf.map(|word| word == "accept"),
    };
    let send = |to: api::client::Client, ask| async move { to.node().set_peer_policy(ask).await };
    let done = cx.client.call(ask, send).await?;
    cx.screen.result(
        &done,
        |done| vec![done.force_close.clone()],
        |_, done| {
            let whose = if done.own { "its own" } else { "the node's setting" };
            let peer = resolve::short(&node_id);
            let trusted = if done.trust_funding { ", zero_conf = accept" } else { "" };
            format!("channels with {peer}: force_close = {} ({whose}){trusted}", done.force_close)
        },
    )
}

async fn disconnect(cx: &mut Context<'_>, peer: &str, force: bool) -> Result<(), Failure> {
    let node_id = resolve::peer(cx, peer).await?;
    let ask =
        v1::DisconnectPeerRequest { idempotency_key: cx.key()?, node_id: node_id.clone(), force };
    let done =
        cx.client.call(ask, |to, ask| async move { to.node().disconnect_peer(ask).await }).await?;
    cx.screen.result(
        &done,
        |_| Vec::new(),
        |_, _| format!("disconnected from {}", resolve::short(&node_id)),
    )
}
