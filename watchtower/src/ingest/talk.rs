//! A conversation with a client of ours: records in, receipts out.
//!
//! Records are taken without waiting for the disk; what it has is acknowledged in order, and the newest receipt
//! stands for all before it. A receipt can be signed over what is durable only.
//!
//! Not here: LND's clients (`lnd`), the frame (`frames`), who may be here (`gate`).

mod kept;
mod open;
mod records;
mod replica;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use secp256k1::{Keypair, PublicKey};
use tokio::sync::{broadcast, mpsc, oneshot};
use wire::units::BlockHeight;

use super::frames::{FrameWriter, LineFault};
use super::gate::Bucket;
use super::{Offered, history};
use crate::message::{Code, Event, Message};
use crate::proof::receipt;
use crate::proof::tombstone::Scope;
use crate::store::state::Session;
use crate::store::{DiskKey, Durable, Keeper, Kit, Opening, Refused, Standing};
use crate::watch::{TowerEvent, View};

/// Batches that wait for the disk; then no more are read.
const IN_FLIGHT: usize = 64;
/// Claims in one answer.
const CLAIMS_MAX: usize = 600;
/// Bytes of a checkpoint.
const CHECKPOINT_MAX: usize = 60_000;
/// Bytes of an event's text.
const TEXT_MAX: usize = 200;

type Waiting = FuturesOrdered<oneshot::Receiver<Result<Durable<Standing>, Refused>>>;

/// One conversation.
pub(crate) struct Talk {
    pub(crate) key: PublicKey,
    pub(crate) keeper: Keeper,
    pub(crate) tower: Keypair,
    pub(crate) disk_key: DiskKey,
    pub(crate) view: View,
    pub(crate) offered: Offered,
    /// Whether it may hand over keys.
    pub(crate) is_trusted: bool,
    pub(crate) records: Bucket,
    pub(crate) clock: fn() -> u64,
    /// The session, once it is known.
    pub(crate) session: Option<Known>,
}

/// A session that is open.
pub(crate) struct Known {
    number: u32,
    kit: Kit,
    terms: receipt::Session,
}

impl Talk {
    /// Until the client hangs up or does what none of ours does.
    pub(crate) async fn run(
        mut self,
        first: Vec<u8>,
        mut frames: mpsc::Receiver<Vec<u8>>,
        mut writer: FrameWriter,
    ) -> Result<(), LineFault> {
        let mut waiting = Waiting::new();
        let mut events = self.view.events.subscribe();
        self.hear(&first, &mut waiting, &mut writer).await?;
        loop {
            tokio::select! {
                Some(done) = waiting.next(), if !waiting.is_empty() => {
                    self.acknowledge(done, &mut waiting, &mut writer).await?;
                }
                frame = frames.recv(), if waiting.len() < IN_FLIGHT => match frame {
                    Some(frame) => self.hear(&frame, &mut waiting, &mut writer).await?,
                    None => break,
                },
                event = events.recv() => self.event(event, &mut writer).await?,
            }
        }
        // It hung up; what it said before is stored all the same.
        while waiting.next().await.is_some() {}
        Ok(())
    }

