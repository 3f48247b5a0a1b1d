//! A signet of a test's own (BIP 325): its key, its first hundred blocks, and those who carry between its chains.
//!
//! A block of a signet takes some five million tries, so those that only let time pass were made once: all in them follows
//! from their height, and what was found then is their nonces. `VIADUCT_MAKE_SIGNET=1` finds and prints them anew, in some
//! minutes. The blocks are made and signed here by the letter of BIP 325, and not by the code that is tested.

use super::unix_now;
use crate::until::until_async;
use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version as BlockVersion};
use bitcoin::consensus::encode::serialize;
use bitcoin::constants::genesis_block;
use bitcoin::hashes::{Hash as _, HashEngine as _, sha256d};
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, Network, OutPoint, PrivateKey, ScriptBuf, Sequence,
    Transaction, TxIn, TxMerkleNode, TxOut, Witness, WitnessMerkleNode,
};
use chain_backend::{
    BuiltinChain, ChainEvent, Interest, Locator, MempoolDelta, Options, Package, Rules, Sandbox,
    Signet, SubmitOutcome,
};
use futures_util::StreamExt as _;
use secp256k1::{Message, SECP256K1};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// The least work of a signet's block. BIP 325 and Bitcoin Core's `CSigNetParams`.
const BITS: u32 = 0x1e03_77ae;
/// The same for chains that are told so: some hundred tries.
const EASY: u32 = 0x2000_ffff;
/// What the solution stands behind. BIP 325.
const SIGNET_HEADER: [u8; 4] = [0xec, 0xc7, 0xda, 0xa2];
/// Seconds between the blocks that were made once; the first is so long after signet's genesis.
const SPACING_S: u32 = 600;
/// Finds the nonces anew, and prints them.
const MAKE: &str = "VIADUCT_MAKE_SIGNET";

/// The key that makes blocks.
///
/// # Panics
/// Never.
pub fn key() -> PrivateKey {
    PrivateKey::from_slice(&[0x51; 32], Network::Signet).expect("a key")
}

/// What each block must open.
///
/// # Panics
/// Never.
pub fn challenge() -> ScriptBuf {
    challenge_of(&key())
}

fn challenge_of(key: &PrivateKey) -> ScriptBuf {
    let key = key.public_key(SECP256K1);
    ScriptBuf::new_p2wpkh(&key.wpubkey_hash().expect("compressed"))
}

/// Whom the first blocks pay: anybody.
pub fn anyone() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51]).to_p2wsh()
}

/// What spends a coin of [`anyone`].
pub fn anyones_witness() -> Witness {
    Witness::from_slice(&[[0x51]])
}

/// A chain in memory on this signet, with little work a block; only who has the key makes any.
///
/// # Panics
/// When the system gives no thread.
pub fn easy(has_key: bool) -> BuiltinChain {
    let signet = Signet::new(challenge(), has_key.then(key)).expect("a challenge");
    let rules = Rules::Signet(signet.easier(CompactTarget::from_consensus(EASY)));
    let options = Options { rules, ..Options::memory(unix_now) };
    BuiltinChain::open(&options).expect("a thread for the chain")
}

/// The first blocks of this signet, with all the work that a signet asks for. Who mined the first can spend its reward in
/// the block behind the last.
///
/// # Panics
/// When a nonce is none.
pub fn premined() -> Vec<Block> {
    let make = std::env::var_os(MAKE).is_some();
    let mut previous = genesis_block(Network::Signet).header;
    let mut blocks: Vec<Block> = Vec::new();
    for (height, nonce) in (1..).zip(NONCES) {
        let block = worked(signed(bare(height, &previous), &key()), nonce, make);
        previous = block.header;
        blocks.push(block);
    }
    blocks
}

/// Blocks behind the last of [`premined`] that lack nothing but the signature: one has none, one a stranger's.
///
/// # Panics
/// When a nonce is none.
pub fn unsigned(premined: &[Block]) -> [Block; 2] {
    let make = std::env::var_os(MAKE).is_some();
    let height = 1 + u32::try_from(premined.len()).expect("some hundred");
    let bare = bare(height, &premined.last().expect("a tip").header);
    let stranger = PrivateKey::from_slice(&[0x52; 32], Network::Signet).expect("a key");
    let foreign = signed(bare.clone(), &stranger);
    let [none, wrong] = UNSIGNED_NONCES;
    [worked(bare, none, make), worked(foreign, wrong, make)]
}

