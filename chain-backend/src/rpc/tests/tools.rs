//! What tools call: statistics, the coin set, indexes, and payments in one call.

use super::{Served, anyone, served};
use crate::sandbox::Sandbox;
use serde_json::{Value, json};

async fn rich() -> (Served, String) {
    let served = served(None).await;
    served.call("createwallet", json!(["main"])).await;
    let address = served.call("getnewaddress", json!([])).await.as_str().unwrap().to_owned();
    served.call("generatetoaddress", json!([101, address])).await;
    (served, address)
}

#[tokio::test]
async fn a_blocks_figures_add_up() {
    let (served, address) = rich().await;
    for amount in [1.0, 2.0] {
        served
            .call("sendtoaddress", json!({ "address": address, "amount": amount, "fee_rate": 7 }))
            .await;
    }
    served.call("generatetoaddress", json!([1, address])).await;
    let stats = served.call("getblockstats", json!([102])).await;
    let whole = served.call("getblock", json!([stats["blockhash"], 2])).await;
    let txs = &whole["tx"].as_array().unwrap()[1..];
    let sum = |of: &dyn Fn(&Value) -> f64| txs.iter().map(of).sum::<f64>();
    let fees = sum(&|tx| tx["fee"].as_f64().unwrap() * 1e8).round();
    assert_eq!(stats["totalfee"].as_f64().unwrap(), fees);
    assert_eq!(stats["total_size"].as_f64().unwrap(), sum(&|tx| tx["size"].as_f64().unwrap()));
    assert_eq!(stats["total_weight"].as_f64().unwrap(), sum(&|tx| tx["weight"].as_f64().unwrap()));
    assert_eq!(
        stats["ins"].as_f64().unwrap(),
        sum(&|tx| tx["vin"].as_array().unwrap().len() as f64)
    );
    assert_eq!(
        (&stats["txs"], &stats["swtxs"], &stats["height"]),
        (&json!(3), &json!(2), &json!(102))
    );
    assert_eq!(stats["subsidy"], json!(5_000_000_000_u64));
    assert_eq!(
        (&stats["avgfeerate"], &stats["feerate_percentiles"]),
        (&json!(7), &json!([7, 7, 7, 7, 7]))
    );
    assert_eq!(
        stats["utxo_increase_actual"],
        json!(stats["outs"].as_i64().unwrap() - 1 - stats["ins"].as_i64().unwrap())
    );
    let some = served.call("getblockstats", json!([stats["blockhash"], ["txs", "minfee"]])).await;
    assert_eq!(some, json!({ "txs": stats["txs"], "minfee": stats["minfee"] }));
    for (params, code, words) in [
        (json!([103]), -8, "Target block height 103 after current tip 102"),
        (json!([-1]), -8, "Target block height -1 is negative"),
        (json!([1, ["nonsense"]]), -8, "Invalid selected statistic 'nonsense'"),
        (json!(["00".repeat(32)]), -5, "Block not found"),
    ] {
        assert_eq!(served.refused("getblockstats", params).await, (code, words.to_owned()));
    }
}

#[tokio::test]
async fn the_coin_set_is_searched_by_address_script_and_descriptor() {
    let (served, address) = rich().await;
    let found = served.call("scantxoutset", json!(["start", [format!("addr({address})")]])).await;
    assert_eq!(
        (&found["success"], &found["txouts"], &found["height"]),
        (&json!(true), &json!(101), &json!(101))
    );
    assert_eq!(found["unspents"].as_array().unwrap().len(), 101);
    assert_eq!(found["total_amount"], json!(5050.0));
    let one = &found["unspents"][0];
    assert!(one["coinbase"].as_bool().unwrap() && one["desc"].as_str().unwrap().contains('#'));
    let height = one["height"].as_u64().unwrap();
    assert_eq!(one["confirmations"].as_u64().unwrap(), 102 - height);
    let hash = served.call("getblockhash", json!([height])).await;
    assert_eq!(one["blockhash"], hash);
    // The tenth of twenty keys.
    let xpub = "tpubD6NzVbkrYhZ4XHndKkuB8FifXm8r5FQHwrN6oZuWCz13qb93rtgKvD4PQsqC4HP4yhV3tA2fqr2RbY5mNXfM7RxXUoeABoDtsFUq2zJq6YK";
    let ranged = format!("wpkh({xpub}/*)");
    let derived: bdk_wallet::miniscript::Descriptor<bdk_wallet::miniscript::DescriptorPublicKey> =
        ranged.parse().unwrap();
    let script = derived.at_derivation_index(10).unwrap().script_pubkey();
    served.chain.mine(1, script.clone()).await.unwrap();
    let scan = |range: Value| {
        served.call("scantxoutset", json!(["start", [{ "desc": ranged, "range": range }]]))
    };
    let wide = scan(json!(20)).await;
    assert_eq!(wide["unspents"][0]["scriptPubKey"], json!(script.to_hex_string()));
    assert_eq!(scan(json!([0, 9])).await["unspents"], json!([]));
    assert_eq!(served.call("scantxoutset", json!(["status"])).await, Value::Null);
    assert_eq!(served.call("scantxoutset", json!(["abort"])).await, json!(false));
    for (params, code) in [
        (json!(["start"]), -1),
        (json!(["begin"]), -8),
        (json!(["start", ["nonsense"]]), -5),
        (json!(["start", [7]]), -3),
        (json!(["start", [{ "range": 1 }]]), -8),
        (json!(["start", [{ "desc": ranged, "range": [5, 1] }]]), -8),
        (json!(["start", [{ "desc": ranged, "range": 4_000_000_000_u32 }]]), -8),
    ] {
        assert_eq!(served.refused("scantxoutset", params.clone()).await.0, code, "{params}");
    }
}

