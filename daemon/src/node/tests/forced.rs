//! Closes without the peer, with HTLCs under way in both directions: every satoshi comes home.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::OnceLock;

use bitcoin::{Block, BlockHash, FeeRate, OutPoint, Txid};
use chain_backend::backend::{
    BackendError, BlockRef, Capabilities, ChainStream, FeeTable, Interest, Package, Spend,
    SubmitOutcome, TxOutWhere, TxWhere,
};
use channel::{Command, Offer};
use wire::id::{PaymentSecret, Preimage};
use wire::onion::payload::{CustomRecords, Final, Payload, PaymentData};
use wire::onion::sphinx::{Hop, build_payment};

use super::*;
use crate::channels::task::Asker;

/// Blocks our own outputs are locked for.
const DELAY: u16 = 10;

/// Blocks until the HTLCs can be taken back.
pub(super) const EXPIRY: u32 = 60;

/// What two anchors hold that nobody fetched.
const ANCHORS: u64 = 2 * 330;

pub(super) fn world() -> World {
    let mut world = World::new(2);
    for config in &mut world.configs {
        config.channel.asks.to_self_delay = DELAY;
    }
    world
}

fn tell(node: &Handle, commands: Vec<Command>) {
    let doors = node.0.directory.doors();
    doors.iter().next().unwrap().commands.send(commands).unwrap();
}

/// Half of what an invoice asks for, so that the payee waits for the rest.
pub(super) async fn hold(
    world: &World,
    from: &Handle,
    to: &Handle,
    part: u32,
    sat: u64,
) -> Preimage {
    let asked = CreateInvoice {
        key: None,
        amount: Msat::new(2_000 * sat),
        description: Description::Text("held".to_owned()),
        expiry_s: None,
        min_final_cltv_delta: None,
        blinded: false,
        ..CreateInvoice::default()
    };
    let invoice = to.create_invoice(asked).await.unwrap();
    let hash = invoice.hash;
    let parsed = lightning_invoice::Bolt11Invoice::from_str(&invoice.bolt11).unwrap();
    let secret = PaymentSecret(parsed.payment_secret().0);
    let amount = Msat::new(1_000 * sat).unwrap();
    let height = world.chain.totals().await.unwrap().height;
    let cltv_expiry = BlockHeight(height + EXPIRY);
    let total_msat = Msat::new(2_000 * sat).unwrap();
    let payload = Payload::Final(Final {
        amt_to_forward: amount,
        outgoing_cltv_value: cltv_expiry,
        payment_data: Some(PaymentData { payment_secret: secret, total_msat }),
        payment_metadata: None,
        keysend_preimage: None,
        custom_records: CustomRecords::default(),
    })
    .encode();
    let session = from.0.us.session_key(hash, part);
    let node = secp256k1::PublicKey::from_slice(&to.node_id().0).unwrap();
    let (onion, _) = build_payment(&session, &[Hop { node, payload: &payload }], &hash).unwrap();
    let offer = Offer {
        command: Asker::Nobody.command(0),
        amount_msat: amount,
        payment_hash: hash,
        cltv_expiry,
        onion,
        origin: Origin::Payment { payment_id: hash.0, part },
        path_key: None,
        accountable: false,
    };
    tell(from, vec![Command::OfferHtlc(Box::new(offer))]);
    invoice.preimage.unwrap()
}

const fn fulfill(htlc: u64, preimage: Preimage) -> Command {
    let command = Asker::Nobody.command(0);
    Command::FulfillHtlc { command, htlc, preimage, attribution: None }
}

