//! Tests of `address`.

use super::*;

fn dns(name: &str, port: u16) -> Address {
    Address::Dns(Hostname::new(name).unwrap(), port)
}

fn onion() -> Address {
    // The service of RFC-like fame: key bytes 0..32, checksum and version as they come.
    Address::TorV3(core::array::from_fn(|i| u8::try_from(i).unwrap()), 9735)
}

#[test]
fn descriptors_have_the_lengths_the_table_gives() {
    for (address, length) in [
        (Address::Ipv4(Ipv4Addr::LOCALHOST, 9735), 6),
        (Address::Ipv6(Ipv6Addr::LOCALHOST, 9735), 18),
        (Address::TorV2([7; 12]), 12),
        (onion(), 37),
        (dns(&"a".repeat(255), 9735), 258),
    ] {
        let bytes = address.encoded();
        assert_eq!(bytes.len(), 1 + length, "{address}");
        assert_eq!(Address::decode_exact(&bytes), Ok(address));
    }
}

#[test]
fn addresses_read_as_people_write_them() {
    for (address, shown) in [
        (Address::Ipv4(Ipv4Addr::new(10, 0, 0, 1), 9735), "10.0.0.1:9735"),
        (Address::Ipv6(Ipv6Addr::LOCALHOST, 1), "[::1]:1"),
        (dns("node.example", 9735), "node.example:9735"),
        (onion(), "aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypsaijc.onion:9735"),
    ] {
        assert_eq!(address.to_string(), shown);
    }
}

#[test]
fn reading_stops_at_the_first_unknown_type() {
    let known = vec![Address::Ipv4(Ipv4Addr::LOCALHOST, 1), dns("a", 2)];
    let mut addresses = Addresses::new(known.clone());
    addresses.0.extend([9, 1, 2, 3]);
    assert_eq!(addresses.known(), Ok(known));
    assert_eq!(Addresses(vec![0, 0, 0]).known(), Ok(vec![]));
}

#[test]
fn addresses_are_written_in_rising_order() {
    let mixed = vec![
        dns("a", 2),
        Address::Ipv6(Ipv6Addr::LOCALHOST, 1),
        Address::Ipv4(Ipv4Addr::LOCALHOST, 1),
    ];
    let kinds: Vec<_> = Addresses::new(mixed).known().unwrap().iter().map(Address::kind).collect();
    assert_eq!(kinds, [1, 2, 5]);
}

#[test]
fn useless_addresses_are_left_out() {
    let all = vec![
        Address::Ipv4(Ipv4Addr::LOCALHOST, 0),
        Address::TorV2([1; 12]),
        dns("b", 0),
        dns("a", 1),
    ];
    assert_eq!(Addresses::new(all).known(), Ok(vec![dns("a", 1)]));
}

#[test]
fn an_address_cut_short_is_refused() {
    let whole = onion().encoded();
    assert_eq!(Addresses(whole[..20].to_vec()).known(), Err(DecodeError::Short));
    assert_eq!(Addresses(vec![5, 200, b'a']).known(), Err(DecodeError::Short));
}

#[test]
fn host_names_are_plain() {
    for name in ["", &"a".repeat(256), "b\u{fc}cher", "a b", "a\0", "a/b", "a:1"] {
        assert_eq!(Hostname::new(name), None, "{name}");
    }
    assert_eq!(Address::decode_exact(&[5, 1, b'\n', 0, 1]), Err(DecodeError::Range));
    assert_eq!(Hostname::new("xn--bcher-kva.example").unwrap().as_str(), "xn--bcher-kva.example");
}
