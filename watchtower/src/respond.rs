//! From a breach that was seen to the last of its outputs, a hundred blocks deep. Pure: what happened comes in
//! as facts and answers, what is to be done comes out as transactions.
//!
//! ```text
//! Seen ──▶ Sent ──▶ Mined ──▶ Final (100 blocks)     a block with the transaction goes: back to Sent
//!   └────────┴─▶ TakenByThem, DoneByOther            a block without the breach, but with what takes its
//!                                                    place: void, until that block goes or is 100 deep
//! ```
//!
//! Nothing is ever given up because a mempool said no.
//!
//! Not here: the outside (`watch`), what a record means (`kit`, `lnd`).

pub mod book;
pub mod fact;
pub mod plan;
pub mod sight;
#[cfg(test)]
mod tests;
pub mod topup;
