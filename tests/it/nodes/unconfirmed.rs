//! Channels in use before their funding is in a block: who may, what flows, and what a double spend costs whom.

use bitcoin::Address;
use channel::Kind;
use daemon::rpc::model::channel::{ChannelPhase, CloseKind, OpenChannel};
use daemon::rpc::model::payment::PaymentStatus;
use daemon::rpc::model::wallet::{Coins, SendCoins};
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::Refusal;
use futures_util::StreamExt as _;
use viaduct_tests::layer1::nobody;
use viaduct_tests::ours::Place;
use viaduct_tests::until::until_async;
use wire::id::ChannelId;
use wire::units::Msat;

use super::pair::{CAPACITY, Pair, find, in_time, pay, pay_order, pay_some};

pub(crate) const ZERO_CONF: Kind = Kind { scid_alias: false, zero_conf: true };

/// A channel that alice funded, which bob trusts, in use and in no block.
async fn in_use(settings: &[(&str, &str)]) -> (Pair, ChannelId) {
    let pair = Pair::start(settings).await;
    pair.bob.trust(pair.alice.id(), true).await;
    let (node, address) = (pair.bob.id(), pair.bob.address());
    let id = pair.alice.open_channel_of_kind(node, address, CAPACITY, ZERO_CONF).await;
    pair.usable(id).await;
    (pair, id)
}

