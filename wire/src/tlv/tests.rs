//! The streams of BOLT 1 § Appendix B, and the records the appendix does not reach.

use secp256k1::PublicKey;

use super::*;

/// Fail in any namespace.
const INVALID_ANYWHERE: [(&str, &str); 9] = [
    ("fd", "type truncated"),
    ("fd01", "type truncated"),
    ("fd000100", "not minimally encoded type"),
    ("fd0101", "missing length"),
    ("0ffd", "length truncated"),
    ("0ffd26", "length truncated"),
    ("0ffd2602", "missing value"),
    ("0ffd000100", "not minimally encoded length"),
    // The type, a length of 513, and 258 zeros after it.
    ("@", "value truncated"),
];

/// Fail in either namespace.
const INVALID_UNKNOWN_EVEN: [(&str, &str); 4] = [
    ("1200", "unknown even type"),
    ("fd010200", "unknown even type"),
    ("fe0100000200", "unknown even type"),
    ("ff010000000000000200", "unknown even type"),
];

/// Fail in `n1`.
const INVALID_N1: [(&str, &str); 20] = [
    ("0109ffffffffffffffffff", "greater than encoding length for tlv1"),
    ("010100", "encoding for tlv1 amount_msat is not minimal"),
    ("01020001", "encoding for tlv1 amount_msat is not minimal"),
    ("0103000100", "encoding for tlv1 amount_msat is not minimal"),
    ("010400010000", "encoding for tlv1 amount_msat is not minimal"),
    ("01050001000000", "encoding for tlv1 amount_msat is not minimal"),
    ("0106000100000000", "encoding for tlv1 amount_msat is not minimal"),
    ("010700010000000000", "encoding for tlv1 amount_msat is not minimal"),
    ("01080001000000000000", "encoding for tlv1 amount_msat is not minimal"),
    ("020701010101010101", "less than encoding length for tlv2"),
    ("0209010101010101010101", "greater than encoding length for tlv2"),
    (
        "0321023da092f6980e58d2c037173180e9a465476026ee50f96695963e8efe436f54eb",
        "less than encoding length for tlv3",
    ),
    (
        "0329023da092f6980e58d2c037173180e9a465476026ee50f96695963e8efe436f54eb0000000000000001",
        "less than encoding length for tlv3",
    ),
    (
        "0330023da092f6980e58d2c037173180e9a465476026ee50f96695963e8efe436f54eb000000000000000100000000000001",
        "less than encoding length for tlv3",
    ),
    (
        "0331043da092f6980e58d2c037173180e9a465476026ee50f96695963e8efe436f54eb00000000000000010000000000000002",
        "node_id is not a valid point",
    ),
    (
        "0332023da092f6980e58d2c037173180e9a465476026ee50f96695963e8efe436f54eb0000000000000001000000000000000001",
        "greater than encoding length for tlv3",
    ),
    ("fd00fe00", "less than encoding length for tlv4"),
    ("fd00fe0101", "less than encoding length for tlv4"),
    ("fd00fe03010101", "greater than encoding length for tlv4"),
    ("0000", "unknown even field for namespace"),
];

/// Fail in `n1` for their order.
const INVALID_ORDER_N1: [(&str, &str); 4] = [
    ("0208000000000000022601012a", "valid TLV records but invalid ordering"),
    ("0208000000000000023102080000000000000451", "duplicate TLV type"),
    ("1f000f012a", "valid (ignored) TLV records but invalid ordering"),
    ("1f001f012a", "duplicate TLV type (ignored)"),
];

/// Fails in `n2` for its order.
const INVALID_ORDER_N2: [(&str, &str); 1] =
    [("ffffffffffffffffff000000", "valid TLV records but invalid ordering")];

/// Decode to nothing in either namespace.
const VALID_ANYWHERE: [(&str, &str); 7] = [
    ("", "empty message"),
    ("2100", "Unknown odd type"),
    ("fd020100", "Unknown odd type"),
    ("fd00fd00", "Unknown odd type"),
    ("fd00ff00", "Unknown odd type"),
    ("fe0200000100", "Unknown odd type"),
    ("ff020000000000000100", "Unknown odd type"),
];

