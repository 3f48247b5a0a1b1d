//! Keys for a tower of one's own, from the wire to the money: any state, HTLCs, what the cheater makes of them,
//! and states that are no breach.

use std::collections::BTreeSet;

use ::store::disk::Disk as _;
use bitcoin::hashes::{Hash as _, ripemd160};
use bitcoin::{Amount, OutPoint, Transaction, TxOut};
use channel::signer::Signer as _;
use channel::tx::{Commitment, Direction, HtlcKey, Inline, SpecHtlc};
use wire::id::Preimage;

use super::*;
use crate::kit::claim::ClaimKind;
use crate::kit::replica::Secret;
use crate::message::{HtlcAdd, LiveHtlc, ReplicaAck, ReplicaNow, ReplicaUpdate};
use crate::watch::tests::scene::{CAPACITY, anyone, htlc, spend_any};

fn trusting() -> Bounds {
    let allow_replica_from = BTreeSet::from([std::net::IpAddr::from([127, 0, 0, 1])]);
    Bounds { allow_replica_from, ..Bounds::default() }
}

fn add(htlc: &SpecHtlc) -> HtlcAdd {
    HtlcAdd {
        hash: ripemd160::Hash::hash(&htlc.payment_hash.0).to_byte_array(),
        cltv_expiry: htlc.cltv_expiry,
        offered: htlc.direction == Direction::Offered,
    }
}

/// The preimage of [`htlc`]s with that number.
fn preimage(id: u64) -> Preimage {
    Preimage([u8::try_from(id % 251).unwrap(); 32])
}

fn update(channel: &Channel, revoked: u64, htlcs: &[SpecHtlc]) -> ReplicaUpdate {
    ReplicaUpdate {
        first: 0,
        secrets: (0..revoked).map(|number| channel.secret(number).0).collect(),
        chain: Vec::new(),
        first_htlc: 0,
        htlcs: htlcs.iter().map(add).collect(),
        fundings: Vec::new(),
        now: None,
    }
}

async fn begin(caller: &mut Caller, channel: &Channel) {
    let template = channel.replica_template().encoded();
    let open = SessionOpen { kit: 2, template, want_blocks: 0, want_bytes: 0 };
    let Message::SessionAck(ack) = caller.ask(open).await else { panic!() };
    assert_eq!(ack.code, Code::OK);
}

async fn tell(caller: &mut Caller, update: ReplicaUpdate) -> ReplicaAck {
    let Message::ReplicaAck(ack) = caller.ask(update).await else { panic!() };
    assert_eq!(ack.code, Code::OK);
    ack
}

/// A replica that was told of six revoked states with these HTLCs, and sleeps.
async fn told(htlcs: &[SpecHtlc]) -> (Scene, Disks<MemoryDisk>, Channel) {
    let mut house = House::open(trusting()).await;
    let channel = Channel::new(3, house.scene.coin());
    let mut caller = house.call(0x52).await;
    begin(&mut caller, &channel).await;
    let ack = tell(&mut caller, update(&channel, 6, htlcs)).await;
    assert_eq!((ack.count, ack.htlcs), (6, u64::try_from(htlcs.len()).unwrap()));
    drop(caller);
    let (scene, disks) = house.asleep().await;
    (scene, disks, channel)
}

/// What the cheater makes of an HTLC that it received, with the client's signature and a fee of its own.
fn success(scene: &mut Scene, channel: &Channel, old: &Commitment) -> (OutPoint, Transaction) {
    let place = (old.htlcs().iter())
        .position(|output| output.htlc.direction == Direction::Received)
        .unwrap();
    let output = &old.htlcs()[place];
    let signature = channel.us.sign_theirs(old, &Inline).unwrap().htlcs[place];
    let shown = HtlcKey::Preimage(preimage(output.htlc.id));
    let mut tx = old.htlc_tx(output);
    let fee = spend_any(
        vec![scene.coin()],
        vec![TxOut {
            value: Amount::from_sat(CAPACITY - 20_000),
            script_pubkey: anyone().to_p2wsh(),
        }],
    );
    tx.input.extend(fee.input);
    tx.output.extend(fee.output);
    let spend = old.htlc_spend(output, signature, shown);
    channel.cheater.sign_spends(&mut tx, &[&spend]).unwrap();
    (spend.outpoint, tx)
}

#[tokio::test]
async fn s01_any_revoked_state_is_answered_with_keys_and_htlcs_are_taken_as_well() {
    let shown =
        [htlc(Direction::Offered, 1, 50_000, 900), htlc(Direction::Received, 2, 60_000, 901)];
    for number in [0, 3, 5] {
        let (scene, disks, channel) = told(&shown).await;
        let old = channel.commitment(number, 3_000_000, shown.to_vec());
        assert!(scene.hand_in(broadcast(&old)).await);
        scene.mine(1).await;
        let tower = Tower::again(disks, &scene).await;
        tower.until(|watching| watching.book.claims().count() == 3).await;
        for _ in 0..2 {
            scene.mine(1).await;
            tower.reach(scene.height().await).await;
        }
        assert!(tower.book().claims().all(|(_, claim)| claim.taken.is_some()));
        assert!(scene.paid_to(&channel.sweep()).await > 3_100_000);
        tower.end().await;
    }
}

