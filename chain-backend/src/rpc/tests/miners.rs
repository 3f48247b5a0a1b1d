//! What miners and test suites call: favours, preferred blocks, headers, templates, and a signet.

use super::{START, anyone, pair, served, served_over};
use crate::RemoteChain;
use crate::backend::{BackendError, ChainBackend};
use crate::builtin::{BuiltinChain, Options, Rules, Signet};
use crate::sandbox::Sandbox;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{CompactTarget, Network, PrivateKey, ScriptBuf};
use serde_json::{Value, json};

#[tokio::test]
async fn of_two_blocks_of_one_height_the_preferred_one_is_the_tip() {
    let served = served(None).await;
    served.chain.mine(2, anyone()).await.unwrap();
    let first = served.call("generateblock", json!(["raw(51)", [], false])).await;
    let second = served.call("generateblock", json!(["raw(52)", [], false])).await;
    for block in [&first, &second] {
        served.call("submitblock", json!([block["hex"]])).await;
    }
    let best = || served.call("getbestblockhash", json!([]));
    assert_eq!(best().await, first["hash"], "the first seen");
    for block in [&second, &first, &second] {
        assert_eq!(served.call("preciousblock", json!([block["hash"]])).await, Value::Null);
        assert_eq!(best().await, block["hash"]);
    }
    served.call("generatetodescriptor", json!([1, "raw(51)"])).await;
    let best_now = best().await;
    served.call("preciousblock", json!([first["hash"]])).await;
    assert_eq!(best().await, best_now, "more work is more work");
    let unknown = served.refused("preciousblock", json!(["00".repeat(32)])).await;
    assert_eq!(unknown, (-5, "Block not found".to_owned()));
}

#[tokio::test]
async fn a_favoured_transaction_is_mined_as_if_it_paid() {
    let served = served(None).await;
    served.chain.mine(110, anyone()).await.unwrap();
    let hash = served.chain.header_at(1).await.unwrap().hash;
    let coin = served.chain.block(hash).await.unwrap().txdata[0].compute_txid();
    let [parent, _] = pair(coin);
    let txid = parent.compute_txid();
    let hex = serialize_hex(&parent);
    assert_eq!(served.refused("sendrawtransaction", json!([hex])).await.0, -26);
    assert_eq!(served.call("prioritisetransaction", json!([txid, null, 4_000])).await, json!(true));
    served.call("prioritisetransaction", json!([txid, 0, 1_000])).await;
    let favours = served.call("getprioritisedtransactions", json!([])).await;
    let expected = json!({ "fee_delta": 5_000, "in_mempool": false });
    assert_eq!(favours[txid.to_string()], expected);
    served.call("sendrawtransaction", json!([hex])).await;
    let entry = served.call("getmempoolentry", json!([txid])).await;
    assert_eq!(
        (&entry["fees"]["base"], &entry["fees"]["modified"]),
        (&json!(0.0), &json!(0.00005))
    );
    let template = served.call("getblocktemplate", json!([{ "rules": ["segwit"] }])).await;
    assert_eq!(
        (&template["transactions"][0]["txid"], &template["transactions"][0]["fee"]),
        (&json!(txid), &json!(0))
    );
    let mined = served.call("generatetodescriptor", json!([1, "raw(51)"])).await;
    let block = served.call("getblock", json!([mined[0]])).await;
    assert_eq!(block["tx"][1], json!(txid), "and its miner takes only what was paid");
    assert_eq!(served.call("getprioritisedtransactions", json!([])).await, json!({}));
    let (code, words) = served.refused("prioritisetransaction", json!([txid, 1, 1])).await;
    assert!(code == -8 && words.starts_with("Priority is no longer supported"));
}

#[tokio::test]
async fn a_header_alone_is_checked() {
    let served = served(None).await;
    served.chain.mine(1, anyone()).await.unwrap();
    let made = served.call("generateblock", json!(["raw(51)", [], false])).await;
    let header = made["hex"].as_str().unwrap()[..160].to_owned();
    assert_eq!(served.call("submitheader", json!([header])).await, Value::Null);
    let (code, words) = served
        .refused("submitheader", json!([header.replace(&header[8..24], "1111111111111111")]))
        .await;
    assert!(code == -25 && words.starts_with("Must submit previous header ("), "{words}");
    let bad_bits = format!("{}{}{}", &header[..144], "ffff001d", &header[152..]);
    assert_eq!(
        served.refused("submitheader", json!([bad_bits])).await,
        (-25, "high-hash".to_owned())
    );
    assert_eq!(
        served.refused("submitheader", json!(["00"])).await,
        (-22, "Block header decode failed".to_owned())
    );
}

