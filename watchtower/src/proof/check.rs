//! A client's look at every receipt: does the tower have exactly what was sent, and go only forward?
//!
//! The client keeps the range of what was acknowledged (its peaks) and the leaves of what is under way,
//! never the records. A receipt that does not fit is [`Evidence`], to be written down: two receipts that
//! contradict one another convict a tower in anybody's eyes, the others in its client's.
//!
//! Not here: what happens to such a tower (`daemon::tower`).

use std::collections::VecDeque;

use secp256k1::PublicKey;
use thiserror::Error;
use wire::codec::{Decode, DecodeError, Encode, Reader};

use super::mmr::{Mmr, Node};
use super::receipt::{Receipt, Session};

/// Blocks by which a tower may be behind its client.
pub const LAG_BLOCKS_MAX: u32 = 6;

/// Records that may be under way and not yet acknowledged.
pub const PENDING_MAX: usize = 65_536;

/// What is wrong with a receipt.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Fault {
    /// It is about another session, or one with other terms.
    #[error("the receipt is for another session")]
    OtherSession,
    /// The tower's key did not sign it.
    #[error("the signature is not the tower's")]
    WrongSignature,
    /// The tower has other records than were sent to it.
    #[error("the root is not that of the records that were sent")]
    RootDiffers,
    /// The tower signed for more records once.
    #[error("the tower had signed for {before} records and now signs for {now}")]
    WentBack {
        /// What it had signed for.
        before: u32,
        /// What it signs for now.
        now: u32,
    },
    /// The tower signs for records that nobody sent.
    #[error("{sent} records were sent and the tower signs for {signed}")]
    NeverSent {
        /// How many were sent.
        sent: u32,
        /// What it signs for.
        signed: u32,
    },
    /// The tower's chain is behind: it would not see a breach.
    #[error("the tower is at height {height}, we are at {ours}")]
    Stale {
        /// The tower's height.
        height: u32,
        /// Ours.
        ours: u32,
    },
    /// The tower promised to watch until later.
    #[error("the tower had promised to watch until {before} and now says {now}")]
    ExpiryShortened {
        /// What it had promised.
        before: u32,
        /// What it says now.
        now: u32,
    },
}

impl Fault {
    /// A number for files; never reused.
    const fn number(self) -> u8 {
        match self {
            Self::OtherSession => 1,
            Self::WrongSignature => 2,
            Self::RootDiffers => 3,
            Self::WentBack { .. } => 4,
            Self::NeverSent { .. } => 5,
            Self::Stale { .. } => 6,
            Self::ExpiryShortened { .. } => 7,
        }
    }

    const fn numbers(self) -> (u32, u32) {
        match self {
            Self::OtherSession | Self::WrongSignature | Self::RootDiffers => (0, 0),
            Self::WentBack { before, now } | Self::ExpiryShortened { before, now } => (before, now),
            Self::NeverSent { sent, signed } => (sent, signed),
            Self::Stale { height, ours } => (height, ours),
        }
    }

    fn of(number: u8, first: u32, second: u32) -> Result<Self, DecodeError> {
        Ok(match number {
            1 => Self::OtherSession,
            2 => Self::WrongSignature,
            3 => Self::RootDiffers,
            4 => Self::WentBack { before: first, now: second },
            5 => Self::NeverSent { sent: first, signed: second },
            6 => Self::Stale { height: first, ours: second },
            7 => Self::ExpiryShortened { before: first, now: second },
            _ => return Err(DecodeError::Range),
        })
    }
}

/// Why a tower is not used any more, with what it signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Evidence {
    /// What was wrong.
    pub fault: Fault,
    /// The tower's key.
    pub tower: PublicKey,
    /// The receipt that was wrong.
    pub receipt: Receipt,
    /// The last one that was right, if there was one.
    pub before: Option<Receipt>,
    /// The root of what was sent, up to the number the receipt names, if that many were sent.
    pub expected_root: Option<Node>,
}

impl Evidence {
    /// Whether the two receipts alone convict the tower: it signed both, and they contradict.
    ///
    /// A root that differs from ours does not: only we know what was sent.
    pub fn convicts(&self) -> bool {
        let Some(before) = &self.before else { return false };
        let (first, second) = (&before.ack, &self.receipt.ack);
        let signed = before.is_signed_by(&self.tower) && self.receipt.is_signed_by(&self.tower);
        let same_session = before.session == self.receipt.session;
        // Behind its end a session may begin anew: then nothing contradicts.
        let lasts = first.expiry >= second.height;
        // Blocks are added at the end of a chain; two receipts for as many records at two heights can have
        // one root alone.
        let forked = first.durable_seq == second.durable_seq && first.root != second.root;
        let later = second.height > first.height;
        signed
            && same_session
            && lasts
            && (forked || later && second.durable_seq < first.durable_seq)
    }
}

impl Encode for Evidence {
    fn encode(&self, out: &mut Vec<u8>) {
        let (first, second) = self.fault.numbers();
        self.fault.number().encode(out);
        first.encode(out);
        second.encode(out);
        self.tower.encode(out);
        self.receipt.encode(out);
        u8::from(self.before.is_some()).encode(out);
        self.before.iter().for_each(|before| before.encode(out));
        u8::from(self.expected_root.is_some()).encode(out);
        self.expected_root.iter().for_each(|root| out.extend_from_slice(root));
    }
}

