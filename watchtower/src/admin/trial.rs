//! A dress rehearsal without an audience: a made-up breach goes through record, seal, hint, index and evaluation,
//! and its justice is looked at, broadcast nowhere.

use bitcoin::hashes::Hash as _;
use bitcoin::{OutPoint, ScriptBuf, Txid, WPubkeyHash};
use channel::clock::Side;
use channel::keys::CommitmentKeys;
use channel::signer::{InMemorySigner, Memory, Signer};
use channel::tx::{Commitment, CommitmentSpec, CommitmentTerms, RevokedSecret, SideTerms};
use secp256k1::{PublicKey, SECP256K1, SecretKey};
use wire::units::{FeeratePerKw, Msat, Sat};

use crate::hint::Hint;
use crate::index::{Index, Place, Prefix};
use crate::kit::claim::Way;
use crate::kit::sealed::{build, evaluate, open, seal};
use crate::kit::template::{CHANNEL_ANCHORS, Covers, Step, Template};

/// What the made-up channel holds.
const CAPACITY_SAT: u64 = 1_000_000;
const DELAY: u16 = 144;

/// What the justice of the made-up breach pays its victim, or what went wrong.
pub(super) fn rehearse() -> Result<String, String> {
    let (us, thief) = (signer(1)?, signer(2)?);
    let commitment = commitment(&us, &thief)?;
    let template = template(&us, &thief);
    let secret = RevokedSecret(thief.reveal(0).map_err(|e| e.to_string())?);
    let built = build(&template, &commitment, secret, &us).map_err(|e| e.to_string())?;
    let session = key(3)?;
    let txid = commitment.txid();
    let sealed = seal(&built.record, &txid, &session, 0);
    let mut index = Index::default();
    let (hint, place) = (Hint::of(&txid), Place { part: 0, offset: 0 });
    index.insert(Prefix::of(&hint), place);
    if !index.find(Prefix::of(&hint)).any(|found| found == place) {
        return Err("the index does not find what was put into it".to_owned());
    }
    let record = open(&sealed, &txid, &session, 0).map_err(|e| e.to_string())?;
    let claims = evaluate(&template, &record, commitment.tx()).map_err(|e| e.to_string())?;
    let paid = claims.iter().filter_map(|claim| match &claim.way {
        Way::Ladder(rungs) => rungs.first()?.tx.output.first(),
        Way::Pair(pair) => Some(&pair.output),
        Way::Keyed(_) => None,
    });
    let foreign = paid.clone().any(|output| output.script_pubkey != template.sweep_script);
    let sum = paid.fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat()));
    if foreign || sum == 0 {
        return Err("the justice does not pay the victim".to_owned());
    }
    Ok(format!("{} output taken, {sum} sat for the victim, signatures checked", claims.len()))
}

fn signer(byte: u8) -> Result<InMemorySigner, String> {
    InMemorySigner::new(&[byte; 32], 1, Memory::default()).map_err(|error| error.to_string())
}

fn key(byte: u8) -> Result<PublicKey, String> {
    let secret = SecretKey::from_slice(&[byte; 32]).map_err(|error| error.to_string())?;
    Ok(PublicKey::from_secret_key(SECP256K1, &secret))
}

fn template(us: &InMemorySigner, thief: &InMemorySigner) -> Template {
    let (ours, theirs) = (us.basepoints(), thief.basepoints());
    let step = |feerate| Step { feerate: FeeratePerKw(feerate), covers: Covers::All };
    Template {
        channel_type: CHANNEL_ANCHORS,
        revocation_basepoint: ours.revocation,
        delayed_basepoint: theirs.delayed_payment,
        our_htlc_basepoint: ours.htlc,
        their_htlc_basepoint: theirs.htlc,
        to_self_delay: DELAY,
        tx_version: 2,
        ladder: vec![step(1_000), step(10_000)],
        sweep_script: ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([7; 20])),
    }
}

fn commitment(us: &InMemorySigner, thief: &InMemorySigner) -> Result<Commitment, String> {
    let side = |signer: &InMemorySigner| SideTerms {
        basepoints: *signer.basepoints(),
        dust_limit: Sat::from_sat(354),
        to_self_delay: DELAY,
    };
    let terms = CommitmentTerms::new(
        Side::Them,
        Side::Us,
        &side(us),
        &side(thief),
        OutPoint { txid: Txid::from_byte_array([9; 32]), vout: 0 },
        Sat::from_sat(CAPACITY_SAT),
    );
    let point = thief.point(0).map_err(|error| error.to_string())?;
    let keys = CommitmentKeys::derive(thief.basepoints(), us.basepoints(), &point)
        .map_err(|error| error.to_string())?;
    let half = Msat::from_sat(Sat::from_sat(CAPACITY_SAT / 2)).ok_or("an amount")?;
    let spec = CommitmentSpec {
        feerate: FeeratePerKw(253),
        to_owner: half,
        to_other: half,
        htlcs: Vec::new(),
    };
    Commitment::build(&terms, &keys, 0, &spec).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_rehearsal_pays_its_victim() {
        let told = super::rehearse().unwrap();
        assert!(told.contains("sat for the victim"), "{told}");
    }
}
