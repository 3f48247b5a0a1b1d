//! Records in, receipts out: the newest stands for all before it.

use futures_util::{FutureExt, StreamExt};
use tokio::sync::oneshot;
use wire::id::Signature;
use wire::units::BlockHeight;

use super::{Talk, Waiting, code};
use crate::ingest::frames::{FrameWriter, LineFault};
use crate::message::{Code, Message, Records, RecordsAck};
use crate::proof::receipt::{self, Ack};
use crate::store::{Durable, Refused, Standing};

impl Talk {
    pub(super) async fn records(
        &mut self,
        records: Records,
        waiting: &mut Waiting,
        writer: &mut FrameWriter,
    ) -> Result<(), LineFault> {
        let Some(known) = self.known().await? else {
            return self.refuse(Code::NO_SESSION, None, None, writer).await;
        };
        let number = known.number;
        let count = u32::try_from(records.records.len()).unwrap_or(u32::MAX);
        if let Err(wait_ms) = self.records.take(count, (self.clock)()) {
            let wait_ms = u32::try_from(wait_ms).unwrap_or(u32::MAX);
            return self.refuse(Code::RATE, None, Some(wait_ms), writer).await;
        }
        let Records { first_seq, records } = records;
        let hear = self.keeper.append(number, first_seq, records).await;
        waiting.push_back(hear.map_err(|_| LineFault::Stopped)?);
        Ok(())
    }

    /// Answers what is done, one receipt for all that is.
    pub(super) async fn acknowledge(
        &self,
        done: Result<Result<Durable<Standing>, Refused>, oneshot::error::RecvError>,
        waiting: &mut Waiting,
        writer: &mut FrameWriter,
    ) -> Result<(), LineFault> {
        let mut newest = None;
        let mut next = Some(done);
        while let Some(done) = next {
            match done.map_err(|_| LineFault::Stopped)? {
                Ok(standing) => newest = Some(standing),
                Err(refused) => {
                    if let Some(standing) = newest.take() {
                        let ack = self.receipt(&standing, Code::OK);
                        writer.say(&Message::from(ack).encode_frame()).await?;
                    }
                    let expected =
                        if let Refused::Gap { expected } = refused { Some(expected) } else { None };
                    self.refuse(code(refused), expected, None, writer).await?;
                }
            }
            next = waiting.next().now_or_never().flatten();
        }
        if let Some(standing) = newest {
            let ack = self.receipt(&standing, Code::OK);
            writer.say(&Message::from(ack).encode_frame()).await?;
        }
        Ok(())
    }

    /// Signs what the disk has.
    fn receipt(&self, standing: &Durable<Standing>, code: Code) -> RecordsAck {
        let standing = standing.get();
        let unknown = || receipt::Session::new(self.key, standing.kit.number(), &[]);
        let terms = self.session.as_ref().map_or_else(unknown, |known| known.terms);
        let ack = Ack {
            durable_seq: standing.next_seq,
            root: standing.root,
            height: standing.tip.height,
            tip: standing.tip.hash,
            expiry: standing.expiry_height,
        };
        ack.sign(terms, &self.tower).to_message(code)
    }

    pub(super) async fn refuse(
        &self,
        code: Code,
        expected_seq: Option<u32>,
        retry_after_ms: Option<u32>,
        writer: &mut FrameWriter,
    ) -> Result<(), LineFault> {
        let ack = match self.keeper.standing(self.key.serialize()).await {
            Ok((standing, _)) => self.receipt(&standing, code),
            Err(Refused::NoSession) => RecordsAck {
                code,
                durable: 0,
                mmr_root: [0; 32],
                height: BlockHeight(0),
                tip: [0; 32],
                expiry: BlockHeight(0),
                signature: Signature([0; 64]),
                expected_seq: None,
                retry_after_ms: None,
            },
            Err(_) => return Err(LineFault::Stopped),
        };
        let ack = RecordsAck { expected_seq, retry_after_ms, ..ack };
        writer.say(&Message::from(ack).encode_frame()).await
    }
}
