//! Our node as a client of a tower that runs LND: one session after the other, one update after the other.
//!
//! An update is written down, with its bytes, before it is sent, and sent again in the same bytes until its
//! answer comes: so an answer that got lost leaves no hole and no second record. A session that the tower
//! has under this key already, that is full, or that got out of step, is left for the next key, and the
//! update that was under way goes into the new one.
//!
//! Not here: keys, sockets, what is uploaded (`daemon::tower`).

use wire::codec::{Decode, DecodeError, Encode, Reader};

use super::blob::BlobType;
use super::wire::{
    ALREADY_EXISTS, CLIENT_BEHIND, CreateSession, MAX_UPDATES_EXCEEDED, Message, OUT_OF_ORDER,
    StateUpdate,
};
use crate::hint::Hint;
use crate::message::Code;

/// What every session with this tower is opened with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Terms {
    /// Which blobs are sent.
    pub blob_type: BlobType,
    /// Updates of one session; LND has 1,024.
    pub max_updates: u16,
    /// What justice pays, in satoshis per 1,000 weight units.
    pub sweep_feerate: u64,
}

/// An update that has no answer yet.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Waiting {
    hint: Hint,
    blob: Vec<u8>,
}

/// Where we are with one tower. All of it is to be written down before anything is sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Uploader {
    terms: Terms,
    /// Which key the session has.
    key_index: u32,
    /// Whether the tower said that the session is there.
    open: bool,
    /// The last number with an answer.
    acked: u16,
    waiting: Option<Waiting>,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heard {
    /// The session is there.
    Opened,
    /// The update is stored under this number.
    Stored(u16),
    /// This key will not do: connect with the key of this index.
    NextKey(u32),
    /// The same again later.
    Later,
    /// The tower does not want these terms, or nothing of us at all.
    Refused(Code),
    /// Not an answer to what was asked.
    Nonsense,
}

impl Uploader {
    /// Nothing sent yet.
    pub const fn new(terms: Terms) -> Self {
        Self { terms, key_index: 0, open: false, acked: 0, waiting: None }
    }

    /// Which key to connect with.
    pub const fn key_index(&self) -> u32 {
        self.key_index
    }

    /// Whether an update waits for its answer: no other can be taken until then.
    pub const fn is_busy(&self) -> bool {
        self.waiting.is_some()
    }

    /// Takes the next update; `false` while one is under way, or if it is no blob of this kind.
    pub fn take(&mut self, hint: Hint, blob: Vec<u8>) -> bool {
        if self.is_busy() || blob.len() != self.terms.blob_type.blob_len() {
            return false;
        }
        self.waiting = Some(Waiting { hint, blob });
        if self.acked >= self.terms.max_updates {
            self.next_key();
        }
        true
    }

    /// What to send on a connection with the key of [`Uploader::key_index`], now or again.
    ///
    /// A session is opened on a connection of its own: LND hangs up after it.
    pub fn message(&self) -> Option<Message> {
        let waiting = self.waiting.as_ref()?;
        if !self.open {
            return Some(Message::CreateSession(CreateSession {
                blob_type: self.terms.blob_type.number(),
                max_updates: self.terms.max_updates,
                reward_base: 0,
                reward_rate: 0,
                sweep_feerate: self.terms.sweep_feerate,
            }));
        }
        Some(Message::StateUpdate(StateUpdate {
            seq_num: self.acked.saturating_add(1),
            last_applied: self.acked,
            is_complete: false,
            hint: waiting.hint,
            encrypted_blob: waiting.blob.clone(),
        }))
    }

    /// Takes the tower's answer.
    pub fn hear(&mut self, answer: &Message) -> Heard {
        match answer {
            Message::CreateSessionReply { code, .. } if !self.open => match *code {
                Code::OK => {
                    self.open = true;
                    Heard::Opened
                }
                ALREADY_EXISTS => self.next_key(),
                Code::TEMPORARY => Heard::Later,
                refused => Heard::Refused(refused),
            },
            Message::StateUpdateReply { code, last_applied } if self.open && self.is_busy() => {
                let number = self.acked.saturating_add(1);
                match *code {
                    Code::OK if *last_applied == number => {
                        self.acked = number;
                        self.waiting = None;
                        Heard::Stored(number)
                    }
                    Code::TEMPORARY => Heard::Later,
                    Code::PERMANENT | CLIENT_BEHIND | MAX_UPDATES_EXCEEDED | OUT_OF_ORDER => {
                        self.next_key()
                    }
                    Code::OK => Heard::Nonsense,
                    refused => Heard::Refused(refused),
                }
            }
            Message::Error { code, .. } => Heard::Refused(*code),
            Message::CreateSession(_)
            | Message::CreateSessionReply { .. }
            | Message::StateUpdate(_)
            | Message::StateUpdateReply { .. }
            | Message::DeleteSession
            | Message::DeleteSessionReply { .. } => Heard::Nonsense,
        }
    }

    const fn next_key(&mut self) -> Heard {
        self.key_index = self.key_index.saturating_add(1);
        self.open = false;
        self.acked = 0;
        Heard::NextKey(self.key_index)
    }
}

impl Encode for Uploader {
    fn encode(&self, out: &mut Vec<u8>) {
        self.terms.blob_type.number().encode(out);
        self.terms.max_updates.encode(out);
        self.terms.sweep_feerate.encode(out);
        self.key_index.encode(out);
        u8::from(self.open).encode(out);
        self.acked.encode(out);
        if let Some(waiting) = &self.waiting {
            out.extend_from_slice(&waiting.hint.0);
            out.extend_from_slice(&waiting.blob);
        }
    }
}

impl Decode for Uploader {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let blob_type = BlobType::of(u16::decode(r)?).ok_or(DecodeError::Range)?;
        let terms =
            Terms { blob_type, max_updates: u16::decode(r)?, sweep_feerate: u64::decode(r)? };
        let key_index = u32::decode(r)?;
        let open = match u8::decode(r)? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::Range),
        };
        let acked = u16::decode(r)?;
        let waiting = if r.is_empty() {
            None
        } else {
            let hint = Hint(r.array()?);
            Some(Waiting { hint, blob: r.take(blob_type.blob_len())?.to_vec() })
        };
        Ok(Self { terms, key_index, open, acked, waiting })
    }
}
