//! The link to LDK is down and an HTLC runs towards its end: whoever has it at stake closes in time, and it goes to whom it
//! belongs, in both directions, with the preimage known and not.

use super::disputes::{OVER, SETTINGS, we_take};
use super::table::{COIN, Table, ldk_hash, public};
use daemon::rpc::model::channel::CloseKind;
use daemon::rpc::model::payment::PaymentStatus;
use lightning::types::payment::PaymentHash as LdkHash;
use viaduct_tests::ldk::Outcome;
use viaduct_tests::until::until_async;
use wire::id::{ChannelId, PaymentHash, Preimage};

/// The HTLC, satoshi.
const HTLC: u64 = 90_000;

/// What we have in the channel when nothing hangs, satoshi.
const OURS: u64 = 5_000_000;

/// Blocks until any HTLC of these is over, and a close because of it was seen.
const LATEST: u32 = 260;

/// Who closes in time, and the account at the end.
async fn closes(table: &Table, id: ChannelId, known: bool, by: CloseKind, due: u64) {
    let details = table.ldk.channels().pop().expect("open");
    for _ in 0..LATEST {
        // Its deadlines are blocks: whatever it has to do at this one is done before the next comes.
        table.ldk.at_rest().await;
        let funding = viaduct_tests::ldk::funding_of(&details);
        let spend = table.layer1.chain().spender(funding, 0).await;
        if spend.expect("it answers").is_some() {
            break;
        }
        table.mine(1).await;
    }
    let commitment = table.closing_of(&details).await;
    table.mine(1).await;
    if known {
        // Whoever knows the preimage takes it now, while nobody else can.
        let look = || async {
            let left = table.layer1.unspent_of(&commitment).await;
            left.iter().all(|(_, output)| output.value.to_sat() != HTLC).then_some(())
        };
        until_async("the HTLC to be taken", || table.ldk.log_tail(), look).await;
    }
    table.settle(OVER).await;
    let ours = table.ours.channel_where(id, "that is closed", |it| it.closing.is_some()).await;
    assert_eq!(ours.closing.and_then(|closing| closing.kind), Some(by));
    let left = table.anchors_left_of(&commitment).await;
    table.account(left).await;
    let ours = table.our_balance().await.to_sat();
    let due = COIN + due;
    assert!((due - 20_000..=due).contains(&ours), "{ours} of {due}");
}

/// LDK offers an HTLC that we hold, and goes away; whether we learn the preimage then.
async fn ldk_offered(known: bool) {
    let table = Table::lay_with(&SETTINGS).await;
    let (id, channel) = table.ldk_opens(OURS * 1_000).await;
    let details = table.ldk.quiet(channel).await;
    let preimage = Preimage([0x41; 32]);
    table.ldk.send_beyond(&details, ldk_hash(preimage.hash()), HTLC * 1_000);
    table.we_hold(1).await;
    table.ldk.disconnect(public(table.ours.id()));
    if known {
        we_take(&table, preimage).await;
        closes(&table, id, known, CloseKind::ForcedByUs, OURS + HTLC).await;
    } else {
        closes(&table, id, known, CloseKind::ForcedByThem, OURS).await;
    }
    let outcome = table.ldk.outcome(ldk_hash(preimage.hash())).await;
    assert_eq!(matches!(outcome, Outcome::Sent(_)), known, "{outcome:?}");
}

/// We offer an HTLC that LDK holds, and LDK goes away; whether it claims it then.
async fn we_offered(known: bool) {
    let table = Table::lay_with(&SETTINGS).await;
    let (id, channel) = table.ldk_opens(OURS * 1_000).await;
    table.ldk.quiet(channel).await;
    table.ldk.hold_payments(true);
    let invoice = table.ldk.create_invoice(Some(HTLC * 1_000), 3_600);
    let hash = PaymentHash(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash()));
    table.ours.begin_pay(&invoice.to_string()).await.unwrap();
    table.ldk.holding(1).await;
    table.ldk.disconnect(public(table.ours.id()));
    if known {
        table.ldk.claim_one(LdkHash(hash.0));
        closes(&table, id, known, CloseKind::ForcedByThem, OURS - HTLC).await;
    } else {
        closes(&table, id, known, CloseKind::ForcedByUs, OURS).await;
    }
    let status = table.ours.outcome(hash).await;
    assert_eq!(matches!(status, PaymentStatus::Succeeded { .. }), known, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_close_before_an_htlc_of_ldks_expires_whose_preimage_we_know() {
    ldk_offered(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldk_closes_when_its_htlc_expires_and_takes_it_back() {
    ldk_offered(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldk_closes_before_an_htlc_of_ours_expires_whose_preimage_it_knows() {
    we_offered(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_close_when_our_htlc_expires_and_take_it_back() {
    we_offered(false).await;
}
