//! How the contract looks as JSON: proto names, 64-bit numbers as numbers, enums by name.
//!
//! Every type in [`crate::v1`] implements [`serde::Serialize`] this way; unset optional fields are
//! left out. Not here: reading JSON; programs that write speak gRPC.

use serde::Serializer;
use serde::ser::SerializeSeq as _;

/// An enum of the contract that knows its proto name.
pub trait Named: TryFrom<i32> {
    /// The name in the proto file, as `PAYMENT_STATUS_FAILED`.
    fn name(self) -> &'static str;
}

/// Writes an enum field by name, or as its number if a newer server sent one we do not know.
pub(crate) fn one<E: Named, S: Serializer>(value: &i32, to: S) -> Result<S::Ok, S::Error> {
    match E::try_from(*value) {
        Ok(known) => to.serialize_str(known.name()),
        Err(_) => to.serialize_i32(*value),
    }
}

/// Writes a repeated enum field by names.
pub(crate) fn many<E: Named, S: Serializer>(values: &[i32], to: S) -> Result<S::Ok, S::Error> {
    let mut list = to.serialize_seq(Some(values.len()))?;
    for value in values {
        match E::try_from(*value) {
            Ok(known) => list.serialize_element(known.name())?,
            Err(_) => list.serialize_element(value)?,
        }
    }
    list.end()
}
