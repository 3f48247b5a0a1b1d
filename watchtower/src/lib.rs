//! Punishes for those who sleep.
