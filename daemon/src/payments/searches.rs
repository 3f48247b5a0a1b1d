//! Searches for ways, on threads of their own: some at a time, each with all it reads, so that payments go on meanwhile.
//!
//! A payment has one search at a time. What happens to the payment while it runs makes its answer stale: then it is
//! searched again. Nothing of this is written down: a payment begins when its first part is tried, and after a restart
//! one that is under way searches anew as soon as a part of it comes back.
//!
//! Not here: the search (`router`), what a payment still needs (`send`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use routing::graph::Snapshot;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use wire::id::PaymentHash;

use crate::clock::now_ms;
use crate::fact::{Fact, PaymentStarted};
use crate::payments::asks::Reply;
use crate::payments::plan;
use crate::payments::router::{self, Found, Look, Missed, Search, Sight, Wish};
use crate::payments::send::{self, Errand, Next, Plan, Shunned};
use crate::payments::{Order, Payments};
use crate::rpc::model::graph::RouteFound;
use crate::rpc::model::payment::{Payment, PaymentFailure};
use crate::rpc::refusal::Refusal;
use crate::tasks::Fatal;

/// Searches at a time. Each is bound to one core for some milliseconds.
const SEARCHES_MAX: usize = 4;

/// Payments that wait for their first search, and looks at ways that wait for theirs, each.
const WAITING_MAX: u32 = 4_096;

/// As many wait as may.
const fn busy() -> Refusal {
    Refusal::Busy { queue: "searches for ways", limit: WAITING_MAX }
}

fn is_full(count: usize) -> bool {
    u32::try_from(count).is_ok_and(|count| count >= WAITING_MAX)
}

/// For whom a search is.
#[derive(Debug)]
pub(super) enum For {
    /// A payment that was not begun yet.
    Begin(PaymentHash),
    /// One under way, and what it ends with if no way is left.
    GoOn(PaymentHash, PaymentFailure),
    /// A probe.
    Probe(PaymentHash),
    /// Somebody who only looks.
    Look(Box<Plan>, Reply<RouteFound>),
}

impl For {
    const fn hash(&self) -> Option<PaymentHash> {
        match self {
            Self::Begin(hash) | Self::GoOn(hash, _) | Self::Probe(hash) => Some(*hash),
            Self::Look(..) => None,
        }
    }
}

/// A search that ended.
#[derive(Debug)]
pub(super) struct Ended {
    whose: For,
    ticket: u64,
    found: Result<Found, Missed>,
}

/// A payment that is not begun before a way is found.
#[derive(Debug)]
struct Beginning {
    plan: Plan,
    started: PaymentStarted,
    /// Who ordered it, first, and who ordered the same meanwhile.
    replies: Vec<Reply<(bool, watch::Receiver<Payment>)>>,
}

/// Searches that are made, and those that wait.
#[derive(Debug, Default)]
pub(super) struct Searches {
    running: JoinSet<Ended>,
    waiting: VecDeque<For>,
    /// Payments and probes that wait: each once.
    queued: BTreeSet<PaymentHash>,
    beginnings: BTreeMap<PaymentHash, Beginning>,
}

impl Searches {
    /// Whether nothing is being searched.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// The next search that ends.
    pub(super) async fn ended(&mut self) -> Option<Result<Ended, JoinError>> {
        self.running.join_next().await
    }

    fn has_room(&self) -> bool {
        self.running.len() < SEARCHES_MAX
    }

    fn run(&mut self, whose: For, ticket: u64, search: Box<Search>) {
        self.running.spawn_blocking(move || Ended { whose, ticket, found: search.run() });
    }
}

impl Payments {
    /// What there is to do for a payment now, by what is known at this moment.
    pub(super) fn next(&mut self, hash: PaymentHash) -> Next {
        let room = self.searches.has_room();
        let (doors, graph) = self.see();
        let sight = Sight {
            doors: &doors,
            graph: &graph,
            scorer: &self.scorer,
            height: self.tip.borrow().height,
            now_ms: now_ms(),
        };
        self.attempts.next(hash, &self.us, &sight, room)
    }

