//! Receipts that are bent, records that are lost, and a tower that was asleep when it was needed.

use daemon::rpc::model::channel::ChannelRef;
use daemon::rpc::node_api::NodeApi as _;
use daemon::tower::{AuditEnd, NoProof};
use viaduct_tests::until::until_async;
use watchtower::proof::fraud::{Exhibit, FraudProof, Verdict};

use super::mute::{Bend, Flaws, Mute};
use super::scene::{DELAY, Tower, cheat, covered, hired, scene, taker};
use crate::nodes::pair::{in_time, pay_some};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s22_one_wrong_bit_in_a_receipt_is_the_end_of_a_tower() {
    in_time(async {
        let (pair, _, _) = scene(&[("towers.copies", "4")]).await;
        for bent in [Bend::Root, Bend::Signature, Bend::Count, Bend::Height] {
            let flaws = Flaws { bend: Some(bent), ..Flaws::default() };
            let tower = Mute::with(&pair.layer1, flaws).await;
            let address = tower.address();
            pair.bob.handle().add_tower(tower.id(), address, false).await.expect("hired");
            let fault = until_async("the tower is marked", String::new, || async {
                hired(&pair.bob, tower.id()).await.fault
            })
            .await;
            assert!(fault.contains("signature"), "{bent:?}: {fault}");
        }
        let coverage = super::scene::coverage(&pair.bob).await;
        assert_eq!(coverage.uncovered_states, coverage.states, "none of them counts");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s23_an_audit_finds_the_tower_that_lost_a_record_and_never_one_that_has_all() {
    in_time(async {
        let (mut pair, _, _) = scene(&[("towers.copies", "2")]).await;
        let honest = Tower::start(&pair.path().join("tower"), &pair.layer1).await;
        honest.hired_by(&pair.bob, false).await;
        let flaws = Flaws { loses: true, ..Flaws::default() };
        let loser = Mute::with(&pair.layer1, flaws).await;
        let (id, address) = (loser.id(), loser.address());
        pair.bob.handle().add_tower(id, address, false).await.expect("hired");
        let states = covered(&pair.bob).await.states;
        for draws in [1, 300] {
            let audits = pair.bob.handle().audit_tower(honest.id(), draws).await.expect("asked");
            let [audit] = audits.as_slice() else { panic!("{audits:?}") };
            assert_eq!((audit.end, audit.why.as_str()), (AuditEnd::Passed, ""));
            assert_eq!(u64::from(audit.of), states);
            assert_eq!(usize::try_from(audit.drawn).unwrap(), draws.min(audit.of as usize));
        }
        let audits = pair.bob.handle().audit_tower(id, 300).await.expect("asked");
        let [audit] = audits.as_slice() else { panic!("{audits:?}") };
        assert_eq!(audit.end, AuditEnd::Failed, "{audits:?}");
        let fault = until_async("the tower is marked", String::new, || async {
            hired(&pair.bob, id).await.fault
        })
        .await;
        assert!(fault.contains("records that it signed for"), "{fault}");
        // It can be shown to anybody.
        let file = fault.split("the proof is ").nth(1).expect("it says where");
        let shown = Exhibit::from_bytes(&std::fs::read(file).expect("it is there"));
        let Ok(Exhibit::Lost(lost)) = shown else { panic!("{shown:?}") };
        let loss = lost.verify(&[]).expect("guilty");
        assert_eq!((loss.tower.serialize(), u64::from(loss.signed)), (id.0, states));
        // It is known after a restart.
        pair.bob = pair.bob.restart().await;
        assert!(hired(&pair.bob, id).await.fault.is_some());
        let kept = hired(&pair.bob, honest.id()).await.audits;
        assert_eq!(kept.first().map(|audit| audit.end), Some(AuditEnd::Passed));
        let unknown = pair.alice.handle().audit_tower(id, 1).await.expect_err("not hers");
        assert!(unknown.to_string().contains("no tower"), "{unknown}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s31_a_session_whose_time_is_over_before_it_took_a_record_is_replaced() {
    in_time(async {
        let (pair, _, _) = scene(&[("towers.copies", "1")]).await;
        let flaws = Flaws { expires: Some(0), ..Flaws::default() };
        let tower = Mute::with(&pair.layer1, flaws).await;
        pair.bob.handle().add_tower(tower.id(), tower.address(), false).await.expect("hired");
        let after = covered(&pair.bob).await;
        assert_eq!((after.uncovered_states, after.missing_copies), (0, 0), "{after:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s23_a_session_that_another_took_the_place_of_is_audited_too() {
    in_time(async {
        let (pair, id, _) = scene(&[("towers.copies", "1")]).await;
        let flaws = Flaws { loses: true, expires: Some(1), ..Flaws::default() };
        let tower = Mute::with(&pair.layer1, flaws).await;
        pair.bob.handle().add_tower(tower.id(), tower.address(), false).await.expect("hired");
        let first = covered(&pair.bob).await.states;
        pay_some(&pair.alice, &pair.bob, 1_000_000).await;
        pair.agree(id).await;
        let all = until_async("the second session has the rest", String::new, || async {
            let coverage = super::scene::coverage(&pair.bob).await;
            (coverage.uncovered_states == 0 && coverage.states > first).then_some(coverage.states)
        })
        .await;
        let audits = pair.bob.handle().audit_tower(tower.id(), 300).await.expect("asked");
        let of: u64 = audits.iter().map(|audit| u64::from(audit.of)).sum();
        assert_eq!((audits.len(), of), (2, all), "{audits:?}");
        assert!(audits.iter().all(|audit| audit.end == AuditEnd::Failed), "{audits:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s22_a_tower_that_signed_and_slept_through_a_theft_is_convicted_by_a_file() {
    in_time(async {
        let (mut pair, id, old) = scene(&[("towers.copies", "1")]).await;
        let mut tower = Tower::start(&pair.path().join("tower"), &pair.layer1).await;
        tower.hired_by(&pair.bob, false).await;
        covered(&pair.bob).await;
        // What was signed for is a fact once a second; what is not yet known proves nothing.
        until_async("its receipt is kept", String::new, || async {
            let sessions = hired(&pair.bob, tower.id()).await.sessions;
            let first = sessions.first()?;
            (first.records > 0 && first.rows == first.of).then_some(())
        })
        .await;
        let channel = ChannelRef::Id(id);
        let innocent = pair.bob.handle().prove_tower(tower.id(), channel).await.expect("asked");
        assert_eq!(innocent.err(), Some(NoProof::NotClosed));
        let key = tower.id();
        tower.sleep().await;
        let bob = pair.bob.sleep().await;
        let cheating = cheat(&pair.alice, id, old).await;
        pair.layer1.mine(1).await;
        pair.alice.at_height(pair.layer1.mine(DELAY).await).await;
        until_async("the thief takes its output", String::new, || async {
            taker(&pair.layer1, cheating.txid, cheating.ours).await
        })
        .await;
        pair.alice.at_height(pair.layer1.mine(1).await).await;
        pair.bob = bob.wake().await;
        pair.mine(1).await;
        let fault = until_async("the theft is found", String::new, || async {
            hired(&pair.bob, key).await.fault
        })
        .await;
        assert!(fault.contains(&cheating.txid.to_string()), "{fault}");
        // The same again, by hand.
        let bytes = pair.bob.handle().prove_tower(key, channel).await.expect("asked");
        let proof = FraudProof::from_bytes(&bytes.expect("a proof")).expect("a file");
        let Verdict::Guilty(guilt) = proof.verify(&[]) else { panic!("{:?}", proof.verify(&[])) };
        assert_eq!(guilt.tower.serialize(), key.0);
        assert_eq!((guilt.breach, guilt.stolen), (cheating.txid, cheating.ours));
        let file = fault.split("the proof is ").nth(1).expect("it says where");
        let written = FraudProof::from_bytes(&std::fs::read(file).expect("it is there"));
        assert_eq!(written, Ok(proof));
    })
    .await;
}
