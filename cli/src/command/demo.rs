//! `demo`.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::demo::{Settings, Teller, tell};
use crate::failure::Failure;
use crate::render::{Format, Screen};
use crate::sandbox::network::Launch;

/// The whole story in one process: three nodes open channels in a line, those at its ends pay each other 1000
/// times over the one in the middle, which earns a fee, is killed and comes back; they close; then one of
/// them cheats with an old state of another channel and loses all of it, and once more while the other one
/// sleeps and a watchtower takes it all for it; and every satoshi is counted.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// How many payments.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    payments: u64,
    /// Draws the amounts: the same seed, the same payments.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Keep the chain and all nodes' directories, and say where they are.
    #[arg(long)]
    keep: bool,
}

/// Tells the story on the terminal.
struct OnScreen<'a> {
    screen: &'a mut Screen,
    bar: Option<ProgressBar>,
}

impl Teller for OnScreen<'_> {
    fn done(&mut self, text: &str) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        // The story goes on when nobody can hear it any more.
        let _ = self.screen.done(text);
    }

    fn progress(&mut self, ended: u64, all: u64) {
        if !self.screen.live() {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("  {bar:30} {pos}/{len}  {per_sec}");
            if let Ok(style) = style {
                bar.set_style(style.progress_chars("▓▓░"));
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        bar.set_position(ended);
    }
}

impl Demo {
    pub(crate) async fn run(
        self,
        screen: &mut Screen,
        launch: &impl Launch,
    ) -> Result<(), Failure> {
        let dir = std::env::temp_dir().join(format!("viaduct-demo-{}", api::client::fresh_key()?));
        let settings = Settings { dir: dir.clone(), payments: self.payments, seed: self.seed };
        let mut teller = OnScreen { screen: &mut *screen, bar: None };
        let told = tell(launch, &settings, &mut teller).await;
        if let Some(bar) = teller.bar.take() {
            bar.finish_and_clear();
        }
        let clean = told.as_ref().is_ok_and(|account| account.conserved() && account.failed == 0);
        if self.keep || !clean {
            screen.note(&format!("everything is kept in {}", dir.display()))?;
        } else {
            let _ = std::fs::remove_dir_all(&dir);
        }
        let account = told?;
        match screen.format() {
            Format::Human => screen.line(&account.to_text())?,
            Format::Json => screen.line(&account.to_json().to_string())?,
            Format::Ids => {}
        }
        if clean { Ok(()) } else { Err(Failure::DemoUnclean) }
    }
}
