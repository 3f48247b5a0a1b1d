//! Messages 620 to 641 between our clients and our towers, and the `Init` before them.
//!
//! Fixed fields come first, TLV records after them; an unknown odd record or message may be ignored. The
//! numbers begin behind LND's (600 to 607), so one listener serves both. Everything is bounded by the
//! frame it comes in.
//!
//! Not here: LND's own messages but `Init` (`lnd`), what to do with any of them (`ingest`, `client`).

mod code;
mod declare;
mod init;
mod parts;
mod table;
#[cfg(test)]
mod tests;

pub use code::Code;
pub use init::{Caps, FEATURE_WT2_OPTIONAL, FEATURE_WT2_REQUIRED, Init, Offer};
pub use parts::{ClaimState, ClaimStatus, HtlcAdd, LiveHtlc, ReplicaNow, Sealed};
pub use table::{
    Audit, AuditReply, CheckpointAck, CheckpointGet, CheckpointPut, CheckpointValue, Delete,
    DeleteAck, Event, Fetch, Fetched, Message, Records, RecordsAck, Renew, Renewed, ReplicaAck,
    ReplicaUpdate, SessionAck, SessionOpen, Status, StatusGet,
};

/// The kit of a session whose records are sealed: the tower need not be trusted.
pub const KIT_SEALED: u8 = 1;

/// The kit of a session whose tower has keys: only for a tower of one's own.
pub const KIT_REPLICA: u8 = 2;

/// The most bytes of type and body together, as the length prefix of a frame has 16 bits.
pub const FRAME_MAX: usize = 65_535;
