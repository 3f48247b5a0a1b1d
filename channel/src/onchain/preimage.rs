//! Preimages in witnesses. BOLT 5 § HTLC Output Handling.

use std::collections::BTreeMap;

use bitcoin::Transaction;
use wire::id::{PaymentHash, Preimage};

/// The preimages of these hashes that a transaction shows, wherever in its witnesses they stand.
///
/// Not only where an HTLC script has them: who claims how, and from which commitment, must not matter.
/// Also meant for transactions that are not confirmed yet.
pub fn preimages_in<'a>(
    tx: &Transaction,
    hashes: impl IntoIterator<Item = &'a PaymentHash>,
) -> BTreeMap<PaymentHash, Preimage> {
    let hashes: Vec<_> = hashes.into_iter().collect();
    (tx.input.iter())
        .flat_map(|input| input.witness.iter())
        .filter_map(|element| Some(Preimage(element.try_into().ok()?)))
        .map(|preimage| (preimage.hash(), preimage))
        .filter(|(hash, _)| hashes.contains(&hash))
        .collect()
}
