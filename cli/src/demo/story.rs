//! The story itself, step by step.

use std::path::PathBuf;
use std::time::Duration;

use api::client::Client;
use api::v1;
use tokio::time::{Instant, timeout};

use super::account::Share;
use super::payments::{Order, SEATS, Tally, make, patiently};
use super::{Account, DemoError, During as _, ambush, betrayal};
use crate::amount::{grouped, sat};
use crate::sandbox::SandboxError;
use crate::sandbox::dice::Dice;
use crate::sandbox::network::{Launch, Network};
use crate::sandbox::run::{MATURE, Seat, befriend, fund, key, mine, plan, seats};
use crate::sandbox::state::Layout;
use crate::sandbox::weave::known;

/// What the first node starts with.
const ALICE_SAT: u64 = 100_000_000;
/// What the second node starts with.
const BOB_SAT: u64 = 50_000_000;
/// What each channel holds.
const CHANNEL_SAT: u64 = 10_000_000;
/// What the node in the middle asks for each payment.
const FEE_SAT: u32 = 1;
/// The first payment, so that the last node has something to pay with.
const FIRST_SAT: u64 = 4_000_000;
/// Blocks on top of a channel before the network may hear of it. BOLT 7.
const ANNOUNCE_BLOCKS: u32 = 6;
/// Payments on their way at the same time.
const AT_A_TIME: usize = 16;
/// The longest that any one step may take.
const STEP: Duration = Duration::from_secs(50);

/// How the story is to go.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where everything goes; made, and left for the caller to remove.
    pub dir: PathBuf,
    /// How many payments, at least 2.
    pub payments: u64,
    /// Draws the amounts: the same seed, the same payments.
    pub seed: u64,
}

/// Somebody who listens to the story.
pub trait Teller {
    /// A step is done.
    fn done(&mut self, text: &str);
    /// So many payments of all have come to their end.
    fn progress(&mut self, ended: u64, all: u64);
}

/// Tells the story.
///
/// # Errors
///
/// Any [`DemoError`]. Payments that fail and sums that do not agree are no errors; the account has them.
pub async fn tell(
    launch: &impl Launch,
    settings: &Settings,
    teller: &mut impl Teller,
) -> Result<Account, DemoError> {
    let begin = Instant::now();
    let layout = Layout::new(settings.dir.clone());
    let names = ["alice", "bob", "carol"].map(str::to_owned);
    layout.make(&names)?;
    let mut plan = plan(&layout, &names)?;
    // Whole satoshi, so that the account can be told in them.
    plan.nodes.iter_mut().for_each(|node| node.fee_sat = Some(FEE_SAT));
    let mut network = launch.launch(plan).await.map_err(SandboxError::from)?;
    let told = chapters(&mut network, settings, teller).await;
    let stopped = network.stop().await.map_err(SandboxError::from);
    let mut account = told?;
    stopped?;
    account.took_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(account)
}

