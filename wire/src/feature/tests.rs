//! Tests of `feature`.

use super::*;

fn bits(features: &Features) -> Vec<u32> {
    features.bits().collect()
}

#[test]
fn our_init_is_the_vector_that_every_peer_accepts() {
    let init = Features::init();
    assert_eq!(bits(&init), [0, 7, 8, 11, 12, 14, 17, 19, 23, 25, 27, 37, 43, 44, 47, 51]);
    assert_eq!(init.as_bytes(), [0x08, 0x98, 0x20, 0x0a, 0x8a, 0x59, 0x81]);
    assert_eq!(init.missing_dependency(), None);
}

#[test]
fn payments_without_an_invoice_are_told_to_everybody_and_not_to_a_peer_alone() {
    assert!(Features::node(true).has(55) && !Features::node(true).has(54));
    assert_eq!(Features::node(false), Features::init());
    assert_eq!(Features::node(true).misplaced(Context::Init), Some(55));
}

#[test]
fn what_we_set_is_allowed_where_we_set_it() {
    for (features, context) in [
        (Features::init(), Context::Init),
        (Features::node(false), Context::Node),
        (Features::node(true), Context::Node),
        (Features::payable(), Context::Invoice),
        (Features::invoice(), Context::Invoice),
        (Features::channel_type(true, true), Context::ChannelType),
    ] {
        assert_eq!(features.misplaced(context), None, "{context:?}");
        assert_eq!(features.missing_dependency(), None, "{context:?}");
        for feature in Feature::ALL {
            assert!(!(features.has(feature.even()) && features.has(feature.odd())), "{context:?}");
        }
    }
    assert_eq!(Features::init().misplaced(Context::Invoice), Some(0));
    assert_eq!(Features::init().misplaced(Context::Channel), Some(0));
}

#[test]
fn channel_types_are_exact() {
    assert_eq!(bits(&Features::channel_type(false, false)), [12, 22]);
    assert_eq!(bits(&Features::channel_type(true, true)), [12, 22, 46, 50]);
    for known in [[false, false], [true, false], [false, true], [true, true]] {
        assert!(Features::channel_type(known[0], known[1]).is_our_channel_type());
    }
    for other in [vec![], vec![12], vec![22], vec![13, 22], vec![12, 22, 23], vec![12, 22, 40]] {
        assert!(!Features::from_bits(other.clone()).is_our_channel_type(), "{other:?}");
    }
}

#[test]
fn bits_are_counted_from_the_end() {
    for (bit, bytes) in [(0, &[0x01][..]), (7, &[0x80]), (8, &[0x01, 0x00]), (17, &[0x02, 0, 0])] {
        let mut features = Features::empty();
        features.set(bit);
        assert_eq!(features.as_bytes(), bytes);
        assert!(features.has(bit) && !features.has(bit + 1));
        assert_eq!(bits(&features), [u32::from(bit)]);
    }
    assert_eq!(Features::from_bits([44, 0, 12]), Features::from_wire(vec![0x10, 0, 0, 0, 0x10, 1]));
}

#[test]
fn zeros_in_front_mean_nothing_but_are_kept() {
    let padded = Features::from_wire(vec![0, 0, 0x10, 0x00]);
    assert_eq!(padded, Features::from_wire(vec![0x10, 0x00]));
    assert_eq!(padded.encoded(), [0, 4, 0, 0, 0x10, 0]);
    assert_eq!(Features::from_wire(vec![0]), Features::empty());
    assert_ne!(padded, Features::from_wire(vec![0x10]));
}

#[test]
fn union_keeps_the_bits_of_both() {
    let (a, b) = (Features::from_bits([0, 20]), Features::from_bits([9]));
    assert_eq!(bits(&a.union(&b)), [0, 9, 20]);
    assert_eq!(a.union(&b), b.union(&a));
}

#[test]
fn demands_of_others_are_met_or_end_the_connection() {
    let ours = Features::init();
    // What LND, CLN, LDK and Eclair send by default, from their sources.
    let lnd = [0, 5, 7, 8, 12, 14, 17, 23, 25, 27, 31, 35, 39, 44, 161];
    let cln = [0, 5, 7, 8, 11, 12, 14, 17, 19, 23, 25, 27, 35, 39, 43, 44, 47, 51, 63];
    let eclair = [0, 7, 8, 11, 12, 14, 17, 19, 23, 25, 27, 29, 35, 37, 39, 44, 47, 61, 63, 81];
    for peer in [&lnd[..], &cln, &eclair] {
        let theirs = Features::from_bits(peer.iter().copied());
        assert_eq!(theirs.demands_beyond(&ours), None);
        assert_eq!(theirs.unknown_even(), None);
        assert_eq!(theirs.missing_dependency(), None);
        assert_eq!(ours.demands_beyond(&theirs), None);
    }
    assert_eq!(Features::from_bits([6]).demands_beyond(&ours), None, "queries are for everyone");
    assert_eq!(Features::from_bits([22]).demands_beyond(&ours), None, "odd with us is enough");
    assert_eq!(Features::from_bits([28]).demands_beyond(&ours), Some(28), "known by name alone");
    assert_eq!(Features::from_bits([0, 1_000]).demands_beyond(&ours), Some(1_000));
    assert_eq!(Features::from_bits([100_000]).demands_beyond(&ours), Some(100_000));
    assert_eq!(Features::from_bits([1_001]).demands_beyond(&ours), None);
    assert_eq!(Features::from_bits([28, 1_000]).unknown_even(), Some(1_000));
}

#[test]
fn dependencies_must_be_set() {
    for (set, missing) in [
        (vec![17], Some((Feature::BasicMpp, Feature::PaymentSecret))),
        (vec![16, 15], None),
        (vec![50], Some((Feature::Zeroconf, Feature::ScidAlias))),
        (vec![51, 46], None),
        (vec![61], Some((Feature::SimpleClose, Feature::ShutdownAnysegwit))),
        (vec![61, 27], None),
    ] {
        assert_eq!(Features::from_bits(set.clone()).missing_dependency(), missing, "{set:?}");
    }
}

#[test]
fn a_feature_is_negotiated_when_both_know_or_we_insist() {
    let anchors = |bit| Features::from_bits([bit]);
    let none = Features::empty();
    let check =
        |ours: &Features, theirs: &Features| Features::negotiated(ours, theirs, Feature::Anchors);
    assert!(check(&anchors(23), &anchors(22)));
    assert!(check(&anchors(23), &anchors(23)));
    assert!(check(&anchors(22), &none));
    assert!(!check(&anchors(23), &none));
    assert!(!check(&none, &anchors(22)));
}

#[test]
fn the_table_rises_and_its_bits_are_even() {
    for pair in Feature::ALL.windows(2) {
        assert!(pair[0].even() < pair[1].even());
    }
    for feature in Feature::ALL {
        assert_eq!(feature.even() % 2, 0);
        for bit in [feature.even(), feature.odd()] {
            assert_eq!(Feature::of_bit(u32::from(bit)), Some(*feature));
        }
    }
    assert_eq!(Feature::of_bit(20), None, "anchors with fees are gone");
}

#[test]
fn features_read_by_name() {
    assert_eq!(
        Features::from_bits([23, 12, 1_001]).to_string(),
        "option_static_remotekey!, option_anchors, 1001"
    );
}
