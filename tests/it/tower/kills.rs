//! A node dies at each single moment of its journal while it tells a tower of its old states, while it audits the tower
//! and gives it checkpoints, and while what the tower has of a channel that is over is deleted: no state is left uncovered,
//! none is told twice, no tower is blamed, nothing stays behind.
//!
//! A record has two moments: the first is before it is written, the second when it is durable and nobody has heard
//! of it. On the way are: to hire the tower, what is older than that, sessions that are full, receipts, a tower that
//! was away. CI plays a slice; `VIADUCT_TOWER_KILLS=1..400` plays these moments of all ends until one does not
//! come, and with `VIADUCT_TOWER_KILLS_STRIDE=20` the node dies again 20 moments after each start.

use std::ops::Range;
use std::time::{Duration, Instant};

use daemon::rpc::model::payment::PaymentStatus;
use daemon::rpc::node_api::NodeApi as _;
use daemon::tower::AuditEnd;
use viaduct_tests::dispute::{ANCHORS, CAPACITY, Scene, Who};
use viaduct_tests::until::PATIENCE;
use wire::id::PaymentHash;

use super::scene::{DELAY, NO_CHECKPOINTS, Tower, cheat};

const THIEF: Who = Who::Funder;
const VICTIM: Who = Who::Fundee;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// How long one run may take.
const LIMIT: Duration = Duration::from_secs(400);

/// What comes of the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The thief shows an old state; deaths are on the way of records.
    Theft,
    /// Both sign; deaths are when the tower is told to forget.
    Together,
    /// The channel lives on; deaths are on the way of records, checkpoints and audits.
    Open,
}