    /// Our channels and everybody's, as they are now.
    fn see(&mut self) -> (std::sync::Arc<crate::channels::directory::Doors>, Snapshot) {
        let graph: Snapshot = self.graph.borrow_and_update().clone();
        self.catch_up();
        // Searches that run have what was learnt before; then it is left to them to find their channels.
        if let Some(scorer) = std::sync::Arc::get_mut(&mut self.scorer) {
            scorer.follow(&graph);
        }
        (self.directory.doors(), graph)
    }

    /// Has a search made.
    pub(super) fn search(&mut self, whose: For, errand: Errand) {
        self.searches.run(whose, errand.ticket, errand.search);
    }

    /// Has it wait for room.
    pub(super) fn search_later(&mut self, whose: For) {
        if let Some(hash) = whose.hash()
            && !self.searches.queued.insert(hash)
        {
            return;
        }
        self.searches.waiting.push_back(whose);
    }

    /// A search ended: whoever waited for it goes on, and whoever waits for room.
    pub(super) fn take_search(&mut self, ended: Result<Ended, JoinError>) -> Result<(), Fatal> {
        let Ok(Ended { whose, ticket, found }) = ended else { return Err(Fatal::Ended("search")) };
        match whose {
            For::Begin(hash) => {
                if let Some(next) = self.resolve(hash, ticket, found) {
                    self.begin_with(hash, next);
                }
            }
            For::GoOn(hash, because) => {
                if let Some(next) = self.resolve(hash, ticket, found) {
                    self.go_on_with(hash, because, next);
                }
            }
            For::Probe(hash) => {
                if let Some(next) = self.resolve(hash, ticket, found) {
                    self.probe_with(hash, next);
                }
            }
            For::Look(plan, reply) => {
                let _gone = reply.send(self.shown(&plan, found));
            }
        }
        while self.searches.has_room()
            && let Some(whose) = self.searches.waiting.pop_front()
        {
            if let Some(hash) = whose.hash() {
                self.searches.queued.remove(&hash);
            }
            match whose {
                For::Begin(hash) => self.begin(hash),
                For::GoOn(hash, because) => self.go_on(hash, because),
                For::Probe(hash) => self.probe_on(hash),
                For::Look(plan, reply) => self.look_for(plan, reply),
            }
        }
        Ok(())
    }

    fn resolve(
        &mut self,
        hash: PaymentHash,
        ticket: u64,
        found: Result<Found, Missed>,
    ) -> Option<Next> {
        let (doors, graph) = self.see();
        let sight = Sight {
            doors: &doors,
            graph: &graph,
            scorer: &self.scorer,
            height: self.tip.borrow().height,
            now_ms: now_ms(),
        };
        self.attempts.found(hash, &self.us, &sight, (ticket, found))
    }

    /// Takes a payment that is to begin; the same again attaches to it. What can be sent at once is, the rest waits for
    /// its search.
    pub(super) fn prepare(
        &mut self,
        order: Order,
        first_part: u32,
        reply: Reply<(bool, watch::Receiver<Payment>)>,
    ) {
        if is_full(self.searches.beginnings.len()) {
            let _gone = reply.send(Err(busy()));
            return;
        }
        let Order { plan, started } = order;
        let hash = plan.hash;
        self.attempts.open(plan.clone(), first_part);
        self.searches.beginnings.insert(hash, Beginning { plan, started, replies: vec![reply] });
        self.begin(hash);
    }

    /// Attaches to a payment that is not begun yet; gives the answer back if there is none.
    pub(super) fn attach(
        &mut self,
        hash: PaymentHash,
        reply: Reply<(bool, watch::Receiver<Payment>)>,
    ) -> Option<Reply<(bool, watch::Receiver<Payment>)>> {
        match self.searches.beginnings.get_mut(&hash) {
            Some(beginning) if !is_full(beginning.replies.len()) => {
                beginning.replies.push(reply);
                None
            }
            Some(_) => {
                let _gone = reply.send(Err(busy()));
                None
            }
            None => Some(reply),
        }
    }

