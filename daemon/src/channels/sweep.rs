//! Money that waits on Layer 1 goes home: claims become transactions as soon as their locks open.
//!
//! A transaction once made is kept by Layer 1 until it is deep in the chain; here is only remembered
//! which outputs are under way.
//!
//! Not here: what is ours to claim (`channel::onchain`).

use bitcoin::{Amount, Transaction};
use channel::onchain::Claim;
use channel::onchain::sweep::{build, groups};
use channel::signer::Signer as _;

use crate::channels::task::ChannelTask;
use crate::layer1;
use crate::tasks::Fatal;

impl ChannelTask {
    /// Takes everything whose lock is open and that is worth its fee. Said at every block.
    pub(super) fn sweep(&mut self) -> Result<(), Fatal> {
        if self.claims.is_empty() {
            return Ok(());
        }
        for (tx, fee) in self.ripe() {
            let txid = tx.compute_txid();
            self.swept.extend(tx.input.iter().map(|input| input.previous_output));
            tracing::info!(channel = self.index.0, %txid, %fee, "sweeping");
            self.meta.sweeps.push((txid, fee));
            let channel = self.index;
            let told = layer1::FromChannel::Broadcast { channel, tx, label: "sweep" };
            self.layer1(told)?;
        }
        Ok(())
    }

    fn ripe(&self) -> Vec<(Transaction, Amount)> {
        let tip = *self.common.height.borrow();
        let feerates = *self.common.feerates.borrow();
        let Some(to) = self.channel().and_then(channel::Channel::terms) else { return Vec::new() };
        let to = to.shutdown_script.clone();
        let open: Vec<Claim> = self
            .claims
            .iter()
            .filter(|claim| !self.swept.contains(&claim.spend.outpoint) && !claim.needs_coins())
            .cloned()
            .collect();
        let mut made = Vec::new();
        for group in groups(&open, tip) {
            let hurried = group.iter().any(|claim| claim.contested);
            let feerate = if hurried { feerates.normal } else { feerates.relaxed };
            let spends: Vec<_> = group.iter().map(|claim| &claim.spend).collect();
            let sweep = match build(&spends, &[], &to, feerate) {
                Ok(sweep) => sweep,
                Err(error) => {
                    // Worth less than its fee now; fees may fall.
                    tracing::debug!(channel = self.index.0, %error, "not swept yet");
                    continue;
                }
            };
            let mut tx = sweep.tx;
            match self.signer().sign_spends(&mut tx, &spends) {
                Ok(()) => made.push((tx, sweep.fee)),
                Err(refusal) => {
                    tracing::error!(channel = self.index.0, %refusal, "cannot sign a sweep");
                }
            }
        }
        made
    }
}
