//! From a breach that was seen to the last of its outputs, a hundred blocks deep.

pub mod book;
pub mod fact;
