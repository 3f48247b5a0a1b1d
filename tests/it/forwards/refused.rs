//! Each reason why nothing goes on, told by the right node with the right code. BOLT 4 § Failure Messages.

use daemon::rpc::model::channel::{ChannelRef, CloseChannel, CloseHow};
use daemon::rpc::model::forward::{ForwardFailure, ForwardState};
use daemon::rpc::model::invoice::{CreateInvoice, Description};
use daemon::rpc::model::payment::{PaymentFailure, PaymentStatus};
use daemon::rpc::node_api::NodeApi as _;
use viaduct_tests::until::until_async;
use wire::codec::{Decode as _, Reader};
use wire::id::ShortChannelId;
use wire::message::ChannelUpdate;
use wire::onion::failure::code;
use wire::units::{BlockHeight, Msat};

use super::line::{DELTA, Line, failure, fee};
use super::policy::{change, set};
use crate::nodes::pair::{find, in_time};

/// What is paid.
const MSAT: u64 = 10_000_000;

async fn refused(line: &Line, msat: u64, fee_msat: u64, delta: u32, wanted: u16) {
    let via = line.via(fee_msat, delta).await;
    let (hash, status) = line.pay_by(msat, via).await;
    assert_eq!(failure(&status), (wanted, line.bob.id()), "{wanted:#06x}");
    let forward = line.newest(hash).await;
    assert_eq!(forward.state, ForwardState::Failed(ForwardFailure::Refused(wanted)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_has_its_code_and_its_author() {
    in_time(async {
        let line = Line::start().await;
        let before = line.bobs_msat().await;
        refused(&line, MSAT, fee(MSAT) - 1, DELTA, code::FEE_INSUFFICIENT).await;
        refused(&line, MSAT, fee(MSAT), DELTA - 1, code::INCORRECT_CLTV_EXPIRY).await;
        // More than bob has there.
        let much = 1_200_000_000;
        refused(&line, much, fee(much), DELTA, code::TEMPORARY_CHANNEL_FAILURE).await;

        let nowhere = ShortChannelId::from_parts(BlockHeight(1), 2, 3).expect("an id");
        let via = line.via_channel(nowhere, fee(MSAT), DELTA);
        let (_, status) = line.pay_by(MSAT, via).await;
        assert_eq!(failure(&status), (code::UNKNOWN_NEXT_PEER, line.bob.id()));
        // Back where it came from is no way on.
        let back = find(&line.bob, line.first).await.short_id.expect("in a block");
        let via = line.via_channel(back, fee(MSAT), DELTA);
        let (_, status) = line.pay_by(MSAT, via).await;
        assert_eq!(failure(&status), (code::TEMPORARY_CHANNEL_FAILURE, line.bob.id()));

        let mut closed = change();
        closed.enabled = Some(false);
        set(&line, closed).await;
        refused(&line, MSAT, fee(MSAT), DELTA, code::CHANNEL_DISABLED).await;
        let mut open = change();
        open.enabled = Some(true);
        open.htlc_min = Msat::new(MSAT + 1);
        set(&line, open).await;
        refused(&line, 1_000, fee(1_000), DELTA, code::AMOUNT_BELOW_MINIMUM).await;

        line.quiet().await;
        assert_eq!(line.bobs_msat().await, before, "nothing passed, nothing earned");
        let sums = line.bob.handle().info().await.expect("answers").forwarded;
        assert_eq!((sums.settled, sums.fees_msat), (0, 0));
        assert_eq!(sums.failed, 7);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_payee_refuses_comes_back_under_the_payees_name() {
    in_time(async {
        let line = Line::start().await;
        let (invoice, hash) = line.carol.create_invoice(Some(MSAT), 3_600).await;
        line.carol.handle().cancel_invoice(hash).await.expect("cancelled");
        let via = line.via(fee(MSAT), DELTA).await;
        let order = crate::nodes::pair::pay_order(&invoice);
        line.alice.handle().pay_along(order, vec![via]).await.expect("not refused");
        let status = line.alice.outcome(hash).await;
        let unknown = PaymentFailure::UnknownByPayee {
            height: Some(BlockHeight(line.layer1.height().await)),
        };
        assert_eq!(status, PaymentStatus::Failed(unknown));
        let forward = line.newest(hash).await;
        assert_eq!(forward.state, ForwardState::Failed(ForwardFailure::Beyond));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_locks_an_htlc_for_longer_than_two_weeks() {
    in_time(async {
        let line = Line::start().await;
        let order = CreateInvoice {
            key: None,
            amount: Msat::new(MSAT),
            description: Description::Text("patience".to_owned()),
            expiry_s: Some(3_600),
            // With the grace and what bob wants this is more than two weeks.
            min_final_cltv_delta: Some(2_014),
            blinded: false,
            ..CreateInvoice::default()
        };
        let invoice = line.carol.handle().create_invoice(order).await.expect("an invoice");
        let via = line.via(fee(MSAT), DELTA).await;
        let order = crate::nodes::pair::pay_order(&invoice.bolt11);
        line.alice.handle().pay_along(order, vec![via]).await.expect("not refused");
        // A forwarder would say `expiry_too_far`; our own channel does not even offer it.
        let status = line.alice.outcome(invoice.hash).await;
        assert_eq!(status, PaymentStatus::Failed(PaymentFailure::NeverSent));
        let why = line.alice.handle().why_payment(invoice.hash).await.expect("why");
        assert!(format!("{why:?}").contains("expir"), "{why:?}");
        let none = line.told("nothing", |_| true).await;
        assert!(none.is_empty(), "bob heard of it: {none:?}");
        line.quiet().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_carries_the_update_under_the_name_that_was_used() {
    in_time(async {
        let line = Line::start().await;
        let second = find(&line.bob, line.second).await;
        let updates = line.bob.handle().own_updates().clone();
        let index = daemon::fact::ChannelIndex(second.index);
        let names = [second.alias, second.short_id].map(|name| name.expect("a name"));
        for name in names {
            let update = until_async("an update", String::new, || async {
                let update = updates.of(index, name);
                (!update.0.is_empty()).then_some(update)
            })
            .await;
            let read = ChannelUpdate::decode(&mut Reader::new(&update.0)).expect("an update");
            assert_eq!(read.short_channel_id, name);
        }
        assert!(updates.of(index, ShortChannelId::from_u64(7)).0.is_empty());
        refused(&line, MSAT, fee(MSAT) - 1, DELTA, code::FEE_INSUFFICIENT).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_next_node_that_is_away_is_a_passing_failure() {
    in_time(async {
        let line = Line::start().await;
        let via = line.via(fee(MSAT), DELTA).await;
        let (invoice, hash) = line.carol.create_invoice(Some(MSAT), 3_600).await;
        let Line { alice, bob, carol, second, .. } = line;
        carol.stop().await;
        bob.channel_where(second, "without its peer", |channel| {
            channel.link != daemon::rpc::model::channel::Link::Up
        })
        .await;
        let order = crate::nodes::pair::pay_order(&invoice);
        alice.handle().pay_along(order, vec![via]).await.expect("not refused");
        assert_eq!(
            failure(&alice.outcome(hash).await),
            (code::TEMPORARY_CHANNEL_FAILURE, bob.id())
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_closes_for_good_is_a_lasting_failure() {
    in_time(async {
        let line = Line::start().await;
        let via = line.via(fee(MSAT), DELTA).await;
        let (channel, how) = (ChannelRef::Id(line.second), CloseHow::Force);
        line.bob
            .handle()
            .close_channel(CloseChannel { key: None, channel, how })
            .await
            .expect("closes");
        let (hash, status) = line.pay_by(MSAT, via).await;
        assert_eq!(failure(&status), (code::PERMANENT_CHANNEL_FAILURE, line.bob.id()));
        let refused = ForwardFailure::Refused(code::PERMANENT_CHANNEL_FAILURE);
        assert_eq!(line.newest(hash).await.state, ForwardState::Failed(refused));
    })
    .await;
}
