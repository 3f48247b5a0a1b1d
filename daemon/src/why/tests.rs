//! The cause of every kind of end is told, survives a snapshot, and takes bounded room.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxIn, TxOut, Txid};
use channel::effect::{AbandonReason, CloseReason, Spender};
use channel::fact::{CloseTerms, Told};
use channel::seal::Lsn;
use channel::{Fact as Of, PeerFault};
use wire::codec::{Decode as _, Encode as _, Reader};
use wire::id::{NodeId, PaymentHash, Preimage, Signature};
use wire::units::{BlockHeight, Msat};

use super::*;
use crate::fact::{
    AttemptFailed, ChannelBorn, ChannelIndex, Fact, ForceCloseSet, IntentMade, Moment, MomentKind,
    PaymentEnded, PaymentStarted, PaymentTried, record,
};
use crate::payments::sent::{Sent, SentBook, failure_code};
use crate::policy::ForceClosePolicy;
use crate::rpc::model::payment::PaymentFailure;
use crate::state::State;

const CAPACITY: u64 = 1_000_000;

fn born() -> ChannelBorn {
    let node = NodeId([2; 33]);
    ChannelBorn { index: 7, node, created_ms: 1, announce: false, funder: true }
}

fn story() -> Story {
    let mut story = Story::new(&born());
    story.capacity_sat = CAPACITY;
    story.take(Lsn(2), 100, &Of::FundingConfirmed { height: BlockHeight(101), tx_index: 1 });
    story
}

/// A transaction that spends `inputs` and pays these amounts; witness script hashes are the channel's.
fn tx(inputs: &[OutPoint], outputs: &[(u64, bool)]) -> Transaction {
    let script = |channel: bool| {
        if channel {
            ScriptBuf::new_p2wsh(&bitcoin::WScriptHash::all_zeros())
        } else {
            ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::all_zeros())
        }
    };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: inputs
            .iter()
            .map(|previous_output| TxIn { previous_output: *previous_output, ..TxIn::default() })
            .collect(),
        output: outputs
            .iter()
            .map(|(sat, channel)| TxOut {
                value: Amount::from_sat(*sat),
                script_pubkey: script(*channel),
            })
            .collect(),
    }
}

fn funding() -> OutPoint {
    OutPoint { txid: Txid::all_zeros(), vout: 0 }
}

fn commitment() -> Transaction {
    tx(&[funding()], &[(600_000, true), (399_000, false)])
}

fn moment(story: &mut Story, at: u64, height: u32, kind: MomentKind) {
    let at_ms = 1_000 * at;
    story.take_moment(Lsn(at), &Moment { channel: 7, at_ms, height, policy: 1, kind });
}

fn spent(story: &mut Story, at: u64, height: u32, by: Spender) {
    let fact = Of::FundingSpent { tx: Box::new(commitment()), height: BlockHeight(height) };
    story.take(Lsn(at), height, &fact);
    story.take(Lsn(at), height, &Of::Told(Told::SpentBy(by)));
    moment(story, at, height, MomentKind::Beside);
}

fn intent(story: &mut Story, at: u64, height: u32, tx: Transaction, label: &str) {
    let made = IntentMade { tx, label: label.into(), channel: Some(7) };
    story.take_intent(Lsn(at), height, &made);
}

fn told(story: &Story) -> (String, Vec<&'static str>) {
    let why = tell::account(story, None, ForceClosePolicy::Automatic, BlockHeight(200));
    assert!(why.steps.iter().all(|step| !step.text.is_empty() && !step.code.is_empty()));
    assert!(why.steps.is_sorted_by_key(|step| step.seq), "{:?}", why.steps);
    let mut bytes = Vec::new();
    story.encode(&mut bytes);
    let mut r = Reader::new(&bytes);
    assert_eq!(Story::decode(&mut r).as_ref(), Ok(story), "a snapshot forgets nothing");
    assert!(r.is_empty());
    (why.summary, why.steps.iter().map(|step| step.code).collect())
}

