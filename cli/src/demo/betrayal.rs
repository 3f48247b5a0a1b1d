//! The second act: one of the two broadcasts an old state, in which nothing was paid yet, and the other takes
//! all of the channel for it.

use std::time::Duration;

use api::client::Client;
use api::v1;
use tokio::time::sleep;

use super::account::{ANCHOR_SAT, Betrayal, Share};
use super::payments::{Order, make};
use super::story::{chain, open, step, wallet};
use super::{DemoError, During as _, story::Teller};
use crate::amount::sat;
use crate::sandbox::run::{Seat, key, mine};

/// What the channel holds.
const CHANNEL_SAT: u64 = 5_000_000;
/// What alice pays over it, and wants back.
const PAID_SAT: u64 = 3_000_000;
/// The state in which she had not paid yet: the first.
const OLD_STATE: u64 = 0;
/// How often it is looked whether bob's node has noticed.
const LOOK: Duration = Duration::from_millis(10);

/// Tells it.
pub(super) async fn tell(
    alice: &Seat,
    bob: &Seat,
    teller: &mut impl Teller,
) -> Result<Betrayal, DemoError> {
    let before = [now(alice).await?, now(bob).await?];
    let [alice_before, bob_before] = before;
    let chain_before = chain(alice).await?;

    let channel_id =
        step("opening the second channel", open(alice, bob, CHANNEL_SAT, false)).await?;
    let funding_fee = chain(alice).await?.fees_sat.saturating_sub(chain_before.fees_sat);
    let order = Order { from: 0, to: 1, amount_sat: PAID_SAT };
    let seats = [alice.clone(), bob.clone()];
    let tally = step("paying over the second channel", make(&seats, &[order], 1, |_| {})).await?;
    if tally.paid != 1 {
        return Err(DemoError::Cut("paying over the second channel"));
    }
    teller.done(&format!(
        "second act: another channel of {}, over which alice pays bob {}",
        sat(CHANNEL_SAT),
        sat(PAID_SAT)
    ));

    let cheat = step("cheating", cheat(alice, channel_id)).await?;
    mine(&alice.client, 1).await.during("confirming the theft")?;
    teller.done(&format!(
        "alice cheats: she broadcasts the state before that payment, signed and revoked, which gives \
         her {} again",
        sat(cheat.ours_sat)
    ));

    step("waiting for justice", justice(bob, bob_before)).await?;
    mine(&alice.client, 1).await.during("confirming justice")?;
    let chain_after = chain(alice).await?;
    let fees = chain_after.fees_sat.saturating_sub(chain_before.fees_sat);
    // In that state everything is hers, so what her commitment does not hold is its own fee.
    let close_fee = CHANNEL_SAT.saturating_sub(cheat.ours_sat).saturating_sub(ANCHOR_SAT);
    let justice_fee = fees.saturating_sub(funding_fee).saturating_sub(close_fee);
    let bobs_fees = fees.saturating_sub(funding_fee).saturating_add(ANCHOR_SAT);

    // What nobody stole: alice pays for the funding, and everything that was in the channel is bob's.
    let mut shares = [
        Share {
            before_sat: alice_before,
            sent_sat: CHANNEL_SAT,
            fees_sat: funding_fee,
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
    let taken_sat = bob_share.after_sat.saturating_sub(bob_before);
    let betrayal = Betrayal {
        channel_sat: CHANNEL_SAT,
        wanted_sat: cheat.ours_sat,
        taken_sat,
        justice_fee_sat: justice_fee,
        chain_fees_sat: fees,
        anchors_sat: ANCHOR_SAT,
        l1_transactions: chain_after.transactions.saturating_sub(chain_before.transactions),
        before_sat: alice_before.saturating_add(bob_before),
        after_sat: alice_share.after_sat.saturating_add(bob_share.after_sat),
        shares_agree: shares.iter().all(Share::agrees),
    };
    teller.done(&format!(
        "bob's node saw it and took everything: {} to bob, nothing of the channel to alice",
        sat(taken_sat)
    ));
    Ok(betrayal)
}

/// What a wallet holds in blocks.
async fn now(seat: &Seat) -> Result<u64, DemoError> {
    let send = |to: Client, ask| async move { to.wallet().balance(ask).await };
    let balance = seat.client.call(v1::BalanceRequest {}, send).await;
    Ok(balance.during("looking at a wallet")?.confirmed_sat)
}

async fn cheat(alice: &Seat, channel_id: String) -> Result<v1::CheatResponse, DemoError> {
    const CHEATING: &str = "cheating";
    let idempotency_key = key().during(CHEATING)?;
    let ask = v1::CheatRequest { idempotency_key, channel_id, state: OLD_STATE };
    let send = |to: Client, ask| async move { to.sandbox().cheat(ask).await };
    alice.client.call(ask, send).await.during(CHEATING)
}

/// Waits until bob's node has handed in what takes the coins: nothing else waits. It may have been faster
/// than the block, and in it already.
async fn justice(bob: &Seat, before_sat: u64) -> Result<(), DemoError> {
    while chain(bob).await?.mempool_transactions == 0 && now(bob).await? == before_sat {
        sleep(LOOK).await;
    }
    Ok(())
}
