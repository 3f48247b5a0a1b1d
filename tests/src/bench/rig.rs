//! What is measured: two nodes with one channel, whoever made them.

use async_trait::async_trait;

/// Two nodes of one kind in this process, connected, with an open channel from payer to payee.
#[async_trait(?Send)]
pub trait PaymentRig {
    /// Makes `count` payments of `msat` each from payer to payee, at most `window` of them in flight at
    /// any time, and waits until the payer has the proof of all. Whatever is needed beforehand
    /// (invoices) is made before the clock starts.
    async fn pay_batch(&mut self, count: usize, window: usize, msat: u64) -> Sample;

    /// Stops both nodes and frees their directories.
    async fn stop(self: Box<Self>);
}

/// What a batch took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Payments made.
    pub payments: usize,
    /// Seconds from the first order to the last proof.
    pub seconds: f64,
    /// Processor time of the whole process, milliseconds.
    pub cpu_ms: f64,
    /// `fsync` and `fdatasync` calls of both nodes' stores.
    pub syncs: u64,
    /// Bytes that both nodes handed to their stores.
    pub bytes: u64,
}

impl Sample {
    /// Payments a second.
    pub fn rate(&self) -> f64 {
        self.payments as f64 / self.seconds
    }

    /// Something counted over the batch, for one payment.
    pub fn each(&self, total: f64) -> f64 {
        total / self.payments as f64
    }
}
