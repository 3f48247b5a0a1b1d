//! A chain, a tower on a disk in memory, a channel whose peer cheats.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ::store::disk::{Entries, MemoryDisk};
use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, FeeRate, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid,
    Witness,
};
use chain_backend::{BuiltinChain, ChainBackend, Package, Sandbox};
use channel::clock::Side;
use channel::keys::CommitmentKeys;
use channel::signer::{InMemorySigner, Memory, Signer};
use channel::tx::{
    Commitment, CommitmentSpec, CommitmentTerms, Direction, RevokedSecret, SideTerms, SpecHtlc,
};
use secp256k1::{Keypair, SECP256K1, SecretKey};
use tokio_util::sync::CancellationToken;
use wire::id::{PaymentHash, Preimage};
use wire::units::{BlockHeight, FeeratePerKw, Msat, Sat};

use crate::hint::Hint;
use crate::kit::replica::{ReplicaTemplate, Secret};
use crate::kit::sealed::{build, seal};
use crate::kit::template::{CHANNEL_ANCHORS, Covers, Step, Template};
use crate::message::Sealed;
use crate::purse::Purse;
use crate::respond::book::Book;
use crate::store::{self, Disks, Keeper, Kit, Options, Standing, Wish};
use crate::watch::{Beginning, Spending, View, watcher};
use wire::codec::Encode;

/// What the channel holds, in satoshis.
pub(crate) const CAPACITY: u64 = 10_000_000;
/// Blocks for which the cheater's own output waits.
pub(crate) const DELAY: u16 = 144;
/// Everything that has to happen happens in this time.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn clock() -> u32 {
    1_700_000_000
}

fn now_ms() -> u64 {
    u64::from(clock()) * 1_000
}

/// Whatever anybody may spend.
pub(crate) fn anyone() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51])
}

/// A chain with coins to open channels with.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) chain: BuiltinChain,
    coins: Vec<OutPoint>,
}

impl Scene {
    /// Some coins of the size of a channel, in blocks.
    pub(crate) async fn new() -> Self {
        let chain = BuiltinChain::in_memory(clock).unwrap();
        let blocks = chain.mine(101, anyone().to_p2wsh()).await.unwrap();
        let first = chain.block(blocks[0]).await.unwrap();
        let coinbase = OutPoint { txid: first.txdata[0].compute_txid(), vout: 0 };
        let value = Amount::from_sat(CAPACITY);
        let output = vec![TxOut { value, script_pubkey: anyone().to_p2wsh() }; 400];
        let split = spend_any(vec![coinbase], output);
        let txid = split.compute_txid();
        let scene = Self { chain, coins: (0..400).map(|vout| OutPoint { txid, vout }).collect() };
        assert!(scene.hand_in(split).await);
        scene.mine(1).await;
        scene
    }

    /// A coin that nobody else gets.
    pub(crate) fn coin(&mut self) -> OutPoint {
        self.coins.pop().unwrap()
    }

    pub(crate) async fn hand_in(&self, tx: Transaction) -> bool {
        self.chain.submit(Package::single(tx), None).await.is_success()
    }

    pub(crate) async fn mine(&self, count: u32) {
        self.chain.mine(count, anyone().to_p2wsh()).await.unwrap();
    }

    pub(crate) async fn height(&self) -> u32 {
        self.chain.tip().await.unwrap().height
    }

    pub(crate) async fn floor(&self, sat_per_kw: Option<u64>) {
        self.chain.set_floor(sat_per_kw.map(FeeRate::from_sat_per_kwu)).await.unwrap();
    }

    /// Replaces the last blocks, without these transactions.
    pub(crate) async fn reorg(&self, depth: u32, without: &[Txid]) {
        let left_out: BTreeSet<Txid> = without.iter().copied().collect();
        let script = anyone().to_p2wsh();
        let reorg = chain_backend::Reorg { depth, left_out, forget: true, script };
        self.chain.reorganise(reorg).await.unwrap();
    }

    pub(crate) async fn mempool(&self) -> Vec<Arc<Transaction>> {
        self.chain.mempool().await.unwrap()
    }

    /// Who spends this, in the mempool or in a block.
    pub(crate) async fn spender(&self, outpoint: OutPoint) -> Option<Arc<Transaction>> {
        self.chain.spender(outpoint, 0).await.unwrap().map(|spend| spend.tx)
    }

    /// What the script got in blocks.
    pub(crate) async fn paid_to(&self, script: &ScriptBuf) -> u64 {
        let mut sum = 0;
        for height in 1..=self.height().await {
            let hash = self.chain.header_at(height).await.unwrap().hash;
            let block = self.chain.block(hash).await.unwrap();
            let outputs = block.txdata.iter().flat_map(|tx| &tx.output);
            sum += outputs
                .filter(|output| output.script_pubkey == *script)
                .map(|output| output.value.to_sat())
                .sum::<u64>();
        }
        sum
    }
}

