//! The table is a table.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_fault_has_its_own_number_and_its_own_words() {
    let codes: BTreeSet<_> = PeerFault::ALL.iter().map(|fault| fault.code()).collect();
    let words: BTreeSet<_> = PeerFault::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(codes.len(), PeerFault::ALL.len());
    assert!(words.len() >= PeerFault::ALL.len() - 1, "two numbers of channel_reestablish differ");
    for fault in PeerFault::ALL {
        assert_eq!(PeerFault::from_code(fault.code()), Some(*fault));
    }
    assert_eq!(PeerFault::from_code(255), None);
}

#[test]
fn whoever_may_hold_another_state_is_failed_and_nobody_else() {
    for fault in [
        PeerFault::BadCommitmentSignature,
        PeerFault::BadRevocationSecret,
        PeerFault::BadLastSecret,
        PeerFault::AskedToFail,
    ] {
        assert_eq!(fault.reaction(), Reaction::FailChannel);
    }
    for fault in [PeerFault::HtlcIdOutOfOrder, PeerFault::OutOfPlace, PeerFault::NotNegotiated] {
        assert_eq!(fault.reaction(), Reaction::Warn);
    }
    assert_eq!(PeerFault::WrongFundingTxid.reaction(), Reaction::Ignore);
}
