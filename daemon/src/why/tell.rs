//! A channel's story in sentences.

use bitcoin::Amount;
use channel::effect::{CloseReason, Spender};
use wire::units::BlockHeight;

use crate::channels::view::{abandon_reason, close_reason};
use crate::policy;
use crate::rpc::model::UnixMillis;
use crate::rpc::model::channel::{Channel, ChannelPhase, CloseStage};
use crate::rpc::model::why::{ChannelWhy, Step, Wait};
use crate::why::{Milestone, Story, What};

/// Digits in threes, as people read amounts and heights.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len().saturating_add(digits.len() / 3));
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len().saturating_sub(place) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn sat(sat: u64) -> String {
    format!("{} sat", grouped(sat))
}

/// The whole account. `channel` is how it stands now, `tip` the height of the best chain.
pub fn account(
    story: &Story,
    channel: Option<Channel>,
    policy: policy::ForceClosePolicy,
    tip: BlockHeight,
) -> ChannelWhy {
    let steps = story.milestones.iter().map(|milestone| step(story, milestone)).collect();
    let (cost, home) = sums(story);
    ChannelWhy {
        id: story.id,
        node: story.node,
        summary: summary(story, channel.as_ref()),
        policy: policy::word(policy),
        steps,
        left_out: story.left_out,
        waiting: channel.as_ref().map(|channel| waiting(channel, tip)).unwrap_or_default(),
        cost: Amount::from_sat(cost),
        home: Amount::from_sat(home),
        channel,
    }
}

/// What the present end cost us, and what it brought home: a reorganisation takes back what came before.
fn sums(story: &Story) -> (u64, u64) {
    let (mut cost, mut home) = (0_u64, 0_u64);
    for milestone in &story.milestones {
        if let What::Spent { fee_sat, .. } = &milestone.what {
            (cost, home) = (if story.funder { *fee_sat } else { 0 }, 0);
        } else if let What::Unspent = &milestone.what {
            (cost, home) = (0, 0);
        } else if let What::Taken { ours, fee_sat, home_sat, .. } = &milestone.what
            && (*ours || home_sat.is_some())
        {
            cost = cost.saturating_add(fee_sat.unwrap_or(0));
            home = home.saturating_add(home_sat.unwrap_or(0));
        }
    }
    (cost, home)
}

/// The one sentence for whoever reads no further: what happened first of what ends a channel.
fn summary(story: &Story, channel: Option<&Channel>) -> String {
    let mut spender = None;
    let mut first = None;
    let mut held = None;
    for milestone in &story.milestones {
        let cause = match &milestone.what {
            What::WeShutdown { asked: true } => Some("closed together: we asked for it".to_owned()),
            What::TheyShutdown => Some("closed together: the peer asked for it".to_owned()),
            What::PeerError(text) => Some(format!("the peer sent an error: “{}”", text.0)),
            What::Failing(reason) => Some(format!("we closed alone: {}", close_reason(reason))),
            What::DataLoss { .. } => Some(
                "our data is older than what the peer proves; it was asked to close".to_owned(),
            ),
            What::Abandoned(reason) => Some(format!("never funded: {}", abandon_reason(reason))),
            What::Spent { by, .. } => {
                spender = *by;
                None
            }
            What::HeldBack { reason, .. } => {
                held = Some(reason);
                None
            }
            What::Restored => {
                Some("only a backup of it is left; the peer was asked to close".to_owned())
            }
            What::Created
            | What::Confirmed { .. }
            | What::Unconfirmed
            | What::WeShutdown { asked: false }
            | What::Agreed { .. }
            | What::Frozen
            | What::Quarantined
            | What::Vouched { .. }
            | What::Remembered { .. }
            | What::Sent { .. }
            | What::Unspent
            | What::Taken { .. }
            | What::Untaken { .. }
            | What::HtlcEnded { .. }
            | What::Closed => None,
        };
        // A close together that came to nothing is not what ended the channel.
        let forced = matches!(
            &milestone.what,
            What::PeerError(_) | What::Failing(_) | What::DataLoss { .. } | What::Restored
        );
        if first.is_none() || (forced && matches!(first, Some((_, false)))) {
            first = cause.map(|cause| (cause, forced)).or(first);
        }
    }
    if spender == Some(Spender::RevokedCommitment) {
        return "the peer broadcast a commitment that it had revoked: it tried to cheat".to_owned();
    }
    let by_peer = match spender {
        Some(Spender::TheirCommitment) => Some("the peer closed alone, with its own commitment"),
        Some(Spender::FutureCommitment) => {
            Some("the peer closed alone, with a commitment newer than our data")
        }
        Some(Spender::Unknown) => Some("a transaction that we do not know took the coins"),
        Some(Spender::MutualClose | Spender::OurCommitment | Spender::RevokedCommitment) | None => {
            None
        }
    };
    match (first, by_peer, held) {
        (Some((cause, true)), Some(by_peer), _) => format!("{cause}; {by_peer}"),
        (_, Some(by_peer), _) => by_peer.to_owned(),
        (Some((cause, _)), None, _) => cause,
        (None, None, Some(reason)) => {
            format!("a close is due and left to you: {}", close_reason(reason))
        }
        (None, None, None) => match channel.map(|channel| &channel.phase) {
            Some(phase) => format!("{}: nothing has ended it", phase.word()),
            None => "nothing is known that ended it".to_owned(),
        },
    }
}

