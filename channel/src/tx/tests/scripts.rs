//! Who can spend which output, when, and who cannot: judged by `bitcoinconsensus`.

use super::*;

/// The signed commitment of `owner` and the output of each kind.
struct Case {
    pair: Pair,
    commitment: Commitment,
    tx: Transaction,
    htlc_signatures: Vec<Signature>,
}

impl Case {
    fn new(owner: Side) -> Self {
        let pair = Pair::new();
        let (commitment, tx, htlc_signatures) = pair.signed(owner, 5, &spec());
        Self { pair, commitment, tx, htlc_signatures }
    }

    fn find(&self, kind: OutputKind) -> (OutPoint, TxOut) {
        let (outpoint, _, txout) =
            self.commitment.outputs().find(|(_, found, _)| *found == kind).unwrap();
        (outpoint, txout.clone())
    }

    fn htlc(&self, direction: Direction, id: u64) -> (usize, HtlcOutput, TxOut) {
        let htlcs = self.commitment.htlcs();
        let place = (htlcs.iter())
            .position(|output| output.htlc.direction == direction && output.htlc.id == id)
            .unwrap();
        let (outpoint, txout) = self.find(OutputKind::Htlc(place));
        assert_eq!(outpoint.vout, htlcs[place].vout);
        (place, htlcs[place].clone(), txout)
    }

    fn point(&self) -> PublicKey {
        self.commitment.keys().per_commitment_point
    }

    fn direct(&self, output: &HtlcOutput, key: HtlcKey) -> Spend {
        Spend {
            outpoint: self.commitment.htlc_outpoint(output),
            value: output.value,
            witness_script: output.witness_script.clone(),
            recipe: Recipe::HtlcDirect { point: self.point(), key },
        }
    }

    fn second_level(&self, direction: Direction, id: u64, key: HtlcKey) -> (Spend, TxOut) {
        let (place, output, txout) = self.htlc(direction, id);
        (self.commitment.htlc_spend(&output, self.htlc_signatures[place], key), txout)
    }
}

fn delayed(commitment: &Commitment, outpoint: OutPoint, value: Sat, to_self_delay: u16) -> Spend {
    Spend {
        outpoint,
        value,
        witness_script: commitment.delayed_script(),
        recipe: Recipe::Delayed { point: commitment.keys().per_commitment_point, to_self_delay },
    }
}

#[test]
fn either_owner_broadcasts_its_commitment() {
    for owner in [Side::Us, Side::Them] {
        let case = Case::new(owner);
        assert!(accepts(&case.tx, 0, &case.commitment.terms().funding.to_txout()));
        let unsigned = case.commitment.tx();
        assert!(!accepts(unsigned, 0, &case.commitment.terms().funding.to_txout()));
    }
}

#[test]
fn the_owner_waits_for_its_own_money_and_the_other_cannot_take_it() {
    for (owner, delay) in [(Side::Us, Pair::THEIR_DELAY), (Side::Them, Pair::OUR_DELAY)] {
        let case = Case::new(owner);
        let (outpoint, txout) = case.find(OutputKind::ToOwner);
        let spend = delayed(&case.commitment, outpoint, txout.value, delay);
        assert!(spends(case.pair.signer(owner), &spend, &txout));
        assert!(!spends(case.pair.signer(!owner), &spend, &txout));
        let hasty = delayed(&case.commitment, outpoint, txout.value, delay - 1);
        assert!(!spends(case.pair.signer(owner), &hasty, &txout));
    }
}

#[test]
fn the_other_takes_its_balance_one_block_later() {
    let case = Case::new(Side::Them);
    let (outpoint, txout) = case.find(OutputKind::ToOther);
    let spend = Spend {
        outpoint,
        value: txout.value,
        witness_script: script::to_remote(&case.commitment.keys().other_payment),
        recipe: Recipe::ToRemote,
    };
    assert!(spends(&case.pair.us, &spend, &txout));
    assert!(!spends(&case.pair.them, &spend, &txout));
    let mut hasty = sweep(&[&spend]);
    hasty.input[0].sequence = Sequence::ZERO;
    case.pair.us.sign_spends(&mut hasty, &[&spend]).unwrap();
    assert!(!accepts(&hasty, 0, &txout));
}

