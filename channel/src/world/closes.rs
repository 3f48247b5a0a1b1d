//! closes
