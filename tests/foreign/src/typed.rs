//! The JSON-RPC through `bitcoincore-rpc`, which many programs stand on, and which has a type for each answer.

use std::fmt::Debug;

use bdk_bitcoind_rpc::bitcoincore_rpc::json::{
    AddressType, CreateRawTransactionInput, EstimateMode, GetTransactionResultDetailCategory,
};
use bdk_bitcoind_rpc::bitcoincore_rpc::{Auth, Client, RpcApi as _};
use bitcoin::{Address, Amount, Network, OutPoint, SignedAmount};

use crate::world::World;

/// What was asked, and what could not be read.
#[derive(Default)]
struct Asked {
    wrong: Vec<String>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.wrong.join("\n"));
        }
    }
}

impl Asked {
    fn ask<T, E: Debug>(&mut self, method: &str, answer: Result<T, E>) -> Option<T> {
        answer.map_err(|error| self.wrong.push(format!("{method}: {error:?}"))).ok()
    }

    fn done(&self) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}

const COIN: Amount = Amount::from_sat(5_000_000_000);

/// A wallet with one coin that can be spent, and an address of it.
fn with_wallet(world: &World) -> (Client, Address) {
    let (user, password) = World::login();
    let client = |at: String| {
        let login = Auth::UserPass(user.clone(), password.clone());
        Client::new(&at, login).expect("a client")
    };
    let made = client(world.url()).create_wallet("typed", None, None, None, None);
    assert_eq!(made.expect("a wallet").name, "typed");
    let client = client(format!("{}/wallet/typed", world.url()));
    let address = client.get_new_address(None, Some(AddressType::Bech32)).expect("an address");
    let address = address.require_network(Network::Regtest).expect("of this network");
    let made = client.generate_to_address(101, &address).expect("blocks");
    assert_eq!(made.len(), 101);
    (client, address)
}

#[test]
fn blocks_and_the_chain_are_read_by_type() {
    let world = World::start();
    let mut asked = Asked::default();
    let (client, _) = with_wallet(&world);
    let best = asked.ask("getbestblockhash", client.get_best_block_hash()).expect("a block");
    let version = asked.ask("version", client.version()).expect("it answers");
    assert!(version >= 300_000, "{version}");
    let info = asked.ask("getblockchaininfo", client.get_blockchain_info()).expect("it answers");
    assert_eq!((info.blocks, info.best_block_hash, info.chain), (101, best, Network::Regtest));
    assert_eq!(asked.ask("getblockcount", client.get_block_count()), Some(101));
    assert_eq!(asked.ask("getblockhash", client.get_block_hash(101)), Some(best));
    asked.ask("getdifficulty", client.get_difficulty());
    asked.ask("getnetworkinfo", client.get_network_info());
    asked.ask("getindexinfo", client.get_index_info());
    asked.ask("getmininginfo", client.get_mining_info());
    let block = asked.ask("getblock 0", client.get_block(&best)).expect("a block");
    assert_eq!(block.block_hash(), best);
    let info = asked.ask("getblock 1", client.get_block_info(&best)).expect("it answers");
    assert_eq!((info.height, info.tx), (101, vec![block.txdata[0].compute_txid()]));
    assert_eq!(
        asked.ask("getblockheader false", client.get_block_header(&best)),
        Some(block.header)
    );
    let header = asked.ask("getblockheader true", client.get_block_header_info(&best));
    assert_eq!(header.expect("it answers").previous_block_hash, Some(block.header.prev_blockhash));
    asked.ask("getblockfilter", client.get_block_filter(&best));
    let tips = asked.ask("getchaintips", client.get_chain_tips()).expect("it answers");
    assert_eq!(tips.iter().map(|tip| tip.hash).collect::<Vec<_>>(), [best]);
    let coins = asked.ask("gettxoutsetinfo", client.get_tx_out_set_info(None, None, None));
    assert_eq!(coins.expect("it answers").total_amount, COIN * 101);
    asked.ask("getpeerinfo", client.get_peer_info());
    asked.ask("getconnectioncount", client.get_connection_count());
    asked.ask("uptime", client.uptime());
    asked.ask("waitforblock", client.wait_for_block(&best, 1_000));
    asked.ask("invalidateblock", client.invalidate_block(&best));
    assert_eq!(world.height(), 100);
    asked.ask("reconsiderblock", client.reconsider_block(&best));
    assert_eq!(world.height(), 101);
    asked.done();
}