/// Looks again and again, and starts whoever has died.
async fn until<T>(
    scene: &mut Scene,
    what: &str,
    mut look: impl AsyncFnMut(&Scene) -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        scene.tend().await;
        if let Some(found) = look(scene).await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited for {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Invoices of the victim, made beforehand: asking for them is no part of the way.
async fn invoices(scene: &Scene, count: usize) -> Vec<(String, PaymentHash)> {
    let mut all = Vec::new();
    for number in 0..count as u64 {
        let msat = Some(20_000_000 + number);
        all.push(scene.node(VICTIM).create_invoice(msat, 3_600).await);
    }
    all
}

/// The thief pays, again each time the victim was dead.
async fn pay(scene: &mut Scene, invoices: Vec<(String, PaymentHash)>) {
    for (invoice, hash) in invoices {
        until(scene, "a payment", async |scene| {
            let payer = scene.node(THIEF);
            match payer.handle().payment(hash).await.map(|payment| payment.status) {
                Ok(PaymentStatus::Succeeded { .. }) => return Some(()),
                Ok(PaymentStatus::InFlight) => {}
                Ok(PaymentStatus::Failed(_)) | Err(_) => {
                    // The victim may be away.
                    let _refused = payer.begin_pay(&invoice).await;
                }
            }
            None
        })
        .await;
    }
    scene.quiet().await;
}

/// Waits until the tower has every state; how many those are.
async fn covered(scene: &mut Scene) -> u64 {
    until(scene, "every state to be with the tower", async |scene| {
        let (channels, _) = scene.node(VICTIM).handle().tower_coverage().await.ok()?;
        let coverage = channels.first()?;
        (coverage.states > 0 && coverage.missing_copies == 0).then_some(coverage.states)
    })
    .await
}

/// Plays one moment; whether it came.
async fn dies(end: End, moment: u64, again: Option<u64>) -> bool {
    let checkpoints = match end {
        End::Theft | End::Together => NO_CHECKPOINTS,
        End::Open => ("towers.checkpoint_every_seconds", "1"),
    };
    let mut scene = Scene::open_with(&[("towers.copies", "1"), checkpoints]).await;
    let dir = scene.path().join("tower");
    let mut tower = Tower::start_with(&dir, &scene.layer1, |settings| {
        // Room for some six states.
        settings.offered.bytes_max = 1_500;
    })
    .await;
    let mut left = invoices(&scene, 6).await;
    let late = left.split_off(4);
    let early = left.split_off(2);
    pay(&mut scene, left).await;
    if end != End::Together {
        scene.kill_at(VICTIM, moment, again);
    }
    let (id, address) = (tower.id(), tower.address());
    until(&mut scene, "the tower to be hired", async |scene| {
        scene.node(VICTIM).handle().add_tower(id, address.clone(), false).await.ok()
    })
    .await;
    covered(&mut scene).await;
    pay(&mut scene, early).await;
    covered(&mut scene).await;
    // It misses something, and hears it when it is back.
    tower.sleep().await;
    pay(&mut scene, late).await;
    tower.wake().await;
    let states = covered(&mut scene).await;
    let figures = tower.keeper().figures().await.expect("it runs");
    // The session that keeps checkpoints has one record that fills it.
    let others = figures.indexed.checked_sub(states).expect("every state");
    assert!(others <= u64::from(end == End::Open), "every state once: {figures:?} {states}");
    assert!(figures.sessions >= 3, "{figures:?}");
    match end {
        End::Theft => punished(&mut scene).await,
        End::Open => trusted(&mut scene, &tower).await,
        End::Together => forgotten(&mut scene, &mut tower, (moment, again)).await,
    }
    scene.kill_no_more().await;
    scene.deaths[VICTIM as usize] > 0
}

/// The thief shows a state of long ago with an HTLC in it, and has nothing of it.
async fn punished(scene: &mut Scene) {
    scene.kill_no_more().await;
    let since = scene.layer1.height().await;
    scene.sleep(VICTIM).await;
    let cheating = cheat(scene.node(THIEF), scene.id, 1).await;
    // In that state the victim had no balance of its own yet. A block before all is taken would let deadlines pass,
    // and then the victim pays dearly when it wakes up.
    until(scene, "all to be taken", async |scene| {
        (scene.untaken(cheating.txid).await == 0).then_some(())
    })
    .await;
    scene.layer1.mine(DELAY).await;
    scene.wake(VICTIM).await;
    scene.bury().await;
    let account = scene.account(since).await;
    assert!(account.left <= ANCHORS, "{account:?}");
    assert!(account.home[THIEF as usize] <= 0, "the thief got something: {account:?}");
    assert!(account.home[VICTIM as usize] + 60_000 > CAPACITY as i64, "{account:?}");
}

/// The tower passes an audit and has a checkpoint of all that there is now.
async fn trusted(scene: &mut Scene, tower: &Tower) {
    let id = tower.id();
    until(scene, "an audit that the tower passes", async |scene| {
        let audits = scene.node(VICTIM).handle().audit_tower(id, 30).await.ok()?;
        let passed = audits.iter().all(|audit| audit.end == AuditEnd::Passed);
        (passed && !audits.is_empty()).then_some(())
    })
    .await;
    until(scene, "a checkpoint", async |scene| {
        let towers = scene.node(VICTIM).handle().list_towers().await.ok()?;
        let tower = towers.into_iter().find(|shown| shown.tower == id)?;
        assert_eq!(tower.fault, None, "it kept its word");
        tower.checkpoint.map(drop)
    })
    .await;
    scene.kill_no_more().await;
    // What the node is told of itself by the tower is no older than its journal.
    scene.sleep(VICTIM).await;
    scene.wake(VICTIM).await;
    covered(scene).await;
    let info = scene.node(VICTIM).handle().info().await.expect("it runs");
    assert_eq!(info.channels_quarantined, 0, "nothing is in doubt");
}

/// The channel ends in peace, and the tower forgets it.
async fn forgotten(scene: &mut Scene, tower: &mut Tower, (moment, again): (u64, Option<u64>)) {
    scene.ask_until_spent(THIEF, false).await;
    // Nothing is deleted before deaths are counted.
    tower.sleep().await;
    scene.bury().await;
    scene.sleep(VICTIM).await;
    tower.wake().await;
    scene.kill_at(VICTIM, moment, again);
    scene.wake(VICTIM).await;
    until(scene, "the tower to forget", async |scene| {
        let figures = tower.keeper().figures().await.expect("it runs");
        let towers = scene.node(VICTIM).handle().list_towers().await.ok()?;
        let told = towers.first()?.sessions.len();
        (figures.sessions == 0 && told == 0).then_some(())
    })
    .await;
    // What was made durable last may be what it dies of.
    let height = scene.layer1.mine(1).await;
    scene.level().await;
    assert_eq!(scene.layer1.chain().tip().await.expect("a tip").height, height);
}

/// Plays these moments until one does not come.
async fn all(end: End, moments: Range<u64>, stride: Option<u64>) {
    let stop = moments.end.min(stride.map_or(u64::MAX, |stride| moments.start + stride));
    for moment in moments.start..stop {
        let start = Instant::now();
        let limit = if stride.is_some() { 3 * LIMIT } else { LIMIT };
        let played = tokio::time::timeout(limit, dies(end, moment, stride)).await;
        let came = played.expect("it ends in time");
        println!("{end:?} at {moment}: {came}, {:?}", start.elapsed());
        if !came {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_write_on_the_way_to_a_tower_leaves_no_state_uncovered_and_none_told_twice()
{
    if let Ok(told) = std::env::var("VIADUCT_TOWER_KILLS") {
        let (from, to) = told.split_once("..").expect("a range");
        let number = |text: &str| -> u64 { text.parse().expect("a number") };
        let stride = std::env::var("VIADUCT_TOWER_KILLS_STRIDE").ok();
        let stride = stride.map(|text| number(&text));
        for end in [End::Theft, End::Open, End::Together] {
            all(end, number(from)..number(to), stride).await;
        }
        return;
    }
    // A slice: one that dies of it every now and then, and one that dies when the tower has forgotten.
    assert!(dies(End::Theft, 3, Some(17)).await, "it lives on");
    assert!(dies(End::Open, 5, Some(23)).await, "it lives on");
    let _what_is_written_first_may_vary = dies(End::Together, 2, None).await;
}
