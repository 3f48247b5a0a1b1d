//! The wallet against a chain made by hand: money in, money out, promises, reorganisations, restarts.

mod child;
mod coins;

use std::sync::Arc;

use bitcoin::absolute::LockTime;
use bitcoin::bip32::Xpriv;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version as TxVersion;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, Network, OutPoint, ScriptBuf, Sequence, Transaction,
    TxIn, TxMerkleNode, TxOut, Txid, Witness,
};
use chain_backend::backend::{BlockId, BlockRef, ChainEvent, MempoolDelta, RemovedBecause, Txs};
use proptest::prelude::*;
use secp256k1::Secp256k1;
use wire::id::ChannelId;
use wire::units::FeeratePerKw;

use super::record::Fact;
use super::*;
use crate::rpc::model::page::{Order, Page};
use crate::rpc::model::wallet::{Coins, SetAside};
use crate::rpc::refusal::BumpNo;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const RATE: FeeratePerKw = FeeratePerKw(1_000);

fn keys(seed: u8) -> WalletKeys {
    let master = Xpriv::new_master(Network::Regtest, &[seed; 64]).unwrap();
    WalletKeys::new(master, Network::Regtest, &Secp256k1::new()).unwrap()
}

/// A wallet with the journal that its facts went into, and the blocks it has seen.
struct Bench {
    wallet: Wallet,
    journal: Vec<Vec<u8>>,
    blocks: Vec<BlockRef>,
    salt: u32,
}

impl Bench {
    fn new() -> Self {
        let (wallet, fact) = Wallet::create(keys(1), NOW).unwrap();
        let genesis = bitcoin::constants::genesis_block(Network::Regtest);
        let genesis =
            BlockRef { height: 0, hash: genesis.block_hash(), header: genesis.header, mtp: 0 };
        Self { wallet, journal: vec![fact.into_bytes()], blocks: vec![genesis], salt: 0 }
    }

    fn keep(&mut self, fact: WalletFact) {
        self.journal.push(fact.into_bytes());
    }

    fn apply(&mut self, event: &ChainEvent) {
        let fact = self.wallet.apply(event, NOW).unwrap();
        self.keep(fact);
    }

    fn next_block(&mut self, txdata: Vec<Transaction>) -> ChainEvent {
        let tip = self.blocks.last().unwrap();
        self.salt += 1;
        let header = Header {
            version: Version::TWO,
            prev_blockhash: tip.hash,
            merkle_root: TxMerkleNode::all_zeros(),
            time: 1_600_000_000 + self.salt,
            bits: CompactTarget::from_consensus(0x207f_ffff),
            nonce: self.salt,
        };
        let block = BlockRef { height: tip.height + 1, hash: header.block_hash(), header, mtp: 0 };
        self.blocks.push(block);
        ChainEvent::Connected { block, txs: Txs::Full(Arc::new(Block { header, txdata })) }
    }

    fn mine(&mut self, txdata: Vec<Transaction>) {
        let event = self.next_block(txdata);
        self.apply(&event);
    }

    fn mine_empty(&mut self, count: u32) {
        for _ in 0..count {
            self.mine(Vec::new());
        }
    }

    fn reorg(&mut self, depth: usize) {
        let gone: Vec<BlockId> = self
            .blocks
            .split_off(self.blocks.len() - depth)
            .iter()
            .map(|block| block.id())
            .collect();
        let fork = *self.blocks.last().unwrap();
        self.apply(&ChainEvent::Disconnected { fork, gone });
    }

    fn address(&mut self, kind: AddressKind) -> Address {
        let (address, fact) = self.wallet.address(kind, NOW);
        self.keep(fact);
        address
    }

    /// Somebody pays us, in the mempool.
    fn incoming(&mut self, sat: u64) -> Transaction {
        let address = self.address(AddressKind::Taproot);
        self.salt += 1;
        let from = OutPoint::new(Txid::from_byte_array([7; 32]), self.salt);
        paying(from, address.script_pubkey(), sat)
    }

