//! Justice for every kind of channel, run by Core's script verifier. Scenarios 16 and 18, second half.

use bitcoin::consensus::encode::{deserialize_hex, serialize};
use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use bitcoin::hex::FromHex;
use bitcoin::{ScriptBuf, Sequence, Transaction, TxOut};
use secp256k1::{PublicKey, SECP256K1, Scalar, SecretKey};

use super::super::blob::{BlobType, Kit, ToLocal};
use super::super::justice::{JusticeError, claims, estimated_weight};
use super::super::sample::{
    CSV, SWEEP_FEERATE, breach, kit, secret, sweep_scripts, to_local, usual_breach, usual_kit,
};
use super::super::script;
use crate::kit::claim::{Claim, ClaimKind, Deadline, Way};

/// The first commitment of LND's `lnwallet/test_vectors_legacy.json`.
const LEGACY_COMMITMENT: &str = "02000000000101bef67e4e2fb9ddeeb3461973cd4c62abb35050b1add772995b820b584a488489000000000038b02b8002c0c62d0000000000160014ccf1af2f2aabee14bb40fa3851ab2301de84311054a56a00000000002200204adb4e2f00643db396dd120d4e7dc17625f5f2c11a40d857accc862d6b7dd80e0400473044022051b75c73198c6deee1a875871c3961832909acd297c6b908d59e3319e5185a46022055c419379c5051a78d00dbbce11b5b664a0c22815fbcc6fcef6b1937c383693901483045022100f51d2e566a70ba740fc5d8c0f07b9b93d2ed741c3c0860c613173de7d39e7968022041376d520e9c0e1ad52248ddf4b22e12be8763007df977253ef45a4ca3bdb7c001475221023da092f6980e58d2c037173180e9a465476026ee50f96695963e8efe436f54eb21030e9f7b623d2ccc7c9bd44d66d5ce21ce504c0acf6385a132cec6d3c39fa711c152ae3e195220";
/// The first of `test_vectors_zero_fee_htlc_tx.json`.
const ANCHOR_COMMITMENT: &str = "02000000000101bef67e4e2fb9ddeeb3461973cd4c62abb35050b1add772995b820b584a488489000000000038b02b80044a010000000000002200202b1b5854183c12d3316565972c4668929d314d81c5dcdbb21cb45fe8a9a8114f4a01000000000000220020e9e86e4823faa62e222ebc858a226636856158f07e69898da3b0d1af0ddb3994c0c62d0000000000220020f3394e1e619b0eca1f91be2fb5ab4dfc59ba5b84ebe014ad1d43a564d012994a508b6a00000000002200204adb4e2f00643db396dd120d4e7dc17625f5f2c11a40d857accc862d6b7dd80e04004830450221008266ac6db5ea71aac3c95d97b0e172ff596844851a3216eb88382a8dddfd33d2022050e240974cfd5d708708b4365574517c18e7ae535ef732a3484d43d0d82be9f701483045022100f89034eba16b2be0e5581f750a0a6309192b75cce0f202f0ee2b4ec0cc394850022076c65dc507fe42276152b7a3d90e961e678adbe966e916ecfe85e64d430e75f301475221023da092f6980e58d2c037173180e9a465476026ee50f96695963e8efe436f54eb21030e9f7b623d2ccc7c9bd44d66d5ce21ce504c0acf6385a132cec6d3c39fa711c152ae3e195220";
/// The first of `test_vectors_taproot.json`, whose scripts are the final ones.
const TAPROOT_COMMITMENT: &str = "020000000001015474cba49124ab0c4327c244bb2907059585c4af3fa5f3469701534120fec0170000000000c5fe1780044a010000000000002251201249c50576fdf914caa14f9221370b986df520bdbc73f57d5056a86ee03e5ac44a01000000000000225120f67ab012701705f3203d132f909a6810ef18c5da4c11d986cb50818803b8344ec0c62d00000000002251203609bb705034e5629aa6ec05c5ca906ac89ac08b34c4583c259521ec3017440874946a00000000002251203e1fcbbd06c8a7414704612c72be9834a75d86ed85b29f0ef0c52e1950afaff30140a4a9eb512a2f4094efdd2c566f1f20cc8a6e2c307a4a44cc3f9fea7fa147dd7038f1b048aa43fa0b4009175c1c37c37b96c01058541f9e1b61110fce4e831d9f55dc1920";

