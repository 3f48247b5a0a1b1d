//! Blocks of a signet: its challenge is a script, and each block brings what opens it (BIP 325).
//!
//! The script runs over a pair of transactions that stand for the block and commit to all of it but the nonce.

use crate::builtin::reject::Reject;
use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::{Decodable, Encodable, serialize};
use bitcoin::hashes::Hash;
use bitcoin::script::{Builder, Instruction, PushBytesBuf};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Block, OutPoint, Script, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
};
use bitcoinconsensus::{
    VERIFY_DERSIG, VERIFY_NULLDUMMY, VERIFY_P2SH, VERIFY_WITNESS, verify_with_flags,
};

/// What a solution begins with.
pub(crate) const SIGNET_HEADER: [u8; 4] = [0xec, 0xc7, 0xda, 0xa2];
/// Marks the output in which a coinbase commits to the witnesses (BIP 141).
const COMMITMENT_PREFIX: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
/// That output's least length, bytes.
const COMMITMENT_SIZE: usize = 38;

/// Whether a block brings what opens the challenge.
pub(crate) fn check_solution(block: &Block, challenge: &Script) -> Result<(), Reject> {
    let opened = spending(block, challenge).is_some_and(|spending| opens(&spending, challenge));
    if opened { Ok(()) } else { Err(Reject::SignetSignature) }
}

/// Whether the transaction that stands for a block spends the challenge.
pub(crate) fn opens(spending: &Transaction, challenge: &Script) -> bool {
    // BIP 325: "the standard script rules that were in force when it was written": none of taproot's.
    let flags = VERIFY_P2SH | VERIFY_WITNESS | VERIFY_DERSIG | VERIFY_NULLDUMMY;
    verify_with_flags(challenge.as_bytes(), 0, &serialize(spending), None, 0, flags).is_ok()
}

/// The transaction that spends the challenge in a block's name, with the solution that the block has, if any.
/// `None` where a block cannot have one.
pub(crate) fn spending(block: &Block, challenge: &Script) -> Option<Transaction> {
    let mut coinbase = block.txdata.first()?.clone();
    let place = commitment_place(&coinbase)?;
    let output = coinbase.output.get_mut(place)?;
    let solution = take_solution(&output.script_pubkey).map(|(without, solution)| {
        output.script_pubkey = without;
        solution
    });
    let (script_sig, witness) = match solution {
        None => (ScriptBuf::new(), Witness::new()),
        Some(bytes) => parts(&bytes)?,
    };
    let txids = block.txdata.iter().skip(1).map(Transaction::compute_txid);
    let txids = std::iter::once(coinbase.compute_txid()).chain(txids);
    let root = bitcoin::merkle_tree::calculate_root(txids.map(|txid| txid.to_raw_hash()))?;
    let mut data = block.header.version.to_consensus().to_le_bytes().to_vec();
    data.extend(block.header.prev_blockhash.to_byte_array());
    data.extend(root.to_byte_array());
    data.extend(block.header.time.to_le_bytes());
    let data = PushBytesBuf::try_from(data).ok()?;
    let funding = synthetic(
        TxIn {
            previous_output: OutPoint::null(),
            script_sig: Builder::new().push_int(0).push_slice(data).into_script(),
            sequence: Sequence::ZERO,
            witness: Witness::new(),
        },
        challenge.to_owned(),
    );
    let input = TxIn {
        previous_output: OutPoint::new(funding.compute_txid(), 0),
        script_sig,
        sequence: Sequence::ZERO,
        witness,
    };
    let nothing = Builder::new().push_opcode(bitcoin::opcodes::all::OP_RETURN).into_script();
    Some(synthetic(input, nothing))
}

fn synthetic(input: TxIn, script_pubkey: ScriptBuf) -> Transaction {
    Transaction {
        version: Version::non_standard(0),
        lock_time: LockTime::ZERO,
        input: vec![input],
        output: vec![TxOut { value: Amount::ZERO, script_pubkey }],
    }
}

/// Which output of a coinbase commits to the witnesses: the last that looks like it.
pub(crate) fn commitment_place(coinbase: &Transaction) -> Option<usize> {
    coinbase.output.iter().rposition(|output| {
        let script = output.script_pubkey.as_bytes();
        script.len() >= COMMITMENT_SIZE && script.starts_with(&COMMITMENT_PREFIX)
    })
}

/// The script without its solution, and the solution.
fn take_solution(script: &Script) -> Option<(ScriptBuf, Vec<u8>)> {
    let mut found = None;
    let mut without = ScriptBuf::new();
    for part in script.instructions() {
        match part {
            Ok(Instruction::PushBytes(bytes)) => {
                let solution = bytes.as_bytes().strip_prefix(&SIGNET_HEADER);
                match solution.filter(|solution| found.is_none() && !solution.is_empty()) {
                    Some(solution) => {
                        found = Some(solution.to_vec());
                        without.push_slice(SIGNET_HEADER);
                    }
                    None => without.push_slice(bytes),
                }
            }
            Ok(Instruction::Op(op)) => without.push_opcode(op),
            Err(_) => break,
        }
    }
    found.map(|solution| (without, solution))
}

/// A solution's script and witness; nothing may follow them.
fn parts(mut bytes: &[u8]) -> Option<(ScriptBuf, Witness)> {
    let script_sig = ScriptBuf::consensus_decode(&mut bytes).ok()?;
    let witness = Witness::consensus_decode(&mut bytes).ok()?;
    bytes.is_empty().then_some((script_sig, witness))
}

/// The bytes of a solution.
pub(crate) fn solution(script_sig: &Script, witness: &Witness) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to memory cannot fail.
    let _ = script_sig.to_owned().consensus_encode(&mut bytes);
    let _ = witness.consensus_encode(&mut bytes);
    bytes
}