#[tokio::test]
async fn the_coin_set_is_summed_up_and_its_hash_is_the_sets() {
    let one = served(None).await;
    one.chain.mine(3, anyone()).await.unwrap();
    let before = one.call("gettxoutsetinfo", json!([])).await;
    assert_eq!((&before["txouts"], &before["transactions"]), (&json!(3), &json!(3)));
    assert_eq!(
        (&before["bogosize"], &before["total_amount"]),
        (&json!(3 * (50 + 34)), &json!(150.0))
    );
    let hash = before["hash_serialized_3"].as_str().unwrap().to_owned();
    one.chain.mine(1, anyone()).await.unwrap();
    assert_ne!(one.call("gettxoutsetinfo", json!([])).await["hash_serialized_3"], json!(hash));
    let best = one.call("getbestblockhash", json!([])).await;
    one.call("invalidateblock", json!([best])).await;
    assert_eq!(one.call("gettxoutsetinfo", json!([])).await, before);
    assert!(one.call("gettxoutsetinfo", json!(["none"])).await.get("hash_serialized_3").is_none());
    let refused = one.refused("gettxoutsetinfo", json!(["rubbish"])).await;
    assert_eq!(refused, (-8, "'rubbish' is not a valid hash_type".to_owned()));
    assert_eq!(one.refused("gettxoutsetinfo", json!(["none", 1])).await.0, -8);
}

#[tokio::test]
async fn indexes_and_addresses_are_told_as_they_are() {
    let served = served(None).await;
    served.chain.mine(2, anyone()).await.unwrap();
    let all = served.call("getindexinfo", json!([])).await;
    assert_eq!(all["txindex"], json!({ "synced": true, "best_block_height": 2 }));
    let one = served.call("getindexinfo", json!(["txindex"])).await;
    assert_eq!(one.as_object().unwrap().len(), 1);
    assert_eq!(served.call("getindexinfo", json!(["none"])).await, json!({}));
    assert_eq!(served.call("getnodeaddresses", json!([0])).await, json!([]));
    let refused = served.refused("getnodeaddresses", json!([-1])).await;
    assert_eq!(refused, (-8, "Address count out of range".to_owned()));
    let waited = served.call("waitfornewblock", json!([1])).await;
    assert_eq!(waited["height"], json!(2), "the time was up");
}

#[tokio::test]
async fn a_payment_is_sent_kept_back_or_left_to_others() {
    let (served, address) = rich().await;
    let outputs = json!([{ address.clone(): 1.25 }]);
    let sent = served.call("send", json!({ "outputs": outputs, "fee_rate": 3 })).await;
    assert_eq!(sent["complete"], json!(true));
    assert_eq!(served.call("getrawmempool", json!([])).await, json!([sent["txid"]]));
    served.call("generatetoaddress", json!([1, address])).await;
    let kept = json!({ "add_to_wallet": false });
    let kept = served.call("send", json!([outputs, null, "unset", null, kept])).await;
    assert!(kept["hex"].is_string() && kept["psbt"].is_string());
    assert_eq!(served.call("getrawmempool", json!([])).await, json!([]));
    let coin = served.call("listunspent", json!([])).await[0].clone();
    let options =
        json!({ "psbt": true, "inputs": [{ "txid": coin["txid"], "vout": coin["vout"] }] });
    let psbt =
        served.call("send", json!([{ address.clone(): 0.1 }, null, "unset", 2, options])).await;
    let processed = served.call("walletprocesspsbt", json!([psbt["psbt"]])).await;
    assert_eq!(processed["complete"], json!(true));
    let decoded = served.call("decoderawtransaction", json!([processed["hex"]])).await;
    assert_eq!(decoded["vin"][0]["txid"], coin["txid"]);
    let refused = served.refused("send", json!([{ address: 100_000 }])).await;
    assert_eq!(refused, (-6, "Insufficient funds".to_owned()));
}
