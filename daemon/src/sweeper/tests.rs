//! The fee function, groups, replacements and splits, without a chain.

mod catalogue;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, OutPoint, ScriptBuf, Txid};
use channel::onchain::Claim;
use channel::onchain::sweep::Coin;
use channel::tx::{Recipe, RevokedSecret, Spend};
use proptest::prelude::*;
use wire::units::{BlockHeight, FeeratePerKw};

use super::rate::{Hurry, is_better, rate};
use super::*;
use crate::layer1::Feerates;

const TIP: BlockHeight = BlockHeight(1_000);

fn feerates(normal: u32) -> Feerates {
    Feerates {
        normal: FeeratePerKw(normal),
        relaxed: FeeratePerKw(normal / 2).max(FeeratePerKw::FLOOR),
        ..Feerates::default()
    }
}

fn outpoint(number: u8) -> OutPoint {
    OutPoint { txid: Txid::from_byte_array([number; 32]), vout: 0 }
}

fn claim(number: u8, sat: u64, deadline: Option<u32>) -> Claim {
    let recipe = match deadline {
        Some(_) => Recipe::PenaltyDelayed { secret: RevokedSecret([1; 32]) },
        None => Recipe::ToRemote,
    };
    let spend = Spend {
        outpoint: outpoint(number),
        value: Amount::from_sat(sat),
        witness_script: ScriptBuf::from(vec![0; 37]),
        recipe,
    };
    let (deadline, contested) = (deadline.map(BlockHeight), deadline.is_some());
    Claim { spend, htlc: None, mature: TIP, deadline, contested }
}

fn pinnable(number: u8, sat: u64, deadline: u32) -> Claim {
    let mut claim = claim(number, sat, Some(deadline));
    let revocation = secp256k1::PublicKey::from_secret_key(
        secp256k1::SECP256K1,
        &secp256k1::SecretKey::from_slice(&[1; 32]).unwrap(),
    );
    claim.spend.recipe = Recipe::PenaltyHtlc { secret: RevokedSecret([1; 32]), revocation };
    claim
}

/// A sweeper and what its world looks like.
struct Field {
    sweeper: Sweeper,
    feerates: Feerates,
    parents: BTreeMap<Txid, Parent>,
    fought: BTreeSet<OutPoint>,
    next: u64,
}

impl Field {
    fn new(claims: &[(u64, Claim)], normal: u32) -> Self {
        let mut sweeper = Sweeper::default();
        let channels: BTreeSet<u64> = claims.iter().map(|(channel, _)| *channel).collect();
        for channel in channels {
            let its = claims.iter().filter(|(of, _)| *of == channel);
            sweeper.claims(ChannelIndex(channel), its.map(|(_, claim)| claim.clone()).collect());
        }
        Self {
            sweeper,
            feerates: feerates(normal),
            parents: BTreeMap::new(),
            fought: BTreeSet::new(),
            next: 100,
        }
    }

    fn plan(&mut self, tip: u32) -> Vec<Job> {
        let look = Look {
            tip: BlockHeight(tip),
            feerates: &self.feerates,
            parents: &self.parents,
            fought: &self.fought,
        };
        self.sweeper.plan(&look)
    }

    fn made(&mut self, job: &Job) -> SweepMade {
        let built = job.build(&[], &home(), Amount::ZERO, FeeratePerKw::FLOOR).unwrap();
        self.next += 1;
        let mut txid = [0xee; 32];
        txid[..8].copy_from_slice(&self.next.to_le_bytes());
        let made = SweepMade {
            txid: Txid::from_byte_array(txid),
            name: job.name.0,
            fee_sat: built.sweep.fee.to_sat(),
            feerate: built.feerate,
            since: job.since,
            deadline: job.deadline,
            members: job.members.iter().map(|of| (of.channel.0, of.claim.spend.outpoint)).collect(),
            ordered: job.ordered,
        };
        self.sweeper.made(&made);
        self.sweeper.seen(made.txid, true);
        made
    }
}

fn home() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array([1; 20]))
}

fn takes(job: &Job) -> Vec<OutPoint> {
    job.spends().iter().map(|spend| spend.outpoint).collect()
}