/// Spends coins that anybody may spend.
pub(crate) fn spend_any(coins: Vec<OutPoint>, output: Vec<TxOut>) -> Transaction {
    let input = coins.into_iter().map(|previous_output| TxIn {
        previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::from_slice(&[anyone().as_bytes()]),
    });
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: input.collect(), output }
}

/// A channel whose peer cheats, on a coin that anybody may spend.
pub(crate) struct Channel {
    pub(crate) us: InMemorySigner,
    pub(crate) cheater: InMemorySigner,
    pub(crate) funding: OutPoint,
    seed: u8,
}

impl Channel {
    pub(crate) fn new(seed: u8, funding: OutPoint) -> Self {
        let signer =
            |side: u8| InMemorySigner::new(&[side; 32], seed.into(), Memory::default()).unwrap();
        Self { us: signer(1), cheater: signer(2), funding, seed }
    }

    pub(crate) fn secret(&self, number: u64) -> RevokedSecret {
        let fresh = InMemorySigner::new(&[2; 32], self.seed.into(), Memory::default()).unwrap();
        RevokedSecret(fresh.reveal(number).unwrap())
    }

    pub(crate) fn sweep(&self) -> ScriptBuf {
        let hash = bitcoin::WPubkeyHash::from_raw_hash(bitcoin::hashes::Hash::hash(&[self.seed]));
        ScriptBuf::new_p2wpkh(&hash)
    }

    /// With prices of 1,500 and 15,000 satoshis per 1,000 weight units.
    pub(crate) fn template(&self) -> Template {
        let (ours, theirs) = (self.us.basepoints(), self.cheater.basepoints());
        let step = |feerate| Step { feerate: FeeratePerKw(feerate), covers: Covers::All };
        Template {
            channel_type: CHANNEL_ANCHORS,
            revocation_basepoint: ours.revocation,
            delayed_basepoint: theirs.delayed_payment,
            our_htlc_basepoint: ours.htlc,
            their_htlc_basepoint: theirs.htlc,
            to_self_delay: DELAY,
            tx_version: 2,
            ladder: vec![step(1_500), step(15_000)],
            sweep_script: self.sweep(),
        }
    }

    /// The same channel for a tower that gets keys.
    pub(crate) fn replica_template(&self) -> ReplicaTemplate {
        let (ours, theirs) = (self.us.basepoints(), self.cheater.basepoints());
        ReplicaTemplate {
            channel_type: CHANNEL_ANCHORS,
            revocation_key: Secret::new(*self.us.revocation_key()),
            delayed_basepoint: theirs.delayed_payment,
            our_htlc_basepoint: ours.htlc,
            their_htlc_basepoint: theirs.htlc,
            opener_payment: ours.payment,
            accepter_payment: theirs.payment,
            to_self_delay: DELAY,
            tx_version: 2,
            sweep_script: self.sweep(),
            fundings: vec![self.funding],
        }
    }

    pub(crate) fn commitment(
        &self,
        number: u64,
        to_cheater: u64,
        htlcs: Vec<SpecHtlc>,
    ) -> Commitment {
        let side = |signer: &InMemorySigner, to_self_delay| SideTerms {
            basepoints: *signer.basepoints(),
            dust_limit: Sat::from_sat(354),
            to_self_delay,
        };
        let terms = CommitmentTerms::new(
            Side::Them,
            Side::Us,
            &side(&self.us, DELAY),
            &side(&self.cheater, 1_000),
            self.funding,
            Sat::from_sat(CAPACITY),
        );
        let keys = CommitmentKeys::derive(
            self.cheater.basepoints(),
            self.us.basepoints(),
            &self.cheater.point(number).unwrap(),
        )
        .unwrap();
        let in_flight: u64 = htlcs.iter().map(|htlc| htlc.amount.to_u64()).sum();
        let to_owner = to_cheater * 1_000;
        let spec = CommitmentSpec {
            feerate: FeeratePerKw(500),
            to_owner: Msat::new(to_owner).unwrap(),
            to_other: Msat::new(CAPACITY * 1_000 - to_owner - in_flight).unwrap(),
            htlcs,
        };
        Commitment::build(&terms, &keys, number, &spec).unwrap()
    }

    /// The record of a revoked commitment, under the number `seq` of the session.
    pub(crate) fn record(&self, commitment: &Commitment, number: u64, seq: u32) -> Sealed {
        let built = build(&self.template(), commitment, self.secret(number), &self.us).unwrap();
        let txid = commitment.txid();
        let session = self.session().public_key();
        let ciphertext = seal(&built.record, &txid, &session, seq);
        Sealed { hint: Hint::of(&txid), ciphertext }
    }

