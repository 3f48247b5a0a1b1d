//! The sealed kit: sizes, scenarios 3, 15, 37 and 45 of the research.

use bitcoin::hashes::Hash as _;
use bitcoin::{OutPoint, Transaction, Txid};
use channel::signer::Signer;
use channel::tx::Direction::{Offered, Received};
use secp256k1::{SECP256K1, SecretKey};
use wire::codec::{Decode, DecodeError, Encode};
use wire::id::Signature;

use super::stage::{Stage, check_tx, htlc, spent, together};
use crate::kit::claim::{Claim, ClaimKind, Way};
use crate::kit::sealed::{
    EvaluateError, OpenError, Record, build, evaluate, open, record_key, seal,
};
use crate::kit::template::Template;

const NUMBER: u64 = 17;

fn built(
    stage: &Stage,
    to_cheater: u64,
    htlcs: Vec<channel::tx::SpecHtlc>,
) -> (Record, Transaction) {
    let commitment = stage.commitment(NUMBER, to_cheater, htlcs);
    let template = stage.template();
    let built = build(&template, &commitment, Stage::secret(NUMBER), &stage.us).unwrap();
    (built.record, commitment.tx().clone())
}

fn ladder(claim: &Claim) -> Vec<&Transaction> {
    let Way::Ladder(rungs) = &claim.way else { panic!("no ladder") };
    rungs.iter().map(|rung| &rung.tx).collect()
}

#[test]
fn a_default_record_without_htlcs_takes_194_bytes_and_each_htlc_at_most_89_more() {
    let stage = Stage::new();
    let hint = 16;
    let sealed = |htlcs| {
        let (record, tx) = built(&stage, 3_000_000, htlcs);
        seal(&record, &tx.compute_txid(), &Stage::session(), 5).len() + hint
    };
    let none = sealed(vec![]);
    assert_eq!(none, 194);
    let two = sealed(vec![htlc(Received, 1, 50_000, 700), htlc(Received, 2, 60_000, 701)]);
    assert_eq!(two, none + 1 + 2 * 89);
    assert_eq!(sealed(vec![htlc(Offered, 1, 50_000, 700)]), none + 1 + 85);
}

#[test]
fn a_record_is_the_same_bytes_again_and_opens_for_its_own_place_only() {
    let stage = Stage::new();
    let (record, tx) = built(&stage, 3_000_000, vec![htlc(Offered, 1, 50_000, 700)]);
    let (again, _) = built(&stage, 3_000_000, vec![htlc(Offered, 1, 50_000, 700)]);
    let (txid, session) = (tx.compute_txid(), Stage::session());
    let bytes = seal(&record, &txid, &session, 5);
    assert_eq!(bytes, seal(&again, &txid, &session, 5), "nothing is random");
    assert_eq!(open(&bytes, &txid, &session, 5).unwrap(), record);
    let other = SecretKey::from_slice(&[0x52; 32]).unwrap().public_key(SECP256K1);
    assert_eq!(open(&bytes, &txid, &session, 6), Err(OpenError::Key));
    assert_eq!(open(&bytes, &txid, &other, 5), Err(OpenError::Key));
    assert_eq!(open(&bytes, &Txid::all_zeros(), &session, 5), Err(OpenError::Key));
    assert_eq!(open(&[], &txid, &session, 5), Err(OpenError::Key));
    for at in [0, bytes.len() / 2, bytes.len() - 1] {
        let mut spoilt = bytes.clone();
        spoilt[at] ^= 1;
        assert_eq!(open(&spoilt, &txid, &session, 5), Err(OpenError::Key));
    }
    assert_ne!(record_key(&txid, &session, 5), record_key(&txid, &session, 6));
}

#[test]
fn every_rung_replaces_the_one_below_and_pays_the_script_alone() {
    let stage = Stage::new();
    let (record, tx) = built(&stage, 3_000_000, vec![]);
    let claims = evaluate(&stage.template(), &record, &tx).unwrap();
    let [claim] = claims.as_slice() else { panic!("{claims:?}") };
    assert_eq!((claim.kind, claim.csv), (ClaimKind::ToLocal, 0));
    assert_eq!(claim.deadline.last_height(wire::units::BlockHeight(100)).unwrap().0, 243);
    let rungs = ladder(claim);
    assert_eq!(rungs.len(), 2);
    for tx in &rungs {
        check_tx(tx, &spent(&claims));
        assert_eq!(tx.output.len(), 1);
        assert_eq!(tx.output[0].script_pubkey, Stage::sweep());
        assert!(tx.input[0].sequence.is_rbf());
    }
    assert!(rungs[1].output[0].value < rungs[0].output[0].value);
}

