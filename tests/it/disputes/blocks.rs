//! Blocks that parsers stricter than consensus choked on: our nodes follow them, and see what else is in them.

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version as BlockVersion};
use bitcoin::hashes::Hash as _;
use bitcoin::key::UntweakedPublicKey;
use bitcoin::opcodes::all::{OP_CHECKSIG, OP_CHECKSIGADD, OP_NUMEQUAL};
use bitcoin::script::Builder;
use bitcoin::sighash::{Prevouts, SighashCache, TapSighashType};
use bitcoin::taproot::{LeafVersion, TapLeafHash, TaprootBuilder, TaprootSpendInfo};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Witness,
};
use daemon::rpc::model::channel::ChannelPhase;
use secp256k1::{Keypair, Message, SECP256K1, SecretKey};
use viaduct_tests::layer1::{Layer1, nobody};

use crate::nodes::pair::{Pair, find, in_time, pay_some};

/// Keys of the multi-signature, one more than signatures.
const KEYS: u32 = 999;

/// `OP_SUCCESS187`: whatever follows is valid, and nobody runs it. BIP 342.
const OP_SUCCESS: u8 = 0xbb;

/// The long witness, bytes: with the others nearly all that a block may weigh.
const LONG: usize = 3_850_000;

fn keypair(number: u32) -> Keypair {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&(number + 1).to_be_bytes());
    Keypair::from_secret_key(SECP256K1, &SecretKey::from_slice(&bytes).expect("a key"))
}

/// A coin that only this script spends.
struct Vault {
    script: ScriptBuf,
    taproot: TaprootSpendInfo,
    coin: OutPoint,
    value: Amount,
}

impl Vault {
    /// Mines a coin into it.
    async fn mined(layer1: &Layer1, script: ScriptBuf) -> Self {
        let inside = UntweakedPublicKey::from(keypair(5_000).public_key());
        let tree = TaprootBuilder::new().add_leaf(0, script.clone()).expect("a leaf");
        let taproot = tree.finalize(SECP256K1, inside).expect("a tree");
        let address = ScriptBuf::new_p2tr_tweaked(taproot.output_key());
        let blocks = layer1.chain().mine(1, address).await.expect("a block");
        let block = layer1.chain().block(blocks[0]).await.expect("a block");
        let coinbase = &block.txdata[0];
        let coin = OutPoint { txid: coinbase.compute_txid(), vout: 0 };
        Self { script, taproot, coin, value: coinbase.output[0].value }
    }

    /// All of it to nobody, with these items before script and control block.
    fn spend(&self, items: impl FnOnce(&Transaction) -> Vec<Vec<u8>>) -> Transaction {
        let input = TxIn { previous_output: self.coin, sequence: Sequence::MAX, ..TxIn::default() };
        let mut tx = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![input],
            output: vec![TxOut { value: self.value, script_pubkey: nobody() }],
        };
        let mut witness = items(&tx);
        let leaf = (self.script.clone(), LeafVersion::TapScript);
        let control = self.taproot.control_block(&leaf).expect("in the tree").serialize();
        witness.extend([self.script.to_bytes(), control]);
        tx.input[0].witness = Witness::from_slice(&witness);
        tx
    }

    /// What a key signs of the spend.
    fn sighash(&self, tx: &Transaction) -> Message {
        let spent = [TxOut {
            value: self.value,
            script_pubkey: ScriptBuf::new_p2tr_tweaked(self.taproot.output_key()),
        }];
        let leaf = TapLeafHash::from_script(&self.script, LeafVersion::TapScript);
        let sighash = SighashCache::new(tx).taproot_script_spend_signature_hash(
            0,
            &Prevouts::All(&spent),
            leaf,
            TapSighashType::Default,
        );
        Message::from_digest(sighash.expect("a hash").to_byte_array())
    }
}

