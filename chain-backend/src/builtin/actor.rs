//! The thread that owns the chain, and how others ask it. Questions queue in a bounded channel; readers
//! that have seen everything wait here until something happens.

use crate::backend::{BackendError, ChainEvent};
use crate::builtin::chainstate::{ChainError, Chainstate};
use crate::builtin::reader::Cursor;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Questions that may wait.
const QUEUE: usize = 256;
/// Readers that may wait for news.
const READERS_MAX: usize = 4_096;
/// How finely the time of a stall is counted.
const NAP: Duration = Duration::from_millis(5);

type Job = Box<dyn FnOnce(&mut Chainstate) + Send>;
type News = Result<(Vec<ChainEvent>, Cursor), BackendError>;

enum Message {
    Do(Job),
    Next(Reader),
    Stop { keep: bool, done: oneshot::Sender<()> },
}

struct Reader {
    cursor: Cursor,
    reply: oneshot::Sender<News>,
}

/// A handle to the thread.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    messages: mpsc::Sender<Message>,
    /// Why the thread ended, if not in order.
    failure: watch::Receiver<Option<String>>,
}

impl Actor {
    pub(super) fn start(state: Chainstate) -> Result<Self, ChainError> {
        let (messages, inbox) = mpsc::channel(QUEUE);
        let (fail, failure) = watch::channel(None);
        let thread = std::thread::Builder::new().name("chain".to_owned());
        thread.spawn(move || run(state, inbox, &fail)).map_err(ChainError::Thread)?;
        Ok(Self { messages, failure })
    }

    /// Runs `job` on the thread and answers its result.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Chainstate) -> T + Send + 'static,
    ) -> Result<T, ChainError> {
        let (reply, answer) = oneshot::channel();
        let job = Message::Do(Box::new(move |state| {
            let answer = job(state);
            // What a broken index said is told to nobody. And whoever asked may have gone.
            if state.check_index().is_ok() {
                let _ = reply.send(answer);
            }
        }));
        self.messages.send(job).await.map_err(|_| ChainError::Stopped)?;
        answer.await.map_err(|_| ChainError::Stopped)
    }

    /// The next events after `cursor`; waits until there are some.
    pub(super) async fn next(&self, cursor: Cursor) -> News {
        let stopped = || BackendError::Unavailable(ChainError::Stopped.to_string());
        let (reply, answer) = oneshot::channel();
        let reader = Message::Next(Reader { cursor, reply });
        self.messages.send(reader).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Waits for a failure, for ever if there is none.
    pub(super) async fn failure(&self) -> String {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await {
            Ok(words) => words.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    pub(super) async fn stop(&self, keep: bool) {
        let (done, stopped) = oneshot::channel();
        if self.messages.send(Message::Stop { keep, done }).await.is_ok() {
            // An error means that it is gone already.
            let _ = stopped.await;
        }
    }
}

fn run(
    mut state: Chainstate,
    mut inbox: mpsc::Receiver<Message>,
    fail: &watch::Sender<Option<String>>,
) {
    let mut waiting: Vec<Reader> = Vec::new();
    let mut told = state.log().end();
    loop {
        match hear(&mut state, &mut inbox) {
            Heard::End => break,
            Heard::Nothing => {}
            Heard::Message(Message::Do(job)) => job(&mut state),
            Heard::Message(Message::Next(reader)) => waiting.extend(serve(&mut state, reader)),
            Heard::Message(Message::Stop { keep, done }) => {
                if keep {
                    save(&mut state);
                }
                // First the files are closed, then it is said.
                drop((state, inbox, waiting));
                let _ = done.send(());
                return;
            }
        }
        if let Err(error) = state.check_index() {
            tracing::error!(%error, "the chain stops");
            fail.send_replace(Some(error.to_string()));
            return;
        }
        waiting.retain(|reader| !reader.reply.is_closed());
        if state.log().end() != told && !state.is_silent() {
            told = state.log().end();
            let all = std::mem::take(&mut waiting);
            waiting.extend(all.into_iter().filter_map(|reader| serve(&mut state, reader)));
        }
        if waiting.len() > READERS_MAX {
            let reader = waiting.swap_remove(0);
            let _ =
                reader.reply.send(Err(BackendError::Unavailable("too many readers".to_owned())));
        }
    }
    save(&mut state);
}

enum Heard {
    Message(Message),
    Nothing,
    End,
}

/// The next message. While the chain stands still for a time, that time is counted down here.
fn hear(state: &mut Chainstate, inbox: &mut mpsc::Receiver<Message>) -> Heard {
    if !state.is_stalled_for_a_time() {
        return inbox.blocking_recv().map_or(Heard::End, Heard::Message);
    }
    match inbox.try_recv() {
        Ok(message) => Heard::Message(message),
        Err(mpsc::error::TryRecvError::Disconnected) => Heard::End,
        Err(mpsc::error::TryRecvError::Empty) => {
            std::thread::sleep(NAP);
            state.pass(NAP);
            Heard::Nothing
        }
    }
}

/// Answers a reader, or hands it back when there is nothing new or nothing is told now.
fn serve(state: &mut Chainstate, mut reader: Reader) -> Option<Reader> {
    if state.is_silent() {
        return Some(reader);
    }
    let news = state.read(&mut reader.cursor);
    match news {
        Ok(events) if events.is_empty() => Some(reader),
        Ok(events) => {
            let _ = reader.reply.send(Ok((events, reader.cursor)));
            None
        }
        Err(error) => {
            let _ = reader.reply.send(Err(error));
            None
        }
    }
}

fn save(state: &mut Chainstate) {
    if let Err(error) = state.save() {
        tracing::warn!(%error, "no orderly stop: the next start may take longer, and the mempool may be lost");
    }
}