#[test]
fn a_close_together_names_who_asked_for_it() {
    let close = CloseTerms { fee_sat: 154, pays_us: true, pays_them: true };
    for (ours, summary, first) in [
        (true, "closed together: we asked for it", "shutdown-asked"),
        (false, "closed together: the peer asked for it", "shutdown-received"),
    ] {
        let mut story = story();
        let we = Of::WeShutdown {
            script: ScriptBuf::new(),
            feerate: wire::units::FeeratePerKw::FLOOR,
            asked: ours,
        };
        let they = Of::TheyShutdown { script: ScriptBuf::new() };
        let order = if ours { [we, they] } else { [they, we] };
        for (at, fact) in (3..).zip(&order) {
            story.take(Lsn(at), 150, fact);
        }
        for at in [5, 6] {
            // The fee is talked about twice; the last word counts.
            let both = Of::BothSignedClose { close, signature: Signature([0; 64]) };
            story.take(Lsn(at), 150, &both);
        }
        spent(&mut story, 7, 151, Spender::MutualClose);
        story.take(Lsn(8), 250, &Of::Closed);
        let (said, codes) = told(&story);
        assert_eq!(said, summary);
        assert_eq!(codes[1], first);
        assert_eq!(&codes[3..], ["close-agreed", "closed-together", "resolved"]);
        assert!(story.ended);
    }
}

#[test]
fn a_forced_close_tells_who_decided_it_what_it_cost_and_what_came_home() {
    for (reason, summary, code) in [
        (
            CloseReason::Asked,
            "we closed alone: we were asked to close without the peer",
            "force-close-asked",
        ),
        (
            CloseReason::HtlcDeadline {
                offered_by_us: true,
                htlc: 3,
                cltv_expiry: BlockHeight(160),
            },
            "we closed alone: our HTLC 3 was not resolved before its expiry at block 160",
            "force-close-deadline",
        ),
        (
            CloseReason::Fault(PeerFault::OutOfPlace),
            "we closed alone: the peer broke a rule",
            "force-close-fault",
        ),
    ] {
        let mut story = story();
        story.take(Lsn(3), 0, &Of::Failing(reason));
        moment(&mut story, 3, 150, MomentKind::Beside);
        intent(&mut story, 4, 150, commitment(), "close");
        spent(&mut story, 5, 151, Spender::OurCommitment);
        let ours = OutPoint { txid: commitment().compute_txid(), vout: 0 };
        let sweep = tx(&[ours], &[(599_800, false)]);
        intent(&mut story, 6, 161, tx(&[ours], &[(599_900, false)]), "sweep");
        intent(&mut story, 7, 162, sweep.clone(), "sweep");
        let tx = Box::new(sweep);
        let height = BlockHeight(163);
        story.take(Lsn(8), 163, &Of::OutputSpent { outpoint: ours, tx, height });
        let (said, codes) = told(&story);
        assert!(said.starts_with(summary), "{said}");
        assert_eq!(codes[1..], [code, "close-sent", "closed-by-us", "claim-sent", "claimed"]);
        let why = tell::account(&story, None, ForceClosePolicy::Ask, BlockHeight(200));
        assert_eq!(why.cost, Amount::from_sat(1_000 + 200));
        assert_eq!(why.home, Amount::from_sat(599_800));
        let decided = &why.steps[1];
        assert_eq!(decided.height, Some(BlockHeight(150)));
        assert_eq!(decided.at.map(|at| at.0), Some(3_000));
        assert_eq!(decided.text.contains("force_close = automatic"), code != "force-close-asked");
        assert!(why.steps[4].text.ends_with("(sweep), the newest of 2"), "{:?}", why.steps[4]);
        assert!(why.steps[5].text.contains("fee 200 sat: 599 800 sat came home"));
    }
}

#[test]
fn what_the_peer_did_is_told_with_its_own_words() {
    let mut story = story();
    story.take(Lsn(3), 150, &Of::Told(Told::PeerError("go away".to_owned())));
    story.take(Lsn(3), 150, &Of::Failing(CloseReason::PeerError));
    spent(&mut story, 4, 151, Spender::TheirCommitment);
    let (said, codes) = told(&story);
    assert_eq!(
        said,
        "the peer sent an error: “go away”; the peer closed alone, with its own commitment"
    );
    assert_eq!(codes[1..], ["error-received", "force-close-peer-error", "closed-by-them"]);
}

#[test]
fn a_peer_that_closes_alone_a_breach_and_lost_data_are_told_apart() {
    for (by, summary, code) in [
        (
            Spender::TheirCommitment,
            "the peer closed alone, with its own commitment",
            "closed-by-them",
        ),
        (
            Spender::RevokedCommitment,
            "the peer broadcast a commitment that it had revoked: it tried to cheat",
            "breach",
        ),
        (Spender::Unknown, "a transaction that we do not know took the coins", "rogue-spend"),
    ] {
        let mut story = story();
        spent(&mut story, 3, 151, by);
        assert_eq!(told(&story), (summary.to_owned(), vec!["funding-confirmed", code]));
    }
    let mut story = story();
    story.take(Lsn(3), 150, &Of::DataLoss { theirs: 44 });
    spent(&mut story, 4, 151, Spender::FutureCommitment);
    let (said, codes) = told(&story);
    assert!(said.contains("our data is older") && said.contains("newer than our data"), "{said}");
    assert_eq!(codes[1..], ["data-loss", "closed-by-them-ahead"]);
}

