//! Metrics as Prometheus reads them, over the least of HTTP.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::Admin;
use super::show::blocks_left;
use crate::message::ClaimState;
use crate::store::Mode;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest question.
const QUESTION_MAX: u64 = 8_192;

/// Answers one question after the other until it is told to stop.
pub async fn serve(about: Admin, listener: TcpListener, stop: CancellationToken) {
    loop {
        let call = tokio::select! {
            () = stop.cancelled() => return,
            call = listener.accept() => call,
        };
        let Ok((socket, _)) = call else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let answered = tokio::time::timeout(PATIENCE, answer(&about, socket)).await;
        if !matches!(answered, Ok(Ok(()))) {
            tracing::debug!("a question for metrics was not answered");
        }
    }
}

async fn answer(about: &Admin, mut socket: TcpStream) -> std::io::Result<()> {
    let mut question = Vec::new();
    let mut head = (&mut socket).take(QUESTION_MAX);
    while !question.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut some = [0; 1_024];
        let read = head.read(&mut some).await?;
        if read == 0 {
            break;
        }
        question.extend_from_slice(some.get(..read).unwrap_or_default());
    }
    let found = question.starts_with(b"GET /metrics");
    let (status, body) = match text(about).await.filter(|_| found) {
        Some(body) => ("200 OK", body),
        None if found => ("503 Service Unavailable", String::new()),
        None => ("404 Not Found", "see /metrics\n".to_owned()),
    };
    let kind = "text/plain; version=0.0.4";
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    socket.write_all(answer.as_bytes()).await?;
    socket.shutdown().await
}

/// All metrics; `None` when the tower stops.
pub(crate) async fn text(about: &Admin) -> Option<String> {
    let figures = about.keeper.figures().await.ok()?;
    let watching = about.view.watching.borrow().clone();
    let guests = *about.guests.borrow();
    let height = watching.tip.map_or(0, |tip| tip.height);
    let mut out = String::new();
    let mut one = |name: &str, kind: &str, help: &str, value: u64| {
        // Writing to a string cannot fail.
        let _infallible =
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    };
    let flag = u64::from;
    one("tower_records_total", "counter", "records taken since the start", figures.records);
    one("tower_groups_total", "counter", "groups made durable since the start", figures.groups);
    one("tower_records", "gauge", "records that are watched for", figures.indexed);
    one("tower_bytes", "gauge", "bytes of all records on the disk", figures.bytes);
    one("tower_segments", "gauge", "closed segments", figures.segments);
    let help = "segments written anew by itself";
    one("tower_compacted_total", "counter", help, figures.compacted);
    one("tower_sessions", "gauge", "sessions", figures.sessions);
    one("tower_index_bytes", "gauge", "memory of the index", figures.index_bytes);
    one("tower_ring_bytes", "gauge", "memory of recent transactions", figures.ring_bytes);
    one("tower_ring_blocks", "gauge", "recent blocks that are kept", figures.ring_blocks);
    one("tower_writable", "gauge", "whether records are taken", flag(figures.mode == Mode::Open));
    one("tower_height", "gauge", "the last block that is on disk", u64::from(height));
    one("tower_synced", "gauge", "whether that is the newest", flag(watching.is_synced));
    one("tower_chain_up", "gauge", "whether blocks are heard of", flag(watching.trouble.is_none()));
    one("tower_blocks_total", "counter", "blocks since the start", watching.blocks);
    one("tower_match_us", "gauge", "microseconds that the last block took", watching.match_us);
    one("tower_filter_fp_total", "counter", "records looked at in vain", watching.misses);
    one("tower_useless_records", "gauge", "records that opened in vain", watching.book.useless());
    one("tower_fee_reserve_sat", "gauge", "the tower's own coins", watching.reserve_sat);
    one("tower_connections", "gauge", "clients connected", size(guests.connections));
    one("tower_turned_away_total", "counter", "calls turned away", guests.turned_away);
    one("tower_faults_total", "counter", "connections ended by a fault", guests.faults);
    if let Some(left) = blocks_left(&watching.book, height) {
        let help = "the least number of blocks left for a claim";
        one("tower_claim_blocks_left_min", "gauge", help, u64::from(left));
    }
    let name = "tower_claims";
    let _infallible = writeln!(out, "# HELP {name} open outputs by state\n# TYPE {name} gauge");
    for (state, word) in STATES {
        let claims = watching.book.claims().filter(|(outpoint, tracked)| {
            let source = watching.book.source(&outpoint.txid);
            source.is_some_and(|source| tracked.state(source, height) == state)
        });
        let _infallible = writeln!(out, "{name}{{state=\"{word}\"}} {}", claims.count());
    }
    Some(out)
}

const STATES: [(ClaimState, &str); 7] = [
    (ClaimState::Seen, "seen"),
    (ClaimState::Sent, "sent"),
    (ClaimState::Mined, "mined"),
    (ClaimState::Final, "final"),
    (ClaimState::TakenByThem, "taken_by_them"),
    (ClaimState::DoneByOther, "done_by_other"),
    (ClaimState::Failed, "void"),
];

fn size(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
