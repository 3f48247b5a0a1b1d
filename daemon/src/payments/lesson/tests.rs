//! What each failure code teaches.