#[test]
fn a_quarantine_is_told_from_its_beginning_to_its_end() {
    let mut story = story();
    for (seq, fact) in [
        (3, Of::Quarantined),
        (4, Of::Vouched { by_us: false }),
        (5, Of::Quarantined),
        (6, Of::Vouched { by_us: true }),
    ] {
        story.take(Lsn(seq), 150, &fact);
    }
    let (_, codes) = told(&story);
    let wanted = ["quarantined", "quarantine-over", "quarantined", "quarantine-lifted"];
    assert_eq!(codes[1..], wanted);
    spent(&mut story, 7, 151, Spender::RevokedCommitment);
    let txid = commitment().compute_txid();
    story.take(Lsn(8), 151, &Of::HistoryFound { txid, htlcs: vec![] });
    let (said, codes) = told(&story);
    assert!(said.contains("tried to cheat"), "{said}");
    assert_eq!(codes[5..], ["breach", "history-searched"]);
}

#[test]
fn a_breach_that_is_punished_counts_its_outputs_in_one_line() {
    let mut story = story();
    spent(&mut story, 3, 151, Spender::RevokedCommitment);
    let txid = commitment().compute_txid();
    let outputs = [OutPoint { txid, vout: 0 }, OutPoint { txid, vout: 1 }];
    let justice = tx(&outputs, &[(998_000, false)]);
    intent(&mut story, 4, 151, justice.clone(), "sweep");
    for (at, outpoint) in (5..).zip(outputs) {
        let tx = Box::new(justice.clone());
        story.take(Lsn(at), 152, &Of::OutputSpent { outpoint, tx, height: BlockHeight(152) });
    }
    let why = tell::account(&story, None, ForceClosePolicy::Automatic, BlockHeight(160));
    let last = why.steps.last().unwrap();
    assert_eq!(last.code, "claimed");
    assert!(last.text.contains("2 outputs, 999 000 sat together"), "{}", last.text);
    assert_eq!((why.cost.to_sat(), why.home.to_sat()), (1_000 + 1_000, 998_000));
}

#[test]
fn what_a_tower_took_for_us_is_told_as_such_and_what_a_thief_took_is_not() {
    let txid = commitment().compute_txid();
    let outpoint = OutPoint { txid, vout: 0 };
    // A thief waited for its delay; a tower has a signature for the revocation key.
    for (how, code, home) in [
        (vec![], "taken-by-other", 0),
        (vec![1], "taken-by-tower", 599_000),
        (vec![2; 33], "taken-by-tower", 599_000),
    ] {
        let mut story = story();
        spent(&mut story, 3, 151, Spender::RevokedCommitment);
        let mut taking = tx(&[outpoint], &[(599_000, false)]);
        let script = vec![0x63; 80];
        taking.input[0].witness = bitcoin::Witness::from_slice(&[vec![3; 71], how, script]);
        let tx = Box::new(taking);
        story.take(Lsn(5), 152, &Of::OutputSpent { outpoint, tx, height: BlockHeight(152) });
        let why = tell::account(&story, None, ForceClosePolicy::Automatic, BlockHeight(160));
        let last = why.steps.last().unwrap();
        assert_eq!((last.code, why.home.to_sat()), (code, home), "{}", last.text);
    }
}

#[test]
fn a_reorganisation_takes_back_what_was_counted() {
    let mut story = story();
    spent(&mut story, 3, 151, Spender::OurCommitment);
    story.take(Lsn(4), 150, &Of::FundingUnspent);
    let (_, codes) = told(&story);
    assert_eq!(codes[1..], ["closed-by-us", "close-reorganised"]);
    let why = tell::account(&story, None, ForceClosePolicy::Automatic, BlockHeight(160));
    assert_eq!(why.cost, Amount::ZERO);
}

