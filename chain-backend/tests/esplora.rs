//! Esplora's REST as a foreign client reads it: every question that `esplora-client` has, which BDK and LDK use.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and asks the foreign client for what it has"
)]

use bitcoin::absolute::LockTime;
use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Amount, BlockHash, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut,
    Txid, Witness,
};
use chain_backend::{BuiltinChain, ChainBackend, Package, Sandbox, rest};
use esplora_client::{AsyncClient, Builder, Error};
use std::collections::BTreeSet;

struct Served {
    chain: BuiltinChain,
    client: AsyncClient,
    url: String,
}

/// Spent with `51` in the witness.
fn anyone() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51]).to_p2wsh()
}

fn other() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x52]).to_p2wsh()
}

fn address() -> Address {
    Address::from_script(&anyone(), Network::Regtest).unwrap()
}

async fn served(blocks: u32) -> Served {
    let chain = BuiltinChain::in_memory(|| 1_700_000_000).unwrap();
    chain.mine(blocks, anyone()).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(rest::serve(chain.clone(), listener, std::future::pending()));
    let client = Builder::new(&url).max_retries(0).build_async().unwrap();
    Served { chain, client, url }
}

impl Served {
    async fn hash(&self, height: u32) -> BlockHash {
        self.chain.header_at(height).await.unwrap().hash
    }

    async fn coinbase(&self, height: u32) -> Txid {
        let block = self.chain.block(self.hash(height).await).await.unwrap();
        block.txdata[0].compute_txid()
    }

    /// A spend of the coinbase at a height to one script, which pays so much.
    async fn spend(&self, height: u32, to: ScriptBuf, fee: u64) -> Transaction {
        let coin = OutPoint::new(self.coinbase(height).await, 0);
        let value = self.chain.txout(coin).await.unwrap().unwrap().output.value;
        spend_of(coin, value, to, fee)
    }

    async fn accept(&self, tx: &Transaction) {
        self.chain.accept(Package::single(tx.clone())).await.unwrap();
    }

    /// Status and body of a question, as it is.
    async fn get(&self, path: &str) -> (u16, String) {
        let answer = bitreq_get(&format!("{}{path}", self.url)).await;
        (answer.0, answer.1)
    }
}

fn spend_of(coin: OutPoint, value: Amount, to: ScriptBuf, fee: u64) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: coin,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[[0x51]]),
        }],
        output: vec![TxOut { value: value - Amount::from_sat(fee), script_pubkey: to }],
    }
}

