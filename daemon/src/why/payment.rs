//! A payment's story in sentences, told from its facts.

use wire::units::Msat;

use crate::fact::{PaymentEnded, PaymentTried};
use crate::payments::sent::{Sent, failure_from};
use crate::rpc::model::UnixMillis;
use crate::rpc::model::channel::Channel;
use crate::rpc::model::payment::PaymentFailure;
use crate::rpc::model::why::{PaymentWhy, Step, Wait};
use crate::why::tell::grouped;

fn amount(msat: Msat) -> String {
    let (sat, rest) = (msat.floor_sat().to_sat(), msat.to_u64() % 1_000);
    if rest == 0 {
        format!("{} sat", grouped(sat))
    } else {
        format!("{}.{rest:03} sat", grouped(sat))
    }
}

/// Why a payment failed, as a sentence.
pub fn failure(failure: PaymentFailure) -> String {
    match failure {
        PaymentFailure::UnknownByPayee { height: Some(height) } => format!(
            "the payee does not know this payment or not this amount (it saw block {height})"
        ),
        PaymentFailure::UnknownByPayee { height: None } => {
            "the payee does not know this payment or not this amount".to_owned()
        }
        PaymentFailure::PayeeTimedOut => "the payee gave up waiting for the rest".to_owned(),
        PaymentFailure::FailedOnTheWay { code, by } => {
            format!("node {by} failed it with code {code:#06x}")
        }
        PaymentFailure::Unreadable => {
            "the answer could not be read: a node on the way garbled it".to_owned()
        }
        PaymentFailure::NoRoute => "no way to the payee was left to try".to_owned(),
        PaymentFailure::ShortOfCapacity => "no channel could carry it now".to_owned(),
        PaymentFailure::TimedOut => "the time for trying was over".to_owned(),
        PaymentFailure::ExpiredOnChain => {
            "its HTLC timed out and came back on the chain".to_owned()
        }
        PaymentFailure::ChannelClosed => "its channel ended before both had signed it".to_owned(),
        PaymentFailure::NeverSent => "nothing of it ever left this node".to_owned(),
    }
}

fn step(seq: u64, at_ms: u64, code: &'static str, text: String) -> Step {
    Step {
        seq,
        at: (at_ms > 0).then_some(UnixMillis(at_ms)),
        height: None,
        code,
        text,
        txid: None,
        amount: None,
        fee: None,
    }
}

fn tried(sent: &Sent, part: &PaymentTried, channel: Option<&Channel>) -> Step {
    let over = channel.map_or_else(
        || format!("channel number {}, which is over", part.channel),
        |channel| channel.short_id.map_or_else(|| channel.id.to_string(), |id| id.to_string()),
    );
    let hops = sent.hops(part.part);
    let way = hops.iter().skip(1).map(|hop| format!(", then {} to {}", hop.channel, hop.node));
    let way: String = way.collect();
    let text =
        format!("part {} of {} was offered over {over}{way}", part.part, amount(part.amount));
    Step { amount: Some(part.amount.floor_sat()), ..step(sent.index, part.at_ms, "tried", text) }
}

/// How long each node held a part, where they prove it. There is no saying when that was told.
fn waited(sent: &Sent, part: &PaymentTried) -> Option<Step> {
    let held = sent.held.get(&part.part)?;
    let hops = sent.hops(part.part);
    let each = held.times.iter().enumerate().map(|(place, time)| {
        let node = hops.get(place).map_or(sent.started.payee, |hop| hop.node);
        format!("{node} {}.{} s", time / 10, time % 10)
    });
    let each: Vec<_> = each.collect();
    let text = format!("part {} was held, by their own proofs, by {}", part.part, each.join(", "));
    Some(step(sent.index, 0, "part-held", text))
}

/// The whole account; `channel` finds a channel by its lasting number.
pub fn account<'a>(sent: &Sent, channel: impl Fn(u64) -> Option<&'a Channel>) -> PaymentWhy {
    let started = &sent.started;
    let what = format!(
        "asked to pay {} to {}, for at most {} in fees",
        amount(started.amount),
        started.payee,
        amount(started.fee_limit)
    );
    let mut steps = vec![step(sent.index, started.created_ms, "started", what)];
    if sent.first_part > 0 {
        let before = format!("{} parts of an earlier payment of it had failed", sent.first_part);
        steps.insert(0, step(sent.index, 0, "tried-before", before));
    }
    for part in &sent.tried {
        steps.push(tried(sent, part, channel(part.channel)));
        steps.extend(waited(sent, part));
        for failed in sent.failed.iter().filter(|failed| failed.part == part.part) {
            let why = failure(failure_from(Some(failed.failure), failed.failed_by));
            let words = if failed.words.0.is_empty() {
                String::new()
            } else {
                format!(": {}", failed.words.0)
            };
            let text = format!("part {} failed, {why}{words}", part.part);
            steps.push(step(sent.index, failed.at_ms, "part-failed", text));
        }
    }
    if let Some(left) = &sent.no_way {
        let text = format!("no way was left for {}: {}", amount(left.amount), left.words.0);
        steps.push(step(sent.index, left.at_ms, "no-way", text));
    }
    let mut waiting = Vec::new();
    let (status, summary) = match &sent.ended {
        None => {
            for part in &sent.tried {
                waiting.extend(held(sent, part, channel(part.channel)));
            }
            ("in-flight", "on its way: it may still arrive".to_owned())
        }
        Some(PaymentEnded { preimage: Some(preimage), at_ms, .. }) => {
            let text = format!("the preimage {preimage} came back: it arrived");
            steps.push(step(sent.index, *at_ms, "succeeded", text));
            ("succeeded", "it arrived: the payee showed the preimage".to_owned())
        }
        Some(ended) => {
            let why = failure(failure_from(ended.failure, ended.failed_by));
            let words = sent.reason().map_or_else(String::new, |words| format!(": {words}"));
            steps.push(step(
                sent.index,
                ended.at_ms,
                "failed",
                format!("it failed for good, {why}"),
            ));
            ("failed", format!("{why}{words}"))
        }
    };
    PaymentWhy { hash: started.payment_hash, status, summary, steps, waiting }
}

/// The HTLC of a part that a channel still holds.
fn held(sent: &Sent, part: &PaymentTried, channel: Option<&Channel>) -> Option<Wait> {
    let channel = channel?;
    let htlc = channel.htlcs.iter().find(|htlc| htlc.hash == sent.started.payment_hash)?;
    Some(Wait {
        text: format!("the HTLC of part {} waits for its preimage or its failure", part.part),
        until: Some(htlc.cltv_expiry),
        amount: Some(part.amount.floor_sat()),
        outpoint: None,
    })
}
