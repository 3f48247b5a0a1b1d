//! `graph`, `route` and `forwards`: what is asked, and what people and programs read.

use super::*;

fn id(number: u8) -> String {
    format!("02{}{number:02x}", "00".repeat(31))
}

fn node(number: u8, alias: &str) -> v1::GraphNode {
    v1::GraphNode {
        node_id: id(number),
        alias: alias.into(),
        channels: u32::from(number),
        ..Default::default()
    }
}

fn channel(number: u8) -> v1::GraphChannel {
    let policy = v1::GraphPolicy {
        enabled: number != 2,
        fee_base_msat: 1_000,
        fee_ppm: 50,
        cltv_delta: 80,
        ..Default::default()
    };
    v1::GraphChannel {
        short_channel_id: format!("10{number}x1x0"),
        node1: id(1),
        node2: id(number + 1),
        capacity_sat: (number != 3).then_some(2_500_000),
        policy1: Some(policy),
        policy2: None,
    }
}

fn hop(number: u8, fee_msat: u64, probability_ppm: u32) -> v1::RouteHop {
    v1::RouteHop {
        node_id: id(number),
        alias: if number == 3 { "carol".into() } else { String::new() },
        short_channel_id: format!("10{number}x1x0"),
        amount_msat: 5_001_500 - fee_msat,
        fee_msat,
        cltv_delta: if fee_msat > 0 { 40 } else { 0 },
        probability_ppm,
    }
}

fn part() -> v1::RoutePart {
    v1::RoutePart {
        amount_msat: 5_000_000,
        fee_msat: 1_500,
        cltv_delta: 61,
        probability_ppm: 432_100,
        hops: vec![hop(2, 0, 1_000_000), hop(3, 1_500, 432_100)],
    }
}

fn network() -> Script {
    let mut script = Script::default();
    let seen = &mut script.graph;
    seen.info = v1::GraphInfoResponse {
        nodes: 17_324,
        channels: 50_808,
        capacity_sat: 536_170_000_000,
        memory_bytes: 17_400_000,
        ..Default::default()
    };
    seen.nodes = vec![node(1, "ann"), node(2, "b\u{1b}[2Jb"), node(3, "carol")];
    seen.channels = (1..=3).map(channel).collect();
    seen.route = v1::FindRouteResponse {
        parts: vec![part()],
        amount_msat: 5_000_000,
        fee_msat: 1_500,
        probability_ppm: 432_100,
    };
    seen.scores = vec![9, 8, 7];
    script
}

async fn shown(line: &[&str]) -> Ran {
    let ran = run(network(), User::Types(""), line).await;
    assert_eq!(ran.code, 0, "{line:?}: {}", ran.err);
    ran
}

#[tokio::test]
async fn the_graph_is_told_in_one_line_in_pages_and_one_by_one() {
    for line in [&["graph"][..], &["graph", "info"]] {
        let out = shown(line).await.out;
        assert!(out.contains("17 324 nodes, 50 808 channels"), "{out}");
        assert!(out.contains("17 400 kB of memory"), "{out}");
    }
    let out = shown(&["graph", "nodes", "--limit", "2"]).await.out;
    assert!(out.contains(&id(1)) && out.contains("ann") && !out.contains("carol"), "{out}");
    assert!(!out.contains('\u{1b}'), "what a node calls itself does not steer the terminal");
    assert!(out.contains(&format!("viaduct graph nodes --from {}", id(3))), "{out}");
    let rest = shown(&["graph", "nodes", "--from", &id(3)]).await.out;
    assert!(rest.contains("carol") && !rest.contains("ann") && !rest.contains("More"), "{rest}");

    let out = shown(&["graph", "channels", "--limit", "2"]).await.out;
    assert!(out.contains("1000 msat + 50 ppm, 80 blocks"), "{out}");
    assert!(out.contains("disabled") && out.contains("unknown"), "{out}");
    assert!(out.contains("viaduct graph channels --from 103x1x0"), "{out}");
    let one = shown(&["graph", "channel", "102x1x0"]).await.out;
    assert!(one.contains("2 500 000") && !one.contains("101x1x0"), "{one}");
    let one = shown(&["graph", "node", &id(3)]).await.out;
    assert!(one.contains("carol") && one.contains("102x1x0") && !one.contains("101x1x0"), "{one}");

    let ids = run(network(), User::Types(""), &["-q", "graph", "channels"]).await.out;
    assert_eq!(ids.lines().collect::<Vec<_>>(), ["101x1x0", "102x1x0", "103x1x0"]);
    let json = run(network(), User::Away, &["graph", "channels"]).await.out;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["channels"][0]["policy1"]["fee_ppm"], 50);
    let unknown = run(network(), User::Types(""), &["graph", "channel", "9x9x9"]).await;
    assert_ne!(unknown.code, 0);
}