#[tokio::test]
async fn a_template_says_all_that_a_miner_puts_into_its_block() {
    let served = served(None).await;
    served.chain.mine(110, anyone()).await.unwrap();
    let (code, words) = served.refused("getblocktemplate", json!([])).await;
    assert!(
        code == -8 && words.starts_with("getblocktemplate must be called with the segwit rule set")
    );
    let hash = served.chain.header_at(1).await.unwrap().hash;
    let coin = served.chain.block(hash).await.unwrap().txdata[0].compute_txid();
    let both = pair(coin).map(|tx| serialize_hex(&tx));
    served.call("submitpackage", json!([both])).await;
    let template = served.call("getblocktemplate", json!([{ "rules": ["segwit"] }])).await;
    let txs = template["transactions"].as_array().unwrap();
    assert_eq!((&txs[0]["depends"], &txs[1]["depends"]), (&json!([]), &json!([1])));
    assert_eq!((&txs[0]["fee"], &txs[1]["fee"]), (&json!(0), &json!(10_000)));
    let hex = served.call("generateblock", json!(["raw(51)", both, false])).await["hex"].clone();
    let commitment = template["default_witness_commitment"].as_str().unwrap();
    assert!(hex.as_str().unwrap().contains(commitment));
}

async fn signet(key: bool) -> super::Served {
    let signer = PrivateKey::from_slice(&[3; 32], Network::Signet).unwrap();
    let challenge = ScriptBuf::new_p2pk(&signer.public_key(secp256k1::SECP256K1));
    let signet = Signet::new(challenge, key.then_some(signer)).unwrap();
    let rules = Rules::Signet(signet.easier(CompactTarget::from_consensus(0x2000_ffff)));
    let options = Options { rules, ..Options::memory(|| START) };
    served_over(BuiltinChain::open(&options).unwrap(), None).await
}

#[tokio::test]
async fn a_signet_grows_by_its_keys_holder_alone() {
    let (ours, theirs) = (signet(true).await, signet(false).await);
    ours.call("createwallet", json!(["main"])).await;
    let address = ours.call("getnewaddress", json!([])).await;
    assert!(address.as_str().unwrap().starts_with("tb1q"));
    let made = ours.call("generatetoaddress", json!([2, address])).await;
    for hash in made.as_array().unwrap() {
        let hex = ours.call("getblock", json!([hash, 0])).await;
        assert_eq!(theirs.call("submitblock", json!([hex])).await, Value::Null);
    }
    let (code, words) = theirs.refused("generatetoaddress", json!([1, address])).await;
    assert!(code < 0 && words.contains("key of this signet"), "{words}");
    // One who finds the work but has no signature.
    let last = ours.call("generateblock", json!([address, [], false])).await;
    let mut block: bitcoin::Block =
        bitcoin::consensus::encode::deserialize_hex(last["hex"].as_str().unwrap()).unwrap();
    block.txdata[0].output[0].value = bitcoin::Amount::from_sat(1);
    block.header.merkle_root = block.compute_merkle_root().unwrap();
    while block.header.validate_pow(block.header.target()).is_err() {
        block.header.nonce += 1;
    }
    let refused = theirs.call("submitblock", json!([serialize_hex(&block)])).await;
    assert_eq!(refused, json!("bad-signet-blksig"));
    let info = theirs.call("getblockchaininfo", json!([])).await;
    assert_eq!((&info["chain"], &info["blocks"]), (&json!("signet"), &json!(2)));
    let mining = theirs.call("getmininginfo", json!([])).await;
    assert_eq!(mining["signet_challenge"], info["signet_challenge"]);
    assert_eq!(mining["next"]["height"], json!(3));
    let genesis = theirs.call("getblockhash", json!([0])).await;
    assert_eq!(genesis, json!("00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6"));
    let needs = theirs.refused("getblocktemplate", json!([{ "rules": ["segwit"] }])).await;
    assert!(needs.1.contains("signet rule set"));
}

#[tokio::test]
async fn estimates_are_what_they_were_set_to_until_that_ends() {
    let served = served(None).await;
    let ask = |target: u16, mode: &str| served.call("estimatesmartfee", json!([target, mode]));
    let fees = json!({ "2": 0.0005, "6": "0.0002", "144": null });
    assert_eq!(served.call("setfeeestimates", json!([fees])).await, Value::Null);
    for mode in ["CONSERVATIVE", "economical", "unset"] {
        assert_eq!(ask(2, mode).await["feerate"], json!(0.0005));
        assert_eq!(ask(12, mode).await["feerate"], json!(0.0002));
        assert!(ask(144, mode).await["errors"].is_array());
    }
    served.call("setfeeestimates", json!([{}])).await;
    assert!(ask(2, "economical").await["errors"].is_array(), "nobody knows again");
    for bad in [json!([{ "0": 1 }]), json!([{ "x": 1 }]), json!([{ "2": "x" }]), json!([7])] {
        assert!(served.refused("setfeeestimates", bad).await.0 < 0);
    }
}

#[tokio::test]
async fn our_own_client_follows_a_signet_and_takes_it_for_no_other_network() {
    let signet = signet(true).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = crate::server::serve(signet.chain.clone(), listener, std::future::pending::<()>());
    tokio::spawn(server);
    let other = RemoteChain::connect(&url, Network::Regtest).await;
    assert_eq!(other.unwrap_err(), BackendError::WrongChain);
    let client = RemoteChain::connect(&url, Network::Signet).await.unwrap();
    let made = client.mine(2, anyone()).await.unwrap();
    assert_eq!(client.tip().await.unwrap().hash, made[1]);
    assert_eq!(client.network(), Network::Signet);
}