    fn receive(&mut self, sat: u64) -> Transaction {
        let tx = self.incoming(sat);
        self.mine(vec![tx.clone()]);
        tx
    }

    fn promise(&mut self, name: u8, spend: &Spend) -> Result<FundedTx, WalletRefusal> {
        let purpose = SetAside::Channel(ChannelId([name; 32]));
        let (funded, fact) = self.wallet.promise(PromiseId([name; 32]), purpose, spend, NOW)?;
        self.keep(fact);
        Ok(funded)
    }

    fn broadcast(&mut self, name: u8) {
        let label = Label { text: "funding".into(), channel: Some(ChannelId([name; 32])) };
        let fact = self.wallet.broadcast(PromiseId([name; 32]), label, NOW);
        self.keep(fact);
    }

    /// What a restart from the whole journal gives.
    fn restarted(&self) -> Wallet {
        let mut replay = Replay::default();
        for fact in &self.journal {
            replay.apply(fact).unwrap();
        }
        replay.finish(keys(1)).unwrap()
    }

    /// The wallet, the one from the journal and the one from a snapshot show the same.
    fn check_restart(&self) {
        let mut replay = Replay::default();
        replay.apply(&self.wallet.snapshot()).unwrap();
        let from_snapshot = replay.finish(keys(1)).unwrap();
        for other in [self.restarted(), from_snapshot] {
            assert_eq!(view(&other), view(&self.wallet));
            let promises: Vec<_> = other.promises().cloned().collect();
            assert_eq!(promises, self.wallet.promises().cloned().collect::<Vec<_>>());
        }
    }
}

type View = (
    crate::rpc::model::wallet::WalletBalance,
    Vec<crate::rpc::model::wallet::Utxo>,
    Vec<crate::rpc::model::wallet::WalletTransaction>,
    (u32, BlockHash),
    Vec<Transaction>,
);

fn view(wallet: &Wallet) -> View {
    let page = Page { size: 1_000, after: None, order: Order::OldestFirst };
    let listed = wallet.transactions(page).entries;
    (wallet.balance(2), wallet.utxos(), listed, wallet.tip(), wallet.pending())
}

fn paying(from: OutPoint, script_pubkey: ScriptBuf, sat: u64) -> Transaction {
    Transaction {
        version: TxVersion::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: from,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut { value: Amount::from_sat(sat), script_pubkey }],
    }
}

fn stranger() -> ScriptBuf {
    ScriptBuf::new_p2wsh(&bitcoin::WScriptHash::from_byte_array([9; 32]))
}

fn spend(sat: u64) -> Spend {
    Spend {
        to: stranger(),
        coins: Coins::Exactly(Amount::from_sat(sat)),
        feerate: RATE,
        anchor_channels: 0,
    }
}

/// The consensus rules accept every signature, taproot included.
fn verify(tx: &Transaction, coins: &[Transaction]) {
    let spent: Vec<&TxOut> = tx
        .input
        .iter()
        .map(|input| {
            let of = input.previous_output;
            let from = coins.iter().find(|coin| coin.compute_txid() == of.txid).unwrap();
            &from.output[of.vout as usize]
        })
        .collect();
    let utxos: Vec<bitcoinconsensus::Utxo> = spent
        .iter()
        .map(|out| bitcoinconsensus::Utxo {
            script_pubkey: out.script_pubkey.as_bytes().as_ptr(),
            script_pubkey_len: out.script_pubkey.len() as u32,
            value: out.value.to_sat() as i64,
        })
        .collect();
    let bytes = bitcoin::consensus::serialize(tx);
    for (index, out) in spent.iter().enumerate() {
        let (script, value) = (out.script_pubkey.as_bytes(), out.value.to_sat());
        let flags = bitcoinconsensus::VERIFY_ALL_PRE_TAPROOT | bitcoinconsensus::VERIFY_TAPROOT;
        bitcoinconsensus::verify_with_flags(script, value, &bytes, Some(&utxos), index, flags)
            .unwrap();
    }
}

