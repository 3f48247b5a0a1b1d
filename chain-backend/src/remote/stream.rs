//! One subscription over many connections. The place of the reader is kept here; whenever the connection
//! breaks, the next one begins there.

use super::error;
use crate::backend::{BackendError, ChainEvent, ChainStream, Locator};
use crate::convert::{EventsIn, id_out};
use api::chain as wire;
use api::chain::chain_client::ChainClient;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Streaming;
use tonic::transport::Channel;

/// Waits between attempts: the first, and the longest.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// Who does not answer for so long is away.
const AWAY: Duration = Duration::from_secs(1);

struct Subscription {
    client: ChainClient<Channel>,
    locator: Locator,
    /// The connection, if there is one.
    live: Option<Connection>,
    retry: Duration,
    /// Since when there is no connection, and whether that was told.
    failing: Option<(Instant, bool)>,
}

struct Connection {
    events: Streaming<wire::Event>,
    parts: EventsIn,
}

/// Subscribes. The first connection must succeed, later ones are tried for ever.
pub(super) async fn open(
    client: ChainClient<Channel>,
    from: Locator,
) -> Result<ChainStream, BackendError> {
    let mut start =
        Subscription { client, locator: from, live: None, retry: RETRY_FIRST, failing: None };
    start.live = Some(start.connect().await?);
    let stream = futures_util::stream::unfold(Some(start), |subscription| async move {
        let mut subscription = subscription?;
        match subscription.next().await {
            Ok(event) => Some((Ok(event), Some(subscription))),
            // Only another chain ends it.
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(stream.boxed())
}

impl Subscription {
    async fn connect(&self) -> Result<Connection, BackendError> {
        let locator = self.locator.entries().iter().copied().map(id_out).collect();
        let request = wire::EventsRequest { locator };
        let events = self.client.clone().events(request).await.map_err(error)?.into_inner();
        Ok(Connection { events, parts: EventsIn::default() })
    }

    async fn next(&mut self) -> Result<ChainEvent, BackendError> {
        loop {
            let was_there = self.live.is_some();
            let began = Instant::now();
            match self.step().await {
                Ok(Some(event)) => {
                    (self.retry, self.failing) = (RETRY_FIRST, None);
                    self.locator.follow(&event);
                    return Ok(event);
                }
                Ok(None) => {}
                Err(BackendError::WrongChain) => return Err(BackendError::WrongChain),
                Err(error) => {
                    tracing::debug!(%error, "the chain server is gone; trying again");
                    self.live = None;
                    // What was there a moment ago may have been silent for hours: it had nothing to say.
                    let began = if was_there { Instant::now() } else { began };
                    let (since, told) = *self.failing.get_or_insert((began, false));
                    if !told && since.elapsed() >= AWAY {
                        self.failing = Some((since, true));
                        return Ok(ChainEvent::Away { why: error.to_string() });
                    }
                    tokio::time::sleep(self.retry).await;
                    self.retry = self.retry.saturating_mul(2).min(RETRY_MAX);
                }
            }
        }
    }

    /// One event, or a part of one, or a new connection.
    async fn step(&mut self) -> Result<Option<ChainEvent>, BackendError> {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => self.connect().await?,
        };
        let event = live.events.message().await.map_err(error)?;
        let event = event.ok_or_else(|| BackendError::Unavailable("it hung up".to_owned()))?;
        let event = live.parts.next(event)?;
        if let Some(event) = &event {
            self.check(event)?;
        }
        self.live = Some(live);
        Ok(event)
    }

    /// A block must stand on the one before it.
    fn check(&self, event: &ChainEvent) -> Result<(), BackendError> {
        let ChainEvent::Connected { block, .. } = event else { return Ok(()) };
        let tip = self.locator.tip();
        let follows = block.header.prev_blockhash == tip.hash
            && Some(block.height) == tip.height.checked_add(1);
        if follows { Ok(()) } else { Err(BackendError::Lied("a block out of order")) }
    }
}
