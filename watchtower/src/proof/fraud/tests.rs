//! The real case is proved; every forged one is refused by name. Scenario 22, second half.

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, CompactTarget, OutPoint, ScriptBuf, Witness};
use proptest::prelude::*;
use wire::codec::Encode as _;
use wire::units::FeeratePerKw;

use super::sample::{
    BREACH, Case, DELAY, RECORDS, SEQ, cheaters_script, client, drill, funding, keypair, spend,
};
use super::{ChainError, FileError, FraudProof, Guilt, Mined, Rejection, Verdict};
use crate::hint::Hint;
use crate::kit::claim::Way;
use crate::kit::sealed::{EvaluateError, OpenError, evaluate, seal};
use crate::kit::template::TemplateError;
use crate::message::Sealed;
use crate::proof::mmr::PathError;
use crate::proof::tombstone::{Scope, Tombstone};

fn guilt(proof: &FraudProof) -> Guilt {
    match proof.verify(&[]) {
        Verdict::Guilty(guilt) => *guilt,
        Verdict::Rejected(why) => panic!("{why}"),
    }
}

fn rejected(proof: &FraudProof) -> Rejection {
    match proof.verify(&[]) {
        Verdict::Guilty(guilt) => panic!("{guilt:?}"),
        Verdict::Rejected(why) => why,
    }
}

/// What a case with one change comes to.
fn changed(change: impl FnOnce(&mut Case)) -> Rejection {
    let mut case = Case::new();
    change(&mut case);
    rejected(&case.proof())
}

/// What a file with one change comes to.
fn tampered(change: impl FnOnce(&mut FraudProof)) -> Rejection {
    let mut proof = Case::new().proof();
    change(&mut proof);
    rejected(&proof)
}

#[test]
fn scenario_22_a_tower_that_slept_is_guilty() {
    let case = Case::new();
    let proof = FraudProof::from_bytes(&case.proof().to_bytes()).unwrap();
    let guilt = guilt(&proof);
    assert_eq!(guilt.seq, SEQ);
    assert_eq!(guilt.blocks, u32::from(DELAY));
    assert_eq!(guilt.breach, case.staged.breach.compute_txid());
    assert_eq!(guilt.outpoint, case.staged.target);
    assert_eq!(guilt.stolen, case.staged.value);
    assert_eq!(guilt.theft, case.theft.compute_txid());
    // The weight is that of the signed transaction, so the price is a little above the template's.
    assert!((10_000..10_300).contains(&guilt.feerate_max.0), "{:?}", guilt.feerate_max);
}

#[test]
fn a_record_that_was_never_acknowledged_proves_nothing() {
    let why = changed(|case| case.durable = SEQ);
    assert_eq!(why, Rejection::NeverAcknowledged { signed: SEQ, seq: SEQ });
}

#[test]
fn a_deletion_that_the_client_signed_excuses_the_tower_wherever_it_is_shown() {
    let stone = Tombstone::sign(&client(), Scope::Range { first: 0, last: SEQ });
    assert_eq!(tampered(|proof| proof.tombstones.push(stone)), Rejection::Deleted);
    let proof = Case::new().proof();
    assert_eq!(proof.verify(&[stone]), Verdict::Rejected(Rejection::Deleted));
    let session = Tombstone::sign(&client(), Scope::Session);
    assert_eq!(proof.verify(&[session]), Verdict::Rejected(Rejection::Deleted));
    // Other records, another session, a forged signature: no excuse.
    let other = Tombstone::sign(&client(), Scope::Range { first: 0, last: SEQ - 1 });
    let strangers = Tombstone::sign(&keypair(5), Scope::Session);
    let forged = Tombstone { session: client().public_key(), ..strangers };
    assert!(matches!(proof.verify(&[other, strangers, forged]), Verdict::Guilty(_)));
}

#[test]
fn a_session_that_had_ended_promises_nothing() {
    let why = changed(|case| case.expiry = BREACH - 1);
    assert_eq!(why, Rejection::Expired { breach: BREACH, expiry: BREACH - 1 });
    let mut last_day = Case::new();
    last_day.expiry = BREACH;
    assert!(matches!(last_day.proof().verify(&[]), Verdict::Guilty(_)));
}

#[test]
fn justice_that_was_done_is_no_theft() {
    let why = changed(|case| {
        let record = &case.staged.record;
        let claims = evaluate(&case.staged.template, record, &case.staged.breach).unwrap();
        let Way::Ladder(rungs) = &claims[0].way else { panic!() };
        case.theft = rungs[0].tx.clone();
    });
    assert_eq!(why, Rejection::PaidToVictim);
}

#[test]
fn an_output_that_the_client_took_itself_was_not_stolen() {
    let why = changed(|case| {
        let target = [case.staged.target];
        let home = cheaters_script();
        let own = drill().collect(funding(), &target, &home, FeeratePerKw(1_000)).unwrap();
        case.theft = own.unwrap();
    });
    assert_eq!(why, Rejection::TakenByRevocation);
    let no_witness = changed(|case| {
        case.theft = spend(case.staged.target, Witness::new(), cheaters_script());
    });
    assert_eq!(no_witness, Rejection::TakenByRevocation);
}

