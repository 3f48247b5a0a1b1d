//! A conversation with a client of LND's: its rules are a pure machine (`lnd::session`), what it decides is
//! stored first and answered then.

use tokio::sync::mpsc;
use wire::codec::{Decode, Encode};

use super::frames::{FrameWriter, LineFault};
use crate::lnd::session::{Change, Conversation, Session};
use crate::lnd::wire::Message as Reply;
use crate::message::{Code, Sealed};
use crate::store::{Fact, Keeper, Kit, Refused, Wish};

/// Bytes that an update counts for at most.
const UPDATE_BYTES: u64 = 512;

/// Until the machine says that it is over.
pub(crate) async fn run(
    keeper: &Keeper,
    key: [u8; 33],
    blocks: u32,
    first: Vec<u8>,
    mut frames: mpsc::Receiver<Vec<u8>>,
    mut writer: FrameWriter,
) -> Result<(), LineFault> {
    let mut conversation = Conversation::default();
    // What the client says it has seen: of this connection, for the machine to hold it to.
    let mut seen = 0_u16;
    let mut next = Some(first);
    while let Some(frame) = next {
        let known = session(keeper, key, seen).await?;
        let turn = conversation
            .hear(&frame, known.as_ref().map(|(_, session)| session))
            .map_err(|breach| LineFault::Message(breach.to_string()))?;
        let number = known.map(|(number, _)| number);
        let mut refused = None;
        match turn.change {
            Change::None => {}
            Change::Put(session) => {
                let records = u64::from(session.max_updates);
                let wish = Wish {
                    key,
                    kit: Kit::Lnd,
                    template: session.encoded(),
                    quota_bytes: records.saturating_mul(UPDATE_BYTES),
                    quota_records: u32::from(session.max_updates),
                    blocks,
                    replaces: true,
                };
                refused = keeper.open(wish).await.err();
            }
            Change::Record { session, seq, hint, blob } => {
                seen = session.client_last_applied;
                refused = match number {
                    Some(number) => {
                        // LND counts from 1.
                        let first_seq = u32::from(seq).saturating_sub(1);
                        let record = Sealed { hint, ciphertext: blob };
                        store(keeper, number, first_seq, record).await.err()
                    }
                    None => Some(Refused::NoSession),
                };
            }
            Change::Delete => {
                if let Some(session) = number {
                    refused = keeper.note(Fact::Dropped { session }).await.err();
                }
            }
        }
        let reply = match refused {
            None => turn.reply,
            Some(refused) => instead(&turn.reply, refused),
        };
        writer.say(&reply.encode_frame()).await?;
        if turn.close || refused.is_some() {
            return Ok(());
        }
        next = frames.recv().await;
    }
    Ok(())
}

async fn session(
    keeper: &Keeper,
    key: [u8; 33],
    seen: u16,
) -> Result<Option<(u32, Session)>, LineFault> {
    let (standing, stored) = match keeper.standing(key).await {
        Ok((standing, stored)) => (standing.into_inner(), stored),
        Err(Refused::NoSession) => return Ok(None),
        Err(_) => return Err(LineFault::Stopped),
    };
    let session = Session::decode_exact(&stored.opening.template);
    let (Ok(session), Kit::Lnd) = (session, stored.opening.kit) else {
        return Err(LineFault::Message("a session of another kind".to_owned()));
    };
    let last_applied = u16::try_from(standing.next_seq).unwrap_or(u16::MAX);
    let session = Session { last_applied, client_last_applied: seen, ..session };
    Ok(Some((standing.session, session)))
}

async fn store(
    keeper: &Keeper,
    session: u32,
    first_seq: u32,
    record: Sealed,
) -> Result<(), Refused> {
    let hear = keeper.append(session, first_seq, vec![record]).await?;
    hear.await.map_err(|_| Refused::Stopped)?.map(|_durable| ())
}

/// The same answer, but no.
fn instead(reply: &Reply, refused: Refused) -> Reply {
    let for_good = matches!(
        refused,
        Refused::Differs | Refused::Otherwise | Refused::TooLong | Refused::Expired
    );
    let code = if for_good { Code::PERMANENT } else { Code::TEMPORARY };
    match reply {
        Reply::CreateSessionReply { .. } => {
            Reply::CreateSessionReply { code, last_applied: 0, data: Vec::new() }
        }
        Reply::StateUpdateReply { last_applied, .. } => {
            Reply::StateUpdateReply { code, last_applied: last_applied.saturating_sub(1) }
        }
        Reply::DeleteSessionReply { .. } => Reply::DeleteSessionReply { code },
        Reply::Error { .. }
        | Reply::CreateSession(_)
        | Reply::StateUpdate(_)
        | Reply::DeleteSession => Reply::Error { code, data: Vec::new() },
    }
}
