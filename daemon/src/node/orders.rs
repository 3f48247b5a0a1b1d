//! Idempotency keys: the same request twice is carried out once.
//!
//! A key is reserved while its request is under way, and kept in the same journal record as what the
//! request did. So whoever repeats a request after a crash is told what the first one made, or carries it
//! out for the first time.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use crate::clock::now_ms;
use crate::edge::{Forward, Inbox};
use crate::fact::OrderKept;
use crate::rpc::model::OrderKey;
use crate::rpc::refusal::Refusal;
use crate::tasks::{Fatal, Tasks};

/// Requests that may wait.
pub(super) const ASKS: usize = 256;

/// The most keys that are remembered; the oldest go first.
const KEPT_MAX: usize = 100_000;

/// What to do with a request.
#[derive(Debug)]
pub(super) enum Standing {
    /// Carry it out, and keep this with what it does.
    New(OrderKept),
    /// It was carried out: this is what it made.
    Done(String),
}

/// One word to the desk.
#[derive(Debug)]
pub(super) enum Ask {
    /// A request comes.
    Begin {
        /// Its key.
        key: OrderKey,
        /// Whether to carry it out.
        reply: oneshot::Sender<Result<Standing, Refusal>>,
    },
    /// It was carried out.
    Done {
        /// What was kept.
        kept: OrderKept,
    },
    /// It was refused: the key is free again.
    Refused {
        /// The key.
        word: String,
    },
}

/// The task's state.
#[derive(Debug)]
pub(super) struct Desk {
    kept: BTreeMap<String, OrderKept>,
    under_way: BTreeMap<String, [u8; 32]>,
}

impl Desk {
    pub(super) const fn new(kept: BTreeMap<String, OrderKept>) -> Self {
        Self { kept, under_way: BTreeMap::new() }
    }

    pub(super) async fn run(mut self, mut asks: Inbox<Ask>, tasks: Tasks) -> Result<(), Fatal> {
        loop {
            let ask = tokio::select! {
                biased;
                () = tasks.stopping() => return Ok(()),
                ask = asks.recv() => ask,
            };
            match ask {
                None => return Ok(()),
                Some(Ask::Begin { key, reply }) => {
                    let _gone = reply.send(self.begin(&key));
                }
                Some(Ask::Done { kept }) => {
                    self.under_way.remove(&kept.word.0);
                    self.kept.insert(kept.word.0.clone(), kept);
                    self.drop_oldest();
                }
                Some(Ask::Refused { word }) => {
                    self.under_way.remove(&word);
                }
            }
        }
    }

    fn begin(&mut self, key: &OrderKey) -> Result<Standing, Refusal> {
        let reused = || Refusal::KeyReused { key: key.word.clone() };
        if let Some(kept) = self.kept.get(&key.word) {
            return if kept.digest == key.digest {
                Ok(Standing::Done(kept.made.0.clone()))
            } else {
                Err(reused())
            };
        }
        if let Some(digest) = self.under_way.get(&key.word) {
            return Err(if *digest == key.digest {
                Refusal::Busy { queue: "requests with this idempotency key", limit: 1 }
            } else {
                reused()
            });
        }
        self.under_way.insert(key.word.clone(), key.digest);
        Ok(Standing::New(OrderKept {
            word: key.word.as_str().into(),
            digest: key.digest,
            made: "".into(),
            at_ms: now_ms(),
        }))
    }

    fn drop_oldest(&mut self) {
        if self.kept.len() <= KEPT_MAX {
            return;
        }
        let oldest =
            self.kept.values().min_by_key(|kept| kept.at_ms).map(|kept| kept.word.0.clone());
        if let Some(oldest) = oldest {
            self.kept.remove(&oldest);
        }
    }
}

/// The way to the desk.
pub(super) type DeskAsks = Forward<Ask>;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(word: &str, digest: u8) -> OrderKey {
        OrderKey { word: word.to_owned(), digest: [digest; 32] }
    }

    #[test]
    fn the_same_request_is_carried_out_once_and_another_under_its_key_is_refused() {
        let mut desk = Desk::new(BTreeMap::new());
        let Ok(Standing::New(mut kept)) = desk.begin(&key("a", 1)) else { panic!("new") };
        assert!(matches!(desk.begin(&key("a", 1)), Err(Refusal::Busy { .. })));
        assert!(matches!(desk.begin(&key("a", 2)), Err(Refusal::KeyReused { .. })));
        kept.made = "txid".into();
        desk.under_way.remove("a");
        desk.kept.insert("a".to_owned(), kept);
        assert!(matches!(desk.begin(&key("a", 1)), Ok(Standing::Done(made)) if made == "txid"));
        assert!(matches!(desk.begin(&key("a", 2)), Err(Refusal::KeyReused { .. })));
    }
}
