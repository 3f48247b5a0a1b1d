//! Stack items as truth values and numbers, and how they are pushed.

use crate::builtin::reject::ScriptFault;

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
pub(crate) fn of_small_op(op: u8) -> Option<Vec<u8>> {
    match op {
        0x00 => Some(Vec::new()),
        0x4f => Some(vec![0x81]),
        0x51..=0x60 => Some(vec![op.saturating_sub(0x50)]),
        _ => None,
    }
}

/// Reads a little-endian number with a sign bit, of at most so many bytes.
pub(super) fn number(item: &[u8], length_max: usize, minimal: bool) -> Result<i64, ScriptFault> {
    let Some((last, rest)) = item.split_last() else { return Ok(0) };
    if item.len() > length_max {
        return Err(ScriptFault::ScriptNum);
    }
    let padded = last & 0x7f == 0 && rest.last().is_none_or(|before| before & 0x80 == 0);
    if padded && minimal {
        return Err(ScriptFault::ScriptNum);
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

/// The script that pushes some bytes, as data whatever they are.
pub(super) fn push_of(data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let [low, next, ..] = length.to_le_bytes();
    let mut script = match length {
        0..=0x4b => vec![low],
        0x4c..=0xff => vec![0x4c, low],
        0x100..=0xffff => vec![0x4d, low, next],
        _ => [&[0x4e][..], &length.to_le_bytes()].concat(),
    };
    script.extend_from_slice(data);
    script
}

/// The next opcode, what it pushes, and what follows.
type Op<'a> = (u8, &'a [u8], &'a [u8]);

/// Reads one operation; `None` at the end.
pub(super) fn next_op(script: &[u8]) -> Result<Option<Op<'_>>, ScriptFault> {
    const CUT: ScriptFault = ScriptFault::BadOpcode;
    let Some((op, rest)) = script.split_first() else { return Ok(None) };
    let (length, rest) = match op {
        0x00..=0x4b => (usize::from(*op), rest),
        0x4c => {
            let (length, rest) = rest.split_first().ok_or(CUT)?;
            (usize::from(*length), rest)
        }
        0x4d => {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or(CUT)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        0x4e => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or(CUT)?;
            (usize::try_from(u32::from_le_bytes(*length)).map_err(|_| CUT)?, rest)
        }
        _ => (0, rest),
    };
    let (data, rest) = rest.split_at_checked(length).ok_or(CUT)?;
    Ok(Some((*op, data, rest)))
}

/// A script without the places where `needle` begins an operation, and how many there were.
pub(super) fn find_and_delete(script: &[u8], needle: &[u8]) -> (Vec<u8>, usize) {
    let (mut kept, mut rest, mut found) = (Vec::with_capacity(script.len()), script, 0_usize);
    loop {
        while let Some(next) = rest.strip_prefix(needle).filter(|_| !needle.is_empty()) {
            rest = next;
            found = found.saturating_add(1);
        }
        let Ok(Some((_, _, next))) = next_op(rest) else { break };
        let length = rest.len().saturating_sub(next.len());
        kept.extend_from_slice(rest.get(..length).unwrap_or_default());
        rest = next;
    }
    kept.extend_from_slice(rest);
    (kept, found)
}