#[test]
fn the_feerate_climbs_from_a_days_estimate_to_what_half_the_worth_buys() {
    let feerates = feerates(2_000);
    let half = FeeratePerKw(64_000);
    let at = |left: u32| {
        let deadline = Some(TIP.saturating_add(left));
        let since = TIP.saturating_sub(1_000);
        let hurry = Hurry { contested: true, deadline, since };
        rate(&feerates, &hurry, TIP, half).0
    };
    assert_eq!((at(500), at(144)), (1_000, 1_000), "a day and more");
    assert_eq!((at(143), at(36)), (2_000, 2_000), "six blocks");
    assert_eq!((at(1), at(0)), (64_000, 64_000), "half the worth");
    // Five doublings over 35 blocks: one every seven.
    let near = |rate: u32, wanted: u32| rate.abs_diff(wanted) <= wanted / 50;
    assert!(near(at(29), 4_000) && near(at(22), 8_000) && near(at(8), 32_000), "{}", at(22));
}

#[test]
fn what_is_tried_late_begins_with_the_estimate_and_ends_with_half_the_worth_all_the_same() {
    let feerates = feerates(2_000);
    let half = FeeratePerKw(64_000);
    let hurry = Hurry { contested: true, deadline: Some(TIP.saturating_add(6)), since: TIP };
    let at = |waited: u32| rate(&feerates, &hurry, TIP.saturating_add(waited), half).0;
    let paid: Vec<u32> = (0..8).map(at).collect();
    assert_eq!(paid, [2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 64_000, 64_000]);
    let last = Hurry { deadline: Some(TIP.saturating_add(1)), ..hurry };
    assert_eq!(rate(&feerates, &last, TIP, half).0, 64_000, "there is one block left");
}

#[test]
fn what_is_never_contested_never_climbs_and_what_has_no_deadline_gets_one() {
    let feerates = feerates(2_000);
    let half = FeeratePerKw(64_000);
    let at = |contested: bool, waited: u32| {
        let hurry = Hurry { contested, deadline: None, since: TIP };
        rate(&feerates, &hurry, TIP.saturating_add(waited), half).0
    };
    assert_eq!((at(false, 0), at(false, 143), at(false, 5_000)), (1_000, 1_000, 2_000));
    assert_eq!((at(true, 0), at(true, 36)), (2_000, 64_000));
    assert!(at(true, 10) > 4_000);
}

#[test]
fn claims_of_two_channels_that_nobody_contests_share_one_transaction() {
    let mut field = Field::new(&[(1, claim(1, 50_000, None)), (2, claim(2, 60_000, None))], 1_000);
    let jobs = field.plan(1_000);
    assert_eq!(jobs.len(), 1);
    assert_eq!(takes(&jobs[0]), [outpoint(1), outpoint(2)]);
    field.made(&jobs[0]);
    assert!(field.plan(1_001).is_empty(), "it waits for a block");
}

#[test]
fn what_the_cheater_can_spend_at_once_shares_nothing_with_what_only_we_can() {
    let mut field = Field::new(
        &[
            (1, claim(1, 500_000, Some(1_140))),
            (1, pinnable(2, 40_000, 1_140)),
            (1, pinnable(3, 40_000, 1_140)),
            (1, pinnable(4, 900, 1_140)),
            (2, claim(5, 50_000, None)),
        ],
        1_000,
    );
    let groups: BTreeSet<Vec<OutPoint>> = field.plan(1_000).iter().map(takes).collect();
    let wanted = [vec![1], vec![2, 3], vec![4], vec![5]];
    let wanted = wanted.map(|group| group.into_iter().map(outpoint).collect::<Vec<_>>());
    assert_eq!(groups, wanted.into_iter().collect());
}

#[test]
fn deadlines_far_apart_are_not_mixed() {
    let far = claim(2, 50_000, Some(1_500));
    let mut field = Field::new(&[(1, claim(1, 50_000, Some(1_100))), (1, far)], 1_000);
    assert_eq!(field.plan(1_000).len(), 2);
}