    /// The same in records of so many HTLCs each.
    pub(crate) fn parts(
        &self,
        commitment: &Commitment,
        number: u64,
        first_seq: u32,
        htlcs: usize,
    ) -> Vec<Sealed> {
        let built = build(&self.template(), commitment, self.secret(number), &self.us).unwrap();
        let (txid, session) = (commitment.txid(), self.session().public_key());
        let seal = |(seq, part)| Sealed {
            hint: Hint::of(&txid),
            ciphertext: seal(&part, &txid, &session, seq),
        };
        (first_seq..).zip(built.record.split(htlcs)).map(seal).collect()
    }

    pub(crate) fn session(&self) -> Keypair {
        let key = SecretKey::from_slice(&[0x51 ^ self.seed; 32]).unwrap();
        Keypair::from_secret_key(SECP256K1, &key)
    }

    pub(crate) fn wish(&self) -> Wish {
        Wish {
            key: self.session().public_key().serialize(),
            kit: Kit::Sealed,
            template: self.template().encoded(),
            quota_bytes: 10 << 20,
            quota_records: u32::MAX,
            blocks: 50_000,
            replaces: false,
        }
    }
}

/// The commitment as the cheater broadcasts it.
pub(crate) fn broadcast(commitment: &Commitment) -> Transaction {
    let mut tx = commitment.tx().clone();
    tx.input[0].witness = Witness::from_slice(&[anyone().as_bytes()]);
    tx
}

/// An HTLC of `sat`, in the cheater's eyes.
pub(crate) fn htlc(direction: Direction, id: u64, sat: u64, expiry: u32) -> SpecHtlc {
    let hash = Preimage([u8::try_from(id % 251).unwrap(); 32]).hash();
    SpecHtlc {
        direction,
        id,
        amount: Msat::new(sat * 1_000).unwrap(),
        payment_hash: PaymentHash(hash.0),
        cltv_expiry: BlockHeight(expiry),
    }
}

pub(crate) fn disk_key() -> store::DiskKey {
    store::DiskKey::of(&SecretKey::from_slice(&[9; 32]).unwrap())
}

/// A tower that runs.
pub(crate) struct Tower {
    pub(crate) keeper: Keeper,
    pub(crate) view: View,
    pub(crate) report: store::Report,
    pub(crate) disks: Disks<MemoryDisk>,
    pub(crate) stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    thread: std::thread::JoinHandle<()>,
}

pub(crate) fn disks() -> Disks<MemoryDisk> {
    let disk = || MemoryDisk::new(Entries::Posix);
    Disks { journal: disk(), records: disk() }
}

impl Tower {
    pub(crate) async fn start(
        disks: Disks<MemoryDisk>,
        backends: Vec<Arc<dyn ChainBackend>>,
    ) -> Self {
        Self::start_with(disks, backends, Options { segment_bytes: 1 << 16, ..Options::new(7) })
            .await
    }

    /// On disks of a tower before it.
    pub(crate) async fn again(disks: Disks<MemoryDisk>, scene: &Scene) -> Self {
        let tower = Self::start(disks, vec![Arc::new(scene.chain.clone())]).await;
        tower.reach(scene.height().await).await;
        tower
    }

    /// `None` if its data cannot be opened.
    #[expect(clippy::unused_async, reason = "it spawns, so only a task may call it")]
    pub(crate) async fn try_start(
        disks: Disks<MemoryDisk>,
        backends: Vec<Arc<dyn ChainBackend>>,
    ) -> Option<Self> {
        let options = Options { segment_bytes: 1 << 16, ..Options::new(7) };
        let opened = store::open(disks.clone(), options).ok()?;
        Some(Self::of(disks, backends, opened, None))
    }

    #[expect(clippy::unused_async, reason = "it spawns, so only a task may call it")]
    pub(crate) async fn start_with(
        disks: Disks<MemoryDisk>,
        backends: Vec<Arc<dyn ChainBackend>>,
        options: Options,
    ) -> Self {
        let opened = store::open(disks.clone(), options).unwrap();
        Self::of(disks, backends, opened, None)
    }

    /// With a wallet that lies in that directory.
    pub(crate) async fn with_wallet(
        disks: Disks<MemoryDisk>,
        scene: &Scene,
        dir: &std::path::Path,
    ) -> Self {
        let purse = Purse::open(&[5; 32], Network::Regtest, Some(dir.join("wallet.json")), now_ms);
        let options = Options { segment_bytes: 1 << 16, ..Options::new(7) };
        let opened = store::open(disks.clone(), options).unwrap();
        let tower =
            Self::of(disks, vec![Arc::new(scene.chain.clone())], opened, Some(purse.unwrap()));
        tower.reach(scene.height().await).await;
        tower
    }