/// A block that pays [`anyone`], without solution and work.
fn bare(height: u32, previous: &Header) -> Block {
    let root = WitnessMerkleNode::all_zeros();
    let commitment = Block::compute_witness_commitment(&root, &[0; 32]).to_byte_array();
    let commitment = [&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed], commitment.as_slice()].concat();
    let output = |value, script_pubkey| TxOut { value, script_pubkey };
    let coinbase = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: Builder::new().push_int(height.into()).push_slice(*b"tests").into_script(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[[0_u8; 32]]),
        }],
        output: vec![
            output(Amount::from_int_btc(50), anyone()),
            output(Amount::ZERO, ScriptBuf::from_bytes(commitment)),
        ],
    };
    let header = Header {
        version: BlockVersion::from_consensus(0x2000_0000),
        prev_blockhash: previous.block_hash(),
        merkle_root: TxMerkleNode::all_zeros(),
        time: previous.time + SPACING_S,
        bits: CompactTarget::from_consensus(BITS),
        nonce: 0,
    };
    rooted(Block { header, txdata: vec![coinbase] })
}

fn rooted(mut block: Block) -> Block {
    block.header.merkle_root = block.compute_merkle_root().expect("a coinbase");
    block
}

/// The block with this behind its commitment.
fn with(block: &Block, solution: &[u8]) -> Block {
    let mut block = block.clone();
    let bytes = [SIGNET_HEADER.as_slice(), solution].concat();
    let script = &mut block.txdata[0].output[1].script_pubkey;
    script.push_slice(PushBytesBuf::try_from(bytes).expect("short"));
    rooted(block)
}

/// The block with the solution of this key for the challenge of that key.
fn signed(bare: Block, key: &PrivateKey) -> Block {
    let challenge = challenge_of(key);
    // BIP 325: "The merkle root of the block [...] with the signet commitment [...] except without the solution".
    let to_sign = with(&bare, &[]);
    let header = &to_sign.header;
    let mut data = serialize(&header.version);
    data.extend(serialize(&header.prev_blockhash));
    data.extend(serialize(&header.merkle_root));
    data.extend(serialize(&header.time));
    let data = PushBytesBuf::try_from(data).expect("72 bytes");
    let version = Version::non_standard(0);
    let synthetic = |previous_output, script_sig, script_pubkey| Transaction {
        version,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output,
            script_sig,
            sequence: Sequence::ZERO,
            witness: Witness::new(),
        }],
        output: vec![TxOut { value: Amount::ZERO, script_pubkey }],
    };
    let commits = Builder::new().push_int(0).push_slice(data).into_script();
    let to_spend = synthetic(OutPoint::null(), commits, challenge.clone());
    let coin = OutPoint { txid: to_spend.compute_txid(), vout: 0 };
    let spend = synthetic(coin, ScriptBuf::new(), ScriptBuf::from_bytes(vec![0x6a]));
    let all = EcdsaSighashType::All;
    let digest = SighashCache::new(&spend).p2wpkh_signature_hash(0, &challenge, Amount::ZERO, all);
    let digest = Message::from_digest(digest.expect("its input").to_byte_array());
    let signature = SECP256K1.sign_ecdsa(&digest, &key.inner);
    let signature = bitcoin::ecdsa::Signature::sighash_all(signature);
    let witness = Witness::p2wpkh(&signature, &key.public_key(SECP256K1).inner);
    let solution = [serialize(&ScriptBuf::new()), serialize(&witness)].concat();
    with(&bare, &solution)
}

/// The block with its work: that of the nonce, or found anew.
fn worked(mut block: Block, nonce: u32, make: bool) -> Block {
    block.header.nonce = if make { ground(&block.header) } else { nonce };
    let is_worked = block.header.validate_pow(block.header.target()).is_ok();
    assert!(is_worked, "the nonces are those of other blocks: {MAKE}=1 finds them anew");
    block
}

fn ground(header: &Header) -> u32 {
    use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
    let (bytes, target) = (serialize(header), header.target());
    let mut begun = sha256d::Hash::engine();
    begun.input(&bytes[..76]);
    let found = (0..=u32::MAX).into_par_iter().find_any(|nonce| {
        let mut engine = begun.clone();
        engine.input(&nonce.to_le_bytes());
        let hash = sha256d::Hash::from_engine(engine);
        // Most end here, and quickly: a hash with its work ends in zeros.
        hash.as_byte_array().ends_with(&[0, 0]) && target.is_met_by(BlockHash::from_raw_hash(hash))
    });
    let found = found.expect("one of four billion");
    println!("{found:#010x},");
    found
}

/// Two who carry what one chain hears to the other, as the peers of a network would: all blocks of `miners` go to
/// `others`, and what waits on either to both.
#[derive(Debug)]
pub struct Carriers([JoinHandle<()>; 2]);

impl Carriers {
    /// Sets out, from the beginning of both chains.
    pub fn between(miners: Arc<dyn Sandbox>, others: Arc<dyn Sandbox>) -> Self {
        let there = carry(Arc::clone(&miners), Arc::clone(&others), true);
        let back = carry(others, miners, false);
        Self([tokio::spawn(there), tokio::spawn(back)])
    }
}

impl Drop for Carriers {
    fn drop(&mut self) {
        for carrier in &self.0 {
            carrier.abort();
        }
    }
}