#[test]
fn accounts_are_those_of_bip_84_and_bip_86() {
    // The words and addresses are the test vectors of both BIPs.
    let words = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
    let seed = bip39::Mnemonic::parse(words).unwrap().to_seed("");
    let master = Xpriv::new_master(Network::Bitcoin, &seed).unwrap();
    let keys = WalletKeys::new(master, Network::Bitcoin, &Secp256k1::new()).unwrap();
    let (mut wallet, _fact) = Wallet::create(keys, NOW).unwrap();
    let (taproot, _fact) = wallet.address(AddressKind::Taproot, NOW);
    let (witness, _fact) = wallet.address(AddressKind::WitnessKey, NOW);
    assert_eq!(
        taproot.to_string(),
        "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr"
    );
    assert_eq!(witness.to_string(), "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu");
}

#[test]
fn every_address_is_another_one_also_after_a_restart() {
    let mut bench = Bench::new();
    let first = bench.address(AddressKind::Taproot);
    let second = bench.address(AddressKind::Taproot);
    let third = bench.restarted().address(AddressKind::Taproot, NOW).0;
    assert!(first != second && second != third && first != third);
}

#[test]
fn incoming_coins_count_as_unconfirmed_and_cannot_be_spent_until_a_block_has_them() {
    let mut bench = Bench::new();
    let tx = bench.incoming(50_000);
    bench.apply(&ChainEvent::Mempool(MempoolDelta::Added {
        tx: Arc::new(tx.clone()),
        fee: Amount::ZERO,
    }));
    let balance = bench.wallet.balance(0);
    assert_eq!(balance.unconfirmed.to_sat(), 50_000);
    assert_eq!(balance.spendable, Amount::ZERO);
    let refused = bench.promise(1, &spend(10_000)).unwrap_err();
    let WalletRefusal::Short(shortage) = refused else { panic!("{refused}") };
    assert_eq!(shortage.unconfirmed.to_sat(), 50_000);

    bench.mine(vec![tx]);
    let balance = bench.wallet.balance(0);
    assert_eq!((balance.confirmed.to_sat(), balance.unconfirmed.to_sat()), (50_000, 0));
    assert_eq!(balance.spendable.to_sat(), 50_000);
    bench.check_restart();
}

#[test]
fn block_rewards_are_immature_for_a_hundred_blocks() {
    let mut bench = Bench::new();
    let script = bench.address(AddressKind::Taproot).script_pubkey();
    bench.mine(vec![paying(OutPoint::null(), script, 5_000_000_000)]);
    bench.mine_empty(98);
    assert_eq!(bench.wallet.balance(0).immature.to_sat(), 5_000_000_000);
    assert!(bench.wallet.utxos()[0].immature);
    bench.mine_empty(1);
    assert_eq!(bench.wallet.balance(0).spendable.to_sat(), 5_000_000_000);
    let funded = bench.promise(1, &spend(1_000_000)).unwrap();
    assert_eq!(funded.amount.to_sat(), 1_000_000);
}

#[test]
fn funding_is_signed_validly_and_balances_to_the_satoshi() {
    let mut bench = Bench::new();
    let coins = [bench.receive(60_000), bench.receive(80_000)];
    let funded = bench.promise(1, &spend(100_000)).unwrap();
    verify(&funded.tx, &coins);
    let out = &funded.tx.output[funded.output_index as usize];
    assert_eq!((out.value.to_sat(), &out.script_pubkey), (100_000, &stranger()));
    let outputs: u64 = funded.tx.output.iter().map(|out| out.value.to_sat()).sum();
    assert_eq!(140_000, outputs + funded.fee.to_sat());
    let wanted = RATE.fee_ceil(funded.tx.weight().to_wu());
    assert!(funded.fee >= wanted && funded.fee.to_sat() <= wanted.to_sat() + 20, "{}", funded.fee);
    // Segwit alone: the txid is fixed before anybody signs.
    assert!(funded.tx.input.iter().all(|input| input.script_sig.is_empty()));
}

