//! A session with one of LND's clients: a request in, what to write down and what to answer out.
//!
//! One connection brings one `CreateSession`, or one `DeleteSession`, or a row of `StateUpdate`s; every
//! answer but "OK" ends it. The rules and codes are LND's (`watchtower/wtserver`, `wtdb`), with two
//! differences: what a session asks for is checked and refused with the code that LND names for it and
//! never sends (61, 62, 63), and rewards are not taken (64), as in every tower of LND's.
//!
//! Not here: who is connected and what is stored ([`crate::ingest`], [`crate::store`]).

use thiserror::Error;
use wire::codec::{Decode, DecodeError, Encode, Reader};

use super::blob::BlobType;
use super::wire::{
    ALREADY_EXISTS, CLIENT_BEHIND, CreateSession, MAX_UPDATES_EXCEEDED, Message, OUT_OF_ORDER,
    REJECT_BLOB_TYPE, REJECT_MAX_UPDATES, REJECT_REWARD, REJECT_SWEEP_FEERATE, StateUpdate,
};
use crate::hint::Hint;
use crate::message::Code;

/// The least that justice must pay, in satoshis per 1,000 weight units: 1 sat per virtual byte.
///
/// LND's clients ask for no less than 4 (1,000); its tower takes anything.
const SWEEP_FEERATE_MIN: u64 = 250;

/// A session as it is stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Session {
    /// Which blobs it has.
    pub blob_type: BlobType,
    /// How many updates it has room for.
    pub max_updates: u16,
    /// What justice pays, in satoshis per 1,000 weight units.
    pub sweep_feerate: u64,
    /// The number of the last update stored, 0 if there is none.
    pub last_applied: u16,
    /// What the client last said that number was.
    pub client_last_applied: u16,
}

impl Encode for Session {
    fn encode(&self, out: &mut Vec<u8>) {
        self.blob_type.number().encode(out);
        self.max_updates.encode(out);
        self.sweep_feerate.encode(out);
        self.last_applied.encode(out);
        self.client_last_applied.encode(out);
    }
}

impl Decode for Session {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            blob_type: BlobType::of(u16::decode(r)?).ok_or(DecodeError::Range)?,
            max_updates: u16::decode(r)?,
            sweep_feerate: u64::decode(r)?,
            last_applied: u16::decode(r)?,
            client_last_applied: u16::decode(r)?,
        })
    }
}

/// What must be on the disk before the answer goes out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// Nothing.
    None,
    /// The session, new or with other terms.
    Put(Session),
    /// The session as it is now, and a record; one under the same number and session is replaced.
    Record {
        /// The session.
        session: Session,
        /// The number, from 1.
        seq: u16,
        /// By what to find it.
        hint: Hint,
        /// The blob.
        blob: Vec<u8>,
    },
    /// The session is gone with all that is in it.
    Delete,
}

/// What to do about a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Turn {
    /// First this.
    pub change: Change,
    /// Then this.
    pub reply: Message,
    /// Then hang up?
    pub close: bool,
}

/// What no client of LND's does; the connection ends without an answer.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Breach {
    /// Bytes that are none of its messages.
    #[error("not a message of LND's: {0}")]
    Bytes(#[from] DecodeError),
    /// A reply, an error, or a message that may not follow the one before.
    #[error("message {0} is out of place")]
    OutOfPlace(u16),
}

/// What a connection has heard so far, after `Init`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Conversation {
    /// Nothing.
    #[default]
    Fresh,
    /// Updates: nothing but updates may follow.
    Updating,
    /// Its last message.
    Over,
}