#[test]
fn each_side_bumps_with_its_own_anchor_and_anybody_takes_it_after_sixteen_blocks() {
    let case = Case::new(Side::Us);
    for (party, side) in [(Party::Owner, Side::Us), (Party::Other, Side::Them)] {
        let (outpoint, txout) = case.find(OutputKind::Anchor(party));
        let signer = case.pair.signer(side);
        let witness_script = script::anchor(&signer.basepoints().funding);
        let spend = Spend { outpoint, value: txout.value, witness_script, recipe: Recipe::Anchor };
        assert!(spends(signer, &spend, &txout));
        let stranger = case.pair.signer(!side).sign_spends(&mut sweep(&[&spend]), &[&spend]);
        assert_eq!(stranger, Err(crate::signer::SignRefusal::Foreign));
        for (blocks, taken) in [(15, false), (16, true)] {
            let mut tx = sweep(&[&spend]);
            tx.input[0].sequence = Sequence::from_height(blocks);
            tx.input[0].witness = Witness::from_slice(&[&[][..], spend.witness_script.as_bytes()]);
            assert_eq!(accepts(&tx, 0, &txout), taken);
        }
    }
}

#[test]
fn the_owner_takes_an_incoming_htlc_through_htlc_success() {
    let case = Case::new(Side::Us);
    let (spend, txout) = case.second_level(Direction::Received, 0, HtlcKey::Preimage(PREIMAGE));
    assert!(spends(&case.pair.us, &spend, &txout));
    let wrong = HtlcKey::Preimage(Preimage([1; 32]));
    let (spend, txout) = case.second_level(Direction::Received, 0, wrong);
    assert!(!spends(&case.pair.us, &spend, &txout));
    let expired = HtlcKey::Expiry(BlockHeight(700_001));
    let (spend, txout) = case.second_level(Direction::Received, 0, expired);
    assert!(!spends(&case.pair.us, &spend, &txout));
}

#[test]
fn the_owner_takes_an_outgoing_htlc_back_through_htlc_timeout() {
    let case = Case::new(Side::Us);
    let expiry = HtlcKey::Expiry(BlockHeight(700_000));
    let (spend, txout) = case.second_level(Direction::Offered, 0, expiry);
    assert!(spends(&case.pair.us, &spend, &txout));
    // The peer signed the lock time, so it cannot be earlier.
    let early = HtlcKey::Expiry(BlockHeight(699_999));
    let (spend, txout) = case.second_level(Direction::Offered, 0, early);
    assert!(!spends(&case.pair.us, &spend, &txout));
}

#[test]
fn coins_for_the_fee_are_added_to_htlc_transactions_of_one_expiry() {
    let case = Case::new(Side::Us);
    let expiry = HtlcKey::Expiry(BlockHeight(700_000));
    let (spend, txout) = case.second_level(Direction::Offered, 0, expiry);
    let mut tx = sweep(&[&spend]);
    tx.input.push(coin(1));
    tx.input.push(coin(2));
    case.pair.us.sign_spends(&mut tx, &[&spend]).unwrap();
    assert!(accepts(&tx, 0, &txout));
    // Our own signature covers everything: a stranger cannot lead the fee away.
    tx.output.pop();
    assert!(!accepts(&tx, 0, &txout));
}

#[test]
fn a_second_level_output_belongs_to_the_owner_after_the_delay() {
    let case = Case::new(Side::Us);
    let (spend, _) = case.second_level(Direction::Received, 0, HtlcKey::Preimage(PREIMAGE));
    let tx = sweep(&[&spend]);
    let outpoint = OutPoint { txid: tx.compute_txid(), vout: 0 };
    let spend = delayed(&case.commitment, outpoint, tx.output[0].value, Pair::THEIR_DELAY);
    assert!(spends(&case.pair.us, &spend, &tx.output[0]));
    assert!(!spends(&case.pair.them, &spend, &tx.output[0]));
}

#[test]
fn the_other_takes_an_htlc_directly_with_preimage_or_after_expiry() {
    let case = Case::new(Side::Them);
    let preimage = HtlcKey::Preimage(PREIMAGE);
    let (_, offered, txout) = case.htlc(Direction::Offered, 0);
    assert!(spends(&case.pair.us, &case.direct(&offered, preimage), &txout));
    let expired = HtlcKey::Expiry(BlockHeight(800_000));
    assert!(!spends(&case.pair.us, &case.direct(&offered, expired), &txout));

    let (_, received, txout) = case.htlc(Direction::Received, 0);
    let expired = HtlcKey::Expiry(received.htlc.cltv_expiry);
    assert!(spends(&case.pair.us, &case.direct(&received, expired), &txout));
    let early = HtlcKey::Expiry(received.htlc.cltv_expiry.saturating_sub(1));
    assert!(!spends(&case.pair.us, &case.direct(&received, early), &txout));
    assert!(!spends(&case.pair.us, &case.direct(&received, preimage), &txout));
}