#[test]
fn promised_coins_are_not_spent_twice_and_come_back_when_released() {
    let mut bench = Bench::new();
    bench.receive(100_000);
    let first = bench.promise(1, &spend(50_000)).unwrap();
    let balance = bench.wallet.balance(0);
    assert_eq!((balance.promised.to_sat(), balance.spendable.to_sat()), (100_000, 0));
    assert_eq!(bench.wallet.utxos()[0].set_aside, Some(SetAside::Channel(ChannelId([1; 32]))));
    let WalletRefusal::Short(shortage) = bench.promise(2, &spend(10_000)).unwrap_err() else {
        panic!("must be short")
    };
    assert_eq!(shortage.promised.to_sat(), 100_000);
    assert_eq!(bench.promise(1, &spend(10_000)).unwrap_err(), WalletRefusal::PromiseExists);

    // The promise outlives a restart.
    let mut again = bench.restarted();
    let purpose = SetAside::Send;
    assert!(again.promise(PromiseId([3; 32]), purpose, &spend(10_000), NOW).is_err());
    bench.check_restart();

    let fact = bench.wallet.release(PromiseId([1; 32]), NOW);
    bench.keep(fact);
    let second = bench.promise(2, &spend(10_000)).unwrap();
    assert_eq!(second.tx.input[0].previous_output, first.tx.input[0].previous_output);
    bench.check_restart();
}

#[test]
fn change_of_a_promise_is_spendable_once_broadcast_and_no_address_serves_twice() {
    let mut bench = Bench::new();
    let coin = bench.receive(100_000);
    let first = bench.promise(1, &spend(30_000)).unwrap();
    bench.broadcast(1);
    let balance = bench.wallet.balance(0);
    let change = 100_000 - 30_000 - first.fee.to_sat();
    assert_eq!((balance.unconfirmed.to_sat(), balance.spendable.to_sat()), (change, change));
    assert_eq!(bench.wallet.pending().as_slice(), std::slice::from_ref(&first.tx));

    let second = bench.promise(2, &spend(20_000)).unwrap();
    verify(&second.tx, &[coin, first.tx.clone()]);
    let scripts = |funded: &FundedTx| -> Vec<ScriptBuf> {
        let outs = funded.tx.output.iter().map(|out| out.script_pubkey.clone());
        outs.filter(|script| *script != stranger()).collect()
    };
    assert_ne!(scripts(&first), scripts(&second));
    let (destination, _fact) = bench.wallet.destination(NOW);
    assert!(!scripts(&second).contains(&destination));
    assert!(destination.is_p2wpkh());
    bench.check_restart();
}

#[test]
fn our_own_transaction_is_never_forgotten_when_the_mempool_drops_it() {
    let mut bench = Bench::new();
    bench.receive(100_000);
    let funded = bench.promise(1, &spend(30_000)).unwrap();
    bench.broadcast(1);
    let txid = funded.tx.compute_txid();
    bench.apply(&ChainEvent::Mempool(MempoolDelta::Removed {
        txid,
        because: RemovedBecause::Evicted,
    }));
    bench.apply(&ChainEvent::Mempool(MempoolDelta::Snapshot(Vec::new())));
    assert_eq!(bench.wallet.pending().as_slice(), std::slice::from_ref(&funded.tx));
    // Its coin is not spent again: only its change is there.
    let next = bench.promise(2, &spend(30_000)).unwrap();
    assert_eq!(next.tx.input[0].previous_output.txid, txid);
    bench.check_restart();

    bench.mine(vec![funded.tx]);
    assert_eq!(bench.wallet.pending(), []);
}

