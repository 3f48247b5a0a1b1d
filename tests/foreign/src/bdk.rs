//! A wallet of BDK's that has nothing but Bitcoin Core's JSON-RPC (`bdk_bitcoind_rpc`), or nothing but Esplora's REST
//! (`bdk_esplora`, which stands on `esplora-client`).

use std::collections::BTreeSet;

use bdk_bitcoind_rpc::bip158::FilterIter;
use bdk_bitcoind_rpc::bitcoincore_rpc::{Auth, Client, RpcApi as _};
use bdk_bitcoind_rpc::{Emitter, NO_EXPECTED_MEMPOOL_TXS};
use bdk_esplora::EsploraAsyncExt as _;
use bdk_esplora::esplora_client::{self, AsyncClient};
use bdk_wallet::{KeychainKind, SignOptions, Wallet};
use bitcoin::{Amount, FeeRate, Network, Transaction, Txid};
use viaduct_tests::layer1::nobody;

use crate::world::World;

/// BIP 32's second test vector as a master key, and what a wallet derives of it.
const DESCRIPTORS: [&str; 2] = [
    "wpkh(tprv8ZgxMBicQKsPdy6LMhUtFHAgpocR8GC6QmwMSFpZs7h6Eziw3SpThFfczTDh5rW2krkqffa11UpX3XkeTTB2FvzZKWXqPY54Y6Rq4AQ5R8L/84'/1'/0'/0/*)",
    "wpkh(tprv8ZgxMBicQKsPdy6LMhUtFHAgpocR8GC6QmwMSFpZs7h6Eziw3SpThFfczTDh5rW2krkqffa11UpX3XkeTTB2FvzZKWXqPY54Y6Rq4AQ5R8L/84'/1'/0'/1/*)",
];

const COIN: Amount = Amount::from_sat(5_000_000_000);

/// Addresses in a row without money that end a search.
const STOP_GAP: usize = 5;

/// Questions at a time.
const PARALLEL: usize = 2;

fn wallet() -> Wallet {
    let [external, internal] = DESCRIPTORS;
    let made = Wallet::create(external, internal).network(Network::Regtest);
    made.create_wallet_no_persist().expect("a wallet")
}

fn client(world: &World) -> Client {
    let (user, password) = World::login();
    Client::new(&world.url(), Auth::UserPass(user, password)).expect("a client")
}

/// How a wallet sees the chain.
trait Source {
    /// Brings the wallet to where the chain is.
    fn follow(&mut self, wallet: &mut Wallet);

    /// Hands a transaction to the chain.
    fn send(&self, tx: &Transaction);
}

struct OverRpc<'a> {
    client: &'a Client,
    emitter: Emitter<&'a Client>,
}

impl Source for OverRpc<'_> {
    fn follow(&mut self, wallet: &mut Wallet) {
        while let Some(event) = self.emitter.next_block().expect("a block") {
            let (height, below) = (event.block_height(), event.connected_to());
            wallet.apply_block_connected_to(&event.block, height, below).expect("it connects");
        }
        let waiting = self.emitter.mempool().expect("a mempool");
        wallet.apply_unconfirmed_txs(waiting.update);
        wallet.apply_evicted_txs(waiting.evicted);
    }

    fn send(&self, tx: &Transaction) {
        assert_eq!(self.client.send_raw_transaction(tx).expect("it is taken"), tx.compute_txid());
    }
}

struct OverEsplora<'a> {
    world: &'a World,
    client: AsyncClient,
    /// Whether it has looked for all that is the wallet's; then it asks for what is known.
    has_scanned: bool,
}

impl Source for OverEsplora<'_> {
    fn follow(&mut self, wallet: &mut Wallet) {
        if self.has_scanned {
            let request = wallet.start_sync_with_revealed_spks();
            let found = self.world.run(self.client.sync(request, PARALLEL)).expect("an answer");
            wallet.apply_update(found).expect("it connects");
        } else {
            let request = wallet.start_full_scan();
            let scan = self.client.full_scan(request, STOP_GAP, PARALLEL);
            wallet.apply_update(self.world.run(scan).expect("an answer")).expect("it connects");
            self.has_scanned = true;
        }
    }

    fn send(&self, tx: &Transaction) {
        self.world.run(self.client.broadcast(tx)).expect("it is taken");
    }
}

#[expect(deprecated, reason = "wallets still sign so")]
fn pay(wallet: &mut Wallet, amount: Amount) -> Transaction {
    let mut builder = wallet.build_tx();
    builder.add_recipient(nobody(), amount).fee_rate(FeeRate::from_sat_per_vb(2).expect("a rate"));
    let mut psbt = builder.finish().expect("it has the coins");
    assert!(wallet.sign(&mut psbt, SignOptions::default()).expect("it signs"), "final");
    psbt.extract_tx().expect("a transaction")
}

