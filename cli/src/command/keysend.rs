//! `keysend`.

use api::v1;

use super::pay::{FEE_FLOOR_MSAT, FEE_SHARE, follow, show};
use crate::amount::{Amount, msat};
use crate::context::Context;
use crate::failure::Failure;
use crate::resolve::{self, named};

/// Pay a node that asked for nothing: the preimage travels with the payment.
///
/// Shows whom, how much and what it costs at most, and asks first. The same --idempotency-key never pays
/// twice. Ctrl-C ends the watching, never the payment.
#[derive(Debug, clap::Args)]
pub(crate) struct Keysend {
    /// Whom: a public key, or the name or a piece of the id of a peer.
    node: String,
    /// How much: 50000, 50sat, 50_000msat, 1k.
    amount: Amount,
    /// The most to give to nodes on the way; 0.5 percent, at least 5 sat, unless said otherwise.
    #[arg(long, value_name = "AMOUNT")]
    max_fee: Option<Amount>,
    /// Stop trying new ways after so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    timeout: Option<u32>,
}

impl Keysend {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let destination = resolve::peer(cx, &self.node).await?;
        let mut alias = String::new();
        cx.name(&mut alias, &destination);
        let amount = self.amount.msat()?;
        let fee_limit = match self.max_fee {
            Some(limit) => limit.msat()?,
            None => (amount / FEE_SHARE).max(FEE_FLOOR_MSAT),
        };
        let question = format!(
            "Pay {} to {}, who did not ask for it, fee at most {}?",
            msat(amount),
            named(&alias, &destination),
            msat(fee_limit)
        );
        cx.screen.confirm(&[], &question)?;
        let key = cx.key()?;
        // The key names the payment before it has a hash: the same again attaches to it.
        let again = format!("keysend {destination} {amount}msat --idempotency-key {key}");
        let again = cx.again(&again);
        let ask = v1::KeysendRequest {
            idempotency_key: key,
            destination,
            amount_msat: amount,
            fee_limit_msat: Some(fee_limit),
            timeout_ms: self.timeout.map(|seconds| seconds.saturating_mul(1_000)),
        };
        let lost = |status| Failure::after_sending(&status, "the payment", again.clone());
        let stream = cx.client.payments().keysend(ask).await.map_err(lost)?.into_inner();
        let payment = follow(cx, stream, &again).await?;
        show(cx, &payment, &alias)
    }
}