pub(super) async fn htlcs(node: &Handle, count: usize) {
    for _ in 0..400 {
        let all = node.list_channels(ChannelFilter::default()).await.unwrap();
        if all[0].htlcs.len() == count {
            // The dance of the last one ends.
            tokio::time::sleep(Duration::from_millis(500)).await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("HTLCs did not come");
}

pub(super) async fn mine(node: &Handle, blocks: u32) {
    for _ in 0..blocks {
        node.mine(Mine { key: None, blocks: 1, to: None }).await.unwrap();
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

/// Both wallets, when nothing is under way any more.
async fn both(a: &Handle, b: &Handle) -> u64 {
    let (a, b) = (a.wallet_balance().await.unwrap(), b.wallet_balance().await.unwrap());
    assert_eq!((a.promised, b.promised), (Amount::ZERO, Amount::ZERO));
    assert_eq!((a.unconfirmed, b.unconfirmed), (Amount::ZERO, Amount::ZERO));
    a.confirmed.to_sat() + b.confirmed.to_sat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_close_with_htlcs_both_ways_brings_every_satoshi_home() {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    tokio::time::timeout(Duration::from_secs(90), forced()).await.expect("in time");
}

async fn forced() {
    let world = world();
    let (alice, bob) = (world.start(0).await, world.start(1).await);
    let (a, b) = (alice.handle(), bob.handle());
    fill(&a, 3_000_000).await;
    for _ in 0..4 {
        fill(&a, 50_000).await;
    }
    fill(&b, 50_000).await;
    mine(&a, 1).await;
    let before = both(&a, &b).await;
    let fees_before = world.chain.totals().await.unwrap().fees_sat;
    open(&a, &bob, 1_000_000).await;
    usable(&b).await;
    assert!(matches!(pay(&a, &b, 300_000_000).await, PaymentStatus::Succeeded { .. }));

    let to_bob = hold(&world, &a, &b, 0, 20_000).await;
    hold(&world, &a, &b, 0, 21_000).await;
    let to_alice = hold(&world, &b, &a, 0, 22_000).await;
    hold(&world, &b, &a, 0, 23_000).await;
    htlcs(&a, 4).await;
    htlcs(&b, 4).await;
    let channel = a.list_channels(ChannelFilter::default()).await.unwrap().remove(0);
    let first_of_alice = channel.htlcs.iter().find(|htlc| htlc.hash == to_bob.hash()).unwrap().id;
    let first_of_bob = channel.htlcs.iter().find(|htlc| htlc.hash == to_alice.hash()).unwrap().id;

    // Alice knows one of Bob's preimages and goes to the chain before she can tell him.
    let command = Asker::Nobody.command(0);
    let now = vec![fulfill(first_of_bob, to_alice), Command::ForceClose { command }];
    tell(&a, now);
    tokio::time::sleep(Duration::from_millis(300)).await;
    tell(&b, vec![fulfill(first_of_alice, to_bob)]);
    mine(&a, 3).await;
    // Whatever is under way is found again.
    alice.stop().await;
    let alice = world.start(0).await;
    let a = alice.handle();
    mine(&a, EXPIRY + u32::from(DELAY) + 20).await;

    let fees = world.chain.totals().await.unwrap().fees_sat - fees_before;
    assert!(world.chain.mempool().await.unwrap().is_empty());
    assert_eq!(both(&a, &b).await + fees + ANCHORS, before);
    // Bob was paid 300 000, gave 22 000 and got 20 000.
    let theirs = b.wallet_balance().await.unwrap().confirmed.to_sat();
    assert!((340_000..=348_000).contains(&theirs), "{theirs}");
    assert!(fees < 10_000, "{fees}");
    alice.stop().await;
    bob.stop().await;
}

/// A chain whose miners take no commitment that brings nothing but what it pays itself, and lose the first
/// transaction that takes back an HTLC.
#[derive(Clone, Debug)]
struct Dear(BuiltinChain, Arc<OnceLock<Txid>>);

/// What miners want, sat/kw.
const DEAR: u64 = 2_500;

fn is_commitment(tx: &bitcoin::Transaction) -> bool {
    tx.lock_time.to_consensus_u32() >> 24 == 0x20
}

fn is_timeout(tx: &bitcoin::Transaction) -> bool {
    // 0 <their sig> <our sig> <> <script>
    tx.input.iter().any(|input| input.witness.len() == 5)
}

#[async_trait::async_trait]
impl ChainBackend for Dear {
    fn network(&self) -> bitcoin::Network {
        self.0.network()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn tip(&self) -> Result<BlockRef, BackendError> {
        self.0.tip().await
    }

    async fn events(&self, from: Locator, interest: Interest) -> Result<ChainStream, BackendError> {
        self.0.events(from, interest).await
    }

    async fn block(&self, hash: BlockHash) -> Result<Arc<Block>, BackendError> {
        self.0.block(hash).await
    }

    async fn header_at(&self, height: u32) -> Result<BlockRef, BackendError> {
        self.0.header_at(height).await
    }

    async fn tx(&self, txid: Txid) -> Result<Option<TxWhere>, BackendError> {
        self.0.tx(txid).await
    }

    async fn txout(&self, outpoint: OutPoint) -> Result<Option<TxOutWhere>, BackendError> {
        self.0.txout(outpoint).await
    }

    async fn spender(
        &self,
        outpoint: OutPoint,
        since_height: u32,
    ) -> Result<Option<Spend>, BackendError> {
        self.0.spender(outpoint, since_height).await
    }

    async fn submit(&self, package: Package, feerate_max: Option<FeeRate>) -> SubmitOutcome {
        match package.txs() {
            [alone] if is_commitment(alone) => {
                SubmitOutcome::FeeTooLow { min: FeeRate::from_sat_per_kwu(DEAR) }
            }
            [alone] if is_timeout(alone) => {
                let txid = alone.compute_txid();
                if *self.1.get_or_init(|| txid) == txid {
                    return SubmitOutcome::Accepted;
                }
                self.0.submit(package, feerate_max).await
            }
            _ => self.0.submit(package, feerate_max).await,
        }
    }

    async fn test(&self, package: &Package) -> SubmitOutcome {
        self.0.test(package).await
    }

    async fn fees(&self) -> Result<FeeTable, BackendError> {
        let rate = Some(FeeRate::from_sat_per_kwu(DEAR));
        let targets = BTreeMap::from([(2, rate), (144, Some(FeeRate::from_sat_per_kwu(300)))]);
        Ok(FeeTable { targets, ..self.0.fees().await? })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_pays_too_little_is_paid_for_by_a_child_or_replaced() {
    tokio::time::timeout(Duration::from_secs(60), bumped()).await.expect("in time");
}

async fn bumped() {
    let world = world();
    let secrets = world.seeds[0].secrets(world.configs[0].network.params()).unwrap();
    let lost = Arc::new(OnceLock::new());
    let access = ChainAccess {
        backend: Arc::new(Dear(world.chain.clone(), Arc::clone(&lost))),
        sandbox: Some(Arc::new(world.chain.clone())),
    };
    let alice = Node::start(&world.configs[0], secrets, access).await.unwrap();
    let bob = world.start(1).await;
    let (a, b) = (alice.handle(), bob.handle());
    fill(&a, 3_000_000).await;
    mine(&a, 1).await;
    let before = both(&a, &b).await;
    let fees_before = world.chain.totals().await.unwrap().fees_sat;
    open(&a, &bob, 1_000_000).await;
    usable(&b).await;
    hold(&world, &a, &b, 0, 20_000).await;
    htlcs(&b, 1).await;
    // Bob's own commitment would pay for itself.
    bob.stop().await;
    let command = Asker::Nobody.command(0);
    tell(&a, vec![Command::ForceClose { command }]);
    // The blocks that it waits are counted from here.
    for _ in 0..200 {
        let channel = a.list_channels(ChannelFilter::default()).await.unwrap().remove(0);
        if channel.closing.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    mine(&a, 1).await;
    assert!(world.chain.mempool().await.unwrap().is_empty(), "nobody takes it");
    mine(&a, 1).await;
    // With its child it is taken, as soon as claims are gathered.
    for _ in 0..200 {
        if !world.chain.mempool().await.unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    mine(&a, 2).await;
    let channel = a.list_channels(ChannelFilter::default()).await.unwrap().remove(0);
    let close = channel.closing.unwrap();
    assert!(close.txid.is_some(), "{close:?}");
    let bob = world.start(1).await;
    let b = bob.handle();
    mine(&a, EXPIRY + u32::from(DELAY) + 30).await;
    let lost = *lost.get().unwrap();
    assert!(world.chain.tx(lost).await.unwrap().is_none(), "another took its place");
    let fees = world.chain.totals().await.unwrap().fees_sat - fees_before;
    // Our anchor was spent, the peer's is still there.
    assert_eq!(both(&a, &b).await + fees + ANCHORS / 2, before);
    alice.stop().await;
    bob.stop().await;
}
