//! A two-party channel as a pure machine: `(Channel, Event, &Env) -> Step` (BOLT 2, 3, 5).
//!
//! A channel is a value, and a fold over [`Fact`]s. [`Channel::step`] checks an [`Event`], turns it into
//! facts, applies them with the same code that replay uses, and answers with a [`seal::Step`]: the next
//! state, the record that makes it true, and [`Effect`]s that stay sealed until the record is durable.
//! A peer's fault ([`PeerFault`]), our own no ([`Refusal`]) and success are all steps; none is lost and
//! nothing panics.
//!
//! Every update in flight carries a [`clock::Clock`] with the four moments of the commitment dance; the
//! [`ledger`] computes both commitments from them, and [`limits`] says what may be added. Phases
//! (opening, funding, open, closing, on Layer 1) know nothing of the connection; `link` alone knows
//! `channel_reestablish`.
//!
//! Not here: sockets, files, clocks, random numbers, other channels (the daemon).

pub mod channel;
pub mod clock;
pub mod effect;
pub mod env;
pub mod event;
pub mod fact;
pub mod fault;
pub mod keys;
pub mod ledger;
pub mod limits;
mod link;
mod live;
pub mod onchain;
mod out;
pub mod past;
mod phase;
mod quarantine;
pub mod record;
pub mod refusal;
pub mod revoked;
pub mod seal;
pub mod shachain;
pub mod signer;
pub mod state;
pub mod terms;
pub mod tx;

pub use channel::{Channel, Stage};
pub use effect::{
    Advice, Alarm, Answer, Effect, Held, HtlcIn, HtlcOut, Notice, Outcome, Resolved, Why,
};
pub use env::{Env, ForceClosePolicy, Policy};
pub use event::{ChainFact, Command, CommandId, Event, Link, Offer, Origin};
pub use fact::Fact;
pub use fault::{PeerFault, Reaction};
pub use refusal::Refusal;
pub use terms::{AcceptTerms, Kind, OpenTerms, Params, Terms};

#[cfg(test)]
mod world;
