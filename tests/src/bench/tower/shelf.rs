//! The tower's store: bytes, speed of the disk, blocks against many hints, start-up.

use super::Arguments;
use crate::bench::figure::Figure;
use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::{BlockHash, OutPoint, ScriptBuf, Txid};
use chain_backend::BlockId;
use secp256k1::{Keypair, PublicKey, SECP256K1, SecretKey};
use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};
use store::disk::RealDisk;
use tokio::sync::oneshot;
use watchtower::hint::Hint;
use watchtower::kit::sealed::{HtlcRecord, Record, seal};
use watchtower::kit::template::{Covers, Step};
use watchtower::message::{KIT_SEALED, Sealed};
use watchtower::proof::drill::{Drill, Shape, Staged};
use watchtower::proof::receipt::{Ack, Session};
use watchtower::store::{
    Disks, Durable, Keeper, Kit, Opened, Options, Refused, Sighting, Standing, Wish, open,
};
use wire::codec::Encode as _;
use wire::id::Signature;
use wire::units::{FeeratePerKw, Sat};

/// Clients that upload at the same time.
const SESSIONS: u32 = 16;
/// Records of one message.
pub(super) const BATCH: u32 = 330;
/// Messages of one client that wait for the disk.
const WINDOW: usize = 4;
/// Transactions of a block that is caught up with.
const CATCH_UP_TXS: usize = 3_000;

/// A real record of a real commitment: no HTLC, two prices.
pub(super) fn staged() -> Staged {
    let step = |feerate| Step { feerate: FeeratePerKw(feerate), covers: Covers::All };
    let shape = Shape {
        amount: Sat::from_sat(1_000_000),
        to_remote: Sat::from_sat(400_000),
        commitment_feerate: FeeratePerKw(1_000),
        to_self_delay: 144,
        ladder: vec![step(1_000), step(10_000)],
        sweep_script: ScriptBuf::from_bytes([vec![0x51, 0x20], vec![7; 32]].concat()),
    };
    let funding = OutPoint { txid: Txid::from_byte_array([9; 32]), vout: 0 };
    Drill::new(&[3; 32], shape).and_then(|drill| drill.stage(funding)).expect("a drill")
}

pub(super) fn client(number: u32) -> Keypair {
    let secret = sha256::Hash::hash(&number.to_be_bytes()).to_byte_array();
    Keypair::from_secret_key(SECP256K1, &SecretKey::from_slice(&secret).expect("a key"))
}

