//! `close`.

use api::v1;
use tonic::Streaming;

use crate::amount::{grouped, sat};
use crate::command::outputs;
use crate::context::{Context, Heard};
use crate::failure::Failure;
use crate::render::Tone;
use crate::resolve::{self, short};
use crate::words;

/// Close a channel: bring the coins back to the chain.
///
/// Together with the peer that is cheap and quick. With --force it needs no peer, costs more, and your
/// coins wait for a delay. Shows the cost and asks first; Ctrl-C ends the telling, not the close.
#[derive(Debug, clap::Args)]
pub(crate) struct Close {
    /// The channel: its id or short id, a beginning of it, or the peer's alias.
    channel: String,
    /// Without the peer: broadcast the latest commitment transaction.
    #[arg(long)]
    force: bool,
    /// Fee rate of a close with the peer in satoshi for each virtual byte.
    #[arg(long, value_name = "SAT_PER_VB", conflicts_with = "force")]
    feerate: Option<u64>,
    /// Where your coins go; to the wallet unless said otherwise.
    #[arg(long, conflicts_with = "force")]
    address: Option<String>,
    /// Only say what it would cost, save and bring home; nothing is done.
    #[arg(long)]
    dry_run: bool,
    /// End once the closing transaction is broadcast, without waiting for a block.
    #[arg(long)]
    no_wait: bool,
}

impl Close {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let channel_id = resolve::channel(cx, &self.channel).await?;
        let ask = v1::CloseChannelRequest {
            idempotency_key: cx.key()?,
            channel_id: channel_id.clone(),
            force: self.force,
            feerate_sat_per_vb: self.feerate,
            address: self.address.clone(),
            dry_run: false,
        };
        let plan = v1::CloseChannelRequest { dry_run: true, ..ask.clone() };
        let mut plan = cx.client.channels().close(plan).await?.into_inner();
        let plan = plan.message().await?.unwrap_or_default();
        if self.dry_run {
            let about = self.about(&plan);
            return cx.screen.result(
                &plan,
                |plan| plan.outputs.iter().map(|output| output.outpoint.clone()).collect(),
                |screen, plan| {
                    let mut text = about.join("\n  ");
                    if !plan.outputs.is_empty() {
                        text.push_str("\n\n");
                        text.push_str(&outputs::rows(screen, &plan.outputs));
                    }
                    text
                },
            );
        }
        cx.screen.confirm(&self.about(&plan), "Proceed?")?;

        let again = cx.again(&format!("channels watch {channel_id}"));
        let lost = |status| Failure::after_sending(&status, "the close", again.clone());
        let stream = cx.client.channels().close(ask).await.map_err(lost)?.into_inner();
        let last = self.follow(cx, stream, &again).await?;
        cx.screen.result(
            &last,
            |last| last.closing_txid.iter().cloned().collect(),
            |screen, last| {
                let mark = screen.paint(Tone::Good, "✓");
                let txid = short(last.closing_txid.as_deref().unwrap_or_default());
                let mut text = format!(
                    "{mark} {} {txid} (fee {}): {} to you, {} to them",
                    words::close(last.kind()),
                    sat(last.fee_sat),
                    sat(last.ours_sat),
                    sat(last.theirs_sat)
                );
                if let Some(height) = last.spendable_at_height.filter(|_| last.locked_blocks > 0) {
                    text.push_str(&format!(
                        "\n  your coins are free at block {}",
                        grouped(height.into())
                    ));
                }
                text
            },
        )
    }

    fn about(&self, plan: &v1::CloseProgress) -> Vec<String> {
        let how = if self.force {
            "Force the channel closed, without the peer"
        } else {
            "Close the channel together with the peer"
        };
        let mut about = vec![
            how.to_owned(),
            format!("fee           {}", sat(plan.fee_sat)),
            format!("you get       {}", sat(plan.ours_sat)),
        ];
        if let Some(forecast) = &plan.forecast {
            let before = forecast.before_height.map_or_else(String::new, |height| {
                format!(" before height {}", grouped(height.into()))
            });
            about.push(if forecast.saves_sat > 0 {
                format!(
                    "at stake      spend {} to save {}{before}",
                    sat(forecast.cost_sat),
                    sat(forecast.saves_sat)
                )
            } else {
                "at stake      nothing in flight is lost by waiting".to_owned()
            });
            if let Some(height) = forecast.home_at_height {
                about.push(format!("all home at   block {}", grouped(height.into())));
            }
        }
        if plan.locked_blocks > 0 {
            about.push(format!(
                "locked for    {} blocks after the transaction is in one",
                plan.locked_blocks
            ));
        }
        about
    }

    async fn follow(
        &self,
        cx: &mut Context<'_>,
        mut stream: Streaming<v1::CloseProgress>,
        again: &str,
    ) -> Result<v1::CloseProgress, Failure> {
        use v1::CloseStage as Stage;
        let mut told = Stage::Unspecified;
        loop {
            let progress = match cx.hear(&mut stream).await {
                Heard::Message(progress) => progress,
                Heard::Interrupted => {
                    return Err(Failure::Detached {
                        what: "the close",
                        reattach: again.to_owned(),
                    });
                }
                Heard::Broken(status) => {
                    return Err(Failure::after_sending(&status, "the close", again.to_owned()));
                }
                Heard::End => {
                    let why = "the daemon ended the stream".to_owned();
                    return Err(Failure::OutcomeUnknown {
                        what: "the close",
                        why,
                        reattach: again.to_owned(),
                    });
                }
            };
            let stage = progress.stage();
            if stage >= Stage::Broadcast && told < Stage::Broadcast {
                let txid = short(progress.closing_txid.as_deref().unwrap_or_default());
                cx.screen.done(&format!("closing tx {txid} broadcast"))?;
            }
            told = told.max(stage);
            match stage {
                Stage::Done | Stage::Confirmed => return Ok(progress),
                Stage::Broadcast if self.no_wait => return Ok(progress),
                Stage::Broadcast => cx.screen.waiting("waiting for a block")?,
                Stage::Unspecified | Stage::Planned | Stage::Negotiating => {
                    cx.screen.waiting("agreeing on the closing transaction")?;
                }
            }
        }
    }
}
