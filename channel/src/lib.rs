//! A two-party channel as a pure machine: `(Channel, Event, &Env) -> Step` (BOLT 2, 3, 5).

pub mod seal;
