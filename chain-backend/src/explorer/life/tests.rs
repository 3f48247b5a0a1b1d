//! One transaction of each kind, made by the templates of BOLT 3.

use super::*;
use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::opcodes::all as op;
use bitcoin::script::Builder;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Txid};

const SIG: [u8; 71] = [0x30; 71];
const PREIMAGE: [u8; 32] = [5; 32];

fn key(byte: u8) -> [u8; 33] {
    let mut key = [byte; 33];
    key[0] = 2;
    key
}

fn funding() -> ScriptBuf {
    Builder::new()
        .push_int(2)
        .push_slice(key(1))
        .push_slice(key(2))
        .push_int(2)
        .push_opcode(op::OP_CHECKMULTISIG)
        .into_script()
}

fn delayed(delay: i64) -> ScriptBuf {
    Builder::new()
        .push_opcode(op::OP_IF)
        .push_slice(key(3))
        .push_opcode(op::OP_ELSE)
        .push_int(delay)
        .push_opcode(op::OP_CSV)
        .push_opcode(op::OP_DROP)
        .push_slice(key(4))
        .push_opcode(op::OP_ENDIF)
        .push_opcode(op::OP_CHECKSIG)
        .into_script()
}

fn to_remote() -> ScriptBuf {
    Builder::new()
        .push_slice(key(5))
        .push_opcode(op::OP_CHECKSIGVERIFY)
        .push_int(1)
        .push_opcode(op::OP_CSV)
        .into_script()
}

fn anchor() -> ScriptBuf {
    Builder::new()
        .push_slice(key(1))
        .push_opcode(op::OP_CHECKSIG)
        .push_opcode(op::OP_IFDUP)
        .push_opcode(op::OP_NOTIF)
        .push_int(16)
        .push_opcode(op::OP_CSV)
        .push_opcode(op::OP_ENDIF)
        .into_script()
}

fn htlc_begin() -> Builder {
    Builder::new()
        .push_opcode(op::OP_DUP)
        .push_opcode(op::OP_HASH160)
        .push_slice([6; 20])
        .push_opcode(op::OP_EQUAL)
        .push_opcode(op::OP_IF)
        .push_opcode(op::OP_CHECKSIG)
        .push_opcode(op::OP_ELSE)
        .push_slice(key(7))
        .push_opcode(op::OP_SWAP)
        .push_opcode(op::OP_SIZE)
        .push_int(32)
        .push_opcode(op::OP_EQUAL)
}

fn htlc_end(script: Builder, anchors: bool) -> ScriptBuf {
    let script = if anchors {
        script.push_int(1).push_opcode(op::OP_CSV).push_opcode(op::OP_DROP)
    } else {
        script
    };
    script.push_opcode(op::OP_ENDIF).into_script()
}

fn offered(anchors: bool) -> ScriptBuf {
    let script = htlc_begin()
        .push_opcode(op::OP_NOTIF)
        .push_opcode(op::OP_DROP)
        .push_int(2)
        .push_opcode(op::OP_SWAP)
        .push_slice(key(8))
        .push_int(2)
        .push_opcode(op::OP_CHECKMULTISIG)
        .push_opcode(op::OP_ELSE)
        .push_opcode(op::OP_HASH160)
        .push_slice([9; 20])
        .push_opcode(op::OP_EQUALVERIFY)
        .push_opcode(op::OP_CHECKSIG)
        .push_opcode(op::OP_ENDIF);
    htlc_end(script, anchors)
}

fn received(anchors: bool, expiry: i64) -> ScriptBuf {
    let script = htlc_begin()
        .push_opcode(op::OP_IF)
        .push_opcode(op::OP_HASH160)
        .push_slice([9; 20])
        .push_opcode(op::OP_EQUALVERIFY)
        .push_int(2)
        .push_opcode(op::OP_SWAP)
        .push_slice(key(8))
        .push_int(2)
        .push_opcode(op::OP_CHECKMULTISIG)
        .push_opcode(op::OP_ELSE)
        .push_opcode(op::OP_DROP)
        .push_int(expiry)
        .push_opcode(op::OP_CLTV)
        .push_opcode(op::OP_DROP)
        .push_opcode(op::OP_CHECKSIG)
        .push_opcode(op::OP_ENDIF);
    htlc_end(script, anchors)
}

fn wallet() -> ScriptBuf {
    ScriptBuf::from_bytes([vec![0x00, 0x14], vec![7; 20]].concat())
}

fn output(sat: u64, script_pubkey: ScriptBuf) -> TxOut {
    TxOut { value: Amount::from_sat(sat), script_pubkey }
}

