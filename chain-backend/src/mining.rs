//! When `viaduct-chain` makes blocks by itself.

use bitcoin::ScriptBuf;
use chain_backend::{BuiltinChain, Sandbox};
use std::str::FromStr;
use std::time::Duration;

/// When blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mining {
    /// When somebody asks for one.
    OnDemand,
    /// So far apart, and up to so much sooner or later, at random.
    Every { time: Duration, jitter: Duration },
    /// At random, so far apart on average.
    Poisson(Duration),
    /// So soon after a transaction waits.
    OnTransaction(Duration),
}

impl FromStr for Mining {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const USAGE: &str = "use none (or on-demand), interval=10s, interval=10s,jitter=2s, poisson=10m or on-tx=250ms; \
                             a time is a number and ms, s, m or h";
        let Some((name, time)) = text.split_once('=') else {
            let is_none = ["none", "on-demand"].contains(&text);
            return if is_none { Ok(Self::OnDemand) } else { Err(USAGE) };
        };
        let (time, more) =
            time.split_once(',').map_or((time, None), |(time, more)| (time, Some(more)));
        let time = time_of(time).ok_or(USAGE)?;
        match (name, more) {
            ("interval", more) => {
                let jitter = match more {
                    None => Duration::ZERO,
                    Some(more) => more.strip_prefix("jitter=").and_then(time_of).ok_or(USAGE)?,
                };
                if jitter > time {
                    return Err("the jitter is longer than the interval");
                }
                Ok(Self::Every { time, jitter })
            }
            ("poisson", None) => Ok(Self::Poisson(time)),
            ("on-tx", None) => Ok(Self::OnTransaction(time)),
            (_, _) => Err(USAGE),
        }
    }
}

/// A time such as 500ms, 10s or 2m.
fn time_of(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit_ms: u64 = match text.get(digits.len()..) {
        Some("ms") => 1,
        Some("s") => 1_000,
        Some("m") => 60_000,
        Some("h") => 3_600_000,
        Some(_) | None => return None,
    };
    let count: u64 = digits.parse().ok()?;
    count.checked_mul(unit_ms).filter(|time| *time > 0).map(Duration::from_millis)
}

/// Makes blocks for ever, or waits for ever.
pub(crate) async fn mine(chain: &BuiltinChain, mining: Mining, script: &ScriptBuf) {
    loop {
        let Some(wait) = wait(mining, random()) else { return std::future::pending().await };
        tokio::time::sleep(wait).await;
        if matches!(mining, Mining::OnTransaction(_))
            && chain.mempool().await.is_ok_and(|waiting| waiting.is_empty())
        {
            continue;
        }
        match chain.mine(1, script.clone()).await {
            Ok(hashes) => tracing::info!(block = ?hashes.first(), "mined"),
            Err(error) => tracing::error!(%error, "no block could be mined"),
        }
    }
}

/// How long until the next block, or until the next look at what waits; `dice` is any number from 0 to 1, evenly.
/// `None`: nobody makes one by himself.
#[expect(clippy::float_arithmetic, reason = "no money hangs on it")]
fn wait(mining: Mining, dice: f64) -> Option<Duration> {
    Some(match mining {
        Mining::OnDemand => return None,
        Mining::Every { time, jitter } => {
            let earliest = time.saturating_sub(jitter);
            earliest.saturating_add(jitter.saturating_mul(2).mul_f64(dice.clamp(0.0, 1.0)))
        }
        // Exponentially distributed around the mean, as blocks come; at most twenty times the mean.
        Mining::Poisson(mean) => mean.mul_f64((-dice.ln()).clamp(0.0, 20.0)),
        Mining::OnTransaction(time) => time,
    })
}

/// From just above 0 to 1, evenly. Without random bytes the middle: blocks come evenly then.
#[expect(clippy::float_arithmetic, reason = "no money hangs on it")]
fn random() -> f64 {
    let mut bytes = [0_u8; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => (f64::from(u32::from_be_bytes(bytes)) + 1.0) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn every_way_to_mine_is_read_and_rubbish_is_not() {
        for (text, expected) in [
            ("none", Mining::OnDemand),
            ("on-demand", Mining::OnDemand),
            ("interval=10s", Mining::Every { time: S(10), jitter: Duration::ZERO }),
            ("interval=1m,jitter=5s", Mining::Every { time: S(60), jitter: S(5) }),
            ("poisson=10m", Mining::Poisson(S(600))),
            ("on-tx=250ms", Mining::OnTransaction(Duration::from_millis(250))),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "never",
            "interval",
            "interval=",
            "interval=0s",
            "interval=5",
            "interval=5s,",
            "interval=5s,jitter=",
            "interval=5s,jitter=6s",
            "poisson=5s,jitter=1s",
            "on-tx=-1s",
            "interval=99999999999999999999s",
        ] {
            assert!(text.parse::<Mining>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_jitter_is_around_the_interval_and_chance_around_its_mean() {
        let every = Mining::Every { time: S(10), jitter: S(2) };
        for (dice, seconds) in [(0.0, 8), (0.5, 10), (1.0, 12)] {
            assert_eq!(wait(every, dice), Some(S(seconds)));
        }
        assert_eq!(wait(Mining::OnDemand, 0.5), None);
        let waits = (1..=1_000)
            .map(|step| wait(Mining::Poisson(S(10)), f64::from(step) / 1_000.0).unwrap());
        let mean = waits.sum::<Duration>() / 1_000;
        assert!(mean > S(9) && mean < S(11), "{mean:?}");
        assert!(wait(Mining::Poisson(S(10)), 0.0).unwrap() <= S(200));
        for _ in 0..100 {
            assert!((0.0..=1.0).contains(&random()));
        }
    }
}