/// Consensus rules and taproot, by Core's own verifier.
fn verify(tx: &Transaction, spent: &[TxOut]) {
    let bytes = serialize(tx);
    let utxos: Vec<bitcoinconsensus::Utxo> = spent
        .iter()
        .map(|output| bitcoinconsensus::Utxo {
            script_pubkey: output.script_pubkey.as_bytes().as_ptr(),
            script_pubkey_len: output.script_pubkey.len() as u32,
            value: output.value.to_sat() as i64,
        })
        .collect();
    for (place, output) in spent.iter().enumerate() {
        bitcoinconsensus::verify_with_flags(
            output.script_pubkey.as_bytes(),
            output.value.to_sat(),
            &bytes,
            Some(&utxos),
            place,
            bitcoinconsensus::VERIFY_ALL_PRE_TAPROOT | bitcoinconsensus::VERIFY_TAPROOT,
        )
        .unwrap_or_else(|error| panic!("input {place}: {error:?}"));
    }
}

/// The one transaction that all claims share, run against the breach.
fn justice(claims: &[Claim], breach: &Transaction) -> Transaction {
    let txs: Vec<&Transaction> = claims
        .iter()
        .map(|claim| match &claim.way {
            Way::Ladder(rungs) => &rungs[0].tx,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(txs.iter().all(|tx| *tx == txs[0]));
    let spent: Vec<TxOut> = txs[0]
        .input
        .iter()
        .map(|input| breach.output[input.previous_output.vout as usize].clone())
        .collect();
    verify(txs[0], &spent);
    txs[0].clone()
}

#[test]
fn scenario_16_a_breach_of_every_kind_of_lnds_channels_is_answered_with_what_lnd_would_send() {
    for kind in BlobType::ALL {
        let breach = usual_breach(kind);
        for sweep_script in sweep_scripts() {
            for with_to_remote in [false, true] {
                let kit = usual_kit(kind, &sweep_script, with_to_remote);
                let claims = claims(kind, SWEEP_FEERATE, &kit, &breach).unwrap();
                let tx = justice(&claims, &breach);
                let weight = estimated_weight(kind, sweep_script.len(), with_to_remote).unwrap();
                let total = if with_to_remote { 300_000 } else { 100_000 };
                assert_eq!(tx.output.len(), 1);
                assert_eq!(tx.output[0].script_pubkey, sweep_script);
                assert_eq!(tx.output[0].value.to_sat(), total - SWEEP_FEERATE * weight / 1_000);
                assert_eq!(tx.input.len(), if with_to_remote { 2 } else { 1 });
                let real = tx.weight().to_wu();
                // A signature may be two bytes shorter than the estimate has it, a taproot one is one.
                assert!((weight - 6..=weight + 1).contains(&real), "{kind:?}: {real} of {weight}");
            }
        }
    }
}

#[test]
fn the_estimates_are_lnds_with_the_byte_that_legacy_lacks() {
    // lnwallet/input/size.go: 157 and 113 bytes of witness, 43 bytes of output, as in its policy's tests.
    assert_eq!(estimated_weight(BlobType::Anchor, 34, true), Ok(812));
    assert_eq!(estimated_weight(BlobType::Anchor, 22, true), Ok(764));
    assert_eq!(estimated_weight(BlobType::Legacy, 22, true), Ok(759));
    let anchor = estimated_weight(BlobType::Anchor, 22, false).unwrap();
    assert_eq!(estimated_weight(BlobType::Legacy, 22, false), Ok(anchor - 1));
    let staging = estimated_weight(BlobType::Taproot, 34, true).unwrap();
    assert_eq!(estimated_weight(BlobType::TaprootFinal, 34, true), Ok(staging - 1));
    assert_eq!(estimated_weight(BlobType::Anchor, 35, true), Err(JusticeError::SweepScript));
}

#[test]
fn at_lnds_default_price_the_legacy_byte_changes_the_amount_and_so_the_signature() {
    // 2,500 satoshis per 1,000 weight units.
    let fee = |kind| 2_500 * estimated_weight(kind, 22, false).unwrap() / 1_000;
    assert_ne!(fee(BlobType::Legacy), fee(BlobType::Anchor));
    // A signature made under the other estimate is not one.
    let breach = usual_breach(BlobType::Legacy);
    let signed_as_anchor = usual_kit(BlobType::Anchor, &sweep_scripts()[0], false);
    let refused = claims(BlobType::Legacy, SWEEP_FEERATE, &signed_as_anchor, &breach);
    assert_eq!(refused, Err(JusticeError::Signature(ClaimKind::ToLocal)));
}

/// `revocation_basepoint_secret * SHA256(basepoint ‖ point) + per_commitment_secret * SHA256(point ‖
/// basepoint)`.
fn revocation_key(basepoint: &str, per_commitment: &str) -> SecretKey {
    let (base, commitment) = (secret(basepoint), secret(per_commitment));
    let (base_point, point) = (base.public_key(SECP256K1), commitment.public_key(SECP256K1));
    let hash = |first: &PublicKey, second: &PublicKey| {
        let mut engine = sha256::Hash::engine();
        engine.input(&first.serialize());
        engine.input(&second.serialize());
        Scalar::from_be_bytes(sha256::Hash::from_engine(engine).to_byte_array()).unwrap()
    };
    let ours = base.mul_tweak(&hash(&base_point, &point)).unwrap();
    let theirs = commitment.mul_tweak(&hash(&point, &base_point)).unwrap();
    ours.add_tweak(&Scalar::from(theirs)).unwrap()
}

/// A commitment of LND's vectors, with the keys to take it.
struct Recorded {
    kind: BlobType,
    commitment: Transaction,
    revocation: SecretKey,
    to_remote: SecretKey,
    to_local: ToLocal,
}

fn recorded() -> Vec<Recorded> {
    let per_commitment = "1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100";
    let revocation = revocation_key(&"22".repeat(32), per_commitment);
    // `local_delayedpubkey` and `local_revocation_pubkey` of BOLT 3, Appendix C, whose keys both files use.
    let delayed =
        "03fd5960528dc152014952efdb702a88f71e3c1653b2314431701ec77e57fde83c".parse().unwrap();
    let public: PublicKey =
        "0212a140cd0c6539d07cd08dfe09984dec3251ea808b892efeac3ede9402bf2b19".parse().unwrap();
    assert_eq!(revocation.public_key(SECP256K1), public);
    let segwit = ToLocal::Segwit { revocation: public, delayed, csv: 144 };
    let segwit = |kind, hex, to_remote: &str| Recorded {
        kind,
        commitment: deserialize_hex(hex).unwrap(),
        revocation,
        to_remote: secret(to_remote),
        to_local: segwit.clone(),
    };
    let taproot_revocation = revocation_key(
        "36c4175b91cff9731a63d1472b5b1c4cf3e7b688e87d5fb806b2e8350484e68d",
        "037b507180b3985cea6396d6a70987cea11ccd05fde49e943a3ea0fe56ee33ed",
    );
    let derived: PublicKey =
        "0315ec0138eb42f1ab4603042123988d53c854e89d1d87aa4dbb97a57482029c05".parse().unwrap();
    let leaf = "dbf0400e9c7c57f30b6ad0b0677e396b5a002cbf050d873c8925b966048e6a62";
    let taproot = Recorded {
        kind: BlobType::TaprootFinal,
        commitment: deserialize_hex(TAPROOT_COMMITMENT).unwrap(),
        revocation: taproot_revocation,
        to_remote: secret("f1cd3a5ca44b52baf4eacb849fbf06e75aace97477b8bfe31d2b814dbbb562b1"),
        to_local: ToLocal::Taproot {
            revocation: taproot_revocation.x_only_public_key(SECP256K1).0,
            delayed: derived.x_only_public_key().0,
            delay_leaf: FromHex::from_hex(leaf).unwrap(),
        },
    };
    vec![
        // `remote_privkey` of BOLT 3: the legacy file is from before `option_static_remotekey`.
        segwit(
            BlobType::Legacy,
            LEGACY_COMMITMENT,
            "8deba327a7cc6d638ab0eb025770400a6184afcba6713c210d8d10e199ff2fda",
        ),
        // `remote_payment_basepoint_secret`.
        segwit(BlobType::Anchor, ANCHOR_COMMITMENT, &"44".repeat(32)),
        taproot,
    ]
}

#[test]
fn scenario_18_commitments_of_lnds_own_vectors_are_taken_whole() {
    for recorded in recorded() {
        let Recorded { kind, commitment, revocation, to_remote, to_local } = recorded;
        for sweep_script in sweep_scripts() {
            let keys = (&revocation, &to_remote);
            let kit = kit(kind, &commitment, &sweep_script, true, keys, &to_local);
            let blob = kit.seal(kind, &commitment.compute_txid(), [9; 24]).unwrap();
            let opened = Kit::open(kind, &commitment.compute_txid(), &blob).unwrap();
            let claims = claims(kind, SWEEP_FEERATE, &opened, &commitment).unwrap();
            let taken: u64 = claims.iter().map(|claim| claim.value.to_sat()).sum();
            let anchors = if kind == BlobType::Legacy { 0 } else { 660 };
            let all: u64 = commitment.output.iter().map(|output| output.value.to_sat()).sum();
            assert_eq!(taken, all - anchors, "{kind:?}");
            justice(&claims, &commitment);
        }
    }
}

#[test]
fn the_two_kinds_of_taproot_channels_have_other_outputs() {
    let outputs = [BlobType::Taproot, BlobType::TaprootFinal].map(|kind| {
        let key = secret(super::super::sample::TO_REMOTE).public_key(SECP256K1);
        let both = [script::to_local(&to_local(kind)), script::to_remote(kind, &key)];
        both.map(|lock| lock.unwrap().script_pubkey)
    });
    assert_ne!(outputs[0][0], outputs[1][0]);
    assert_ne!(outputs[0][1], outputs[1][1]);
}

#[test]
fn claims_say_until_when_and_after_how_many_blocks() {
    for (kind, deadline, csv) in [
        (BlobType::Legacy, Deadline::After(CSV), 0),
        (BlobType::Anchor, Deadline::After(CSV), 1),
        (BlobType::Taproot, Deadline::Race, 1),
        (BlobType::TaprootFinal, Deadline::Race, 1),
    ] {
        let kit = usual_kit(kind, &sweep_scripts()[1], true);
        let both = claims(kind, SWEEP_FEERATE, &kit, &usual_breach(kind)).unwrap();
        let seen: Vec<_> =
            both.iter().map(|claim| (claim.kind, claim.deadline, claim.csv)).collect();
        assert_eq!(
            seen,
            [(ClaimKind::ToLocal, deadline, csv), (ClaimKind::ToRemote, Deadline::Never, csv),]
        );
        // Alone, `to_local` can be taken in the breach's own block.
        let alone = usual_kit(kind, &sweep_scripts()[1], false);
        let alone = claims(kind, SWEEP_FEERATE, &alone, &usual_breach(kind)).unwrap();
        assert_eq!(alone[0].csv, 0);
    }
}

#[test]
fn inputs_are_in_the_order_of_the_breachs_outputs() {
    let kind = BlobType::Anchor;
    let usual = usual_breach(kind);
    let swapped = breach(&[
        (usual.output[1].script_pubkey.clone(), 200_000),
        (ScriptBuf::from_bytes(vec![0x51]), 330),
        (usual.output[0].script_pubkey.clone(), 100_000),
    ]);
    let keys = (secret(super::super::sample::REVOCATION), secret(super::super::sample::TO_REMOTE));
    let keys = (&keys.0, &keys.1);
    let kit = kit(kind, &swapped, &sweep_scripts()[0], true, keys, &to_local(kind));
    let claims = claims(kind, SWEEP_FEERATE, &kit, &swapped).unwrap();
    let tx = justice(&claims, &swapped);
    let places: Vec<_> =
        tx.input.iter().map(|input| (input.previous_output.vout, input.sequence)).collect();
    assert_eq!(places, [(0, Sequence::from_consensus(1)), (2, Sequence::ZERO)]);
}

#[test]
fn a_kit_that_takes_nothing_says_why() {
    let kind = BlobType::Anchor;
    let good = usual_kit(kind, &sweep_scripts()[0], true);
    let usual = usual_breach(kind);
    let refused =
        |kit: &Kit, feerate, breach: &Transaction| claims(kind, feerate, kit, breach).unwrap_err();
    let elsewhere = breach(&[(ScriptBuf::new(), 5)]);
    let missing = JusticeError::NoOutput(ClaimKind::ToLocal);
    assert_eq!(refused(&good, SWEEP_FEERATE, &elsewhere), missing);
    let first_only = breach(&[(usual.output[0].script_pubkey.clone(), 100_000)]);
    let missing = JusticeError::NoOutput(ClaimKind::ToRemote);
    assert_eq!(refused(&good, SWEEP_FEERATE, &first_only), missing);
    assert_eq!(refused(&good, 392_600, &usual), JusticeError::Dust);
    assert_eq!(refused(&good, u64::MAX, &usual), JusticeError::Dust);
    let wrong = JusticeError::Signature(ClaimKind::ToLocal);
    assert_eq!(refused(&good, SWEEP_FEERATE + 10, &usual), wrong);
    let mut other = good.clone();
    other.to_remote.as_mut().unwrap().signature[3] ^= 1;
    let wrong = JusticeError::Signature(ClaimKind::ToRemote);
    assert_eq!(refused(&other, SWEEP_FEERATE, &usual), wrong);
    for script in [vec![0x6a; 22], vec![0x51; 34], vec![]] {
        let sweep_script = ScriptBuf::from_bytes(script);
        let kit = Kit { sweep_script, ..good.clone() };
        assert_eq!(refused(&kit, SWEEP_FEERATE, &usual), JusticeError::SweepScript);
    }
}
