//! Paying. BOLT 2 § Normal Operation.
//!
//! Updates that are only said change the ledger and leave no record; a signature records everything it
//! covers for the first time.
//!
//! Not here: whether an update may be made (`limits`), saying things again (`link`).

mod commit;
mod ours;
mod theirs;

use crate::live::Live;
use crate::refusal::Refusal;
use crate::state::End;

/// Set in the failure codes that `update_fail_malformed_htlc` may carry. BOLT 4 § Failure Messages.
const BADONION: u16 = 0x8000;

/// What the experimental `accountable` of an HTLC says if it says yes.
const ACCOUNTABLE: u8 = 7;

impl Live {
    /// Whether HTLCs can be offered at all now.
    pub(crate) fn may_offer(&self) -> Result<(), Refusal> {
        self.may_update()?;
        // BOLT 2: "MUST NOT send an `update_add_htlc` after a `shutdown`."
        if self.state.our_shutdown.is_some()
            || self.state.their_shutdown.is_some()
            || self.shutdown_wanted.is_some()
        {
            return Err(Refusal::Closing);
        }
        Ok(())
    }

    /// Whether anything can be signed now.
    pub(crate) fn may_update(&self) -> Result<(), Refusal> {
        match &self.state.end {
            Some(End::Frozen | End::DataLoss { .. } | End::Lost) => return Err(Refusal::Frozen),
            Some(End::Failing(_) | End::Abandoned(_)) => return Err(Refusal::Closing),
            None => {}
        }
        if self.state.chain.spent.is_some() {
            return Err(Refusal::Closing);
        }
        if !self.state.we_ready || !self.state.they_ready {
            return Err(Refusal::NotReady);
        }
        if self.is_up() { Ok(()) } else { Err(Refusal::NotConnected) }
    }
}
