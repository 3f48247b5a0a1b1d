//! Every fact reads back as it was written, and bytes that are not facts say so.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, Transaction, Txid};
use wire::codec::Long;
use wire::id::{PaymentHash, PaymentSecret, Preimage, ShortChannelId};
use wire::units::{BlockHeight, FeeratePerKw, Msat};

use super::*;
use crate::switch::policy::ForwardPolicy;

fn each() -> Vec<Fact> {
    let hash = PaymentHash([7; 32]);
    let node = NodeId([2; 33]);
    let taken = ForwardTaken {
        channel: 1,
        htlc: 2,
        payment_hash: hash,
        amount: Msat::ZERO,
        cltv_expiry: BlockHeight(9),
        next: ShortChannelId::from_parts(BlockHeight(1), 2, 3).unwrap(),
        forwarded: Msat::ZERO,
        outgoing_expiry: BlockHeight(8),
        onion: [5; 16],
        held: true,
        out: Some(4),
        height: BlockHeight(7),
        at_ms: 6,
    };
    let tx = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![bitcoin::TxIn::default()],
        output: vec![bitcoin::TxOut::NULL],
    };
    vec![
        Fact::Channel { index: ChannelIndex(3), record: vec![1, 2, 3] },
        Fact::ChannelBorn(ChannelBorn {
            index: 3,
            node,
            created_ms: 9,
            announce: false,
            funder: true,
        }),
        Fact::ChannelGone(ChannelIndex(3)),
        Fact::Wallet(vec![9; 70_000]),
        Fact::ChainAt(vec![1]),
        Fact::PeerKept(PeerKept { node, address: "localhost:9735".into() }),
        Fact::PeerDropped(node),
        Fact::InvoiceMade(InvoiceMade {
            payment_hash: hash,
            preimage: None,
            hold: true,
            payment_secret: PaymentSecret([2; 32]),
            metadata: Some(vec![1, 2, 3]),
            amount: Msat::new(5),
            bolt11: "lnbcrt1".into(),
            description: "coffee".into(),
            description_hash: None,
            created_ms: 1,
            expires_ms: 2,
            min_final_cltv_delta: 42,
        }),
        Fact::InvoiceSettled(InvoiceSettled {
            payment_hash: hash,
            received: Msat::ZERO,
            at_ms: 3,
            parts: vec![(1, 2), (3, 4)],
        }),
        Fact::InvoiceCancelled(InvoiceCancelled {
            payment_hash: hash,
            why: CancelReason::NearExpiry { height: BlockHeight(3) },
            at_ms: 4,
        }),
        Fact::InvoiceHeld(InvoiceHeld {
            payment_hash: hash,
            received: Msat::ZERO,
            expiry: BlockHeight(9),
            parts: vec![(1, 2)],
            height: BlockHeight(5),
            at_ms: 3,
        }),
        Fact::PreimageGiven(PreimageGiven {
            payment_hash: hash,
            preimage: Preimage([1; 32]),
            at_ms: 3,
        }),
        Fact::ForwardWord(ForwardWord { channel: 1, htlc: 2, word: Word::Fail(0x100a), at_ms: 3 }),
        Fact::PaymentStarted(PaymentStarted {
            payment_hash: hash,
            payee: node,
            amount: Msat::ZERO,
            fee_limit: Msat::ZERO,
            invoice: "lnbcrt1".into(),
            description: None,
            expires_ms: 6,
            created_ms: 5,
        }),
        Fact::PaymentTried(PaymentTried {
            payment_hash: hash,
            part: 1,
            channel: 2,
            amount: Msat::ZERO,
            at_ms: 3,
        }),
        Fact::PaymentEnded(PaymentEnded {
            payment_hash: hash,
            preimage: None,
            failure: Some((1, 2)),
            failed_by: Some(node),
            at_ms: 8,
        }),
        Fact::OrderKept(OrderKept {
            word: "k".into(),
            digest: [3; 32],
            made: "x".into(),
            at_ms: 1,
        }),
        Fact::IntentMade(IntentMade { tx, label: "funding".into(), channel: Some(3) }),
        Fact::IntentDone(Txid::all_zeros()),
        Fact::Moment(Moment {
            channel: 3,
            at_ms: 1,
            height: 2,
            policy: 1,
            kind: MomentKind::HeldBack {
                reason: channel::effect::CloseReason::Asked,
                by_policy: true,
                cost_sat: 1,
                saves_sat: 2,
                before: Some(3),
            },
        }),
        Fact::ForceCloseSet(ForceCloseSet { node, policy: Some(3) }),
        Fact::StoryKept(vec![1, 2]),
        Fact::AttemptFailed(AttemptFailed {
            payment_hash: hash,
            part: 1,
            failure: (3, 4),
            failed_by: Some(node),
            words: "no".into(),
            at_ms: 5,
        }),
        Fact::PartHeld(PartHeld { payment_hash: hash, part: 3, times: vec![0, 7, u32::MAX] }),
        Fact::RouteTaken(RouteTaken {
            payment_hash: hash,
            part: 1,
            delivered: Msat::ZERO,
            hops: vec![HopTaken {
                node,
                channel: ShortChannelId::from_u64(5),
                amount: Msat::ZERO,
                cltv_expiry: BlockHeight(7),
            }],
        }),
        Fact::PaymentMeans(PaymentMeans {
            payment_hash: hash,
            deadline_ms: 1,
            max_parts: 2,
            cltv_limit: 3,
            keysend: Some(Preimage([4; 32])),
        }),
        Fact::NoWayLeft(NoWayLeft {
            payment_hash: hash,
            amount: Msat::ZERO,
            words: "no".into(),
            at_ms: 1,
        }),
        Fact::ForwardTaken(taken),
        Fact::ForwardEnded(ForwardEnded {
            channel: 1,
            htlc: 2,
            end: ForwardEnd::Refused(0x1007),
            height: BlockHeight(5),
            at_ms: 6,
        }),
        Fact::PolicySet(PolicySet {
            channel: 1,
            before: ForwardPolicy::default(),
            policy: ForwardPolicy { enabled: false, ..ForwardPolicy::default() },
            at_ms: 7,
        }),
        Fact::ForwardsBefore(ForwardsBefore {
            settled: 1,
            failed: 2,
            forwarded_msat: 3,
            fees_msat: 4,
            onions: Long(vec![OnionTaken {
                onion: [1; 16],
                channel: 2,
                htlc: 3,
                until: BlockHeight(4),
            }]),
        }),
        Fact::BackupMade(4),
        Fact::BackupTaken(BackupTaken { counter: 4, next_channel: 70_000 }),
        Fact::ChannelRolledBack { index: ChannelIndex(3), state: vec![5; 300] },
        Fact::DrillBegun(Box::new(DrillBegun {
            drill: 1 << 63,
            tower: node,
            entropy: [6; 32],
            amount_sat: 70_000,
            to_remote_sat: 17_500,
            commitment_feerate: FeeratePerKw(1_000),
            to_self_delay: 144,
            ladder: vec![FeeratePerKw(1_500), FeeratePerKw(15_000)],
            sweep_script: vec![0x51; 34],
            word: "aa k".into(),
            at_ms: 1,
        })),
        Fact::DrillFunded(DrillFunded {
            drill: 1 << 63,
            outpoint: OutPoint { txid: Txid::from_byte_array([4; 32]), vout: 1 },
            fee_sat: 300,
            at_ms: 2,
        }),
        Fact::DrillStaged(DrillStaged { drill: 1 << 63, receipt: vec![1; 205], at_ms: 3 }),
        Fact::DrillEnded(DrillEnded {
            drill: 1 << 63,
            verdict: 1,
            blocks: 2,
            justice: Txid::from_byte_array([5; 32]),
            justice_fee_sat: 800,
            cost_sat: 2_500,
            at_ms: 4,
        }),
        Fact::TowerAudited(TowerAudited {
            tower: node,
            channel: 3,
            drawn: 300,
            of: 4_000,
            end: 1,
            why: "lost".into(),
            at_ms: 5,
        }),
        Fact::CheckpointMade(9),
        Fact::SweepMade(SweepMade {
            txid: Txid::all_zeros(),
            name: [4; 32],
            fee_sat: 1_000,
            feerate: FeeratePerKw(253),
            since: BlockHeight(7),
            deadline: Some(BlockHeight(9)),
            members: vec![(3, OutPoint { txid: Txid::all_zeros(), vout: 1 })],
            ordered: FeeratePerKw(9_000),
        }),
    ]
}

