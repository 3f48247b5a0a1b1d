//! Payments that find their own way: whole nodes in a line and in a diamond, with announced channels.

mod blinded;
mod held_invoices;
mod kinds;
mod net;
mod paths;
mod probes;