    /// Gives its wallet so many coins of the size of a channel.
    pub(crate) async fn enrich(&self, scene: &mut Scene, coins: u64) {
        for _ in 0..coins {
            let address = self.view.purse.address(String::new()).await.unwrap();
            let value = Amount::from_sat(CAPACITY - 1_000);
            let output = TxOut { value, script_pubkey: address.script_pubkey() };
            let coin = scene.coin();
            assert!(scene.hand_in(spend_any(vec![coin], vec![output])).await);
        }
        scene.mine(1).await;
        self.until(|watching| watching.reserve_sat == coins * (CAPACITY - 1_000)).await;
    }

    #[expect(clippy::disallowed_methods, reason = "a test joins it itself")]
    fn of(
        disks: Disks<MemoryDisk>,
        backends: Vec<Arc<dyn ChainBackend>>,
        opened: store::Opened,
        purse: Option<Purse>,
    ) -> Self {
        let beginning = Beginning {
            keeper: opened.keeper.clone(),
            bell: opened.bell,
            backends,
            book: opened.state.book.clone(),
            cursor: opened.state.cursor().cloned(),
            disk_key: disk_key(),
            purse,
            spending: Spending::default(),
        };
        let (watcher, view) = watcher(beginning).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(watcher.run(stop.clone()));
        let (keeper, report, thread) = (opened.keeper, opened.report, opened.thread);
        Self { keeper, view, report, disks, stop, task, thread }
    }

    /// On a fresh disk, when it has heard of the chain.
    pub(crate) async fn fresh(scene: &Scene) -> Self {
        let tower = Self::start(disks(), vec![Arc::new(scene.chain.clone())]).await;
        tower.reach(scene.height().await).await;
        tower
    }

    /// Waits until every block up to that height was looked at.
    pub(crate) async fn reach(&self, height: u32) {
        self.until(|watching| {
            watching.is_synced && watching.tip.is_some_and(|tip| tip.height >= height)
        })
        .await;
    }

    pub(crate) async fn until(&self, mut done: impl FnMut(&crate::watch::Watching) -> bool) {
        let mut watching = self.view.watching.clone();
        let waited = tokio::time::timeout(PATIENCE, watching.wait_for(|now| done(now))).await;
        let seen = self.view.watching.borrow().clone();
        assert!(waited.is_ok(), "it does not come: {seen:?}");
    }

    pub(crate) fn book(&self) -> Arc<Book> {
        Arc::clone(&self.view.watching.borrow().book)
    }

    pub(crate) async fn open(&self, channel: &Channel) -> Standing {
        self.keeper.open(channel.wish()).await.unwrap().into_inner()
    }

    pub(crate) async fn store(
        &self,
        session: u32,
        first_seq: u32,
        records: Vec<Sealed>,
    ) -> Standing {
        let wait = self.keeper.append(session, first_seq, records).await.unwrap();
        wait.await.unwrap().unwrap().into_inner()
    }

    /// Stops in order.
    pub(crate) async fn end(self) -> Disks<MemoryDisk> {
        self.stop.cancel();
        self.task.await.unwrap();
        let Self { keeper, view, disks, thread, .. } = self;
        drop((keeper, view));
        tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
        disks
    }

    /// The disks as the next process finds them if this one is killed now.
    pub(crate) fn kill(self) -> Disks<MemoryDisk> {
        let disks =
            Disks { journal: self.disks.journal.restart(), records: self.disks.records.restart() };
        self.task.abort();
        disks
    }
}

/// A tower that has the record of one revoked state.
pub(crate) struct Covered {
    pub(crate) scene: Scene,
    pub(crate) channel: Channel,
    pub(crate) tower: Tower,
    pub(crate) session: u32,
    /// The state, number 4.
    pub(crate) old: Commitment,
}

/// A channel whose fourth state gave the cheater so much and showed these HTLCs, and a fresh tower for it.
pub(crate) async fn covered(to_cheater: u64, htlcs: Vec<SpecHtlc>) -> Covered {
    let mut scene = Scene::new().await;
    let channel = Channel::new(3, scene.coin());
    let tower = Tower::fresh(&scene).await;
    let session = tower.open(&channel).await.session;
    let old = channel.commitment(4, to_cheater, htlcs);
    tower.store(session, 0, vec![channel.record(&old, 4, 0)]).await;
    Covered { scene, channel, tower, session, old }
}

/// Waits until something is so.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    for _ in 0..1_500 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not come: {what}");
}
