//! Scenario 42: whatever the state, what comes out of a record is valid, pays nobody else, and weighs what
//! it was priced for.

use channel::tx::{Direction, SpecHtlc};
use proptest::prelude::*;
use wire::codec::{Decode as _, Encode as _};

use super::stage::{Stage, check_tx, htlc, spent, together};
use crate::kit::claim::{Claim, Way, single_weight};
use crate::kit::sealed::{Record, build, evaluate, open, seal};
use crate::kit::template::{Covers, Step};
use wire::units::FeeratePerKw;

fn htlcs() -> impl Strategy<Value = Vec<SpecHtlc>> {
    let one = (any::<bool>(), 1_u64..120_000, 1_u32..1_000_000, 0_u64..6);
    proptest::collection::vec(one, 0..24).prop_map(|drawn| {
        (0..)
            .zip(drawn)
            .map(|(id, (offered, sat, expiry, hash))| {
                let direction = if offered { Direction::Offered } else { Direction::Received };
                SpecHtlc { id, ..htlc(direction, hash, sat, expiry) }
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn scenario_42_what_a_record_says_is_valid_pays_the_script_and_weighs_what_was_said(
        number in 0_u64..300,
        to_cheater in 0_u64..5_000_000,
        htlcs in htlcs(),
        low in 253_u32..20_000,
        factor in 1_u32..20,
        pair_rung in any::<bool>(),
    ) {
        let stage = Stage::new();
        let commitment = stage.commitment(number, to_cheater, htlcs);
        let mut template = stage.template();
        let covers = if pair_rung { Covers::Pair } else { Covers::All };
        template.ladder = vec![
            Step { feerate: FeeratePerKw(low), covers: Covers::All },
            Step { feerate: FeeratePerKw(low * factor), covers },
        ];
        let made = build(&template, &commitment, Stage::secret(number), &stage.us).unwrap();
        let sealed = seal(&made.record, &commitment.txid(), &Stage::session(), 9);
        let record = open(&sealed, &commitment.txid(), &Stage::session(), 9).unwrap();
        prop_assert_eq!(&record, &made.record);
        if record.is_empty() {
            return Ok(());
        }
        let claims = evaluate(&template, &record, commitment.tx()).unwrap();
        prop_assert_eq!(claims.len(), usize::from(!record.to_local.is_empty()) + record.htlcs.len());
        let covered: u64 = claims.iter().map(|claim| claim.value.to_sat()).sum();
        prop_assert_eq!(covered, made.covered.to_sat());
        for claim in &claims {
            match &claim.way {
                Way::Ladder(rungs) => {
                    for rung in rungs {
                        check_tx(&rung.tx, &spent(&claims));
                        prop_assert!(rung.tx.output.iter().all(|out| out.script_pubkey == Stage::sweep()));
                        let script = &commitment.delayed_script();
                        let said = single_weight(
                            channel::tx::Show::Delayed.input_weight(script),
                            &template.sweep_script,
                        );
                        let real = rung.tx.weight().to_wu();
                        prop_assert!(real <= said && (said - real) * 100 <= said, "{real} of {said}");
                    }
                }
                Way::Pair(pair) => {
                    let tx = together(&[claim]);
                    check_tx(&tx, &spent(&claims));
                    prop_assert_eq!(&pair.output.script_pubkey, &Stage::sweep());
                    let (real, said) = (tx.weight().to_wu(), pair.weight + 42);
                    prop_assert!(real <= said && (said - real) * 100 <= said, "{real} of {said}");
                }
                Way::Keyed(_) => prop_assert!(false, "a sealed kit has no key"),
            }
        }
        let all: Vec<&Claim> = claims.iter().collect();
        check_tx(&together(&all), &spent(&claims));
    }

    #[test]
    fn no_bytes_make_a_record_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let stage = Stage::new();
        let mut with_point = stage.commitment(3, 1, vec![]).keys().per_commitment_point.encoded();
        with_point.extend(&bytes);
        for bytes in [bytes, with_point] {
            if let Ok(record) = Record::decode_exact(&bytes) {
                prop_assert_eq!(&record.encoded()[..], &bytes[..]);
                let commitment = stage.commitment(3, 2_000_000, vec![]);
                let _ = evaluate(&stage.template(), &record, commitment.tx());
            }
        }
    }
}