#[test]
fn a_strangers_transaction_that_left_the_mempool_is_forgotten() {
    let mut bench = Bench::new();
    let tx = Arc::new(bench.incoming(50_000));
    bench.apply(&ChainEvent::Mempool(MempoolDelta::Snapshot(vec![tx])));
    assert_eq!(bench.wallet.balance(0).unconfirmed.to_sat(), 50_000);
    bench.apply(&ChainEvent::Mempool(MempoolDelta::Snapshot(Vec::new())));
    assert_eq!(bench.wallet.balance(0), Default::default());
    bench.check_restart();
}

#[test]
fn the_anchor_reserve_is_kept_and_the_refusal_says_every_number() {
    let mut bench = Bench::new();
    bench.receive(100_000);
    let asked = Spend { anchor_channels: 3, ..spend(75_000) };
    let WalletRefusal::Short(short) = bench.promise(1, &asked).unwrap_err() else {
        panic!("must be short")
    };
    assert_eq!(short.reserved_for_anchors.to_sat(), 30_000);
    assert_eq!(short.spendable.to_sat(), 70_000);
    let fee = short.need.to_sat() - 75_000;
    assert_eq!(short.missing().to_sat(), 5_000 + fee);
    let said = Refusal::from(WalletRefusal::Short(short)).to_string();
    assert_eq!(
        said,
        format!(
            "need 5 {fee} sat more: 75 {fee} sat needed with the fee, 70 000 sat spendable, \
                 30 000 sat reserved for anchor channels"
        )
    );
    // Paying exactly what is asked for more makes it possible.
    bench.receive(short.missing().to_sat() + 1_000);
    assert!(bench.promise(1, &asked).is_ok());
}

use crate::rpc::refusal::Refusal;

#[test]
fn the_reserve_grows_with_channels_up_to_a_cap() {
    let sat = [0, 1, 3, 10, 11, u32::MAX].map(|channels| anchor_reserve(channels).to_sat());
    assert_eq!(sat, [0, 10_000, 30_000, 100_000, 100_000, 100_000]);
}

#[test]
fn sending_all_leaves_the_reserve_and_nothing_else() {
    let mut bench = Bench::new();
    let coins = [bench.receive(60_000), bench.receive(80_000)];
    let all = Spend { coins: Coins::All, ..spend(0) };
    let plan = bench.wallet.plan(&all).unwrap();
    assert_eq!(plan.amount.to_sat() + plan.fee.to_sat(), 140_000);
    assert_eq!(plan.tx.output.len(), 1);

    let kept = Spend { anchor_channels: 2, ..all };
    let funded = bench.promise(1, &kept).unwrap();
    verify(&funded.tx, &coins);
    assert_eq!(funded.amount.to_sat() + funded.fee.to_sat(), 120_000);
    bench.broadcast(1);
    assert_eq!(bench.wallet.balance(2).reserved_for_anchors.to_sat(), 20_000);
    assert_eq!(bench.wallet.balance(2).spendable, Amount::ZERO);
    assert_eq!(bench.wallet.balance(2).missing_for_anchors, Amount::ZERO);
    assert_eq!(bench.wallet.balance(5).missing_for_anchors.to_sat(), 30_000);
    bench.check_restart();
}

#[test]
fn sending_all_of_nothing_or_of_less_than_the_reserve_is_refused() {
    let mut bench = Bench::new();
    let all = Spend { coins: Coins::All, anchor_channels: 1, ..spend(0) };
    assert!(matches!(bench.promise(1, &all), Err(WalletRefusal::Short(_))));
    bench.receive(10_200);
    let WalletRefusal::Short(short) = bench.promise(1, &all).unwrap_err() else {
        panic!("must be short")
    };
    assert!(short.missing() > Amount::ZERO, "{short}");
    bench.check_restart();
}