#[test]
fn every_fact_reads_back_as_it_was_written() {
    let all = each();
    let kinds: std::collections::BTreeSet<_> = all.iter().map(Fact::kind).collect();
    assert_eq!(kinds.len(), 41, "one of each kind");
    assert_eq!(facts(&record(&all)), Ok(all));
}

#[test]
fn a_sweep_that_was_written_before_orders_were_is_one_that_nobody_ordered() {
    let made = each().into_iter().find_map(|fact| match fact {
        Fact::SweepMade(made) => Some(made),
        _ => None,
    });
    let made = SweepMade { ordered: FeeratePerKw(0), ..made.unwrap() };
    let mut bytes = record(&[Fact::SweepMade(made.clone())]);
    bytes.truncate(bytes.len() - 4);
    bytes[0] = 20;
    bytes[5] -= 4;
    assert_eq!(facts(&bytes), Ok(vec![Fact::SweepMade(made)]));
}

#[test]
fn a_channel_record_is_the_fact_of_the_same_bytes() {
    let fact = Fact::Channel { index: ChannelIndex(5), record: vec![4; 1_500] };
    assert_eq!(channel_record(ChannelIndex(5), &[4; 1_500]), record(&[fact]));
    assert!(channel_record(ChannelIndex(5), &[]).is_empty());
}