async fn bitreq_get(url: &str) -> (u16, String) {
    use http_body_util::{BodyExt as _, Full};
    use hyper::body::Bytes;
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;
    let http = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let answer = http.get(url.parse().unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let cors = answer.headers().get("access-control-allow-origin").cloned();
    assert_eq!(cors.unwrap(), "*", "pages of other hosts may read it");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[allow(deprecated, reason = "older programs ask so")]
async fn old_list(client: &AsyncClient) -> Vec<u32> {
    let blocks = client.get_blocks(Some(12)).await.unwrap();
    blocks.into_iter().map(|block| block.time.height).collect()
}

#[tokio::test]
async fn blocks_are_read_as_they_are() {
    let served = served(30).await;
    let client = &served.client;
    let (hash, tip) = (served.hash(7).await, served.chain.tip().await.unwrap());
    let block = served.chain.block(hash).await.unwrap();
    assert_eq!(client.get_height().await.unwrap(), 30);
    assert_eq!(client.get_tip_hash().await.unwrap(), tip.hash);
    assert_eq!(client.get_block_hash(7).await.unwrap(), hash);
    assert_eq!(client.get_header_by_hash(&hash).await.unwrap(), block.header);
    assert_eq!(client.get_block_by_hash(&hash).await.unwrap().unwrap(), *block);
    let coinbase = block.txdata[0].compute_txid();
    assert_eq!(client.get_txid_at_block_index(&hash, 0).await.unwrap(), Some(coinbase));
    assert_eq!(client.get_txid_at_block_index(&hash, 1).await.unwrap(), None);
    assert_eq!(client.get_block_txids(&hash).await.unwrap(), [coinbase]);
    let txs = client.get_block_txs(&hash, None).await.unwrap();
    assert_eq!((txs.len(), txs[0].to_tx()), (1, block.txdata[0].clone()));
    assert!(txs[0].vin[0].is_coinbase && txs[0].vin[0].prevout.is_none());
    assert_eq!(txs[0].fee, Amount::ZERO);
    assert!(client.get_block_txs(&hash, Some(25)).await.is_err());

    let info = client.get_block_info(&hash).await.unwrap();
    let at = served.chain.header_at(7).await.unwrap();
    assert_eq!((info.id, info.height, info.tx_count), (hash, 7, 1));
    assert_eq!(info.previousblockhash, Some(block.header.prev_blockhash));
    assert_eq!((info.bits, info.nonce), (block.header.bits, block.header.nonce));
    assert_eq!((info.size, info.weight), (block.total_size(), block.weight()));
    assert_eq!(info.mediantime, u64::from(at.mtp));
    let genesis = client.get_block_info(&served.hash(0).await).await.unwrap();
    assert_eq!(genesis.previousblockhash, None);

    let status = client.get_block_status(&hash).await.unwrap();
    assert!(status.in_best_chain && status.height == Some(7));
    assert_eq!(status.next_best, Some(served.hash(8).await));
    assert_eq!(client.get_block_status(&tip.hash).await.unwrap().next_best, None);
    let unknown = client.get_block_status(&BlockHash::all_zeros()).await.unwrap();
    assert!(!unknown.in_best_chain && unknown.height.is_none());

    let heights = async |from| {
        let infos = client.get_block_infos(from).await.unwrap();
        infos.into_iter().map(|info| info.height).collect::<Vec<_>>()
    };
    assert_eq!(heights(None).await, (21..=30).rev().collect::<Vec<_>>());
    assert_eq!(heights(Some(12)).await, (3..=12).rev().collect::<Vec<_>>());
    assert_eq!(heights(Some(2)).await, [2, 1, 0]);
    assert_eq!(old_list(client).await, (3..=12).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_transaction_is_followed_from_the_mempool_into_its_block() {
    let served = served(110).await;
    let client = &served.client;
    let tx = served.spend(1, other(), 12_345).await;
    let (txid, coin) = (tx.compute_txid(), tx.input[0].previous_output);
    assert_eq!(client.get_tx(&txid).await.unwrap(), None);
    assert!(!client.get_tx_status(&txid).await.unwrap().confirmed);
    assert!(!client.get_output_status(&coin.txid, 0).await.unwrap().unwrap().spent);
    assert_eq!(client.broadcast(&tx).await.unwrap(), txid);
    assert_eq!(client.broadcast(&tx).await.unwrap(), txid, "once more is no error");

    let seen = client.get_tx_info(&txid).await.unwrap().unwrap();
    assert_eq!((seen.to_tx(), seen.fee.to_sat()), (tx.clone(), 12_345));
    assert_eq!((seen.weight, seen.size), (tx.weight(), tx.total_size()));
    assert!(!seen.status.confirmed && seen.status.block_hash.is_none());
    let before = seen.previous_outputs()[0].clone().unwrap();
    assert_eq!(before.script_pubkey, anyone());
    let spent = client.get_output_status(&coin.txid, 0).await.unwrap().unwrap();
    assert_eq!((spent.spent, spent.txid, spent.vin), (true, Some(txid), Some(0)));
    assert!(!spent.status.unwrap().confirmed);

    let stats = client.get_mempool_stats().await.unwrap();
    assert_eq!((stats.count, stats.vsize, stats.total_fee.to_sat()), (1, tx.vsize(), 12_345));
    assert_eq!(stats.fee_histogram.len(), 1);
    let per_vb = stats.fee_histogram[0].0.to_sat_per_kwu();
    assert_eq!(per_vb, 12_345 * 1_000 / tx.vsize() as u64 / 4);
    assert_eq!(client.get_mempool_txids().await.unwrap(), [txid]);
    let recent = client.get_mempool_recent_txs().await.unwrap();
    assert_eq!((recent[0].txid, recent[0].value), (txid, tx.output[0].value));

    let hash = served.chain.mine(1, anyone()).await.unwrap()[0];
    let status = client.get_tx_status(&txid).await.unwrap();
    assert_eq!((status.confirmed, status.block_height), (true, Some(111)));
    assert_eq!(status.block_hash, Some(hash));
    assert_eq!(client.get_tx(&txid).await.unwrap(), Some(tx.clone()));
    assert_eq!(client.get_tx_no_opt(&txid).await.unwrap(), tx);
    let proof = client.get_merkle_proof(&txid).await.unwrap().unwrap();
    assert_eq!((proof.block_height, proof.pos, proof.merkle.len()), (111, 1, 1));
    let merkle = client.get_merkle_block(&txid).await.unwrap().unwrap();
    let (mut matched, mut places) = (Vec::new(), Vec::new());
    let root = merkle.txn.extract_matches(&mut matched, &mut places).unwrap();
    assert_eq!((root, matched), (merkle.header.merkle_root, vec![txid]));
    assert_eq!(merkle.header.block_hash(), hash);
    let outputs = client.get_tx_outspends(&coin.txid).await.unwrap();
    // The coinbase commits to witnesses in a second output.
    assert_eq!(outputs.iter().map(|one| one.spent).collect::<Vec<_>>(), [true, false]);
    assert_eq!(outputs[0].status.as_ref().unwrap().block_height, Some(111));
    assert!(client.get_merkle_proof(&Txid::all_zeros()).await.unwrap().is_none());
    assert!(client.get_tx_info(&Txid::all_zeros()).await.unwrap().is_none());
}

#[tokio::test]
async fn every_place_in_a_block_has_its_proof() {
    let served = served(170).await;
    for count in 2..=7_u32 {
        for height in 0..count {
            let tx = served.spend(count * 8 + height, other(), 1_000).await;
            served.accept(&tx).await;
        }
        let hash = served.chain.mine(1, anyone()).await.unwrap()[0];
        let block = served.chain.block(hash).await.unwrap();
        assert_eq!(block.txdata.len() as u32, count + 1);
        for (place, tx) in block.txdata.iter().enumerate() {
            let txid = tx.compute_txid();
            let proof = served.client.get_merkle_proof(&txid).await.unwrap().unwrap();
            assert_eq!(proof.pos, place);
            let mut node = txid.to_byte_array();
            for (level, beside) in proof.merkle.iter().enumerate() {
                let beside = beside.to_byte_array();
                let both = if place >> level & 1 == 0 { [node, beside] } else { [beside, node] };
                node = bitcoin::hashes::sha256d::Hash::hash(&both.concat()).to_byte_array();
            }
            assert_eq!(node, block.header.merkle_root.to_byte_array(), "{count} {place}");
        }
    }
}

#[tokio::test]
async fn what_a_script_got_and_gave_is_told_by_hash_and_by_address() {
    let served = served(160).await;
    let client = &served.client;
    let (mine, theirs) = (anyone(), other());
    let paid = served.spend(1, theirs.clone(), 1_000).await;
    served.accept(&paid).await;
    served.chain.mine(1, ScriptBuf::from_bytes(vec![0x53]).to_p2wsh()).await.unwrap();
    let waits = served.spend(2, theirs.clone(), 2_000).await;
    served.accept(&waits).await;

    let stats = client.get_scripthash_stats(&theirs).await.unwrap();
    let (chain, mempool) = (stats.chain_stats, stats.mempool_stats);
    assert_eq!((chain.tx_count, chain.funded_txo_count, chain.spent_txo_count), (1, 1, 0));
    assert_eq!(chain.funded_txo_sum, paid.output[0].value);
    assert_eq!((mempool.tx_count, mempool.funded_txo_sum), (1, waits.output[0].value));
    let stats = client.get_address_stats(&address()).await.unwrap();
    assert_eq!(stats.address, address());
    assert_eq!((stats.chain_stats.tx_count, stats.chain_stats.funded_txo_count), (161, 160));
    assert_eq!((stats.chain_stats.spent_txo_count, stats.mempool_stats.spent_txo_count), (1, 1));

    // Fifty pages of twenty-five; the newest first.
    let first = client.get_address_txs(&address(), None).await.unwrap();
    assert_eq!(
        (first.len(), first[0].txid, first[1].txid),
        (26, waits.compute_txid(), paid.compute_txid())
    );
    let mut heights = Vec::new();
    let mut last = None;
    loop {
        let page = client.get_scripthash_txs(&mine, last).await.unwrap();
        let confirmed = page.iter().filter_map(|tx| tx.status.block_height);
        heights.extend(confirmed);
        match page.last() {
            Some(tx) if page.len() >= 25 => last = Some(tx.txid),
            Some(_) | None => break,
        }
    }
    assert_eq!(heights, (1..=161).rev().collect::<Vec<_>>());
    let strange = client.get_scripthash_txs(&mine, Some(Txid::all_zeros())).await.unwrap();
    assert!(strange.is_empty());
    let waiting = client.get_mempool_scripthash_txs(&theirs).await.unwrap();
    assert_eq!(waiting.iter().map(|tx| tx.txid).collect::<Vec<_>>(), [waits.compute_txid()]);
    let waiting = client.get_mempool_address_txs(&address()).await.unwrap();
    assert_eq!(waiting.len(), 1);

    let unspent = client.get_scripthash_utxos(&theirs).await.unwrap();
    let seen: Vec<_> = unspent.iter().map(|one| (one.txid, one.status.block_height)).collect();
    assert_eq!(seen, [(paid.compute_txid(), Some(161)), (waits.compute_txid(), None)]);
    assert_eq!(client.get_address_utxos(&address()).await.unwrap().len(), 158);
    let nobody = ScriptBuf::from_bytes(vec![0x54]).to_p2wsh();
    assert_eq!(client.get_scripthash_stats(&nobody).await.unwrap().chain_stats.tx_count, 0);
    assert!(client.get_scripthash_txs(&nobody, None).await.unwrap().is_empty());
    served.chain.mine(400, mine.clone()).await.unwrap();
    let refused = client.get_scripthash_utxos(&mine).await.unwrap_err();
    assert!(refused.to_string().contains("Too many unspent"), "{refused}");
}

#[tokio::test]
async fn a_reorganisation_takes_its_scripts_along() {
    let served = served(120).await;
    let client = &served.client;
    let parent = served.spend(1, anyone(), 1_000).await;
    let value = parent.output[0].value;
    let child = spend_of(OutPoint::new(parent.compute_txid(), 0), value, other(), 1_000);
    for tx in [&parent, &child] {
        served.accept(tx).await;
    }
    served.chain.mine(3, other()).await.unwrap();
    let stats = async || client.get_scripthash_stats(&other()).await.unwrap();
    assert_eq!(stats().await.chain_stats.tx_count, 4);
    // Both go back to the mempool; the blocks pay somebody else.
    let out = BTreeSet::from([parent.compute_txid()]);
    let third = ScriptBuf::from_bytes(vec![0x53]).to_p2wsh();
    served.chain.reorg(3, out, third).await.unwrap();
    let after = stats().await;
    assert_eq!((after.chain_stats.tx_count, after.mempool_stats.tx_count), (0, 1));
    let mine = client.get_scripthash_stats(&anyone()).await.unwrap();
    assert_eq!((mine.chain_stats.funded_txo_count, mine.chain_stats.spent_txo_count), (120, 0));
    served.chain.mine(1, other()).await.unwrap();
    let after = stats().await;
    assert_eq!((after.chain_stats.tx_count, after.mempool_stats.tx_count), (2, 0));
    // The same as for one who asks for the first time.
    let fresh = self::served(0).await;
    for height in 1..=served.chain.tip().await.unwrap().height {
        let block = served.chain.block(served.hash(height).await).await.unwrap();
        fresh.chain.submit_block((*block).clone()).await.unwrap();
    }
    for script in [anyone(), other()] {
        let of = async |served: &Served| {
            let stats = served.client.get_scripthash_stats(&script).await.unwrap();
            let mut coins: Vec<_> = (served.client.get_scripthash_utxos(&script).await.unwrap())
                .into_iter()
                .map(|one| (one.txid, one.vout, one.value, one.status.block_height))
                .collect();
            coins.sort_unstable();
            (stats, coins)
        };
        assert_eq!(of(&served).await, of(&fresh).await);
    }
}

#[tokio::test]
async fn a_parent_that_pays_nothing_comes_in_with_its_child() {
    let served = served(110).await;
    let client = &served.client;
    let mut parent = served.spend(1, anyone(), 0).await;
    parent.version = Version::non_standard(3);
    let coin = OutPoint::new(parent.compute_txid(), 0);
    let mut child = spend_of(coin, parent.output[0].value, other(), 10_000);
    child.version = Version::non_standard(3);
    let alone = client.broadcast(&parent).await.unwrap_err();
    let Error::HttpResponse { status, message } = alone else { panic!("{alone}") };
    assert_eq!(status, 400);
    assert!(
        message.starts_with("sendrawtransaction RPC error: {\"code\":-26,")
            && message.contains("min relay fee not met, 0 < "),
        "{message}"
    );
    let both = [parent.clone(), child.clone()];
    let done = client.submit_package(&both, None, None).await.unwrap();
    assert_eq!((done.package_msg.as_str(), done.tx_results.len()), ("success", 2));
    let result = &done.tx_results[&child.compute_wtxid()];
    assert_eq!(result.txid, child.compute_txid());
    assert_eq!(result.fees.as_ref().unwrap().base.to_sat(), 10_000);
    // Nobody pays more than he wants to.
    let dear = served.spend(2, other(), 1_000_000).await;
    let most = bitcoin::FeeRate::from_sat_per_vb_u32(100);
    let refused =
        client.submit_package(std::slice::from_ref(&dear), Some(most), None).await.unwrap();
    let error = refused.tx_results[&dear.compute_wtxid()].error.clone().unwrap();
    assert_eq!(
        (refused.package_msg.as_str(), error.as_str()),
        ("transaction failed", "max feerate exceeded")
    );
    let orphan = spend_of(OutPoint::new(Txid::all_zeros(), 0), Amount::ONE_BTC, other(), 1_000);
    let refused = client.broadcast(&orphan).await.unwrap_err().to_string();
    assert!(refused.contains("\"code\":-25") && refused.contains("missingorspent"), "{refused}");
}

#[tokio::test]
async fn fees_are_those_that_somebody_knows() {
    let served = served(110).await;
    assert!(served.client.get_fee_estimates().await.unwrap().is_empty(), "nobody ever paid");
    let tx = served.spend(1, other(), 50_000).await;
    served.accept(&tx).await;
    let estimates = served.client.get_fee_estimates().await.unwrap();
    assert_eq!(estimates.len(), 28);
    let table = served.chain.fees().await.unwrap();
    for target in [1, 6, 25, 1_008] {
        assert_eq!(estimates.get(&target).copied(), table.estimate(target), "{target}");
    }
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_in_words() {
    let served = served(1).await;
    let zeros = "0".repeat(64);
    for (path, status, words) in [
        ("/blocks/99", 404, "Block not found".to_owned()),
        ("/blocks/x", 400, "Invalid number".to_owned()),
        ("/block-height/99", 404, "Block not found".to_owned()),
        ("/block-height/-1", 400, "Invalid number".to_owned()),
        ("/block/zz", 400, "Invalid hash string".to_owned()),
        (&format!("/block/{zeros}"), 404, "Block not found".to_owned()),
        (&format!("/block/{zeros}/raw"), 404, "Block not found".to_owned()),
        (&format!("/tx/{zeros}"), 404, "Transaction not found".to_owned()),
        (&format!("/tx/{zeros}/raw"), 404, "Transaction not found".to_owned()),
        (&format!("/tx/{zeros}/outspends"), 404, "Transaction not found".to_owned()),
        (&format!("/tx/{zeros}/outspend/x"), 400, "Invalid number".to_owned()),
        ("/scripthash/00", 400, "Invalid hex string".to_owned()),
        ("/address/nobody", 400, "Invalid Bitcoin address".to_owned()),
        (
            "/address/bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            400,
            "Address on invalid network".to_owned(),
        ),
        ("/nothing/here", 404, "endpoint does not exist \"/nothing/here\"".to_owned()),
        ("/tx", 404, "endpoint does not exist \"/tx\"".to_owned()),
        ("/api/blocks/tip/height", 200, "1".to_owned()),
    ] {
        assert_eq!(served.get(path).await, (status, words), "{path}");
    }
    // The hash of a script is not written backwards.
    let hash = sha256::Hash::hash(anyone().as_bytes());
    let (_, stats) = served.get(&format!("/scripthash/{hash}")).await;
    assert!(stats.contains("\"funded_txo_count\":1"), "{stats}");
    let (_, block) = served.get(&format!("/block/{}/txs", served.hash(1).await)).await;
    assert!(block.contains("\"scriptpubkey_type\":\"v0_p2wsh\""), "{block}");
    let address = address();
    assert!(block.contains(&format!("\"scriptpubkey_address\":\"{address}\"")), "{block}");
}