#[test]
fn the_penalty_for_966_htlcs_is_divided_into_standard_transactions() {
    let mut claims = Vec::new();
    for number in 0..966_u32 {
        let mut one = pinnable(1, 100_000, 1_140);
        one.spend.outpoint.vout = number;
        one.spend.witness_script = ScriptBuf::from(vec![0; 139]);
        claims.push((1, one));
    }
    let mut field = Field::new(&claims, 1_000);
    let jobs = field.plan(1_000);
    assert_eq!(jobs.iter().map(|job| job.members.len()).sum::<usize>(), 966);
    for job in jobs {
        let built = job.build(&[], &home(), Amount::ZERO, FeeratePerKw::FLOOR).unwrap();
        assert!(built.sweep.weight <= 400_000, "{}", built.sweep.weight);
    }
}

#[test]
fn near_the_deadline_a_group_is_split_and_the_first_part_pays_for_what_it_replaces() {
    let claims = [
        (1, pinnable(1, 50_000, 1_100)),
        (1, pinnable(2, 90_000, 1_100)),
        (1, pinnable(3, 60_000, 1_100)),
    ];
    let mut field = Field::new(&claims, 1_000);
    let jobs = field.plan(1_000);
    assert_eq!(jobs.len(), 1);
    let old = field.made(&jobs[0]);
    assert!(field.plan(1_010).is_empty(), "neither late nor near");
    let jobs = field.plan(1_090);
    assert_eq!(jobs.len(), 1, "one after the other");
    assert_eq!(takes(&jobs[0]), [outpoint(2)], "the most valuable first");
    let least = field.sweeper.fee_in_mempool(old.txid).unwrap();
    let built = jobs[0].build(&[], &home(), least, FeeratePerKw::FLOOR).unwrap();
    let more = jobs[0].incremental.fee_ceil(built.sweep.weight);
    assert!(built.sweep.fee >= least + more, "BIP 125 rules 3 and 4");
    field.sweeper.over(old.txid);
    field.made(&jobs[0]);
    let rest: Vec<_> = field.plan(1_090).iter().map(takes).collect();
    assert_eq!(rest, [vec![outpoint(3)], vec![outpoint(1)]]);
}

#[test]
fn what_is_in_no_block_after_the_security_delay_goes_alone() {
    let claims = [(1, pinnable(1, 50_000, 1_900)), (1, pinnable(2, 90_000, 1_900))];
    let mut field = Field::new(&claims, 1_000);
    let jobs = field.plan(1_000);
    field.made(&jobs[0]);
    assert!(field.plan(1_017).is_empty());
    assert_eq!(takes(&field.plan(1_018)[0]), [outpoint(2)]);
}

#[test]
fn when_somebody_else_takes_one_the_rest_goes_again_and_pays_no_less() {
    let claims = [(1, pinnable(1, 50_000, 1_100)), (1, pinnable(2, 90_000, 1_100))];
    let mut field = Field::new(&claims, 1_000);
    let jobs = field.plan(1_070);
    let made = field.made(&jobs[0]);
    field.sweeper.claims(ChannelIndex(1), vec![pinnable(2, 90_000, 1_100)]);
    field.sweeper.over(made.txid);
    // Fees fell meanwhile.
    field.feerates = feerates(300);
    let again = field.plan(1_071);
    assert_eq!(takes(&again[0]), [outpoint(2)]);
    assert!(again[0].feerate >= made.feerate);
}

#[test]
fn an_output_that_is_fought_over_in_the_mempool_leaves_its_group() {
    let claims = [(1, pinnable(1, 50_000, 1_200)), (1, pinnable(2, 90_000, 1_200))];
    let mut field = Field::new(&claims, 1_000);
    field.fought.insert(outpoint(1));
    let jobs: Vec<_> = field.plan(1_000).iter().map(takes).collect();
    assert_eq!(jobs.len(), 2);
}

#[test]
fn a_claim_that_costs_more_than_it_is_worth_waits_until_fees_fall() {
    let claims = [(1, claim(1, 600, None)), (1, claim(2, 50_000, None))];
    let mut field = Field::new(&claims, 10_000);
    let jobs: Vec<_> = field.plan(1_000).iter().map(takes).collect();
    assert_eq!(jobs, [vec![outpoint(2)]]);
    let shown = field.sweeper.shown(BlockHeight(1_000));
    assert!(matches!(shown[&outpoint(1)].standing, Standing::Uneconomic { .. }));
    field.feerates = feerates(300);
    let jobs: Vec<_> = field.plan(1_001).iter().map(takes).collect();
    assert!(jobs.contains(&vec![outpoint(1)]) || jobs.iter().any(|of| of.contains(&outpoint(1))));
}

