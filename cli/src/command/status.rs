//! `status`.

use api::calendar::UnixMs;
use api::v1;
use serde::Serialize;

use crate::amount::{grouped, msat, sat};
use crate::context::Context;
use crate::failure::Failure;
use crate::render::{Screen, Tone};
use crate::resolve::{self, visible};
use crate::words;

/// How the node is: network, block, peers, channels, coins, health.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// End with code 1 unless every part of the node is well; for scripts and health checks.
    #[arg(long)]
    check: bool,
}

/// All of it, as one JSON object.
#[derive(Debug, Serialize)]
struct Answer {
    info: v1::InfoResponse,
    health: v1::HealthResponse,
    wallet: v1::BalanceResponse,
    can_send_msat: u64,
    can_receive_msat: u64,
}

impl Status {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let client = &cx.client;
        let info = client
            .call(v1::InfoRequest {}, |to, ask| async move { to.node().info(ask).await })
            .await?;
        let health = client
            .call(v1::HealthRequest {}, |to, ask| async move { to.node().health(ask).await })
            .await?;
        let wallet = client
            .call(v1::BalanceRequest {}, |to, ask| async move { to.wallet().balance(ask).await })
            .await?;
        let channels = resolve::channels(cx).await?;
        let usable = || channels.iter().filter(|channel| channel.connected);
        let sum = |all: u64, more: u64| all.saturating_add(more);
        let answer = Answer {
            can_send_msat: usable().map(|channel| channel.can_send_msat).fold(0, sum),
            can_receive_msat: usable().map(|channel| channel.can_receive_msat).fold(0, sum),
            info,
            health,
            wallet,
        };
        let now = cx.now;
        let human = |screen: &Screen, answer: &Answer| human(screen, answer, now);
        cx.screen.result(&answer, |answer| vec![answer.info.node_id.clone()], human)?;
        if self.check && answer.health.state() != v1::HealthState::Ok {
            return Err(Failure::Unhealthy);
        }
        Ok(())
    }
}

fn human(screen: &Screen, answer: &Answer, now: UnixMs) -> String {
    let Answer { info, health, wallet, .. } = answer;
    let synced = if info.synced_to_chain { "synced" } else { "catching up" };
    let mut lines = vec![
        format!("{} {}", screen.paint(Tone::Strong, &visible(&info.alias)), info.node_id),
        format!("network    {}, viaduct {}", info.network, info.version),
        format!(
            "block      {}, {synced}, made {} ago",
            grouped(info.block_height.into()),
            words::age(now, info.block_made_at_ms)
        ),
        format!("peers      {} connected", info.peers_connected),
        format!(
            "channels   {} open, {} opening, {} closing",
            info.channels_open, info.channels_opening, info.channels_closing
        ),
        format!("can send   {}", msat(answer.can_send_msat)),
        format!("can get    {}", msat(answer.can_receive_msat)),
        format!("wallet     {}", super::wallet::in_words(wallet)),
    ];
    if info.forwarded_count > 0 {
        lines.push(format!(
            "forwarded  {} payments, {}; earned {}",
            grouped(info.forwarded_count),
            msat(info.forwarded_msat),
            msat(info.forward_fees_msat)
        ));
    }
    if info.channels_quarantined > 0 {
        let count = info.channels_quarantined;
        let words = format!("QUARANTINE {count} channels: this may be an older copy of the data");
        lines.push(screen.paint(Tone::Warn, &words));
    }
    for address in &info.addresses {
        lines.push(format!("reached at {}@{address}", info.node_id));
    }
    let tone = if health.state() == v1::HealthState::Ok { Tone::Good } else { Tone::Warn };
    lines.push(format!("health     {}", screen.paint(tone, words::health(health.state()))));
    for part in health.parts.iter().filter(|part| part.state() != v1::HealthState::Ok) {
        let state = screen.paint(Tone::Warn, words::health(part.state()));
        lines.push(format!("  {} {state}: {}", part.name, part.detail));
        if !part.remedy.is_empty() {
            lines.push(format!("    {}", part.remedy));
        }
    }
    if wallet.spendable_sat == 0 && info.channels_open == 0 && info.network == "sandbox" {
        lines.push(format!("no coins yet: viaduct sandbox faucet gives {}", sat(50_000_000)));
    }
    lines.join("\n")
}
