//! Channels between our node and LDK end alone with HTLCs in flight both ways, or by a theft.
//!
//! Not here: HTLCs that nobody speaks of until they expire (`interop/expires`).

use super::pays::{ldk_pays, we_pay};
use super::table::{COIN, Table, ldk_hash, our_hash};
use bitcoin::{Amount, Transaction};
use daemon::rpc::model::channel::{ChannelRef, CloseKind};
use daemon::rpc::model::payment::PaymentStatus;
use daemon::rpc::model::sandbox::Cheat;
use daemon::rpc::node_api::NodeApi as _;
use daemon::switch::hold::{Ask, Verdict};
use lightning::ln::types::ChannelId as LdkChannelId;
use lightning::types::payment::PaymentHash as LdkHash;
use tokio::sync::oneshot;
use viaduct_tests::ldk::Outcome;
use wire::id::{ChannelId, PaymentHash, Preimage};

/// Our node holds what it is to pass on, and may cheat.
pub(super) const SETTINGS: [(&str, &str); 3] =
    [("chain.cheat", "true"), ("forwarding.enabled", "true"), ("forwarding.intercept", "true")];

/// Each HTLC, satoshi: ours that LDK takes and does not take, two of LDK's that we take, and one that we do not.
const HTLCS: [u64; 5] = [90_000, 91_000, 92_000, 93_000, 94_000];

/// Blocks until everything of a close with HTLCs is over for good.
pub(super) const OVER: u32 = 450;

/// What hangs.
struct Hanging {
    /// We offered it, and LDK takes it.
    taken: PaymentHash,
    /// We offered it, and LDK never says a word.
    ignored: PaymentHash,
    /// LDK offered it, and we take it.
    ours: Preimage,
    /// So is this.
    also: Preimage,
    /// LDK offered it, and we never learn the preimage.
    unknown: Preimage,
}

/// A channel of LDK's in which both have money, and HTLCs hang both ways.
async fn hung() -> (Table, ChannelId, LdkChannelId, Hanging) {
    let table = Table::lay_with(&SETTINGS).await;
    let (id, channel) = table.ldk_opens(5_000_000_000).await;
    let details = table.ldk.quiet(channel).await;
    table.ldk.hold_payments(true);
    let mut offered = Vec::new();
    for sat in [HTLCS[0], HTLCS[1]] {
        let invoice = table.ldk.create_invoice(Some(sat * 1_000), 3_600);
        table.ours.begin_pay(&invoice.to_string()).await.unwrap();
        offered.push(PaymentHash(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash())));
    }
    table.ldk.holding(2).await;
    let [ours, also, unknown] = [0x31, 0x32, 0x33].map(|byte| Preimage([byte; 32]));
    for (preimage, sat) in [(ours, HTLCS[2]), (also, HTLCS[3]), (unknown, HTLCS[4])] {
        table.ldk.send_beyond(&details, ldk_hash(preimage.hash()), sat * 1_000);
    }
    table.ours.channel_where(id, "in which five HTLCs hang", |it| it.htlcs.len() == 5).await;
    table.we_hold(3).await;
    (table, id, channel, Hanging { taken: offered[0], ignored: offered[1], ours, also, unknown })
}

/// We take one of those that we hold.
pub(super) async fn we_take(table: &Table, preimage: Preimage) {
    let mut desk = table.ours.handle().intercept().await.expect("somebody may listen");
    loop {
        let held = desk.held.recv().await.expect("the node runs");
        if held.hash == preimage.hash() {
            let (reply, answer) = oneshot::channel();
            let (listener, channel, htlc) = (desk.listener, held.channel, held.htlc);
            let verdict = Verdict::Settle(preimage);
            let ask = Ask::Answer { listener, channel, htlc, verdict, reply };
            desk.answers.send(ask).await.expect("the node runs");
            return answer.await.expect("an answer").expect("it was held");
        }
    }
}

