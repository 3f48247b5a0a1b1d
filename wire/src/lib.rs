//! Bytes both peers must agree on: units, identifiers, messages, noise, onions (BOLT 1, 4, 7, 8, 9).