    fn begin(&mut self, hash: PaymentHash) {
        let next = self.next(hash);
        self.begin_with(hash, next);
    }

    fn begin_with(&mut self, hash: PaymentHash, next: Next) {
        let attempts = match next {
            Next::Search(errand) => return self.search(For::Begin(hash), errand),
            Next::Later => return self.search_later(For::Begin(hash)),
            Next::Send(attempts) => attempts,
            // Nothing was tried and nothing is owed: it never began.
            Next::Wait => return self.never(hash, |_, _| Refusal::AmountMissing),
            Next::Over(failure, missed) => {
                return self.never(hash, |payments, beginning| {
                    let payee = beginning.started.payee;
                    payments.refusal(&beginning.plan, payee, failure, missed.as_ref())
                });
            }
        };
        let Some(beginning) = self.searches.beginnings.remove(&hash) else { return };
        let means = plan::means(&beginning.plan, &beginning.started);
        let mut facts = vec![Fact::PaymentStarted(beginning.started)];
        facts.extend(means.map(Fact::PaymentMeans));
        self.commit(&facts, Vec::new());
        for (place, reply) in beginning.replies.into_iter().enumerate() {
            let followed = self.follow_payment(hash).map(|watch| (place == 0, watch));
            self.after_all(Box::new(move || drop(reply.send(followed))));
        }
        self.send(hash, attempts);
        if let Some(then) = self.publish_payment(hash) {
            self.after_all(then);
        }
    }

    fn never(&mut self, hash: PaymentHash, why: impl Fn(&Self, &Beginning) -> Refusal) {
        self.attempts.close(hash);
        let Some(mut beginning) = self.searches.beginnings.remove(&hash) else { return };
        for reply in std::mem::take(&mut beginning.replies) {
            let _gone = reply.send(Err(why(self, &beginning)));
        }
    }

    /// The way that a payment would take now.
    pub(super) fn look_for(&mut self, plan: Box<Plan>, reply: Reply<RouteFound>) {
        let (doors, graph) = self.see();
        let sight = Sight {
            doors: &doors,
            graph: &graph,
            scorer: &self.scorer,
            height: self.tip.borrow().height,
            now_ms: now_ms(),
        };
        let shunned = Shunned::default();
        let dice = send::dice(&self.us, plan.hash);
        let wish = Wish {
            dice: &dice,
            plan: &plan,
            shunned: &shunned,
            amount: plan.amount,
            fee_limit: plan.fee_limit,
            max_parts: plan.max_parts,
        };
        let (held, pending) = (self.attempts.held_by_all(), self.attempts.pending());
        let looked = router::look(&wish, &sight, self.us.node_id(), held, &pending);
        match looked {
            Ok(Look::Search(search)) if self.searches.has_room() => {
                self.searches.run(For::Look(plan, reply), 0, search);
            }
            Ok(Look::Search(_)) => {
                if !is_full(self.searches.waiting.len()) {
                    self.search_later(For::Look(plan, reply));
                } else {
                    let _gone = reply.send(Err(busy()));
                }
            }
            Ok(Look::Straight(found)) => drop(reply.send(self.shown(&plan, Ok(found)))),
            Err(missed) => drop(reply.send(self.shown(&plan, Err(missed)))),
        }
    }

    fn shown(&self, plan: &Plan, found: Result<Found, Missed>) -> Result<RouteFound, Refusal> {
        let height = self.tip.borrow().height;
        found.map(|found| router::show(&found, height)).map_err(|missed| {
            let payee = wire::id::NodeId(plan.payee.serialize());
            self.refusal(plan, payee, PaymentFailure::NoRoute, Some(&missed))
        })
    }
}
