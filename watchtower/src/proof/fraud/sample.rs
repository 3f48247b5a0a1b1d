//! A tower that slept, from the receipt to the theft, on blocks with real work (tests).

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash as _;
use bitcoin::transaction;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, Network, OutPoint, ScriptBuf, Transaction, TxIn,
    TxMerkleNode, TxOut, Txid, Witness,
};
use secp256k1::{Keypair, SECP256K1, SecretKey};
use wire::codec::Encode as _;
use wire::units::{FeeratePerKw, Sat};

use super::{FraudProof, Headers, Mined};
use crate::hint::Hint;
use crate::kit::template::{Covers, Step};
use crate::message::{KIT_SEALED, Sealed};
use crate::proof::drill::{Drill, Shape, Staged};
use crate::proof::mmr::{Mmr, leaf, path};
use crate::proof::receipt::{Ack, Receipt, Session};

/// The number of the record for the breach.
pub(super) const SEQ: u32 = 13;
/// Records of the session.
pub(super) const RECORDS: u32 = 20;
/// Height of the receipt.
pub(super) const RECEIPT: u32 = 100;
/// Height of the breach.
pub(super) const BREACH: u32 = 103;
/// The cheater's delay.
pub(super) const DELAY: u16 = 5;

pub(super) fn keypair(byte: u8) -> Keypair {
    Keypair::from_secret_key(SECP256K1, &SecretKey::from_slice(&[byte; 32]).unwrap())
}

pub(super) fn tower() -> Keypair {
    keypair(1)
}

pub(super) fn client() -> Keypair {
    keypair(2)
}

/// Where the client's money goes.
pub(super) fn sweep_script() -> ScriptBuf {
    ScriptBuf::from_bytes([vec![0x51, 0x20], vec![0x44; 32]].concat())
}

/// Where the cheater's goes.
pub(super) fn cheaters_script() -> ScriptBuf {
    ScriptBuf::from_bytes([vec![0x51, 0x20], vec![0x66; 32]].concat())
}

pub(super) fn funding() -> OutPoint {
    OutPoint { txid: Txid::from_byte_array([9; 32]), vout: 0 }
}

pub(super) fn drill() -> Drill {
    let step = |feerate| Step { feerate: FeeratePerKw(feerate), covers: Covers::All };
    let shape = Shape {
        amount: Sat::from_sat(1_000_000),
        to_remote: Sat::from_sat(200_000),
        commitment_feerate: FeeratePerKw(1_000),
        to_self_delay: DELAY,
        ladder: vec![step(1_000), step(10_000)],
        sweep_script: sweep_script(),
    };
    Drill::new(&[7; 32], shape).unwrap()
}

/// Everything a case is made of; a test changes one thing and puts it together.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) staged: Staged,
    pub(super) records: Vec<Sealed>,
    pub(super) seq: u32,
    pub(super) durable: u32,
    pub(super) receipt_height: u32,
    pub(super) expiry: u32,
    pub(super) template: Vec<u8>,
    pub(super) theft: Transaction,
    pub(super) theft_height: u32,
}

impl Case {
    pub(super) fn new() -> Self {
        let staged = drill().stage(funding()).unwrap();
        let session = client().public_key();
        let records = (0..RECORDS)
            .map(|seq| match seq {
                SEQ => staged.sealed(&session, seq),
                _ => Sealed { hint: Hint([seq as u8; 16]), ciphertext: vec![seq as u8; 178] },
            })
            .collect();
        Self {
            records,
            seq: SEQ,
            durable: RECORDS,
            receipt_height: RECEIPT,
            expiry: 5_000,
            template: staged.template.encoded(),
            theft: theft(&staged),
            theft_height: BREACH + u32::from(DELAY),
            staged,
        }
    }

    pub(super) fn session(&self) -> Session {
        Session::new(client().public_key(), KIT_SEALED, &self.template)
    }

    fn leaves(&self) -> impl Iterator<Item = [u8; 32]> {
        (0..).zip(&self.records).map(|(seq, record)| leaf(seq, &record.hint.0, &record.ciphertext))
    }

