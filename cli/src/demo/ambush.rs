//! The third act: the same theft while its victim sleeps, and a watchtower that takes all of the channel for it.

use std::path::Path;

use api::v1;
use tokio::time::sleep;

use super::account::Betrayal;
use super::betrayal::{LOOK, answered};
use super::payments::patiently;
use super::story::step;
use super::theft::{CHANNEL_SAT, PAID_SAT, Prey};
use super::{DemoError, During as _, story::Teller};
use crate::amount::sat;
use crate::sandbox::SandboxError;
use crate::sandbox::network::{Network, TowerState};
use crate::sandbox::run::{Seat, key, mine};

/// Blocks for which the victim sleeps on when all is done: longer than the thief had to wait.
const ASLEEP_BLOCKS: u32 = 150;

/// Tells it. The tower's data go to `dir`.
pub(super) async fn tell(
    network: &mut impl Network,
    [alice, bob]: [&Seat; 2],
    dir: &Path,
    teller: &mut impl Teller,
) -> Result<Betrayal, DemoError> {
    let tower = network.tower(dir).await.map_err(SandboxError::from)?;
    hire(bob, tower).await?;
    let prey = Prey::new(alice, bob).await?;
    let states = step("telling the tower", covered(bob, &prey.channel_id)).await?;
    teller.done(&format!(
        "third act: the same channel again, {} with {} paid to bob; he has hired a watchtower, which has the \
         {states} states that alice revoked, and his node goes to sleep",
        sat(CHANNEL_SAT),
        sat(PAID_SAT)
    ));
    network.kill("bob").await.map_err(SandboxError::from)?;

    let cheat = prey.cheat(alice).await?;
    mine(&alice.client, 1).await.during("confirming the theft")?;
    teller.done(&format!(
        "alice cheats while nobody looks: the state before that payment gives her {} again, in {} blocks",
        sat(cheat.ours_sat),
        cheat.to_self_delay_blocks
    ));

    step("waiting for the tower", answered(&prey, alice)).await?;
    mine(&alice.client, 1).await.during("confirming justice")?;
    mine(&alice.client, ASLEEP_BLOCKS).await.during("letting blocks pass")?;
    network.restart("bob").await.map_err(SandboxError::from)?;
    let ambush = prey.account(&cheat, alice, bob).await?;
    teller.done(&format!(
        "the tower saw it and took everything for bob; his node wakes up {ASLEEP_BLOCKS} blocks later and has {} \
         more, alice nothing of the channel",
        sat(ambush.taken_sat)
    ));
    let why = step("asking why", why(bob, &prey.channel_id)).await?;
    teller.done(&format!("bob asks why: {why}"));
    Ok(ambush)
}

async fn hire(bob: &Seat, tower: TowerState) -> Result<(), DemoError> {
    const HIRING: &str = "hiring a watchtower";
    let ask = v1::AddTowerRequest {
        tower_id: tower.tower_id,
        address: tower.address,
        trusted: false,
        idempotency_key: key().during(HIRING)?,
    };
    let send = || async { bob.client.towers().add(ask.clone()).await };
    patiently(send).await.during(HIRING)?;
    Ok(())
}

/// Waits until the tower has every state that may be shown; says how many those are.
async fn covered(bob: &Seat, channel_id: &str) -> Result<u64, DemoError> {
    loop {
        let ask = || async { bob.client.towers().coverage(v1::TowerCoverageRequest {}).await };
        let all = patiently(ask).await.during("looking at what is covered")?.into_inner();
        let ours = all.channels.iter().find(|channel| channel.channel_id == channel_id);
        if let Some(ours) = ours.filter(|ours| ours.states > 0 && ours.uncovered_states == 0) {
            return Ok(ours.states);
        }
        sleep(LOOK).await;
    }
}

/// What the victim's node says of its channel, once it has looked at the blocks that it slept through.
async fn why(bob: &Seat, channel_id: &str) -> Result<String, DemoError> {
    loop {
        let ask = || async {
            let ask = v1::WhyChannelRequest { channel_id: channel_id.to_owned() };
            bob.client.why().channel(ask).await
        };
        let why = patiently(ask).await.during("asking why")?.into_inner();
        if let Some(taken) = why.steps.iter().find(|step| step.code == "taken-by-tower") {
            return Ok(format!("{}; {}", why.summary, taken.text));
        }
        sleep(LOOK).await;
    }
}
