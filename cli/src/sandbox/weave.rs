//! Makes a network out of nodes: coins for all, channels by a plan, announced, and everybody knows of all.
//!
//! What is there already stays, so the same plan can be laid over a sandbox that comes up again.

use std::collections::BTreeSet;
use std::time::Duration;

use api::client::Client;
use api::v1;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::{Instant, sleep};
use tonic::Status;

use super::network::{Known, Network};
use super::run::{FUNDS_SAT, MATURE, Seat, befriend, fund, key, mine};

/// What each channel holds, in satoshi; half of it is given to the peer.
pub const CAPACITY_SAT: u64 = 10_000_000;
/// Blocks on top of a channel, its own included, before it may be announced. BOLT 7.
const ANNOUNCE_DEPTH: u32 = 6;
/// Transactions that may stand on one another in the mempool, with some room.
const CHAIN_MAX: usize = 20;
/// What a transfer costs at most, in satoshi.
const FEE_SAT: u64 = 10_000;
/// Nodes that are spoken to at the same time.
const AT_ONCE: usize = 8;
/// Channels of a node in one answer.
const PAGE: u32 = 1_000;
/// How long one thing may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Lays `channels`, each from the first to the second by their places in `seats`, and waits until all are usable.
pub(crate) async fn weave(seats: &[Seat], channels: &[(usize, usize)]) -> Result<(), Status> {
    let Some(first) = seats.first() else { return Ok(()) };
    let height = chain(first).await?.block_height;
    if height < MATURE {
        mine(&first.client, MATURE.saturating_sub(height)).await?;
    }
    let all: Vec<(&Seat, &Seat)> = channels
        .iter()
        .filter_map(|(from, to)| Some((seats.get(*from)?, seats.get(*to)?)))
        .collect();
    let mut missing = Vec::new();
    for seat in seats {
        let peers = peers_of(seat).await?;
        let mine = all.iter().filter(|(from, _)| from.node.node_id == seat.node.node_id);
        missing.push((
            seat,
            mine.filter(|(_, to)| !peers.contains(&to.node.node_id)).collect::<Vec<_>>(),
        ));
    }
    fill(first, seats).await?;
    each(all.iter().copied(), |(from, to)| befriend(from, to)).await?;
    let count: usize = missing.iter().map(|(_, wanted)| wanted.len()).sum();
    each(missing.iter(), |(from, wanted)| async move {
        for (_, to) in wanted {
            open(from, to).await?;
        }
        Ok(())
    })
    .await?;
    if count > 0 {
        until("every funding transaction to be seen", || async {
            let waiting = chain(first).await?.mempool_transactions;
            Ok(usize::try_from(waiting).is_ok_and(|waiting| waiting >= count))
        })
        .await?;
        mine(&first.client, ANNOUNCE_DEPTH).await?;
    }
    for seat in seats {
        until("every channel to be usable", || usable(seat)).await?;
    }
    Ok(())
}

/// Waits until every node knows so many channels from both ends, and so many nodes by name.
pub(crate) async fn known(
    network: &impl Network,
    channels: usize,
    nodes: usize,
) -> Result<(), Status> {
    let whole = Known { channels, nodes };
    until("everybody to know of all channels", || async {
        Ok(network.known().iter().all(|known| *known == whole))
    })
    .await
}

/// Coins for everybody who has none.
async fn fill(first: &Seat, seats: &[Seat]) -> Result<(), Status> {
    let mut poor = Vec::new();
    for seat in seats {
        if held(seat).await? == 0 && peers_of(seat).await?.is_empty() {
            poor.push(seat);
        }
    }
    if poor.is_empty() {
        return Ok(());
    }
    // One faucet for all, and few blocks: every block is work for every node.
    let each = FUNDS_SAT.saturating_add(FEE_SAT);
    let sum = each.saturating_mul(u64::try_from(poor.len()).unwrap_or(u64::MAX));
    fund(first, sum).await?;
    let others: Vec<&Seat> =
        poor.iter().filter(|seat| seat.node.node_id != first.node.node_id).copied().collect();
    for some in others.chunks(CHAIN_MAX) {
        for seat in some {
            send(first, seat, FUNDS_SAT).await?;
        }
        mine(&first.client, 1).await?;
    }
    for seat in poor {
        until("coins to arrive", || async { Ok(held(seat).await? > 0) }).await?;
    }
    Ok(())
}

