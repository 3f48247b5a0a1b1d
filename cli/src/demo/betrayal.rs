//! The second act: one of the two broadcasts an old state, in which nothing was paid yet, and the other takes
//! all of the channel for it.

use std::time::Duration;

use tokio::time::sleep;

use super::account::Betrayal;
use super::story::step;
use super::theft::{CHANNEL_SAT, PAID_SAT, Prey};
use super::{DemoError, During as _, story::Teller};
use crate::amount::sat;
use crate::sandbox::run::{Seat, mine};

/// How often it is looked whether somebody has noticed.
pub(super) const LOOK: Duration = Duration::from_millis(10);

/// Tells it.
pub(super) async fn tell(
    alice: &Seat,
    bob: &Seat,
    teller: &mut impl Teller,
) -> Result<Betrayal, DemoError> {
    let prey = Prey::new(alice, bob).await?;
    teller.done(&format!(
        "second act: another channel of {}, over which alice pays bob {}",
        sat(CHANNEL_SAT),
        sat(PAID_SAT)
    ));

    let cheat = prey.cheat(alice).await?;
    mine(&alice.client, 1).await.during("confirming the theft")?;
    teller.done(&format!(
        "alice cheats: she broadcasts the state before that payment, signed and revoked, which gives \
         her {} again",
        sat(cheat.ours_sat)
    ));

    step("waiting for justice", answered(&prey, alice)).await?;
    mine(&alice.client, 1).await.during("confirming justice")?;
    let betrayal = prey.account(&cheat, alice, bob).await?;
    teller.done(&format!(
        "bob's node saw it and took everything: {} to bob, nothing of the channel to alice",
        sat(betrayal.taken_sat)
    ));
    Ok(betrayal)
}

/// Waits until somebody has handed in what takes the coins.
pub(super) async fn answered(prey: &Prey, at: &Seat) -> Result<(), DemoError> {
    while !prey.is_answered(at).await? {
        sleep(LOOK).await;
    }
    Ok(())
}
