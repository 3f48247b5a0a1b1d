//! The server as its callers see it: LND, Core Lightning, wallets, lnprototest.

mod miners;
mod tools;

use super::{Access, Settings, basic, serve};
use crate::backend::ChainBackend;
use crate::builtin::BuiltinChain;
use crate::sandbox::Sandbox;
use bitcoin::ScriptBuf;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::path::Path;
use tokio::net::TcpListener;

const START: u32 = 1_700_000_000;

/// A server over a chain in memory.
pub(crate) struct Served {
    pub(crate) chain: BuiltinChain,
    pub(crate) url: String,
}

pub(crate) async fn served(wallets: Option<&Path>) -> Served {
    served_over(BuiltinChain::in_memory(|| START).unwrap(), wallets).await
}

async fn served_over(chain: BuiltinChain, wallets: Option<&Path>) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let settings = Settings {
        access: Access::user("alice", "secret"),
        wallets: wallets.map(Path::to_path_buf),
        now: || START,
    };
    tokio::spawn(serve(chain.clone(), listener, settings, std::future::pending()));
    Served { chain, url }
}

pub(crate) fn anyone() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51]).to_p2wsh()
}

impl Served {
    async fn post(&self, path: &str, login: &str, body: String) -> (u16, String) {
        let http = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let request = Request::post(format!("{}{path}", self.url))
            .header("authorization", basic(login))
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let answer = http.request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn raw(&self, body: Value) -> (u16, Value) {
        let (status, text) = self.post("/", "alice:secret", body.to_string()).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn on(&self, path: &str, method: &str, params: Value) -> Result<Value, (i64, String)> {
        let body = json!({ "jsonrpc": "1.0", "id": "x", "method": method, "params": params });
        let (_, text) = self.post(path, "alice:secret", body.to_string()).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["id"], json!("x"));
        if answer["error"].is_null() {
            return Ok(answer["result"].clone());
        }
        let message = answer["error"]["message"].as_str().unwrap().to_owned();
        Err((answer["error"]["code"].as_i64().unwrap(), message))
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        self.on("/", method, params).await.unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    async fn refused(&self, method: &str, params: Value) -> (i64, String) {
        self.on("/", method, params).await.unwrap_err()
    }
}

#[tokio::test]
async fn only_who_has_the_password_is_heard() {
    let served = served(None).await;
    let body = json!({ "method": "getblockcount" }).to_string();
    assert_eq!(served.post("/", "alice:wrong", body.clone()).await.0, 401);
    assert_eq!(served.post("/", "alice:secret", body).await.0, 200);
}

#[tokio::test]
async fn errors_come_in_the_dialect_of_the_caller() {
    let served = served(None).await;
    // btcd's client finds out by this call whom it talks to, and takes anything but this code for a failure.
    let (status, body) =
        served.raw(json!({ "jsonrpc": "1.0", "id": 1, "method": "getinfo", "params": [] })).await;
    assert_eq!(
        (status, &body["error"]["code"], &body["result"]),
        (404, &json!(-32_601), &Value::Null)
    );
    let (status, body) =
        served.raw(json!({ "jsonrpc": "2.0", "id": 1, "method": "getinfo" })).await;
    assert_eq!((status, body.get("result"), &body["jsonrpc"]), (200, None, &json!("2.0")));
    let (status, _) = served.raw(json!({ "id": 1, "method": "getblockhash", "params": [9] })).await;
    assert_eq!(status, 500);
    assert_eq!(served.raw(json!({ "id": 1, "params": [] })).await.0, 400);
    assert_eq!(served.post("/", "alice:secret", "rubbish".to_owned()).await.0, 500);
    assert_eq!(
        served
            .post("/", "alice:secret", json!({ "jsonrpc": "2.0", "method": "uptime" }).to_string())
            .await
            .0,
        204
    );
    let (status, body) = served
        .raw(json!([
            { "id": 1, "method": "getblockcount" },
            { "jsonrpc": "2.0", "method": "getblockcount" },
            { "id": 2, "method": "nonsense" },
            7,
        ]))
        .await;
    let ids: Vec<&Value> = body.as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!((status, ids), (200, vec![&json!(1), &json!(2), &Value::Null]));
}

#[tokio::test]
async fn core_lightning_reads_what_it_reads_of_bitcoin_core() {
    let served = served(None).await;
    served.chain.mine(3, anyone()).await.unwrap();
    let network = served.call("getnetworkinfo", json!([])).await;
    assert!(network["version"].as_u64().unwrap() >= 220_000);
    assert_eq!(network["localrelay"], json!(true));
    let chain = served.call("getblockchaininfo", json!([])).await;
    assert_eq!(chain["chain"], json!("regtest"));
    assert_eq!((&chain["blocks"], &chain["headers"]), (&json!(3), &json!(3)));
    assert_eq!(chain["initialblockdownload"], json!(false));
    let hash = served.call("getblockhash", json!([2])).await;
    let raw = served.call("getblock", json!([hash, 0])).await;
    let block = served.chain.block(hash.as_str().unwrap().parse().unwrap()).await.unwrap();
    assert_eq!(raw, json!(bitcoin::consensus::encode::serialize_hex(block.as_ref())));
    assert_eq!(
        served.refused("getblockhash", json!([4])).await,
        (-8, "Block height out of range".to_owned())
    );
    let txid = block.txdata[0].compute_txid();
    let coin = served.call("gettxout", json!([txid, 0])).await;
    assert_eq!((&coin["confirmations"], &coin["coinbase"]), (&json!(2), &json!(true)));
    assert_eq!(coin["scriptPubKey"]["hex"], json!(anyone().to_hex_string()));
    assert_eq!(served.call("gettxout", json!([txid, 9])).await, Value::Null);
    // It reads the text.
    let (_, text) = served
        .post("/", "alice:secret", json!({ "method": "getmempoolinfo", "id": 0 }).to_string())
        .await;
    assert!(
        text.contains("\"mempoolminfee\":0.00001000")
            && text.contains("\"minrelaytxfee\":0.00001000"),
        "{text}"
    );
    let estimate = served.call("estimatesmartfee", json!([2, "CONSERVATIVE"])).await;
    assert!(estimate.get("feerate").is_none() && estimate["errors"].is_array());
}

#[tokio::test]
async fn lnd_finds_what_it_looks_for() {
    let served = served(None).await;
    served.chain.mine(1, anyone()).await.unwrap();
    let genesis = served.call("getblockhash", json!([0])).await;
    assert_eq!(genesis, json!("0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"));
    // It compares this as text.
    let network = served.call("getnetworkinfo", json!([])).await;
    assert!(network["subversion"].as_str().unwrap() > "/Satoshi:25.0.0/");
    let flags = served.call("getdeploymentinfo", json!([])).await;
    assert!(flags["deployments"]["taproot"]["active"].as_bool().unwrap());
    let best = served.call("getbestblockhash", json!([])).await;
    let header = served.call("getblockheader", json!([best, true])).await;
    assert_eq!((&header["height"], &header["previousblockhash"]), (&json!(1), &genesis));
    let raw = served.call("getblockheader", json!([best, false])).await;
    assert_eq!(raw.as_str().unwrap().len(), 160);
    let (code, words) = served.refused("getrawtransaction", json!(["00".repeat(32), 1])).await;
    assert!(code == -5 && words.starts_with("No such mempool or blockchain transaction"));
    assert_eq!(served.call("getzmqnotifications", json!([])).await, json!([]));
    assert_eq!(served.call("getpeerinfo", json!([])).await, json!([]));
    let spent = served
        .call("gettxspendingprevout", json!([[{ "txid": "11".repeat(32), "vout": 0 }]]))
        .await;
    assert_eq!(spent, json!([{ "txid": "11".repeat(32), "vout": 0 }]));
}

#[tokio::test]
async fn a_wallet_pays_and_is_paid() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(Some(dir.path())).await;
    assert_eq!(served.refused("getnewaddress", json!([])).await.0, -18);
    served.call("createwallet", json!(["main"])).await;
    assert_eq!(served.refused("createwallet", json!(["main"])).await.0, -4);
    let address = served.call("getnewaddress", json!([])).await;
    served.call("generatetoaddress", json!([101, address])).await;
    assert_eq!(served.call("getbalance", json!([])).await, json!(50.0));
    let other = served.call("getnewaddress", json!(["label", "bech32"])).await;
    let txid = served.call("sendtoaddress", json!([other, 1.5])).await;
    assert_eq!(served.call("getrawmempool", json!([])).await, json!([txid]));
    let entry = served.call("getmempoolentry", json!([txid])).await;
    assert!(
        entry["fees"]["base"].as_f64().unwrap() > 0.0 && entry["vsize"].as_u64().unwrap() > 100
    );
    let raw = served.call("getrawtransaction", json!([txid, 1])).await;
    assert!(raw.get("blockhash").is_none() && raw["vout"].as_array().unwrap().len() == 2);
    served.call("generatetoaddress", json!([1, address])).await;
    let found = served.call("gettransaction", json!([txid])).await;
    assert_eq!(found["confirmations"], json!(1));
    assert!(found["fee"].as_f64().unwrap() < 0.0);
    // What it paid to itself was paid and received; its change is neither. All have the place of their output.
    assert_eq!((found["amount"].as_f64(), found["category"].is_null()), (Some(0.0), true));
    let details = found["details"].as_array().unwrap();
    let of = |entry: &Value| (entry["category"].clone(), entry["amount"].clone());
    assert_eq!(
        details.iter().map(of).collect::<Vec<_>>(),
        [(json!("send"), json!(-1.5)), (json!("receive"), json!(1.5))]
    );
    let paid = &raw["vout"][details[0]["vout"].as_u64().unwrap() as usize];
    assert_eq!((&paid["value"], &details[0]["address"]), (&json!(1.5), &other));
    assert_eq!(details[0]["fee"], found["fee"]);
    let listed = served.call("listtransactions", json!(["*", 4])).await;
    let categories: Vec<_> =
        listed.as_array().unwrap().iter().map(|entry| &entry["category"]).collect();
    assert_eq!(categories, ["immature", "receive", "send", "immature"]);
    assert_eq!((&listed[1]["txid"], &listed[1]["vout"]), (&txid, &details[1]["vout"]));
    let before = served.call("listtransactions", json!(["*", 1, 2])).await;
    assert_eq!(before, json!([listed[1]]));
    let raw = served.call("getrawtransaction", json!([txid, 2])).await;
    assert!(raw["blockhash"].is_string() && raw["fee"].as_f64().unwrap() > 0.0);
    assert!(raw["vin"][0]["prevout"]["value"].as_f64().unwrap() > 0.0);
    let unspent = served.call("listunspent", json!([])).await;
    let sum: f64 =
        unspent.as_array().unwrap().iter().map(|coin| coin["amount"].as_f64().unwrap()).sum();
    assert_eq!(
        format!("{sum:.8}"),
        format!("{:.8}", served.call("getbalance", json!([])).await.as_f64().unwrap())
    );
    // It is there again after it was put away, also by name in the path.
    let before = served.call("getbalances", json!([])).await;
    served.call("unloadwallet", json!(["main"])).await;
    assert_eq!(served.on("/wallet/main", "getbalances", json!([])).await.unwrap_err().0, -18);
    served.call("loadwallet", json!(["main"])).await;
    assert_eq!(served.on("/wallet/main", "getbalances", json!([])).await.unwrap(), before);
    assert_eq!(
        served.refused("sendtoaddress", json!([other, 100_000])).await,
        (-6, "Insufficient funds".to_owned())
    );
}

#[tokio::test]
async fn a_transaction_is_made_funded_signed_and_sent_by_hand() {
    let served = served(None).await;
    served.call("createwallet", json!({ "wallet_name": "main" })).await;
    let address = served.call("getnewaddress", json!([])).await;
    let address = address.as_str().unwrap();
    served.call("generatetoaddress", json!([101, address])).await;
    let bare = served
        .call("createrawtransaction", json!([[], [{ address: 2 }, { "data": "c0ffee" }]]))
        .await;
    let funded = served.call("fundrawtransaction", json!([bare, { "fee_rate": 5 }])).await;
    let signed = served.call("signrawtransactionwithwallet", json!([funded["hex"]])).await;
    assert_eq!(signed["complete"], json!(true), "{signed}");
    let test = served.call("testmempoolaccept", json!([[signed["hex"]]])).await;
    assert_eq!(test[0]["allowed"], json!(true));
    assert_eq!(test[0]["fees"]["base"], funded["fee"]);
    let txid = served.call("sendrawtransaction", json!([signed["hex"], "0"])).await;
    assert_eq!(
        served.call("sendrawtransaction", json!([signed["hex"]])).await,
        txid,
        "twice is as good as once"
    );
    let decoded = served.call("decoderawtransaction", json!([signed["hex"]])).await;
    assert_eq!(decoded["txid"], txid);
    served.call("generatetoaddress", json!([1, address])).await;
    let (code, words) = served.refused("sendrawtransaction", json!([signed["hex"]])).await;
    assert_eq!((code, words.as_str()), (-27, "Transaction outputs already in utxo set"));
    assert_eq!(served.refused("sendrawtransaction", json!(["00"])).await.0, -22);
}

#[tokio::test]
async fn blocks_are_made_ruled_out_and_taken_in_as_lnprototest_does() {
    let served = served(None).await;
    let address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
    let hashes = served.call("generatetoaddress", json!([3, address])).await;
    let third = &hashes[2];
    let hex = served.call("getblock", json!([third, 0])).await;
    served.call("invalidateblock", json!([third])).await;
    assert_eq!(served.call("getblockcount", json!([])).await, json!(2));
    let header = served.call("getblockheader", json!([third])).await;
    assert_eq!(header["confirmations"], json!(-1));
    assert_eq!(served.call("submitblock", json!([hex])).await, json!("duplicate-invalid"));
    served.call("reconsiderblock", json!([third])).await;
    assert_eq!(served.call("submitblock", json!([hex])).await, json!("duplicate"));
    let made = served.call("generateblock", json!([address, [], false])).await;
    assert_eq!(served.call("getblockcount", json!([])).await, json!(3));
    assert_eq!(served.call("submitblock", json!([made["hex"]])).await, Value::Null);
    let waited = served.call("waitforblockheight", json!([4, 1_000])).await;
    assert_eq!(waited["height"], json!(4));
    let waited = served.call("waitforblockheight", json!([9, 60])).await;
    assert_eq!(waited["height"], json!(4), "the time was up");
    let tips = served.call("getchaintips", json!([])).await;
    assert_eq!((tips.as_array().unwrap().len(), &tips[0]["status"]), (1, &json!("active")));
    let template = served.call("getblocktemplate", json!([{ "rules": ["segwit"] }])).await;
    assert_eq!(
        (&template["height"], &template["coinbasevalue"]),
        (&json!(5), &json!(5_000_000_000_u64))
    );
}

#[tokio::test]
async fn a_parent_below_the_minimum_comes_in_with_its_child() {
    let served = served(None).await;
    served.chain.mine(110, anyone()).await.unwrap();
    let hash = served.chain.header_at(1).await.unwrap().hash;
    let coin = served.chain.block(hash).await.unwrap().txdata[0].compute_txid();
    let [parent, child] = pair(coin);
    let hex = |tx: &bitcoin::Transaction| bitcoin::consensus::encode::serialize_hex(tx);
    let (code, words) = served.refused("sendrawtransaction", json!([hex(&parent)])).await;
    assert_eq!((code, words.as_str()), (-26, "min relay fee not met"));
    let both = served.call("submitpackage", json!([[hex(&parent), hex(&child)]])).await;
    assert_eq!(both["package_msg"], json!("success"), "{both}");
    let of_child = &both["tx-results"][child.compute_wtxid().to_string()];
    assert_eq!((&of_child["txid"], of_child.get("error")), (&json!(child.compute_txid()), None));
    let spender = served.call("gettxspendingprevout", json!([[{ "txid": coin, "vout": 0 }]])).await;
    assert_eq!(spender[0]["spendingtxid"], json!(parent.compute_txid()));
    let ancestors = served.call("getmempoolancestors", json!([child.compute_txid()])).await;
    assert_eq!(ancestors, json!([parent.compute_txid()]));
}

/// A version 3 parent that pays nothing, and a child that pays for both.
pub(crate) fn pair(coin: bitcoin::Txid) -> [bitcoin::Transaction; 2] {
    let spend = |txid, value: u64| bitcoin::Transaction {
        version: bitcoin::transaction::Version(3),
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![bitcoin::TxIn {
            previous_output: bitcoin::OutPoint::new(txid, 0),
            script_sig: ScriptBuf::new(),
            sequence: bitcoin::Sequence::MAX,
            witness: bitcoin::Witness::from_slice(&[[0x51]]),
        }],
        output: vec![bitcoin::TxOut {
            value: bitcoin::Amount::from_sat(value),
            script_pubkey: anyone(),
        }],
    };
    let parent = spend(coin, 5_000_000_000);
    let child = spend(parent.compute_txid(), 4_999_990_000);
    [parent, child]
}

#[tokio::test]
async fn a_crowd_that_waits_for_a_block_does_not_keep_it_from_being_made() {
    let served = served(None).await;
    let crowd = (0..80).map(|_| served.call("waitforblockheight", json!([1])));
    let miner = async {
        // All of them wait by now.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let made = served.call("generatetodescriptor", json!([1, "raw(51)"]));
        let made = tokio::time::timeout(std::time::Duration::from_secs(20), made).await;
        made.expect("a block in time")
    };
    let (heard, made) = tokio::join!(futures_util::future::join_all(crowd), miner);
    assert!(heard.iter().all(|tip| tip["hash"] == made[0]));
}

#[tokio::test]
async fn rubbish_is_refused_with_words_and_the_server_lives() {
    let served = served(None).await;
    for (method, params) in [
        ("getblock", json!(["zz"])),
        ("getblock", json!(["00".repeat(32)])),
        ("getblockhash", json!([-1])),
        ("getblockhash", json!(["x"])),
        ("gettxout", json!(["00".repeat(32), -1])),
        ("generatetoaddress", json!([1, "nowhere"])),
        ("generatetoaddress", json!([-1, "nowhere"])),
        ("estimatesmartfee", json!([0])),
        ("sendrawtransaction", json!([7])),
        ("sendrawtransaction", json!(["00", 2])),
        ("submitpackage", json!([[]])),
        ("testmempoolaccept", json!([["zz"]])),
        ("submitblock", json!(["zz"])),
        ("createrawtransaction", json!([[{}], {}])),
        ("createrawtransaction", json!([[], { "data": 1 }])),
        ("decodescript", json!(["0"])),
        ("getblockcount", json!([1])),
        ("getblockcount", json!({ "x": 1 })),
        ("signrawtransactionwithkey", json!(["00", []])),
        ("finalizepsbt", json!(["cHNidP8="])),
        ("createwallet", json!(["../up"])),
        ("loadwallet", json!(["none"])),
        ("setmocktime", json!([-1])),
        ("waitforblockheight", json!([1, -1])),
        ("getblockfilter", json!(["00".repeat(32)])),
    ] {
        let (code, words) = served.refused(method, params.clone()).await;
        assert!(code < 0 && !words.is_empty(), "{method} {params}");
    }
    assert_eq!(served.call("getblockcount", json!([])).await, json!(0));
    assert!(served.call("help", json!([])).await.as_str().unwrap().contains("getblockcount"));
}