#[test]
fn what_the_policy_kept_back_is_said_once_with_the_newest_figures() {
    let mut story = story();
    for at in 3..9 {
        let kind = MomentKind::HeldBack {
            reason: CloseReason::PeerError,
            by_policy: true,
            cost_sat: 2_140,
            saves_sat: 310_000,
            before: Some(160),
        };
        moment(&mut story, at, 150, kind);
    }
    let (said, codes) = told(&story);
    assert_eq!(codes, ["funding-confirmed", "close-held-back"]);
    assert_eq!(said, "a close is due and left to you: the peer sent an error");
    let why = tell::account(&story, None, ForceClosePolicy::Ask, BlockHeight(160));
    let text = &why.steps[1].text;
    assert!(text.contains("spend 2 140 sat to save 310 000 sat before block 160"), "{text}");
}

#[test]
fn a_story_takes_bounded_room_and_keeps_its_cause() {
    let mut story = story();
    story.take(Lsn(3), 150, &Of::Failing(CloseReason::Asked));
    for at in 4..20_000 {
        let txid = Txid::from_byte_array([9; 32]);
        let outpoint = OutPoint { txid, vout: at };
        let other = Box::new(tx(&[outpoint], &[(1_000, true)]));
        let height = BlockHeight(at);
        story.take(Lsn(at.into()), at, &Of::OutputSpent { outpoint, tx: other, height });
    }
    let (said, codes) = told(&story);
    assert!(said.starts_with("we closed alone"), "{said}");
    assert_eq!(codes.len(), 120);
    assert_eq!(story.left_out, 20_000 - 4 + 2 - 120);
    let mut bytes = Vec::new();
    story.encode(&mut bytes);
    assert!(bytes.len() < 120_000, "{}", bytes.len());
}

#[test]
fn every_milestone_reads_back_as_it_was_written() {
    let txid = Txid::all_zeros();
    let all = [
        What::Created,
        What::Confirmed { height: 1 },
        What::Unconfirmed,
        What::WeShutdown { asked: true },
        What::TheyShutdown,
        What::Agreed { fee_sat: 1 },
        What::PeerError("no".into()),
        What::Failing(CloseReason::Fault(PeerFault::OutOfPlace)),
        What::DataLoss { theirs: 1 },
        What::Frozen,
        What::Restored,
        What::Quarantined,
        What::Vouched { by_us: true },
        What::Remembered { htlcs: 3 },
        What::HeldBack {
            reason: CloseReason::PeerError,
            by_policy: false,
            cost_sat: 1,
            saves_sat: 2,
            before: None,
        },
        What::Sent { txid, label: "close".into(), times: 2 },
        What::Spent { txid, by: Some(Spender::Unknown), fee_sat: 1, height: 2 },
        What::Unspent,
        What::Taken {
            txid,
            ours: true,
            outputs: 1,
            value_sat: 2,
            fee_sat: Some(3),
            home_sat: None,
            height: 4,
        },
        What::Untaken { outpoint: funding() },
        What::HtlcEnded { htlc: 1, paid: false },
        What::Closed,
        What::Abandoned(AbandonReason::NeverFunded),
    ];
    for (seq, what) in (0..).zip(all) {
        let milestone = Milestone { seq, at_ms: 2, height: 3, policy: 1, what };
        let mut bytes = Vec::new();
        milestone.encode(&mut bytes);
        assert_eq!(Milestone::decode(&mut Reader::new(&bytes)), Ok(milestone));
        for cut in 0..bytes.len() {
            assert!(Milestone::decode(&mut Reader::new(&bytes[..cut])).is_err());
        }
    }
}

#[test]
fn stories_and_policies_survive_a_snapshot_and_old_ones_make_room() {
    let mut state = State::default();
    let node = NodeId([2; 33]);
    for index in 0..4_u64 {
        let born = ChannelBorn { index, ..born() };
        let moment =
            Moment { channel: index, at_ms: 5, height: 9, policy: 2, kind: MomentKind::Beside };
        let facts = [Fact::ChannelBorn(born), Fact::Moment(moment)];
        state.apply(Lsn(index + 1), &record(&facts)).unwrap();
        let mut ended = Story::new(&ChannelBorn { index, ..self::born() });
        ended.take(Lsn(index + 1), 9, &Of::Failing(CloseReason::Asked));
        ended.take(Lsn(index + 1), 9, &Of::Closed);
        state.stories.put(ended);
    }
    let set = Fact::ForceCloseSet(ForceCloseSet { node, policy: Some(3) });
    state.apply(Lsn(9), &record(&[set])).unwrap();
    state.channels.clear();
    let again = State::decode(&state.encode()).unwrap();
    assert_eq!(again.stories, state.stories);
    assert_eq!(again.force_close.get(&node), Some(&3));

    state.stories.forget(2);
    let kept: Vec<_> = state.stories.iter().map(|story| story.channel).collect();
    assert_eq!(kept, [2, 3], "the latest stay");
    assert!(state.stories.get(ChannelIndex(0)).is_none());
}