#[tokio::test]
async fn scores_go_to_a_file_and_come_from_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("scores");
    let path = file.to_str().unwrap();
    let ran = shown(&["graph", "scores", "export", path]).await;
    assert!(ran.out.contains("3 channels") || ran.err.contains("3 channels"), "{ran:?}");
    assert_eq!(std::fs::read(&file).unwrap(), [9, 8, 7]);
    let ran = shown(&["graph", "scores", "import", path]).await;
    let [Asked::Scores(asked)] = ran.asked.as_slice() else { panic!("{:?}", ran.asked) };
    assert_eq!(asked.file, [9, 8, 7]);
    assert!(ran.out.contains("1 234") || ran.err.contains("1 234"), "{ran:?}");
    let none = dir.path().join("none");
    let line = ["graph", "scores", "import", none.to_str().unwrap()];
    assert_ne!(run(network(), User::Types(""), &line).await.code, 0);
}

#[tokio::test]
async fn a_route_is_shown_hop_by_hop_with_how_likely_each_is() {
    let line = ["route", &id(3), "5000", "--max-fee", "10", "--max-parts", "2"];
    let ran = shown(&line).await;
    let [Asked::Route(asked)] = ran.asked.as_slice() else { panic!("{:?}", ran.asked) };
    assert_eq!((asked.amount_msat, asked.fee_limit_msat), (Some(5_000_000), Some(10_000)));
    assert_eq!((asked.max_parts, asked.destination.as_str()), (2, id(3).as_str()));
    assert!(ran.out.contains("part 1: 5 000 sat"), "{}", ran.out);
    assert!(ran.out.contains("locked for 61 blocks at most, 43.2 % likely"), "{}", ran.out);
    assert!(ran.out.contains("carol") && ran.out.contains("fee 1.500 sat, 40 blocks"));
    let hops: Vec<_> = ran.out.lines().filter(|line| line.contains("──")).collect();
    assert_eq!(hops.len(), 2);
    assert!(!hops[0].contains("likely"), "our own channel is sure: {}", hops[0]);
    assert!(hops[1].contains("43.2 % likely"), "{}", hops[1]);
    let json = run(network(), User::Away, &["route", &id(3), "5000"]).await.out;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["parts"][0]["hops"][1]["probability_ppm"], 432_100);
}

