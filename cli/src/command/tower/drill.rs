//! `tower drill`: watches a breach of our own making until the tower answered it, or did not.

use api::v1;
use tonic::Streaming;

use super::{all, one_of};
use crate::amount::{Amount, sat};
use crate::context::{Context, Heard};
use crate::failure::Failure;
use crate::render::{Screen, Tone};
use crate::resolve::{short, visible};

/// Try a tower: stage a breach that it cannot tell from a real one, and see whether it answers.
///
/// Coins of the wallet go to a channel that never was; the tower is told its records; then an old state of it
/// is broadcast. It costs some fees, less than 3,000 sat where blocks are cheap; the rest comes home in any
/// case: from the tower at once, else with the node's own keys after the delay. A tower that signs for the
/// record and lets the breach stand is used no more, and a file convicts it.
#[derive(Debug, clap::Args)]
pub(crate) struct Drill {
    /// The tower: the beginning of its id. Not needed where there is one only.
    tower: Option<String>,
    /// What the channel holds: 100000, 100ksat. Some 60,000 to 100,000 sat, by chance, unless said otherwise.
    #[arg(long, value_name = "AMOUNT")]
    amount: Option<Amount>,
    /// Do not wait for the verdict; see it with: viaduct tower status.
    #[arg(long)]
    no_wait: bool,
}

impl Drill {
    pub(super) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let all = all(cx).await?;
        let tower = one_of(&all, self.tower.as_deref())?;
        let amount_sat = match self.amount.map(Amount::whole_sat_or_all).transpose()? {
            Some(None) => return Err(Failure::Usage("a drill does not take everything")),
            Some(Some(amount)) => Some(amount),
            None => None,
        };
        let about = [
            "Coins of the wallet are spent and come back, less the fees of four transactions."
                .into(),
            format!("The tower is {}@{}.", tower.tower_id, visible(&tower.address)),
        ];
        cx.screen.confirm(&about, "Stage a breach?")?;
        let ask = v1::DrillTowerRequest {
            tower_id: tower.tower_id.clone(),
            amount_sat,
            idempotency_key: cx.key.clone().unwrap_or_default(),
        };
        let again = cx.again("tower status");
        let lost = |status| Failure::after_sending(&status, "the drill", again.clone());
        let stream = cx.client.towers().drill(ask).await.map_err(lost)?.into_inner();
        let drill = self.follow(cx, stream, &again).await?;
        show(cx.screen, &drill)
    }

    async fn follow(
        &self,
        cx: &mut Context<'_>,
        mut stream: Streaming<v1::TowerDrill>,
        again: &str,
    ) -> Result<v1::TowerDrill, Failure> {
        let what = "the drill";
        let (mut funded, mut breached) = (false, false);
        loop {
            let drill = match cx.hear(&mut stream).await {
                Heard::Message(drill) => drill,
                Heard::Interrupted => {
                    return Err(Failure::Detached { what, reattach: again.to_owned() });
                }
                Heard::Broken(status) => {
                    return Err(Failure::after_sending(&status, what, again.to_owned()));
                }
                Heard::End => {
                    let why = "the daemon ended the stream before the verdict".to_owned();
                    return Err(Failure::OutcomeUnknown { what, why, reattach: again.to_owned() });
                }
            };
            if let Some(funding) = drill.funding_outpoint.as_deref().filter(|_| !funded) {
                funded = true;
                let amount = sat(drill.amount_sat);
                cx.screen.done(&format!("{amount} went to {}", short(funding)))?;
            }
            if let Some(height) = drill.breach_height.filter(|_| !breached) {
                breached = true;
                cx.screen.done(&format!("the breach is in block {height}"))?;
            }
            if drill.verdict.is_some() || self.no_wait {
                return Ok(drill);
            }
            let waiting = match (&drill.trouble, drill.blocks_left) {
                (Some(trouble), _) => format!("{}: {}", stage(&drill.stage), visible(trouble)),
                (None, Some(blocks)) => format!("{}, {blocks} blocks", stage(&drill.stage)),
                (None, None) => stage(&drill.stage).to_owned(),
            };
            cx.screen.waiting(&waiting)?;
        }
    }
}

