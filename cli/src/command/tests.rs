//! Every manner of the command line, against a node that says what the test tells it to.

mod network;

use api::reason::{Reason, Refused};
use api::v1;
use clap::CommandFactory as _;
use serde_json::Value;
use tonic::Status;

use super::fake::{Asked, NOW, Ran, Script, User, run};
use crate::args::Cli;

const INVOICE: &str = "lnbcrt250u1p";
const HASH: &str = "9c4bacbe00000000000000000000000000000000000000000000000096ab6d29";

fn decoded() -> v1::DecodedInvoice {
    v1::DecodedInvoice {
        payment_hash: HASH.into(),
        destination: "02f3000000000000000000000000000000000000000000000000000000000009ac".into(),
        destination_alias: "carol".into(),
        amount_msat: Some(25_000_000),
        description: "espresso machine".into(),
        expires_at_ms: NOW + 1,
        ..Default::default()
    }
}

fn payment(status: v1::PaymentStatus) -> v1::Payment {
    let succeeded = status == v1::PaymentStatus::Succeeded;
    v1::Payment {
        payment_hash: HASH.into(),
        status: status.into(),
        amount_msat: 25_000_000,
        fee_msat: 1_250,
        destination: decoded().destination,
        created_at_ms: NOW - 12_000,
        completed_at_ms: (status != v1::PaymentStatus::InFlight).then_some(NOW - 11_962),
        preimage: succeeded.then(|| "abcd".into()),
        attempts: vec![v1::PaymentAttempt {
            status: status.into(),
            amount_msat: 25_000_000,
            hops: vec![v1::Hop {
                node_id: "02f3".into(),
                channel: "102x1x0".into(),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn failed() -> v1::Payment {
    let failure = v1::PaymentFailure { reason: "NO_ROUTE".into(), ..Default::default() };
    v1::Payment { failure: Some(failure), ..payment(v1::PaymentStatus::Failed) }
}

fn paying(answers: Vec<Result<v1::Payment, Status>>) -> Script {
    Script { decoded: Some(Ok(decoded())), pay: Some(Ok(answers)), ..Default::default() }
}

fn error(ran: &Ran) -> Value {
    serde_json::from_str::<Value>(ran.err.lines().last().unwrap()).unwrap()["error"].clone()
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn those_who_know_lncli_find_their_way() {
    use clap::Parser as _;
    for line in [
        vec!["getinfo"],
        vec!["addinvoice", "25k"],
        vec!["payinvoice", INVOICE],
        vec!["listchannels"],
        vec!["openchannel", "bob", "1M"],
        vec!["closechannel", "bob"],
        vec!["listpeers"],
        vec!["listpayments"],
        vec!["walletbalance"],
    ] {
        assert!(Cli::try_parse_from([vec!["viaduct"], line.clone()].concat()).is_ok(), "{line:?}");
    }
}

#[tokio::test]
async fn paying_asks_first_and_then_gives_a_receipt() {
    let script = paying(vec![
        Ok(payment(v1::PaymentStatus::InFlight)),
        Ok(payment(v1::PaymentStatus::Succeeded)),
    ]);
    let ran = run(script, User::Types("y\n"), &["pay", INVOICE]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let question =
        "Pay 25 000 sat to carol (02f3…09ac) for “espresso machine”, fee at most 125 sat?";
    assert!(ran.err.contains(question), "{}", ran.err);
    assert!(
        ran.out.contains("✓ paid 25 000 sat to carol (02f3…09ac) in 38 ms, fee 1.250 sat"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("proof abcd"));
    let [Asked::Pay(asked)] = ran.asked.as_slice() else { panic!("{:?}", ran.asked) };
    assert_eq!((asked.amount_msat, asked.fee_limit_msat), (Some(25_000_000), Some(125_000)));
}

#[tokio::test]
async fn without_a_clear_yes_nothing_is_paid() {
    for user in
        [User::Types("n\n"), User::Types("\n"), User::Types("maybe\n"), User::Types(""), User::Away]
    {
        let ran =
            run(paying(vec![Ok(payment(v1::PaymentStatus::Succeeded))]), user, &["pay", INVOICE])
                .await;
        assert_eq!((ran.code, ran.asked.len(), ran.out.as_str()), (6, 0, ""), "{user:?}");
    }
    let ran = run(paying(Vec::new()), User::Away, &["pay", INVOICE]).await;
    assert!(ran.err.contains("Nothing was sent") && ran.err.contains("--yes"), "{}", ran.err);
}

#[tokio::test]
async fn piped_output_is_the_payment_as_json() {
    let script = paying(vec![Ok(payment(v1::PaymentStatus::Succeeded))]);
    let ran = run(script, User::Away, &["--yes", "pay", INVOICE]).await;
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["status"], "PAYMENT_STATUS_SUCCEEDED");
    assert_eq!(json["amount_msat"], 25_000_000);
    let script = paying(vec![Ok(payment(v1::PaymentStatus::Succeeded))]);
    let ran = run(script, User::Types(""), &["--yes", "-q", "pay", INVOICE]).await;
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("abcd\n", ""));
}

#[tokio::test]
async fn an_invoice_that_was_paid_is_not_paid_again() {
    let mut script = paying(Vec::new());
    let before = Some(payment(v1::PaymentStatus::Succeeded));
    script.decoded = Some(Ok(v1::DecodedInvoice { payment: before, ..decoded() }));
    let ran = run(script, User::Types("y\n"), &["pay", INVOICE]).await;
    assert_eq!((ran.code, ran.asked.len()), (1, 0));
    assert!(ran.err.contains("✗ already paid 11 s ago (proof abcd)"), "{}", ran.err);
    assert!(ran.err.contains("Nothing was sent."));
}

#[tokio::test]
async fn an_invoice_that_is_being_paid_is_watched_without_a_question() {
    let mut script = paying(vec![Ok(payment(v1::PaymentStatus::Succeeded))]);
    let before = Some(payment(v1::PaymentStatus::InFlight));
    script.decoded = Some(Ok(v1::DecodedInvoice { payment: before, ..decoded() }));
    let ran = run(script, User::Away, &["pay", INVOICE]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("being paid already"));
}

#[tokio::test]
async fn a_payment_that_failed_says_what_happened_that_nothing_was_paid_and_what_to_do() {
    let ran = run(paying(vec![Ok(failed())]), User::Types("y\n"), &["pay", INVOICE]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("✗ the payment failed: There is no way to the payee"), "{}", ran.err);
    assert!(ran.err.contains("Nothing was paid") && ran.err.contains(Reason::NoRoute.remedy()));

    let ran =
        run(paying(vec![Ok(failed())]), User::Away, &["--json", "--yes", "pay", INVOICE]).await;
    let error = error(&ran);
    assert_eq!(error["reason"], "NO_ROUTE");
    assert_eq!(error["money"], "untouched");
    assert_eq!(error["exit_code"], 1);
    assert_eq!(error["payment"]["payment_hash"], HASH);
}

#[tokio::test]
async fn an_answer_that_got_lost_is_never_called_a_failure() {
    let in_flight = || Ok(payment(v1::PaymentStatus::InFlight));
    for answers in [
        vec![in_flight(), Err(Status::unavailable("connection reset"))],
        vec![
            in_flight(),
            Err(Status::from(Refused::new(Reason::NodeStopping).payment_started(true))),
        ],
        vec![in_flight()],
        vec![],
    ] {
        let line = ["-n", "alice", "--yes", "--json", "pay", INVOICE];
        let ran = run(paying(answers), User::Away, &line).await;
        assert_eq!(ran.code, 4, "{}", ran.err);
        let error = error(&ran);
        assert_eq!(
            (&error["reason"], &error["money"]),
            (&"OUTCOME_UNKNOWN".into(), &"unknown".into())
        );
        let next = error["next"].as_str().unwrap();
        assert!(next.contains(&format!("viaduct -n alice payments watch {HASH}")), "{next}");
    }
}

#[tokio::test]
async fn a_refusal_before_anything_was_sent_is_final() {
    let refused = Refused::new(Reason::BalanceInsufficient).payment_started(false);
    let script = Script {
        decoded: Some(Ok(decoded())),
        pay: Some(Err(refused.into())),
        ..Default::default()
    };
    let ran = run(script, User::Types("y\n"), &["pay", INVOICE]).await;
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("no money moved")
            && ran.err.contains(Reason::BalanceInsufficient.remedy())
    );
}

#[tokio::test]
async fn ctrl_c_leaves_the_payment_alone_and_says_how_to_watch_it() {
    let script = Script { hang: true, ..paying(vec![Ok(payment(v1::PaymentStatus::InFlight))]) };
    let ran = run(script, User::Interrupts, &["pay", INVOICE]).await;
    assert_eq!((ran.code, ran.asked.len()), (130, 1));
    assert!(ran.err.contains("! detached; the payment goes on"), "{}", ran.err);
    assert!(ran.err.contains(&format!("viaduct payments watch {HASH}")));
}

#[tokio::test]
async fn amounts_must_fit_the_invoice() {
    let open = v1::DecodedInvoice { amount_msat: None, ..decoded() };
    for (decoded, line, reason) in [
        (decoded(), vec!["pay", INVOICE, "24k"], Some("INVOICE_AMOUNT_MISMATCH")),
        (decoded(), vec!["pay", INVOICE, "25k"], None),
        (open.clone(), vec!["pay", INVOICE], Some("INVOICE_AMOUNT_MISSING")),
        (open.clone(), vec!["pay", INVOICE, "1msat"], None),
        (open, vec!["pay", INVOICE, "all"], Some("AMOUNT")),
        (
            v1::DecodedInvoice { expired: true, ..decoded() },
            vec!["pay", INVOICE],
            Some("INVOICE_EXPIRED"),
        ),
        (
            v1::DecodedInvoice { ours: true, ..decoded() },
            vec!["pay", INVOICE],
            Some("INVOICE_OURS"),
        ),
    ] {
        let mut script = paying(vec![Ok(payment(v1::PaymentStatus::Succeeded))]);
        script.decoded = Some(Ok(decoded));
        let line = [vec!["--json", "--yes"], line].concat();
        let ran = run(script, User::Away, &line).await;
        match reason {
            None => assert_eq!((ran.code, ran.asked.len()), (0, 1), "{line:?} {}", ran.err),
            Some(reason) => {
                assert_eq!(error(&ran)["reason"], reason, "{line:?}");
                assert!(ran.asked.is_empty() && [1, 3].contains(&ran.code));
            }
        }
    }
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_with_code_5() {
    for reason in [Reason::TokenMissing, Reason::TokenExpired, Reason::TokenForbids] {
        let script = Script { decoded: Some(Err(reason.into())), ..Default::default() };
        let ran = run(script, User::Types(""), &["pay", INVOICE]).await;
        assert_eq!(ran.code, 5);
        assert!(ran.err.contains(reason.remedy()), "{}", ran.err);
    }
}

fn opening(stage: v1::OpenStage) -> v1::OpenProgress {
    v1::OpenProgress {
        stage: stage.into(),
        channel_id: "cc".repeat(32),
        capacity_sat: 1_000_000,
        funding_fee_sat: 154,
        funding_outpoint: Some(format!("{}:0", "4b".repeat(32))),
        confirmations_required: Some(3),
        wallet_spendable_sat: 48_999_846,
        channel: Some(v1::Channel {
            short_channel_id: Some("102x1x0".into()),
            can_send_msat: 989_056_000,
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn bob() -> v1::Peer {
    v1::Peer {
        node_id: format!("02{}", "bb".repeat(32)),
        alias: "bob".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn opening_shows_the_cost_and_then_each_step() {
    use v1::OpenStage::{Broadcast, Negotiated, Planned, Ready};
    let open = [Planned, Negotiated, Broadcast, Ready].map(opening).to_vec();
    let script = Script { open, peers: vec![bob(), v1::Peer::default()], ..Default::default() };
    let ran = run(script, User::Types("y\n"), &["open", "bob", "1M"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    for part in [
        "Open a 1 000 000 sat channel with 02bb…bbbb",
        "you pay now   154 sat chain fee",
        "you keep      48 999 846 sat",
        "✓ negotiated",
        "✓ funding tx 4b4b…4b4b broadcast, fee 154 sat",
        "◐ 0/3 confirmations",
        "✓ confirmed",
    ] {
        assert!(ran.err.contains(part), "{part}\n{}", ran.err);
    }
    assert_eq!(ran.out, "✓ channel 102x1x0 ready — you can send 989 056 sat, receive 0 sat\n");
    let [Asked::Open(asked)] = ran.asked.as_slice() else { panic!("{:?}", ran.asked) };
    assert_eq!(asked.node_id, bob().node_id);
    assert_eq!(asked.idempotency_key.len(), 32);
    assert_eq!(asked.amount, Some(v1::open_channel_request::Amount::AmountSat(1_000_000)));
}

#[tokio::test]
async fn an_opening_can_be_left_to_itself() {
    use v1::OpenStage::{Broadcast, Negotiated, Planned};
    let open = [Planned, Negotiated, Broadcast].map(opening).to_vec();
    let script =
        || Script { open: open.clone(), peers: vec![bob()], hang: true, ..Default::default() };
    let ran = run(script(), User::Away, &["--yes", "-q", "open", "bob", "1M", "--no-wait"]).await;
    assert_eq!((ran.code, ran.out), (0, format!("{}\n", "cc".repeat(32))));
    let ran = run(script(), User::Interrupts, &["open", "bob", "1M"]).await;
    assert_eq!(ran.code, 130);
    assert!(ran.err.contains("the opening goes on"));
}

#[tokio::test]
async fn half_a_satoshi_cannot_go_on_chain() {
    let script = || Script { peers: vec![bob()], ..Default::default() };
    let ran = run(script(), User::Away, &["--yes", "open", "bob", "1000.5"]).await;
    assert_eq!((ran.code, ran.asked.len()), (3, 0));
    assert!(ran.err.contains("1 000.500 sat has a part of one"), "{}", ran.err);
    let ran = run(script(), User::Away, &["--yes", "wallet", "send", "bcrt1q", "1msat"]).await;
    assert_eq!((ran.code, ran.asked.len()), (3, 0));
}

fn channel(id: &str, scid: &str, alias: &str) -> v1::Channel {
    v1::Channel {
        channel_id: id.repeat(32),
        node_id: bob().node_id,
        node_alias: alias.into(),
        connected: true,
        state: v1::ChannelState::Open.into(),
        short_channel_id: Some(scid.into()),
        capacity_sat: 1_000_000,
        our_msat: 612_311_000,
        their_msat: 387_689_000,
        can_send_msat: 602_311_000,
        can_receive_msat: 376_745_000,
        ..Default::default()
    }
}

fn closing(stage: v1::CloseStage, kind: v1::CloseKind) -> v1::CloseProgress {
    let forced = kind == v1::CloseKind::ForcedByUs;
    v1::CloseProgress {
        stage: stage.into(),
        kind: kind.into(),
        closing_txid: Some("5a".repeat(32)),
        fee_sat: 141,
        ours_sat: 612_170,
        theirs_sat: 387_689,
        locked_blocks: if forced { 144 } else { 0 },
        spendable_at_height: forced.then_some(1_254),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_forced_close_says_how_long_the_coins_wait_before_it_asks() {
    use v1::CloseStage::{Broadcast, Confirmed, Planned};
    let kind = v1::CloseKind::ForcedByUs;
    let close = [Planned, Broadcast, Confirmed].map(|stage| closing(stage, kind)).to_vec();
    let script =
        Script { close, channels: vec![channel("aa", "102x1x0", "bob")], ..Default::default() };
    let ran = run(script, User::Types("y\n"), &["close", "bob", "--force"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.err.contains("locked for    144 blocks") && ran.err.contains("fee           141 sat")
    );
    assert!(
        ran.out.contains("force close by us 5a5a…5a5a (fee 141 sat): 612 170 sat to you"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("free at block 1 254"));
    let [Asked::Close(asked)] = ran.asked.as_slice() else { panic!("{:?}", ran.asked) };
    assert!(asked.force && asked.channel_id == "aa".repeat(32));
}

#[tokio::test]
async fn an_id_that_could_be_two_channels_closes_neither() {
    let channels = vec![channel("aa", "102x1x0", "bob"), channel("ab", "103x1x0", "bob")];
    for text in ["bob", "a", "02bb"] {
        let script = Script { channels: channels.clone(), ..Default::default() };
        let ran = run(script, User::Away, &["--yes", "close", text]).await;
        assert_eq!((ran.code, ran.asked.len()), (1, 0));
        assert!(
            ran.err.contains("102x1x0 with bob") && ran.err.contains("103x1x0 with bob"),
            "{}",
            ran.err
        );
    }
}

#[tokio::test]
async fn channels_are_a_table_with_a_bar() {
    let channels = vec![channel("aa", "102x1x0", "bob")];
    let script = || Script { channels: channels.clone(), ..Default::default() };
    let ran = run(script(), User::Types(""), &["channels"]).await;
    assert!(ran.out.starts_with("PEER  CHANNEL"), "{}", ran.out);
    assert!(
        ran.out.contains("612 311  ▓▓▓▓▓▓▓▓▓▓▓▓░░░░░░░░  387 689   602 311      376 745  open"),
        "{}",
        ran.out
    );
    let ran = run(script(), User::Away, &["channels"]).await;
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["channels"][0]["state"], "CHANNEL_STATE_OPEN");
    let ran = run(script(), User::Types(""), &["-q", "channels"]).await;
    assert_eq!(ran.out, format!("{}\n", "aa".repeat(32)));
}

#[tokio::test]
async fn an_invoice_that_is_held_says_so_and_is_settled_by_its_preimage() {
    let (hash, preimage) = ("ab".repeat(32), "cd".repeat(32));
    let invoice = v1::Invoice {
        invoice: INVOICE.into(),
        payment_hash: hash.clone(),
        amount_msat: Some(25_000_000),
        received_msat: 25_000_000,
        status: v1::InvoiceStatus::Held.into(),
        hold: true,
        held_until_height: Some(812),
        ..Default::default()
    };
    let script = || Script { invoice: invoice.clone(), ..Default::default() };
    let line = ["invoice", "25k", "--hold", "--hash", &hash, "--final-delta", "200"];
    let ran = run(script(), User::Types(""), &line).await;
    assert!(ran.out.contains("held: 25 000 sat waits, until height 812"), "{}", ran.out);
    let [Asked::Create(asked)] = ran.asked.as_slice() else { panic!("{:?}", ran.asked) };
    assert!(asked.hold && asked.min_final_cltv_expiry_blocks == Some(200));
    assert_eq!(asked.payment_hash.as_deref(), Some(hash.as_str()));

    let ran = run(script(), User::Types(""), &["invoice", "settle", &preimage]).await;
    let [Asked::Settle(asked)] = ran.asked.as_slice() else { panic!("{:?}", ran.asked) };
    assert_eq!(asked.by, Some(v1::settle_invoice_request::By::Preimage(preimage)));
    let ran = run(script(), User::Types(""), &["invoice", "settle", "--of", &hash]).await;
    let [Asked::Settle(asked)] = ran.asked.as_slice() else { panic!("{:?}", ran.asked) };
    assert_eq!(asked.by, Some(v1::settle_invoice_request::By::PaymentHash(hash)));
}

#[tokio::test]
async fn a_payment_that_nobody_asked_for_is_named_by_its_key_until_its_end_is_known() {
    let node = decoded().destination;
    let script = |answers| Script { pay: Some(Ok(answers)), ..Default::default() };
    let paid = script(vec![Ok(payment(v1::PaymentStatus::Succeeded))]);
    let line = ["--idempotency-key", "tip-7", "keysend", &node, "1k", "--timeout", "5"];
    let ran = run(paid, User::Types("y\n"), &line).await;
    assert!(ran.err.contains("Pay 1 000 sat to"), "{}", ran.err);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let [Asked::Keysend(asked)] = ran.asked.as_slice() else { panic!("{:?}", ran.asked) };
    assert_eq!((asked.amount_msat, asked.timeout_ms), (1_000_000, Some(5_000)));
    assert_eq!((&asked.idempotency_key, &asked.destination), (&"tip-7".to_owned(), &node));

    let no = run(script(Vec::new()), User::Types("n\n"), &line).await;
    assert!(no.asked.is_empty() && no.code == 6, "{}", no.err);

    // The stream ends before the payment does: how to go on watching is said.
    let flying = script(vec![Ok(payment(v1::PaymentStatus::InFlight))]);
    let ran = run(flying, User::Types("y\n"), &line).await;
    assert_eq!(ran.code, 4, "{}", ran.err);
    let again = format!("keysend {node} 1000000msat --idempotency-key tip-7");
    assert!(ran.err.contains(&again), "{}", ran.err);
}

#[tokio::test]
async fn an_invoice_comes_with_its_text_and_its_picture() {
    let invoice = v1::Invoice {
        invoice: INVOICE.into(),
        amount_msat: Some(25_000_000),
        status: v1::InvoiceStatus::Open.into(),
        description: "espresso \u{1b}[31mmachine".into(),
        expires_at_ms: NOW + 3_600_000,
        ..Default::default()
    };
    let script = || Script { invoice: invoice.clone(), ..Default::default() };
    let ran = run(script(), User::Types(""), &["invoice", "25k", "espresso", "--qr"]).await;
    assert!(
        ran.out.starts_with("25 000 sat · espresso �[31mmachine · expires in 1 h\n"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains('▀') && ran.out.trim_end().ends_with(INVOICE));
    let [Asked::Create(asked)] = ran.asked.as_slice() else { panic!("{:?}", ran.asked) };
    assert_eq!(asked.amount_msat, Some(25_000_000));

    let ran = run(script(), User::Away, &["-q", "invoice", "any"]).await;
    assert_eq!(ran.out, format!("{INVOICE}\n"));
    let [Asked::Create(asked)] = ran.asked.as_slice() else { panic!("{:?}", ran.asked) };
    assert_eq!(asked.amount_msat, None);
    let ran = run(script(), User::Away, &["invoice", "5usd"]).await;
    assert_eq!((ran.code, ran.asked.len()), (3, 0));
    assert!(ran.err.contains("“usd” is not a unit"), "{}", ran.err);
}

#[tokio::test]
async fn sending_on_chain_is_asked_done_once_and_never_called_failed_when_unsure() {
    let send = v1::SendResponse {
        txid: "7c".repeat(32),
        amount_sat: 50_000,
        fee_sat: 154,
        feerate_sat_per_vb: 1,
    };
    let script = Script { send, ..Default::default() };
    let line = ["wallet", "send", "bcrt1qexample", "50k", "--idempotency-key", "rent-11"];
    let ran = run(script.clone(), User::Types("y\n"), &line).await;
    assert!(ran.err.contains("fee 154 sat (1 sat/vB), 50 154 sat together"), "{}", ran.err);
    assert!(ran.out.contains("✓ sent 50 000 sat"));
    let [Asked::Send(asked)] = ran.asked.as_slice() else { panic!("{:?}", ran.asked) };
    assert_eq!(asked.idempotency_key, "rent-11");

    let broken = Script { send_fails: Some(Status::internal("")), ..script.clone() };
    let ran = run(broken, User::Types("y\n"), &line).await;
    assert_eq!(ran.code, 4);
    assert!(
        ran.err.contains("do not repeat it blindly")
            && ran.err.contains("viaduct wallet transactions")
    );
    let refused = Refused::new(Reason::FundsInsufficient)
        .because("need 12 340 sat more")
        .with("missing_sat", 12_340);
    let refusing = Script { send_fails: Some(refused.into()), ..script };
    let ran = run(refusing, User::Types("y\n"), &line).await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("✗ need 12 340 sat more") && ran.err.contains("Missing: 12 340 sat."));
}

#[tokio::test]
async fn events_come_one_a_line_and_heartbeats_are_not_shown() {
    use v1::event::Body;
    let event = |seq, body| v1::Event { seq, at_ms: NOW, body: Some(body) };
    let block = v1::BlockEvent { height: 1_108, block_hash: "8d02".into(), disconnected: false };
    let events = vec![
        event(1, Body::Heartbeat(v1::Heartbeat {})),
        event(2, Body::Block(block.clone())),
        event(3, Body::Payment(payment(v1::PaymentStatus::Succeeded))),
        event(4, Body::Block(block)),
    ];
    let script = || Script { events: events.clone(), hang: true, ..Default::default() };
    let ran = run(script(), User::Types(""), &["events", "--count", "2"]).await;
    assert_eq!(
        ran.out,
        "2026-11-22T10:25:15Z #2 block 1 108 8d02 connected\n\
         2026-11-22T10:25:15Z #3 payment 9c4b…6d29 of 25 000 sat: paid\n"
    );
    let ran = run(script(), User::Away, &["events", "--count", "1"]).await;
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["block"]["height"], 1_108);
    let ran = run(script(), User::Interrupts, &["events", "--after", "7"]).await;
    assert_eq!(ran.code, 130);
    assert!(ran.err.contains("viaduct events --after "), "{}", ran.err);
}

#[tokio::test]
async fn status_check_fails_when_a_part_is_not_well() {
    let part = v1::HealthPart {
        name: "chain".into(),
        state: v1::HealthState::Failed.into(),
        detail: "no answer for 30 s".into(),
        remedy: "Start viaduct-chain.".into(),
    };
    let ill = v1::HealthResponse { state: v1::HealthState::Failed.into(), parts: vec![part] };
    let script = || Script { health: ill.clone(), ..Default::default() };
    let ran = run(script(), User::Types(""), &["status"]).await;
    assert_eq!(ran.code, 0);
    assert!(
        ran.out.contains("chain failed: no answer for 30 s")
            && ran.out.contains("Start viaduct-chain.")
    );
    assert_eq!(run(script(), User::Types(""), &["status", "--check"]).await.code, 1);
    let well = v1::HealthResponse { state: v1::HealthState::Ok.into(), parts: Vec::new() };
    let script = Script { health: well, ..Default::default() };
    assert_eq!(run(script, User::Types(""), &["status", "--check"]).await.code, 0);
}

#[tokio::test]
async fn a_peer_is_reached_by_id_and_address() {
    let peer = format!("{}@127.0.0.1:9735", bob().node_id);
    let ran = run(Script::default(), User::Types(""), &["connect", &peer]).await;
    assert_eq!(ran.out, "✓ 02bb…bbbb connected, at 127.0.0.1:9735\n");
}

#[tokio::test]
async fn a_node_of_the_sandbox_is_known_by_its_name_everywhere() {
    let ran = run(Script::default(), User::Types(""), &["connect", "dave"]).await;
    assert_eq!(ran.out, "✓ dave (03dd…dddd) connected, at 127.0.0.1:9738\n");
    let dave =
        v1::Channel { node_id: format!("03{}", "dd".repeat(32)), ..channel("aa", "1x1x0", "") };
    let script = Script { channels: vec![dave], ..Default::default() };
    let ran = run(script.clone(), User::Types(""), &["channels"]).await;
    assert!(ran.out.contains("dave  1x1x0"), "{}", ran.out);
    let ran = run(script, User::Types(""), &["channels", "show", "dave"]).await;
    assert!(ran.out.contains("peer        dave (03dd…dddd), connected"), "{}", ran.out);
}

fn a_step(seq: u64, code: &str, text: &str) -> v1::WhyStep {
    v1::WhyStep {
        seq,
        at_ms: Some(NOW - 120_000),
        height: Some(1_150),
        code: code.into(),
        text: text.into(),
        txid: Some("8d".repeat(32)),
        ..Default::default()
    }
}

fn a_story() -> v1::WhyChannelResponse {
    v1::WhyChannelResponse {
        node_id: bob().node_id,
        node_alias: "bob".into(),
        summary: "we closed alone: the peer sent an error".into(),
        force_close: "automatic".into(),
        steps: vec![
            a_step(12, "error-received", "the peer sent an error: “go\u{1b}[2J away”"),
            v1::WhyStep { at_ms: None, txid: None, ..a_step(13, "closed-by-us", "in a block") },
        ],
        steps_left_out: 3,
        waiting: vec![v1::WhyWait {
            text: "our balance is locked".into(),
            until_height: Some(1_294),
            amount_sat: Some(310_000),
            ..Default::default()
        }],
        cost_sat: 2_140,
        home_sat: 55_000,
        ..Default::default()
    }
}

fn with_bob() -> v1::Channel {
    v1::Channel {
        channel_id: "cc".repeat(32),
        node_id: bob().node_id,
        node_alias: "bob".into(),
        short_channel_id: Some("102x1x0".into()),
        ..Default::default()
    }
}

#[tokio::test]
async fn why_tells_a_channels_story_newest_last_and_what_is_waited_for() {
    let script =
        || Script { channels: vec![with_bob()], why_channel: a_story(), ..Default::default() };
    let ran = run(script(), User::Types(""), &["why", "channel", "bob"]).await;
    assert_eq!(
        ran.out,
        "channel cccc…cccc with bob (02bb…bbbb)\n  \
         we closed alone: the peer sent an error\n\n\
         block 1 150   2 min ago      the peer sent an error: “go�[2J away” (tx 8d8d…8d8d)\n\
         block 1 150                  in a block\n              \
         (3 steps in between are not kept)\n\
         waiting     our balance is locked until block 1 294, 310 000 sat\n\
         so far      2 140 sat in fees, 55 000 sat came home by claims\n\
         force_close automatic\n"
    );
    let ran = run(script(), User::Away, &["why", "channel", "102x1x0"]).await;
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["steps"][0]["code"], "error-received");
    assert_eq!(json["waiting"][0]["until_height"], 1_294);
    let ran = run(script(), User::Types(""), &["why", "channel", "nobody"]).await;
    assert_eq!(ran.code, 1, "{}", ran.err);
}

#[tokio::test]
async fn why_finds_a_closed_channel_by_its_peers_name() {
    let closed = v1::ClosedChannel { channel: Some(with_bob()), ..Default::default() };
    let script = Script { closed: vec![closed], why_channel: a_story(), ..Default::default() };
    let ran = run(script, User::Types(""), &["-q", "why", "channel", "bob"]).await;
    assert_eq!((ran.code, ran.out), (0, format!("{}\n", "cc".repeat(32))));
}

#[tokio::test]
async fn why_tells_a_payments_story_and_an_unknown_one_is_refused() {
    let why = v1::WhyPaymentResponse {
        payment_hash: HASH.into(),
        status: "failed".into(),
        summary: "no channel could carry it now".into(),
        steps: vec![v1::WhyStep { txid: None, height: None, ..a_step(9, "failed", "it failed") }],
        ..Default::default()
    };
    let script = || Script { why_payment: why.clone(), ..Default::default() };
    let ran = run(script(), User::Types(""), &["why", "payment", HASH]).await;
    assert_eq!(
        ran.out,
        format!(
            "payment 9c4b…6d29: failed\n  no channel could carry it now\n\n{:13} 2 min ago      it \
             failed\n",
            ""
        )
    );
    let ran = run(script(), User::Types(""), &["why", "payment", &"ab".repeat(32)]).await;
    assert_eq!(ran.code, 1, "{}", ran.err);
}

fn an_output(kind: &str, side: &str, value_sat: u64, state: &str) -> v1::CloseOutput {
    v1::CloseOutput {
        outpoint: format!("{}:2", "8d".repeat(32)),
        kind: kind.into(),
        side: side.into(),
        value_sat,
        state: state.into(),
        fee_sat: 140,
        expected_sat: value_sat.saturating_sub(140),
        ..Default::default()
    }
}

fn at_stake() -> v1::CloseProgress {
    v1::CloseProgress {
        stage: v1::CloseStage::Planned.into(),
        fee_sat: 2_140,
        ours_sat: 900_000,
        locked_blocks: 144,
        outputs: vec![
            v1::CloseOutput {
                deadline_height: Some(1_200),
                opens_height: Some(1_160),
                htlc_id: Some(3),
                expiry_height: Some(1_160),
                ..an_output("htlc", "us", 310_000, "waits")
            },
            an_output("balance", "them", 80_000, "theirs"),
        ],
        forecast: Some(v1::CloseForecast {
            cost_sat: 2_140,
            saves_sat: 310_000,
            home_sat: 900_000,
            before_height: Some(1_200),
            close_by_height: Some(1_162),
            home_at_height: Some(1_310),
        }),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_dry_run_of_a_forced_close_says_what_it_costs_and_saves_and_does_nothing() {
    let script =
        || Script { channels: vec![with_bob()], close: vec![at_stake()], ..Default::default() };
    let line = ["close", "bob", "--force", "--dry-run"];
    let ran = run(script(), User::Types(""), &line).await;
    assert_eq!((ran.code, ran.asked.len()), (0, 0), "{}", ran.err);
    for part in [
        "spend 2 140 sat to save 310 000 sat before height 1 200",
        "all home at   block 1 310",
        "our htlc 3 until block 1 160",
        "opens at block 1 160",
        "their balance",
    ] {
        assert!(ran.out.contains(part), "{part}\n{}", ran.out);
    }
    let ran = run(script(), User::Away, &line).await;
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["forecast"]["saves_sat"], 310_000);
    assert_eq!(json["outputs"][0]["kind"], "htlc");
}

#[tokio::test]
async fn a_closing_channel_shows_every_output() {
    let mut close = at_stake();
    close.outputs.push(v1::CloseOutput {
        claim_txid: Some("c7".repeat(32)),
        claim_height: Some(1_161),
        ..an_output("balance", "us", 500_000, "claimed")
    });
    let channel = v1::Channel { close: Some(close), funding_fee_sat: Some(154), ..with_bob() };
    let script = Script { channels: vec![channel], ..Default::default() };
    let ran = run(script, User::Types(""), &["channels", "show", "bob"]).await;
    for part in [
        "opening     154 sat for the funding transaction",
        "OUTPUT",
        "COMES HOME",
        "8d8d…8d8d:2",
        "ours since block 1 161",
        "c7c7…c7c7",
        "499 860",
    ] {
        assert!(ran.out.contains(part), "{part}\n{}", ran.out);
    }
}

#[tokio::test]
async fn the_policy_of_a_peer_is_set_and_taken_back() {
    let script = || Script { peers: vec![bob()], ..Default::default() };
    let line = ["peers", "policy", "bob", "--force-close", "ask"];
    let ran = run(script(), User::Types(""), &line).await;
    assert_eq!(ran.out, "channels with 02bb…bbbb: force_close = ask (its own)\n");
    let [Asked::Policy(asked)] = ran.asked.as_slice() else { panic!("{:?}", ran.asked) };
    assert_eq!(asked.force_close.as_deref(), Some("ask"));
    let line = ["peers", "policy", "bob", "--force-close", "node"];
    let ran = run(script(), User::Types(""), &line).await;
    assert_eq!(ran.out, "channels with 02bb…bbbb: force_close = automatic (the node's setting)\n");
    let [Asked::Policy(asked)] = ran.asked.as_slice() else { panic!("{:?}", ran.asked) };
    assert_eq!((asked.force_close.as_deref(), asked.trust_funding), (None, None));
    let line = ["peers", "policy", "bob", "--zero-conf", "accept"];
    let ran = run(script(), User::Types(""), &line).await;
    let said = "channels with 02bb…bbbb: force_close = automatic (the node's setting), zero_conf = accept\n";
    assert_eq!(ran.out, said);
    let [Asked::Policy(asked)] = ran.asked.as_slice() else { panic!("{:?}", ran.asked) };
    assert_eq!((asked.force_close.as_deref(), asked.trust_funding), (None, Some(true)));
}

#[tokio::test]
async fn a_fee_is_raised_of_a_transaction_or_of_what_a_channel_waits_for() {
    let txid = "cd".repeat(32);
    let ran = run(Script::default(), User::Types(""), &["bump", &txid, "--feerate", "12"]).await;
    assert_eq!(
        ran.out,
        "✓ commitment paid for by its child abab…abab (fee 1 234 sat, 2 500 sat per 1000 weight)\n"
    );
    let how = Some(v1::bump_request::How::FeerateSatPerVb(12));
    assert!(
        matches!(&ran.asked[..], [Asked::Bump(asked)] if asked.target == txid && asked.how == how)
    );
    let both = ["viaduct", "bump", &txid, "--feerate", "12", "--deadline", "900"];
    assert!(<Cli as clap::Parser>::try_parse_from(both).is_err(), "one or the other");
}
