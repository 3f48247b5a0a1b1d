//! Calls that answer once: what comes through, what is refused, how lists are walked.

use api::v1;
use tonic::{Code, Status};

use super::paper::{Asked, PREIMAGE, peer_id};
use super::*;
use crate::rpc::model::invoice::Description;
use crate::rpc::model::wallet::Coins;

const ADDRESS: &str = "bcrt1qcr8te4kr609gcawutmrza0j4xv80jy8zeqchgx";

fn send(amount_sat: u64) -> v1::SendRequest {
    v1::SendRequest {
        address: ADDRESS.into(),
        amount: Some(v1::send_request::Amount::AmountSat(amount_sat)),
        ..Default::default()
    }
}

fn open(node_id: String) -> v1::OpenChannelRequest {
    let amount = Some(v1::open_channel_request::Amount::AmountSat(50_000));
    v1::OpenChannelRequest { node_id, amount, ..Default::default() }
}

/// The refusal's reason and the field it names.
fn fault<T: std::fmt::Debug>(answer: Result<T, Status>) -> (&'static str, String) {
    let report = report(answer);
    let field = report.metadata.get("field").cloned().unwrap_or_default();
    (report.reason.unwrap().name(), field)
}

#[tokio::test]
async fn fields_that_make_no_sense_are_named() {
    let served = Served::start(PaperNode::new().0).await;
    let client = served.admin().await;
    let invalid = |field: &str| ("FIELD_INVALID", field.to_owned());
    let missing = |field: &str| ("FIELD_MISSING", field.to_owned());

    let connect = |node_id: &str, address: Option<&str>| v1::ConnectPeerRequest {
        node_id: node_id.into(),
        address: address.map(Into::into),
        ..Default::default()
    };
    let good = peer_id(2).to_string();
    let not_a_point = format!("02{}", "ff".repeat(32));
    for (node_id, address, expected) in [
        ("", None, missing("node_id")),
        ("abcd", None, invalid("node_id")),
        (not_a_point.as_str(), None, invalid("node_id")),
        (good.as_str(), Some("nowhere"), invalid("address")),
        (good.as_str(), Some(":9735"), invalid("address")),
        (good.as_str(), Some("a:b:1"), invalid("address")),
        (good.as_str(), Some("host:0"), invalid("address")),
        (good.as_str(), Some("host:99999"), invalid("address")),
    ] {
        let answer = soon(client.node().connect_peer(connect(node_id, address))).await;
        assert_eq!(fault(answer), expected, "{node_id} {address:?}");
    }

    let mut wallet = client.wallet();
    assert_eq!(fault(soon(wallet.send(send(0))).await), invalid("amount_sat"));
    assert_eq!(fault(soon(wallet.send(send(u64::MAX))).await), invalid("amount_sat"));
    let none = v1::SendRequest { amount: None, ..send(1) };
    assert_eq!(fault(soon(wallet.send(none)).await), missing("amount"));
    let long = v1::SendRequest { label: "x".repeat(257), ..send(1_000) };
    assert_eq!(fault(soon(wallet.send(long)).await), invalid("label"));
    let rate = v1::SendRequest { feerate_sat_per_vb: Some(0), ..send(1_000) };
    assert_eq!(fault(soon(wallet.send(rate)).await), invalid("feerate_sat_per_vb"));
    let key = v1::SendRequest { idempotency_key: "x".repeat(129), ..send(1_000) };
    assert_eq!(fault(soon(wallet.send(key)).await), invalid("idempotency_key"));
    let kind = v1::NewAddressRequest { r#type: 9, ..Default::default() };
    assert_eq!(fault(soon(wallet.new_address(kind)).await), invalid("type"));

    let mut channels = client.channels();
    let push = v1::OpenChannelRequest { push_msat: Some(u64::MAX), ..open(good.clone()) };
    assert_eq!(fault(soon(channels.open(push)).await), invalid("push_msat"));
    let delay = v1::OpenChannelRequest { to_self_delay_blocks: Some(9_999), ..open(good) };
    assert_eq!(fault(soon(channels.open(delay)).await), invalid("to_self_delay_blocks"));
    let close = |address: Option<&str>| v1::CloseChannelRequest {
        channel_id: "101x1x0".into(),
        force: true,
        address: address.map(Into::into),
        ..Default::default()
    };
    assert_eq!(fault(soon(channels.close(close(Some(ADDRESS)))).await), invalid("address"));
    let get = |id: &str| v1::GetChannelRequest { channel_id: id.into() };
    assert_eq!(fault(soon(channels.get(get("101x"))).await), invalid("channel_id"));

    let mut invoices = client.invoices();
    let about = |about| v1::CreateInvoiceRequest { about: Some(about), ..Default::default() };
    let words = v1::create_invoice_request::About::Description("x".repeat(640));
    assert_eq!(fault(soon(invoices.create(about(words))).await), invalid("description"));
    let hash = v1::create_invoice_request::About::DescriptionHash("00".into());
    assert_eq!(fault(soon(invoices.create(about(hash))).await), invalid("description_hash"));
    let zero = v1::CreateInvoiceRequest { amount_msat: Some(0), ..Default::default() };
    assert_eq!(fault(soon(invoices.create(zero)).await), invalid("amount_msat"));
    let mine = v1::MineRequest { blocks: 1_001, ..Default::default() };
    assert_eq!(fault(soon(client.sandbox().mine(mine)).await), invalid("blocks"));
}

#[tokio::test]
async fn addresses_of_other_networks_and_of_none_are_told_apart() {
    let served = Served::start(PaperNode::new().0).await;
    let mut wallet = served.admin().await.wallet();
    let other = v1::SendRequest {
        address: "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu".into(),
        ..send(1_000)
    };
    assert_eq!(reason(soon(wallet.send(other)).await), "ADDRESS_WRONG_NETWORK");
    let changed = v1::SendRequest { address: ADDRESS.replace("cr8", "cr9"), ..send(1_000) };
    assert_eq!(reason(soon(wallet.send(changed)).await), "ADDRESS_INVALID");
}

#[tokio::test]
async fn what_is_not_known_is_not_found() {
    let served = Served::start(PaperNode::new().0).await;
    let client = served.admin().await;
    let nobody = "ab".repeat(32);
    let payment = v1::GetPaymentRequest { payment_hash: nobody.clone() };
    let refused = report(soon(client.payments().get(payment)).await);
    assert_eq!((refused.code, refused.metadata["id"].clone()), (Code::NotFound, nobody.clone()));
    assert_eq!(refused.reason.unwrap().name(), "PAYMENT_UNKNOWN");
    let invoice = v1::GetInvoiceRequest { payment_hash: nobody.clone() };
    assert_eq!(reason(soon(client.invoices().get(invoice)).await), "INVOICE_UNKNOWN");
    let channel = v1::GetChannelRequest { channel_id: nobody };
    assert_eq!(reason(soon(client.channels().get(channel)).await), "CHANNEL_UNKNOWN");
    let short = v1::GetChannelRequest { channel_id: "101x1x0".into() };
    let found = soon(client.channels().get(short)).await.unwrap().into_inner();
    assert_eq!((found.our_msat, found.htlcs.len()), (600_000_000, 1));
    let total = found.our_msat + found.their_msat + found.htlcs[0].amount_msat;
    assert_eq!(total, found.capacity_sat * 1_000);
}

#[tokio::test]
async fn a_shortage_says_every_number_to_people_and_programs() {
    let served = Served::start(PaperNode::new().0).await;
    let refused = report(soon(served.admin().await.wallet().send(send(112_000))).await);
    assert_eq!(refused.code, Code::FailedPrecondition);
    assert_eq!(
        refused.message,
        "need 12 340 sat more: 112 340 sat needed with the fee, 100 000 sat spendable, \
         30 000 sat reserved for anchor channels"
    );
    assert_eq!(refused.metadata["missing_sat"], "12340");
    assert_eq!(refused.metadata["reserved_for_anchors_sat"], "30000");
}

#[tokio::test]
async fn an_idempotency_key_comes_with_the_digest_of_everything_else() {
    let (node, mut strings) = PaperNode::new();
    let served = Served::start(node).await;
    let mut wallet = served.admin().await.wallet();
    let keyed = |key: &str, sat| v1::SendRequest { idempotency_key: key.into(), ..send(sat) };
    for request in [keyed("a", 1_000), keyed("a", 1_000), keyed("a", 2_000), keyed("b", 1_000)] {
        soon(wallet.send(request)).await.unwrap();
    }
    soon(wallet.send(send(1_000))).await.unwrap();
    let mut keys = Vec::new();
    while let Ok(Asked::Send(order)) = strings.asked.try_recv() {
        keys.push(order.key);
    }
    let [Some(first), Some(again), Some(other), Some(word), None] = &keys[..] else {
        panic!("{keys:?}")
    };
    assert_eq!(first, again);
    assert_ne!(first.digest, other.digest);
    assert_eq!((word.word.as_str(), first.digest), ("b", word.digest));
}

#[tokio::test]
async fn a_dry_run_asks_for_a_plan_and_does_nothing() {
    let (node, mut strings) = PaperNode::new();
    let served = Served::start(node).await;
    let client = served.admin().await;
    let dry = v1::SendRequest { dry_run: true, ..send(1_000) };
    let plan = soon(client.wallet().send(dry)).await.unwrap().into_inner();
    assert_eq!((plan.txid.as_str(), plan.fee_sat, plan.feerate_sat_per_vb), ("", 154, 2));
    let dry = v1::OpenChannelRequest { dry_run: true, ..open(peer_id(2).to_string()) };
    let mut stream = soon(client.channels().open(dry)).await.unwrap().into_inner();
    let planned = soon(stream.message()).await.unwrap().unwrap();
    assert_eq!(planned.stage(), v1::OpenStage::Planned);
    assert_eq!(soon(stream.message()).await.unwrap(), None);
    let id = "101x1x0".into();
    let dry = v1::CloseChannelRequest { channel_id: id, dry_run: true, ..Default::default() };
    let mut stream = soon(client.channels().close(dry)).await.unwrap().into_inner();
    assert_eq!(soon(stream.message()).await.unwrap().unwrap().stage(), v1::CloseStage::Planned);
    assert!(strings.asked.try_recv().is_err());
}

#[tokio::test]
async fn all_and_a_feerate_come_through_in_the_units_of_the_protocol() {
    let (node, mut strings) = PaperNode::new();
    let served = Served::start(node).await;
    let all = Some(v1::send_request::Amount::All(true));
    for (given, expected) in [(1, 253), (2, 500), (1_000, 250_000)] {
        let request = v1::SendRequest { amount: all, feerate_sat_per_vb: Some(given), ..send(1) };
        soon(served.admin().await.wallet().send(request)).await.unwrap();
        let Some(Asked::Send(order)) = strings.asked.recv().await else { panic!("send") };
        assert_eq!((order.coins, order.feerate.unwrap().0), (Coins::All, expected));
    }
}

#[tokio::test]
async fn orders_come_through_as_they_were_given() {
    let (node, mut strings) = PaperNode::new();
    let served = Served::start(node).await;
    let client = served.admin().await;
    let connect = v1::ConnectPeerRequest {
        node_id: peer_id(2).to_string(),
        address: Some("[::1]:9735".into()),
        ..Default::default()
    };
    soon(client.node().connect_peer(connect)).await.unwrap();
    let Some(Asked::Connect(order)) = strings.asked.recv().await else { panic!("connect") };
    assert_eq!((order.node, order.timeout_ms), (peer_id(2), 15_000));
    assert_eq!(order.address.as_deref(), Some("[::1]:9735"));

    let create = v1::CreateInvoiceRequest {
        amount_msat: Some(25_000_000),
        about: Some(v1::create_invoice_request::About::DescriptionHash("ab".repeat(32))),
        expiry_s: Some(60),
        min_final_cltv_expiry_blocks: Some(80),
        ..Default::default()
    };
    soon(client.invoices().create(create)).await.unwrap();
    let Some(Asked::Create(order)) = strings.asked.recv().await else { panic!("create") };
    assert_eq!(order.amount.map(|amount| amount.to_u64()), Some(25_000_000));
    assert_eq!(order.description, Description::Hash([0xab; 32]));
    assert_eq!((order.expiry_s, order.min_final_cltv_delta), (Some(60), Some(80)));
}

#[tokio::test]
async fn the_balance_adds_up() {
    let served = Served::start(PaperNode::new().0).await;
    let ask = v1::BalanceRequest {};
    let balance = soon(served.admin().await.wallet().balance(ask)).await.unwrap().into_inner();
    assert_eq!(balance.confirmed_sat - balance.reserved_sat, balance.spendable_sat);
}

#[tokio::test]
async fn lists_are_walked_by_tokens_that_fit_their_question_only() {
    let served = Served::start(PaperNode::new().0).await;
    let mut payments = served.admin().await.payments();
    let ask = |token: &str, order: v1::Order, statuses: Vec<i32>| v1::ListPaymentsRequest {
        page_size: 10,
        page_token: token.into(),
        order: order.into(),
        statuses,
    };
    let mut seen = Vec::new();
    let mut token = String::new();
    let mut first_token = String::new();
    loop {
        let page = soon(payments.list(ask(&token, v1::Order::Unspecified, Vec::new()))).await;
        let page = page.unwrap().into_inner();
        seen.extend(page.payments.iter().map(|payment| payment.amount_msat - 10_000));
        token = page.next_page_token;
        if first_token.is_empty() {
            first_token.clone_from(&token);
        }
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, (0..25).rev().collect::<Vec<u64>>());

    let failed = vec![v1::PaymentStatus::Failed.into()];
    for wrong in [
        ask(&first_token, v1::Order::OldestFirst, Vec::new()),
        ask(&first_token, v1::Order::NewestFirst, failed),
        ask("abc", v1::Order::NewestFirst, Vec::new()),
        ask(&"0".repeat(32), v1::Order::NewestFirst, Vec::new()),
    ] {
        assert_eq!(reason(soon(payments.list(wrong)).await), "PAGE_TOKEN_INVALID");
    }
    let large = v1::ListPaymentsRequest { page_size: 1_001, ..Default::default() };
    let (reason, field) = fault(soon(payments.list(large)).await);
    assert_eq!((reason, field.as_str()), ("FIELD_INVALID", "page_size"));
}

#[tokio::test]
async fn peers_and_channels_are_filtered_before_they_are_cut() {
    let served = Served::start(PaperNode::new().0).await;
    let client = served.admin().await;
    let ask = |token: String| v1::ListPeersRequest {
        page_size: 2,
        page_token: token,
        connected_only: true,
        ..Default::default()
    };
    let first = soon(client.node().list_peers(ask(String::new()))).await.unwrap().into_inner();
    assert_eq!(first.peers.len(), 2);
    assert_eq!(first.peers[0].features[1].name, "unknown");
    let rest = soon(client.node().list_peers(ask(first.next_page_token))).await.unwrap();
    assert_eq!((rest.get_ref().peers.len(), rest.get_ref().next_page_token.as_str()), (1, ""));

    let mut channels = client.channels();
    let open = soon(channels.list(v1::ListChannelsRequest::default())).await.unwrap();
    assert_eq!(open.into_inner().channels.len(), 2);
    let states = vec![v1::ChannelState::Closed.into()];
    let closed = v1::ListChannelsRequest { states, ..Default::default() };
    assert_eq!(soon(channels.list(closed)).await.unwrap().into_inner().channels.len(), 1);
    let closed = soon(channels.list_closed(v1::ListClosedRequest::default())).await.unwrap();
    assert_eq!(closed.into_inner().channels.len(), 1);
    let stranger = Some(peer_id(9).to_string());
    let none = v1::ListChannelsRequest { node_id: stranger, ..Default::default() };
    assert!(soon(channels.list(none)).await.unwrap().into_inner().channels.is_empty());
}

#[tokio::test]
async fn the_preimage_of_an_invoice_is_shown_only_when_it_is_settled() {
    let served = Served::start(PaperNode::new().0).await;
    let mut invoices = served.admin().await.invoices();
    let open = soon(invoices.create(v1::CreateInvoiceRequest::default())).await.unwrap();
    assert_eq!(open.into_inner().preimage, None);
    let hash = PREIMAGE.hash().to_string();
    let get = v1::GetInvoiceRequest { payment_hash: hash.clone() };
    let settled = soon(invoices.get(get)).await.unwrap().into_inner();
    assert_eq!(settled.preimage, Some(PREIMAGE.to_string()));
    assert_eq!((settled.received_msat, settled.settled_at_ms), (1_001, Some(77)));
    let cancel = v1::CancelInvoiceRequest { payment_hash: hash, ..Default::default() };
    assert_eq!(reason(soon(invoices.cancel(cancel)).await), "INVOICE_PAID");
    let decode = v1::DecodeInvoiceRequest { invoice: "lnbc1".into() };
    assert_eq!(reason(soon(invoices.decode(decode)).await), "INVOICE_MALFORMED");
}

#[tokio::test]
async fn an_invoice_is_held_only_if_it_says_so_and_settled_by_its_preimage_or_its_name() {
    let (node, mut strings) = PaperNode::new();
    let served = Served::start(node).await;
    let mut invoices = served.admin().await.invoices();
    let (hash, hex) = (PREIMAGE.hash(), PREIMAGE.hash().to_string());
    let create = |hold, metadata: Option<&str>, blinded| v1::CreateInvoiceRequest {
        hold,
        payment_hash: Some(hex.clone()),
        payment_metadata: metadata.map(Into::into),
        blinded,
        ..Default::default()
    };
    let long = "ab".repeat(257);
    for (ask, field) in [
        (create(false, None, false), "payment_hash"),
        (create(true, Some("xyz"), false), "payment_metadata"),
        (create(true, Some(""), false), "payment_metadata"),
        (create(true, Some(&long), false), "payment_metadata"),
        (create(true, Some("ab"), true), "payment_metadata"),
    ] {
        assert_eq!(fault(soon(invoices.create(ask)).await), ("FIELD_INVALID", field.to_owned()));
    }
    soon(invoices.create(create(true, Some("0102"), false))).await.unwrap();
    let Some(Asked::Create(order)) = strings.asked.recv().await else { panic!("not asked") };
    assert_eq!((order.hold, order.hash, order.metadata), (true, Some(hash), Some(vec![1, 2])));

    let settle = |by| v1::SettleInvoiceRequest { by, ..Default::default() };
    let nothing = soon(invoices.settle(settle(None))).await;
    assert_eq!(fault(nothing), ("FIELD_MISSING", "preimage".to_owned()));
    let short = Some(v1::settle_invoice_request::By::Preimage("ab".into()));
    assert_eq!(fault(soon(invoices.settle(settle(short))).await).1, "preimage");
    let by = Some(v1::settle_invoice_request::By::Preimage(PREIMAGE.to_string()));
    let settled = soon(invoices.settle(settle(by))).await.unwrap().into_inner();
    assert_eq!(settled.status(), v1::InvoiceStatus::Settled);
    let by = Some(v1::settle_invoice_request::By::PaymentHash(hex.clone()));
    assert_eq!(reason(soon(invoices.settle(settle(by))).await), "INVOICE_NOT_HELD");
}

#[tokio::test]
async fn the_sandbox_mines_here_and_refuses_elsewhere() {
    let served = Served::start(PaperNode::new().0).await;
    let mut sandbox = served.admin().await.sandbox();
    let mine = v1::MineRequest { blocks: 3, ..Default::default() };
    let mined = soon(sandbox.mine(mine)).await.unwrap().into_inner();
    assert_eq!((mined.block_hashes.len(), mined.block_height), (3, 104));
    assert_eq!(reason(soon(sandbox.status(v1::SandboxStatusRequest {})).await), "NOT_SANDBOX");
    let deep = v1::ReorgRequest { depth: 9, ..Default::default() };
    let refused = report(soon(sandbox.reorg(deep)).await);
    assert_eq!(refused.message, "cannot replace 9 blocks: the chain has 5");
    let txid = "ab".repeat(32);
    let evict = v1::EvictRequest { txid: txid.clone(), ..Default::default() };
    assert_eq!(soon(sandbox.evict(evict)).await.unwrap().into_inner().evicted_txids, [txid]);
    let evict = v1::EvictRequest { txid: "ab".into(), ..Default::default() };
    assert_eq!(fault(soon(sandbox.evict(evict)).await), ("FIELD_INVALID", "txid".to_owned()));
    let floor = v1::SetFloorRequest { sat_per_vb: Some(0), ..Default::default() };
    assert_eq!(
        fault(soon(sandbox.set_floor(floor)).await),
        ("FIELD_INVALID", "sat_per_vb".to_owned())
    );
    let stall = v1::StallRequest { standstill: 3, milliseconds: Some(5), ..Default::default() };
    let said = report(soon(sandbox.stall(stall)).await);
    assert_eq!(said.message, "Readers for Some(5ms)");
    let cheat = v1::CheatRequest { channel_id: "1x1x1".into(), state: 4, ..Default::default() };
    assert_eq!(reason(soon(sandbox.cheat(cheat)).await), "SANDBOX_REFUSED");
    let health = soon(served.admin().await.node().health(v1::HealthRequest {})).await.unwrap();
    assert_eq!(health.into_inner().state(), v1::HealthState::Degraded);
}
