//! Book, plan and sight alone: no chain, no scripts.

use std::collections::BTreeMap;

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version;
use bitcoin::{FeeRate, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use chain_backend::{FeeTable, SubmitOutcome};
use wire::codec::{Decode as _, Encode as _};
use wire::units::{BlockHeight, FeeratePerKw, Sat};

use super::book::Book;
use super::fact::{ClaimFact, Taker};
use super::plan::{Job, Lessons, Now, plan};
use super::sight;
use super::topup::{self, Coin, Means};
use crate::kit::claim::{Claim, ClaimKind, Deadline, Keyed, Pair, Right, Rung, Way};

fn breach() -> Txid {
    Txid::from_byte_array([1; 32])
}

fn at(vout: u32) -> OutPoint {
    OutPoint { txid: breach(), vout }
}

fn sweep() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array([7; 20]))
}

fn input(previous_output: OutPoint) -> TxIn {
    TxIn {
        previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::from_slice(&[[1; 72]]),
    }
}

fn paying(coins: &[OutPoint], sat: u64, script: ScriptBuf) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: coins.iter().map(|coin| input(*coin)).collect(),
        output: vec![TxOut { value: Sat::from_sat(sat), script_pubkey: script }],
    }
}

fn claim(vout: u32, kind: ClaimKind, deadline: Deadline, way: Way) -> Claim {
    Claim {
        outpoint: at(vout),
        value: Sat::from_sat(100_000),
        script_pubkey: ScriptBuf::new(),
        kind,
        deadline,
        csv: 0,
        way,
    }
}

fn pair(vout: u32, deadline: Deadline) -> Claim {
    let way = Way::Pair(Box::new(Pair {
        input: input(at(vout)),
        output: TxOut { value: Sat::from_sat(99_000), script_pubkey: sweep() },
        feerate: FeeratePerKw(1_500),
        weight: 500,
        tx_version: 2,
    }));
    claim(vout, ClaimKind::OfferedHtlc, deadline, way)
}

fn ladder(vout: u32) -> Claim {
    let rung = |rate: u32, fee: u64| Rung {
        feerate: FeeratePerKw(rate),
        fee: Sat::from_sat(fee),
        open: false,
        tx: paying(&[at(vout)], 100_000 - fee, sweep()),
    };
    let way = Way::Ladder(vec![rung(1_500, 800), rung(15_000, 8_000)]);
    claim(vout, ClaimKind::ToLocal, Deadline::After(144), way)
}

fn keyed(vout: u32) -> Claim {
    let way = Way::Keyed(Keyed {
        number: 4,
        right: Right::Revoked,
        witness_script: ScriptBuf::new(),
        input_weight: 400,
        sweep_script: sweep(),
    });
    claim(vout, ClaimKind::ToLocal, Deadline::After(144), way)
}

fn found(claims: Vec<Claim>, height: Option<u32>) -> Book {
    let mut book = Book::default();
    let inputs = vec![OutPoint::null()];
    book.apply(&ClaimFact::Found { source: breach(), inputs, session: 3, seq: 8, claims });
    if let Some(height) = height {
        book.apply(&ClaimFact::Confirmed { source: breach(), height });
    }
    book
}

fn fees(sat_per_kw: u64) -> FeeTable {
    let rate = FeeRate::from_sat_per_kwu(sat_per_kw);
    let floor = FeeRate::from_sat_per_kwu(250);
    FeeTable {
        targets: BTreeMap::from([(1, Some(rate)), (6, Some(rate))]),
        mempool_min: floor,
        relay_min: floor,
        incremental: floor,
    }
}

fn planned(book: &Book, tip_height: u32, rate: u64, lessons: &Lessons) -> Vec<Job> {
    plan(book, &Now { tip_height, fees: &fees(rate), lessons, coins: 0 })
}

