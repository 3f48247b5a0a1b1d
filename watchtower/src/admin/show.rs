//! The tower's own values in the words of the contract.

use api::v1;
use bitcoin::hex::DisplayHex as _;
use wire::units::BlockHeight;

use crate::message::ClaimState;
use crate::respond::book::{Book, EndedClaim, Source, Tracked};
use crate::store::state::Session;
use crate::store::{Kit, Mode};
use crate::watch::{EventKind, TowerEvent};

pub(super) const fn mode(mode: Mode) -> v1::TowerMode {
    match mode {
        Mode::Open => v1::TowerMode::Open,
        Mode::Draining => v1::TowerMode::Draining,
        Mode::Full => v1::TowerMode::Full,
        Mode::ReadOnly => v1::TowerMode::ReadOnly,
    }
}

pub(super) fn session(number: u32, session: &Session) -> v1::TowerSession {
    let opening = &session.opening;
    let kit = match opening.kit {
        Kit::Sealed => v1::TowerKit::Sealed,
        Kit::Replica => v1::TowerKit::Replica,
        Kit::Lnd => v1::TowerKit::Lnd,
    };
    v1::TowerSession {
        session: number,
        session_key: opening.key.to_lower_hex_string(),
        kit: kit.into(),
        records: session.progress.next_seq(),
        used_bytes: session.progress.used_bytes,
        quota_bytes: opening.quota_bytes,
        expiry_height: opening.expiry_height,
        opened_height: opening.opened_height,
    }
}

const fn state(state: ClaimState) -> v1::TowerClaimState {
    match state {
        ClaimState::Seen | ClaimState::Built => v1::TowerClaimState::Seen,
        ClaimState::Sent => v1::TowerClaimState::Sent,
        ClaimState::Mined => v1::TowerClaimState::Mined,
        ClaimState::Final => v1::TowerClaimState::Final,
        ClaimState::TakenByThem => v1::TowerClaimState::TakenByThem,
        ClaimState::DoneByOther => v1::TowerClaimState::DoneByOther,
        ClaimState::Failed => v1::TowerClaimState::Void,
    }
}

/// The last height at which we are in time.
fn deadline(tracked: &Tracked, source: &Source, tip_height: u32) -> Option<u32> {
    let mined = source.height.unwrap_or_else(|| tip_height.saturating_add(1));
    tracked.claim.deadline.last_height(BlockHeight(mined)).map(|height| height.0)
}

/// The least number of blocks that is left for something that is still to be taken.
pub(super) fn blocks_left(book: &Book, tip_height: u32) -> Option<u32> {
    let open = book.claims().filter(|(_, tracked)| tracked.taken.is_none());
    let left = open.filter_map(|(outpoint, tracked)| {
        let source = book.source(&outpoint.txid).filter(|source| !source.is_void())?;
        Some(deadline(tracked, source, tip_height)?.saturating_sub(tip_height))
    });
    left.min()
}

/// Open outputs first, then ended ones, the newest first.
pub(super) fn claims(book: &Book, tip_height: u32, session: Option<u32>) -> Vec<v1::TowerClaim> {
    let wanted = |of: u32| session.is_none_or(|session| session == of);
    let open = book.claims().filter_map(|(outpoint, tracked)| {
        let source = book.source(&outpoint.txid).filter(|source| wanted(source.session))?;
        let justice = tracked.taken.map(|t| t.by).or_else(|| tracked.sent.map(|s| s.txid));
        Some(v1::TowerClaim {
            outpoint: outpoint.to_string(),
            value_sat: tracked.claim.value.to_sat(),
            session: source.session,
            state: state(tracked.state(source, tip_height)).into(),
            justice_txid: justice.map(|txid| txid.to_string()).unwrap_or_default(),
            fee_sat: tracked.sent.map(|sent| sent.fee.to_sat()),
            taken_height: tracked.taken.map(|taken| taken.height),
            deadline_height: deadline(tracked, source, tip_height),
        })
    });
    let ended = book.ended().rev().filter(|ended| wanted(ended.session));
    open.chain(ended.map(|ended| over(ended, tip_height))).collect()
}

fn over(ended: &EndedClaim, tip_height: u32) -> v1::TowerClaim {
    let how = ended.taken.map_or(ClaimState::Failed, |taken| taken.state(tip_height));
    v1::TowerClaim {
        outpoint: ended.outpoint.to_string(),
        value_sat: ended.value.to_sat(),
        session: ended.session,
        state: state(how).into(),
        justice_txid: ended.taken.map(|taken| taken.by.to_string()).unwrap_or_default(),
        fee_sat: None,
        taken_height: ended.taken.map(|taken| taken.height),
        deadline_height: None,
    }
}

pub(super) fn event(event: &TowerEvent) -> v1::TowerEvent {
    let kind = match event.kind {
        EventKind::Matched => "matched",
        EventKind::Broadcast => "broadcast",
        EventKind::Confirmed => "confirmed",
        EventKind::Bumped => "bumped",
        EventKind::Split => "split",
        EventKind::Failed => "failed",
        EventKind::SecondStageSeen => "second_stage_seen",
        EventKind::Expiring => "expiring",
        EventKind::Chain => "chain",
    };
    let none = <bitcoin::Txid as bitcoin::hashes::Hash>::all_zeros();
    let txid = if event.txid == none { String::new() } else { event.txid.to_string() };
    v1::TowerEvent {
        kind: kind.to_owned(),
        session: event.session,
        txid,
        height: event.height,
        text: event.text.clone(),
    }
}