#[test]
fn a_record_of_a_newer_version_is_refused_by_name() {
    let mut bytes = record(&[Fact::ChannelGone(ChannelIndex(1))]);
    bytes[1] = 2;
    assert_eq!(facts(&bytes), Err(FactError::Version { kind: 3, version: 2 }));
    bytes[0] = 200;
    bytes[1] = 1;
    assert_eq!(facts(&bytes), Err(FactError::Kind(200)));
}

#[test]
fn what_an_older_build_wrote_of_invoices_is_read() {
    let (preimage, payment_secret) = (Preimage([1; 32]), PaymentSecret([2; 32]));
    let old = InvoiceMadeV1 {
        preimage,
        payment_secret,
        amount: Msat::new(5),
        bolt11: "lnbcrt1".into(),
        description: "coffee".into(),
        description_hash: None,
        created_ms: 1,
        expires_ms: 2,
        min_final_cltv_delta: 42,
    };
    let new = InvoiceMade::from(old.clone());
    assert_eq!((new.payment_hash, new.preimage), (preimage.hash(), Some(preimage)));
    assert_eq!((new.hold, &new.metadata), (false, &None));
    let stored = |kind: u8, body: Vec<u8>| {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [vec![kind, 1], length.to_vec(), body].concat()
    };
    let mut body = Vec::new();
    old.encode(&mut body);
    assert_eq!(facts(&stored(8, body)), Ok(vec![Fact::InvoiceMade(new)]));
    let payment_hash = preimage.hash();
    let mut body = Vec::new();
    InvoiceCancelledV1 { payment_hash, at_ms: 7 }.encode(&mut body);
    let why = CancelReason::Asked;
    let cancelled = InvoiceCancelled { payment_hash, why, at_ms: 7 };
    assert_eq!(facts(&stored(10, body)), Ok(vec![Fact::InvoiceCancelled(cancelled)]));
}

#[test]
fn a_record_cut_anywhere_is_an_error_and_never_a_panic() {
    for fact in each() {
        let bytes = record(&[fact]);
        for cut in 1..bytes.len().min(400) {
            assert!(facts(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