#[test]
fn dust_and_absurd_feerates_are_refused_with_their_limits() {
    let mut bench = Bench::new();
    bench.receive(100_000);
    let dust = stranger().minimal_non_dust();
    assert_eq!(
        bench.promise(1, &spend(dust.to_sat() - 1)).unwrap_err(),
        WalletRefusal::BelowDust { amount: dust - Amount::ONE_SAT, dust }
    );
    assert!(bench.promise(1, &spend(dust.to_sat())).is_ok());
    for given in [FeeratePerKw(0), FeeratePerKw(252), FeeratePerKw(250_001)] {
        let asked = Spend { feerate: given, ..spend(10_000) };
        assert_eq!(
            bench.promise(2, &asked).unwrap_err(),
            WalletRefusal::FeerateOutOfRange { given }
        );
    }
}

#[test]
fn an_event_that_is_not_about_us_leaves_an_empty_fact() {
    let mut bench = Bench::new();
    let tx = Arc::new(paying(OutPoint::new(Txid::from_byte_array([7; 32]), 0), stranger(), 5_000));
    let added = ChainEvent::Mempool(MempoolDelta::Added { tx, fee: Amount::ZERO });
    assert!(bench.wallet.apply(&added, NOW).unwrap().is_empty());
    let ours = Arc::new(bench.incoming(5_000));
    let added = ChainEvent::Mempool(MempoolDelta::Added { tx: ours, fee: Amount::ZERO });
    assert!(!bench.wallet.apply(&added, NOW).unwrap().is_empty());
}

#[test]
fn a_plan_changes_nothing() {
    let mut bench = Bench::new();
    bench.receive(100_000);
    let before = view(&bench.wallet);
    let plan = bench.wallet.plan(&spend(30_000)).unwrap();
    assert_eq!(view(&bench.wallet), before);
    let funded = bench.promise(1, &spend(30_000)).unwrap();
    assert_eq!(plan.fee, funded.fee);
    assert_eq!(plan.tx.compute_txid(), funded.tx.compute_txid());
}

#[test]
fn a_reorganisation_takes_confirmations_back_and_the_new_branch_gives_them_again() {
    let mut bench = Bench::new();
    bench.mine_empty(3);
    let tx = bench.receive(70_000);
    bench.mine_empty(2);
    assert_eq!(bench.wallet.utxos()[0].confirmations, 3);
    bench.reorg(3);
    assert_eq!(bench.wallet.tip().0, 3);
    let balance = bench.wallet.balance(0);
    assert_eq!((balance.confirmed, balance.spendable), (Amount::ZERO, Amount::ZERO));
    bench.check_restart();
    bench.mine_empty(1);
    bench.mine(vec![tx]);
    bench.mine_empty(2);
    assert_eq!(bench.wallet.tip().0, 7);
    assert_eq!(bench.wallet.utxos()[0].confirmations, 3);
    assert_eq!(bench.wallet.balance(0).spendable.to_sat(), 70_000);
    bench.check_restart();
}

#[test]
fn our_spend_that_a_reorganisation_throws_back_stays_pending() {
    let mut bench = Bench::new();
    bench.receive(100_000);
    let funded = bench.promise(1, &spend(30_000)).unwrap();
    bench.broadcast(1);
    bench.mine(vec![funded.tx.clone()]);
    assert_eq!(bench.wallet.pending(), []);
    bench.reorg(1);
    bench.mine_empty(2);
    assert_eq!(bench.wallet.pending(), [funded.tx]);
    bench.check_restart();
}

#[test]
fn a_conflicting_spend_in_a_block_wins_over_ours() {
    let mut bench = Bench::new();
    let coin = bench.receive(100_000);
    bench.promise(1, &spend(30_000)).unwrap();
    bench.broadcast(1);
    let thief = paying(OutPoint::new(coin.compute_txid(), 0), stranger(), 99_000);
    bench.mine(vec![thief]);
    assert_eq!(bench.wallet.pending(), []);
    assert_eq!(bench.wallet.balance(0), Default::default());
    bench.check_restart();
}

