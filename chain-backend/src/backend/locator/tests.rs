//! Tests of `locator`.

use super::*;
use proptest::prelude::*;

fn block(height: u32) -> BlockId {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&height.to_be_bytes());
    BlockId { height, hash: BlockHash::from_byte_array(hash) }
}

#[test]
fn the_newest_twelve_blocks_are_all_there_and_the_oldest_never_goes() {
    let mut locator = Locator::genesis(Network::Regtest);
    for height in 1..=10_000 {
        locator.advance(block(height));
    }
    let heights: Vec<u32> = locator.entries().iter().map(|entry| entry.height).collect();
    assert_eq!(
        heights[..12],
        [10_000, 9_999, 9_998, 9_997, 9_996, 9_995, 9_994, 9_993, 9_992, 9_991, 9_990, 9_989]
    );
    assert_eq!(heights.last(), Some(&0));
    assert!(heights.len() < 140, "{}", heights.len());
}

#[test]
fn strange_bytes_are_refused() {
    assert_eq!(Locator::decode(&[]), Err(LocatorError::Length));
    assert_eq!(Locator::decode(&[2, 0, 0]), Err(LocatorError::Version(2)));
    assert_eq!(Locator::decode(&[1, 0, 0]), Err(LocatorError::Length));
    let mut bytes = Locator::at(block(5)).encode();
    bytes.push(0);
    assert_eq!(Locator::decode(&bytes), Err(LocatorError::Length));
    assert_eq!(Locator::from_entries(vec![block(5), block(5)]), Err(LocatorError::Order));
}

proptest! {
    #[test]
    fn a_locator_survives_its_bytes(steps in proptest::collection::vec(1_u32..60, 1..200)) {
        let mut locator = Locator::genesis(Network::Regtest);
        for step in steps {
            let tip = locator.tip().height;
            if step % 7 == 0 {
                let back = tip.saturating_sub(step);
                let fork = if back == 0 { Locator::genesis(Network::Regtest).tip() } else { block(back) };
                locator.rewind(fork);
            } else {
                for height in tip + 1..=tip + step {
                    locator.advance(block(height));
                }
            }
        }
        prop_assert_eq!(Locator::decode(&locator.encode()), Ok(locator));
    }

    #[test]
    fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Locator::decode(&bytes);
    }
}