/// Why we close alone, for programs.
const fn cause(reason: &CloseReason) -> &'static str {
    match reason {
        CloseReason::Asked => "force-close-asked",
        CloseReason::Fault(_) => "force-close-fault",
        CloseReason::PeerError => "force-close-peer-error",
        CloseReason::HtlcDeadline { .. } => "force-close-deadline",
        CloseReason::FundingConflict { .. } => "funding-double-spent",
        CloseReason::FundingNeverCame { .. } => "funding-never-came",
    }
}

/// What spent the funding output, for programs and for people.
const fn spent_by(by: Option<Spender>) -> (&'static str, &'static str) {
    match by {
        Some(Spender::MutualClose) => {
            ("closed-together", "the closing transaction that both signed")
        }
        Some(Spender::OurCommitment) => ("closed-by-us", "our commitment"),
        Some(Spender::TheirCommitment) => ("closed-by-them", "the peer's commitment"),
        Some(Spender::RevokedCommitment) => {
            ("breach", "a commitment that the peer had revoked: it cheats, and everything is ours")
        }
        Some(Spender::FutureCommitment) => {
            ("closed-by-them-ahead", "a commitment of the peer's that is newer than our data")
        }
        Some(Spender::Unknown) => ("rogue-spend", "a transaction that we do not know"),
        None => ("spent", "a transaction"),
    }
}

fn sent(label: &str, times: u32) -> (&'static str, String) {
    let (code, what) = match label {
        "funding" => ("funding-sent", "the funding transaction".to_owned()),
        "close" => ("close-sent", "our closing transaction".to_owned()),
        other => ("claim-sent", format!("a transaction for our outputs ({other})")),
    };
    let again = if times > 1 { format!(", the newest of {times}") } else { String::new() };
    (code, format!("we signed and broadcast {what}{again}"))
}