#[test]
fn taking_an_event_twice_changes_nothing() {
    let mut bench = Bench::new();
    let tx = bench.incoming(50_000);
    let event = bench.next_block(vec![tx]);
    bench.apply(&event);
    let once = view(&bench.wallet);
    bench.apply(&event);
    assert_eq!(view(&bench.wallet), once);
    bench.mine_empty(2);
    let later = view(&bench.wallet);
    bench.apply(&event);
    assert_eq!(view(&bench.wallet), later);
}

#[test]
fn a_block_that_does_not_connect_is_a_fault() {
    let mut bench = Bench::new();
    bench.next_block(Vec::new());
    let second = bench.next_block(Vec::new());
    let fault = bench.wallet.apply(&second, NOW).unwrap_err();
    assert!(matches!(fault, WalletFault::DoesNotConnect { height: 2 }), "{fault}");
}

#[test]
fn a_wallet_can_be_born_at_a_later_block() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        bench.next_block(Vec::new());
    }
    let birth = *bench.blocks.last().unwrap();
    let (mut wallet, fact) = Wallet::create(keys(1), NOW).unwrap();
    let began = wallet.begin_at(birth, NOW).unwrap();
    bench.wallet = wallet;
    bench.journal = vec![fact.into_bytes(), began.into_bytes()];
    assert_eq!(bench.wallet.tip(), (5, birth.hash));
    bench.receive(40_000);
    assert_eq!(bench.wallet.balance(0).spendable.to_sat(), 40_000);
    bench.check_restart();
}

#[test]
fn another_seed_cannot_open_this_wallet() {
    let mut bench = Bench::new();
    bench.receive(1_000);
    let mut replay = Replay::default();
    for fact in &bench.journal {
        replay.apply(fact).unwrap();
    }
    assert!(matches!(replay.finish(keys(2)), Err(WalletFault::WrongSeed)));
}

#[test]
fn transactions_are_paged_in_the_order_they_came_with_labels_and_fees() {
    let mut bench = Bench::new();
    let ins = [bench.receive(50_000), bench.receive(60_000)];
    let funded = bench.promise(1, &spend(30_000)).unwrap();
    bench.broadcast(1);
    let page = Page { size: 2, after: None, order: Order::OldestFirst };
    let first = bench.wallet.transactions(page);
    let ids: Vec<Txid> = first.entries.iter().map(|tx| tx.txid).collect();
    assert_eq!(ids, ins.each_ref().map(Transaction::compute_txid));
    let rest = bench.wallet.transactions(Page { after: first.next, ..page });
    let [ours] = rest.entries.as_slice() else { panic!("one is left") };
    assert_eq!((ours.label.as_str(), ours.channel), ("funding", Some(ChannelId([1; 32]))));
    assert_eq!((ours.fee, ours.confirmations), (Some(funded.fee), 0));
    assert_eq!(ours.sent.to_sat() - ours.received.to_sat(), 30_000 + funded.fee.to_sat());
    assert_eq!(rest.next, None);
}

#[test]
fn a_snapshot_keeps_few_blocks_and_every_coin() {
    let mut bench = Bench::new();
    bench.receive(50_000);
    bench.mine_empty(600);
    let snapshot = Fact::decode(&bench.wallet.snapshot()).unwrap();
    let blocks = snapshot.changes.local_chain.blocks.len();
    assert!(blocks <= 292, "{blocks}");
    bench.check_restart();
}

