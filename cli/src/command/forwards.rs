//! `forwards`.

use api::v1;

use crate::amount::msat_bare;
use crate::context::Context;
use crate::failure::Failure;
use crate::render::{Column, Screen, Tone, table};
use crate::resolve::{short, visible};
use crate::words;

/// Payments of others that passed through your channels, and what they left.
#[derive(Debug, clap::Args)]
pub(crate) struct Forwards {
    /// How many to show.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Only those that were settled.
    #[arg(long, conflicts_with_all = ["failed", "open"])]
    settled: bool,
    /// Only those that failed.
    #[arg(long, conflicts_with = "open")]
    failed: bool,
    /// Only those that are under way.
    #[arg(long)]
    open: bool,
}

impl Forwards {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let mut states: Vec<i32> = Vec::new();
        if self.settled {
            states.push(v1::ForwardState::Settled.into());
        }
        if self.failed {
            states.push(v1::ForwardState::Failed.into());
        }
        if self.open {
            states.push(v1::ForwardState::Held.into());
            states.push(v1::ForwardState::InFlight.into());
        }
        let ask = v1::ListForwardsRequest { page_size: self.limit, states, ..Default::default() };
        let page =
            cx.client.call(ask, |to, ask| async move { to.forwards().list(ask).await }).await?;
        let now = cx.now;
        cx.screen.result(
            &page,
            |page| page.forwards.iter().map(|one| one.payment_hash.clone()).collect(),
            |screen, page| {
                let columns = [
                    Column::Right("BLOCK"),
                    Column::Right("AGE"),
                    Column::Left("IN"),
                    Column::Left("OUT"),
                    Column::Right("SAT"),
                    Column::Right("FEE"),
                    Column::Left("STATE"),
                    Column::Right("HELD"),
                    Column::Left("WHY"),
                ];
                let rows = page.forwards.iter().map(|one| {
                    vec![
                        one.created_height.to_string(),
                        words::age(now, one.created_at_ms),
                        place(&one.short_channel_id_in, &one.channel_in),
                        way_out(one),
                        msat_bare(one.amount_out_msat),
                        msat_bare(one.fee_msat),
                        state(screen, one.state()),
                        words::span(one.held_ms),
                        visible(&one.failure),
                    ]
                });
                table(&columns, rows.collect(), "nothing passed here yet")
            },
        )
    }
}

/// A channel by its place in the chain, or what there is instead.
fn place(short_id: &str, id: &str) -> String {
    match (short_id, id) {
        ("", "") => "a closed channel".to_owned(),
        ("", id) => short(id),
        (short_id, _) => short_id.to_owned(),
    }
}

/// Where it went, or was to go.
fn way_out(one: &v1::Forward) -> String {
    if one.short_channel_id_out.is_empty() && one.channel_out.is_empty() {
        return format!("({})", one.short_channel_id_asked);
    }
    place(&one.short_channel_id_out, &one.channel_out)
}

fn state(screen: &Screen, state: v1::ForwardState) -> String {
    let (tone, word) = match state {
        v1::ForwardState::Settled => (Tone::Good, "settled"),
        v1::ForwardState::Taken => (Tone::Good, "taken"),
        v1::ForwardState::Failed => (Tone::Bad, "failed"),
        v1::ForwardState::Held => (Tone::Warn, "held"),
        v1::ForwardState::InFlight => (Tone::Warn, "in flight"),
        v1::ForwardState::Unspecified => (Tone::Warn, "unknown"),
    };
    screen.paint(tone, word)
}