fn step(story: &Story, milestone: &Milestone) -> Step {
    let at = (milestone.at_ms > 0).then_some(UnixMillis(milestone.at_ms));
    let mut step = Step {
        seq: milestone.seq,
        at,
        height: (milestone.height > 0).then_some(BlockHeight(milestone.height)),
        code: "",
        text: String::new(),
        txid: None,
        amount: None,
        fee: None,
    };
    let block = |step: &mut Step, height: u32| step.height = Some(BlockHeight(height));
    let (code, text) = match &milestone.what {
        What::Created => {
            step.amount = Some(Amount::from_sat(story.capacity_sat));
            let who = if story.funder { "by us" } else { "by the peer" };
            let what = format!("channel of {} opened {who}", sat(story.capacity_sat));
            ("created", format!("{what}; both first commitments are signed"))
        }
        What::Confirmed { height } => {
            block(&mut step, *height);
            ("funding-confirmed", "the funding transaction is in a block".to_owned())
        }
        What::Unconfirmed => {
            ("funding-reorganised", "a reorganisation took the funding transaction out".to_owned())
        }
        What::WeShutdown { asked: true } => {
            ("shutdown-asked", "we asked the peer to close together".to_owned())
        }
        What::WeShutdown { asked: false } => {
            ("shutdown-answered", "we agreed to close together".to_owned())
        }
        What::TheyShutdown => {
            ("shutdown-received", "the peer said shutdown: to close together".to_owned())
        }
        What::Agreed { fee_sat } => {
            step.fee = Some(Amount::from_sat(*fee_sat));
            ("close-agreed", format!("both signed a closing transaction, fee {}", sat(*fee_sat)))
        }
        What::PeerError(text) => {
            ("error-received", format!("the peer sent an error: “{}”", text.0))
        }
        What::Failing(reason) => {
            let rule = policy::of_number(milestone.policy)
                .filter(|_| is_ours(reason))
                .map_or_else(String::new, |policy| {
                    format!(" (force_close = {})", policy::word(policy))
                });
            (cause(reason), format!("we decided to close alone: {}{rule}", close_reason(reason)))
        }
        What::DataLoss { theirs } => (
            "data-loss",
            format!(
                "the peer proved commitment {}, newer than our data: ours is never broadcast, and the \
                 peer was asked to close",
                grouped(*theirs)
            ),
        ),
        What::Frozen => {
            ("frozen", "the channel stopped: nothing new is signed in it any more".to_owned())
        }
        What::Restored => (
            "restored",
            "a backup is all that is left of it: the peer is asked to close".to_owned(),
        ),
        What::Quarantined => (
            "quarantined",
            "our data may be an older copy: nothing is signed or broadcast before the peer has shown \
             its numbers"
                .to_owned(),
        ),
        What::Vouched { by_us: false } => (
            "quarantine-over",
            "the peer's numbers fit ours: the data is current, and the channel works again".to_owned(),
        ),
        What::Vouched { by_us: true } => (
            "quarantine-lifted",
            "you said that the data is current: the channel works again".to_owned(),
        ),
        What::Remembered { htlcs } => (
            "history-searched",
            format!("the archive was searched: {} settled HTLCs of that commitment are taken", grouped((*htlcs).into())),
        ),
        What::HeldBack { reason, by_policy, cost_sat, saves_sat, before } => {
            step.amount = Some(Amount::from_sat(*saves_sat));
            step.fee = Some(Amount::from_sat(*cost_sat));
            let before = before.map_or_else(String::new, |height| {
                format!(" before block {}", grouped(height.into()))
            });
            let rule = policy::of_number(milestone.policy).map_or("unknown", policy::word);
            let held = if *by_policy {
                format!("left to you (force_close = {rule})")
            } else {
                format!("not worth its cost (force_close = {rule})")
            };
            (
                "close-held-back",
                format!(
                    "a close is due and was {held}: {}; it would spend {} to save {}{before}",
                    close_reason(reason),
                    sat(*cost_sat),
                    sat(*saves_sat)
                ),
            )
        }
        What::Sent { txid, label, times } => {
            step.txid = Some(*txid);
            sent(&label.0, *times)
        }
        What::Spent { txid, by, fee_sat, height } => {
            step.txid = Some(*txid);
            step.fee = Some(Amount::from_sat(*fee_sat));
            block(&mut step, *height);
            let (code, what) = spent_by(*by);
            (code, format!("in a block: {what}, fee {}", sat(*fee_sat)))
        }
        What::Unspent => {
            ("close-reorganised", "a reorganisation took the closing transaction out".to_owned())
        }
        What::Taken { txid, ours, outputs, value_sat, fee_sat, home_sat, height } => {
            step.txid = Some(*txid);
            step.amount = Some(Amount::from_sat(home_sat.unwrap_or(*value_sat)));
            let for_us = *ours || home_sat.is_some();
            step.fee = fee_sat.filter(|_| for_us).map(Amount::from_sat);
            block(&mut step, *height);
            let what = match outputs {
                1 => format!("an output of {}", sat(*value_sat)),
                more => format!("{more} outputs, {} together,", sat(*value_sat)),
            };
            if for_us {
                let cost = fee_sat.map_or_else(String::new, |fee| format!(", fee {}", sat(fee)));
                let home = home_sat
                    .filter(|home| *home > 0)
                    .map_or_else(String::new, |home| format!(": {} came home", sat(home)));
                match ours {
                    true => ("claimed", format!("we took {what} back{cost}{home}")),
                    false => (
                        "taken-by-tower",
                        format!("a watchtower took {what} for us{cost}{home}"),
                    ),
                }
            } else {
                ("taken-by-other", format!("somebody else took {what} as was theirs to do"))
            }
        }
        What::Untaken { outpoint } => {
            ("claim-reorganised", format!("a reorganisation undid the spend of {outpoint}"))
        }
        What::HtlcEnded { htlc, paid: true } => (
            "htlc-paid",
            format!("the peer took our HTLC {htlc} with its preimage: that payment arrived"),
        ),
        What::HtlcEnded { htlc, paid: false } => {
            ("htlc-returned", format!("our HTLC {htlc} came back: that payment failed"))
        }
        What::Closed => {
            ("resolved", "every output is resolved for good: the channel is over".to_owned())
        }
        What::Abandoned(reason) => {
            ("abandoned", format!("the channel never came to be: {}", abandon_reason(reason)))
        }
    };
    Step { code, text, ..step }
}

/// Whether the policy had a say: not over our own command.
const fn is_ours(reason: &CloseReason) -> bool {
    match reason {
        CloseReason::Asked
        | CloseReason::FundingConflict { .. }
        | CloseReason::FundingNeverCame { .. } => false,
        CloseReason::Fault(_) | CloseReason::PeerError | CloseReason::HtlcDeadline { .. } => true,
    }
}

fn waiting(channel: &Channel, tip: BlockHeight) -> Vec<Wait> {
    let Some(closing) = channel.closing.as_ref().filter(|_| channel.phase != ChannelPhase::Closed)
    else {
        return Vec::new();
    };
    let wait =
        |text: &str| Wait { text: text.to_owned(), until: None, amount: None, outpoint: None };
    match closing.stage {
        CloseStage::Planned | CloseStage::Done => return Vec::new(),
        CloseStage::Negotiating => {
            return vec![wait("the closing fee is being agreed with the peer")];
        }
        CloseStage::Broadcast => return vec![wait("the closing transaction waits for a block")],
        CloseStage::Confirmed => {}
    }
    let mut all = Vec::new();
    if let Some(until) = closing.spendable_at.filter(|until| *until > tip) {
        all.push(Wait {
            until: Some(until),
            ..wait("our balance is locked until its delay is over")
        });
    }
    let deep = closing.height.map(|at| at.saturating_add(channel::onchain::IRREVOCABLE_DEPTH - 1));
    if let Some(until) = deep.filter(|until| *until > tip) {
        let text = "the close is watched until no reorganisation can undo it";
        all.push(Wait { until: Some(until), ..wait(text) });
    }
    all
}
