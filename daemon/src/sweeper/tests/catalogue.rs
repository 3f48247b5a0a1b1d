//! Losses that other implementations had over fees of claims, by their number in the catalogue of losses.

use super::*;
use crate::wallet::anchor_reserve;

/// Weight of a commitment with anchors and two outputs, signed. BOLT 3 § Expected Weight of the Commitment Transaction.
const COMMITMENT: u64 = 1_124;

/// What a key spend of a coin of the wallet weighs.
const INPUT: u64 = 272;

/// A contested claim of its own name.
fn contested(number: u32, sat: u64, deadline: u32) -> Claim {
    let mut claim = pinnable(1, sat, deadline);
    claim.spend.outpoint.vout = number;
    claim
}

impl Field {
    /// Makes what is to be made, as often as something new comes of it. Answers how many transactions that were.
    fn work(&mut self, tip: u32) -> usize {
        let mut made = 0;
        loop {
            let jobs = self.plan(tip);
            if jobs.is_empty() {
                return made;
            }
            for job in jobs {
                let taken = takes(&job);
                let olds: BTreeSet<Txid> = (taken.iter())
                    .filter_map(|of| self.sweeper.taker_of(*of))
                    .map(|(txid, ..)| txid)
                    .collect();
                olds.into_iter().for_each(|old| self.sweeper.over(old));
                self.made(&job);
                made += 1;
            }
            assert!(made < 500, "it never comes to rest");
        }
    }

    fn paid(&self, claim: &Claim) -> FeeratePerKw {
        let taker = self.sweeper.taker_of(claim.spend.outpoint);
        taker.expect("on its way in the same block").2
    }
}

/// The cheater takes one output of a group in every block, for eighty blocks.
#[test]
fn c53_a_group_that_loses_an_input_in_every_block_goes_again_at_once_and_for_no_less() {
    // lnd: each regrouping cost a block and began with the lowest fee again.
    let deadline = 1_100;
    let all: Vec<Claim> = (0..90).map(|number| contested(number, 60_000, deadline)).collect();
    let of_one: Vec<_> = all.iter().map(|claim| (1, claim.clone())).collect();
    let mut field = Field::new(&of_one, 1_000);
    let mut paid = BTreeMap::new();
    for block in 0..100_u32 {
        let stolen = block.min(80) as usize;
        if (1..=80).contains(&block) {
            let victim = all[stolen - 1].spend.outpoint;
            let (txid, ..) = field.sweeper.taker_of(victim).expect("it was on its way");
            field.sweeper.claims(ChannelIndex(1), all[stolen..].to_vec());
            field.sweeper.over(txid);
            // Fees fall now and then, as if nothing were wrong.
            field.feerates = feerates(if block % 3 == 0 { 300 } else { 1_000 });
        }
        field.work(1_000 + block);
        for claim in &all[stolen..] {
            let now = field.paid(claim);
            let before = paid.insert(claim.spend.outpoint, now).unwrap_or(FeeratePerKw(0));
            assert!(now >= before, "block {block}: {now:?} after {before:?}");
        }
    }
    // The block before the deadline nearly half of the worth is offered for each of the ten that are left.
    for claim in &all[80..] {
        let weight = 42 + 124 + claim.spend.input_weight();
        assert!(field.paid(claim).fee_floor(weight).to_sat() > 20_000, "{:?}", field.paid(claim));
    }
}

/// A hundred channels close at once while blocks have room for three of their claims each.
#[test]
fn c56_in_a_flood_of_closes_what_is_lost_first_is_paid_for_first() {
    // Flood and loot: in a full mempool the victim's claims came too late, all at the same fee.
    let mut claims = Vec::new();
    for number in 0..100_u32 {
        // In an order that has nothing to do with deadlines: of each three one more block.
        let place = number * 37 % 100;
        claims.push((u64::from(number), contested(number, 80_000, 1_040 + place.div_euclid(2))));
    }
    let mut field = Field::new(&claims, 1_000);
    let mut waiting: BTreeMap<OutPoint, (u64, Claim)> =
        claims.iter().map(|of| (of.1.spend.outpoint, of.clone())).collect();
    for block in 0..100 {
        let tip = 1_000 + block;
        field.work(tip);
        for (_, claim) in waiting.values() {
            let deadline = claim.deadline.unwrap();
            assert!(deadline > BlockHeight(tip), "a claim with the deadline {deadline:?} is lost");
        }
        // Miners take the dearest three transactions, and nothing of ours until the flood has been there for a while.
        let mut offers: Vec<(FeeratePerKw, Txid)> = (waiting.keys())
            .filter_map(|of| field.sweeper.taker_of(*of))
            .map(|(txid, _, feerate)| (feerate, txid))
            .collect();
        offers.sort();
        offers.dedup();
        let mined: BTreeSet<Txid> = match block {
            0..18 => BTreeSet::new(),
            _ => offers.iter().rev().take(3).map(|(_, txid)| *txid).collect(),
        };
        for txid in mined {
            let outpoints = field.sweeper.members_of(txid).expect("it was waiting");
            field.sweeper.mined(txid, Some(BlockHeight(tip + 1)));
            for (channel, _) in outpoints.iter().filter_map(|of| waiting.remove(of)) {
                field.sweeper.claims(ChannelIndex(channel), Vec::new());
            }
        }
    }
    assert!(waiting.is_empty(), "{} are left", waiting.len());
}

