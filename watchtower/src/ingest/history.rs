//! Records given back, and proof that they are here.

use secp256k1::{Keypair, PublicKey};
use wire::id::Signature;

use super::frames::LineFault;
use crate::message::{Audit, AuditReply, Code, Fetch, Fetched, Sealed};
use crate::proof::audit::{self, Answer, Challenge, Record};
use crate::store::{Keeper, Refused, Stored};

/// Bytes of records in one answer.
const FETCHED_BYTES: usize = 60_000;
/// Records that an audit's numbers may lie apart for one reading.
const SPAN: u32 = 100_000;

/// Nothing is here.
pub(crate) const fn nothing(first_seq: u32) -> Fetched {
    Fetched { first_seq, records: Vec::new() }
}

/// There is no such session.
pub(crate) const fn unknown() -> AuditReply {
    AuditReply { code: Code::NO_SESSION, digest: [0; 32], signature: Signature([0; 64]) }
}

/// Records in a row, as many as fit.
pub(crate) async fn fetch(
    keeper: &Keeper,
    session: u32,
    fetch: &Fetch,
) -> Result<Fetched, LineFault> {
    let Some(more) = u32::from(fetch.count).checked_sub(1) else {
        return Ok(nothing(fetch.first_seq));
    };
    let last = fetch.first_seq.saturating_add(more);
    let found = read(keeper, session, fetch.first_seq, last).await?;
    let mut records: Vec<Sealed> = Vec::new();
    let mut bytes = 0_usize;
    for (seq, stored) in (fetch.first_seq..).zip(found) {
        bytes = bytes.saturating_add(stored.sealed.ciphertext.len()).saturating_add(18);
        // A hole ends it: numbers are told by place.
        if stored.seq != seq || bytes > FETCHED_BYTES {
            break;
        }
        records.push(stored.sealed);
    }
    Ok(Fetched { first_seq: fetch.first_seq, records })
}

/// Answers a challenge, if it has every record of it.
pub(crate) async fn audit(
    keeper: &Keeper,
    session: u32,
    audit: &Audit,
    key: &PublicKey,
    tower: &Keypair,
) -> Result<AuditReply, LineFault> {
    let refuse = |code| AuditReply { code, digest: [0; 32], signature: Signature([0; 64]) };
    let challenge = Challenge { nonce: audit.nonce, seqs: audit.seqs.clone() };
    let Some(last) = challenge.seqs.last() else { return Ok(refuse(Code::PERMANENT)) };
    if !challenge.is_fair(last.saturating_add(1)) {
        return Ok(refuse(Code::PERMANENT));
    }
    // Numbers near each other are read together: a segment has thousands.
    let mut found: Vec<Stored> = Vec::new();
    let mut rest = challenge.seqs.as_slice();
    while let Some(first) = rest.first() {
        let near = rest.iter().take_while(|seq| seq.saturating_sub(*first) < SPAN).count();
        let (together, behind) = rest.split_at_checked(near).unwrap_or((rest, &[]));
        let last = together.last().unwrap_or(first);
        let some = read(keeper, session, *first, *last).await?;
        found.extend(some.into_iter().filter(|stored| together.binary_search(&stored.seq).is_ok()));
        rest = behind;
    }
    if !found.iter().map(|stored| stored.seq).eq(challenge.seqs.iter().copied()) {
        return Ok(refuse(Code::PERMANENT));
    }
    let records = found.iter().map(|stored| Record {
        seq: stored.seq,
        hint: &stored.sealed.hint.0,
        ciphertext: &stored.sealed.ciphertext,
    });
    let digest = audit::digest(&audit.nonce, records);
    let answer = Answer::new(key, &challenge, digest, tower);
    let signature = Signature(answer.signature);
    Ok(AuditReply { code: Code::OK, digest: answer.digest, signature })
}

async fn read(
    keeper: &Keeper,
    session: u32,
    first: u32,
    last: u32,
) -> Result<Vec<Stored>, LineFault> {
    match keeper.records(session, first, last).await {
        Ok(found) => Ok(found),
        Err(Refused::Stopped) => Err(LineFault::Stopped),
        Err(_) => Ok(Vec::new()),
    }
}
