//! `graph`.

use std::path::PathBuf;

use api::v1;

use crate::amount::{grouped, sat};
use crate::context::Context;
use crate::failure::Failure;
use crate::render::{Column, table};
use crate::resolve::{named, short, visible};

/// The network as gossip shows it.
#[derive(Debug, clap::Args)]
pub(crate) struct Graph {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// How large it is.
    Info,
    /// Its nodes.
    Nodes {
        /// How many to show.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Where to go on: a node id.
        #[arg(long, default_value = "")]
        from: String,
    },
    /// Its channels.
    Channels {
        /// How many to show.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Where to go on: a short channel id.
        #[arg(long, default_value = "")]
        from: String,
    },
    /// One node with its channels.
    Node {
        /// Its public key.
        node: String,
    },
    /// One channel.
    Channel {
        /// Its short channel id, as 102x1x0.
        channel: String,
    },
    /// What payments taught of channels' liquidity.
    #[command(subcommand)]
    Scores(Scores),
}

#[derive(Debug, clap::Subcommand)]
enum Scores {
    /// Writes it to a file.
    Export {
        /// Which file.
        file: PathBuf,
    },
    /// Takes over what another node wrote, where it is newer.
    Import {
        /// Which file.
        file: PathBuf,
    },
}

impl Graph {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        match self.what {
            None | Some(What::Info) => info(cx).await,
            Some(What::Nodes { limit, from }) => nodes(cx, limit, from).await,
            Some(What::Channels { limit, from }) => channels(cx, limit, from).await,
            Some(What::Node { node }) => one_node(cx, node).await,
            Some(What::Channel { channel }) => one_channel(cx, channel).await,
            Some(What::Scores(Scores::Export { file })) => export(cx, file).await,
            Some(What::Scores(Scores::Import { file })) => import(cx, file).await,
        }
    }
}

async fn info(cx: &mut Context<'_>) -> Result<(), Failure> {
    let ask = v1::GraphInfoRequest {};
    let info = cx.client.call(ask, |to, ask| async move { to.graph().info(ask).await }).await?;
    cx.screen.result(
        &info,
        |_| Vec::new(),
        |_, info| {
            format!(
                "{} nodes, {} channels, {} in them, {} kB of memory",
                grouped(info.nodes),
                grouped(info.channels),
                sat(info.capacity_sat),
                grouped(info.memory_bytes / 1_000)
            )
        },
    )
}

async fn nodes(cx: &mut Context<'_>, limit: u32, from: String) -> Result<(), Failure> {
    let ask = v1::ListGraphNodesRequest { page_size: limit, page_token: from, order: 0 };
    let send = |to: api::client::Client, ask| async move { to.graph().list_nodes(ask).await };
    let page = cx.client.call(ask, send).await?;
    cx.screen.result(
        &page,
        |page| page.nodes.iter().map(|one| one.node_id.clone()).collect(),
        |_, page| {
            let columns = [Column::Left("NODE"), Column::Left("ALIAS"), Column::Right("CHANNELS")];
            let rows = page.nodes.iter().map(|one| {
                vec![one.node_id.clone(), visible(&one.alias), one.channels.to_string()]
            });
            let shown = table(&columns, rows.collect(), "no nodes are known");
            more(shown, "nodes", &page.next_page_token)
        },
    )
}

async fn channels(cx: &mut Context<'_>, limit: u32, from: String) -> Result<(), Failure> {
    let ask = v1::ListGraphChannelsRequest { page_size: limit, page_token: from, order: 0 };
    let send = |to: api::client::Client, ask| async move { to.graph().list_channels(ask).await };
    let page = cx.client.call(ask, send).await?;
    cx.screen.result(
        &page,
        |page| page.channels.iter().map(|one| one.short_channel_id.clone()).collect(),
        |_, page| more(rows(&page.channels), "channels", &page.next_page_token),
    )
}

fn more(shown: String, what: &str, next: &str) -> String {
    if next.is_empty() {
        shown
    } else {
        format!("{shown}\nMore: viaduct graph {what} --from {next}")
    }
}

fn rows(channels: &[v1::GraphChannel]) -> String {
    let columns = [
        Column::Left("CHANNEL"),
        Column::Left("FROM"),
        Column::Left("TO"),
        Column::Right("SAT"),
        Column::Left("FEES"),
        Column::Left("FEES BACK"),
    ];
    let rows = channels.iter().map(|one| {
        vec![
            one.short_channel_id.clone(),
            short(&one.node1),
            short(&one.node2),
            one.capacity_sat.map_or_else(String::new, grouped),
            policy(one.policy1.as_ref()),
            policy(one.policy2.as_ref()),
        ]
    });
    table(&columns, rows.collect(), "no channels are known")
}

fn policy(policy: Option<&v1::GraphPolicy>) -> String {
    match policy {
        None => "unknown".to_owned(),
        Some(policy) if !policy.enabled => "disabled".to_owned(),
        Some(policy) => format!(
            "{} msat + {} ppm, {} blocks",
            policy.fee_base_msat, policy.fee_ppm, policy.cltv_delta
        ),
    }
}

async fn one_node(cx: &mut Context<'_>, node_id: String) -> Result<(), Failure> {
    let ask = v1::GetGraphNodeRequest { node_id };
    let found =
        cx.client.call(ask, |to, ask| async move { to.graph().get_node(ask).await }).await?;
    cx.screen.result(
        &found,
        |found| found.channels.iter().map(|one| one.short_channel_id.clone()).collect(),
        |_, found| {
            let node = found.node.clone().unwrap_or_default();
            let head = format!("{}, {} channels", named(&node.alias, &node.node_id), node.channels);
            format!("{head}\n{}\n{}", node.node_id, rows(&found.channels))
        },
    )
}

async fn one_channel(cx: &mut Context<'_>, id: String) -> Result<(), Failure> {
    let ask = v1::GetGraphChannelRequest { short_channel_id: id };
    let send = |to: api::client::Client, ask| async move { to.graph().get_channel(ask).await };
    let found = cx.client.call(ask, send).await?;
    cx.screen.result(
        &found,
        |found| vec![found.short_channel_id.clone()],
        |_, found| rows(std::slice::from_ref(found)),
    )
}

async fn export(cx: &mut Context<'_>, file: PathBuf) -> Result<(), Failure> {
    let ask = v1::ExportScoresRequest {};
    let send = |to: api::client::Client, ask| async move { to.graph().export_scores(ask).await };
    let found = cx.client.call(ask, send).await?;
    std::fs::write(&file, &found.file)?;
    cx.screen.done(&format!("wrote what {} channels taught", grouped(found.channels)))
}

async fn import(cx: &mut Context<'_>, file: PathBuf) -> Result<(), Failure> {
    let idempotency_key = cx.key.clone().unwrap_or_default();
    let ask = v1::ImportScoresRequest { idempotency_key, file: std::fs::read(&file)? };
    let send = |to: api::client::Client, ask| async move { to.graph().import_scores(ask).await };
    let found = cx.client.call(ask, send).await?;
    cx.screen.done(&format!("something is known of {} channels now", grouped(found.channels)))
}
