//! Sweeps whose parent can be in no block any more: another transaction has ended the channel.
//!
//! A sweep of a commitment of ours is lost when another transaction spends the same funding output, which
//! `intents` sees by itself. The peer's commitment, and a thief's second stages, are no transactions of
//! ours: nobody here but the channel knows what they spend. Yet our anchor may have paid for one of them
//! with a coin of the wallet, and that coin would wait for ever, spent by what no block can have.
//!
//! Not here: sweeps whose own output another transaction takes (`intents`).

use std::collections::BTreeSet;

use bitcoin::{OutPoint, Txid};

use crate::fact::ChannelIndex;
use crate::layer1::Layer1;

impl Layer1 {
    /// In a block these transactions end these channels: what builds on another end is lost.
    pub(super) async fn drop_orphans(&mut self, closes: &[(ChannelIndex, Txid)]) {
        for (channel, close) in closes {
            let mut void = BTreeSet::new();
            for (sweep, taken) in self.sweeper.waits_on(*channel) {
                if self.is_void(taken, *close).await {
                    void.insert(sweep);
                }
            }
            for sweep in void {
                tracing::info!(txid = %sweep, %close, "builds on what another close took the place of");
                self.intents.void(sweep);
            }
        }
    }

    /// Whether nothing can make this output, now that `close` is in a block: it is an output of neither that
    /// nor of what spends it. If nobody has what makes it, the channel claims it anew once somebody has.
    async fn is_void(&self, taken: OutPoint, close: Txid) -> bool {
        // Those of our own that lost their coins are known to have.
        if taken.txid == close || self.intents.has(taken.txid) {
            return false;
        }
        match self.backend.tx(taken.txid).await {
            Ok(Some(found)) => {
                !found.tx.input.iter().any(|input| input.previous_output.txid == close)
            }
            Ok(None) => true,
            Err(error) => {
                tracing::warn!(%error, %taken, "cannot find out whether it can still be taken");
                false
            }
        }
    }
}
