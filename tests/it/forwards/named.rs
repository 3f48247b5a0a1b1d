//! Forwards over channels that are named by aliases: in no block yet, or never to be told by their place.

use channel::Kind;
use daemon::rpc::model::payment::PaymentStatus;
use viaduct_tests::until::until_async;
use wire::id::ChannelId;
use wire::onion::failure::code;

use super::line::{DELTA, Line, SMALLER, failure, fee};
use crate::nodes::pair::{find, in_time, pay, pay_order};

/// Bob closes the line's second channel and opens another to carol; answers its id.
async fn second_of_kind(line: &Line, kind: Kind) -> ChannelId {
    let funding = find(&line.bob, line.second).await.funding.expect("funded");
    line.bob.close(line.second, false).await;
    line.layer1.spend_seen(funding).await;
    line.mine(2).await;
    let (node, address) = (line.carol.id(), line.carol.address());
    let id = line.bob.open_channel_of_kind(node, address, SMALLER, kind).await;
    line.layer1.mempool_of(1).await;
    if !kind.zero_conf {
        line.mine(1).await;
    }
    line.bob.usable(id).await;
    line.carol.usable(id).await;
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_only_its_alias_names_is_not_found_by_its_place() {
    in_time(async {
        let line = Line::start().await;
        let kind = Kind { scid_alias: true, zero_conf: false };
        let id = second_of_kind(&line, kind).await;
        let view = find(&line.bob, id).await;
        let (alias, place) = (view.alias.expect("an alias"), view.short_id.expect("in a block"));
        let via = line.via_channel(alias, fee(50_000_000), DELTA);
        let (_, status) = line.pay_by(50_000_000, via).await;
        assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
        let via = line.via_channel(place, fee(50_000_000), DELTA);
        let (_, status) = line.pay_by(50_000_000, via).await;
        assert_eq!(failure(&status), (code::UNKNOWN_NEXT_PEER, line.bob.id()));
        // Carol's invoices name the alias, and gossip the same.
        let told = until_async("the hint", String::new, || async {
            let (invoice, _) = line.carol.create_invoice(Some(1_000_000), 3_600).await;
            let read: lightning_invoice::Bolt11Invoice = invoice.parse().expect("an invoice");
            let hints = read.route_hints();
            let first = hints.first()?.0.first()?.short_channel_id;
            Some((invoice, first))
        })
        .await;
        assert_eq!(told.1, alias.to_u64());
        let own = line.carol.handle().own_gossip();
        assert!(own.ours.values().all(|said| said.short_channel_id != place));
        let paid = pay(line.alice.handle(), pay_order(&told.0)).await.expect("not refused");
        assert!(matches!(paid.1, PaymentStatus::Succeeded { .. }), "{paid:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_in_no_block_carries_forwards_by_its_alias() {
    in_time(async {
        let line = Line::start().await;
        line.carol.trust(line.bob.id(), true).await;
        let kind = Kind { scid_alias: false, zero_conf: true };
        let id = second_of_kind(&line, kind).await;
        assert_eq!(find(&line.bob, id).await.depth, 0);
        let alias = find(&line.bob, id).await.alias.expect("an alias");
        let via = line.via_channel(alias, fee(50_000_000), DELTA);
        let (_, status) = line.pay_by(50_000_000, via).await;
        assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
        assert_eq!(find(&line.bob, id).await.depth, 0, "still in no block");
        // In a block both names lead there.
        line.mine(1).await;
        let place =
            until_async("its place", String::new, || async { find(&line.bob, id).await.short_id })
                .await;
        for name in [alias, place] {
            let via = line.via_channel(name, fee(1_000_000), DELTA);
            let (_, status) = line.pay_by(1_000_000, via).await;
            assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{name}: {status:?}");
        }
    })
    .await;
}
