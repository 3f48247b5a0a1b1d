//! Stack items as truth values and numbers.

use super::machine::Stop;
use crate::builtin::reject::ScriptFault;

/// The longest number, bytes.
const NUMBER_MAX: usize = 4;

/// Whether an item counts as true: anything but zero, minus zero included.
pub(super) fn truth(item: &[u8]) -> bool {
    match item.split_last() {
        None => false,
        Some((last, rest)) => rest.iter().any(|byte| *byte != 0) || !matches!(last, 0 | 0x80),
    }
}

pub(super) fn of_bool(value: bool) -> Vec<u8> {
    if value { vec![1] } else { Vec::new() }
}

/// What `OP_0`, `OP_1NEGATE` and `OP_1` to `OP_16` push.
pub(super) fn of_small_op(op: u8) -> Option<Vec<u8>> {
    match op {
        0x00 => Some(Vec::new()),
        0x4f => Some(vec![0x81]),
        0x51..=0x60 => Some(vec![op.saturating_sub(0x50)]),
        _ => None,
    }
}

/// Reads a little-endian number with a sign bit, in its shortest form.
pub(super) fn number(item: &[u8]) -> Result<i64, Stop> {
    let Some((last, rest)) = item.split_last() else { return Ok(0) };
    if item.len() > NUMBER_MAX {
        return Err(Stop::Consensus);
    }
    let padded = last & 0x7f == 0 && rest.last().is_none_or(|before| before & 0x80 == 0);
    if padded {
        return Err(Stop::Policy(ScriptFault::MinimalData));
    }
    let bytes = rest.iter().chain(std::iter::once(last)).rev();
    let magnitude = bytes.enumerate().fold(0_i64, |sum, (place, byte)| {
        let byte = if place == 0 { byte & 0x7f } else { *byte };
        (sum << 8) | i64::from(byte)
    });
    Ok(if last & 0x80 == 0 { magnitude } else { magnitude.saturating_neg() })
}

/// Writes what [`number`] reads.
pub(super) fn of_number(value: i64) -> Vec<u8> {
    let magnitude = value.unsigned_abs();
    let mut bytes: Vec<u8> = magnitude.to_le_bytes().to_vec();
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    let sign = if value < 0 { 0x80 } else { 0 };
    match bytes.last_mut() {
        None => {}
        Some(last) if *last & 0x80 == 0 => *last |= sign,
        Some(_) => bytes.push(sign),
    }
    bytes
}

/// Whether a push could not be shorter.
pub(super) fn is_minimal_push(op: u8, data: &[u8]) -> bool {
    match data {
        [] => op == 0,
        [1..=16 | 0x81] => false,
        _ => match data.len() {
            0..=75 => usize::from(op) == data.len(),
            76..=255 => op == 0x4c,
            256..=65_535 => op == 0x4d,
            _ => true,
        },
    }
}