/// Spends these scripts with these witnesses (without the script itself), and makes these outputs.
fn tx(inputs: &[(&ScriptBuf, &[&[u8]])], outputs: Vec<TxOut>) -> (Transaction, Vec<TxOut>) {
    let mut spent = Vec::new();
    let mut input = Vec::new();
    for (number, (script, items)) in (0_u32..).zip(inputs) {
        let mut witness = Witness::from_slice(items);
        witness.push(script.as_bytes());
        spent.push(output(100_000, script.to_p2wsh()));
        let previous_output = OutPoint::new(Txid::from_byte_array([1; 32]), number);
        input.push(TxIn {
            previous_output,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness,
        });
    }
    (
        Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input, output: outputs },
        spent,
    )
}

fn name(inputs: &[(&ScriptBuf, &[&[u8]])]) -> Kind {
    let (tx, spent) = tx(inputs, vec![output(90_000, wallet())]);
    Life::of(&tx, &spent, &[]).name()
}

fn commitment(outputs: Vec<TxOut>) -> (Transaction, Vec<TxOut>) {
    let (mut tx, spent) = tx(&[(&funding(), &[&[], &SIG, &SIG])], outputs);
    tx.lock_time = LockTime::from_consensus(0x2012_3456);
    tx.input[0].sequence = Sequence::from_consensus(0x8065_4321);
    (tx, spent)
}

#[test]
fn a_commitment_is_told_by_its_number_and_its_format_by_its_anchors() {
    let p2a = ScriptBuf::from_bytes(OPEN_ANCHOR.to_vec());
    let balance = || output(50_000, delayed(144).to_p2wsh());
    for (outputs, format) in [
        (vec![balance(), output(40_000, wallet())], Format::Legacy),
        (vec![output(330, anchor().to_p2wsh()), balance()], Format::Anchors),
        (vec![output(240, p2a), balance()], Format::ZeroFee),
    ] {
        let (tx, spent) = commitment(outputs);
        let life = Life::of(&tx, &spent, &[]);
        assert_eq!(life.kinds, [Kind::Commitment(format)]);
        assert_eq!(life.inputs, [Some((Part::Funding, Way::Together))]);
    }
    let (tx, spent) = commitment(vec![output(330, anchor().to_p2wsh()), balance()]);
    let life = Life::of(&tx, &spent, &[None, Some(Part::Delayed { delay: 144 })]);
    assert_eq!(life.outputs, [Some(Part::Anchor), Some(Part::Delayed { delay: 144 })]);
}

#[test]
fn a_funding_that_both_spend_without_a_number_is_a_close_and_with_others_a_splice() {
    assert_eq!(name(&[(&funding(), &[&[], &SIG, &SIG])]), Kind::Close);
    let both: [(&ScriptBuf, &[&[u8]]); 2] =
        [(&funding(), &[&[], &SIG, &SIG]), (&to_remote(), &[&SIG])];
    assert_eq!(name(&both), Kind::Splice);
    // A close may have a lock time, a block's height.
    let (mut tx, spent) = tx(&[(&funding(), &[&[], &SIG, &SIG])], vec![output(90_000, wallet())]);
    tx.lock_time = LockTime::from_consensus(700);
    assert_eq!(Life::of(&tx, &spent, &[]).name(), Kind::Close);
}

#[test]
fn every_end_of_every_output_has_its_name() {
    for anchors in [false, true] {
        let (offered, received) = (offered(anchors), received(anchors, 800_000));
        let cases: [(&ScriptBuf, &[&[u8]], Kind); 7] = [
            (&offered, &[&[], &SIG, &SIG, &[]], Kind::HtlcTimeout),
            (&offered, &[&SIG, &PREIMAGE], Kind::HtlcClaim),
            (&offered, &[&SIG, &key(6)], Kind::Penalty),
            (&received, &[&[], &SIG, &SIG, &PREIMAGE], Kind::HtlcSuccess),
            (&received, &[&SIG, &[]], Kind::HtlcRefund),
            (&received, &[&SIG, &key(6)], Kind::Penalty),
            (&delayed(2016), &[&SIG, &[1]], Kind::Penalty),
        ];
        for (script, witness, kind) in cases {
            assert_eq!(name(&[(script, witness)]), kind, "{kind:?}, anchors {anchors}");
        }
    }
    assert_eq!(name(&[(&delayed(5), &[&SIG, &[]])]), Kind::DelayedSweep);
    assert_eq!(name(&[(&to_remote(), &[&SIG])]), Kind::BalanceSweep);
    assert_eq!(name(&[(&anchor(), &[&SIG])]), Kind::AnchorSweep);
    assert_eq!(name(&[(&anchor(), &[&[]])]), Kind::AnchorSweep);
}

