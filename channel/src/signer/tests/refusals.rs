//! What the signer does not do, whoever asks.

use super::*;
use crate::tx::tests::{Pair, spec};
use crate::tx::{Inline, LegacyClose};

const SIGNATURE: Signature = Signature([1; 64]);

#[test]
fn a_revoked_commitment_of_ours_is_never_signed() {
    let pair = Pair::new();
    let ours = |number| pair.commitment(Side::Us, Side::Us, number, &spec());
    pair.us.reveal(3).unwrap();
    for number in 0..=3 {
        let refusal = SignRefusal::Revoked { number, revealed: 4 };
        assert_eq!(pair.us.sign_ours(&ours(number), &SIGNATURE), Err(refusal));
    }
    assert!(pair.us.sign_ours(&ours(4), &SIGNATURE).is_ok());
}

#[test]
fn the_secret_of_a_commitment_that_may_be_on_the_chain_is_never_revealed() {
    let pair = Pair::new();
    let ours = pair.commitment(Side::Us, Side::Us, 4, &spec());
    assert!(pair.us.sign_ours(&ours, &SIGNATURE).is_ok());
    assert_eq!(pair.us.reveal(4), Err(SignRefusal::Broadcast { number: 4 }));
    assert_eq!(pair.us.reveal(5), Err(SignRefusal::Broadcast { number: 5 }));
    // What was revealed before may be said again, as after a reconnection.
    assert!(pair.us.reveal(3).is_ok());
}

#[test]
fn their_commitments_only_go_forward() {
    let pair = Pair::new();
    let theirs = |number| pair.commitment(Side::Us, Side::Them, number, &spec());
    for number in [0, 1, 1, 7] {
        assert!(pair.us.sign_theirs(&theirs(number), &Inline).is_ok());
    }
    let refusal = SignRefusal::Backwards { number: 6, last: 7 };
    assert_eq!(pair.us.sign_theirs(&theirs(6), &Inline), Err(refusal));
}

#[test]
fn a_signer_that_is_made_again_remembers() {
    let pair = Pair::new();
    let memory = Memory { revealed: 2, signed_theirs: 5, broadcast: Some(3) };
    let signer = InMemorySigner::new(&[1; 32], 3, memory).unwrap();
    let ours = pair.commitment(Side::Us, Side::Us, 1, &spec());
    let refusal = SignRefusal::Revoked { number: 1, revealed: 2 };
    assert_eq!(signer.sign_ours(&ours, &SIGNATURE), Err(refusal));
    let theirs = pair.commitment(Side::Us, Side::Them, 4, &spec());
    let refusal = SignRefusal::Backwards { number: 4, last: 5 };
    assert_eq!(signer.sign_theirs(&theirs, &Inline), Err(refusal));
    assert_eq!(signer.reveal(3), Err(SignRefusal::Broadcast { number: 3 }));
}

#[test]
fn commitments_of_the_wrong_side_or_of_another_channel_are_not_signed() {
    let pair = Pair::new();
    let ours = pair.commitment(Side::Us, Side::Us, 0, &spec());
    let theirs = pair.commitment(Side::Us, Side::Them, 0, &spec());
    assert_eq!(pair.us.sign_theirs(&ours, &Inline), Err(SignRefusal::Foreign));
    assert_eq!(pair.us.sign_ours(&theirs, &SIGNATURE), Err(SignRefusal::Foreign));
    let stranger = InMemorySigner::new(&[1; 32], 4, Memory::default()).unwrap();
    assert_eq!(stranger.sign_ours(&ours, &SIGNATURE), Err(SignRefusal::Foreign));
    assert_eq!(stranger.sign_theirs(&theirs, &Inline), Err(SignRefusal::Foreign));
    let payout = |balance| crate::tx::Payout { script: bitcoin::ScriptBuf::new(), balance };
    let close = LegacyClose {
        funding: ours.terms().funding.clone(),
        ours: payout(wire::units::Msat::new(1_000_000_000).unwrap()),
        theirs: payout(wire::units::Msat::ZERO),
        funder: Side::Us,
    };
    let close = close.build(wire::units::Sat::ZERO, wire::units::Sat::ZERO, None).unwrap();
    assert_eq!(stranger.sign_close(&close), Err(SignRefusal::Foreign));
    assert!(pair.us.sign_close(&close).is_ok());
}

#[test]
fn a_claimed_secret_is_checked_and_not_revealed() {
    let pair = Pair::new();
    let secret = InMemorySigner::new(&[1; 32], 3, Memory::default()).unwrap().reveal(7).unwrap();
    assert!(pair.us.is_our_secret(7, &secret));
    assert!(!pair.us.is_our_secret(6, &secret));
    assert!(!pair.us.is_our_secret(1 << 48, &secret));
    let ours = pair.commitment(Side::Us, Side::Us, 0, &spec());
    assert!(pair.us.sign_ours(&ours, &SIGNATURE).is_ok());
}
