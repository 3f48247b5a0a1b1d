//! A whole channel at one moment, so that older facts may go.
//!
//! A version, then sections behind their number and length; odd sections may be skipped. The forms are
//! those of version 1 and never change.

use bitcoin::ScriptBuf;
use secp256k1::PublicKey;
use wire::codec::{BigSize, Decode, DecodeError, Encode, Reader};
use wire::id::{Preimage, ShortChannelId, Signature};
use wire::message::AttributionData;
use wire::units::{BlockHeight, FeeratePerKw, Msat};

use super::RecordError;
use super::layout::{fields, put_tx, take_tx};
use super::terms::{put_optional_tx, take_optional_tx};
use crate::clock::Side;
use crate::effect::Outcome;
use crate::fact::CloseTerms;
use crate::ledger::{FeeChange, Going, How, Htlc, Ledger, Tombstone};
use crate::past::Past;
use crate::revoked::RevokedLog;
use crate::shachain::RevealedSecrets;
use crate::state::{Coins, End, Funding, Layer1, OurShutdown, OutputSpend, State};
use crate::terms::{Kind, Terms};

const VERSION: u64 = 1;

const TERMS: u64 = 0;
const FUNDINGS: u64 = 2;
const LEDGER: u64 = 4;
const DANCE: u64 = 6;
const CLOSING: u64 = 8;
const LAYER_1: u64 = 10;
/// Only written if there is something.
const PAST: u64 = 12;
/// Only written if it is so.
const QUARANTINED: u64 = 14;
/// Only written if its type says more than the two that all have.
const KIND: u64 = 16;
/// Only written if something is known of them.
const FUNDING_COINS: u64 = 18;
/// Only written if there is something.
const REVOKED: u64 = 20;

/// Numbers, points and secrets.
struct Dance {
    ours: u64,
    theirs: u64,
    awaiting_revocation: bool,
    signed_last: bool,
    secrets: Vec<u8>,
    their_point: PublicKey,
    their_next_point: Option<PublicKey>,
    created: BlockHeight,
    we_ready: bool,
    they_ready: bool,
    their_alias: Option<ShortChannelId>,
}

/// What was said about an end.
struct Closing {
    our_shutdown: Option<OurShutdown>,
    their_shutdown: Option<ScriptBuf>,
    closes: Vec<CloseTerms>,
    closed: Option<(CloseTerms, Signature)>,
    end: Option<End>,
}

fields! {
    Dance {
        ours, theirs, awaiting_revocation, signed_last, secrets, their_point, their_next_point,
        created, we_ready, they_ready, their_alias,
    }
    Closing { our_shutdown, their_shutdown, closes, closed, end }
    OurShutdown { script, feerate, asked }
    Coins { inputs, conflict }
    FeeChange { clock, feerate }
    Going { clock, how }
    Tombstone { origin, outcome }
}

/// Writes a state.
pub(crate) fn encode_state(state: &State) -> Vec<u8> {
    let mut out = Vec::new();
    BigSize(VERSION).encode(&mut out);
    let dance = Dance {
        ours: state.ours,
        theirs: state.theirs,
        awaiting_revocation: state.awaiting_revocation,
        signed_last: state.signed_last,
        secrets: state.secrets.to_bytes(),
        their_point: state.their_point,
        their_next_point: state.their_next_point,
        created: state.created,
        we_ready: state.we_ready,
        they_ready: state.they_ready,
        their_alias: state.their_alias,
    };
    let closing = Closing {
        our_shutdown: state.our_shutdown.clone(),
        their_shutdown: state.their_shutdown.clone(),
        closes: state.closes.clone(),
        closed: state.closed,
        end: state.end.clone(),
    };
    section(TERMS, &state.terms, &mut out);
    section(FUNDINGS, &state.fundings, &mut out);
    section(LEDGER, &state.ledger, &mut out);
    section(DANCE, &dance, &mut out);
    section(CLOSING, &closing, &mut out);
    section(LAYER_1, &state.chain, &mut out);
    if state.past != Past::default() {
        section(PAST, &state.past, &mut out);
    }
    if state.revoked != RevokedLog::default() {
        section(REVOKED, &state.revoked, &mut out);
    }
    if state.quarantined {
        section(QUARANTINED, &true, &mut out);
    }
    if state.terms.kind != Kind::default() {
        section(KIND, &state.terms.kind, &mut out);
    }
    if state.coins != Coins::default() {
        section(FUNDING_COINS, &state.coins, &mut out);
    }
    out
}

