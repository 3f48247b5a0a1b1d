//! `channels`.

mod policy;

use api::client::Client;
use api::v1;
use tonic::Status;

use crate::amount::{grouped, msat, msat_bare, sat};
use crate::command::outputs;
use crate::context::{Context, Heard};
use crate::failure::Failure;
use crate::render::{Column, Screen, Tone, table};
use crate::resolve::{self, named, short, visible};
use crate::words;

/// Cells of the bar that shows whose coins they are.
const BAR: u64 = 20;

/// Channels: what is yours, what can be sent and received.
#[derive(Debug, clap::Args)]
pub(crate) struct Channels {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// All that are not closed (the same as no word at all).
    List,
    /// Everything about one channel.
    Show {
        /// The channel: its id or short id, a beginning of it, or the peer's alias.
        channel: String,
    },
    /// Watch a channel until it is open, or until it is closed.
    Watch {
        /// The channel: its id or short id, a beginning of it, or the peer's alias.
        channel: String,
    },
    /// What a channel asks of those who forward over it: see it or change it.
    Policy(policy::Policy),
    /// End a channel's quarantine by hand: only if you KNOW that the data are not an older copy.
    ///
    /// A channel is in quarantine because its data may be older than what the peer knows. If they are, the
    /// next close broadcasts a revoked state, and the peer takes EVERYTHING in the channel. Connecting to
    /// the peer ends a quarantine without that risk; do this only for a peer that never comes back.
    Trust {
        /// The channel: its id or short id, a beginning of it, or the peer's alias.
        channel: String,
        /// Says that you have read the above.
        #[arg(long, required = true)]
        i_may_lose_everything_in_it: bool,
    },
    /// Closed channels, newest first, with the reason.
    #[command(alias = "closedchannels")]
    Closed {
        /// How many to show.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
}

impl Channels {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        match self.what.unwrap_or(What::List) {
            What::List => list(cx).await,
            What::Show { channel } => show(cx, &channel).await,
            What::Watch { channel } => watch(cx, &channel).await,
            What::Policy(command) => command.run(cx).await,
            What::Trust { channel, i_may_lose_everything_in_it } => {
                trust(cx, &channel, i_may_lose_everything_in_it).await
            }
            What::Closed { limit } => closed(cx, limit).await,
        }
    }
}

/// Where a channel is: its short id, or the beginning of its id before it has one.
pub(super) fn place(channel: &v1::Channel) -> String {
    channel.short_channel_id.clone().unwrap_or_else(|| short(&channel.channel_id))
}

async fn list(cx: &mut Context<'_>) -> Result<(), Failure> {
    let channels = resolve::channels(cx).await?;
    let all = v1::ListChannelsResponse { channels, next_page_token: String::new() };
    cx.screen.result(
        &all,
        |all| all.channels.iter().map(|channel| channel.channel_id.clone()).collect(),
        |screen, all| {
            let columns = [
                Column::Left("PEER"),
                Column::Left("CHANNEL"),
                Column::Right("YOURS"),
                Column::Left(""),
                Column::Left("THEIRS"),
                Column::Right("CAN SEND"),
                Column::Right("CAN RECEIVE"),
                Column::Left("STATE"),
            ];
            let rows = all.channels.iter().map(|channel| row(screen, channel)).collect();
            table(&columns, rows, "no channels yet; open one: viaduct open PEER AMOUNT")
        },
    )
}

fn row(screen: &Screen, channel: &v1::Channel) -> Vec<String> {
    let state = channel.state();
    let alias = if channel.node_alias.is_empty() {
        short(&channel.node_id)
    } else {
        visible(&channel.node_alias)
    };
    let words = match state {
        _ if channel.quarantined => screen.paint(Tone::Warn, "QUARANTINE"),
        v1::ChannelState::Open if !channel.connected => screen.paint(Tone::Warn, "peer away"),
        v1::ChannelState::Open if channel.at_risk_msat > 0 => {
            screen.paint(Tone::Warn, "unconfirmed")
        }
        v1::ChannelState::Confirming => {
            format!("{}/{} conf", channel.confirmations, channel.confirmations_required)
        }
        v1::ChannelState::Open => screen.paint(Tone::Good, words::channel(state)),
        v1::ChannelState::Unspecified
        | v1::ChannelState::Opening
        | v1::ChannelState::ShuttingDown
        | v1::ChannelState::Closing
        | v1::ChannelState::ForceClosing
        | v1::ChannelState::Closed => screen.paint(Tone::Warn, words::channel(state)),
    };
    vec![
        alias,
        place(channel),
        msat_bare(channel.our_msat),
        bar(channel.our_msat, channel.their_msat),
        msat_bare(channel.their_msat),
        msat_bare(channel.can_send_msat),
        msat_bare(channel.can_receive_msat),
        words,
    ]
}