fn send(book: &mut Book, job: &Job, height: u32) {
    let outpoints = job.outpoints.clone();
    let (txid, fee, weight) = (job.tx.compute_txid(), job.fee, job.weight);
    let added = job.added.clone();
    book.apply(&ClaimFact::Sent { txid, outpoints, fee, weight, height, added });
}

#[test]
fn s03_what_the_cheater_took_is_left_out_and_the_others_go_on_with_the_same_signatures() {
    let claims = (0..8).map(|vout| pair(vout, Deadline::At(BlockHeight(900)))).collect();
    let mut book = found(claims, Some(100));
    let lessons = Lessons::default();
    let jobs = planned(&book, 100, 1_000, &lessons);
    assert_eq!((jobs.len(), jobs[0].tx.input.len()), (1, 8));
    send(&mut book, &jobs[0], 100);
    let theirs = paying(&[at(7)], 99_500, ScriptBuf::from_bytes(vec![0x51]));
    let facts = sight::mined(&book, 101, [&theirs]);
    let taken = ClaimFact::Taken {
        outpoint: at(7),
        by: theirs.compute_txid(),
        taker: Taker::Them,
        height: 101,
    };
    assert_eq!(facts, [taken]);
    facts.iter().for_each(|fact| book.apply(fact));
    let jobs = planned(&book, 101, 1_000, &lessons);
    assert_eq!(jobs.len(), 1);
    let coins: Vec<u32> = jobs[0].tx.input.iter().map(|i| i.previous_output.vout).collect();
    assert_eq!(coins, (0..7).collect::<Vec<_>>());
    assert!(jobs[0].tx.input.iter().all(|input| !input.witness.is_empty()));
}

#[test]
fn s03_a_small_output_to_the_victim_does_not_make_a_theft_ours() {
    let book = found(vec![pair(0, Deadline::Race)], Some(100));
    let mut theirs = paying(&[at(0)], 98_000, ScriptBuf::from_bytes(vec![0x51]));
    theirs.output.push(TxOut { value: Sat::from_sat(1_000), script_pubkey: sweep() });
    let facts = sight::mined(&book, 101, [&theirs]);
    assert!(matches!(facts[..], [ClaimFact::Taken { taker: Taker::Them, .. }]));
    let other = paying(&[at(0)], 97_000, sweep());
    let facts = sight::mined(&book, 101, [&other]);
    assert!(matches!(facts[..], [ClaimFact::Taken { taker: Taker::Other, .. }]));
}

#[test]
fn s06_a_mempool_that_asks_for_more_gets_the_next_price_and_never_the_one_before_again() {
    let mut book = found(vec![ladder(0)], Some(100));
    let mut lessons = Lessons::default();
    let jobs = planned(&book, 100, 1_000, &lessons);
    assert_eq!(jobs[0].fee.to_sat(), 800);
    let min = FeeRate::from_sat_per_kwu(5_000);
    assert!(lessons.learn(&jobs[0], &SubmitOutcome::FeeTooLow { min }));
    let jobs = planned(&book, 100, 1_000, &lessons);
    assert_eq!(jobs[0].fee.to_sat(), 8_000);
    assert!(!lessons.learn(&jobs[0], &SubmitOutcome::Accepted));
    send(&mut book, &jobs[0], 100);
    let jobs = planned(&book, 101, 250, &Lessons::default());
    assert_eq!(jobs[0].fee.to_sat(), 8_000, "what was sent is not sent for less");
}