/// Decode in `n1`, to what the second column says.
const VALID_N1: [(&str, &str); 12] = [
    ("0100", "tlv1 amount_msat=0"),
    ("010101", "tlv1 amount_msat=1"),
    ("01020100", "tlv1 amount_msat=256"),
    ("0103010000", "tlv1 amount_msat=65536"),
    ("010401000000", "tlv1 amount_msat=16777216"),
    ("01050100000000", "tlv1 amount_msat=4294967296"),
    ("0106010000000000", "tlv1 amount_msat=1099511627776"),
    ("010701000000000000", "tlv1 amount_msat=281474976710656"),
    ("01080100000000000000", "tlv1 amount_msat=72057594037927936"),
    ("02080000000000000226", "tlv2 scid=0x0x550"),
    (
        "0331023da092f6980e58d2c037173180e9a465476026ee50f96695963e8efe436f54eb00000000000000010000000000000002",
        "tlv3 node_id=023da092f6980e58d2c037173180e9a465476026ee50f96695963e8efe436f54eb amount_msat_1=1 amount_msat_2=2",
    ),
    ("fd00fe020226", "tlv4 cltv_delta=550"),
];

/// The namespace `n1`.
#[derive(Debug, Default, PartialEq)]
struct N1 {
    tlv1: Option<Tu64>,
    tlv2: Option<ShortChannelId>,
    tlv3: Option<Tlv3>,
    tlv4: Option<u16>,
}

#[derive(Debug, PartialEq)]
struct Tlv3 {
    node_id: PublicKey,
    amount_msat_1: u64,
    amount_msat_2: u64,
}

impl Record for Tlv3 {
    fn put(&self, out: &mut Vec<u8>) {
        self.node_id.encode(out);
        (self.amount_msat_1, self.amount_msat_2).encode(out);
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let node_id = PublicKey::decode(r)?;
        let (amount_msat_1, amount_msat_2) = Decode::decode(r)?;
        Ok(Self { node_id, amount_msat_1, amount_msat_2 })
    }
}