#[test]
fn a_commitment_waits_its_time_and_is_paid_for_as_a_package() {
    let mut field = Field::new(&[], 2_000);
    let mut anchor = claim(1, 330, Some(1_100));
    anchor.spend.recipe = Recipe::Anchor;
    let parent = Parent { txid: outpoint(1).txid, weight: 1_600, fee: Amount::from_sat(500) };
    let stuck = Stuck {
        anchor,
        parent,
        stake: Amount::from_sat(500_000),
        since: TIP,
        urgent: true,
        patience: 2,
    };
    field.sweeper.closing(ChannelIndex(1), Some(stuck.clone()));
    assert!(field.plan(1_001).is_empty(), "the mempool takes it");
    let jobs = field.plan(1_002);
    assert_eq!((jobs.len(), jobs[0].needs_coins, jobs[0].parents.len()), (1, true, 1));
    let coin = Coin { outpoint: outpoint(9), value: Amount::from_sat(80_000), input_weight: 272 };
    let built = jobs[0].build(&[coin], &home(), Amount::ZERO, FeeratePerKw::FLOOR).unwrap();
    let both = built.sweep.weight + parent.weight;
    let paid = built.sweep.fee + parent.fee;
    assert!(paid >= jobs[0].feerate.fee_floor(both), "{paid} for {both}");
    // Below the mempool's minimum it does not wait at all.
    field.sweeper.closing(
        ChannelIndex(1),
        Some(Stuck { parent: Parent { fee: Amount::from_sat(100), ..parent }, ..stuck }),
    );
    assert_eq!(field.plan(1_000).len(), 1);
}

#[test]
fn a_restart_knows_what_is_on_its_way_and_what_it_pays() {
    let claims = [(1, claim(1, 50_000, None)), (2, claim(2, 60_000, None))];
    let mut field = Field::new(&claims, 1_000);
    let jobs = field.plan(1_000);
    let made = field.made(&jobs[0]);
    let mut restored = Field::new(&claims, 1_000);
    restored.sweeper = Sweeper::restore([made.clone()]);
    for (channel, claim) in &claims {
        restored.sweeper.claims(ChannelIndex(*channel), vec![claim.clone()]);
    }
    assert!(restored.plan(1_001).is_empty(), "nothing is made twice");
    let shown = restored.sweeper.shown(BlockHeight(1_001));
    assert_eq!(shown[&outpoint(2)].fee, Amount::from_sat(made.fee_sat));
    // A quarter more than before is worth a replacement, of the same name.
    restored.feerates = feerates(4_000);
    let again = restored.plan(1_001);
    assert_eq!((again.len(), again[0].name), (1, jobs[0].name));
    assert!(again[0].replaces);
}

#[test]
fn a_sweep_in_a_block_is_left_alone_and_goes_on_when_the_block_is_gone() {
    let mut field = Field::new(&[(1, claim(1, 50_000, None))], 1_000);
    let jobs = field.plan(1_000);
    let made = field.made(&jobs[0]);
    field.sweeper.mined(made.txid, Some(BlockHeight(1_001)));
    field.sweeper.claims(ChannelIndex(1), Vec::new());
    field.feerates = feerates(50_000);
    assert!(field.plan(1_001).is_empty());
    field.sweeper.rewind(TIP);
    field.sweeper.claims(ChannelIndex(1), vec![claim(1, 50_000, None)]);
    let again = field.plan(1_000);
    assert_eq!((again.len(), again[0].name, again[0].replaces), (1, jobs[0].name, true));
}