/// Ours dark, theirs light.
fn bar(ours: u64, theirs: u64) -> String {
    let (ours, theirs) = (u128::from(ours), u128::from(theirs));
    let filled = ours
        .saturating_mul(BAR.into())
        .checked_div(ours.saturating_add(theirs))
        .and_then(|cells| u64::try_from(cells).ok())
        .unwrap_or(0);
    (0..BAR).map(|cell| if cell < filled { '▓' } else { '░' }).collect()
}

async fn get(cx: &Context<'_>, channel_id: String) -> Result<v1::Channel, Failure> {
    let ask = v1::GetChannelRequest { channel_id };
    let send = |to: Client, ask| async move { to.channels().get(ask).await };
    let mut channel = cx.client.call(ask, send).await?;
    cx.name(&mut channel.node_alias, &channel.node_id);
    Ok(channel)
}

async fn show(cx: &mut Context<'_>, text: &str) -> Result<(), Failure> {
    let channel = get(cx, resolve::channel(cx, text).await?).await?;
    cx.screen.result(
        &channel,
        |channel| vec![channel.channel_id.clone()],
        |screen, channel| {
            let mut text = details(channel);
            let close = channel.close.as_ref().filter(|close| !close.outputs.is_empty());
            if let Some(close) = close {
                text.push_str("\n\n");
                text.push_str(&outputs::rows(screen, &close.outputs));
            }
            text
        },
    )
}

async fn trust(cx: &mut Context<'_>, text: &str, sure: bool) -> Result<(), Failure> {
    let channel_id = resolve::channel(cx, text).await?;
    let ask = v1::LiftQuarantineRequest {
        channel_id,
        i_may_lose_everything_in_it: sure,
        idempotency_key: cx.key()?,
    };
    let send = |to: Client, ask| async move { to.channels().lift_quarantine(ask).await };
    let channel = cx.client.call(ask, send).await?;
    cx.screen.result(
        &channel,
        |channel| vec![channel.channel_id.clone()],
        |_, channel| details(channel),
    )
}

fn details(channel: &v1::Channel) -> String {
    let opener = if channel.opened_by_us { "us" } else { "them" };
    let reached = if channel.connected { "connected" } else { "away" };
    let mut lines = vec![
        format!("channel     {}", channel.channel_id),
        format!("peer        {}, {reached}", named(&channel.node_alias, &channel.node_id)),
        format!("state       {}", words::channel(channel.state())),
    ];
    if channel.quarantined {
        lines.push(
            "QUARANTINE  this may be an older copy: nothing is signed or broadcast until"
                .to_owned(),
        );
        lines.push("            the peer has connected and its numbers were compared".to_owned());
    }
    if let Some(scid) = &channel.short_channel_id {
        lines.push(format!("short id    {scid}"));
    }
    if let (Some(alias), true) = (&channel.alias, channel.scid_alias) {
        lines.push(format!("alias       {alias}: payers name it so alone"));
    }
    if channel.at_risk_msat > 0 {
        lines.push(format!(
            "AT RISK     {}: its funding is not final, and the peer can take it back until then",
            msat(channel.at_risk_msat)
        ));
    }
    if let Some(outpoint) = &channel.funding_outpoint {
        lines.push(format!(
            "funding     {outpoint}, {}/{} confirmations",
            channel.confirmations, channel.confirmations_required
        ));
    }
    if let Some(fee) = channel.funding_fee_sat {
        lines.push(format!("opening     {} for the funding transaction", sat(fee)));
    }
    lines.extend([
        format!("capacity    {}, opened by {opener}", sat(channel.capacity_sat)),
        format!("yours       {}", msat(channel.our_msat)),
        format!("theirs      {}", msat(channel.their_msat)),
        format!("can send    {}", msat(channel.can_send_msat)),
        format!("can receive {}", msat(channel.can_receive_msat)),
        format!(
            "reserves    {} yours, {} theirs",
            sat(channel.our_reserve_sat),
            sat(channel.their_reserve_sat)
        ),
        format!(
            "chain cost  {} commitment fee and {} anchors, paid by {opener}",
            sat(channel.commit_fee_sat),
            sat(channel.anchors_sat)
        ),
        format!(
            "force close your coins wait {} blocks, theirs {}",
            channel.our_delay_blocks, channel.their_delay_blocks
        ),
        format!("updates     {}", grouped(channel.commitment_number)),
    ]);
    for htlc in &channel.htlcs {
        let way = if htlc.outgoing { "out" } else { "in" };
        lines.push(format!(
            "in flight   {way} {} until block {} ({})",
            msat(htlc.amount_msat),
            htlc.expiry_height,
            short(&htlc.payment_hash)
        ));
    }
    if let Some(close) = &channel.close {
        lines.push(format!(
            "closing     {}, fee {}",
            words::close(close.kind()),
            sat(close.fee_sat)
        ));
        if let Some(height) = close.spendable_at_height {
            lines
                .push(format!("            all of it is back at block {}", grouped(height.into())));
        }
    }
    lines.join("\n")
}