#[test]
fn a_receipt_that_the_tower_did_not_sign_proves_nothing() {
    assert_eq!(tampered(|proof| proof.tower = keypair(5).public_key()), Rejection::NotSigned);
    assert_eq!(tampered(|proof| proof.receipt.ack.expiry += 1), Rejection::NotSigned);
    assert_eq!(tampered(|proof| proof.receipt.ack.durable_seq += 1), Rejection::NotSigned);
    assert_eq!(tampered(|proof| proof.receipt.signature[5] ^= 1), Rejection::NotSigned);
}

#[test]
fn a_record_that_the_tower_never_had_is_not_in_the_range() {
    assert_eq!(tampered(|proof| proof.record.ciphertext[0] ^= 1), Rejection::NotInRange);
    assert_eq!(tampered(|proof| proof.record.hint.0[0] ^= 1), Rejection::NotInRange);
    assert_eq!(tampered(|proof| proof.path.index -= 1), Rejection::NotInRange);
    assert_eq!(tampered(|proof| proof.path.siblings[0][0] ^= 1), Rejection::NotInRange);
    let path = tampered(|proof| proof.path.count += 1);
    assert_eq!(path, Rejection::OtherRange { path: RECORDS + 1, signed: RECORDS });
    let shape = tampered(|proof| proof.path.siblings.truncate(2));
    assert_eq!(shape, Rejection::BadPath(PathError::Shape));
}

#[test]
fn a_record_for_another_transaction_could_not_be_found_or_opened() {
    assert_eq!(changed(|case| case.seq = 5), Rejection::OtherHint);
    let rubbish = changed(|case| case.records[SEQ as usize].ciphertext = vec![0; 178]);
    assert_eq!(rubbish, Rejection::Sealed(OpenError::Key));
    let moved = changed(|case| {
        let record = case.records[SEQ as usize].clone();
        case.records[4] = record;
        case.seq = 4;
    });
    assert_eq!(moved, Rejection::Sealed(OpenError::Key), "the number is part of the key");
}

#[test]
fn a_record_that_takes_nothing_is_the_clients_own_fault() {
    let useless = changed(|case| {
        let txid = case.staged.breach.compute_txid();
        case.staged.record.to_local[0].0[7] ^= 1;
        case.staged.record.to_local[1].0[7] ^= 1;
        let ciphertext = seal(&case.staged.record, &txid, &client().public_key(), SEQ);
        case.records[SEQ as usize] = Sealed { hint: Hint::of(&txid), ciphertext };
    });
    assert_eq!(useless, Rejection::Useless(EvaluateError::Signatures));
}

#[test]
fn a_template_that_came_later_is_not_what_the_tower_signed_for() {
    let other = tampered(|proof| {
        let mut template = Case::new().staged.template;
        template.ladder.pop();
        proof.template = template.encoded();
    });
    assert_eq!(other, Rejection::OtherTerms);
    let rubbish = changed(|case| case.template = vec![0; 40]);
    assert!(matches!(rubbish, Rejection::Template(TemplateError::Bytes(_))));
    // The tower signed for a session whose template has no use for these signatures.
    let unfit = changed(|case| {
        let mut template = case.staged.template.clone();
        template.ladder.pop();
        case.template = template.encoded();
    });
    let ladder = EvaluateError::Ladder { expected: 1, got: 2 };
    assert_eq!(unfit, Rejection::Useless(ladder));
}

#[test]
fn a_breach_that_was_not_after_the_receipt_came_too_early_for_the_tower() {
    let why = changed(|case| case.receipt_height = BREACH);
    assert_eq!(why, Rejection::BreachBeforeReceipt { breach: BREACH, receipt: BREACH });
    let later = changed(|case| case.receipt_height = BREACH + 1);
    assert_eq!(later, Rejection::Chain(ChainError::Height(BREACH)));
}

#[test]
fn a_chain_that_does_not_hold_proves_nothing() {
    let chain = |change: fn(&mut FraudProof)| match tampered(change) {
        Rejection::Chain(error) => error,
        other => panic!("{other:?}"),
    };
    let unknown = chain(|proof| proof.chain = BlockHash::from_byte_array([1; 32]));
    assert_eq!(unknown, ChainError::UnknownChain);
    assert_eq!(chain(|proof| proof.headers.headers.clear()), ChainError::Empty);
    let unlinked = chain(|proof| {
        proof.headers.headers.remove(1);
    });
    assert_eq!(unlinked, ChainError::Unlinked(101));
    let short = chain(|proof| proof.headers.headers.truncate(4));
    assert_eq!(short, ChainError::Height(BREACH + u32::from(DELAY)));
    let elsewhere = chain(|proof| proof.breach.height += 1);
    assert_eq!(elsewhere, ChainError::NotInBlock(BREACH + 1));
    let sibling = chain(|proof| proof.theft.siblings[0][0] ^= 1);
    assert_eq!(sibling, ChainError::NotInBlock(BREACH + u32::from(DELAY)));
    let beyond = chain(|proof| proof.theft.index += 64);
    assert_eq!(beyond, ChainError::NotInBlock(BREACH + u32::from(DELAY)));
    // The last header may say anything about the difficulty, and has to show the work for it.
    let lazy = chain(|proof| {
        let last = proof.headers.headers.last_mut().unwrap();
        last.bits = CompactTarget::from_consensus(0x1d00_ffff);
    });
    assert_eq!(lazy, ChainError::Work(BREACH + u32::from(DELAY)));
    // Main net's first block on a chain with regtest's work.
    let main = chain(|proof| {
        let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Bitcoin);
        proof.chain = genesis.block_hash();
    });
    assert_eq!(main, ChainError::Work(100));
}