#[test]
fn what_a_human_orders_is_paid_even_if_it_is_little_more() {
    let mut field = Field::new(&[(1, claim(1, 50_000, None))], 1_000);
    let jobs = field.plan(1_000);
    let made = field.made(&jobs[0]);
    field.sweeper.order(&[outpoint(1)], Order::Feerate(FeeratePerKw(made.feerate.0 + 60)));
    let again = field.plan(1_000);
    assert_eq!(again[0].feerate.0, made.feerate.0 + 60);
    field.sweeper.order(&[outpoint(1)], Order::Deadline(BlockHeight(1_002)));
    assert!(field.plan(1_000)[0].feerate > FeeratePerKw(5_000));
}

#[test]
fn a_deadline_that_a_human_ordered_outlives_a_restart() {
    let mut field = Field::new(&[(1, claim(1, 50_000, None))], 1_000);
    let jobs = field.plan(1_000);
    field.made(&jobs[0]);
    field.sweeper.order(&[outpoint(1)], Order::Deadline(BlockHeight(1_030)));
    let again = field.plan(1_000);
    assert_eq!(again[0].deadline, Some(BlockHeight(1_030)));
    let made = field.made(&again[0]);
    field.sweeper = Sweeper::restore([made]);
    field.sweeper.claims(ChannelIndex(1), vec![claim(1, 50_000, None)]);
    let later = field.plan(1_025);
    assert_eq!(later[0].deadline, Some(BlockHeight(1_030)));
    assert!(later[0].feerate > again[0].feerate, "it is dearer with every block");
}

proptest! {
    #[test]
    fn a_feerate_never_falls_while_blocks_come(
        normal in 253_u32..50_000, contested: bool, left in proptest::option::of(0_u32..200),
        half in 253_u32..400_000, waited in 0_u32..200,
    ) {
        let feerates = feerates(normal);
        let deadline = left.map(|left| TIP.saturating_add(left));
        let hurry = Hurry { contested, deadline, since: TIP.saturating_sub(waited) };
        let mut last = FeeratePerKw(0);
        for blocks in 0..220 {
            let now = rate(&feerates, &hurry, TIP.saturating_add(blocks), FeeratePerKw(half));
            prop_assert!(now >= last, "{now:?} after {last:?} at {blocks}");
            prop_assert!(now >= FeeratePerKw::FLOOR && now <= feerates.max);
            prop_assert!(now.0 <= half.max(normal));
            prop_assert!(!is_better(now, now));
            last = now;
        }
    }

    #[test]
    fn no_claim_costs_more_than_it_is_worth(
        sat in 330_u64..100_000, normal in 253_u32..100_000, least in 0_u64..3_000,
    ) {
        let mut field = Field::new(&[(1, claim(1, sat, Some(1_002)))], normal);
        let least = Amount::from_sat(least);
        for job in field.plan(1_000) {
            if let Ok(built) = job.build(&[], &home(), least, FeeratePerKw::FLOOR) {
                let out: Amount = built.sweep.tx.output.iter().map(|txout| txout.value).sum();
                prop_assert_eq!(out + built.sweep.fee, Amount::from_sat(sat));
                prop_assert!(least == Amount::ZERO || built.sweep.fee > least);
            }
        }
    }
}

#[test]
fn what_a_human_ordered_a_sweep_to_pay_is_not_forgotten_by_a_restart() {
    // More than half of its worth buys, which nothing but an order allows.
    let ordered = FeeratePerKw(80_000);
    let mut field = Field::new(&[(1, claim(1, 50_000, None))], 1_000);
    field.sweeper.order(&[outpoint(1)], Order::Feerate(ordered));
    let jobs = field.plan(1_000);
    assert_eq!((jobs[0].feerate, jobs[0].ordered), (ordered, ordered));
    let made = field.made(&jobs[0]);
    let mut again = Field::new(&[], 1_000);
    again.sweeper = Sweeper::restore([made.clone()]);
    again.sweeper.claims(ChannelIndex(1), vec![claim(1, 50_000, None)]);
    again.sweeper.over(made.txid);
    assert_eq!(again.plan(1_001)[0].feerate, ordered);
    // Once it is in a block the order is done.
    again.sweeper.made(&made);
    again.sweeper.mined(made.txid, Some(BlockHeight(1_002)));
    again.sweeper.over(made.txid);
    assert!(again.plan(1_003)[0].feerate < ordered);
}
