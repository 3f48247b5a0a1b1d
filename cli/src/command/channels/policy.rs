//! `channels policy`.

use api::v1;

use crate::amount::msat;
use crate::context::Context;
use crate::failure::Failure;
use crate::resolve;

/// What a channel asks of those who forward over it. Without an option: shows it.
#[derive(Debug, clap::Args)]
pub(crate) struct Policy {
    /// The channel: its id or short id, a beginning of it, or the peer's alias.
    channel: String,
    /// Flat fee, in msat.
    #[arg(long, value_name = "MSAT")]
    base_msat: Option<u64>,
    /// Fee for each million forwarded.
    #[arg(long)]
    ppm: Option<u32>,
    /// Blocks between the expiries of what comes in and what goes out.
    #[arg(long, value_name = "BLOCKS")]
    delta: Option<u32>,
    /// The least that goes out, in msat.
    #[arg(long, value_name = "MSAT")]
    min: Option<u64>,
    /// The most that goes out in one HTLC, in msat.
    #[arg(long, value_name = "MSAT")]
    max: Option<u64>,
    /// Whether anything goes out over it: true or false.
    #[arg(long, value_name = "YES")]
    enabled: Option<bool>,
}

impl Policy {
    pub(super) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let channel_id = resolve::channel(cx, &self.channel).await?;
        let ask = v1::SetPolicyRequest {
            idempotency_key: String::new(),
            channel_id: channel_id.clone(),
            enabled: self.enabled,
            base_msat: self.base_msat,
            ppm: self.ppm,
            cltv_delta_blocks: self.delta,
            htlc_min_msat: self.min,
            htlc_max_msat: self.max,
        };
        let changes = ask.enabled.is_some()
            || ask.base_msat.is_some()
            || ask.ppm.is_some()
            || ask.cltv_delta_blocks.is_some()
            || ask.htlc_min_msat.is_some()
            || ask.htlc_max_msat.is_some();
        let policy = if changes {
            cx.client
                .call(ask, |to, ask| async move { to.forwards().set_policy(ask).await })
                .await?
        } else {
            let ask = v1::GetPolicyRequest { channel_id };
            cx.client
                .call(ask, |to, ask| async move { to.forwards().get_policy(ask).await })
                .await?
        };
        cx.screen.result(
            &policy,
            |policy| vec![policy.channel_id.clone()],
            |_, policy| details(policy),
        )
    }
}

fn details(policy: &v1::ForwardPolicy) -> String {
    let goes = if policy.enabled { "yes" } else { "no: nothing goes out over it" };
    [
        format!("channel   {}", policy.channel_id),
        format!("forwards  {goes}"),
        format!("fee       {} msat + {} per million", policy.base_msat, policy.ppm),
        format!("delta     {} blocks", policy.cltv_delta_blocks),
        format!("least     {}", msat(policy.htlc_min_msat)),
        format!("most      {}", msat(policy.htlc_max_msat)),
    ]
    .join("\n")
}
