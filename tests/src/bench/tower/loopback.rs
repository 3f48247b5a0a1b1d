//! The whole way: clients over TCP and BOLT 8 on loopback, the listener, the disk, a signed receipt back.
//!
//! Clients and tower share this process and its cores, so the rate is that of both together.

use super::shelf::{BATCH, client, latencies, record, staged, start};
use super::{Arguments, shelf};
use crate::bench::figure::Figure;
use secp256k1::{Keypair, PublicKey, SecretKey};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use watchtower::client::Link;
use watchtower::ingest::{Bounds, Guests, Offered, Reception, serve};
use watchtower::message::{KIT_SEALED, Message, Records, RecordsAck, SessionOpen};
use watchtower::proof::check::Checker;
use watchtower::proof::drill::Staged;
use watchtower::proof::mmr::leaf;
use watchtower::proof::receipt::{Receipt, Session};
use watchtower::watch::{PurseDoor, View, Watching};
use wire::codec::Encode as _;

/// Clients at the same time.
const CLIENTS: u32 = 4;
/// Messages of one client that wait for their receipt.
const WINDOW: u32 = 6;
/// The first block of the chain they speak of.
const CHAIN: [u8; 32] = [6; 32];

/// One connected client.
struct Caller {
    link: Link,
    checker: Checker,
    session: Session,
    number: u32,
    length: usize,
    next: u32,
    durable: u32,
}

impl Caller {
    async fn call(address: &str, tower: &PublicKey, number: u32, staged: &Staged) -> Self {
        let key = client(number);
        let template = staged.template.encoded();
        let secret = SecretKey::from_keypair(&key);
        let link = Link::call(address, tower, secret, CHAIN).await;
        let mut link = link.expect("a connection");
        let open = SessionOpen {
            kit: KIT_SEALED,
            template: template.clone(),
            want_blocks: 50_000,
            want_bytes: u32::MAX,
        };
        let ack = link.open(open).await.expect("a session");
        let session = Session::new(key.public_key(), KIT_SEALED, &template);
        let length = staged.sealed(&key.public_key(), 0).ciphertext.len();
        let checker = Checker::new(*tower, session);
        Self { link, checker, session, number, length, next: ack.next_seq, durable: ack.next_seq }
    }

    async fn send(&mut self, count: u32, checked: bool) {
        let first_seq = self.next;
        let records: Vec<_> = (first_seq..first_seq + count)
            .map(|seq| record(self.length, self.number | 1 << 16, seq))
            .collect();
        if checked {
            for (seq, record) in (first_seq..).zip(&records) {
                assert!(self.checker.send(leaf(seq, &record.hint.0, &record.ciphertext)));
            }
        }
        self.next += count;
        self.link.say(&Records { first_seq, records }.into()).await.expect("said");
    }

    /// Waits for the next receipt.
    async fn hear(&mut self) -> RecordsAck {
        loop {
            #[expect(clippy::wildcard_enum_match_arm, reason = "all others make no sense here")]
            match self.link.hear().await.expect("an answer") {
                Message::RecordsAck(ack) => {
                    assert!(ack.code.is_ok(), "{}", ack.code);
                    self.durable = ack.durable;
                    return ack;
                }
                Message::Event(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn upload(mut self, until: Instant) -> u32 {
        while Instant::now() < until {
            self.send(BATCH, false).await;
            while self.next - self.durable >= WINDOW * BATCH {
                self.hear().await;
            }
        }
        while self.durable < self.next {
            self.hear().await;
        }
        self.next
    }

    /// A thousand records a second, each checked; milliseconds until each is durable and signed for.
    async fn paced(mut self, seconds: u64) -> Vec<f64> {
        let mut waits = Vec::new();
        let begin = Instant::now();
        for number in 0..seconds * 1_000 {
            tokio::time::sleep_until((begin + Duration::from_millis(number)).into()).await;
            let sent = Instant::now();
            self.send(1, true).await;
            let ack = self.hear().await;
            let receipt = Receipt::from_message(self.session, &ack);
            self.checker.check(&receipt, 0).expect("an honest tower");
            waits.push(sent.elapsed().as_secs_f64() * 1e3);
        }
        waits
    }
}

/// Rate and waits of a tower with a listener.
pub(super) async fn speed(arguments: &Arguments, dir: &Path) -> Vec<Figure> {
    let staged = staged();
    let key: Keypair = client(u32::MAX);
    let opened = start(dir);
    let (_watching, watching) = watch::channel(Watching::default());
    let (events, _) = broadcast::channel(16);
    let reception = Reception {
        key: SecretKey::from_keypair(&key),
        chain_hash: CHAIN,
        keeper: opened.keeper.clone(),
        view: View { watching, events, purse: PurseDoor::closed() },
        offered: Offered { bytes_max: u64::MAX, ..Offered::default() },
        bounds: Bounds { records_per_second: 100_000_000, ..Bounds::default() },
        clock: now_ms,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("a port").to_string();
    let (guests, _) = watch::channel(Guests::default());
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(reception, listener, guests, stop.clone()));
    let tower = key.public_key();
    let mut rates = Vec::new();
    for _ in 0..arguments.runs.max(1) {
        let mut callers = Vec::new();
        let mut before = 0_u64;
        for number in 0..CLIENTS {
            let caller = Caller::call(&address, &tower, number, &staged).await;
            before += u64::from(caller.next);
            callers.push(caller);
        }
        let begin = Instant::now();
        let until = begin + Duration::from_secs(arguments.seconds);
        let uploads: Vec<_> =
            callers.into_iter().map(|caller| tokio::spawn(caller.upload(until))).collect();
        let mut after = 0_u64;
        for upload in uploads {
            after += u64::from(upload.await.expect("a client"));
        }
        rates.push((after - before) as f64 / begin.elapsed().as_secs_f64());
    }
    let paced = Caller::call(&address, &tower, CLIENTS, &staged).await;
    // The disk alone in the moments before and after: it is others' as well.
    let mut alone = shelf::syncs_alone(dir, arguments.seconds);
    let waits = paced.paced(arguments.seconds).await;
    alone.extend(shelf::syncs_alone(dir, arguments.seconds));
    stop.cancel();
    serving.await.expect("the listener ends well");
    let mut figures = vec![Figure::alone("tower.loopback.rate".into(), "1/s", rates)];
    figures.extend(latencies("tower.loopback.wait", waits));
    figures.extend(latencies("tower.loopback.disk", alone));
    figures
}

/// Milliseconds since the epoch.
pub(super) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