/// How deep a transaction of the wallet's is; `None` when the wallet does not believe in it.
fn depth(wallet: &Wallet, txid: Txid) -> Option<u32> {
    let tip = wallet.latest_checkpoint().height();
    let position = wallet.get_tx(txid)?.chain_position;
    let height = position.confirmation_height_upper_bound();
    Some(height.map_or(0, |height| tip + 1 - height))
}

fn follows_blocks_the_mempool_a_reorganisation_and_an_eviction(
    world: &World,
    source: &mut dyn Source,
) {
    let mut wallet = wallet();
    let script = wallet.reveal_next_address(KeychainKind::External).script_pubkey();
    world.give(&[script]);
    source.follow(&mut wallet);
    assert_eq!(wallet.balance().confirmed, COIN);

    let amount = Amount::from_sat(100_000_000);
    let tx = pay(&mut wallet, amount);
    let (txid, fee) = (tx.compute_txid(), wallet.calculate_fee(&tx).expect("a fee"));
    source.send(&tx);
    source.follow(&mut wallet);
    assert_eq!(depth(&wallet, txid), Some(0));
    assert_eq!(wallet.balance().trusted_pending, COIN - amount - fee);
    world.mine(3);
    source.follow(&mut wallet);
    assert_eq!(depth(&wallet, txid), Some(3));

    // It goes back to the mempool and comes into a block of the other branch.
    world.reorg(4, BTreeSet::from([txid]));
    source.follow(&mut wallet);
    assert_eq!(depth(&wallet, txid), Some(0));
    assert_eq!(wallet.latest_checkpoint().height(), world.height());
    world.mine(2);
    source.follow(&mut wallet);
    assert_eq!(depth(&wallet, txid), Some(2));

    // Another one is forgotten by everybody: the wallet has its coin back.
    let before = wallet.balance();
    let tx = pay(&mut wallet, amount);
    source.send(&tx);
    source.follow(&mut wallet);
    assert_eq!(depth(&wallet, tx.compute_txid()), Some(0));
    assert!(world.run(world.layer1.chain().evict(tx.compute_txid())).expect("it answers"));
    source.follow(&mut wallet);
    assert_eq!(depth(&wallet, tx.compute_txid()), None);
    assert_eq!(wallet.balance(), before);

    let tip = world.run(world.layer1.chain().tip()).expect("a tip");
    assert_eq!(wallet.latest_checkpoint().hash(), tip.hash);
    let fees = world.run(world.layer1.totals()).fees_sat;
    assert_eq!(wallet.balance().total().to_sat(), (COIN - amount).to_sat() - fees);
}

#[test]
fn over_the_json_rpc_a_wallet_follows_blocks_the_mempool_a_reorganisation_and_an_eviction() {
    let world = World::start();
    let client = client(&world);
    let genesis = wallet().latest_checkpoint();
    let emitter = Emitter::new(&client, genesis, 0, NO_EXPECTED_MEMPOOL_TXS);
    let mut source = OverRpc { client: &client, emitter };
    follows_blocks_the_mempool_a_reorganisation_and_an_eviction(&world, &mut source);
}

#[test]
fn over_esplora_a_wallet_follows_blocks_the_mempool_a_reorganisation_and_an_eviction() {
    let world = World::start();
    let url = format!("http://{}", world.served.esplora());
    let client = esplora_client::Builder::new(&url).build_async().expect("a client");
    let mut source = OverEsplora { world: &world, client, has_scanned: false };
    follows_blocks_the_mempool_a_reorganisation_and_an_eviction(&world, &mut source);
}

#[test]
fn a_wallet_finds_its_blocks_by_their_filters() {
    let world = World::start();
    let client = client(&world);
    let mut wallet = wallet();
    world.mine(7);
    let script = wallet.reveal_next_address(KeychainKind::External).script_pubkey();
    world.give(std::slice::from_ref(&script));
    let mut found = Vec::new();
    let mut last = wallet.latest_checkpoint();
    for event in FilterIter::new(&client, wallet.latest_checkpoint(), [script]) {
        let event = event.expect("a filter");
        if let Some(block) = event.block.as_ref() {
            let paid = |output: &bitcoin::TxOut| wallet.is_mine(output.script_pubkey.clone());
            if block.txdata.iter().flat_map(|tx| &tx.output).any(paid) {
                found.push(event.height());
            }
        }
        last = event.cp;
    }
    assert_eq!(found, [8]);
    assert_eq!(last.height(), world.height());
}