#[test]
fn headers_must_begin_at_the_block_that_the_tower_named() {
    let skipped = tampered(|proof| {
        proof.headers.headers.remove(0);
        proof.headers.first_height += 1;
    });
    assert_eq!(skipped, Rejection::NotFromReceipt);
    let shifted = tampered(|proof| proof.headers.first_height += 1_000);
    assert_eq!(shifted, Rejection::NotFromReceipt);
}

#[test]
fn a_theft_must_take_that_output_and_not_before_its_delay() {
    let other = changed(|case| {
        let target = OutPoint { vout: 0, ..case.staged.target };
        case.theft = spend(target, case.theft.input[0].witness.clone(), cheaters_script());
    });
    assert_eq!(other, Rejection::OtherOutput);
    let theft = BREACH + u32::from(DELAY) - 1;
    let early = changed(|case| case.theft_height = theft);
    assert_eq!(early, Rejection::DelayNotOver { theft, from: theft + 1 });
}

#[test]
fn a_transaction_of_64_bytes_is_not_believed() {
    let mut proof = Case::new().proof();
    // 4 version, 1 + 41 input, 1 + 8 + 1 + 4 output, 4 lock time.
    let script = ScriptBuf::from_bytes(vec![0x51; 4]);
    proof.theft.tx = spend(OutPoint::null(), Witness::new(), script);
    assert_eq!(proof.theft.tx.base_size(), 64);
    assert_eq!(rejected(&proof), Rejection::Chain(ChainError::Ambiguous));
}

#[test]
fn paths_into_blocks_of_any_size_are_those_of_the_headers() {
    let template = Case::new().blocks().remove(0);
    for count in 1..20_usize {
        let mut block = template.clone();
        block.txdata = (0..count)
            .map(|place| {
                let script = ScriptBuf::from_bytes(vec![place as u8; 9]);
                spend(OutPoint::null(), Witness::new(), script)
            })
            .collect();
        block.header.merkle_root = block.compute_merkle_root().unwrap();
        let headers = super::Headers { first_height: 7, headers: vec![block.header] };
        for index in 0..count as u32 {
            let mined = Mined::new(&block, 7, index).unwrap();
            assert_eq!(mined.verify(&headers), Ok(()), "{index} of {count}");
        }
        assert_eq!(Mined::new(&block, 7, count as u32), None);
    }
}

#[test]
fn a_file_says_what_it_is_and_any_changed_byte_is_noticed() {
    let bytes = Case::new().proof().to_bytes();
    assert!(bytes.starts_with(b"viaduct watchtower fraud proof\n"));
    let read = |bytes: &[u8]| FraudProof::from_bytes(bytes).unwrap_err();
    assert_eq!(read(b"PNG"), FileError::NotAProof);
    assert_eq!(read(&bytes[..bytes.len() - 1]), FileError::Checksum);
    let mut later = bytes.clone();
    later[32] = 2;
    assert_eq!(read(&later), FileError::Version(2));
    for place in (33..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[place] ^= 0x40;
        assert_eq!(read(&changed), FileError::Checksum, "byte {place}");
    }
    let long = vec![0; super::file::FILE_MAX + 1];
    assert_eq!(read(&long), FileError::TooLong(long.len()));
}

#[test]
fn files_of_this_version_stay_readable() {
    // The command line's tests read them, too.
    let proof = Case::new().proof();
    assert_eq!(proof.to_bytes(), include_bytes!("sample.proof"));
    let stone = Tombstone::sign(&client(), Scope::Session);
    assert_eq!(stone.encoded(), include_bytes!("sample.tombstone"));
    assert_eq!(Tombstone::read_all(include_bytes!("sample.tombstone")), Ok(vec![stone]));
}

proptest! {
    #[test]
    fn contents_of_any_bytes_are_a_proof_or_an_error(
        cut in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        use bitcoin::hashes::sha256;
        let good = Case::new().proof().to_bytes();
        let body = good.len() - 32;
        let mut bytes = good[..33 + cut.index(body - 33)].to_vec();
        let place = place.index(bytes.len());
        if place >= 33 {
            bytes[place] = byte;
        }
        let checksum = sha256::Hash::hash(&bytes);
        bytes.extend_from_slice(checksum.as_byte_array());
        if let Ok(proof) = FraudProof::from_bytes(&bytes) {
            let _ = proof.verify(&[]);
            prop_assert_eq!(proof.to_bytes(), bytes);
        }
    }
}
