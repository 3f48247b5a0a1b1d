//! Ledger by ledger.