fn order(pair: &Pair, announce: bool, kind: Kind) -> OpenChannel {
    OpenChannel {
        key: None,
        node: pair.bob.id(),
        address: Some(pair.bob.address().to_string()),
        coins: Coins::Exactly(bitcoin::Amount::from_sat(CAPACITY)),
        push: Msat::ZERO,
        feerate: None,
        to_self_delay: None,
        announce,
        kind,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_nobody_trusts_opens_no_zero_conf_channel() {
    in_time(async {
        let pair = Pair::start(&[]).await;
        for trusted in [None, Some(false)] {
            if let Some(trusted) = trusted {
                pair.bob.trust(pair.alice.id(), true).await;
                pair.bob.trust(pair.alice.id(), trusted).await;
            }
            let opening = pair.alice.handle().open_channel(order(&pair, false, ZERO_CONF)).await;
            let mut updates = opening.expect("asked").updates;
            let mut last = None;
            while let Some(update) = updates.next().await {
                last = Some(update.expect("a channel"));
            }
            let last = last.expect("an answer");
            assert_eq!(last.phase, ChannelPhase::Failed);
            let why = last.why.unwrap_or_default();
            assert!(why.contains("operator trusts"), "{why}");
        }
        let both = Kind { scid_alias: true, zero_conf: false };
        let refused = pair.alice.handle().open_channel(order(&pair, true, both)).await;
        let why = format!("{:?}", refused.err());
        assert!(why.contains("cannot be announced"), "{why}");
        pair.mine(1).await;
        assert_eq!(pair.alice.balance().await.promised, bitcoin::Amount::ZERO);
        pair.account(0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zero_conf_channel_pays_at_once_survives_restarts_and_is_announced_six_blocks_later() {
    in_time(async {
        let mut pair = Pair::start(&[("channel.depth_min_blocks", "3")]).await;
        pair.bob.trust(pair.alice.id(), true).await;
        let opening = pair.alice.handle().open_channel(order(&pair, true, ZERO_CONF)).await;
        let mut updates = opening.expect("asked").updates;
        let id = loop {
            let channel = updates.next().await.expect("it goes on").expect("a channel");
            if channel.phase == ChannelPhase::Open {
                break channel.id;
            }
        };
        drop(updates);
        pair.usable(id).await;
        pay_some(&pair.alice, &pair.bob, 100_000_000).await;
        pay_some(&pair.bob, &pair.alice, 20_000_000).await;
        let (ours, theirs) = (pair.agree(id).await, find(&pair.bob, id).await);
        assert!(ours.zero_conf && theirs.zero_conf);
        assert_eq!((ours.short_id, ours.depth, ours.depth_needed), (None, 0, Some(0)));
        assert_eq!((ours.alias, theirs.alias), (theirs.peer_alias, ours.peer_alias));
        assert_eq!((ours.at_risk, theirs.at_risk.to_u64()), (Msat::ZERO, 80_000_000));
        // Both crash before there is a block; trust is durable.
        pair.alice = pair.alice.crash_and_restart().await;
        pair.bob = pair.bob.crash_and_restart().await;
        pair.alice.connect(pair.bob.id(), pair.bob.address()).await;
        pair.usable(id).await;
        pay_some(&pair.alice, &pair.bob, 1_000_000).await;
        assert!(
            pair.bob.handle().list_peers().await.unwrap().iter().all(|peer| peer.trust_funding)
        );
        // Into a block: it has a place, and is final three blocks later.
        pair.layer1.mempool_of(1).await;
        pair.mine(2).await;
        let theirs = find(&pair.bob, id).await;
        assert!(theirs.short_id.is_some() && theirs.at_risk > Msat::ZERO);
        pair.alice = pair.alice.crash_and_restart().await;
        pair.alice.connect(pair.bob.id(), pair.bob.address()).await;
        pair.mine(1).await;
        assert_eq!(find(&pair.bob, id).await.at_risk, Msat::ZERO);
        let announced = || async {
            let own = pair.alice.handle().own_gossip();
            own.announced.first().copied()
        };
        assert_eq!(announced().await, None);
        pair.mine(3).await;
        let scid = until_async("the announcement", String::new, announced).await;
        assert_eq!(Some(scid), theirs.short_id);
        pair.usable(id).await;
        pay_some(&pair.alice, &pair.bob, 1_000_000).await;
        pair.close_together(&pair.bob, id).await;
        pair.account(0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_peer_that_spends_the_coins_elsewhere_takes_what_it_paid_and_no_more() {
    in_time(async {
        let (mut pair, id) = in_use(&[]).await;
        pay_some(&pair.alice, &pair.bob, 100_000_000).await;
        let funding = find(&pair.bob, id).await.funding.expect("funded").txid;
        pair.layer1.mempool_of(1).await;
        // Bob knows which coins it is made from, also after a crash.
        pair.bob = pair.bob.crash_and_restart().await;
        let alice = pair.alice.sleep().await;
        assert!(pair.layer1.chain().evict(funding).await.expect("the sandbox"));
        let place = Place::new("twin", pair.dir.path(), &pair.layer1);
        let twin = alice.twin(place).await;
        twin.at_height(pair.layer1.height().await).await;
        let network = bitcoin::Network::Regtest;
        let address = Address::from_script(&nobody(), network).expect("an address");
        let label = String::new();
        let send = SendCoins { key: None, address, coins: Coins::All, feerate: None, label };
        let rival = twin.handle().send_coins(send).await.expect("sent").txid;
        pair.layer1.mempool_of(1).await;
        pair.bob.at_height(pair.layer1.mine(1).await).await;
        let failed = until_async("bob to give the channel up", String::new, || async {
            let view = find(&pair.bob, id).await;
            (view.phase == ChannelPhase::Closing).then_some(view)
        })
        .await;
        let why = failed.why.clone().unwrap_or_default();
        assert!(why.contains(&rival.expect("a transaction").to_string()), "{why}");
        assert!(why.contains("100000 sat that were ours in it are lost"), "{why}");
        assert_eq!(failed.closing.and_then(|it| it.kind), Some(CloseKind::FundingAbandoned));
        assert_eq!((failed.at_risk, failed.can_receive), (Msat::ZERO, failed.can_receive));
        // It stays so over a crash, and ends when nothing can undo it.
        pair.bob = pair.bob.crash_and_restart().await;
        for _ in 0..10 {
            pair.bob.at_height(pair.layer1.mine(10).await).await;
        }
        until_async("the channel to be over", String::new, || async {
            (find(&pair.bob, id).await.phase == ChannelPhase::Closed).then_some(())
        })
        .await;
        // Alice comes back and learns it from the chain.
        pair.alice = alice.wake().await;
        pair.synced().await;
        until_async("alice to learn of it", String::new, || async {
            (find(&pair.alice, id).await.phase == ChannelPhase::Closed).then_some(())
        })
        .await;
        assert_eq!(pair.bob.balance().await.confirmed.to_sat(), super::pair::COIN);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_coins_of_an_unconfirmed_channel_are_nobody_elses() {
    in_time(async {
        let (pair, id) = in_use(&[]).await;
        let held = pair.alice.balance().await;
        assert!(held.spendable.to_sat() < super::pair::COIN - CAPACITY, "{held:?}");
        // A second channel over what is left, and both confirm.
        let (node, address) = (pair.bob.id(), pair.bob.address());
        let refused = pair.alice.handle().open_channel(order(&pair, false, ZERO_CONF)).await;
        if let Ok(mut started) = refused {
            while let Some(update) = started.updates.next().await {
                let phase = update.expect("a channel").phase;
                assert!(phase != ChannelPhase::Closing);
            }
        } else {
            assert!(matches!(refused.err(), Some(Refusal::OpenInFlight { .. })), "one at a time");
        }
        pair.mine(1).await;
        let second = pair.alice.open_channel(node, address, CAPACITY).await;
        pair.layer1.mempool_of(1).await;
        pair.mine(1).await;
        pair.usable(second).await;
        let (invoice, _) = pair.bob.create_invoice(Some(3_000_000_000), 3_600).await;
        let paid = pay(pair.alice.handle(), pay_order(&invoice)).await.expect("not refused");
        assert!(matches!(paid.1, PaymentStatus::Succeeded { .. }), "{paid:?}");
        pair.close_together(&pair.alice, id).await;
        pair.close_together(&pair.alice, second).await;
        pair.account(0).await;
    })
    .await;
}