    pub(super) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        for height in self.receipt_height.min(BREACH)..=self.theft_height.max(BREACH) {
            let mut txs = vec![coinbase(height)];
            txs.extend((0..height % 4).map(|place| filler(height, place)));
            if height == BREACH {
                txs.insert(txs.len() / 2 + 1, self.staged.breach.clone());
            }
            if height == self.theft_height {
                txs.push(self.theft.clone());
            }
            let before = blocks.last().map_or_else(BlockHash::all_zeros, Block::block_hash);
            blocks.push(mine(before, height, txs));
        }
        blocks
    }

    pub(super) fn receipt(&self, tip: BlockHash) -> Receipt {
        let root = Mmr::from_iter(self.leaves().take(self.durable as usize)).root();
        let (durable_seq, height, expiry) = (self.durable, self.receipt_height, self.expiry);
        Ack { durable_seq, root, height, tip, expiry }.sign(self.session(), &tower())
    }

    /// The file.
    pub(super) fn proof(&self) -> FraudProof {
        let first_height = self.receipt_height.min(BREACH);
        let blocks = self.blocks();
        let place = |height: u32| &blocks[(height - first_height) as usize];
        let mined = |tx: &Transaction, height: u32| {
            let txs = &place(height).txdata;
            let index = txs.iter().position(|other| other == tx).unwrap();
            Mined::new(place(height), height, index as u32).unwrap()
        };
        let leaves: Vec<[u8; 32]> = self.leaves().collect();
        let shown = leaves.into_iter().take(self.durable.max(self.seq + 1) as usize);
        FraudProof {
            chain: bitcoin::constants::genesis_block(Network::Regtest).block_hash(),
            tower: tower().public_key(),
            template: self.template.clone(),
            receipt: self.receipt(place(self.receipt_height).block_hash()),
            record: self.records[self.seq as usize].clone(),
            path: path(self.seq, shown).unwrap(),
            headers: Headers {
                first_height: self.receipt_height,
                headers: blocks
                    .iter()
                    .skip((self.receipt_height - first_height) as usize)
                    .map(|block| block.header)
                    .collect(),
            },
            breach: mined(&self.staged.breach, BREACH),
            theft: mined(&self.theft, self.theft_height),
            tombstones: Vec::new(),
        }
    }
}

/// The cheater takes its output. Its signature is not looked at by anybody: miners did.
fn theft(staged: &Staged) -> Transaction {
    let script = ScriptBuf::from_bytes(vec![0x51; 77]);
    let witness = Witness::from_slice(&[&[0x30; 72][..], &[], script.as_bytes()]);
    spend(staged.target, witness, cheaters_script())
}

/// A transaction with one input and one output.
pub(super) fn spend(from: OutPoint, witness: Witness, to: ScriptBuf) -> Transaction {
    let input = TxIn { previous_output: from, witness, ..TxIn::default() };
    let output = TxOut { value: Amount::from_sat(700_000), script_pubkey: to };
    Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![input],
        output: vec![output],
    }
}

fn coinbase(height: u32) -> Transaction {
    let script = ScriptBuf::from_bytes(height.to_be_bytes().to_vec());
    spend(OutPoint::null(), Witness::new(), script)
}

fn filler(height: u32, place: u32) -> Transaction {
    let txid = Txid::from_byte_array([height as u8; 32]);
    spend(OutPoint { txid, vout: place }, Witness::new(), cheaters_script())
}

fn mine(before: BlockHash, height: u32, txdata: Vec<Transaction>) -> Block {
    let header = Header {
        version: Version::TWO,
        prev_blockhash: before,
        merkle_root: TxMerkleNode::all_zeros(),
        time: 1_600_000_000 + height * 600,
        bits: CompactTarget::from_consensus(0x207f_ffff),
        nonce: 0,
    };
    let mut block = Block { header, txdata };
    block.header.merkle_root = block.compute_merkle_root().unwrap();
    while block.header.validate_pow(block.header.target()).is_err() {
        block.header.nonce += 1;
    }
    block
}