#[test]
fn scenario_3_what_the_cheater_took_first_is_left_out_and_the_other_signatures_still_hold() {
    let stage = Stage::new();
    let htlcs: Vec<_> = (0..20)
        .map(|id| htlc(if id % 2 == 0 { Offered } else { Received }, id, 40_000 + id, 700))
        .collect();
    let (record, tx) = built(&stage, 3_000_000, htlcs);
    let claims = evaluate(&stage.template(), &record, &tx).unwrap();
    assert_eq!(claims.len(), 21);
    let all: Vec<&Claim> = claims.iter().collect();
    check_tx(&together(&all), &spent(&claims));
    let without: Vec<&Claim> =
        claims.iter().enumerate().filter(|(n, _)| *n != 7).map(|(_, c)| c).collect();
    check_tx(&together(&without), &spent(&claims));
    let mut backwards = without;
    backwards.reverse();
    check_tx(&together(&backwards), &spent(&claims));
}

#[test]
fn scenario_15_htlcs_are_swept_when_the_cheaters_own_output_is_dust() {
    let stage = Stage::new();
    let htlcs = vec![htlc(Received, 1, 900_000, 700), htlc(Offered, 2, 800_000, 800)];
    let (record, tx) = built(&stage, 100, htlcs);
    assert!(record.to_local.is_empty());
    let claims = evaluate(&stage.template(), &record, &tx).unwrap();
    let kinds: Vec<_> = claims.iter().map(|claim| claim.kind).collect();
    assert_eq!(kinds, [ClaimKind::OfferedHtlc, ClaimKind::ReceivedHtlc]);
    check_tx(&together(&claims.iter().collect::<Vec<_>>()), &spent(&claims));
}

#[test]
fn htlcs_that_look_the_same_are_told_apart_by_their_signatures() {
    let stage = Stage::new();
    let alike = |id, sat| htlc(Received, id, sat, 700);
    let mut htlcs: Vec<_> = [600, 50_000, 50_000, 70_000].map(|sat| alike(3, sat)).to_vec();
    for (id, htlc) in (0..).zip(&mut htlcs) {
        htlc.id = id;
    }
    let (record, tx) = built(&stage, 3_000_000, htlcs);
    assert_eq!(record.htlcs.len(), 3, "600 sat are not worth a signature");
    let mut parts = record.split(2);
    let second = parts.pop().unwrap();
    let first = parts.pop().unwrap();
    assert_eq!((first.htlcs.len(), second.htlcs.len(), second.to_local.len()), (2, 1, 0));
    let mut claims = evaluate(&stage.template(), &first, &tx).unwrap();
    claims.extend(evaluate(&stage.template(), &second, &tx).unwrap());
    let mut outpoints: Vec<OutPoint> = claims.iter().map(|claim| claim.outpoint).collect();
    outpoints.sort();
    outpoints.dedup();
    assert_eq!(outpoints.len(), 4, "each output once, in both parts together");
    check_tx(&together(&claims.iter().collect::<Vec<_>>()), &spent(&claims));
}

#[test]
fn a_full_commitment_is_split_into_records_that_fit_a_message() {
    let stage = Stage::new();
    let htlcs: Vec<_> = (0..966)
        .map(|id| htlc(if id % 2 == 0 { Offered } else { Received }, id, 5_000, 700))
        .collect();
    let (record, tx) = built(&stage, 3_000_000, htlcs);
    assert_eq!(record.htlcs.len(), 966);
    let parts = record.split(500);
    let mut claims = Vec::new();
    for part in &parts {
        assert!(part.encoded().len() < 50_000);
        claims.extend(evaluate(&stage.template(), part, &tx).unwrap());
    }
    assert_eq!((parts.len(), claims.len()), (2, 967));
}