#[test]
fn the_layout_of_version_one_is_frozen() {
    let fact = Fact {
        at: UnixMillis(5),
        owner: Some([1, 2, 3, 4]),
        book: vec![
            BookChange::Released(PromiseId([3; 32])),
            BookChange::Noted(
                Txid::from_byte_array([4; 32]),
                Label { text: "hi".into(), channel: None },
            ),
        ],
        ..Fact::default()
    };
    let hex = format!(
        "01{}02040102030414{}02{}{}",
        "0500000000000000",
        "47",
        "02".to_owned() + &"03".repeat(32),
        "03".to_owned() + &"04".repeat(32) + "02686900"
    );
    let bytes: Vec<u8> = bitcoin::hex::FromHex::from_hex(&hex).unwrap();
    assert_eq!(fact.encode(), bytes);
    assert_eq!(Fact::decode(&bytes).unwrap(), fact);
}

#[test]
fn newer_records_are_refused_by_name_and_odd_sections_skipped() {
    assert_eq!(Fact::decode(&[2]), Err(RecordError::Newer(2)));
    assert_eq!(Fact::decode(&[]), Err(RecordError::Damaged));
    let mut bytes = Fact::default().encode();
    bytes.extend_from_slice(&[99, 1, 0]);
    assert_eq!(Fact::decode(&bytes), Ok(Fact::default()));
    bytes.extend_from_slice(&[98, 1, 0]);
    assert_eq!(Fact::decode(&bytes), Err(RecordError::Section(98)));
}

#[test]
fn no_cut_record_decodes_and_none_panics() {
    let mut bench = Bench::new();
    bench.receive(100_000);
    bench.promise(1, &spend(30_000)).unwrap();
    let bytes = bench.wallet.snapshot();
    let whole = Fact::decode(&bytes).unwrap();
    assert_eq!(whole.encode(), bytes);
    for cut in 0..bytes.len() {
        if let Ok(part) = Fact::decode(&bytes[..cut]) {
            assert_ne!(part, whole);
        }
    }
}

/// What a random user and a random world do.
#[derive(Debug, Clone)]
enum Move {
    Receive(u64),
    Promise(u8, u64),
    Broadcast(u8),
    Release(u8),
    MinePending,
    Reorg(usize),
    Restart,
    Snapshot,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        (5_000_u64..200_000).prop_map(Move::Receive),
        (0_u8..4, 1_000_u64..150_000).prop_map(|(name, sat)| Move::Promise(name, sat)),
        (0_u8..4).prop_map(Move::Broadcast),
        (0_u8..4).prop_map(Move::Release),
        Just(Move::MinePending),
        (1_usize..3).prop_map(Move::Reorg),
        Just(Move::Restart),
        Just(Move::Snapshot),
    ];
    prop::collection::vec(one, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_coin_is_promised_twice_and_every_restart_is_the_same(moves in moves()) {
        let mut bench = Bench::new();
        for step in moves {
            match step {
                Move::Receive(sat) => drop(bench.receive(sat)),
                Move::Promise(name, sat) => drop(bench.promise(name, &spend(sat))),
                Move::Broadcast(name) => bench.broadcast(name),
                Move::Release(name) => {
                    let fact = bench.wallet.release(PromiseId([name; 32]), NOW);
                    bench.keep(fact);
                }
                Move::MinePending => {
                    let pending = bench.wallet.pending();
                    bench.mine(pending);
                }
                Move::Reorg(depth) if depth < bench.blocks.len() => bench.reorg(depth),
                Move::Reorg(_) => {}
                Move::Restart => bench.wallet = bench.restarted(),
                Move::Snapshot => bench.journal = vec![bench.wallet.snapshot()],
            }
            let mut taken: Vec<OutPoint> = bench
                .wallet
                .promises()
                .flat_map(|promise| promise.tx.input.iter().map(|input| input.previous_output))
                .collect();
            let count = taken.len();
            taken.sort();
            taken.dedup();
            prop_assert_eq!(taken.len(), count, "a coin is promised twice");
            for pending in bench.wallet.pending() {
                for input in &pending.input {
                    prop_assert!(!taken.contains(&input.previous_output), "promised and spent");
                }
            }
        }
        bench.check_restart();
    }
}
