//! The whole way: clients over TCP and BOLT 8 on loopback, the listener, the disk, a signed receipt back.
//!
//! Clients and tower share this process and its cores, so the rate is that of both together.

use super::Arguments;
use super::shelf::{BATCH, client, latencies, record, staged, start};
use crate::bench::figure::Figure;
use secp256k1::{Keypair, PublicKey, SecretKey};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use watchtower::ingest::{Bounds, Guests, Offered, Reception, serve};
use watchtower::message::{
    FEATURE_WT2_OPTIONAL, Init, KIT_SEALED, Message, Records, RecordsAck, SessionAck, SessionOpen,
};
use watchtower::proof::check::Checker;
use watchtower::proof::drill::Staged;
use watchtower::proof::mmr::leaf;
use watchtower::proof::receipt::{Receipt, Session};
use watchtower::watch::{View, Watching};
use wire::codec::Encode as _;
use wire::frame::{Decryptor, Encryptor, HEADER_LEN};
use wire::noise::{ACT_TWO_LEN, Initiator};

/// Clients at the same time.
const CLIENTS: u32 = 4;
/// Messages of one client that wait for their receipt.
const WINDOW: u32 = 6;
/// The first block of the chain they speak of.
const CHAIN: [u8; 32] = [6; 32];

/// A connection as any client has it.
struct Line {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    decryptor: Decryptor,
    encryptor: Encryptor,
    out: Vec<u8>,
}

impl Line {
    async fn call(address: &str, tower: &PublicKey, key: SecretKey) -> Self {
        let socket = TcpStream::connect(address).await.expect("a connection");
        socket.set_nodelay(true).expect("a socket");
        let (read, mut write) = socket.into_split();
        let mut read = BufReader::new(read);
        // The ephemeral key of a measurement may be any.
        let (act, expect) = Initiator::start(key, key, tower);
        write.write_all(&act).await.expect("act one");
        let mut act = [0; ACT_TWO_LEN];
        read.read_exact(&mut act).await.expect("act two");
        let (act, keys) = expect.act_two(&act).expect("a tower");
        write.write_all(&act).await.expect("act three");
        let (decryptor, encryptor, out) = (keys.decryptor, keys.encryptor, Vec::new());
        let mut line = Self { read, write, decryptor, encryptor, out };
        let mut init = Init { chain_hash: CHAIN, ..Init::default() };
        init.set(FEATURE_WT2_OPTIONAL);
        line.write_frame(&init.encode_frame()).await;
        Init::decode_frame(&line.read_frame().await).expect("an Init");
        line
    }

    async fn open(&mut self, open: SessionOpen) -> SessionAck {
        self.say(&open.into()).await;
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others make no sense here")]
        match self.hear().await {
            Message::SessionAck(ack) if ack.code.is_ok() => ack,
            other => panic!("{other:?}"),
        }
    }

    async fn say(&mut self, message: &Message) {
        self.write_frame(&message.encode_frame()).await;
    }

    async fn hear(&mut self) -> Message {
        let frame = self.read_frame().await;
        Message::decode_frame(&frame).expect("a message").expect("one that we know")
    }

    async fn write_frame(&mut self, message: &[u8]) {
        self.out.clear();
        self.encryptor.encrypt_into(&mut self.out, message).expect("short enough");
        self.write.write_all(&self.out).await.expect("said");
    }

    async fn read_frame(&mut self) -> Vec<u8> {
        let mut header = [0; HEADER_LEN];
        self.read.read_exact(&mut header).await.expect("a frame");
        let length = usize::from(self.decryptor.decrypt_length(&header).expect("a frame"));
        let mut frame = vec![0; length + 16];
        self.read.read_exact(&mut frame).await.expect("a frame");
        self.decryptor.decrypt_body(&mut frame).expect("a frame");
        frame.truncate(length);
        frame
    }
}

/// One connected client.
struct Caller {
    link: Line,
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
        let mut link = Line::call(address, tower, SecretKey::from_keypair(&key)).await;
        let open = SessionOpen {
            kit: KIT_SEALED,
            template: template.clone(),
            want_blocks: 50_000,
            want_bytes: u32::MAX,
        };
        let ack = link.open(open).await;
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
        self.link.say(&Records { first_seq, records }.into()).await;
    }

    /// Waits for the next receipt.
    async fn hear(&mut self) -> RecordsAck {
        loop {
            #[expect(clippy::wildcard_enum_match_arm, reason = "all others make no sense here")]
            match self.link.hear().await {
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
        view: View { watching, events },
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
    let waits = paced.paced(arguments.seconds).await;
    stop.cancel();
    serving.await.expect("the listener ends well");
    let mut figures = vec![Figure::alone("tower.loopback.rate".into(), "1/s", rates)];
    figures.extend(latencies("tower.loopback.wait", waits));
    figures
}

/// Milliseconds since the epoch.
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