#[tokio::test]
async fn s04_what_the_cheater_made_of_an_htlc_while_the_tower_was_down_is_taken_from_it() {
    let shown =
        [htlc(Direction::Received, 2, 600_000, 900), htlc(Direction::Offered, 1, 50_000, 901)];
    let (mut scene, disks, channel) = told(&shown).await;
    let old = channel.commitment(4, 3_000_000, shown.to_vec());
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    let (taken, second) = success(&mut scene, &channel, &old);
    assert!(scene.hand_in(second.clone()).await);
    scene.mine(1).await;
    let tower = Tower::again(disks, &scene).await;
    let second = OutPoint { txid: second.compute_txid(), vout: 0 };
    tower.until(|watching| watching.book.claim(&second).is_some()).await;
    assert_eq!(tower.book().claim(&second).unwrap().claim.kind, ClaimKind::SecondStage);
    assert!(tower.book().claim(&taken).unwrap().taken.is_some());
    for _ in 0..2 {
        scene.mine(1).await;
        tower.reach(scene.height().await).await;
    }
    assert!(tower.book().claims().all(|(_, claim)| claim.taken.is_some()));
    assert!(scene.paid_to(&channel.sweep()).await > 3_640_000);
    // A reorganisation takes the second stage back, and the tower its claim on it.
    scene.reorg(3, &[]).await;
    tower.reach(scene.height().await).await;
    scene.mine(1).await;
    tower.reach(scene.height().await).await;
    scene.mine(1).await;
    tower.until(|watching| watching.book.claims().all(|(_, claim)| claim.taken.is_some())).await;
    tower.end().await;
}

#[tokio::test]
async fn s44_a_valid_state_is_no_breach_and_its_htlcs_are_claimed_for_who_sleeps() {
    let mut house = House::open(trusting()).await;
    let channel = Channel::new(3, house.scene.coin());
    let height = house.scene.height().await;
    let shown = [
        htlc(Direction::Offered, 1, 500_000, height + 200),
        htlc(Direction::Offered, 2, 400_000, height + 200),
        htlc(Direction::Received, 3, 300_000, height + 6),
    ];
    let mut caller = house.call(0x52).await;
    begin(&mut caller, &channel).await;
    let ack = tell(&mut caller, update(&channel, 6, &[])).await;
    assert_eq!(ack.knows, None);
    // The preimage of the first is known, that of the second is not, the third is ours.
    let live = |htlc: &SpecHtlc, known: bool| LiveHtlc {
        htlc: add(htlc),
        preimage: known.then(|| preimage(htlc.id).0),
    };
    let now = ReplicaNow {
        htlc_key: Secret::new(*channel.us.htlc_key()),
        number: 6,
        points: vec![channel.cheater.point(6).unwrap(), channel.cheater.point(7).unwrap()],
        htlcs: vec![live(&shown[0], true), live(&shown[1], false), live(&shown[2], false)],
    };
    let more = ReplicaUpdate { first: 6, now: Some(now), ..update(&channel, 0, &[]) };
    assert_eq!(tell(&mut caller, more).await.knows, Some(6));
    drop(caller);
    let (scene, disks) = house.asleep().await;
    let key = *channel.us.htlc_key();
    for name in disks.journal.list().unwrap() {
        let kept = disks.journal.content(&name).unwrap_or_default();
        assert!(!kept.windows(32).any(|part| part == key), "keys lie encrypted on the disk");
    }

    // It closes with the next state, which was signed and never revoked.
    let valid = channel.commitment(7, 3_000_000, shown.to_vec());
    assert!(scene.hand_in(broadcast(&valid)).await);
    scene.mine(1).await;
    let tower = Tower::again(disks, &scene).await;
    tower.until(|watching| watching.book.claims().count() == 2).await;
    let book = tower.book();
    let sum: u64 = book.claims().map(|(_, claim)| claim.claim.value.to_sat()).sum();
    assert_eq!(sum, 800_000, "to_local and the HTLC without preimage are left alone");
    scene.mine(1).await;
    tower.reach(scene.height().await).await;
    assert!(scene.paid_to(&channel.sweep()).await > 490_000);
    assert_eq!(tower.book().claims().filter(|(_, claim)| claim.taken.is_some()).count(), 1);
    // It expires at its height, so the block after that may have its claim.
    while scene.height().await < height + 6 {
        assert!(scene.mempool().await.is_empty(), "nothing goes out before its time");
        scene.mine(1).await;
        tower.reach(scene.height().await).await;
    }
    let (outpoint, _) = tower
        .book()
        .claims()
        .find(|(_, c)| c.taken.is_none())
        .map(|(o, c)| (*o, c.clone()))
        .unwrap();
    eventually("the claim", || async { scene.spender(outpoint).await.is_some() }).await;
    scene.mine(1).await;
    tower.reach(scene.height().await).await;
    assert!(tower.book().claims().all(|(_, claim)| claim.taken.is_some()));
    assert!(scene.paid_to(&channel.sweep()).await > 780_000);
    tower.end().await;
}

#[tokio::test]
async fn a_replica_stores_nothing_per_state() {
    let house = House::open(trusting()).await;
    let channel = Channel::new(3, OutPoint::null());
    let mut caller = house.call(0x52).await;
    begin(&mut caller, &channel).await;
    let _first = tell(&mut caller, update(&channel, 2, &[])).await;
    let before = house.tower.keeper.state().await.unwrap().encode().len();
    for batch in 0..20_u64 {
        let first = 2 + batch * 50;
        let secrets = (first..first + 50).map(|number| channel.secret(number).0).collect();
        let more = ReplicaUpdate { first, secrets, ..update(&channel, 0, &[]) };
        assert_eq!(tell(&mut caller, more).await.count, first + 50);
    }
    let after = house.tower.keeper.state().await.unwrap().encode().len();
    assert!(after - before < 10 * 45, "a thousand states are {} bytes", after - before);
    let figures = house.tower.keeper.figures().await.unwrap();
    assert_eq!(figures.records, 0);
    house.close().await;
}
