//! The replica kit: scenarios 4 and 44, and what it refuses.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::{Hash as _, ripemd160};
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use channel::tx::Direction::{Offered, Received};
use channel::tx::SpecHtlc;
use wire::codec::Encode;
use wire::units::{BlockHeight, Sat};

use super::stage::{Stage, check_tx, htlc, spent, sweep_of};
use crate::kit::claim::{Claim, ClaimKind, Deadline};
use crate::kit::replica::{ReplicaError, ReplicaTemplate};
use crate::message::HtlcAdd;

fn adds(htlcs: &[SpecHtlc]) -> Vec<HtlcAdd> {
    (htlcs.iter())
        .map(|htlc| HtlcAdd {
            hash: ripemd160::Hash::hash(&htlc.payment_hash.0).to_byte_array(),
            cltv_expiry: htlc.cltv_expiry,
            offered: htlc.direction == Offered,
        })
        .collect()
}

#[test]
fn all_outputs_are_found_among_all_htlcs_that_ever_were_and_swept_in_one_transaction() {
    let stage = Stage::new();
    let shown = vec![
        htlc(Offered, 1, 50_000, 700),
        htlc(Received, 2, 60_000, 701),
        htlc(Received, 3, 60_000, 702),
    ];
    let mut ever: Vec<_> = (10..200).map(|id| htlc(Offered, id, 1_000, 650)).collect();
    ever.extend(shown.clone());
    let commitment = stage.commitment(4, 2_000_000, shown);
    let replica = stage.replica(5);
    let claims = replica.evaluate(commitment.tx(), adds(&ever)).unwrap();
    assert_eq!(claims.len(), 4);
    let offered = claims.iter().find(|claim| claim.kind == ClaimKind::OfferedHtlc).unwrap();
    assert_eq!(offered.deadline, Deadline::At(BlockHeight(700)));
    let all: Vec<&Claim> = claims.iter().collect();
    let mut tx = sweep_of(&all, 3_000);
    replica.sign(&mut tx, &all).unwrap();
    check_tx(&tx, &spent(&claims));
}

#[test]
fn scenario_4_what_the_cheater_made_of_an_htlc_is_taken_before_its_delay_is_over() {
    let stage = Stage::new();
    let shown = vec![htlc(Received, 2, 60_000, 701)];
    let commitment = stage.commitment(4, 2_000_000, shown.clone());
    let replica = stage.replica(5);
    let claims = replica.evaluate(commitment.tx(), adds(&shown)).unwrap();
    let taken = claims.iter().find(|claim| claim.kind == ClaimKind::ReceivedHtlc).unwrap();
    // Its HTLC transaction has a fee input in front: the output stands at the place of the input.
    let input = |previous_output| TxIn {
        previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ZERO,
        witness: Witness::new(),
    };
    let delayed =
        TxOut { value: taken.value, script_pubkey: commitment.delayed_script().to_p2wsh() };
    let change = TxOut { value: Sat::from_sat(1), script_pubkey: ScriptBuf::new() };
    let second = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![input(OutPoint::null()), input(taken.outpoint)],
        output: vec![change, delayed],
    };
    let claim = replica.second_stage(4, &second, taken.outpoint).unwrap();
    assert_eq!(claim.outpoint, OutPoint { txid: second.compute_txid(), vout: 1 });
    assert_eq!((claim.kind, claim.deadline), (ClaimKind::SecondStage, Deadline::After(144)));
    let mut tx = sweep_of(&[&claim], 500);
    replica.sign(&mut tx, &[&claim]).unwrap();
    check_tx(&tx, &spent(&[claim]));
    assert_eq!(replica.second_stage(4, &second, OutPoint::null()), None, "another output");
}

#[test]
fn scenario_44_the_newest_state_and_a_mutual_close_are_no_breach() {
    let stage = Stage::new();
    let replica = stage.replica(5);
    for number in [5, 6] {
        let commitment = stage.commitment(number, 2_000_000, vec![]);
        let verdict = replica.evaluate(commitment.tx(), []);
        assert_eq!(verdict, Err(ReplicaError::NotRevoked { number, revealed: 5 }));
    }
    let mut close = stage.commitment(1, 2_000_000, vec![]).tx().clone();
    close.input[0].sequence = Sequence::ENABLE_RBF_NO_LOCKTIME;
    close.lock_time = LockTime::ZERO;
    assert_eq!(replica.evaluate(&close, []), Err(ReplicaError::NotACommitment));
    let mut elsewhere = stage.commitment(1, 2_000_000, vec![]).tx().clone();
    elsewhere.input[0].previous_output.vout = 0;
    assert_eq!(replica.evaluate(&elsewhere, []), Err(ReplicaError::NotACommitment));
}

#[test]
fn our_own_commitment_with_a_low_number_is_no_breach_of_the_peers() {
    let stage = Stage::new();
    let mut ours = stage.commitment(2, 2_000_000, vec![]).tx().clone();
    for output in &mut ours.output {
        output.script_pubkey = Stage::sweep();
    }
    assert_eq!(stage.replica(5).evaluate(&ours, []), Err(ReplicaError::NoOutput));
}

#[test]
fn secrets_are_taken_one_by_one_or_all_at_once_and_never_others() {
    let stage = Stage::new();
    let mut replica = stage.replica(3);
    let row = |numbers: std::ops::Range<u64>| -> Vec<[u8; 32]> {
        numbers.map(|number| Stage::secret(number).0).collect()
    };
    replica.reveal(2, &row(2..6)).unwrap();
    assert_eq!(replica.secrets().count(), 6, "what overlaps is known");
    assert!(replica.reveal(7, &row(7..8)).is_err(), "a gap");
    assert_eq!(replica.reveal(5, &[[1; 32]]), Err(ReplicaError::Backwards));
    replica.reveal_all(&Stage::secrets(40).to_bytes()).unwrap();
    replica.reveal_all(&Stage::secrets(20).to_bytes()).unwrap();
    assert_eq!(replica.secrets().count(), 40, "fewer change nothing");
    let mut foreign = channel::shachain::RevealedSecrets::new();
    foreign.insert(0, [1; 32]).unwrap();
    assert_eq!(replica.reveal_all(&foreign.to_bytes()), Err(ReplicaError::Backwards));
    assert_eq!(replica.secrets(), &Stage::secrets(40));
}

#[test]
fn a_template_with_a_key_is_read_back_and_never_printed() {
    let stage = Stage::new();
    let template = stage.replica(0).template().clone();
    assert_eq!(ReplicaTemplate::from_bytes(&template.encoded()), Ok(template.clone()));
    let key = format!("{:?}", stage.us.revocation_key());
    assert!(!format!("{template:?}").contains(key.trim_matches(['[', ']'])));
    let mut bad = template;
    bad.sweep_script = ScriptBuf::new();
    assert!(ReplicaTemplate::from_bytes(&bad.encoded()).is_err());
}
