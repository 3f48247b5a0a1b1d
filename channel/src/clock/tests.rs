//! The walk of one update, turn by turn.

use super::*;

const TURNS: [Turn; 4] = [
    Turn::Signed(Side::Us),
    Turn::Revoked(Side::Us),
    Turn::Signed(Side::Them),
    Turn::Revoked(Side::Them),
];

fn walk(proposer: Side) -> [Turn; 4] {
    let peer = !proposer;
    [Turn::Signed(proposer), Turn::Revoked(peer), Turn::Signed(peer), Turn::Revoked(proposer)]
}

#[test]
fn only_the_awaited_turn_carries_an_update_on() {
    for proposer in [Side::Us, Side::Them] {
        let mut clock = Clock::new(proposer);
        for awaited in walk(proposer) {
            for turn in TURNS {
                assert_eq!(clock.awaits(turn), turn == awaited, "{clock:?} {turn:?}");
                if turn != awaited {
                    assert_eq!(clock.after(turn), clock);
                }
            }
            clock.tick(awaited);
        }
        assert!(clock.is_irrevocable());
        assert!(TURNS.iter().all(|turn| !clock.awaits(*turn)));
    }
}

#[test]
fn the_peer_sees_an_update_first_and_the_proposer_last() {
    for proposer in [Side::Us, Side::Them] {
        let mut clock = Clock::new(proposer);
        let mut seen = vec![(clock.shown_to(!proposer), clock.shown_to(proposer))];
        for turn in walk(proposer) {
            clock.tick(turn);
            seen.push((clock.shown_to(!proposer), clock.shown_to(proposer)));
        }
        assert_eq!(
            seen,
            [(false, false), (true, false), (true, false), (true, true), (true, true)]
        );
        assert_eq!(clock.proposer(), proposer);
    }
}

#[test]
fn a_proposal_is_what_nobody_signed() {
    let clock = Clock::new(Side::Us);
    assert!(clock.is_proposed() && !clock.is_irrevocable());
    let signed = clock.after(Turn::Signed(Side::Us));
    assert!(!signed.is_proposed() && !signed.is_irrevocable());
}

#[test]
fn moments_survive_their_codes() {
    for code in 0..5 {
        assert_eq!(Moment::from_code(code).unwrap().code(), code);
    }
    assert_eq!(Moment::from_code(5), None);
}