impl Conversation {
    /// Takes a message of the client whose session, if it has one, is `session`.
    ///
    /// # Errors
    /// [`Breach`]: hang up.
    pub fn hear(&mut self, frame: &[u8], session: Option<&Session>) -> Result<Turn, Breach> {
        let message = Message::decode_frame(frame)?;
        let number = message.number();
        let turn = match (*self, message) {
            (Self::Fresh, Message::CreateSession(create)) => create_session(session, &create),
            (Self::Fresh, Message::DeleteSession) => delete_session(session),
            (Self::Fresh | Self::Updating, Message::StateUpdate(update)) => {
                state_update(session, update)
            }
            (
                Self::Fresh | Self::Updating | Self::Over,
                Message::CreateSession(_)
                | Message::DeleteSession
                | Message::StateUpdate(_)
                | Message::Error { .. }
                | Message::CreateSessionReply { .. }
                | Message::StateUpdateReply { .. }
                | Message::DeleteSessionReply { .. },
            ) => return Err(Breach::OutOfPlace(number)),
        };
        *self = if turn.close { Self::Over } else { Self::Updating };
        Ok(turn)
    }
}

/// Opens a session, or gives one that is unused other terms.
pub fn create_session(existing: Option<&Session>, asked: &CreateSession) -> Turn {
    let answer = |code, last_applied, change| {
        let reply = Message::CreateSessionReply { code, last_applied, data: Vec::new() };
        Turn { change, reply, close: true }
    };
    if let Some(used) = existing.filter(|session| session.last_applied > 0) {
        return answer(ALREADY_EXISTS, used.last_applied, Change::None);
    }
    let refuse = |code| answer(code, 0, Change::None);
    let Some(blob_type) = BlobType::of(asked.blob_type) else { return refuse(REJECT_BLOB_TYPE) };
    if asked.reward_base != 0 || asked.reward_rate != 0 {
        return refuse(REJECT_REWARD);
    }
    if asked.max_updates == 0 {
        return refuse(REJECT_MAX_UPDATES);
    }
    if asked.sweep_feerate < SWEEP_FEERATE_MIN {
        return refuse(REJECT_SWEEP_FEERATE);
    }
    let session = Session {
        blob_type,
        max_updates: asked.max_updates,
        sweep_feerate: asked.sweep_feerate,
        last_applied: 0,
        client_last_applied: 0,
    };
    answer(Code::OK, 0, Change::Put(session))
}

/// Takes an update, or says why not. The same number again is stored again: its answer may have been lost.
pub fn state_update(existing: Option<&Session>, update: StateUpdate) -> Turn {
    let close_after = update.is_complete;
    let answer = |code: Code, last_applied, change| {
        let reply = Message::StateUpdateReply { code, last_applied };
        Turn { change, reply, close: close_after || !code.is_ok() }
    };
    let Some(session) = existing else { return answer(Code::PERMANENT, 0, Change::None) };
    let last = session.last_applied;
    if update.encrypted_blob.len() != session.blob_type.blob_len() {
        // LND's code for it. A client of LND's would try for ever, but none sends such a blob.
        return answer(Code::TEMPORARY, last, Change::None);
    }
    let next = last.saturating_add(1);
    let refusal = if update.seq_num <= update.last_applied {
        Some(Code::PERMANENT)
    } else if update.last_applied < session.client_last_applied {
        Some(CLIENT_BEHIND)
    } else if update.seq_num > session.max_updates {
        Some(MAX_UPDATES_EXCEEDED)
    } else if update.seq_num != last && update.seq_num != next {
        Some(OUT_OF_ORDER)
    } else {
        None
    };
    if let Some(code) = refusal {
        return answer(code, last, Change::None);
    }
    let session = Session {
        last_applied: update.seq_num,
        client_last_applied: update.last_applied,
        ..*session
    };
    let (seq, hint, blob) = (update.seq_num, update.hint, update.encrypted_blob);
    answer(Code::OK, seq, Change::Record { session, seq, hint, blob })
}

/// Deletes a session.
pub fn delete_session(existing: Option<&Session>) -> Turn {
    let (code, change) = match existing {
        Some(_) => (Code::OK, Change::Delete),
        None => (Code::NO_SESSION, Change::None),
    };
    Turn { change, reply: Message::DeleteSessionReply { code }, close: true }
}
