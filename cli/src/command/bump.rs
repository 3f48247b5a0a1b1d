//! `bump`.

use api::v1;
use api::v1::bump_request::How;

use crate::amount::{grouped, sat};
use crate::context::Context;
use crate::failure::Failure;
use crate::render::Tone;
use crate::resolve::{self, short};

/// Raise the fee of a transaction that waits for a block too long.
///
/// Name the transaction, or a channel: then it is about whatever that waits for. A sweep or a payment of
/// yours is replaced; a commitment, a funding transaction or a close is paid for by a child. Deadlines are
/// kept without this; it is for your own hurry.
#[derive(Debug, clap::Args)]
pub(crate) struct Bump {
    /// A transaction id, or a channel: its id or short id, a beginning of it, or the peer's alias.
    target: String,
    /// Fee rate in satoshi for each virtual byte.
    #[arg(long, value_name = "SAT_PER_VB", conflicts_with = "deadline")]
    feerate: Option<u64>,
    /// The height of the block that is to have it at the latest.
    #[arg(long, value_name = "HEIGHT")]
    deadline: Option<u32>,
}

impl Bump {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let whole = self.target.len() == 64 && self.target.bytes().all(|b| b.is_ascii_hexdigit());
        let target = if whole { self.target } else { resolve::channel(cx, &self.target).await? };
        let how = self
            .feerate
            .map(How::FeerateSatPerVb)
            .or_else(|| self.deadline.map(How::DeadlineHeight));
        let ask = v1::BumpRequest { idempotency_key: cx.key()?, target, how };
        let done =
            cx.client.call(ask, |to, ask| async move { to.wallet().bump(ask).await }).await?;
        cx.screen.result(
            &done,
            |done| vec![done.txid.clone()],
            |screen, done| {
                let mark = screen.paint(Tone::Good, "✓");
                let what = match done.kind() {
                    v1::BumpKind::Sweep => "sweep replaced by",
                    v1::BumpKind::Commitment => "commitment paid for by its child",
                    v1::BumpKind::Child => "paid for by its child",
                    v1::BumpKind::Replacement | v1::BumpKind::Unspecified => "replaced by",
                };
                format!(
                    "{mark} {what} {} (fee {}, {} sat per 1000 weight)",
                    short(&done.txid),
                    sat(done.fee_sat),
                    grouped(done.feerate_sat_per_kw.into())
                )
            },
        )
    }
}
