//! `why`.

use api::v1;

use crate::amount::{grouped, sat};
use crate::context::Context;
use crate::failure::Failure;
use crate::render::{Screen, Tone};
use crate::resolve::{self, named, short, visible};
use crate::words;

/// Why a channel closed or a payment failed: causes in order, what it cost, what is still to come.
#[derive(Debug, clap::Args)]
pub(crate) struct Why {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Why a channel closed, or what keeps it open.
    Channel {
        /// The channel: its id or short id, a beginning of it, or the peer's alias.
        channel: String,
    },
    /// Why a payment failed or arrived, or what it waits for.
    Payment {
        /// The payment hash, or its beginning.
        payment: String,
    },
}

impl Why {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        match self.what {
            What::Channel { channel } => of_channel(cx, &channel).await,
            What::Payment { payment } => of_payment(cx, &payment).await,
        }
    }
}

async fn of_channel(cx: &mut Context<'_>, text: &str) -> Result<(), Failure> {
    let ask = v1::WhyChannelRequest { channel_id: resolve::any_channel(cx, text).await? };
    let send = |to: api::client::Client, ask| async move { to.why().channel(ask).await };
    let mut why = cx.client.call(ask, send).await?;
    cx.name(&mut why.node_alias, &why.node_id);
    let now = cx.now;
    cx.screen.result(
        &why,
        |why| vec![why.channel_id.clone()],
        |screen, why| {
            let peer = named(&why.node_alias, &why.node_id);
            let head = format!("channel {} with {peer}", short(&why.channel_id));
            let mut lines = vec![head, format!("  {}", visible(&why.summary)), String::new()];
            steps(screen, now, &why.steps, why.steps_left_out, &mut lines);
            waits(screen, &why.waiting, &mut lines);
            if why.cost_sat > 0 || why.home_sat > 0 {
                lines.push(format!(
                    "so far      {} in fees, {} came home by claims",
                    sat(why.cost_sat),
                    sat(why.home_sat)
                ));
            }
            lines.push(format!("force_close {}", why.force_close));
            lines.join("\n")
        },
    )
}

async fn of_payment(cx: &mut Context<'_>, text: &str) -> Result<(), Failure> {
    let payment_hash = resolve::payment(&cx.client, text).await?;
    let ask = v1::WhyPaymentRequest { payment_hash };
    let send = |to: api::client::Client, ask| async move { to.why().payment(ask).await };
    let why = cx.client.call(ask, send).await?;
    let now = cx.now;
    cx.screen.result(
        &why,
        |why| vec![why.payment_hash.clone()],
        |screen, why| {
            let head = format!("payment {}: {}", short(&why.payment_hash), why.status);
            let mut lines = vec![head, format!("  {}", visible(&why.summary)), String::new()];
            steps(screen, now, &why.steps, 0, &mut lines);
            waits(screen, &why.waiting, &mut lines);
            lines.join("\n")
        },
    )
}

/// One line a step, newest last: where on the chain, how long ago, what.
fn steps(screen: &Screen, now: u64, steps: &[v1::WhyStep], left_out: u32, lines: &mut Vec<String>) {
    for step in steps {
        let height = step
            .height
            .map_or_else(String::new, |height| format!("block {}", grouped(height.into())));
        let age = step.at_ms.map_or_else(String::new, |at| format!("{} ago", words::age(now, at)));
        let mut line = format!("{height:<13} {age:<14} {}", visible(&step.text));
        if let Some(txid) = &step.txid {
            line.push_str(&screen.paint(Tone::Faint, &format!(" (tx {})", short(txid))));
        }
        lines.push(line.trim_end().to_owned());
    }
    if left_out > 0 {
        lines.push(format!("              ({left_out} steps in between are not kept)"));
    }
}

fn waits(screen: &Screen, waiting: &[v1::WhyWait], lines: &mut Vec<String>) {
    for wait in waiting {
        let until = wait
            .until_height
            .map_or_else(String::new, |height| format!(" until block {}", grouped(height.into())));
        let amount = wait.amount_sat.map_or_else(String::new, |worth| format!(", {}", sat(worth)));
        let head = screen.paint(Tone::Warn, "waiting    ");
        lines.push(format!("{head} {}{until}{amount}", visible(&wait.text)));
    }
}