    async fn hear(
        &mut self,
        frame: &[u8],
        waiting: &mut Waiting,
        writer: &mut FrameWriter,
    ) -> Result<(), LineFault> {
        let message =
            Message::decode_frame(frame).map_err(|error| LineFault::Message(error.to_string()))?;
        // An odd message that we do not know.
        let Some(message) = message else { return Ok(()) };
        let answer: Message = match message {
            Message::SessionOpen(open) => self.open(open).await?.into(),
            Message::Records(records) => {
                return self.records(records, waiting, writer).await;
            }
            Message::StatusGet(_) => self.status().await?.into(),
            Message::Fetch(fetch) => match self.number().await? {
                Some(number) => history::fetch(&self.keeper, number, &fetch).await?.into(),
                None => history::nothing(fetch.first_seq).into(),
            },
            Message::Audit(audit) => match self.known().await? {
                Some(known) => {
                    let (number, key) = (known.number, self.key);
                    history::audit(&self.keeper, number, &audit, &key, &self.tower).await?.into()
                }
                None => history::unknown().into(),
            },
            Message::Delete(delete) => {
                let scope = match delete.scope {
                    0 => Scope::Session,
                    1 => Scope::Range { first: delete.first_seq, last: delete.last_seq },
                    _ => return Err(LineFault::Message("an unknown scope".to_owned())),
                };
                self.delete(scope, delete.signature).await?.into()
            }
            Message::CheckpointPut(put) => {
                self.put_checkpoint(put.version, put.ciphertext).await?.into()
            }
            Message::CheckpointGet(_) => self.checkpoint().await?.into(),
            Message::Renew(renew) => self.renew(renew.want_blocks, renew.want_bytes).await?.into(),
            Message::ReplicaUpdate(update) => self.replica(update).await?.into(),
            Message::SessionAck(_)
            | Message::RecordsAck(_)
            | Message::Status(_)
            | Message::Fetched(_)
            | Message::AuditReply(_)
            | Message::DeleteAck(_)
            | Message::CheckpointAck(_)
            | Message::CheckpointValue(_)
            | Message::Event(_)
            | Message::Renewed(_)
            | Message::ReplicaAck(_) => {
                return Err(LineFault::Message("an answer to nothing".to_owned()));
            }
        };
        writer.say(&answer.encode_frame()).await
    }

    /// The session of this key, if there is one.
    async fn known(&mut self) -> Result<Option<&Known>, LineFault> {
        if self.session.is_none() {
            match self.keeper.standing(self.key.serialize()).await {
                Ok((standing, session)) => self.remember(standing.get().session, &session),
                Err(Refused::NoSession) => {}
                Err(_) => return Err(LineFault::Stopped),
            }
        }
        Ok(self.session.as_ref())
    }

    async fn number(&mut self) -> Result<Option<u32>, LineFault> {
        Ok(self.known().await?.map(|known| known.number))
    }

    fn remember(&mut self, number: u32, session: &Session) {
        let opening = &session.opening;
        let template = self.template(opening);
        let terms = receipt::Session::new(self.key, opening.kit.number(), &template);
        self.session = Some(Known { number, kit: opening.kit, terms });
    }

    fn template(&self, opening: &Opening) -> Vec<u8> {
        match opening.kit {
            Kit::Replica => self.disk_key.open(&opening.template).unwrap_or_default(),
            Kit::Sealed | Kit::Lnd => opening.template.clone(),
        }
    }

    /// Passes on what concerns this session.
    async fn event(
        &self,
        event: Result<TowerEvent, broadcast::error::RecvError>,
        writer: &mut FrameWriter,
    ) -> Result<(), LineFault> {
        let event = match event {
            Ok(event) => event,
            Err(broadcast::error::RecvError::Lagged(_)) => return Ok(()),
            Err(broadcast::error::RecvError::Closed) => return Err(LineFault::Stopped),
        };
        let ours = self.session.as_ref().map(|known| known.number);
        let Some(number) =
            event.kind.number().filter(|_| event.session.is_some() && event.session == ours)
        else {
            return Ok(());
        };
        let mut text = event.text.into_bytes();
        text.truncate(TEXT_MAX);
        let message =
            Event { event: number, txid: event.txid, height: BlockHeight(event.height), text };
        writer.say(&Message::from(message).encode_frame()).await
    }
}

/// How a refusal is said.
pub(crate) const fn code(refused: Refused) -> Code {
    match refused {
        Refused::NoSession => Code::NO_SESSION,
        Refused::Quota => Code::QUOTA,
        Refused::Expired => Code::EXPIRED,
        Refused::Gap { .. } => Code::GAP,
        Refused::Differs => Code::DIFFERS,
        Refused::Stale => Code::STALE_VERSION,
        Refused::Otherwise | Refused::TooLong => Code::PERMANENT,
        Refused::TooMany | Refused::Busy | Refused::Full | Refused::ReadOnly | Refused::Stopped => {
            Code::TEMPORARY
        }
    }
}
