//! Both kits against real commitments, judged by Bitcoin's own script interpreter.

mod property;
mod replica;
mod sealed;
mod stage;
