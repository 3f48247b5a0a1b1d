//! Service `Events`: the durable log, then live, with a heartbeat when nothing happens.

use std::time::Duration;

use api::v1;
use api::v1::event::Body;
use api::v1::events_server::Events;
use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::channels::channel;
use super::invoices::invoice;
use super::model::event::{Event, EventKind, Happened, Subscribe};
use super::model::{UnixMillis, Updates};
use super::node::peer;
use super::payments::payment;
use super::refusal::{Refusal, Unready};
use super::stream::Reply;
use super::{NodeApi, Rpc};

/// How long a stream is silent at most.
const HEARTBEAT: Duration = Duration::from_secs(15);

#[tonic::async_trait]
impl<N: NodeApi> Events for Rpc<N> {
    type SubscribeStream = Reply<v1::Event>;

    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let ask = request.into_inner();
        let order = Subscribe { after_seq: ask.after_seq, kinds: kinds(&ask.kinds)? };
        let seen = match ask.after_seq {
            Some(seq) => seq,
            None => self.node.info().await?.last_event,
        };
        let events = self.node.events(order).await?;
        let world = &self.world;
        Ok(Response::new(Subscription::start(events, seen, world.now, world.stop.clone())))
    }
}

/// A subscriber's stream.
struct Subscription {
    events: Updates<Event>,
    seen: u64,
    now: fn() -> UnixMillis,
    stop: CancellationToken,
}

impl Subscription {
    fn start(
        events: Updates<Event>,
        seen: u64,
        now: fn() -> UnixMillis,
        stop: CancellationToken,
    ) -> Reply<v1::Event> {
        let state = Some(Self { events, seen, now, stop });
        Box::pin(stream::unfold(state, |state| async move { state?.next().await }))
    }

    async fn next(mut self) -> Option<(Result<v1::Event, Status>, Option<Self>)> {
        let next = tokio::select! {
            biased;
            () = self.stop.cancelled() => {
                Some(Err(Refusal::NotReady { state: Unready::Stopping }))
            }
            next = self.events.next() => next,
            () = tokio::time::sleep(HEARTBEAT) => return Some(self.heartbeat()),
        };
        match next? {
            Ok(event) => {
                self.seen = event.seq;
                Some((Ok(show(event)), Some(self)))
            }
            Err(refusal) => Some((Err(refusal.into()), None)),
        }
    }

    fn heartbeat(self) -> (Result<v1::Event, Status>, Option<Self>) {
        let body = Some(Body::Heartbeat(v1::Heartbeat {}));
        let beat = v1::Event { seq: self.seen, at_ms: (self.now)().0, body };
        (Ok(beat), Some(self))
    }
}

fn kinds(asked: &[i32]) -> Result<Vec<EventKind>, Refusal> {
    let mut kinds = Vec::new();
    for kind in asked {
        kinds.push(match v1::EventKind::try_from(*kind) {
            // They come anyway.
            Ok(v1::EventKind::Heartbeat) => continue,
            Ok(v1::EventKind::Peer) => EventKind::Peer,
            Ok(v1::EventKind::Channel) => EventKind::Channel,
            Ok(v1::EventKind::Payment) => EventKind::Payment,
            Ok(v1::EventKind::Invoice) => EventKind::Invoice,
            Ok(v1::EventKind::Block) => EventKind::Block,
            Ok(v1::EventKind::Wallet) => EventKind::Wallet,
            Ok(v1::EventKind::Unspecified) | Err(_) => {
                return Err(Refusal::Malformed { field: "kinds", why: "unknown kind of event" });
            }
        });
    }
    Ok(kinds)
}

fn show(event: Event) -> v1::Event {
    let body = match event.what {
        Happened::Peer(of) => Body::Peer(peer(*of, &routing::graph::Snapshot::default())),
        Happened::Channel(of) => Body::Channel(channel(*of)),
        Happened::Payment(of) => Body::Payment(payment(*of)),
        Happened::Invoice(of) => Body::Invoice(invoice(*of)),
        Happened::Wallet { txid, received, sent, height } => Body::Wallet(v1::WalletEvent {
            txid: txid.to_string(),
            received_sat: received.to_sat(),
            sent_sat: sent.to_sat(),
            block_height: height.map(|height| height.0),
        }),
        Happened::BlockConnected { height, hash } => Body::Block(v1::BlockEvent {
            height: height.0,
            block_hash: hash.to_string(),
            disconnected: false,
        }),
        Happened::BlockDisconnected { height, hash } => Body::Block(v1::BlockEvent {
            height: height.0,
            block_hash: hash.to_string(),
            disconnected: true,
        }),
    };
    v1::Event { seq: event.seq, at_ms: event.at.0, body: Some(body) }
}
