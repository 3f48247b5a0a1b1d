//! Probes: HTLCs that nobody can settle, sent to learn what channels carry now.
//!
//! Their hash is a random number, so whoever is reached says that it knows nothing of it, and that is the answer. A
//! probe goes the way of a payment, with the same limits, but writes no fact: it is in no list, and a restart forgets
//! it; what its HTLCs come back to is nobody's then. What was learnt stays.
//!
//! Not here: the way (`router`), what a failure teaches (`lesson`).

use std::collections::BTreeMap;

use channel::{Command, Outcome, Refusal as ChannelRefusal};
use wire::id::PaymentHash;
use wire::units::Msat;

use crate::clock::now_ms;
use crate::fact::ChannelIndex;
use crate::payments::Payments;
use crate::payments::asks::Reply;
use crate::payments::router::{self, Part};
use crate::payments::searches::For;
use crate::payments::send::{Attempt, Next, Plan};
use crate::rpc::model::graph::{PartFound, ProbeOutcome, Probed, ProbedPart};
use crate::rpc::model::payment::PaymentFailure;
use crate::rpc::refusal::{Refusal, Unready};

/// Probes at a time.
const PROBES_MAX: u32 = 16;

/// HTLCs of one probe: what is not known then stays unknown.
const TRIES_MAX: usize = 24;

/// A probe under way.
#[derive(Debug)]
struct Probe {
    plan: Plan,
    reply: Reply<Probed>,
    flying: BTreeMap<u32, Flying>,
    parts: Vec<ProbedPart>,
    reached: Msat,
    fee: Msat,
    /// Why nothing more is tried.
    over: Option<String>,
}

/// An HTLC of it.
#[derive(Debug)]
struct Flying {
    channel: ChannelIndex,
    part: Part,
    shown: PartFound,
    since_ms: u64,
}

/// All probes under way.
#[derive(Debug, Default)]
pub(super) struct Probes(BTreeMap<PaymentHash, Probe>);

impl Payments {
    /// Begins to look for a way by trying.
    pub(super) fn probe(&mut self, plan: Plan, reply: Reply<Probed>) {
        if self.probes.0.len() >= usize::try_from(PROBES_MAX).unwrap_or(usize::MAX) {
            let _gone = reply.send(Err(Refusal::Busy { queue: "probes", limit: PROBES_MAX }));
            return;
        }
        // At a height of before, what is offered would expire too soon.
        if !self.synced {
            let _gone = reply.send(Err(Refusal::NotReady { state: Unready::Syncing }));
            return;
        }
        let hash = plan.hash;
        let probe = Probe {
            plan: plan.clone(),
            reply,
            flying: BTreeMap::new(),
            parts: Vec::new(),
            reached: Msat::ZERO,
            fee: Msat::ZERO,
            over: None,
        };
        self.probes.0.insert(hash, probe);
        self.attempts.open(plan, 0);
        self.probe_on(hash);
    }

    pub(super) fn probe_on(&mut self, hash: PaymentHash) {
        let next = self.next(hash);
        self.probe_with(hash, next);
    }

    pub(super) fn probe_with(&mut self, hash: PaymentHash, next: Next) {
        let Some(probe) = self.probes.0.get_mut(&hash) else { return };
        match next {
            Next::Search(errand) => return self.search(For::Probe(hash), errand),
            Next::Later => return self.search_later(For::Probe(hash)),
            Next::Send(attempts) => {
                let sum = probe.parts.len().saturating_add(probe.flying.len());
                if sum.saturating_add(attempts.len()) > TRIES_MAX {
                    probe.over = Some("as many HTLCs were sent as a probe may".to_owned());
                    self.attempts.give_up(hash, PaymentFailure::NoRoute);
                } else {
                    self.send_probe(hash, attempts);
                }
            }
            // Something is under way, or all of it got there.
            Next::Wait => {}
            Next::Over(failure, missed) => {
                let begun = !probe.parts.is_empty() || !probe.flying.is_empty();
                if let Some(missed) = &missed
                    && !begun
                {
                    let payee = wire::id::NodeId(probe.plan.payee.serialize());
                    let plan = probe.plan.clone();
                    let refusal = self.refusal(&plan, payee, failure, Some(missed));
                    self.attempts.close(hash);
                    if let Some(probe) = self.probes.0.remove(&hash) {
                        let _gone = probe.reply.send(Err(refusal));
                    }
                    return;
                }
                let words = missed.map(|missed| missed.to_string());
                let words = words.unwrap_or_else(|| crate::why::payment::failure(failure));
                probe.over.get_or_insert(words);
            }
        }
        self.end_probe(hash, false);
    }

    fn send_probe(&mut self, hash: PaymentHash, attempts: Vec<Attempt>) {
        let (since_ms, height) = (now_ms(), self.height());
        for attempt in attempts {
            if let Some(probe) = self.probes.0.get_mut(&hash) {
                let (channel, delivered) = (attempt.channel, attempt.delivered);
                let part = Part { channel, delivered, hops: attempt.hops, tail: None };
                let shown = router::show_part(&part, &attempt.odds, height);
                probe.flying.insert(attempt.part, Flying { channel, part, shown, since_ms });
            }
            self.command(attempt.channel, Command::OfferHtlc(Box::new(attempt.offer)));
        }
    }

