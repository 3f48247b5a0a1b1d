//! Tests of `codec`.

use super::*;
use crate::id::Signature;
use crate::units::{BlockHeight, Msat, Sat};

fn hex(text: &str) -> Vec<u8> {
    ::bitcoin::hex::FromHex::from_hex(text).unwrap()
}

/// BOLT 1 § Appendix A, BigSize decoding tests.
const BIGSIZE_DECODING: [(&str, &str, Result<u64, DecodeError>); 18] = [
    ("zero", "00", Ok(0)),
    ("one byte high", "fc", Ok(252)),
    ("two byte low", "fd00fd", Ok(253)),
    ("two byte high", "fdffff", Ok(65535)),
    ("four byte low", "fe00010000", Ok(65536)),
    ("four byte high", "feffffffff", Ok(4294967295)),
    ("eight byte low", "ff0000000100000000", Ok(4294967296)),
    ("eight byte high", "ffffffffffffffffff", Ok(18446744073709551615)),
    ("two byte not canonical", "fd00fc", Err(DecodeError::NotCanonical)),
    ("four byte not canonical", "fe0000ffff", Err(DecodeError::NotCanonical)),
    ("eight byte not canonical", "ff00000000ffffffff", Err(DecodeError::NotCanonical)),
    ("two byte short read", "fd00", Err(DecodeError::Short)),
    ("four byte short read", "feffff", Err(DecodeError::Short)),
    ("eight byte short read", "ffffffffff", Err(DecodeError::Short)),
    ("one byte no read", "", Err(DecodeError::Short)),
    ("two byte no read", "fd", Err(DecodeError::Short)),
    ("four byte no read", "fe", Err(DecodeError::Short)),
    ("eight byte no read", "ff", Err(DecodeError::Short)),
];

/// BOLT 1 § Appendix A, BigSize encoding tests.
const BIGSIZE_ENCODING: [(&str, u64, &str); 8] = [
    ("zero", 0, "00"),
    ("one byte high", 252, "fc"),
    ("two byte low", 253, "fd00fd"),
    ("two byte high", 65535, "fdffff"),
    ("four byte low", 65536, "fe00010000"),
    ("four byte high", 4294967295, "feffffffff"),
    ("eight byte low", 4294967296, "ff0000000100000000"),
    ("eight byte high", 18446744073709551615, "ffffffffffffffffff"),
];

/// BOLT 1 § Appendix D: Signed Integers Test Vectors.
const SIGNED: [(i64, &str); 23] = [
    (0, "00"),
    (42, "2a"),
    (-42, "d6"),
    (127, "7f"),
    (-128, "80"),
    (128, "0080"),
    (-129, "ff7f"),
    (15000, "3a98"),
    (-15000, "c568"),
    (32767, "7fff"),
    (-32768, "8000"),
    (32768, "00008000"),
    (-32769, "ffff7fff"),
    (21000000, "01406f40"),
    (-21000000, "febf90c0"),
    (2147483647, "7fffffff"),
    (-2147483648, "80000000"),
    (2147483648, "0000000080000000"),
    (-2147483649, "ffffffff7fffffff"),
    (500000000000, "000000746a528800"),
    (-500000000000, "ffffff8b95ad7800"),
    (9223372036854775807, "7fffffffffffffff"),
    (-9223372036854775808, "8000000000000000"),
];

#[test]
fn bigsize_decodes_as_appendix_a_says() {
    for (name, bytes, expected) in BIGSIZE_DECODING {
        assert_eq!(BigSize::decode_exact(&hex(bytes)), expected.map(BigSize), "{name}");
    }
}

#[test]
fn bigsize_encodes_as_appendix_a_says() {
    for (name, value, bytes) in BIGSIZE_ENCODING {
        assert_eq!(BigSize(value).encoded(), hex(bytes), "{name}");
    }
}

#[test]
fn signed_integers_are_as_appendix_d_says() {
    fn check<T: Encode + Decode + Copy + Into<i64>>(value: T, bytes: &[u8]) {
        assert_eq!(value.encoded(), bytes);
        assert_eq!(T::decode_exact(bytes).unwrap().into(), value.into());
    }
    for (value, bytes) in SIGNED {
        let bytes = hex(bytes);
        match bytes.len() {
            1 => check(i8::try_from(value).unwrap(), &bytes),
            2 => check(i16::try_from(value).unwrap(), &bytes),
            4 => check(i32::try_from(value).unwrap(), &bytes),
            8 => check(value, &bytes),
            other => panic!("no integer of {other} bytes"),
        }
    }
}