/// Record `seq` of `session`, with the length of a real one.
pub(super) fn record(length: usize, session: u32, seq: u32) -> Sealed {
    let id = [session.to_be_bytes(), seq.to_be_bytes()].concat();
    let [hint @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
        sha256::Hash::hash(&id).to_byte_array();
    Sealed { hint: Hint(hint), ciphertext: vec![seq as u8; length] }
}

/// Bytes of a record on the wire and in a segment, without any and for each HTLC.
pub(super) fn sizes() -> Vec<Figure> {
    let staged = staged();
    let (txid, session) = (staged.breach.compute_txid(), client(0).public_key());
    let plain = sealed_bytes(&staged.record, &txid, &session);
    let with = |htlcs: usize| {
        let htlc = HtlcRecord { hash: [1; 20], received: None, signature: Signature([2; 64]) };
        let received = HtlcRecord { received: Some(wire::units::BlockHeight(800_000)), ..htlc };
        let both = [htlc, received].into_iter().cycle().take(htlcs).collect();
        sealed_bytes(&Record { htlcs: both, ..staged.record.clone() }, &txid, &session)
    };
    let each = (with(40) - with(20)) as f64 / 20.0;
    vec![
        Figure::alone("tower.bytes.record".into(), "B", vec![plain as f64]),
        Figure::alone("tower.bytes.htlc".into(), "B", vec![each]),
    ]
}

fn sealed_bytes(record: &Record, txid: &Txid, session: &PublicKey) -> usize {
    16 + seal(record, txid, session, 0).len()
}

/// An opened store and its directory.
pub(super) fn start(dir: &Path) -> Opened {
    let disk = |name: &str| RealDisk::open(dir.join(name)).expect("a directory");
    let disks = Disks { journal: disk("journal"), records: disk("records") };
    open(disks, Options::new(7)).expect("a store")
}

pub(super) async fn stop(opened: Opened) {
    let Opened { keeper, thread, .. } = opened;
    drop(keeper);
    let joined = tokio::task::spawn_blocking(move || thread.join()).await.expect("joined");
    joined.expect("the keeper ends well");
}

/// Opens a session with all the room there is.
async fn session(keeper: &Keeper, number: u32, template: &[u8]) -> u32 {
    let wish = Wish {
        key: client(number).public_key().serialize(),
        kit: Kit::Sealed,
        template: template.to_vec(),
        quota_bytes: u64::MAX,
        quota_records: u32::MAX,
        blocks: u32::MAX,
        replaces: false,
    };
    keeper.open(wish).await.expect("a session").into_inner().session
}

type Answer = oneshot::Receiver<Result<Durable<Standing>, Refused>>;

/// One client that uploads in order, some messages ahead.
struct Uploader {
    keeper: Keeper,
    number: u32,
    session: u32,
    template: Vec<u8>,
    length: usize,
    next: u32,
    waiting: VecDeque<Answer>,
}

impl Uploader {
    async fn new(keeper: &Keeper, number: u32, staged: &Staged) -> Self {
        let template = staged.template.encoded();
        let session = session(keeper, number, &template).await;
        let length = staged.sealed(&client(number).public_key(), 0).ciphertext.len();
        let (keeper, waiting) = (keeper.clone(), VecDeque::new());
        Self { keeper, number, session, template, length, next: 0, waiting }
    }

    async fn send(&mut self, count: u32) {
        let end = self.next + count;
        let records = (self.next..end).map(|seq| record(self.length, self.session, seq)).collect();
        let answer = self.keeper.append(self.session, self.next, records).await.expect("running");
        self.waiting.push_back(answer);
        self.next = end;
    }

    /// The oldest answer, and the receipt that a client gets for it.
    async fn hear(&mut self, tower: &Keypair) {
        let Some(answer) = self.waiting.pop_front() else { return };
        let standing = answer.await.expect("running").expect("taken").into_inner();
        let key = client(self.number).public_key();
        let ack = Ack {
            durable_seq: standing.next_seq,
            root: standing.root,
            height: standing.tip.height,
            tip: standing.tip.hash,
            expiry: standing.expiry_height,
        };
        let receipt = ack.sign(Session::new(key, KIT_SEALED, &self.template), tower);
        std::hint::black_box(receipt);
    }

    async fn upload(mut self, until: Instant, tower: Keypair) -> u32 {
        while Instant::now() < until {
            self.send(BATCH).await;
            if self.waiting.len() >= WINDOW {
                self.hear(&tower).await;
            }
        }
        while !self.waiting.is_empty() {
            self.hear(&tower).await;
        }
        self.next
    }
}

/// Records a second that are durable and signed for, many clients at once; and how long one waits at a
/// thousand a second.
pub(super) async fn speed(arguments: &Arguments, dir: &Path) -> Vec<Figure> {
    let staged = staged();
    let tower = client(u32::MAX);
    let mut rates = Vec::new();
    let mut syncs = Vec::new();
    for run in 0..arguments.runs.max(1) {
        let opened = start(&dir.join(format!("grouped-{run}")));
        let begin = Instant::now();
        let until = begin + Duration::from_secs(arguments.seconds);
        let mut clients = Vec::new();
        for number in 0..SESSIONS {
            let uploader = Uploader::new(&opened.keeper, number, &staged).await;
            clients.push(tokio::spawn(uploader.upload(until, tower)));
        }
        let mut records = 0_u64;
        for client in clients {
            records += u64::from(client.await.expect("a client"));
        }
        rates.push(records as f64 / begin.elapsed().as_secs_f64());
        let figures = opened.keeper.figures().await.expect("running");
        syncs.push(records as f64 / figures.groups.max(1) as f64);
        stop(opened).await;
    }
    let mut figures = vec![
        Figure::alone("tower.store.rate".into(), "1/s", rates),
        Figure::alone("tower.store.group".into(), "records", syncs),
    ];
    let opened = start(&dir.join("paced"));
    let uploader = Uploader::new(&opened.keeper, 0, &staged).await;
    let waits = paced(uploader, arguments.seconds, &tower).await;
    figures.extend(latencies("tower.store.wait", waits));
    stop(opened).await;
    figures.extend(latencies("tower.disk.wait", syncs_alone(dir, arguments.seconds)));
    figures
}

/// What the disk takes by itself for the same: a record's bytes written into a file that has its blocks, and one
/// sync, a thousand times a second; milliseconds.
pub(super) fn syncs_alone(dir: &Path, seconds: u64) -> Vec<f64> {
    use std::os::unix::fs::FileExt as _;
    let count = seconds * 1_000;
    let record = vec![7; 256];
    let file = std::fs::File::create(dir.join("alone")).expect("a file");
    let room = count * record.len() as u64;
    file.write_all_at(&vec![0; usize::try_from(room).expect("small")], 0).expect("room");
    file.sync_all().expect("a sync");
    let begin = Instant::now();
    (0..count)
        .map(|number| {
            let due = begin + Duration::from_millis(number);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let sent = Instant::now();
            file.write_all_at(&record, number * record.len() as u64).expect("written");
            file.sync_data().expect("a sync");
            sent.elapsed().as_secs_f64() * 1e3
        })
        .collect()
}

/// A thousand records a second, each a message of its own; milliseconds until each is signed for.
async fn paced(mut uploader: Uploader, seconds: u64, tower: &Keypair) -> Vec<f64> {
    let mut waits = Vec::new();
    let begin = Instant::now();
    for number in 0..seconds * 1_000 {
        let due = begin + Duration::from_millis(number);
        tokio::time::sleep_until(due.into()).await;
        let sent = Instant::now();
        uploader.send(1).await;
        uploader.hear(tower).await;
        waits.push(sent.elapsed().as_secs_f64() * 1e3);
    }
    waits
}

/// The middle and the 99th of a hundred.
pub(super) fn latencies(name: &str, mut waits: Vec<f64>) -> Vec<Figure> {
    waits.sort_by(f64::total_cmp);
    let at = |hundredths: usize| {
        let place = (waits.len() * hundredths / 100).min(waits.len().saturating_sub(1));
        waits.get(place).copied().unwrap_or_default()
    };
    vec![
        Figure::alone(format!("{name}.p50"), "ms", vec![at(50)]),
        Figure::alone(format!("{name}.p99"), "ms", vec![at(99)]),
    ]
}

/// A tower with many records: what they take, how a block fares against them, how it starts.
pub(super) async fn full(arguments: &Arguments, records: u64, dir: &Path) -> Vec<Figure> {
    let staged = staged();
    let tower = client(u32::MAX);
    let name = |what: &str| format!("tower.{records}.{what}");
    let mut figures = Vec::new();
    let opened = start(dir);
    let begin = Instant::now();
    let raw = fill(&opened.keeper, records, &staged, &tower).await;
    let filled = begin.elapsed().as_secs_f64();
    figures.push(Figure::alone(name("fill"), "1/s", vec![records as f64 / filled]));
    stop(opened).await;
    let disk = bytes_below(dir) as f64;
    figures.push(Figure::alone(name("disk_to_raw"), "", vec![disk / raw as f64]));
    figures.push(Figure::alone(name("disk"), "B/record", vec![disk / records as f64]));

    let before = resident_mib();
    let mut starts = Vec::new();
    let mut opened = None;
    for _ in 0..arguments.runs.max(1) {
        if let Some(opened) = opened.take() {
            stop(opened).await;
        }
        let begin = Instant::now();
        let fresh = start(dir);
        starts.push(begin.elapsed().as_secs_f64());
        assert_eq!(fresh.report.records, records, "all of them are there");
        opened = Some(fresh);
    }
    let Some(opened) = opened else { return figures };
    figures.push(Figure::alone(name("start"), "s", starts));
    figures.push(Figure::alone(name("resident"), "MiB", vec![resident_mib() - before]));
    let keeper = &opened.keeper;
    let index = keeper.figures().await.expect("running").index_bytes;
    let mib = index as f64 / f64::from(1 << 20);
    figures.push(Figure::alone(name("index"), "MiB", vec![mib]));

    let mut blocks = Vec::new();
    let mut places = 0;
    for run in 0..20_u32 {
        let txids = txids(run, arguments.transactions);
        let begin = Instant::now();
        let hits = keeper.matches(sightings(&txids)).await.expect("running");
        blocks.push(begin.elapsed().as_secs_f64() * 1e3);
        places += hits.iter().map(|hit| hit.places.len()).sum::<usize>();
    }
    figures.push(Figure::alone(name("block"), "ms", blocks));
    let false_hits = f64::from(u32::try_from(places).unwrap_or(u32::MAX)) / 20.0;
    figures.push(Figure::alone(name("false_hits"), "1/block", vec![false_hits]));
    figures.push(catch_up(arguments, keeper, name("catch_up")).await);
    stop(opened).await;
    figures
}

/// Fills the store and says how many bytes clients gave.
async fn fill(keeper: &Keeper, records: u64, staged: &Staged, tower: &Keypair) -> u64 {
    let share = u32::try_from(records.div_ceil(u64::from(SESSIONS))).expect("not so many");
    let mut clients = Vec::new();
    let mut left = records;
    let mut raw = 0;
    for number in 0..SESSIONS {
        let own = left.min(u64::from(share));
        left -= own;
        let mut uploader = Uploader::new(keeper, number, staged).await;
        raw += own * (16 + uploader.length as u64);
        let (own, tower) = (u32::try_from(own).expect("a share"), *tower);
        clients.push(tokio::spawn(async move {
            while uploader.next < own {
                uploader.send(BATCH.min(own - uploader.next)).await;
                if uploader.waiting.len() >= WINDOW {
                    uploader.hear(&tower).await;
                }
            }
            while !uploader.waiting.is_empty() {
                uploader.hear(&tower).await;
            }
        }));
    }
    for client in clients {
        client.await.expect("a client");
    }
    raw
}

/// Blocks that came while the tower was away: their ids hashed, compared, and kept in the ring.
async fn catch_up(arguments: &Arguments, keeper: &Keeper, name: String) -> Figure {
    let mut before = BlockHash::all_zeros();
    let mut spent = Duration::ZERO;
    for height in 1..=arguments.blocks {
        let txids = txids(height | 1 << 20, CATCH_UP_TXS);
        let hash = BlockHash::hash(&height.to_be_bytes());
        let begin = Instant::now();
        let txs = sightings(&txids);
        keeper.block(BlockId { height, hash }, before, txs).await.expect("running");
        spent += begin.elapsed();
        before = hash;
    }
    Figure::alone(name, "s", vec![spent.as_secs_f64()])
}

fn txids(run: u32, count: usize) -> Vec<Txid> {
    (0..count as u64)
        .map(|place| {
            let id = [u64::from(run).to_be_bytes(), place.to_be_bytes()].concat();
            Txid::from_byte_array(sha256::Hash::hash(&id).to_byte_array())
        })
        .collect()
}

/// As the watcher sees them: the hint is part of the work.
fn sightings(txids: &[Txid]) -> Vec<Sighting> {
    let see = |txid: &Txid| {
        let inputs = vec![OutPoint { txid: *txid, vout: 1 }, OutPoint { txid: *txid, vout: 2 }];
        Sighting { hint: Hint::of(txid), inputs }
    };
    txids.iter().map(see).collect()
}

pub(super) fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("our own directory");
    entries
        .map(|entry| {
            let entry = entry.expect("our own file");
            let about = entry.metadata().expect("our own file");
            if about.is_dir() { bytes_below(&entry.path()) } else { about.len() }
        })
        .sum()
}

/// Memory of this process, as the system counts it.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = status.split_whitespace().nth(1).and_then(|text| text.parse::<f64>().ok());
    pages.unwrap_or_default() * 4_096.0 / f64::from(1 << 20)
}
