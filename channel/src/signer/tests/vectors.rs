//! BOLT 3 Appendix F: commitments and HTLC transactions with anchors, to the byte.

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{OutPoint, Txid};
use secp256k1::ecdsa;
use serde_json::Value;
use wire::id::{PaymentHash, Preimage};
use wire::units::{BlockHeight, FeeratePerKw, Msat, Sat};

use super::*;
use crate::keys::CommitmentKeys;
use crate::tx::spend::HtlcKey;
use crate::tx::{
    CommitmentSpec, CommitmentTerms, Direction, HtlcOutput, Inline, SideTerms, SpecHtlc,
};

/// Secrets of Appendix C. The vectors show nothing of the ones that are 0x55 here.
fn signers() -> (InMemorySigner, InMemorySigner) {
    let filler = [0x55; 32];
    let local = [
        bytes("30ff4956bbdd3222d44cc5e8a1261dab1e07957bdac5ae88fe3261ef321f3749"),
        filler,
        [0x11; 32],
        [0x33; 32],
        [0x11; 32],
    ];
    let remote = [
        bytes("1552dfba4f6cf29a62a0af13c8d6981d36d0ef8d61ba10fb0fe90da7634d7e13"),
        [0x22; 32],
        [0x44; 32],
        filler,
        [0x44; 32],
    ];
    let signer = |keys| InMemorySigner::of(ChannelSecrets::of(keys, filler), Memory::default());
    (signer(local), signer(remote))
}

/// Number, direction, amount, expiry, preimage byte.
const HTLCS: [(u64, Direction, u64, u32, u8); 7] = [
    (0, Direction::Received, 1_000_000, 500, 0),
    (1, Direction::Received, 2_000_000, 501, 1),
    (2, Direction::Offered, 2_000_000, 502, 2),
    (3, Direction::Offered, 3_000_000, 503, 3),
    (4, Direction::Received, 4_000_000, 504, 4),
    (5, Direction::Offered, 5_000_000, 506, 5),
    (6, Direction::Offered, 5_000_001, 505, 5),
];

fn htlcs(vector: &Value) -> Vec<SpecHtlc> {
    let numbers: &[u64] = if vector["UseTestHtlcs"] == false {
        &[]
    } else if vector["Name"].as_str().unwrap().contains("same amount and preimage") {
        &[1, 5, 6]
    } else {
        &[0, 1, 2, 3, 4]
    };
    (HTLCS.into_iter())
        .filter(|(id, ..)| numbers.contains(id))
        .map(|(id, direction, amount, expiry, byte)| SpecHtlc {
            direction,
            id,
            amount: Msat::new(amount).unwrap(),
            payment_hash: Preimage([byte; 32]).hash(),
            cltv_expiry: BlockHeight(expiry),
        })
        .collect()
}

fn preimage(hash: PaymentHash) -> Preimage {
    (0..=6).map(|byte| Preimage([byte; 32])).find(|preimage| preimage.hash() == hash).unwrap()
}

fn commitment(vector: &Value, owner: Side) -> Commitment {
    let (local, remote) = signers();
    let side = |basepoints| SideTerms {
        basepoints,
        dust_limit: Sat::from_sat(vector["DustLimitSatoshis"].as_u64().unwrap()),
        to_self_delay: 144,
    };
    let (ours, theirs) = match owner {
        Side::Us => (side(*local.basepoints()), side(*remote.basepoints())),
        Side::Them => (side(*remote.basepoints()), side(*local.basepoints())),
    };
    let outpoint = OutPoint {
        txid: "8984484a580b825b9972d7adb15050b3ab624ccd731946b3eeddb92f4e7ef6be"
            .parse::<Txid>()
            .unwrap(),
        vout: 0,
    };
    let amount = Sat::from_sat(10_000_000);
    let terms = CommitmentTerms::new(owner, owner, &ours, &theirs, outpoint, amount);
    let keys =
        CommitmentKeys::derive(local.basepoints(), remote.basepoints(), &POINT.parse().unwrap())
            .unwrap();
    let spec = CommitmentSpec {
        feerate: FeeratePerKw(u32::try_from(vector["FeePerKw"].as_u64().unwrap()).unwrap()),
        to_owner: Msat::new(vector["LocalBalance"].as_u64().unwrap()).unwrap(),
        to_other: Msat::new(vector["RemoteBalance"].as_u64().unwrap()).unwrap(),
        htlcs: htlcs(vector),
    };
    Commitment::build(&terms, &keys, 42, &spec).unwrap()
}

fn signature(der: &Value) -> Signature {
    let der: Vec<u8> = bitcoin::hex::FromHex::from_hex(der.as_str().unwrap()).unwrap();
    ecdsa::Signature::from_der(&der).unwrap().into()
}

/// The HTLC transaction alone, without coins for a fee, as the vectors show it.
fn resolution(commitment: &Commitment, output: &HtlcOutput, theirs: &Signature) -> Transaction {
    let key = match output.htlc.direction {
        Direction::Received => HtlcKey::Preimage(preimage(output.htlc.payment_hash)),
        Direction::Offered => HtlcKey::Expiry(output.htlc.cltv_expiry),
    };
    let spend = commitment.htlc_spend(output, *theirs, key);
    let mut tx = commitment.htlc_tx(output);
    assert_eq!(tx.lock_time, spend.lock_time());
    assert_eq!(tx.input[0].sequence, spend.sequence());
    signers().0.sign_spends(&mut tx, &[&spend]).unwrap();
    tx
}

#[test]
fn commitments_and_htlc_transactions_of_appendix_f_are_exact() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("appendix_f.json")).unwrap();
    assert_eq!(vectors.len(), 9);
    for vector in &vectors {
        let name = vector["Name"].as_str().unwrap();
        let (ours, theirs) = (commitment(vector, Side::Us), commitment(vector, Side::Them));
        let (local, remote) = signers();

        let signed = remote.sign_theirs(&theirs, &Inline).unwrap();
        assert_eq!(signed.signature, signature(&vector["RemoteSigHex"]), "{name}");
        let descs = vector["HtlcDescs"].as_array().unwrap();
        let expected: Vec<_> = descs.iter().map(|desc| signature(&desc["RemoteSigHex"])).collect();
        assert_eq!(signed.htlcs, expected, "{name}");
        ours.verify(&signed.signature, &signed.htlcs, &Inline).unwrap();

        let tx = local.sign_ours(&ours, &signed.signature).unwrap();
        let expected = vector["ExpectedCommitmentTxHex"].as_str().unwrap();
        assert_eq!(serialize_hex(&tx), expected, "{name}");
        assert_eq!(ours.terms().obscuring.reveal(&tx), Some(42));

        for ((desc, output), theirs) in descs.iter().zip(ours.htlcs()).zip(&signed.htlcs) {
            let tx = resolution(&ours, output, theirs);
            let expected = desc["ResolutionTxHex"].as_str().unwrap();
            assert_eq!(serialize_hex(&tx), expected, "{name}: HTLC {}", output.htlc.id);
        }
    }
}
