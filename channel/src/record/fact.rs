//! Each fact's number and form. Numbers are never reused; forms never change.
//!
//! Even numbers must be understood, odd ones may be skipped by a build that does not know them.

use wire::codec::{Decode, DecodeError, Encode, Reader};

use super::layout::{put_tx, take_tx};
use crate::fact::{Created, Fact, Restored};
use crate::terms::Kind;

const CREATED: u64 = 0;
const FUNDING_CONFIRMED: u64 = 2;
const FUNDING_UNCONFIRMED: u64 = 4;
const WE_READY: u64 = 6;
const THEY_READY: u64 = 8;
const WE_SIGNED: u64 = 10;
const THEY_SIGNED: u64 = 12;
const THEY_REVOKED: u64 = 14;
const WE_REMOVE: u64 = 16;
const PREIMAGE_SEEN: u64 = 18;
const FORGOTTEN: u64 = 20;
const WE_SHUTDOWN: u64 = 22;
const THEY_SHUTDOWN: u64 = 24;
const WE_SIGNED_CLOSE: u64 = 26;
const BOTH_SIGNED_CLOSE: u64 = 28;
const FAILING: u64 = 30;
const DATA_LOSS: u64 = 32;
const FROZEN: u64 = 34;
const FUNDING_SPENT: u64 = 36;
const FUNDING_UNSPENT: u64 = 38;
const OUTPUT_SPENT: u64 = 40;
const OUTPUT_UNSPENT: u64 = 42;
const RESOLVED_ON_CHAIN: u64 = 44;
const CLOSED: u64 = 46;
const ABANDONED: u64 = 48;
const HISTORY_FOUND: u64 = 70;
const QUARANTINED: u64 = 72;
const VOUCHED: u64 = 74;
const RESTORED: u64 = 76;
/// A channel whose type says more than the two that all have.
const CREATED_OF_KIND: u64 = 80;
const FUNDING_SEEN: u64 = 82;
const FUNDING_CONFLICT: u64 = 84;
const FUNDING_CONFLICT_GONE: u64 = 86;
/// Odd: a build that does not know it reads on without it.
const TOLD: u64 = 101;

/// Whether a fact of this number is more than a turn of the commitment dance.
pub(super) const fn tells(number: u64) -> bool {
    !matches!(
        number,
        WE_SIGNED | THEY_SIGNED | THEY_REVOKED | WE_REMOVE | PREIMAGE_SEEN | FORGOTTEN
    )
}

/// Appends the body and says the number.
pub(super) fn encode(fact: &Fact, out: &mut Vec<u8>) -> u64 {
    match fact {
        Fact::Created(created) if created.terms.kind == Kind::default() => {
            created.encode(out);
            CREATED
        }
        Fact::Created(created) => {
            created.terms.kind.encode(out);
            created.encode(out);
            CREATED_OF_KIND
        }
        Fact::Restored(restored) => {
            restored.encode(out);
            RESTORED
        }
        Fact::FundingConfirmed { height, tx_index } => {
            height.encode(out);
            tx_index.encode(out);
            FUNDING_CONFIRMED
        }
        Fact::FundingUnconfirmed => FUNDING_UNCONFIRMED,
        Fact::FundingSeen { inputs } => {
            inputs.encode(out);
            FUNDING_SEEN
        }
        Fact::FundingConflict { by, height } => {
            by.encode(out);
            height.encode(out);
            FUNDING_CONFLICT
        }
        Fact::FundingConflictGone => FUNDING_CONFLICT_GONE,
        Fact::WeReady => WE_READY,
        Fact::TheyReady { next_point, alias } => {
            next_point.encode(out);
            alias.encode(out);
            THEY_READY
        }
        Fact::WeSigned(signed) => {
            signed.encode(out);
            WE_SIGNED
        }
        Fact::TheySigned(signed) => {
            signed.encode(out);
            THEY_SIGNED
        }
        Fact::TheyRevoked { secret, next_point } => {
            secret.encode(out);
            next_point.encode(out);
            THEY_REVOKED
        }
        Fact::WeRemove { htlc, removal } => {
            htlc.encode(out);
            removal.encode(out);
            WE_REMOVE
        }
        Fact::PreimageSeen { htlc, preimage, attribution } => {
            htlc.encode(out);
            preimage.encode(out);
            attribution.encode(out);
            PREIMAGE_SEEN
        }
        Fact::Forgotten { htlc } => {
            htlc.encode(out);
            FORGOTTEN
        }
        Fact::WeShutdown { script, feerate, asked } => {
            script.encode(out);
            feerate.encode(out);
            asked.encode(out);
            WE_SHUTDOWN
        }
        Fact::TheyShutdown { script } => {
            script.encode(out);
            THEY_SHUTDOWN
        }
        Fact::WeSignedClose(close) => {
            close.encode(out);
            WE_SIGNED_CLOSE
        }
        Fact::BothSignedClose { close, signature } => {
            close.encode(out);
            signature.encode(out);
            BOTH_SIGNED_CLOSE
        }
        Fact::Failing(reason) => {
            reason.encode(out);
            FAILING
        }
        Fact::DataLoss { theirs } => {
            theirs.encode(out);
            DATA_LOSS
        }
        Fact::Frozen => FROZEN,
        Fact::FundingSpent { tx, height } => {
            put_tx(tx, out);
            height.encode(out);
            FUNDING_SPENT
        }
        Fact::FundingUnspent => FUNDING_UNSPENT,
        Fact::OutputSpent { outpoint, tx, height } => {
            outpoint.encode(out);
            put_tx(tx, out);
            height.encode(out);
            OUTPUT_SPENT
        }
        Fact::OutputUnspent { outpoint } => {
            outpoint.encode(out);
            OUTPUT_UNSPENT
        }
        Fact::ResolvedOnChain { htlc, preimage } => {
            htlc.encode(out);
            preimage.encode(out);
            RESOLVED_ON_CHAIN
        }
        Fact::Closed => CLOSED,
        Fact::HistoryFound { txid, htlcs } => {
            txid.encode(out);
            htlcs.encode(out);
            HISTORY_FOUND
        }
        Fact::Quarantined => QUARANTINED,
        Fact::Vouched { by_us } => {
            by_us.encode(out);
            VOUCHED
        }
        Fact::Abandoned(reason) => {
            reason.encode(out);
            ABANDONED
        }
        Fact::Told(told) => {
            told.encode(out);
            TOLD
        }
    }
}

