//! Two words that only the keeper may say: "the disk has it", and "it may leave".
//!
//! A receipt is signed over a [`Durable`], a transaction is handed in out of a [`Cleared`]; nothing outside
//! this module's parent can make either. So nothing is acknowledged before the disk has it, by types.

/// Something that the disk has.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    pub(in crate::store) const fn attest(value: T) -> Self {
        Self(value)
    }

    /// What it is.
    pub const fn get(&self) -> &T {
        &self.0
    }

    /// What it is.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// That justice may be handed in: the disk has it, or can have nothing any more.
///
/// On a dead disk the place on the chain does not move either, so that the next start looks at the same
/// blocks and comes to the same claims: a broadcast that nobody remembers is not lost, and a cheater must
/// not win because a disk is full. Receipts are another matter, they need a [`Durable`].
#[derive(Debug, Eq, PartialEq)]
#[must_use]
pub struct Cleared {
    is_durable: bool,
}

impl Cleared {
    pub(in crate::store) const fn attest(is_durable: bool) -> Self {
        Self { is_durable }
    }

    /// Whether the disk has it.
    pub const fn is_durable(&self) -> bool {
        self.is_durable
    }
}
