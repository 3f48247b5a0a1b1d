//! Scripts under consensus rules: every soft fork to taproot, through the verifier that Bitcoin Core
//! shipped as a library. It answers yes or no; the stricter rules of relay are in `policy::script`.

use crate::builtin::reject::ScriptFault;
use bitcoin::consensus::encode::serialize;
use bitcoin::{Transaction, TxOut};
use bitcoinconsensus::{Utxo, VERIFY_ALL_PRE_TAPROOT, VERIFY_TAPROOT, verify_with_flags};
use rayon::prelude::*;

/// Inputs one worker takes at a time.
const CHUNK: usize = 16;
/// Below this many inputs threads cost more than they save.
const PARALLEL_FROM: usize = 6;

/// A transaction whose scripts wait to be run.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) tx: &'a Transaction,
    /// The outputs it spends, in the order of its inputs.
    pub(crate) spent: Vec<TxOut>,
}

/// Runs all scripts of all jobs.
pub(crate) fn verify_all(jobs: &[Job<'_>]) -> Result<(), ScriptFault> {
    let inputs: usize = jobs.iter().map(|job| job.spent.len()).sum();
    if inputs < PARALLEL_FROM {
        return jobs.iter().try_for_each(verify_one);
    }
    jobs.par_iter().try_for_each(verify_one)
}

fn verify_one(job: &Job<'_>) -> Result<(), ScriptFault> {
    let bytes = serialize(job.tx);
    let places: Vec<usize> = (0..job.spent.len()).collect();
    if places.len() <= CHUNK {
        return verify_inputs(&bytes, &job.spent, &places);
    }
    places.par_chunks(CHUNK).try_for_each(|some| verify_inputs(&bytes, &job.spent, some))
}

fn verify_inputs(tx: &[u8], spent: &[TxOut], places: &[usize]) -> Result<(), ScriptFault> {
    let utxos: Option<Vec<Utxo>> = spent.iter().map(utxo).collect();
    let utxos = utxos.ok_or(ScriptFault::Consensus)?;
    for place in places {
        let output = spent.get(*place).ok_or(ScriptFault::Consensus)?;
        verify_with_flags(
            output.script_pubkey.as_bytes(),
            output.value.to_sat(),
            tx,
            Some(&utxos),
            *place,
            VERIFY_ALL_PRE_TAPROOT | VERIFY_TAPROOT,
        )
        .map_err(|_| ScriptFault::Consensus)?;
    }
    Ok(())
}

/// The verifier's view of an output; it points into the script, which outlives it.
fn utxo(output: &TxOut) -> Option<Utxo> {
    let script = output.script_pubkey.as_bytes();
    Some(Utxo {
        script_pubkey: script.as_ptr(),
        script_pubkey_len: u32::try_from(script.len()).ok()?,
        value: i64::try_from(output.value.to_sat()).ok()?,
    })
}