#[test]
fn the_anchor_that_is_anybodys_is_known_without_a_witness() {
    let (mut tx, mut spent) = tx(&[(&to_remote(), &[&SIG])], vec![output(90_000, wallet())]);
    tx.input[0].witness = Witness::new();
    spent[0] = output(240, ScriptBuf::from_bytes(OPEN_ANCHOR.to_vec()));
    let life = Life::of(&tx, &spent, &[]);
    assert_eq!(
        (life.name(), life.inputs[0]),
        (Kind::AnchorSweep, Some((Part::OpenAnchor, Way::Anybody)))
    );
}

#[test]
fn what_is_told_of_a_part_are_its_own_numbers_and_the_preimage_it_shows() {
    assert_eq!(Part::of(&delayed(2_016)), Some(Part::Delayed { delay: 2_016 }));
    assert_eq!(Part::of(&delayed(16)), Some(Part::Delayed { delay: 16 }));
    assert_eq!(Part::of(&received(true, 800_000)), Some(Part::Received { expiry: 800_000 }));
    let (tx, spent) = tx(&[(&received(true, 1), &[&[], &SIG, &SIG, &PREIMAGE])], vec![]);
    let (_, way) = Life::of(&tx, &spent, &[]).inputs[0].unwrap();
    assert_eq!(way, Way::SuccessStage(PREIMAGE));
}

#[test]
fn several_ends_in_one_transaction_are_all_told_the_most_telling_first() {
    let (delayed, offered) = (delayed(6), offered(true));
    let inputs: [(&ScriptBuf, &[&[u8]]); 3] =
        [(&delayed, &[&SIG, &[]]), (&offered, &[&SIG, &key(6)]), (&delayed, &[&SIG, &[]])];
    let (tx, spent) = tx(&inputs, vec![output(1_000, wallet())]);
    assert_eq!(Life::of(&tx, &spent, &[]).kinds, [Kind::Penalty, Kind::DelayedSweep]);
}

#[test]
fn an_opening_is_sure_once_it_is_spent_and_a_guess_before() {
    let (mut tx, _) = tx(&[(&to_remote(), &[&SIG])], vec![output(90_000, funding().to_p2wsh())]);
    tx.input[0].witness = Witness::from_slice(&[SIG.to_vec(), key(1).to_vec()]);
    let spent = [output(100_000, wallet())];
    assert_eq!(Life::of(&tx, &spent, &[]).kinds, [Kind::PerhapsFunding]);
    let witness = Witness::from_slice(&[vec![], SIG.to_vec(), SIG.to_vec(), funding().to_bytes()]);
    let part = revealed(&tx.output[0], &witness);
    assert_eq!(part, Some(Part::Funding));
    assert_eq!(Life::of(&tx, &spent, &[part]).kinds, [Kind::Funding]);
    tx.output[0].script_pubkey = wallet();
    assert_eq!(Life::of(&tx, &spent, &[]).kinds, [Kind::Payment]);
}

#[test]
fn a_script_that_is_not_the_outputs_own_or_only_looks_alike_tells_nothing() {
    let (tx, mut spent) = tx(&[(&delayed(6), &[&SIG, &[1]])], vec![output(1, wallet())]);
    spent[0].script_pubkey = delayed(7).to_p2wsh();
    assert_eq!(Life::of(&tx, &spent, &[]).kinds, [Kind::Payment]);
    assert_eq!(Life::of(&tx, &[], &[]).kinds, [Kind::Payment], "what it spends is not known");
    let longer = Builder::from(delayed(6).to_bytes()).push_opcode(op::OP_NOP).into_script();
    let mut cut = delayed(6).to_bytes();
    cut.truncate(50);
    for script in
        [longer, ScriptBuf::from_bytes(cut), ScriptBuf::new(), ScriptBuf::from_bytes(vec![0; 300])]
    {
        assert_eq!(Part::of(&script), None);
    }
    let odd = name(&[(&delayed(6), &[&SIG, &[2]])]);
    assert_eq!(odd, Kind::Payment, "a witness of no known shape");
}

#[test]
fn a_coinbase_is_one_whatever_it_pays() {
    let (mut tx, _) = tx(&[(&funding(), &[&[7]])], vec![output(1, funding().to_p2wsh())]);
    tx.input[0].previous_output = OutPoint::null();
    assert_eq!(Life::of(&tx, &[], &[]).kinds, [Kind::Coinbase]);
}
