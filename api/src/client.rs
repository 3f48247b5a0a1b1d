//! x

/// Whether a request may be sent again when it is not known whether the first one arrived.
pub trait Repeatable {
    /// Whether a second copy of this very request does no harm.
    fn is_repeatable(&self) -> bool;
}