async fn chapters(
    network: &mut impl Network,
    settings: &Settings,
    teller: &mut impl Teller,
) -> Result<Account, DemoError> {
    let nodes = network.nodes();
    let seats = seats(&nodes).await?;
    let [alice, bob, carol] = seats.as_slice() else {
        return Err(DemoError::Cut("starting three nodes"));
    };

    mine(&alice.client, MATURE).await.during("making the first blocks")?;
    fund(alice, ALICE_SAT).await.during("funding alice")?;
    fund(bob, BOB_SAT).await.during("funding bob")?;
    let before = [wallet(alice, ALICE_SAT).await?, wallet(bob, BOB_SAT).await?, 0];
    teller.done(&format!(
        "chain and three nodes: alice has {}, bob has {}, carol has nothing",
        sat(ALICE_SAT),
        sat(BOB_SAT)
    ));
    let mut till = Till { seen: chain(alice).await?.fees_sat, paid_sat: [0; SEATS] };
    let transactions = chain(alice).await?.transactions;

    befriend(alice, bob).await.during("connecting")?;
    befriend(bob, carol).await.during("connecting")?;
    let to_bob = step("opening a channel", open(alice, bob, CHANNEL_SAT, true)).await?;
    till.charge(alice, ALICE).await?;
    let to_carol = step("opening a channel", open(bob, carol, CHANNEL_SAT, true)).await?;
    till.charge(alice, BOB).await?;
    mine(&alice.client, ANNOUNCE_BLOCKS).await.during("announcing the channels")?;
    known(network, 2, 3).await.during("waiting for gossip")?;
    teller.done(&format!(
        "channels open: {} from alice to bob, {} from bob to carol; everybody has heard of both",
        sat(CHANNEL_SAT),
        sat(CHANNEL_SAT)
    ));

    let tally = pay_through_a_crash(network, &seats, settings, teller).await?;
    let ended = tally.paid.saturating_add(tally.failed);
    let (forwarded, earned_msat) = forwards(bob, tally.paid).await?;
    let earned_sat = earned_msat / 1_000;
    teller.done(&format!(
        "{} payments between alice and carol ended, {} failed; bob passed them on for {} in fees and was \
         killed in the middle",
        grouped(ended),
        tally.failed,
        sat(earned_sat),
    ));

    let first = step("closing a channel", close(alice, &to_bob)).await?;
    till.charge(alice, ALICE).await?;
    let second = step("closing a channel", close(bob, &to_carol)).await?;
    till.charge(alice, BOB).await?;
    teller.done(&format!(
        "channels closed: {} to alice, {} and {} to bob, {} to carol",
        sat(first.ours_sat),
        sat(first.theirs_sat),
        sat(second.ours_sat),
        sat(second.theirs_sat)
    ));

    let chain_after = chain(alice).await?;
    let mut shares = [Share::default(); SEATS];
    let parts = before.iter().zip(tally.sent_sat).zip(tally.fees_msat).zip(tally.received_sat);
    for ((share, part), fees_sat) in shares.iter_mut().zip(parts).zip(till.paid_sat) {
        let (((before_sat, sent_sat), given_msat), received_sat) = part;
        *share = Share {
            before_sat: *before_sat,
            sent_sat: sent_sat.saturating_add(given_msat / 1_000),
            received_sat,
            fees_sat,
            after_sat: 0,
        };
    }
    if let Some(share) = shares.get_mut(BOB) {
        share.received_sat = share.received_sat.saturating_add(earned_sat);
    }
    for (share, seat) in shares.iter_mut().zip([alice, bob, carol]) {
        share.after_sat = wallet(seat, share.should_sat()).await?;
    }
    let sum = |of: fn(&Share) -> u64| shares.iter().map(of).fold(0, u64::saturating_add);
    let betrayal = betrayal::tell(alice, bob, teller).await?;
    let tower = settings.dir.join("tower");
    let ambush = ambush::tell(network, [alice, bob], &tower, teller).await?;
    let given_msat = tally.fees_msat.iter().copied().fold(0, u64::saturating_add);
    Ok(Account {
        payments: tally.paid,
        failed: tally.failed,
        l1_transactions: chain_after.transactions.saturating_sub(transactions),
        chain_fees_sat: till.paid_sat.iter().copied().fold(0, u64::saturating_add),
        before_sat: sum(|share| share.before_sat),
        after_sat: sum(|share| share.after_sat),
        volume_sat: tally.sent_sat.iter().copied().fold(0, u64::saturating_add),
        forwarded,
        forward_fees_sat: earned_sat,
        shares_agree: shares.iter().all(Share::agrees)
            && forwarded == tally.paid
            && earned_msat == given_msat,
        cheats_punished: betrayal.cheats_punished().saturating_add(ambush.cheats_punished()),
        betrayal,
        ambush,
        took_ms: 0,
    })
}

/// Places of those who pay for channels.
const ALICE: usize = 0;
/// See above.
const BOB: usize = 1;