async fn watch(cx: &mut Context<'_>, text: &str) -> Result<(), Failure> {
    let id = resolve::channel(cx, text).await?;
    // From here on events tell of changes; what was before, the snapshot says.
    let ask = v1::SubscribeRequest { after_seq: None, kinds: vec![v1::EventKind::Channel.into()] };
    let mut events = cx.client.events().subscribe(ask).await?.into_inner();
    let again = cx.again(&format!("channels watch {id}"));
    let mut channel = get(cx, id.clone()).await?;
    loop {
        match channel.state() {
            v1::ChannelState::Open | v1::ChannelState::Closed => break,
            v1::ChannelState::Confirming => cx.screen.waiting(&format!(
                "{}/{} confirmations",
                channel.confirmations, channel.confirmations_required
            ))?,
            state @ (v1::ChannelState::Unspecified
            | v1::ChannelState::Opening
            | v1::ChannelState::ShuttingDown
            | v1::ChannelState::Closing
            | v1::ChannelState::ForceClosing) => cx.screen.waiting(words::channel(state))?,
        }
        channel = loop {
            match cx.hear(&mut events).await {
                Heard::Message(event) => match event.body {
                    Some(v1::event::Body::Channel(changed)) if changed.channel_id == id => {
                        break changed;
                    }
                    // Confirmations are no change of state; a heartbeat is a good time to look again.
                    Some(v1::event::Body::Heartbeat(_)) => break get(cx, id.clone()).await?,
                    _ => {}
                },
                Heard::Interrupted => {
                    return Err(Failure::Detached { what: "the channel", reattach: again });
                }
                Heard::Broken(status) => return Err(status.into()),
                Heard::End => return Err(Status::unavailable("the daemon ended the stream").into()),
            }
        };
    }
    cx.screen.result(
        &channel,
        |channel| vec![channel.channel_id.clone()],
        |_, channel| details(channel),
    )
}

async fn closed(cx: &mut Context<'_>, limit: u32) -> Result<(), Failure> {
    let ask = v1::ListClosedRequest { page_size: limit, ..Default::default() };
    let page =
        cx.client.call(ask, |to, ask| async move { to.channels().list_closed(ask).await }).await?;
    let now = cx.now;
    cx.screen.result(
        &page,
        |page| {
            page.channels
                .iter()
                .filter_map(|one| Some(one.channel.as_ref()?.channel_id.clone()))
                .collect()
        },
        |_, page| {
            let columns = [
                Column::Left("PEER"),
                Column::Left("CHANNEL"),
                Column::Left("HOW"),
                Column::Right("CAME BACK"),
                Column::Right("FEES"),
                Column::Right("AGE"),
                Column::Left("WHY"),
            ];
            let rows = page.channels.iter().map(|one| {
                let channel = one.channel.clone().unwrap_or_default();
                let close = channel.close.clone().unwrap_or_default();
                vec![
                    named(&channel.node_alias, &channel.node_id),
                    place(&channel),
                    words::close(close.kind()).to_owned(),
                    sat(close.ours_sat),
                    sat(close.fee_sat.saturating_add(close.sweep_fees_sat)),
                    words::age(now, one.closed_at_ms),
                    visible(&one.reason),
                ]
            });
            table(&columns, rows.collect(), "no channel was closed yet")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_shows_whose_coins_they_are() {
        assert_eq!(bar(1, 1), "▓▓▓▓▓▓▓▓▓▓░░░░░░░░░░");
        assert_eq!(bar(0, 0), "░".repeat(20));
        assert_eq!(bar(u64::MAX, 0), "▓".repeat(20));
    }
}