async fn send(from: &Seat, to: &Seat, amount_sat: u64) -> Result<(), Status> {
    let ask = v1::NewAddressRequest { idempotency_key: key()?, r#type: 0 };
    let new = |to: Client, ask| async move { to.wallet().new_address(ask).await };
    let address = to.client.call(ask, new).await?.address;
    let ask = v1::SendRequest {
        idempotency_key: key()?,
        address,
        amount: Some(v1::send_request::Amount::AmountSat(amount_sat)),
        ..Default::default()
    };
    from.client.call(ask, |to, ask| async move { to.wallet().send(ask).await }).await?;
    Ok(())
}

/// Opens a channel, half of it the peer's, and waits until its funding is broadcast.
async fn open(from: &Seat, to: &Seat) -> Result<(), Status> {
    let ask = v1::OpenChannelRequest {
        idempotency_key: key()?,
        node_id: to.node.node_id.clone(),
        amount: Some(v1::open_channel_request::Amount::AmountSat(CAPACITY_SAT)),
        push_msat: Some(CAPACITY_SAT.saturating_mul(1_000) / 2),
        announce: true,
        ..Default::default()
    };
    let mut steps = from.client.channels().open(ask).await?.into_inner();
    while let Some(progress) = steps.message().await? {
        match progress.stage() {
            v1::OpenStage::Broadcast | v1::OpenStage::Confirmed | v1::OpenStage::Ready => {
                return Ok(());
            }
            v1::OpenStage::Unspecified
            | v1::OpenStage::Planned
            | v1::OpenStage::Negotiating
            | v1::OpenStage::Negotiated => {}
        }
    }
    Err(Status::unavailable("a channel did not come about"))
}

/// All channels of a node that are not closed.
pub(crate) async fn channels_of(seat: &Seat) -> Result<Vec<v1::Channel>, Status> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let ask = v1::ListChannelsRequest { page_size: PAGE, page_token, ..Default::default() };
        let list = |to: Client, ask| async move { to.channels().list(ask).await };
        let page = seat.client.call(ask, list).await?;
        all.extend(page.channels);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        page_token = page.next_page_token;
    }
}

async fn peers_of(seat: &Seat) -> Result<BTreeSet<String>, Status> {
    Ok(channels_of(seat).await?.into_iter().map(|channel| channel.node_id).collect())
}

async fn usable(seat: &Seat) -> Result<bool, Status> {
    let is_usable =
        |channel: &v1::Channel| channel.connected && channel.state() == v1::ChannelState::Open;
    Ok(channels_of(seat).await?.iter().all(is_usable))
}

async fn held(seat: &Seat) -> Result<u64, Status> {
    let send = |to: Client, ask| async move { to.wallet().balance(ask).await };
    Ok(seat.client.call(v1::BalanceRequest {}, send).await?.confirmed_sat)
}

async fn chain(seat: &Seat) -> Result<v1::SandboxStatusResponse, Status> {
    let send = |to: Client, ask| async move { to.sandbox().status(ask).await };
    seat.client.call(v1::SandboxStatusRequest {}, send).await
}

/// Does something for each, a few at a time.
async fn each<T, F>(all: impl Iterator<Item = T>, work: impl Fn(T) -> F) -> Result<(), Status>
where
    F: Future<Output = Result<(), Status>>,
{
    stream::iter(all.map(work)).buffer_unordered(AT_ONCE).try_collect().await
}

/// Looks until it is so.
pub(crate) async fn until<F>(what: &str, mut look: impl FnMut() -> F) -> Result<(), Status>
where
    F: Future<Output = Result<bool, Status>>,
{
    let begin = Instant::now();
    while !look().await? {
        if begin.elapsed() >= PATIENCE {
            return Err(Status::deadline_exceeded(format!("waited too long for {what}")));
        }
        sleep(LOOK).await;
    }
    Ok(())
}