#[test]
fn scenario_37_a_malicious_record_leads_to_errors_and_its_good_parts_to_claims() {
    let stage = Stage::new();
    let (record, tx) = built(
        &stage,
        3_000_000,
        vec![htlc(Offered, 1, 50_000, 700), htlc(Received, 2, 60_000, 701)],
    );
    let template = stage.template();
    let kinds = |record: &Record| {
        evaluate(&template, record, &tx)
            .map(|claims| claims.into_iter().map(|claim| claim.kind).collect::<Vec<_>>())
    };
    let zero = Signature([0; 64]);
    let (to_local, offered, received) =
        (ClaimKind::ToLocal, ClaimKind::OfferedHtlc, ClaimKind::ReceivedHtlc);
    assert_eq!(kinds(&record), Ok(vec![to_local, offered, received]));
    let mut bad = record.clone();
    bad.htlcs[0].signature = zero;
    assert_eq!(kinds(&bad), Ok(vec![to_local, received]), "the others are good");
    let mut bad = record.clone();
    bad.to_local[0] = Signature([0xff; 64]);
    assert_eq!(kinds(&bad), Ok(vec![to_local, offered, received]), "the second rung is good");
    let mut bad = record.clone();
    bad.to_local = vec![zero; 2];
    bad.htlcs.clear();
    assert_eq!(kinds(&bad), Err(EvaluateError::Signatures));
    bad.to_local.pop();
    assert_eq!(kinds(&bad), Err(EvaluateError::Ladder { expected: 2, got: 1 }));
    bad.to_local.clear();
    assert_eq!(kinds(&bad), Err(EvaluateError::NoOutput));
    let mut bad = record.clone();
    bad.point = Stage::session();
    assert_eq!(kinds(&bad), Err(EvaluateError::NoOutput), "another point makes other scripts");
    let mut twice = record.clone();
    twice.htlcs = vec![record.htlcs[0]; 966];
    assert_eq!(kinds(&twice), Ok(vec![to_local, offered]), "an output is claimed once");
    let mut bytes = record.point.encoded();
    bytes.extend([0, 0xfd, 0xff, 0xff]);
    assert_eq!(Record::decode_exact(&bytes), Err(DecodeError::Range), "too many HTLCs");
    assert_eq!(Record::decode_exact(&[5; 40]), Err(DecodeError::Point));
}

#[test]
fn scenario_45_no_private_key_is_in_what_an_untrusted_tower_gets() {
    let stage = Stage::new();
    let (record, _) = built(&stage, 3_000_000, vec![htlc(Offered, 1, 50_000, 700)]);
    let stored = [stage.template().encoded(), record.encoded()].concat();
    let ours = stage.us.revocation_key();
    assert_eq!(
        SecretKey::from_slice(&*ours).unwrap().public_key(SECP256K1),
        stage.us.basepoints().revocation
    );
    // The basepoint itself, and the key of this very state, which with the peer's secret would give it.
    let secret = Stage::secret(NUMBER).0;
    let with_peer = [&stored[..], &secret].concat();
    for window in with_peer.windows(32) {
        let key: [u8; 32] = window.try_into().unwrap();
        let Ok(key) = SecretKey::from_slice(&key) else { continue };
        let public = key.public_key(SECP256K1);
        assert_ne!(public, stage.us.basepoints().revocation);
        assert_ne!(public, stage.commitment(NUMBER, 3_000_000, vec![]).keys().revocation);
    }
}

#[test]
fn a_template_from_outside_is_checked() {
    let stage = Stage::new();
    let good = stage.template();
    assert_eq!(Template::from_bytes(&good.encoded()), Ok(good.clone()));
    let refused = |change: &dyn Fn(&mut Template)| {
        let mut template = good.clone();
        change(&mut template);
        Template::from_bytes(&template.encoded()).is_err()
    };
    assert!(refused(&|it| it.ladder.clear()));
    assert!(refused(&|it| it.ladder.reverse()), "prices must rise");
    assert!(refused(&|it| it.ladder = vec![it.ladder[0]; 5]));
    assert!(refused(&|it| it.tx_version = 1));
    assert!(refused(&|it| it.channel_type = 2));
    assert!(refused(&|it| it.sweep_script = bitcoin::ScriptBuf::new()));
    assert!(refused(&|it| it.sweep_script = bitcoin::ScriptBuf::from_bytes(vec![0x6a; 34])));
}

#[test]
fn claims_survive_their_own_encoding() {
    let stage = Stage::new();
    let (record, tx) = built(&stage, 3_000_000, vec![htlc(Received, 1, 50_000, 700)]);
    for claim in evaluate(&stage.template(), &record, &tx).unwrap() {
        assert_eq!(Claim::decode_exact(&claim.encoded()), Ok(claim));
    }
    let commitment = stage.commitment(3, 1_000_000, vec![]);
    for claim in stage.replica(9).evaluate(commitment.tx(), []).unwrap() {
        assert_eq!(Claim::decode_exact(&claim.encoded()), Ok(claim));
    }
}