fn paying(facts: &[Fact]) -> Sent {
    let hash = PaymentHash([7; 32]);
    let started = PaymentStarted {
        payment_hash: hash,
        payee: NodeId([3; 33]),
        amount: Msat::new(25_000_000).unwrap(),
        fee_limit: Msat::new(125_000).unwrap(),
        invoice: "lnbcrt1".into(),
        description: None,
        expires_ms: 6,
        created_ms: 5,
    };
    let mut book = SentBook::default();
    book.apply(Lsn(4), &Fact::PaymentStarted(started));
    for fact in facts {
        book.apply(Lsn(5), fact);
    }
    book.get(hash).unwrap().clone()
}

fn tried(part: u32) -> Fact {
    let (payment_hash, amount) = (PaymentHash([7; 32]), Msat::new(25_000_000).unwrap());
    Fact::PaymentTried(PaymentTried { payment_hash, part, channel: 1, amount, at_ms: 6 })
}

fn part_failed(part: u32, failure: PaymentFailure, words: &str) -> Fact {
    Fact::AttemptFailed(AttemptFailed {
        payment_hash: PaymentHash([7; 32]),
        part,
        failure: failure_code(failure),
        failed_by: None,
        words: words.into(),
        at_ms: 7,
    })
}

fn ended(preimage: Option<Preimage>, failure: Option<PaymentFailure>) -> Fact {
    Fact::PaymentEnded(PaymentEnded {
        payment_hash: PaymentHash([7; 32]),
        preimage,
        failure: failure.map(failure_code),
        failed_by: None,
        at_ms: 8,
    })
}

#[test]
fn a_payment_tells_every_way_that_was_tried_and_why_it_failed() {
    let short = PaymentFailure::ShortOfCapacity;
    let words = "our channel refused: 3 sat too little";
    let sent = paying(&[
        tried(0),
        part_failed(0, PaymentFailure::NeverSent, "our channel refused: away"),
        tried(1),
        part_failed(1, short, words),
        ended(None, Some(short)),
    ]);
    let why = payment::account(&sent, |_| None);
    assert_eq!((why.status, why.waiting.len()), ("failed", 0));
    assert_eq!(why.summary, format!("no channel could carry it now: {words}"));
    let codes: Vec<_> = why.steps.iter().map(|step| step.code).collect();
    assert_eq!(codes, ["started", "tried", "part-failed", "tried", "part-failed", "failed"]);
    assert!(why.steps[0].text.starts_with("asked to pay 25 000 sat to 03"), "{:?}", why.steps[0]);
    let bytes = crate::state::rows::encode_sent(&sent);
    assert_eq!(crate::state::rows::decode_sent(&bytes).unwrap(), sent);
}

#[test]
fn a_payment_that_arrived_and_one_on_its_way_say_so() {
    let sent = paying(&[tried(0), ended(Some(Preimage([1; 32])), None)]);
    let why = payment::account(&sent, |_| None);
    assert_eq!(why.status, "succeeded");
    assert_eq!(why.steps.last().unwrap().code, "succeeded");
    let why = payment::account(&paying(&[tried(0)]), |_| None);
    assert_eq!(why.status, "in-flight");
}

#[test]
fn a_story_of_966_htlcs_and_of_a_peer_that_talks_fits_a_row_of_the_index() {
    let mut story = story();
    let outputs: Vec<(u64, bool)> = (0..970).map(|number| (1_000 + number, true)).collect();
    let crowd =
        Of::FundingSpent { tx: Box::new(tx(&[funding()], &outputs)), height: BlockHeight(200) };
    story.take(Lsn(3), 200, &crowd);
    for number in 0..400_u32 {
        let words = format!("{number} {}", "x".repeat(200));
        let said = Told::PeerError(words);
        story.take(Lsn(4 + u64::from(number)), 200, &Of::Told(said));
    }
    let mut batch = store::engine::Batch::default();
    rows::put(&mut batch, &story).unwrap();
    let row = story.row(16_000);
    assert_eq!(row.milestones.first(), story.milestones.first());
    assert_eq!(row.milestones.last(), story.milestones.last());
    let all = row.milestones.len() + row.left_out as usize;
    assert_eq!(all, story.milestones.len() + story.left_out as usize);
}
