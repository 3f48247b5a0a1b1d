//! Whole nodes and a whole tower: one of two nodes cheats while the other sleeps, and the tower takes
//! everything for it. Numbers of scenarios are those of the research on watchtowers.

mod audits;
mod backfill;
mod drills;
mod ends;
mod htlcs;
mod kills;
mod lag;
mod mute;
mod outages;
mod renewals;
mod restored;
mod scene;
pub(crate) mod theft;