#[test]
fn s08_eighteen_blocks_before_the_end_everything_goes_alone_at_the_highest_price() {
    let claims = vec![
        ladder(0),
        pair(1, Deadline::At(BlockHeight(200))),
        pair(2, Deadline::At(BlockHeight(200))),
    ];
    let book = found(claims, Some(100));
    let lessons = Lessons::default();
    let jobs = planned(&book, 150, 1_000, &lessons);
    assert_eq!(jobs.iter().map(|job| job.outpoints.len()).collect::<Vec<_>>(), [1, 2]);
    let jobs = planned(&book, 181, 1_000, &lessons);
    assert_eq!(jobs.iter().map(|job| job.outpoints.len()).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(jobs[0].fee.to_sat(), 800, "to_local has time");
    let jobs = planned(&book, 225, 1_000, &lessons);
    assert_eq!(jobs[0].fee.to_sat(), 8_000);
    // Long after the deadline: the cheater may sleep as well.
    assert_eq!(planned(&book, 5_000, 1_000, &lessons).len(), 3);
}

#[test]
fn what_is_refused_together_goes_alone() {
    let claims = (0..3).map(|vout| pair(vout, Deadline::At(BlockHeight(900)))).collect();
    let book = found(claims, Some(100));
    let mut lessons = Lessons::default();
    let jobs = planned(&book, 100, 1_000, &lessons);
    assert!(lessons.learn(&jobs[0], &SubmitOutcome::MissingInputs));
    let jobs = planned(&book, 100, 1_000, &lessons);
    assert_eq!(jobs.len(), 3);
    assert!(!lessons.learn(&jobs[0], &SubmitOutcome::MissingInputs), "one is one");
}

#[test]
fn a_replicas_fee_follows_the_estimate_and_a_replacement_pays_for_itself() {
    let mut book = found(vec![keyed(0), keyed(1)], Some(100));
    let lessons = Lessons::default();
    let jobs = planned(&book, 100, 1_000, &lessons);
    let first = jobs[0].fee.to_sat();
    assert_eq!((jobs.len(), first), (1, jobs[0].weight.next_multiple_of(4)));
    assert_eq!(jobs[0].tx.output[0].value.to_sat(), 200_000 - first);
    send(&mut book, &jobs[0], 100);
    let same = planned(&book, 101, 1_000, &lessons);
    assert_eq!(same[0].tx.compute_txid(), jobs[0].tx.compute_txid());
    let dearer = planned(&book, 102, 1_100, &lessons);
    assert!(dearer[0].fee.to_sat() >= first + jobs[0].weight / 4);
    let most = planned(&book, 103, 10_000_000, &lessons);
    assert_eq!(most[0].tx.output[0].value.to_sat(), 330);
}

#[test]
fn an_output_of_our_own_waits_for_its_block() {
    let mut waiting = keyed(0);
    waiting.csv = 1;
    let lessons = Lessons::default();
    assert!(planned(&found(vec![waiting.clone()], None), 100, 1_000, &lessons).is_empty());
    assert_eq!(planned(&found(vec![waiting], Some(100)), 100, 1_000, &lessons).len(), 1);
}

#[test]
fn a_book_is_the_same_after_a_snapshot_and_its_facts_after_the_journal() {
    let mut book = found(vec![ladder(0), pair(1, Deadline::Race), keyed(2)], Some(100));
    let job = &planned(&book, 100, 1_000, &Lessons::default())[0];
    send(&mut book, job, 100);
    book.apply(&ClaimFact::Taken { outpoint: at(0), by: breach(), taker: Taker::Us, height: 101 });
    assert_eq!(Book::decode_exact(&book.encoded()).unwrap(), book);
    let facts = [
        ClaimFact::Overtaken { source: breach(), by: breach(), height: 5 },
        ClaimFact::Rewound { height: 7 },
        ClaimFact::Ended { source: breach() },
        ClaimFact::Useless { source: breach(), session: 1, seq: 2, reason: "why".to_owned() },
    ];
    for fact in facts {
        assert_eq!(ClaimFact::decode_exact(&fact.encoded()).unwrap(), fact);
        book.apply(&fact);
        assert_eq!(Book::decode_exact(&book.encoded()).unwrap(), book);
    }
    assert_eq!((book.ended().count(), book.useless()), (3, 1));
}

#[test]
fn s11_what_a_block_took_comes_back_with_the_block() {
    let mut book = found(vec![ladder(0)], Some(100));
    book.apply(&ClaimFact::Taken { outpoint: at(0), by: breach(), taker: Taker::Us, height: 101 });
    assert!(sight::over(&book, 199).is_empty());
    assert_eq!(sight::over(&book, 200), [ClaimFact::Ended { source: breach() }]);
    book.apply(&ClaimFact::Rewound { height: 100 });
    assert!(book.claim(&at(0)).unwrap().taken.is_none());
    assert_eq!(book.source(&breach()).unwrap().height, Some(100));
    book.apply(&ClaimFact::Rewound { height: 99 });
    assert_eq!(book.source(&breach()).unwrap().height, None);
}

fn coin(nth: u8, sat: u64) -> Coin {
    let outpoint = OutPoint { txid: Txid::from_byte_array([nth; 32]), vout: 0 };
    Coin { outpoint, value: Sat::from_sat(sat), script_pubkey: sweep() }
}

fn raised(jobs: Vec<Job>, book: &Book, lessons: &Lessons, means: &mut Means) -> Vec<Job> {
    topup::raise_all(jobs, book, lessons, means, |_, _| false)
}

/// The plan at that height and price with these coins, which no claim has yet.
fn with_coins(
    book: &Book,
    (tip_height, rate): (u32, u64),
    lessons: &Lessons,
    coins: &[Coin],
) -> Vec<Job> {
    let promised = book.promised();
    let free: Vec<Coin> =
        coins.iter().filter(|coin| !promised.contains(&coin.outpoint)).cloned().collect();
    let fees = fees(rate);
    let jobs = plan(book, &Now { tip_height, fees: &fees, lessons, coins: free.len() });
    raised(jobs, book, lessons, &mut means(free))
}

fn shape(jobs: &[Job]) -> Vec<(Vec<u32>, bool)> {
    let vouts = |job: &Job| job.outpoints.iter().map(|outpoint| outpoint.vout).collect();
    jobs.iter().map(|job| (vouts(job), job.added.is_some())).collect()
}

fn means(coins: Vec<Coin>) -> Means {
    Means { coins, change: sweep(), most: Sat::from_sat(20_000), percent: 10, used: Vec::new() }
}

#[test]
fn s06_what_a_tower_adds_is_bounded_by_a_sum_and_by_a_share_of_what_is_rescued() {
    let book = found(vec![pair(0, Deadline::At(BlockHeight(900)))], Some(100));
    let lessons = Lessons::default();
    let at_rate = |rate: u64, coins: Vec<Coin>| {
        let jobs = planned(&book, 100, rate, &lessons);
        raised(jobs, &book, &lessons, &mut means(coins)).remove(0)
    };
    // What was signed for is enough.
    assert_eq!(at_rate(1_000, vec![coin(1, 50_000)]).added, None);
    // The smallest coin that leaves change, and exactly what is missing.
    let job = at_rate(5_000, vec![coin(1, 50_000), coin(2, 9_000), coin(3, 400)]);
    let added = job.added.clone().unwrap();
    assert_eq!(added.coin, coin(2, 9_000));
    assert_eq!(job.fee.to_sat(), (5_000 * job.weight.next_multiple_of(4)).div_ceil(1_000));
    assert_eq!(job.fee.to_sat(), 1_000 + added.own().to_sat());
    assert_eq!((job.tx.input.len(), job.tx.output.len()), (2, 2));
    // A tenth of 100,000 satoshis, whatever is asked.
    let most = at_rate(1_000_000, vec![coin(1, 50_000)]).added.unwrap();
    assert_eq!(most.own().to_sat(), 10_000);
    // A coin without change is spent as a whole, if that is no more.
    let whole = at_rate(1_000_000, vec![coin(4, 7_000)]).added.unwrap();
    assert_eq!((whole.own().to_sat(), whole.back), (7_000, Sat::ZERO));
    assert_eq!(at_rate(5_000, Vec::new()).added, None);
}

#[test]
fn s06_what_was_added_once_stays_until_more_is_asked_and_goes_with_one_transaction_only() {
    let claims = vec![pair(0, Deadline::At(BlockHeight(900))), pair(1, Deadline::Race)];
    let mut book = found(claims, Some(100));
    let lessons = Lessons::default();
    let now = |book: &Book, rate: u64, means: &mut Means| -> Vec<Job> {
        let fees = fees(rate);
        let now = Now { tip_height: 100, fees: &fees, lessons: &lessons, coins: 1 };
        raised(plan(book, &now), book, &lessons, means)
    };
    let jobs = now(&book, 5_000, &mut means(vec![coin(1, 50_000)]));
    assert_eq!(jobs.len(), 1, "one coin for two outputs: together");
    send(&mut book, &jobs[0], 100);
    assert_eq!(book.promised(), [coin(1, 0).outpoint, coin(1, 0).outpoint]);
    // Cheaper times change nothing; the coin is not free any more.
    let same = now(&book, 5_000, &mut means(Vec::new()));
    assert_eq!(same[0].tx, jobs[0].tx);
    let dearer = now(&book, 9_000, &mut means(vec![coin(2, 60_000)]));
    assert_eq!(dearer[0].added.as_ref().unwrap().coin, coin(1, 50_000), "the same coin");
    assert!(dearer[0].fee > jobs[0].fee);
    assert_eq!(Book::decode_exact(&book.encoded()).unwrap(), book);
}

#[test]
fn s06_every_input_has_its_own_output_at_its_place_and_the_coin_and_its_change_stand_behind() {
    let claims = (0..5).map(|vout| pair(vout, Deadline::Race)).collect();
    let book = found(claims, Some(100));
    let jobs = with_coins(&book, (100, 5_000), &Lessons::default(), &[coin(1, 90_000)]);
    assert_eq!(shape(&jobs), [(vec![0, 1, 2, 3, 4], true)]);
    let tx = &jobs[0].tx;
    assert_eq!((tx.input.len(), tx.output.len()), (6, 6));
    for vout in 0..5 {
        assert_eq!(tx.input[vout].previous_output, at(u32::try_from(vout).unwrap()));
        assert_eq!(
            (tx.output[vout].value.to_sat(), &tx.output[vout].script_pubkey),
            (99_000, &sweep())
        );
    }
    assert_eq!(tx.input[5].previous_output, coin(1, 0).outpoint);
    // A coin for each: then each goes alone, as there is no time.
    let coins: Vec<Coin> = (1..=5).map(|nth| coin(nth, 90_000)).collect();
    let jobs = with_coins(&book, (100, 5_000), &Lessons::default(), &coins);
    assert_eq!(jobs.len(), 5);
    let used: std::collections::BTreeSet<OutPoint> =
        jobs.iter().map(|job| job.added.as_ref().unwrap().coin.outpoint).collect();
    assert_eq!(used.len(), 5);
}

#[test]
fn s08_one_output_that_the_cheater_holds_does_not_hold_those_that_share_a_coin_with_it() {
    let claims = (0..4).map(|vout| pair(vout, Deadline::Race)).collect();
    let mut book = found(claims, Some(100));
    let coins = [coin(1, 90_000)];
    let mut lessons = Lessons::default();
    // Output 0 is held at a price that nobody pays. Nobody says which it is.
    let held = |job: &Job| match job.outpoints.contains(&at(0)) {
        true => SubmitOutcome::Replaceable { needed: Sat::from_sat(500_000) },
        false => SubmitOutcome::Accepted,
    };
    let mut shapes = Vec::new();
    for _ in 0..10 {
        let jobs = with_coins(&book, (100, 5_000), &lessons, &coins);
        shapes.push(shape(&jobs));
        jobs.iter().for_each(|job| send(&mut book, job, 100));
        let again: Vec<bool> = jobs
            .iter()
            .filter(|job| job.added.is_some())
            .map(|job| lessons.learn(job, &held(job)))
            .collect();
        if !again.contains(&true) {
            break;
        }
    }
    let whole = vec![(vec![0, 1, 2, 3], true)];
    let halves = vec![(vec![0, 1], true), (vec![2, 3], false)];
    assert_eq!(shapes[..2], [whole, halves]);
    assert!(shapes[2].contains(&(vec![2, 3], true)), "{shapes:?}");
    assert_eq!(shapes.len(), 3);
    // What went in stays, with its coin and its price.
    let jobs = with_coins(&book, (101, 5_000), &Lessons::default(), &coins);
    assert!(shape(&jobs).contains(&(vec![2, 3], true)));
    assert_eq!(book.promised(), [coins[0].outpoint, coins[0].outpoint]);
}

#[test]
fn s08_what_a_coin_can_pay_is_paid_to_replace_what_stands_in_the_way() {
    let book = found(vec![pair(0, Deadline::Race)], Some(100));
    let coins = [coin(1, 90_000)];
    let mut lessons = Lessons::default();
    let first = with_coins(&book, (100, 1_000), &lessons, &coins);
    assert_eq!(shape(&first), [(vec![0], false)]);
    // A tenth of 100,000 and the 1,000 that were signed for.
    let needed = Sat::from_sat(11_001);
    assert!(!lessons.learn(&first[0], &SubmitOutcome::Replaceable { needed }));
    let needed = Sat::from_sat(11_000);
    assert!(lessons.learn(&first[0], &SubmitOutcome::Replaceable { needed }));
    let dearer = with_coins(&book, (100, 1_000), &lessons, &coins);
    assert_eq!((shape(&dearer), dearer[0].fee), (vec![(vec![0], true)], needed));
}

#[test]
fn s03_when_the_cheater_takes_one_of_those_that_share_a_coin_the_others_keep_it_and_pay_no_more() {
    let claims = (0..4).map(|vout| pair(vout, Deadline::Race)).collect();
    let mut book = found(claims, Some(100));
    let coins = [coin(1, 90_000)];
    let jobs = with_coins(&book, (100, 5_000), &Lessons::default(), &coins);
    send(&mut book, &jobs[0], 100);
    let by = Txid::from_byte_array([9; 32]);
    book.apply(&ClaimFact::Taken { outpoint: at(1), by, taker: Taker::Them, height: 101 });
    let jobs = with_coins(&book, (101, 5_000), &Lessons::default(), &coins);
    assert_eq!(shape(&jobs), [(vec![0, 2, 3], true)]);
    let (job, added) = (&jobs[0], jobs[0].added.as_ref().unwrap());
    assert_eq!(added.coin, coins[0]);
    assert_eq!(job.fee.to_sat(), (5_000 * job.weight.next_multiple_of(4)).div_ceil(1_000));
    send(&mut book, job, 101);
    assert_eq!(with_coins(&book, (102, 5_000), &Lessons::default(), &coins)[0].tx, job.tx);
    // Nothing is promised for what is decided.
    for vout in [0, 2, 3] {
        let txid = job.tx.compute_txid();
        book.apply(&ClaimFact::Taken {
            outpoint: at(vout),
            by: txid,
            taker: Taker::Us,
            height: 102,
        });
    }
    assert!(book.promised().is_empty());
    book.apply(&ClaimFact::Rewound { height: 101 });
    assert_eq!(book.promised().len(), 3);
}

#[test]
fn a_coin_that_is_gone_is_left_and_another_one_is_taken() {
    let mut book = found(vec![pair(0, Deadline::Race)], Some(100));
    let coins = [coin(1, 90_000), coin(2, 95_000)];
    let mut lessons = Lessons::default();
    let jobs = with_coins(&book, (100, 5_000), &lessons, &coins);
    assert_eq!(jobs[0].added.as_ref().unwrap().coin, coins[0]);
    send(&mut book, &jobs[0], 100);
    assert!(lessons.learn(&jobs[0], &SubmitOutcome::MissingInputs));
    let jobs = with_coins(&book, (100, 5_000), &lessons, &coins);
    assert_eq!(jobs[0].added.as_ref().unwrap().coin, coins[1]);
}
