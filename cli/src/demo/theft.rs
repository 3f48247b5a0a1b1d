//! A channel over which alice pays bob, and the old state by which she takes it all back: what both acts of it
//! have in common. Not here: who watches meanwhile (`betrayal`, `ambush`).

use api::client::Client;
use api::v1;

use super::account::{ANCHOR_SAT, Betrayal, Share};
use super::payments::{Order, make};
use super::story::{chain, open, step, wallet};
use super::{DemoError, During as _};
use crate::sandbox::run::{Seat, key};

/// What the channel holds.
pub(super) const CHANNEL_SAT: u64 = 5_000_000;
/// What alice pays over it, and wants back.
pub(super) const PAID_SAT: u64 = 3_000_000;
/// The state in which she had not paid yet: the first.
const OLD_STATE: u64 = 0;

/// A channel with something to take back, and what there was before it.
pub(super) struct Prey {
    /// The channel.
    pub(super) channel_id: String,
    /// What alice and bob had.
    pub(super) before: [u64; 2],
    chain_before: v1::SandboxStatusResponse,
    funding_fee: u64,
}

impl Prey {
    /// Opens the channel and pays over it.
    pub(super) async fn new(alice: &Seat, bob: &Seat) -> Result<Self, DemoError> {
        let before = [now(alice).await?, now(bob).await?];
        let chain_before = chain(alice).await?;
        let opened = open(alice, bob, CHANNEL_SAT, false);
        let channel_id = step("opening another channel", opened).await?;
        let funding_fee = chain(alice).await?.fees_sat.saturating_sub(chain_before.fees_sat);
        let orders = [Order { from: 0, to: 1, amount_sat: PAID_SAT }];
        let seats = [alice.clone(), bob.clone()];
        let paying = make(&seats, &orders, 1, |_| {});
        let tally = step("paying over another channel", paying).await?;
        if tally.paid != 1 {
            return Err(DemoError::Cut("paying over another channel"));
        }
        Ok(Self { channel_id, before, chain_before, funding_fee })
    }

    /// Alice broadcasts the state in which she had not paid.
    pub(super) async fn cheat(&self, alice: &Seat) -> Result<v1::CheatResponse, DemoError> {
        const CHEATING: &str = "cheating";
        let idempotency_key = key().during(CHEATING)?;
        let channel_id = self.channel_id.clone();
        let ask = v1::CheatRequest { idempotency_key, channel_id, state: OLD_STATE };
        let send = |to: Client, ask| async move { to.sandbox().cheat(ask).await };
        let cheating = async { alice.client.call(ask, send).await.during(CHEATING) };
        step(CHEATING, cheating).await
    }

    /// Whether somebody has answered a theft that is in a block: by a transaction that waits, for nothing else
    /// does, or by one that is in a block too.
    pub(super) async fn is_answered(&self, at: &Seat) -> Result<bool, DemoError> {
        let chain = chain(at).await?;
        let mined = chain.transactions.saturating_sub(self.chain_before.transactions);
        // Funding and theft.
        Ok(chain.mempool_transactions > 0 || mined > 2)
    }

    /// What became of it, once justice is in a block and both nodes have seen that.
    pub(super) async fn account(
        &self,
        cheat: &v1::CheatResponse,
        alice: &Seat,
        bob: &Seat,
    ) -> Result<Betrayal, DemoError> {
        let [alice_before, bob_before] = self.before;
        let chain_after = chain(alice).await?;
        let fees = chain_after.fees_sat.saturating_sub(self.chain_before.fees_sat);
        // In that state everything is hers, so what her commitment does not hold is its own fee.
        let close_fee = CHANNEL_SAT.saturating_sub(cheat.ours_sat).saturating_sub(ANCHOR_SAT);
        let justice_fee_sat = fees.saturating_sub(self.funding_fee).saturating_sub(close_fee);
        let bobs_fees = fees.saturating_sub(self.funding_fee).saturating_add(ANCHOR_SAT);

        // What nobody stole: alice pays for the funding, and everything that was in the channel is bob's.
        let mut shares = [
            Share {
                before_sat: alice_before,
                sent_sat: CHANNEL_SAT,
                fees_sat: self.funding_fee,
                ..Share::default()
            },
            Share {
                before_sat: bob_before,
                received_sat: CHANNEL_SAT,
                fees_sat: bobs_fees,
                ..Share::default()
            },
        ];
        for (share, seat) in shares.iter_mut().zip([alice, bob]) {
            share.after_sat = wallet(seat, share.should_sat()).await?;
        }
        let [alice_share, bob_share] = &shares;
        let transactions = self.chain_before.transactions;
        Ok(Betrayal {
            channel_sat: CHANNEL_SAT,
            wanted_sat: cheat.ours_sat,
            taken_sat: bob_share.after_sat.saturating_sub(bob_before),
            justice_fee_sat,
            chain_fees_sat: fees,
            anchors_sat: ANCHOR_SAT,
            l1_transactions: chain_after.transactions.saturating_sub(transactions),
            before_sat: alice_before.saturating_add(bob_before),
            after_sat: alice_share.after_sat.saturating_add(bob_share.after_sat),
            shares_agree: shares.iter().all(Share::agrees),
        })
    }
}

/// What a wallet holds in blocks.
async fn now(seat: &Seat) -> Result<u64, DemoError> {
    let send = |to: Client, ask| async move { to.wallet().balance(ask).await };
    let balance = seat.client.call(v1::BalanceRequest {}, send).await;
    Ok(balance.during("looking at a wallet")?.confirmed_sat)
}