fn stage(stage: &str) -> &str {
    match stage {
        "funding" => "choosing coins",
        "confirming" => "waiting until the funding is deep",
        "uploading" => "telling the tower",
        "breached" => "the breach waits for a block",
        "waiting" => "waiting for the tower",
        "homing" => "bringing the rest home",
        other => other,
    }
}

/// The verdict in a line, with what it rests on.
pub(super) fn verdict(screen: &Screen, drill: &v1::TowerDrill) -> String {
    let blocks = drill.blocks.unwrap_or_default();
    let fee = sat(drill.justice_fee_sat.unwrap_or_default());
    let when = match blocks {
        0 => "in the very block of the breach".to_owned(),
        1 => "one block after the breach".to_owned(),
        more => format!("{more} blocks after the breach"),
    };
    match drill.verdict.as_deref() {
        Some("passed") => format!(
            "{} passed: its justice was mined {when} and paid {fee}",
            screen.paint(Tone::Good, "✓")
        ),
        Some("late") => {
            format!("{} late: its justice was mined {when}", screen.paint(Tone::Bad, "✗"))
        }
        Some("failed") => format!(
            "{} failed: it signed for the record and let the breach stand",
            screen.paint(Tone::Bad, "✗")
        ),
        Some("unreachable") => format!(
            "{} unreachable: it took no record, so nothing was tried",
            screen.paint(Tone::Warn, "!")
        ),
        Some(other) => format!("{} {other}", screen.paint(Tone::Warn, "!")),
        None => stage(&drill.stage).to_owned(),
    }
}

fn show(screen: &mut Screen, drill: &v1::TowerDrill) -> Result<(), Failure> {
    screen.result(
        drill,
        |drill| vec![drill.drill_id.clone()],
        |screen, drill| {
            let mut lines = vec![verdict(screen, drill)];
            if let Some(justice) = &drill.justice_txid {
                lines.push(format!("  justice {justice}"));
            }
            if let Some(breach) = &drill.breach_txid {
                lines.push(format!("  breach  {breach}"));
            }
            match (drill.cost_sat, &drill.verdict) {
                (Some(cost), _) => lines.push(format!("  cost    {}", sat(cost))),
                (None, Some(_)) => lines.push(
                    "  what is left comes home within some blocks: viaduct tower status".to_owned(),
                ),
                (None, None) => {}
            }
            if let Some(path) = &drill.proof_path {
                lines.push(format!("  proof   {}", visible(path)));
            }
            lines.join("\n")
        },
    )?;
    match drill.verdict.as_deref() {
        Some("failed" | "late") => {
            Err(Failure::TowerFailed { why: "it did not answer a breach in time".to_owned() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use api::v1;

    use crate::command::fake::screen;

    fn drill(verdict: &str) -> v1::TowerDrill {
        v1::TowerDrill {
            drill_id: "8000000000000001".into(),
            amount_sat: 70_000,
            stage: "homing".into(),
            verdict: Some(verdict.into()),
            blocks: Some(1),
            justice_fee_sat: Some(810),
            justice_txid: Some("aa".repeat(32)),
            ..Default::default()
        }
    }

    #[test]
    fn a_drill_ends_with_its_verdict_and_a_tower_that_failed_is_a_failure() {
        let (mut screen, seen) = screen(false);
        super::show(&mut screen, &drill("passed")).expect("it passed");
        let text = seen.text();
        assert!(text.contains("passed: its justice was mined one block after"), "{text}");
        assert!(text.contains("810 sat"), "{text}");
        let failed = super::show(&mut screen, &drill("failed")).expect_err("it failed");
        assert_eq!((failed.exit_code(), failed.name()), (1, "TOWER_FAILED"));
    }
}
