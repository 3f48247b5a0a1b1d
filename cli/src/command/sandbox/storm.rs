//! `sandbox storm`.

use std::str::FromStr;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::amount::Amount;
use crate::failure::Failure;
use crate::render::{Format, Screen};
use crate::sandbox::SandboxError;
use crate::sandbox::run::seats;
use crate::sandbox::state::{Layout, State};
use crate::sandbox::storm::{Settings, Watcher, storm};

/// Payments at random between all nodes of the sandbox; then everything is counted.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Storm {
    /// How many payments.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    payments: u64,
    /// How many of them at the same time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    concurrency: u16,
    /// Between which amounts each is drawn.
    #[arg(long, value_name = "MIN..MAX", default_value = "1k..20k")]
    amount: Span,
    /// Who pays whom how much follows from it.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// Two amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    least_msat: u64,
    most_msat: u64,
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        let msat = |text: &str| {
            let amount: Amount = text.parse().map_err(|error| format!("{error}"))?;
            amount.msat().map_err(|error| error.to_string())
        };
        let (least_msat, most_msat) = (msat(least)?, msat(most)?);
        if least_msat == 0 || least_msat > most_msat {
            return Err("write it as 1k..20k: the least first, and more than nothing".to_owned());
        }
        Ok(Self { least_msat, most_msat })
    }
}

/// A bar on the terminal, if somebody is there to see it.
struct Bar(Option<ProgressBar>);

impl Watcher for Bar {
    fn progress(&mut self, ended: u64, _all: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(ended);
        }
    }
}

impl Bar {
    fn new(screen: &Screen, all: u64) -> Self {
        if !screen.live() {
            return Self(None);
        }
        let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("  {bar:30} {pos}/{len}  {per_sec}  {eta}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("▓▓░"));
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(Some(bar))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

impl Storm {
    pub(super) async fn run(self, screen: &mut Screen, layout: &Layout) -> Result<(), Failure> {
        let state = State::read(layout)?.ok_or(SandboxError::NotRunning)?;
        let seats = seats(&state.nodes).await?;
        if seats.len() < 2 {
            return Err(Failure::Usage("a storm needs a sandbox of at least two nodes"));
        }
        let Span { least_msat, most_msat } = self.amount;
        let settings = Settings {
            payments: self.payments,
            concurrency: self.concurrency.into(),
            least_msat,
            most_msat,
            seed: self.seed,
        };
        let told = storm(&seats, &settings, &mut Bar::new(screen, self.payments)).await;
        let account = told.map_err(Failure::from)?;
        match screen.format() {
            Format::Human => screen.line(&account.to_text())?,
            Format::Json => screen.line(&account.to_json().to_string())?,
            Format::Ids => {}
        }
        if account.adds_up() { Ok(()) } else { Err(Failure::StormUnclean) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_given_as_two_ends() {
        let span = |least_msat, most_msat| Ok(Span { least_msat, most_msat });
        assert_eq!("1k..20k".parse(), span(1_000_000, 20_000_000));
        assert_eq!("1msat..5".parse(), span(1, 5_000));
        assert_eq!("500".parse(), span(500_000, 500_000));
        for wrong in ["", "..", "2..1", "0..5", "1..all", "1..", "a..b"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }
}