#[test]
fn a_wallet_the_mempool_and_transactions_are_read_by_type() {
    let world = World::start();
    let mut asked = Asked::default();
    let (client, address) = with_wallet(&world);
    asked.ask("getwalletinfo", client.get_wallet_info());
    asked.ask("listwallets", client.list_wallets());
    assert_eq!(asked.ask("getbalance", client.get_balance(None, None)), Some(COIN));
    let balances = asked.ask("getbalances", client.get_balances()).expect("it answers");
    assert_eq!(balances.mine.trusted, COIN);
    asked.ask("getaddressinfo", client.get_address_info(&address));
    let coins = asked.ask("listunspent", client.list_unspent(None, None, None, None, None));
    assert_eq!(coins.expect("it answers")[0].amount, COIN);

    let amount = Amount::from_sat(50_000);
    let sent = client.send_to_address(&address, amount, None, None, None, None, None, None);
    let sent = asked.ask("sendtoaddress", sent).expect("sent");
    let entry = asked.ask("getmempoolentry", client.get_mempool_entry(&sent)).expect("it waits");
    assert!(entry.fees.base > Amount::ZERO);
    asked.ask("getmempoolinfo", client.get_mempool_info());
    assert_eq!(asked.ask("getrawmempool", client.get_raw_mempool()), Some(vec![sent]));
    let verbose = asked.ask("getrawmempool true", client.get_raw_mempool_verbose());
    assert!(verbose.expect("it answers").contains_key(&sent));
    let tx = asked.ask("getrawtransaction 0", client.get_raw_transaction(&sent, None));
    let tx = tx.expect("a transaction");
    assert_eq!(tx.compute_txid(), sent);
    let info = asked.ask("getrawtransaction 1", client.get_raw_transaction_info(&sent, None));
    assert_eq!(info.expect("it answers").vin[0].txid, Some(tx.input[0].previous_output.txid));
    let tested = asked.ask("testmempoolaccept", client.test_mempool_accept(&[&tx]));
    assert!(!tested.expect("it answers")[0].allowed, "it waits already");
    let coin = asked.ask("gettxout", client.get_tx_out(&sent, 0, Some(true)));
    assert_eq!(coin.flatten().map(|coin| coin.confirmations), Some(0));

    asked.ask("generatetoaddress", client.generate_to_address(1, &address));
    let shown = asked.ask("gettransaction", client.get_transaction(&sent, None)).expect("shown");
    assert_eq!((shown.info.txid, shown.info.confirmations), (sent, 1));
    let amounts: Vec<SignedAmount> = shown.details.iter().map(|entry| entry.amount).collect();
    let paid = amount.to_signed().expect("little");
    assert_eq!(amounts, [-paid, paid]);
    let listed = asked.ask("listtransactions", client.list_transactions(None, None, None, None));
    let listed = listed.expect("it answers");
    let ours = listed.iter().filter(|entry| entry.info.txid == sent);
    let categories: Vec<_> = ours.map(|entry| entry.detail.category).collect();
    let (send, receive) =
        (GetTransactionResultDetailCategory::Send, GetTransactionResultDetailCategory::Receive);
    assert_eq!(categories, [receive, send]);

    let coin = shown.details[1].vout;
    let input = CreateRawTransactionInput { txid: sent, vout: coin, sequence: None };
    asked.ask("lockunspent", client.lock_unspent(&[OutPoint { txid: sent, vout: coin }]));
    asked.ask("lockunspent", client.unlock_unspent(&[OutPoint { txid: sent, vout: coin }]));
    let outputs = [(address.to_string(), Amount::from_sat(49_000))].into();
    let made = client.create_raw_transaction(&[input], &outputs, None, None);
    let made = asked.ask("createrawtransaction", made).expect("a transaction");
    let signed = client.sign_raw_transaction_with_wallet(&made, None, None);
    let signed = asked.ask("signrawtransactionwithwallet", signed).expect("it answers");
    assert!(signed.complete);
    let handed_in = client.send_raw_transaction(&signed.transaction().expect("a transaction"));
    assert_eq!(asked.ask("sendrawtransaction", handed_in), Some(made.compute_txid()));
    let estimate = client.estimate_smart_fee(6, Some(EstimateMode::Conservative));
    asked.ask("estimatesmartfee", estimate);
    asked.ask("unloadwallet", client.unload_wallet(Some("typed")));
    asked.done();
}
