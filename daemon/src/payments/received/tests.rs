//! The fold over invoices: what is held, until when, and that a row says all of it again.

use wire::id::PaymentSecret;
use wire::units::Msat;

use super::*;
use crate::fact::CancelReason;
use crate::state::rows::{decode_asked, encode_asked};

fn msat(amount: u64) -> Msat {
    Msat::new(amount).unwrap()
}

fn hash() -> PaymentHash {
    Preimage([1; 32]).hash()
}

fn made() -> Fact {
    Fact::InvoiceMade(InvoiceMade {
        payment_hash: hash(),
        preimage: None,
        hold: true,
        payment_secret: PaymentSecret([2; 32]),
        metadata: Some(vec![7]),
        amount: Some(msat(10_000)),
        bolt11: "lnbcrt1".into(),
        description: "".into(),
        description_hash: None,
        created_ms: 0,
        expires_ms: 2_000,
        min_final_cltv_delta: 144,
    })
}

fn held() -> Fact {
    Fact::InvoiceHeld(InvoiceHeld {
        payment_hash: hash(),
        received: msat(10_000),
        expiry: BlockHeight(300),
        parts: vec![(1, 0), (2, 5)],
        height: BlockHeight(150),
        at_ms: 1_500,
    })
}

fn given() -> Fact {
    Fact::PreimageGiven(PreimageGiven {
        payment_hash: hash(),
        preimage: Preimage([1; 32]),
        at_ms: 1_600,
    })
}

fn settled() -> Fact {
    Fact::InvoiceSettled(InvoiceSettled {
        payment_hash: hash(),
        received: msat(10_000),
        at_ms: 1_600,
        parts: vec![(1, 0), (2, 5)],
    })
}

fn cancelled() -> Fact {
    let why = CancelReason::NearExpiry { height: BlockHeight(280) };
    Fact::InvoiceCancelled(InvoiceCancelled { payment_hash: hash(), why, at_ms: 1_700 })
}

fn after(facts: &[Fact]) -> AskedBook {
    let mut book = AskedBook::default();
    facts.iter().for_each(|fact| book.apply(Lsn(4), fact));
    book
}

#[test]
fn an_invoice_is_open_then_held_then_settled_or_taken_back() {
    let book = after(&[made()]);
    let asked = book.get(hash()).unwrap();
    assert_eq!(asked.state(1_000, false), InvoiceState::Open);
    assert_eq!(asked.state(1_000, true), InvoiceState::Accepted);
    assert_eq!(asked.state(2_000, false), InvoiceState::Expired);
    assert_eq!((asked.preimage(), asked.held_until()), (None, None));
    assert_eq!(book.held().count(), 0);

    let book = after(&[made(), held()]);
    let asked = book.get(hash()).unwrap();
    let state = InvoiceState::Held {
        received: msat(10_000),
        at: UnixMillis(1_500),
        until: BlockHeight(300 - FAIL_BACK_BLOCKS),
    };
    // Also when the invoice would have expired, and before any channel told of its HTLCs again.
    assert_eq!(asked.state(9_000, false), state);
    assert_eq!(book.held().map(Asked::hash).collect::<Vec<_>>(), [hash()]);

    let book = after(&[made(), held(), given(), settled()]);
    let asked = book.get(hash()).unwrap();
    assert!(matches!(asked.state(9_000, false), InvoiceState::Settled { .. }));
    assert_eq!((asked.preimage(), asked.held_until()), (Some(Preimage([1; 32])), None));
    assert_eq!(book.held().count(), 0);

    let book = after(&[made(), held(), cancelled()]);
    let asked = book.get(hash()).unwrap();
    let InvoiceState::Cancelled { why } = asked.state(9_000, false) else { panic!("{asked:?}") };
    assert!(why.to_string().contains("at height 280"), "{why}");
    assert_eq!(book.held().count(), 0);
}

#[test]
fn a_row_says_all_of_it_again() {
    for facts in [
        vec![made()],
        vec![made(), held()],
        vec![made(), held(), given(), settled()],
        vec![made(), held(), cancelled()],
        vec![made(), cancelled()],
    ] {
        let book = after(&facts);
        let asked = book.get(hash()).unwrap();
        let again = decode_asked(&encode_asked(asked)).unwrap();
        assert_eq!(&again, asked);
        let mut other = AskedBook::default();
        other.put(again);
        assert_eq!(other, book, "what is held is held in a snapshot, too");
    }
}

#[test]
fn what_is_forgotten_is_not_held_any_more() {
    let mut book = after(&[made(), held()]);
    book.forget(|_| true);
    assert_eq!(book, AskedBook::default());
    let mut book = after(&[made(), held()]);
    book.remove(hash());
    assert_eq!(book, AskedBook::default());
}