    /// Our channel would not offer an HTLC of a probe; whether it was one.
    pub(super) fn probe_refused(
        &mut self,
        hash: PaymentHash,
        part: u32,
        channel: ChannelIndex,
        refusal: &ChannelRefusal,
    ) -> bool {
        if !self.probes.0.contains_key(&hash) {
            return false;
        }
        let words = format!("our channel refused: {refusal}");
        self.note_probed(hash, part, ProbeOutcome::Failed { hops: 0, words });
        self.attempts.landed(hash, part);
        self.attempts.shun(hash, channel);
        self.probe_on(hash);
        true
    }

    /// An HTLC of a probe came back; whether it was one.
    pub(super) fn probe_ended(&mut self, hash: PaymentHash, part: u32, outcome: &Outcome) -> bool {
        let Some(probe) = self.probes.0.get(&hash) else { return false };
        let Some(flying) = probe.flying.get(&part) else { return true };
        let (channel, hops) = (flying.channel, flying.part.hops.clone());
        let (taught, _) = self.taught(hash, part, &hops, outcome.clone());
        let reached = matches!(
            taught.failure,
            PaymentFailure::UnknownByPayee { .. } | PaymentFailure::PayeeTimedOut
        );
        let outcome = if reached {
            ProbeOutcome::Reached
        } else if let PaymentFailure::FailedOnTheWay { by, .. } = taught.failure {
            let passed = hops.iter().position(|hop| hop.node == by);
            let passed = passed.map_or(0, |place| place.saturating_add(1));
            let hops = u32::try_from(passed).unwrap_or(u32::MAX);
            ProbeOutcome::Failed { hops, words: taught.words.clone() }
        } else {
            ProbeOutcome::Unreadable { words: taught.words.clone() }
        };
        self.note_probed(hash, part, outcome);
        self.teach(&taught.lessons);
        if reached {
            // What got there counts as there: the rest is looked for beside it.
            self.end_probe(hash, false);
            return true;
        }
        self.attempts.landed(hash, part);
        self.attempts.learn(hash, &taught.lessons);
        if hops.len() <= 1 || taught.failure == PaymentFailure::NeverSent {
            self.attempts.shun(hash, channel);
        }
        self.probe_on(hash);
        true
    }

    fn note_probed(&mut self, hash: PaymentHash, part: u32, outcome: ProbeOutcome) {
        let Some(probe) = self.probes.0.get_mut(&hash) else { return };
        let Some(flying) = probe.flying.remove(&part) else { return };
        if outcome == ProbeOutcome::Reached {
            let sent = flying.part.hops.first().map_or(Msat::ZERO, |hop| hop.amount);
            let fee = sent.checked_sub(flying.part.delivered).unwrap_or(Msat::ZERO);
            let reached = probe.reached.checked_add(flying.part.delivered);
            probe.reached = reached.unwrap_or(Msat::MAX);
            probe.fee = probe.fee.checked_add(fee).unwrap_or(Msat::MAX);
        }
        let took_ms = now_ms().saturating_sub(flying.since_ms);
        probe.parts.push(ProbedPart { part: flying.shown, outcome: Some(outcome), took_ms });
    }

    /// Answers if nothing is under way and nothing more can be; `now`: also if something is.
    fn end_probe(&mut self, hash: PaymentHash, now: bool) {
        let Some(probe) = self.probes.0.get(&hash) else { return };
        let whole = self.attempts.missing(hash) == Msat::ZERO;
        let ended = probe.flying.is_empty() && (whole || probe.over.is_some());
        if !ended && !now {
            return;
        }
        let Some(mut probe) = self.probes.0.remove(&hash) else { return };
        self.attempts.close(hash);
        let at_ms = now_ms();
        let left = std::mem::take(&mut probe.flying).into_values();
        probe.parts.extend(left.map(|flying| ProbedPart {
            part: flying.shown,
            outcome: None,
            took_ms: at_ms.saturating_sub(flying.since_ms),
        }));
        let missed = (probe.reached < probe.plan.amount)
            .then(|| probe.over.unwrap_or_else(|| "it took too long".to_owned()));
        let Probe { parts, reached, fee, .. } = probe;
        let _gone = probe.reply.send(Ok(Probed { parts, reached, fee, missed }));
    }

    /// Answers for probes that took too long: what they still have under way comes back some day.
    pub(super) fn end_overdue_probes(&mut self) {
        let now = now_ms();
        let overdue = self.probes.0.iter().filter(|(_, probe)| now >= probe.plan.deadline_ms);
        let overdue: Vec<_> = overdue.map(|(hash, _)| *hash).collect();
        for hash in overdue {
            self.end_probe(hash, true);
        }
    }
}