fn section(number: u64, value: &impl Encode, out: &mut Vec<u8>) {
    let body = value.encoded();
    BigSize(number).encode(out);
    BigSize::of_len(body.len()).encode(out);
    out.extend_from_slice(&body);
}

/// Reads what [`encode_state`] wrote.
pub(crate) fn decode_state(bytes: &[u8]) -> Result<State, RecordError> {
    let mut r = Reader::new(bytes);
    match BigSize::decode(&mut r)?.0 {
        VERSION => {}
        newer => return Err(RecordError::Newer(newer)),
    }
    let (mut terms, mut fundings, mut ledger) = (None, None, None);
    let (mut dance, mut closing, mut chain) = (None, None, None);
    let (mut past, mut revoked, mut quarantined) = (Past::default(), None, false);
    let (mut kind, mut coins) = (Kind::default(), Coins::default());
    while !r.is_empty() {
        let number = BigSize::decode(&mut r)?.0;
        let length = usize::try_from(BigSize::decode(&mut r)?.0).map_err(|_| DecodeError::Short)?;
        let body = r.take(length)?;
        match number {
            TERMS => terms = Some(Terms::decode_exact(body)?),
            FUNDINGS => fundings = Some(Vec::<Funding>::decode_exact(body)?),
            LEDGER => ledger = Some(Ledger::decode_exact(body)?),
            DANCE => dance = Some(Dance::decode_exact(body)?),
            CLOSING => closing = Some(Closing::decode_exact(body)?),
            LAYER_1 => chain = Some(Layer1::decode_exact(body)?),
            REVOKED => revoked = Some(RevokedLog::decode_exact(body)?),
            PAST => past = Past::decode_exact(body)?,
            QUARANTINED => quarantined = bool::decode_exact(body)?,
            KIND => kind = Kind::decode_exact(body)?,
            FUNDING_COINS => coins = Coins::decode_exact(body)?,
            odd if odd % 2 == 1 => {}
            newer => return Err(RecordError::Newer(newer)),
        }
    }
    let missing = || RecordError::Beginning;
    let (dance, closing) = (dance.ok_or_else(missing)?, closing.ok_or_else(missing)?);
    let secrets = RevealedSecrets::from_bytes(&dance.secrets).map_err(|_| DecodeError::Range)?;
    // A snapshot from before there was a log: it begins where the secrets end.
    let revoked = revoked.unwrap_or_else(|| RevokedLog::beginning_at(secrets.count()));
    Ok(State {
        terms: Terms { kind, ..terms.ok_or_else(missing)? },
        fundings: fundings.filter(|all| !all.is_empty()).ok_or_else(missing)?,
        ledger: ledger.ok_or_else(missing)?,
        ours: dance.ours,
        theirs: dance.theirs,
        awaiting_revocation: dance.awaiting_revocation,
        signed_last: dance.signed_last,
        secrets,
        their_point: dance.their_point,
        their_next_point: dance.their_next_point,
        created: dance.created,
        we_ready: dance.we_ready,
        they_ready: dance.they_ready,
        their_alias: dance.their_alias,
        our_shutdown: closing.our_shutdown,
        their_shutdown: closing.their_shutdown,
        closes: closing.closes,
        closed: closing.closed,
        end: closing.end,
        chain: chain.ok_or_else(missing)?,
        past,
        revoked,
        quarantined,
        coins,
    })
}

impl Encode for Funding {
    fn encode(&self, out: &mut Vec<u8>) {
        self.outpoint.encode(out);
        self.value.encode(out);
        put_optional_tx(self.tx.as_ref(), out);
        self.seen.encode(out);
        self.confirmed.encode(out);
        self.signatures.encode(out);
    }
}

impl Decode for Funding {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            outpoint: Decode::decode(r)?,
            value: Decode::decode(r)?,
            tx: take_optional_tx(r)?,
            seen: Decode::decode(r)?,
            confirmed: Decode::decode(r)?,
            signatures: Decode::decode(r)?,
        })
    }
}

impl Encode for Ledger {
    fn encode(&self, out: &mut Vec<u8>) {
        self.us.encode(out);
        self.them.encode(out);
        self.funder.encode(out);
        self.feerate.encode(out);
        self.fees.encode(out);
        // What was only said is not written: a restart forgets it as a lost connection does.
        self.next_signed(Side::Us).encode(out);
        self.next_signed(Side::Them).encode(out);
        let signed = || self.htlcs.iter().filter(|(_, htlc)| !htlc.clock.is_proposed());
        BigSize::of_len(signed().count()).encode(out);
        for ((by, _), htlc) in signed() {
            by.encode(out);
            htlc.encode(out);
        }
        BigSize::of_len(self.tombstones.len()).encode(out);
        for (id, stone) in &self.tombstones {
            id.encode(out);
            stone.encode(out);
        }
    }
}

