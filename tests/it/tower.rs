//! Whole nodes and a whole tower: one of two nodes cheats while the other sleeps, and the tower takes
//! everything for it. Numbers of scenarios are those of the research on watchtowers.

mod lag;
mod scene;
mod theft;
