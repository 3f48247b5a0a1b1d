//! Inside a route nobody says anything; where it begins, one word is said, late.

use wire::onion::failure::{Source, read};

use super::*;
use crate::channels::task::Asker;

fn inside(introduction: bool) -> Inside {
    Inside { introduction, sha256_of_onion: [7; 32] }
}

#[test]
fn inside_a_route_an_htlc_is_given_back_as_malformed() {
    let command = Asker::Nobody.command(0);
    let secret = SharedSecret::new([1; 32]);
    let told = inside(false).refuse(command, 5, &secret, HoldTime(3));
    let Command::FailMalformedHtlc { htlc, sha256_of_onion, failure_code, .. } = told else {
        panic!("{told:?}")
    };
    assert_eq!((htlc, sha256_of_onion, failure_code), (5, [7; 32], 0xc018));
}

#[test]
fn the_introduction_node_says_one_word_under_its_own_name() {
    let command = Asker::Nobody.command(0);
    let secret = SharedSecret::new([1; 32]);
    let told = inside(true).refuse(command, 5, &secret, HoldTime(3));
    let Command::FailHtlc { htlc: 5, reason, attribution, .. } = told else { panic!("{told:?}") };
    let reading = read(&[secret], &reason, attribution.as_ref());
    let failure = Some(Failure::InvalidOnionBlinding { sha256_of_onion: [7; 32] });
    assert_eq!(reading.source, Source::Hop { index: 0, failure });
    assert_eq!(reading.hold_times, [HoldTime(3)]);
}

#[tokio::test]
async fn what_is_late_comes_later_and_all_of_it() {
    let mut late = Late::default();
    assert!(late.next().is_none());
    let began = Instant::now();
    for htlc in 0..100 {
        late.add(ChannelIndex(1), Command::ForgetResolved { htlc });
    }
    assert!(late.due().is_empty(), "nothing at once");
    let mut came = Vec::new();
    while let Some(next) = late.next() {
        Late::come(Some(next)).await;
        let due = late.due();
        assert!(!due.is_empty());
        let after = began.elapsed();
        assert!(after >= DELAY_MIN, "{after:?}");
        came.extend(due);
    }
    assert_eq!(came.len(), 100);
}