/// The fact with this number and body; `None` if this build does not know the number.
pub(super) fn decode(number: u64, r: &mut Reader<'_>) -> Result<Option<Fact>, DecodeError> {
    Ok(Some(match number {
        CREATED => Fact::Created(Box::new(Created::decode(r)?)),
        RESTORED => Fact::Restored(Box::new(Restored::decode(r)?)),
        FUNDING_CONFIRMED => {
            Fact::FundingConfirmed { height: Decode::decode(r)?, tx_index: Decode::decode(r)? }
        }
        CREATED_OF_KIND => {
            let kind = Kind::decode(r)?;
            let mut created = Created::decode(r)?;
            created.terms.kind = kind;
            Fact::Created(Box::new(created))
        }
        FUNDING_UNCONFIRMED => Fact::FundingUnconfirmed,
        FUNDING_SEEN => Fact::FundingSeen { inputs: Decode::decode(r)? },
        FUNDING_CONFLICT => {
            Fact::FundingConflict { by: Decode::decode(r)?, height: Decode::decode(r)? }
        }
        FUNDING_CONFLICT_GONE => Fact::FundingConflictGone,
        WE_READY => Fact::WeReady,
        THEY_READY => Fact::TheyReady { next_point: Decode::decode(r)?, alias: Decode::decode(r)? },
        WE_SIGNED => Fact::WeSigned(Decode::decode(r)?),
        THEY_SIGNED => Fact::TheySigned(Decode::decode(r)?),
        THEY_REVOKED => {
            Fact::TheyRevoked { secret: Decode::decode(r)?, next_point: Decode::decode(r)? }
        }
        WE_REMOVE => Fact::WeRemove { htlc: Decode::decode(r)?, removal: Decode::decode(r)? },
        PREIMAGE_SEEN => Fact::PreimageSeen {
            htlc: Decode::decode(r)?,
            preimage: Decode::decode(r)?,
            attribution: Decode::decode(r)?,
        },
        FORGOTTEN => Fact::Forgotten { htlc: Decode::decode(r)? },
        WE_SHUTDOWN => Fact::WeShutdown {
            script: Decode::decode(r)?,
            feerate: Decode::decode(r)?,
            asked: Decode::decode(r)?,
        },
        THEY_SHUTDOWN => Fact::TheyShutdown { script: Decode::decode(r)? },
        WE_SIGNED_CLOSE => Fact::WeSignedClose(Decode::decode(r)?),
        BOTH_SIGNED_CLOSE => {
            Fact::BothSignedClose { close: Decode::decode(r)?, signature: Decode::decode(r)? }
        }
        FAILING => Fact::Failing(Decode::decode(r)?),
        DATA_LOSS => Fact::DataLoss { theirs: Decode::decode(r)? },
        FROZEN => Fact::Frozen,
        FUNDING_SPENT => {
            Fact::FundingSpent { tx: Box::new(take_tx(r)?), height: Decode::decode(r)? }
        }
        FUNDING_UNSPENT => Fact::FundingUnspent,
        OUTPUT_SPENT => Fact::OutputSpent {
            outpoint: Decode::decode(r)?,
            tx: Box::new(take_tx(r)?),
            height: Decode::decode(r)?,
        },
        OUTPUT_UNSPENT => Fact::OutputUnspent { outpoint: Decode::decode(r)? },
        RESOLVED_ON_CHAIN => {
            Fact::ResolvedOnChain { htlc: Decode::decode(r)?, preimage: Decode::decode(r)? }
        }
        CLOSED => Fact::Closed,
        ABANDONED => Fact::Abandoned(Decode::decode(r)?),
        TOLD => Fact::Told(Decode::decode(r)?),
        HISTORY_FOUND => Fact::HistoryFound { txid: Decode::decode(r)?, htlcs: Decode::decode(r)? },
        QUARANTINED => Fact::Quarantined,
        VOUCHED => Fact::Vouched { by_us: Decode::decode(r)? },
        _ => return Ok(None),
    }))
}