#[test]
fn truncated_integers_have_one_form_each() {
    for (value, bytes) in
        [(0, ""), (1, "01"), (255, "ff"), (256, "0100"), (0x0102_0304, "01020304")]
    {
        assert_eq!(Tu64(value).encoded(), hex(bytes));
        assert_eq!(Tu64::decode_exact(&hex(bytes)), Ok(Tu64(value)));
        let short = u32::try_from(value).unwrap();
        assert_eq!(Tu32(short).encoded(), hex(bytes));
        assert_eq!(Tu32::decode_exact(&hex(bytes)), Ok(Tu32(short)));
    }
    assert_eq!(Tu64(u64::MAX).encoded(), [0xff; 8]);
    assert_eq!(Tu16::decode_exact(&[1, 2]), Ok(Tu16(0x0102)));
    assert_eq!(Tu16::decode_exact(&[1, 2, 3]), Err(DecodeError::Long));
    assert_eq!(Tu32::decode_exact(&[1; 5]), Err(DecodeError::Long));
    assert_eq!(Tu64::decode_exact(&[1; 9]), Err(DecodeError::Long));
    assert_eq!(Tu16::decode_exact(&[0]), Err(DecodeError::NotCanonical));
    assert_eq!(Tu64::decode_exact(&[0, 1]), Err(DecodeError::NotCanonical));
}

#[test]
fn amounts_stop_at_twenty_one_million() {
    let most_msat = hex("1d24b2dfac520000");
    assert_eq!(Msat::decode_exact(&most_msat), Ok(Msat::MAX));
    assert_eq!(Msat::decode_exact(&hex("1d24b2dfac520001")), Err(DecodeError::Range));
    assert_eq!(Sat::decode_exact(&hex("000775f05a074000")), Ok(Sat::MAX_MONEY));
    assert_eq!(Sat::decode_exact(&hex("000775f05a074001")), Err(DecodeError::Range));
}

#[test]
fn a_reader_stops_at_its_end() {
    let mut r = Reader::new(&[1, 2, 3]);
    assert_eq!(r.take(4), Err(DecodeError::Short));
    assert_eq!(r.array::<4>(), Err(DecodeError::Short));
    assert_eq!((r.len(), r.peek()), (3, &[1, 2, 3][..]), "a failed read takes nothing");
    assert_eq!(r.take(1), Ok(&[1][..]));
    assert_eq!(r.end(), Err(DecodeError::Long));
    assert_eq!(r.rest(), [2, 3]);
    assert_eq!((r.is_empty(), r.end()), (true, Ok(())));
}

#[test]
fn a_count_that_lies_reserves_no_memory() {
    // 65,535 signatures would be four mebibytes; three bytes are here.
    assert_eq!(Vec::<Signature>::decode_exact(&[0xff, 0xff, 1]), Err(DecodeError::Short));
    assert_eq!(Long::<Vec<u8>>::decode_exact(&[0xff; 4]), Err(DecodeError::Short));
    assert_eq!(Vec::<Vec<u8>>::decode_exact(&[0, 2, 0, 0]), Err(DecodeError::Short));
}

#[test]
fn a_list_too_long_for_its_count_stays_readable() {
    let long = vec![7_u8; 70_000];
    let back = Vec::<u8>::decode_exact(&long.encoded()).unwrap();
    assert_eq!(back.len(), 65_535);
    assert_eq!(Long::decode_exact(&Long(long.clone()).encoded()), Ok(Long(long)));
}

#[test]
fn elements_without_bytes_cannot_fill_memory() {
    assert_eq!(<()>::decode_rest(&mut Reader::new(&[1])), Err(DecodeError::Long));
}

#[test]
fn shapes_of_records_round_trip() {
    let value = (Some(BlockHeight(7)), (true, Box::new(None::<u64>)));
    let bytes = value.encoded();
    assert_eq!(bytes, [1, 0, 0, 0, 7, 1, 0]);
    assert_eq!(Decode::decode_exact(&bytes), Ok(value));
    assert_eq!(bool::decode_exact(&[2]), Err(DecodeError::Range));
    assert_eq!(Option::<u8>::decode_exact(&[3, 0]), Err(DecodeError::Range));
}