#[tokio::test]
async fn a_probe_tells_of_each_htlc_how_far_it_got() {
    let mut script = network();
    let probed = |outcome: v1::ProbeOutcome, hops_passed, words: &str| v1::ProbedPart {
        part: Some(part()),
        outcome: outcome.into(),
        hops_passed,
        words: words.into(),
        took_ms: 38,
    };
    script.graph.probed = v1::ProbeRouteResponse {
        reached_msat: 5_000_000,
        fee_msat: 1_500,
        parts: vec![
            probed(v1::ProbeOutcome::Failed, 1, "node b said temporary_channel_failure"),
            probed(v1::ProbeOutcome::Reached, 2, ""),
        ],
        missed: String::new(),
    };
    let line = ["route", &id(3), "5000", "--probe", "--timeout", "7"];
    let ran = run(script.clone(), User::Types(""), &line).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let [Asked::Probe(asked)] = ran.asked.as_slice() else { panic!("{:?}", ran.asked) };
    assert_eq!(asked.timeout_s, 7);
    assert_eq!(asked.route.as_ref().unwrap().amount_msat, Some(5_000_000));
    let out = &ran.out;
    assert!(out.contains("HTLC 1: 5 000 sat") && out.contains("came back after 38 ms"), "{out}");
    let hops: Vec<_> = out.lines().filter(|line| line.contains("──")).collect();
    assert!(hops[0].ends_with("passed") && hops[1].ends_with("did not pass"), "{out}");
    assert!(out.contains("temporary_channel_failure"), "{out}");
    assert!(out.contains("HTLC 2") && out.contains("reached the payee"), "{out}");
    assert!(out.contains("5 000 sat got there, fee 1.500 sat; nothing was paid"), "{out}");

    script.graph.probed.missed = "no way".into();
    script.graph.probed.reached_msat = 0;
    let ran = run(script, User::Types(""), &["route", &id(3), "5000", "--probe"]).await;
    assert!(ran.out.contains("0 sat got there: no way"), "{}", ran.out);
    use clap::Parser as _;
    let alone = ["viaduct", "route", &id(3), "5000", "--timeout", "7"];
    assert!(Cli::try_parse_from(alone).is_err(), "a timeout of nothing");
}

#[tokio::test]
async fn forwards_are_listed_by_what_became_of_them() {
    let mut script = Script::default();
    let forward = |state: v1::ForwardState, out: &str, failure: &str| v1::Forward {
        state: state.into(),
        payment_hash: HASH.into(),
        short_channel_id_in: "101x1x0".into(),
        channel_out: out.into(),
        short_channel_id_out: out.into(),
        short_channel_id_asked: "109x9x9".into(),
        amount_in_msat: 10_001_000,
        amount_out_msat: 10_000_000,
        fee_msat: 1_000,
        created_at_ms: NOW - 5_000,
        created_height: 108,
        held_ms: 42,
        failure: failure.into(),
        ..Default::default()
    };
    script.graph.forwards = vec![
        forward(v1::ForwardState::Settled, "102x1x0", ""),
        forward(v1::ForwardState::Failed, "", "fee_insufficient\u{1b}[0m"),
        forward(v1::ForwardState::Held, "", ""),
    ];
    let cases: [(&[&str], &[v1::ForwardState]); 4] = [
        (&["forwards"], &[]),
        (&["forwards", "--settled"], &[v1::ForwardState::Settled]),
        (&["forwards", "--failed"], &[v1::ForwardState::Failed]),
        (&["forwards", "--open"], &[v1::ForwardState::Held, v1::ForwardState::InFlight]),
    ];
    for (line, states) in cases {
        let ran = run(script.clone(), User::Types(""), line).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
        let [Asked::Forwards(asked)] = ran.asked.as_slice() else { panic!("{:?}", ran.asked) };
        let wanted: Vec<i32> = states.iter().map(|state| (*state).into()).collect();
        assert_eq!((asked.page_size, &asked.states), (50, &wanted));
        let rows = ran.out.lines().count() - 1;
        assert_eq!(rows, if states.is_empty() { 3 } else { 1 }, "{}", ran.out);
    }
    let out = run(script.clone(), User::Types(""), &["forwards"]).await.out;
    assert!(out.contains("102x1x0") && out.contains("settled") && out.contains("10 000"), "{out}");
    assert!(out.contains("(109x9x9)"), "where it was to go, if it went nowhere: {out}");
    assert!(out.contains("fee_insufficient") && !out.contains('\u{1b}'), "{out}");
    let none = run(Script::default(), User::Types(""), &["forwards"]).await.out;
    assert!(none.contains("nothing passed here yet"), "{none}");
}