/// Who has paid how much to miners. Who opened a channel pays for it.
struct Till {
    seen: u64,
    paid_sat: [u64; SEATS],
}

impl Till {
    /// What the chain has taken since the last time was for this one.
    async fn charge(&mut self, at: &Seat, who: usize) -> Result<(), DemoError> {
        let now = chain(at).await?.fees_sat;
        if let Some(paid) = self.paid_sat.get_mut(who) {
            *paid = paid.saturating_add(now.saturating_sub(self.seen));
        }
        self.seen = now;
        Ok(())
    }
}

/// What a node passed on, and what it got for it in msat, once it tells of so many, or after a while
/// whatever it tells.
async fn forwards(seat: &Seat, should: u64) -> Result<(u64, u64), DemoError> {
    let mut told = (0, 0);
    for _ in 0..40 {
        let ask = || async { seat.client.node().info(v1::InfoRequest {}).await };
        let info = patiently(ask).await.during("asking for forwards")?.into_inner();
        told = (info.forwarded_count, info.forward_fees_msat);
        if told.0 == should {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(told)
}

/// One large payment, then many small ones both ways; in the middle of them bob's node is killed and
/// started again.
async fn pay_through_a_crash(
    network: &mut impl Network,
    seats: &[Seat],
    settings: &Settings,
    teller: &mut impl Teller,
) -> Result<Tally, DemoError> {
    let all = settings.payments.max(2);
    let first = Order { from: 0, to: 2, amount_sat: FIRST_SAT };
    let tally = make(seats, &[first], 1, |_| {}).await?;

    let orders = orders(all.saturating_sub(1), settings.seed);
    let middle = u64::try_from(orders.len()).unwrap_or(u64::MAX).div_ceil(2);
    let reached = tokio::sync::Notify::new();
    let paying = make(seats, &orders, AT_A_TIME, |so_far| {
        let ended = so_far.paid.saturating_add(so_far.failed);
        teller.progress(ended.saturating_add(1), all);
        if ended == middle {
            reached.notify_one();
        }
    });
    let crashing = async {
        reached.notified().await;
        network.kill("bob").await.map_err(SandboxError::from)?;
        network.restart("bob").await.map_err(SandboxError::from)?;
        Ok::<(), DemoError>(())
    };
    // Without payments there is no middle, and the bell never rings.
    let rest =
        if orders.is_empty() { paying.await? } else { reached_or_run(paying, crashing).await? };
    Ok(tally.and(&rest))
}

/// Both at once; the second only rings when the first has come to its middle.
async fn reached_or_run(
    paying: impl Future<Output = Result<Tally, DemoError>>,
    crashing: impl Future<Output = Result<(), DemoError>>,
) -> Result<Tally, DemoError> {
    let both = async {
        let (tally, crashed) = tokio::join!(paying, crashing);
        crashed?;
        tally
    };
    step("paying", both).await
}

/// Payments both ways in turn, with amounts between 500 and 4595 sat: none so small that it would have no
/// output of its own in a commitment transaction.
fn orders(count: u64, seed: u64) -> Vec<Order> {
    let mut dice = Dice::new(seed);
    (0..count)
        .map(|index| {
            let amount_sat = dice.below(4_096).saturating_add(500);
            let (from, to) = if index.is_multiple_of(2) { (0, 2) } else { (2, 0) };
            Order { from, to, amount_sat }
        })
        .collect()
}

pub(super) async fn step<T>(
    what: &'static str,
    work: impl Future<Output = Result<T, DemoError>>,
) -> Result<T, DemoError> {
    timeout(STEP, work).await.map_err(|_| DemoError::TooLong(what))?
}

pub(super) async fn chain(seat: &Seat) -> Result<v1::SandboxStatusResponse, DemoError> {
    let ask = v1::SandboxStatusRequest {};
    let send = |to: Client, ask| async move { to.sandbox().status(ask).await };
    seat.client.call(ask, send).await.during("looking at the chain")
}

/// What the wallet holds in blocks, once it holds so much, or after a while whatever it holds.
pub(super) async fn wallet(seat: &Seat, should_sat: u64) -> Result<u64, DemoError> {
    let mut holds = 0;
    for _ in 0..100 {
        let ask = || async { seat.client.wallet().balance(v1::BalanceRequest {}).await };
        let balance = patiently(ask).await.during("looking at a wallet")?.into_inner();
        holds = balance.confirmed_sat;
        if holds == should_sat {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(holds)
}

pub(super) async fn open(
    alice: &Seat,
    bob: &Seat,
    amount_sat: u64,
    announce: bool,
) -> Result<String, DemoError> {
    const OPENING: &str = "opening the channel";
    let ask = v1::OpenChannelRequest {
        idempotency_key: key().during(OPENING)?,
        node_id: bob.node.node_id.clone(),
        amount: Some(v1::open_channel_request::Amount::AmountSat(amount_sat)),
        announce,
        ..Default::default()
    };
    let mut steps = alice.client.channels().open(ask).await.during(OPENING)?.into_inner();
    let mut mined = false;
    while let Some(progress) = steps.message().await.during(OPENING)? {
        match progress.stage() {
            v1::OpenStage::Ready => return Ok(progress.channel_id),
            v1::OpenStage::Broadcast if !mined => {
                mine(&alice.client, progress.confirmations_required().max(1))
                    .await
                    .during(OPENING)?;
                mined = true;
            }
            v1::OpenStage::Unspecified
            | v1::OpenStage::Planned
            | v1::OpenStage::Negotiating
            | v1::OpenStage::Negotiated
            | v1::OpenStage::Broadcast
            | v1::OpenStage::Confirmed => {}
        }
    }
    Err(DemoError::Cut(OPENING))
}

async fn close(alice: &Seat, channel_id: &str) -> Result<v1::CloseProgress, DemoError> {
    const CLOSING: &str = "closing the channel";
    let ask = v1::CloseChannelRequest {
        idempotency_key: key().during(CLOSING)?,
        channel_id: channel_id.to_owned(),
        ..Default::default()
    };
    // Whoever was killed may not be connected again yet.
    let begin = || async {
        let mut steps = alice.client.channels().close(ask.clone()).await?.into_inner();
        let first = steps.message().await?;
        Ok((first, steps))
    };
    let (mut next, mut steps) = patiently(begin).await.during(CLOSING)?;
    let mut mined = false;
    while let Some(progress) = next {
        match progress.stage() {
            v1::CloseStage::Done | v1::CloseStage::Confirmed => return Ok(progress),
            v1::CloseStage::Broadcast if !mined => {
                mine(&alice.client, progress.confirmations_required.max(1))
                    .await
                    .during(CLOSING)?;
                mined = true;
            }
            v1::CloseStage::Unspecified
            | v1::CloseStage::Planned
            | v1::CloseStage::Negotiating
            | v1::CloseStage::Broadcast => {}
        }
        next = steps.message().await.during(CLOSING)?;
    }
    Err(DemoError::Cut(CLOSING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_payments() {
        let amounts =
            |seed| orders(50, seed).iter().map(|order| order.amount_sat).collect::<Vec<_>>();
        assert_eq!(amounts(7), amounts(7));
        assert_ne!(amounts(7), amounts(8));
        assert!(amounts(7).iter().all(|amount| (500..=4_595).contains(amount)));
    }

    #[test]
    fn payments_go_both_ways_and_never_beyond_what_is_there() {
        let orders = orders(100_000, 7);
        let from_alice = orders.iter().filter(|order| order.from == 0).count();
        assert_eq!(from_alice, 50_000);
        let mut carol = i64::try_from(FIRST_SAT).unwrap();
        for order in &orders {
            let amount = i64::try_from(order.amount_sat).unwrap();
            carol += if order.to == 2 { amount } else { -amount };
            assert!(carol > 1_000_000 && carol < 9_000_000);
        }
    }
}