/// 998 of 999 signatures.
fn many_keys() -> ScriptBuf {
    let mut script = Builder::new();
    for number in 0..KEYS {
        let (key, _) = keypair(number).x_only_public_key();
        let check = if number == 0 { OP_CHECKSIG } else { OP_CHECKSIGADD };
        script = script.push_x_only_key(&key).push_opcode(check);
    }
    script.push_int(i64::from(KEYS) - 1).push_opcode(OP_NUMEQUAL).into_script()
}

/// A block with these transactions, by a miner who wants nothing.
async fn block_with(layer1: &Layer1, txs: Vec<Transaction>) -> Block {
    let tip = layer1.chain().tip().await.expect("a tip");
    let height = i64::from(tip.height) + 1;
    let reserved = [0_u8; 32];
    let coinbase = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: Builder::new().push_int(height).push_int(7_777).into_script(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[reserved]),
        }],
        output: vec![TxOut { value: Amount::ZERO, script_pubkey: nobody() }],
    };
    let header = Header {
        version: BlockVersion::from_consensus(0x2000_0000),
        prev_blockhash: tip.hash,
        merkle_root: TxMerkleNode::all_zeros(),
        time: tip.header.time + 1,
        bits: tip.header.bits,
        nonce: 0,
    };
    let mut txdata = vec![coinbase];
    txdata.extend(txs);
    let mut block = Block { header, txdata };
    let root = block.witness_root().expect("transactions");
    let commitment = Block::compute_witness_commitment(&root, &reserved);
    let mut script = vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
    script.extend(commitment.to_byte_array());
    let script_pubkey = ScriptBuf::from_bytes(script);
    block.txdata[0].output.push(TxOut { value: Amount::ZERO, script_pubkey });
    block.header.merkle_root = block.compute_merkle_root().expect("transactions");
    while !block.header.target().is_met_by(block.header.block_hash()) {
        block.header.nonce += 1;
    }
    block
}

/// btcd took such blocks for invalid, and every node behind it was blind while others closed channels: a
/// multi-signature of 999 keys (CVE-2022-39389), a witness longer than its parser allowed (CVE-2022-44797),
/// and an opcode that means success.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c60_a_close_in_a_block_that_strict_parsers_refuse_is_seen_by_all() {
    in_time(async {
        let (pair, id) = Pair::with_channel().await;
        pay_some(&pair.alice, &pair.bob, 400_000_000).await;
        let many = Vault::mined(&pair.layer1, many_keys()).await;
        let success = Vault::mined(&pair.layer1, ScriptBuf::from_bytes(vec![OP_SUCCESS])).await;
        let mut long = vec![OP_SUCCESS];
        long.resize(LONG, 0xff);
        let long = Vault::mined(&pair.layer1, ScriptBuf::from_bytes(long)).await;
        pair.mine(100).await;
        let signed = many.spend(|tx| {
            let message = many.sighash(tx);
            let sign = |number| SECP256K1.sign_schnorr_no_aux_rand(&message, &keypair(number));
            // The first key's is the last item, and one of them stays empty.
            let signature = |number: u32| match number {
                500 => Vec::new(),
                number => sign(number).serialize().to_vec(),
            };
            (0..KEYS).rev().map(signature).collect()
        });
        let strange = vec![signed, success.spend(|_| Vec::new()), long.spend(|_| Vec::new())];

        pair.agree(id).await;
        let funding = find(&pair.alice, id).await.funding.expect("funded");
        pair.alice.close(id, true).await;
        let commitment = pair.layer1.spend_seen(funding).await;
        let mut txs = vec![commitment.as_ref().clone()];
        txs.extend(strange);
        let block = block_with(&pair.layer1, txs).await;
        assert!(block.weight().to_wu() > 3_900_000, "{}", block.weight());
        let hash = block.block_hash();
        pair.layer1.chain().submit_block(block).await.expect("a valid block");
        assert_eq!(pair.layer1.chain().tip().await.expect("a tip").hash, hash);
        pair.synced().await;
        for node in [&pair.alice, &pair.bob] {
            let closing = node.channel_where(id, "that closes", |channel| {
                channel.phase == ChannelPhase::Closing && channel.closing.is_some()
            });
            closing.await;
        }
        pair.buried(id).await;
    })
    .await;
}
