//! Nothing leaves before the disk has it: the rule, as types.
//!
//! A transition answers with a [`Step`]. Its effects (messages, broadcasts, answers) are private, and
//! the only way to them leads through the journal: stage the step, wait until the disk has caught up,
//! open the seal with the proof.
//!
//! Reading effects from a step does not compile:
//!
//! ```compile_fail,E0616
//! fn leak<S, E>(step: channel::seal::Step<S, E>) -> Vec<E> {
//!     step.effects
//! }
//! ```
//!
//! Opening a seal without proof does not compile either:
//!
//! ```compile_fail,E0061
//! fn hurry<E>(sealed: channel::seal::Sealed<E>) -> Vec<E> {
//!     sealed.open().unwrap_or_default()
//! }
//! ```
//!
//! Not here: the journal itself (`store::journal`) and the one place that may say [`Flushed`]
//! (`daemon::journal`).

/// A position in the journal: how many records were appended up to and including this one.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Lsn(pub u64);

/// Proof that every record up to a position survives a power cut.
#[derive(Clone, Copy, Debug)]
pub struct Flushed(Lsn);

impl Flushed {
    /// Says that the disk holds everything up to `upto`.
    ///
    /// For the journal thread alone, after its sync returned; `clippy.toml` bans the call elsewhere.
    pub const fn attest(upto: Lsn) -> Self {
        Self(upto)
    }

    /// The last position that is safe.
    pub const fn upto(self) -> Lsn {
        self.0
    }
}

/// Where records go.
pub trait Journal {
    /// Queues a record behind all earlier ones and says at which position it will lie.
    ///
    /// An empty record changes nothing: it takes the position of the record before it.
    fn append(&mut self, record: Vec<u8>) -> Lsn;
}

/// A transition that has been decided and has not happened: the next state, the record that makes it
/// true, and what the world gets to see once it is.
#[must_use = "a step that is not staged never happened"]
#[derive(Debug)]
pub struct Step<S, E> {
    next: S,
    record: Vec<u8>,
    effects: Vec<E>,
}

impl<S, E> Step<S, E> {
    /// Made by transition functions only.
    pub const fn new(next: S, record: Vec<u8>, effects: Vec<E>) -> Self {
        Self { next, record, effects }
    }

    /// Queues the record. The next state may already think on; its effects may not leave yet.
    pub fn stage(self, journal: &mut impl Journal) -> (S, Sealed<E>) {
        let due = journal.append(self.record);
        (self.next, Sealed { due, effects: self.effects })
    }
}

/// Effects that wait for the disk.
#[must_use = "dropping a seal drops messages the peer waits for"]
#[derive(Debug)]
pub struct Sealed<E> {
    due: Lsn,
    effects: Vec<E>,
}

impl<E> Sealed<E> {
    /// The effects if the disk has caught up with their record, the seal itself if not.
    pub fn open(self, disk: Flushed) -> Result<Vec<E>, Self> {
        if disk.0 >= self.due { Ok(self.effects) } else { Err(self) }
    }

    /// The position the disk must reach.
    pub const fn due(&self) -> Lsn {
        self.due
    }
}