/// Everything went to whom it belongs.
async fn all_is_settled(table: &Table, commitment: &Transaction, hanging: &Hanging) {
    table.settle(OVER).await;
    let status = table.ours.outcome(hanging.taken).await;
    assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
    let status = table.ours.outcome(hanging.ignored).await;
    assert!(matches!(status, PaymentStatus::Failed(_)), "{status:?}");
    let outcome = table.ldk.outcome(ldk_hash(hanging.ours.hash())).await;
    assert!(matches!(outcome, Outcome::Sent(_)), "{outcome:?}");
    let outcome = table.ldk.outcome(ldk_hash(hanging.also.hash())).await;
    assert!(matches!(outcome, Outcome::Sent(_)), "{outcome:?}");
    let outcome = table.ldk.outcome(ldk_hash(hanging.unknown.hash())).await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    let left = table.anchors_left_of(commitment).await;
    table.account(left).await;
    let due = COIN + 5_000_000 - HTLCS[0] + HTLCS[2] + HTLCS[3];
    let ours = table.our_balance().await.to_sat();
    assert!((due - 20_000..=due).contains(&ours), "{ours} of {due}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_close_alone_with_htlcs_both_ways_and_preimages_of_three_of_five() {
    let (table, id, channel, hanging) = hung().await;
    let details = table.ldk.channel(channel).expect("open");
    table.ours.close(id, true).await;
    let commitment = table.closing_of(&details).await;
    table.mine(1).await;
    table.ldk.claim_one(LdkHash(hanging.taken.0));
    we_take(&table, hanging.ours).await;
    we_take(&table, hanging.also).await;
    all_is_settled(&table, &commitment, &hanging).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldk_closes_alone_with_htlcs_both_ways_and_preimages_of_three_of_five() {
    let (table, _, channel, hanging) = hung().await;
    let details = table.ldk.channel(channel).expect("open");
    table.ldk.disconnect(super::table::public(table.ours.id()));
    table.ldk.force_close(&details);
    let commitment = table.closing_of(&details).await;
    table.mine(1).await;
    table.ldk.claim_one(LdkHash(hanging.taken.0));
    we_take(&table, hanging.ours).await;
    we_take(&table, hanging.also).await;
    all_is_settled(&table, &commitment, &hanging).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_commitment_of_ldks_is_punished_with_the_htlc_that_was_on_it() {
    let table = Table::lay_with(&SETTINGS).await;
    let (id, channel) = table.ldk_opens(3_000_000_000).await;
    table.ldk.hold_payments(true);
    let invoice = table.ldk.create_invoice(Some(90_000_000), 3_600);
    table.ours.begin_pay(&invoice.to_string()).await.unwrap();
    table.ldk.holding(1).await;
    let details = table.ldk.channel(channel).expect("open");
    let memory = table.ldk_remembers();
    // After that, LDK has the HTLC, and then gives away most of what it had.
    table.ldk.claim_held();
    table.ldk.hold_payments(false);
    let hash = our_hash(LdkHash(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash())));
    let status = table.ours.outcome(hash).await;
    assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
    table.ldk.quiet(channel).await;
    ldk_pays(&table, 4_000_000_000).await;
    table.ldk.quiet(channel).await;

    let table = table.ldk_goes_back_and_closes(memory, &details, 20).await;
    let commitment = table.closing_of(&details).await;
    let ours = table.ours.channel_where(id, "that was robbed", |it| it.closing.is_some()).await;
    let kind = ours.closing.and_then(|closing| closing.kind);
    assert_eq!(kind, Some(CloseKind::Breach));
    table.settle(OVER).await;
    let left = table.anchors_left_of(&commitment).await;
    table.account(left).await;
    // Everything of the channel but fees and anchors.
    let all: u64 = commitment.output.iter().map(|output| output.value.to_sat()).sum();
    let before = COIN;
    let gained = table.our_balance().await.to_sat() - before;
    assert!(gained + 10_000 > all - left, "{gained} of {all}, {left} left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_commitment_of_ours_is_punished_by_ldk() {
    let table = Table::lay_with(&SETTINGS).await;
    let (id, channel) = table.ldk_opens(5_000_000_000).await;
    we_pay(&table, 1_000_000_000).await;
    let details = table.ldk.quiet(channel).await;
    let then = table.ours.usable(id).await.commitment_number;
    we_pay(&table, 2_000_000_000).await;
    table.ldk.quiet(channel).await;
    let before = table.ldk.wallet_balance();
    let order = Cheat { channel: ChannelRef::Id(id), state: then };
    let cheating = table.ours.handle().cheat(order).await.expect("it cheats");
    assert!(cheating.ours > cheating.honest);
    table.mine(1).await;
    let commitment = table.closing_of(&details).await;
    assert_eq!(commitment.compute_txid(), cheating.txid);
    table.settle(OVER).await;
    let left = table.anchors_left_of(&commitment).await;
    table.account(left).await;
    assert!(table.our_balance().await <= Amount::from_sat(COIN), "crime does not pay");
    let gained = table.ldk.wallet_balance() - before;
    let all: u64 = commitment.output.iter().map(|output| output.value.to_sat()).sum();
    assert!(gained.to_sat() + 10_000 > all - left, "{gained} of {all}");
}