impl Decode for Ledger {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (us, them) = (Msat::decode(r)?, Msat::decode(r)?);
        let (funder, feerate) = (Side::decode(r)?, FeeratePerKw::decode(r)?);
        let mut ledger = Self::new(us, them, funder, feerate);
        ledger.fees = Decode::decode(r)?;
        ledger.next_us = Decode::decode(r)?;
        ledger.next_them = Decode::decode(r)?;
        for _ in 0..BigSize::decode(r)?.0 {
            let (by, htlc) = (Side::decode(r)?, Htlc::decode(r)?);
            ledger.htlcs.insert((by, htlc.add.id), htlc);
        }
        for _ in 0..BigSize::decode(r)?.0 {
            let (id, stone) = (u64::decode(r)?, Tombstone::decode(r)?);
            ledger.tombstones.insert(id, stone);
        }
        ledger.forget_proposals();
        Ok(ledger)
    }
}

impl Encode for Htlc {
    fn encode(&self, out: &mut Vec<u8>) {
        self.add.encode(out);
        self.clock.encode(out);
        self.origin.encode(out);
        self.overexposed.encode(out);
        // A removal that the peer only said is not written.
        let kept = self
            .removal
            .as_ref()
            .filter(|going| !(going.clock.is_proposed() && going.clock.proposer() == Side::Them));
        kept.is_some().encode(out);
        if let Some(going) = kept {
            going.encode(out);
        }
        self.preimage.encode(out);
        self.ended.encode(out);
        self.forgotten.encode(out);
    }
}

impl Decode for Htlc {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            add: Decode::decode(r)?,
            clock: Decode::decode(r)?,
            origin: Decode::decode(r)?,
            overexposed: Decode::decode(r)?,
            removal: Decode::decode(r)?,
            preimage: Option::<(Preimage, Option<AttributionData>)>::decode(r)?,
            ended: Option::<Outcome>::decode(r)?,
            forgotten: Decode::decode(r)?,
        })
    }
}

impl Encode for How {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ours(removal) => {
                Side::Us.encode(out);
                removal.encode(out);
            }
            Self::Theirs(removal) => {
                Side::Them.encode(out);
                removal.encode(out);
            }
        }
    }
}

impl Decode for How {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match Side::decode(r)? {
            Side::Us => Self::Ours(Decode::decode(r)?),
            Side::Them => Self::Theirs(Decode::decode(r)?),
        })
    }
}

impl Encode for End {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Failing(reason) => {
                out.push(0);
                reason.encode(out);
            }
            Self::DataLoss { theirs } => {
                out.push(1);
                theirs.encode(out);
            }
            Self::Frozen => out.push(2),
            Self::Abandoned(reason) => {
                out.push(3);
                reason.encode(out);
            }
            Self::Lost => out.push(4),
        }
    }
}

impl Decode for End {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            0 => Self::Failing(Decode::decode(r)?),
            1 => Self::DataLoss { theirs: Decode::decode(r)? },
            2 => Self::Frozen,
            3 => Self::Abandoned(Decode::decode(r)?),
            4 => Self::Lost,
            _ => return Err(DecodeError::Range),
        })
    }
}

impl Encode for Layer1 {
    fn encode(&self, out: &mut Vec<u8>) {
        self.spent.is_some().encode(out);
        if let Some((tx, height)) = &self.spent {
            put_tx(tx, out);
            height.encode(out);
        }
        BigSize::of_len(self.outputs.len()).encode(out);
        for spend in &self.outputs {
            spend.encode(out);
        }
        self.closed.encode(out);
    }
}

impl Decode for Layer1 {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let spent = match bool::decode(r)? {
            true => Some((take_tx(r)?, Decode::decode(r)?)),
            false => None,
        };
        let mut outputs = Vec::new();
        for _ in 0..BigSize::decode(r)?.0 {
            outputs.push(OutputSpend::decode(r)?);
        }
        Ok(Self { spent, outputs, closed: Decode::decode(r)? })
    }
}

impl Encode for OutputSpend {
    fn encode(&self, out: &mut Vec<u8>) {
        self.outpoint.encode(out);
        put_tx(&self.tx, out);
        self.height.encode(out);
    }
}

impl Decode for OutputSpend {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { outpoint: Decode::decode(r)?, tx: take_tx(r)?, height: Decode::decode(r)? })
    }
}