async fn carry(from: Arc<dyn Sandbox>, to: Arc<dyn Sandbox>, with_blocks: bool) {
    let genesis = from.header_at(0).await.expect("a genesis block");
    let beginning = Locator::at(genesis.id());
    let mut events = from.events(beginning, Interest::Everything).await.expect("its events");
    while let Some(event) = events.next().await {
        match event.expect("the chain goes on") {
            ChainEvent::Connected { txs, .. } if with_blocks => {
                hand_over(txs.block().expect("whole blocks"), to.as_ref()).await;
            }
            ChainEvent::Mempool(MempoolDelta::Added { tx, .. }) => {
                tell(&tx, to.as_ref()).await;
            }
            ChainEvent::Mempool(MempoolDelta::Snapshot(all)) => {
                for tx in all {
                    tell(&tx, to.as_ref()).await;
                }
            }
            ChainEvent::Connected { .. }
            | ChainEvent::Disconnected { .. }
            | ChainEvent::Mempool(MempoolDelta::Removed { .. })
            | ChainEvent::Synced { .. }
            | ChainEvent::Away { .. } => {}
        }
    }
}

/// Gives a chain a block, as often as it takes: on a busy machine an answer may get lost.
async fn hand_over(block: &Block, to: &dyn Sandbox) {
    let hash = block.block_hash();
    until_async(
        "a block to be taken",
        || hash.to_string(),
        || async {
            let is_taken = to.submit_block(block.clone()).await.is_ok();
            (is_taken || to.block(hash).await.is_ok()).then_some(())
        },
    )
    .await;
}

/// Shows a chain what waits on the other. Who has it already, or a rival of it, is right as well.
async fn tell(tx: &Transaction, to: &dyn Sandbox) {
    until_async(
        "a transaction to be heard of",
        || tx.compute_txid().to_string(),
        || async {
            let outcome = to.submit(Package::single(tx.clone()), None).await;
            (outcome != SubmitOutcome::Unavailable).then_some(())
        },
    )
    .await;
}

/// The nonces of [`unsigned`].
const UNSIGNED_NONCES: [u32; 2] = [0x8012_231c, 0x8015_80db];

/// The nonces of [`premined`], from height 1 on.
#[rustfmt::skip]
const NONCES: [u32; 100] = [
    0x8003_5f40, 0x800a_9e25, 0x000f_406a, 0x003f_befd, 0x0048_a4b0, 0x8009_2351, 0x005d_0387, 0x000f_770f, 0x0004_158c, 0x8007_f9df,
    0x0008_d919, 0x8019_cd3f, 0x8016_ab45, 0x0007_73ba, 0x001c_463e, 0x8020_9994, 0x006c_278f, 0x800f_136f, 0x8020_3cb4, 0x8016_9010,
    0x0011_fe5d, 0x001d_e7f7, 0x8010_84e2, 0x0025_72eb, 0x801b_f06a, 0x801b_dd57, 0x8003_e483, 0x0014_de1c, 0x8008_ca9f, 0x0011_c6ab,
    0x0007_4c13, 0x8018_8c46, 0x0023_a631, 0x0006_a855, 0x8001_f085, 0x8000_ade5, 0x009e_71b1, 0x0023_dea1, 0x0013_7e2d, 0x000a_e9ab,
    0x002a_3db9, 0x802a_2cd3, 0x803f_0fa1, 0x8018_004a, 0x002d_ad3f, 0x80dd_c1ad, 0x0008_a910, 0x8013_62f6, 0x0049_1e8e, 0x800f_4a18,
    0x0047_ed0e, 0x8002_d4e1, 0x001a_73cd, 0x8012_5fab, 0x000c_df09, 0x80a4_218a, 0x0009_8d23, 0x8009_25f4, 0x8009_f29e, 0x0007_b54d,
    0x0012_42fa, 0x800a_9ff0, 0x807e_f5ea, 0x8014_8e1f, 0x0001_467c, 0x0031_89f4, 0x0029_d013, 0x001b_3f0d, 0x0009_1e96, 0x0025_f304,
    0x8041_8b2b, 0x8031_d3d3, 0x8011_bedf, 0x8004_0146, 0x8042_5ab5, 0x001a_87f2, 0x0041_7718, 0x8063_2c79, 0x800d_5a52, 0x000e_15d6,
    0x8009_8a17, 0x8027_c2bd, 0x803d_1efc, 0x801e_c6ad, 0x8008_fe56, 0x0001_5c29, 0x001d_c93e, 0x0000_ccb7, 0x8029_45fa, 0x003d_6573,
    0x8043_1aea, 0x0001_dd1c, 0x0002_8397, 0x8007_3456, 0x803c_9f86, 0x0002_65f5, 0x001f_e2d3, 0x0019_52de, 0x001b_bf06, 0x805f_5d60,
];