impl Decode for Evidence {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = u8::decode(r)?;
        let (first, second) = (u32::decode(r)?, u32::decode(r)?);
        let fault = Fault::of(number, first, second)?;
        let (tower, receipt) = (PublicKey::decode(r)?, Receipt::decode(r)?);
        let before = match u8::decode(r)? {
            0 => None,
            1 => Some(Receipt::decode(r)?),
            _ => return Err(DecodeError::Range),
        };
        let expected_root = match u8::decode(r)? {
            0 => None,
            1 => Some(r.array()?),
            _ => return Err(DecodeError::Range),
        };
        Ok(Self { fault, tower, receipt, before, expected_root })
    }
}

/// What a receipt moved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// Records that this receipt is the first to acknowledge.
    pub newly_acked: u32,
    /// Records with numbers below this are safe with the tower.
    pub durable_seq: u32,
}

/// A client's side of one session with one tower.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checker {
    tower: PublicKey,
    session: Session,
    acked: Mmr,
    pending: VecDeque<Node>,
    last: Option<Receipt>,
}

impl Checker {
    /// A session that has no records yet.
    pub const fn new(tower: PublicKey, session: Session) -> Self {
        Self::resume(tower, session, Mmr::new(), None)
    }

    /// A session as it was left: the range of what is acknowledged, and the receipt for it.
    ///
    /// What was under way is to be sent again.
    pub const fn resume(
        tower: PublicKey,
        session: Session,
        acked: Mmr,
        last: Option<Receipt>,
    ) -> Self {
        Self { tower, session, acked, pending: VecDeque::new(), last }
    }

    /// The range of what is acknowledged.
    pub const fn acked(&self) -> &Mmr {
        &self.acked
    }

    /// The newest receipt.
    pub const fn last(&self) -> Option<&Receipt> {
        self.last.as_ref()
    }

    /// The number that the next record gets.
    pub fn next_seq(&self) -> u32 {
        let pending = u32::try_from(self.pending.len()).unwrap_or(u32::MAX);
        self.acked.count().saturating_add(pending)
    }

    /// Notes that the record with number [`Checker::next_seq`] and this leaf goes out.
    ///
    /// `false`, and nothing is noted, while [`PENDING_MAX`] wait for their receipt.
    pub fn send(&mut self, leaf: Node) -> bool {
        let room = self.pending.len() < PENDING_MAX && self.next_seq() < u32::MAX;
        if room {
            self.pending.push_back(leaf);
        }
        room
    }

    /// Forgets what is under way, after the connection was lost; it is to be sent again.
    pub fn disconnected(&mut self) {
        self.pending.clear();
    }

    /// Takes a receipt, or says why it must not be taken; then nothing has changed.
    ///
    /// # Errors
    /// [`Evidence`], which is to be kept. `our_height` is of our own last block.
    pub fn check(&mut self, receipt: &Receipt, our_height: u32) -> Result<Progress, Box<Evidence>> {
        let (fault, expected_root) = match self.judge(receipt, our_height) {
            Ok(acked) => return Ok(self.advance(acked, receipt)),
            Err(no) => no,
        };
        let (tower, receipt, before) = (self.tower, *receipt, self.last);
        Err(Box::new(Evidence { fault, tower, receipt, before, expected_root }))
    }

    /// The range up to what the receipt says, if the receipt is good.
    fn judge(&self, receipt: &Receipt, our_height: u32) -> Result<Mmr, (Fault, Option<Node>)> {
        let no = |fault| Err((fault, None));
        let ack = &receipt.ack;
        if receipt.session != self.session {
            return no(Fault::OtherSession);
        }
        if !receipt.is_signed_by(&self.tower) {
            return no(Fault::WrongSignature);
        }
        let Some(new) = ack.durable_seq.checked_sub(self.acked.count()) else {
            return no(Fault::WentBack { before: self.acked.count(), now: ack.durable_seq });
        };
        let new = usize::try_from(new).unwrap_or(usize::MAX);
        if new > self.pending.len() {
            return no(Fault::NeverSent { sent: self.next_seq(), signed: ack.durable_seq });
        }
        let mut acked = self.acked.clone();
        acked.extend(self.pending.iter().take(new).copied());
        if acked.root() != ack.root {
            return Err((Fault::RootDiffers, Some(acked.root())));
        }
        if let Some(before) = self.last.map(|last| last.ack.expiry)
            && ack.expiry < before
        {
            return no(Fault::ExpiryShortened { before, now: ack.expiry });
        }
        if ack.height.saturating_add(LAG_BLOCKS_MAX) < our_height {
            return no(Fault::Stale { height: ack.height, ours: our_height });
        }
        Ok(acked)
    }

    fn advance(&mut self, acked: Mmr, receipt: &Receipt) -> Progress {
        let newly_acked = acked.count().saturating_sub(self.acked.count());
        let count = usize::try_from(newly_acked).unwrap_or(usize::MAX).min(self.pending.len());
        self.pending.drain(..count);
        let durable_seq = acked.count();
        self.acked = acked;
        self.last = Some(*receipt);
        Progress { newly_acked, durable_seq }
    }
}

#[cfg(test)]
mod tests;