#[test]
fn a_cheater_loses_every_output_at_once() {
    let case = Case::new(Side::Them);
    let secret = RevokedSecret(case.pair.them_secret(5));
    let revoked = penalty::Revoked::new(case.commitment.terms(), case.commitment.keys(), secret);
    let penalties = revoked.penalties(&case.tx, &spec().htlcs);
    assert_eq!(penalties.len(), 4, "its balance and three HTLCs");
    let all: Vec<_> = penalties.iter().map(|(spend, _)| spend).collect();
    let mut tx = sweep(&all);
    case.pair.us.sign_spends(&mut tx, &all).unwrap();
    for (place, spend) in all.iter().enumerate() {
        let spent = &case.tx.output[usize::try_from(spend.outpoint.vout).unwrap()];
        assert!(accepts(&tx, place, spent), "{spend:?}");
        assert!(spends(&case.pair.us, spend, spent));
    }
    let htlcs = penalties.iter().filter_map(|(_, htlc)| *htlc);
    assert_eq!(htlcs.count(), 3);
}

#[test]
fn no_secret_but_the_right_one_punishes() {
    let case = Case::new(Side::Them);
    let secret = RevokedSecret(case.pair.them_secret(4));
    let revoked = penalty::Revoked::new(case.commitment.terms(), case.commitment.keys(), secret);
    for (spend, _) in revoked.penalties(&case.tx, &spec().htlcs) {
        let spent = &case.tx.output[usize::try_from(spend.outpoint.vout).unwrap()];
        assert!(!spends(&case.pair.us, &spend, spent));
    }
}

#[test]
fn a_cheater_that_spends_its_htlcs_first_loses_what_it_made_of_them() {
    let case = Case::new(Side::Them);
    let success = case.second_level(Direction::Received, 0, HtlcKey::Preimage(PREIMAGE)).0;
    let expiry = HtlcKey::Expiry(BlockHeight(700_000));
    let timeout = case.second_level(Direction::Offered, 0, expiry).0;
    // Two in one transaction, which the peer's signatures allow if the lock times agree; success has
    // none of its own, so it is signed for nothing but zero. Each pairs with its own place.
    let secret = RevokedSecret(case.pair.them_secret(5));
    let revoked = penalty::Revoked::new(case.commitment.terms(), case.commitment.keys(), secret);
    let tx = sweep(&[&success, &timeout]);
    for (place, spend) in [&success, &timeout].into_iter().enumerate() {
        let penalty = revoked.second_stage(&tx, tx.compute_txid(), spend.outpoint).unwrap();
        assert_eq!(usize::try_from(penalty.outpoint.vout).unwrap(), place);
        assert!(spends(&case.pair.us, &penalty, &tx.output[place]));
    }
    let elsewhere = coin(3).previous_output;
    assert_eq!(revoked.second_stage(&tx, tx.compute_txid(), elsewhere), None);
}

#[test]
fn flipped_or_swapped_signatures_are_refused() {
    let case = Case::new(Side::Us);
    let theirs = case.pair.commitment(Side::Them, Side::Us, 5, &spec());
    let signed = case.pair.them.sign_theirs(&theirs, &Inline).unwrap();
    let verify = |signature: &Signature, htlcs: &[Signature]| {
        case.commitment.verify(signature, htlcs, &Inline)
    };
    assert_eq!(verify(&signed.signature, &signed.htlcs), Ok(()));
    let (all, missing) = (signed.htlcs.len(), &signed.htlcs[1..]);
    let count = SignatureFault::Count { expected: all, got: all - 1 };
    assert_eq!(verify(&signed.signature, missing), Err(count));
    assert_eq!(verify(&signed.htlcs[0], &signed.htlcs), Err(SignatureFault::Wrong));
    assert_eq!(verify(&high(&signed.signature), &signed.htlcs), Err(SignatureFault::HighS));
    for place in 0..all {
        for bad in [high(&signed.htlcs[place]), signed.signature, Signature([0xff; 64])] {
            let mut htlcs = signed.htlcs.clone();
            htlcs[place] = bad;
            let fault = SignatureFault::Htlc(place);
            assert_eq!(verify(&signed.signature, &htlcs), Err(fault));
        }
    }
}

/// The same signature with `n - s`: as good to the curve, refused by every relaying node.
fn high(signature: &Signature) -> Signature {
    let mut bytes = signature.0;
    let s = secp256k1::SecretKey::from_slice(&bytes[32..]).unwrap().negate();
    bytes[32..].copy_from_slice(&s.secret_bytes());
    Signature(bytes)
}
