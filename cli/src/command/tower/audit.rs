//! `tower audit` and `tower proof`.

use std::path::PathBuf;

use api::v1;

use super::{all, one_of};
use crate::context::Context;
use crate::failure::Failure;
use crate::render::{Column, Screen, Tone, table};
use crate::resolve::{self, short, visible};
use crate::words;

/// Ask a tower, or all of them, for records that it signed for, drawn at random.
#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    /// The tower: the beginning of its id. All of them unless said otherwise.
    tower: Option<String>,
    /// Records to draw of each session: 300 find a loss of one in a hundred 19 times of 20.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    draws: u32,
}

impl Audit {
    pub(super) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let all = all(cx).await?;
        let towers: Vec<_> = match &self.tower {
            Some(_) => vec![one_of(&all, self.tower.as_deref())?],
            None => all.towers.iter().filter(|tower| !tower.trusted).collect(),
        };
        let mut audits = Vec::new();
        for tower in towers {
            cx.screen.waiting(&format!("asking {}", short(&tower.tower_id)))?;
            let ask = v1::AuditTowerRequest {
                tower_id: tower.tower_id.clone(),
                draws: self.draws,
                idempotency_key: cx.key.clone().unwrap_or_default(),
            };
            let call = cx.client.call(ask, |to, ask| async move { to.towers().audit(ask).await });
            audits.extend(call.await?.audits);
        }
        let now = cx.now;
        cx.screen.result(
            &v1::AuditTowerResponse { audits: audits.clone() },
            |done| done.audits.iter().map(|audit| audit.channel_id.clone()).collect(),
            |screen, done| {
                let rows = done.audits.iter().map(|audit| row(screen, audit, now)).collect();
                table(&COLUMNS, rows, "no tower has signed for a record yet")
            },
        )?;
        let failed = audits.iter().filter(|audit| audit.result == "failed").count();
        match failed {
            0 => Ok(()),
            _ => Err(Failure::TowerFailed {
                why: "it does not have records that it signed for".to_owned(),
            }),
        }
    }
}

const COLUMNS: [Column; 5] = [
    Column::Left("CHANNEL"),
    Column::Left("RESULT"),
    Column::Right("DRAWN"),
    Column::Left("WHY"),
    Column::Right("WHEN"),
];

fn row(screen: &Screen, audit: &v1::TowerAudit, now: u64) -> Vec<String> {
    let tone = match audit.result.as_str() {
        "passed" => Tone::Good,
        "failed" => Tone::Bad,
        _ => Tone::Warn,
    };
    vec![
        short(&audit.channel_id),
        screen.paint(tone, &audit.result),
        format!("{}/{}", audit.drawn, audit.of),
        visible(&audit.why),
        words::age(now, audit.at_ms),
    ]
}

/// Write the file that proves that a tower had signed for a breach and let the cheater take everything.
#[derive(Debug, clap::Args)]
pub(crate) struct Proof {
    /// The tower: the beginning of its id. Not needed where there is one only.
    #[arg(long, value_name = "TOWER")]
    tower: Option<String>,
    /// The channel that was robbed: its id, the beginning of it, or its peer.
    #[arg(long, value_name = "CHANNEL")]
    channel: String,
    /// Where the file goes. Nothing there is overwritten.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Proof {
    pub(super) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let all = all(cx).await?;
        let tower_id = one_of(&all, self.tower.as_deref())?.tower_id.clone();
        let channel_id = resolve::channel(cx, &self.channel).await?;
        let ask = v1::ProveTowerRequest { tower_id, channel_id };
        let done =
            cx.client.call(ask, |to, ask| async move { to.towers().prove(ask).await }).await?;
        if done.file.is_empty() {
            return Err(Failure::NotProved { why: visible(&done.why) });
        }
        let wrong = |error| Failure::File { path: self.out.display().to_string(), error };
        let mut file = std::fs::File::create_new(&self.out).map_err(wrong)?;
        std::io::Write::write_all(&mut file, &done.file).map_err(wrong)?;
        file.sync_all().map_err(wrong)?;
        let path = self.out.display().to_string();
        let bytes = done.file.len();
        cx.screen.result(
            &serde_json::json!({ "path": path, "bytes": bytes }),
            |_| vec![path.clone()],
            |_, _| {
                format!("{path}: {bytes} bytes; check it with: viaduct tower verify-proof {path}")
            },
        )
    }
}
