//! `sandbox evict`, `fees`, `stall`, `pin`, `cheat`: a chain and a node that misbehave as they are told.

use std::str::FromStr;

use api::client::Client;
use api::v1;

use crate::amount::{grouped, sat};
use crate::failure::Failure;
use crate::render::Screen;
use crate::resolve::short;
use crate::sandbox::run::key;

/// How long the chain stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Still {
    /// Until it is taken back.
    On,
    /// Not any more.
    Off,
    /// For so many milliseconds.
    For(u32),
}

impl FromStr for Still {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const USAGE: &str = "use on, off, or a time up to an hour, such as 500ms, 30s or 2m";
        match text {
            "on" => return Ok(Self::On),
            "off" => return Ok(Self::Off),
            _ => {}
        }
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit_ms: u32 = match text.get(digits.len()..) {
            Some("ms") => 1,
            Some("s") => 1_000,
            Some("m") => 60_000,
            Some("h") => 3_600_000,
            Some(_) | None => return Err(USAGE),
        };
        let count: u32 = digits.parse().map_err(|_| USAGE)?;
        match count.checked_mul(unit_ms) {
            Some(time @ 1..=3_600_000) => Ok(Self::For(time)),
            Some(_) | None => Err(USAGE),
        }
    }
}

fn went(count: usize) -> String {
    match count {
        0 => "nothing was thrown out".to_owned(),
        1 => "1 transaction was thrown out".to_owned(),
        count => format!("{count} transactions were thrown out"),
    }
}

pub(super) async fn evict(
    screen: &mut Screen,
    client: &Client,
    txid: String,
) -> Result<(), Failure> {
    let ask = v1::EvictRequest { idempotency_key: key()?, txid };
    let gone = client.call(ask, |to, ask| async move { to.sandbox().evict(ask).await }).await?;
    screen.result(
        &gone,
        |gone| gone.evicted_txids.clone(),
        |_, gone| went(gone.evicted_txids.len()),
    )
}

pub(super) async fn fees(screen: &mut Screen, client: &Client, floor: u32) -> Result<(), Failure> {
    let sat_per_vb = Some(floor).filter(|floor| *floor > 0);
    let ask = v1::SetFloorRequest { idempotency_key: key()?, sat_per_vb };
    let set = client.call(ask, |to, ask| async move { to.sandbox().set_floor(ask).await }).await?;
    let now = match floor {
        0 => "the mempool finds its own minimum again".to_owned(),
        floor => format!("the mempool takes {} sat/vB and more", grouped(floor.into())),
    };
    screen.result(
        &set,
        |set| set.evicted_txids.clone(),
        |_, set| format!("{now}; {}", went(set.evicted_txids.len())),
    )
}

pub(super) async fn stall(
    screen: &mut Screen,
    client: &Client,
    time: Still,
    silent: bool,
) -> Result<(), Failure> {
    let (standstill, what) = match (time, silent) {
        (Still::Off, _) => (v1::Standstill::None, "the chain goes on"),
        (Still::On | Still::For(_), false) => (v1::Standstill::Blocks, "no block is made"),
        (Still::On | Still::For(_), true) => (v1::Standstill::Silent, "no node hears of blocks"),
    };
    let milliseconds = match time {
        Still::For(time) => Some(time),
        Still::On | Still::Off => None,
    };
    let ask =
        v1::StallRequest { idempotency_key: key()?, standstill: standstill.into(), milliseconds };
    let done = client.call(ask, |to, ask| async move { to.sandbox().stall(ask).await }).await?;
    let until = match time {
        Still::Off => String::new(),
        Still::On => " until: viaduct sandbox stall off".to_owned(),
        Still::For(time) => format!(" for {} ms", grouped(time.into())),
    };
    screen.result(&done, |_| Vec::new(), |_, _| format!("{what}{until}"))
}

pub(super) async fn pin(screen: &mut Screen, client: &Client, txid: String) -> Result<(), Failure> {
    let ask = v1::PinRequest { idempotency_key: key()?, txid };
    let pin = client.call(ask, |to, ask| async move { to.sandbox().pin(ask).await }).await?;
    screen.result(
        &pin,
        |pin| vec![pin.txid.clone()],
        |_, pin| {
            format!(
                "pinned by {} of {} vB: a replacement pays at least {} more",
                short(&pin.txid),
                grouped(pin.vsize),
                sat(pin.fee_sat)
            )
        },
    )
}

pub(super) async fn cheat(
    screen: &mut Screen,
    client: &Client,
    channel_id: String,
    state: u64,
) -> Result<(), Failure> {
    let ask = v1::CheatRequest { idempotency_key: key()?, channel_id, state };
    let cheat = client.call(ask, |to, ask| async move { to.sandbox().cheat(ask).await }).await?;
    screen.result(
        &cheat,
        |cheat| vec![cheat.txid.clone()],
        |_, cheat| {
            format!(
                "broadcast revoked state {state} in {}: {} instead of {}; its peer has {} blocks",
                short(&cheat.txid),
                sat(cheat.ours_sat),
                sat(cheat.honest_sat),
                cheat.to_self_delay_blocks
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_they_are_written() {
        assert_eq!("on".parse(), Ok(Still::On));
        assert_eq!("off".parse(), Ok(Still::Off));
        assert_eq!("500ms".parse(), Ok(Still::For(500)));
        assert_eq!("30s".parse(), Ok(Still::For(30_000)));
        assert_eq!("1h".parse(), Ok(Still::For(3_600_000)));
        for wrong in ["", "30", "s", "0s", "61m", "2h", "-1s", "9999999999s", "on 3s"] {
            assert!(wrong.parse::<Still>().is_err(), "{wrong}");
        }
    }
}
