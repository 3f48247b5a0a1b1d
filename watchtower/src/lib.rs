//! Punishes for those who sleep: a tower, what it is given, what it promises and what it can prove.
//!
//! A client gives a tower, per revoked state of a channel, what takes everything from whoever shows that
//! state ([`kit`]): sealed under the cheater's own transaction for a tower that nobody has to trust, or
//! whole keys for a tower of one's own. A tower keeps them ([`store`], [`index`]), hears them over BOLT 8
//! ([`ingest`], [`message`]), looks at every block ([`watch`]) and answers with transactions ([`respond`]), with a coin of its own
//! where that helps ([`purse`]).
//! What it promised is signed, and can be checked by anybody ([`proof`]).
//!
//! Not here: when a state is revoked and which towers hear of it (`daemon::tower`).

pub mod acts;
pub mod admin;
pub mod client;
pub mod hint;
pub mod index;
pub mod ingest;
pub mod kit;
pub mod lnd;
pub mod message;
pub mod proof;
pub mod purse;
pub mod respond;
pub mod settings;
pub mod store;
pub mod tower;
pub mod watch;