impl N1 {
    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut n1 = Self::default();
        each(&mut Reader::new(bytes), |kind, value| {
            match kind {
                1 => n1.tlv1 = Some(Record::take(value)?),
                2 => n1.tlv2 = Some(Record::take(value)?),
                3 => n1.tlv3 = Some(Record::take(value)?),
                254 => n1.tlv4 = Some(Record::take(value)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(n1)
    }

    fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, 1, self.tlv1.as_ref());
        put(&mut out, 2, self.tlv2.as_ref());
        put(&mut out, 3, self.tlv3.as_ref());
        put(&mut out, 254, self.tlv4.as_ref());
        out
    }

    /// As the appendix writes values.
    fn shown(&self) -> String {
        let tlv1 = self.tlv1.map(|v| format!("tlv1 amount_msat={}", v.0));
        let tlv2 = self.tlv2.map(|v| format!("tlv2 scid={v}"));
        let tlv3 = self.tlv3.as_ref().map(|v| {
            let Tlv3 { node_id, amount_msat_1: one, amount_msat_2: two } = v;
            format!("tlv3 node_id={node_id} amount_msat_1={one} amount_msat_2={two}")
        });
        let tlv4 = self.tlv4.map(|v| format!("tlv4 cltv_delta={v}"));
        [tlv1, tlv2, tlv3, tlv4].into_iter().flatten().collect()
    }
}

/// The namespace `n2`.
fn n2(bytes: &[u8]) -> Result<(Option<Tu64>, Option<Tu32>), DecodeError> {
    let mut n2 = (None, None);
    each(&mut Reader::new(bytes), |kind, value| {
        match kind {
            0 => n2.0 = Some(Record::take(value)?),
            11 => n2.1 = Some(Record::take(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(n2)
}

fn hex(text: &str) -> Vec<u8> {
    if text == "@" {
        return [&[0x0f, 0xfd, 0x02, 0x01][..], &[0; 258]].concat();
    }
    bitcoin::hex::FromHex::from_hex(text).unwrap()
}

/// Every stream that is invalid in `n1`.
fn invalid_n1() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    INVALID_ANYWHERE.iter().chain(&INVALID_UNKNOWN_EVEN).chain(&INVALID_N1).chain(&INVALID_ORDER_N1)
}

#[test]
fn invalid_streams_are_refused() {
    for (stream, reason) in invalid_n1() {
        assert!(N1::read(&hex(stream)).is_err(), "{stream}: {reason}");
    }
    let in_n2 = INVALID_ANYWHERE.iter().chain(&INVALID_UNKNOWN_EVEN).chain(&INVALID_ORDER_N2);
    for (stream, reason) in in_n2 {
        assert!(n2(&hex(stream)).is_err(), "{stream}: {reason}");
    }
}

#[test]
fn streams_are_refused_for_the_reason_the_appendix_gives() {
    for (stream, reason) in invalid_n1() {
        let expected = match *reason {
            r if r.contains("minimal") || r.contains("order") || r.contains("duplicate") => {
                DecodeError::NotCanonical
            }
            r if r.contains("truncated") || r.contains("missing") || r.contains("less than") => {
                DecodeError::Short
            }
            r if r.contains("greater than") => DecodeError::Long,
            r if r.contains("point") => DecodeError::Point,
            _ => {
                let even = BigSize::decode(&mut Reader::new(&hex(stream))).unwrap();
                DecodeError::UnknownEven(even.0)
            }
        };
        assert_eq!(N1::read(&hex(stream)), Err(expected), "{stream}: {reason}");
    }
}

#[test]
fn valid_streams_decode_to_their_values() {
    for (stream, why) in VALID_ANYWHERE {
        assert_eq!(N1::read(&hex(stream)), Ok(N1::default()), "{stream}: {why}");
        assert_eq!(n2(&hex(stream)), Ok((None, None)), "{stream}: {why}");
    }
    for (stream, values) in VALID_N1 {
        let n1 = N1::read(&hex(stream)).unwrap();
        assert_eq!(n1.shown(), values);
        assert_eq!(n1.write(), hex(stream));
    }
}

// BOLT 1: "Any appending of an invalid stream to a valid stream should trigger a decoding failure."
#[test]
fn an_invalid_stream_spoils_the_valid_one_before_it() {
    for (valid, _) in VALID_ANYWHERE.iter().chain(&VALID_N1) {
        for (invalid, reason) in invalid_n1() {
            let both = [hex(valid), hex(invalid)].concat();
            assert!(N1::read(&both).is_err(), "{valid} + {invalid}: {reason}");
        }
    }
}

// BOLT 1: "Any appending of a higher-numbered valid stream to a lower-numbered valid stream should
// not trigger a decoding failure."
#[test]
fn valid_streams_join_in_rising_order_only() {
    let number = |stream: &[u8]| BigSize::decode(&mut Reader::new(stream)).ok();
    let valid = || VALID_ANYWHERE.iter().chain(&VALID_N1).map(|(stream, _)| hex(stream));
    for first in valid() {
        for second in valid() {
            let joined = [&first[..], &second].concat();
            let rises = number(&first) < number(&second) || second.is_empty();
            assert_eq!(N1::read(&joined).is_ok(), rises, "{first:02x?} + {second:02x?}");
        }
    }
}

#[test]
fn a_long_value_gets_a_long_length() {
    for length in [0, 1, 252, 253, 65_535, 65_536] {
        let value = vec![7_u8; length];
        let mut out = vec![1, 2, 3];
        put(&mut out, 9, Some(&value));
        let header = [&[1, 2, 3, 9][..], &BigSize::of_len(length).encoded()].concat();
        assert_eq!(out, [header, value.clone()].concat(), "{length}");

        let mut back = None;
        each(&mut Reader::new(&out[3..]), |_, r| {
            back = Some(Vec::take(r)?);
            Ok(true)
        })
        .unwrap();
        assert_eq!(back, Some(value));
    }
}

#[test]
fn a_known_record_must_be_read_to_its_end() {
    let read = |stream: &[u8]| each(&mut Reader::new(stream), |_, r| u8::take(r).map(|_| true));
    assert_eq!(read(&[2, 1, 5]), Ok(()));
    assert_eq!(read(&[2, 2, 5, 5]), Err(DecodeError::Long));
    assert_eq!(read(&[2, 0]), Err(DecodeError::Short));
}

#[test]
fn nothing_follows_the_highest_type() {
    let top = [&[0xff; 9][..], &[0]].concat();
    assert!(each(&mut Reader::new(&top), |_, _| Ok(false)).is_ok());
    let twice = [&top[..], &top].concat();
    assert_eq!(each(&mut Reader::new(&twice), |_, _| Ok(false)), Err(DecodeError::NotCanonical));
}