/// The job of a waiting commitment that pays `fee` itself.
fn stuck(channel: u64, fee: u64) -> Stuck {
    let mut anchor = claim(1, 330, Some(1_100));
    anchor.spend.recipe = Recipe::Anchor;
    anchor.spend.outpoint.vout = u32::try_from(channel).unwrap();
    let mut txid = [0xaa; 32];
    txid[..8].copy_from_slice(&channel.to_le_bytes());
    let parent = Parent {
        txid: Txid::from_byte_array(txid),
        weight: COMMITMENT,
        fee: Amount::from_sat(fee),
    };
    let stake = Amount::from_sat(500_000);
    Stuck { anchor, parent, stake, since: TIP, urgent: true, patience: 2 }
}

#[test]
fn c57_what_is_kept_for_anchors_closes_every_channel_at_ten_times_the_least_fee() {
    // LDK 0.2.3: the reserve left out that a commitment may pay nothing itself, and what the coin's own input costs.
    let floor = FeeratePerKw::FLOOR;
    let ten = FeeratePerKw(10 * floor.0);
    for channels in 1..=10_u32 {
        let mut field = Field::new(&[], 10 * floor.0);
        field.feerates.relaxed = ten;
        for channel in 0..u64::from(channels) {
            field.sweeper.closing(ChannelIndex(channel), Some(stuck(channel, 0)));
        }
        // One coin holds all of it: what is left of it after one child is the coin of the next.
        let mut left = anchor_reserve(channels);
        let jobs = field.plan(1_000);
        assert_eq!(jobs.len(), channels as usize);
        for job in jobs {
            let coin = Coin { outpoint: outpoint(9), value: left, input_weight: INPUT };
            let built = job.build(&[coin], &home(), Amount::ZERO, floor).expect("it pays");
            assert!(built.feerate >= ten, "{:?} for {channels}", built.feerate);
            let both = built.sweep.weight + COMMITMENT;
            assert!(built.sweep.fee >= ten.fee_floor(both), "for the commitment as well");
            left = built.sweep.tx.output.iter().map(|output| output.value).sum();
        }
        assert!(left > Amount::ZERO);
    }
}

proptest! {
    /// Eclair #3346: a child paid for itself alone, and its parent without a fee went nowhere.
    #[test]
    fn c70_a_child_pays_for_its_whole_package(
        weight in COMMITMENT..40_000, fee in 0_u64..3_000, normal in 253_u32..20_000,
        more in 0_u64..100_000,
    ) {
        let mut field = Field::new(&[], normal);
        field.feerates.relaxed = FeeratePerKw(normal);
        let mut waits = stuck(1, fee);
        waits.parent.weight = weight;
        waits.stake = Amount::from_sat(5_000_000);
        field.sweeper.closing(ChannelIndex(1), Some(waits.clone()));
        for job in field.plan(1_010) {
            let both = weight + 1_000;
            let enough = job.feerate.fee_ceil(both) + Amount::from_sat(more + 1_000);
            let coin = Coin { outpoint: outpoint(9), value: enough, input_weight: INPUT };
            let built = job.build(&[coin], &home(), Amount::ZERO, FeeratePerKw::FLOOR).unwrap();
            let package = built.sweep.weight + weight;
            let paid = built.sweep.fee + waits.parent.fee;
            prop_assert!(paid >= job.feerate.fee_floor(package), "{} for {}", paid, package);
            // And what is told of it is what the package pays, not what the child pays.
            prop_assert!(built.feerate.fee_floor(package) <= paid);
            prop_assert!(built.feerate >= job.feerate || built.feerate.0 + 1 == job.feerate.0);
        }
    }
}
