//! One way a channel can end, told as data, and how it is played and judged.

use bitcoin::FeeRate;
use daemon::rpc::model::channel::CloseKind;
use viaduct_tests::dispute::{ANCHORS, Account, CAPACITY, Scene, Who};

/// How the channel ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Both sign.
    Together,
    /// One side's newest commitment.
    Alone,
    /// The same, while the other one sleeps.
    AloneInTheDark,
    /// A commitment that one side has revoked.
    Revoked,
    /// The same, while the other one sleeps, though less than `to_self_delay`.
    RevokedInTheDark,
}

impl End {
    pub(super) const ALL: [Self; 5] =
        [Self::Together, Self::Alone, Self::AloneInTheDark, Self::Revoked, Self::RevokedInTheDark];

    pub(super) const fn is_theft(self) -> bool {
        matches!(self, Self::Revoked | Self::RevokedInTheDark)
    }

    const fn is_dark(self) -> bool {
        matches!(self, Self::AloneInTheDark | Self::RevokedInTheDark)
    }
}

/// What goes wrong on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing.
    None,
    /// Again and again somebody's disk fails after so many records.
    Crashes { who: Who, records: u64 },
    /// At every stage the last blocks are replaced, with nothing of the dispute in the new ones.
    Reorgs { depth: u32 },
    /// Somebody dies at this moment of its journal, counted from when the HTLCs hang (`Scene::kill_at`), and at so
    /// many moments after each start as `again` says, if it does.
    KillAt { who: Who, moment: u64, again: Option<u64> },
}

/// An HTLC: who offers it, how much, and whether its taker knows the preimage.
pub(super) type Htlc = (Who, u64, bool);

/// Large enough for an output whatever fees are.
pub(super) const LARGE: u64 = 60_000;
/// Too small for one.
pub(super) const DUST: u64 = 300;

/// Every kind there is.
pub(super) const EVERY_HTLC: [Htlc; 8] = [
    (Who::Funder, LARGE, true),
    (Who::Funder, LARGE + 1_000, false),
    (Who::Fundee, LARGE + 2_000, true),
    (Who::Fundee, LARGE + 3_000, false),
    (Who::Funder, DUST, true),
    (Who::Funder, DUST + 1, false),
    (Who::Fundee, DUST + 2, true),
    (Who::Fundee, DUST + 3, false),
];

/// What blocks ask for while fees are high, satoshi per vbyte.
const SPIKE: u32 = 25;

/// Deaths of a node in one scenario, at most: each costs a start.
const DEATHS_MAX: u32 = 12;

/// One way.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) end: End,
    /// Who closes, or asks for the end.
    pub(super) by: Who,
    pub(super) htlcs: Vec<Htlc>,
    pub(super) spike: bool,
    pub(super) trouble: Trouble,
}

impl Scenario {
    /// Plays it and judges how it came out.
    pub(super) async fn play(&self) -> Account {
        self.play_counting().await.0
    }

    /// The same; tells as well how often each side died.
    pub(super) async fn play_counting(&self) -> (Account, [u32; 2]) {
        let mut scene = Scene::open().await;
        for (from, sat, known) in &self.htlcs {
            scene.hang(*from, *sat, *known).await;
        }
        let since = scene.layer1.height().await;
        if let Trouble::KillAt { who, moment, again } = self.trouble {
            scene.kill_at(who, moment, again);
        }
        match self.end {
            End::Together => self.together(&mut scene).await,
            End::Alone | End::AloneInTheDark => self.alone(&mut scene).await,
            End::Revoked | End::RevokedInTheDark => self.theft(&mut scene).await,
        }
        scene.bury().await;
        scene.kill_no_more().await;
        (self.judge(&mut scene, since).await, scene.deaths)
    }

    /// Things go wrong now.
    async fn stage(&self, scene: &mut Scene, number: u64) {
        match self.trouble {
            Trouble::None | Trouble::KillAt { .. } => {}
            Trouble::Crashes { who, records } => {
                if scene.deaths[who as usize] < DEATHS_MAX {
                    scene.fail_after(who, records);
                }
            }
            Trouble::Reorgs { depth } => scene.reorganise(depth, number.is_multiple_of(2)).await,
        }
    }

    async fn fees_rise(&self, scene: &Scene) {
        if self.spike {
            let floor = FeeRate::from_sat_per_vb_u32(SPIKE);
            scene.layer1.chain().set_floor(Some(floor)).await.expect("a floor");
        }
    }

    /// Mines so many blocks with trouble after the first ones.
    async fn blocks(&self, scene: &mut Scene, stage: u64, blocks: u32) {
        for block in 0..blocks.min(3) {
            if matches!(self.trouble, Trouble::Crashes { .. }) || block == 1 {
                self.stage(scene, stage).await;
            }
            scene.mine(1).await;
        }
        scene.mine(blocks.saturating_sub(3)).await;
    }

    /// `shutdown` is said with HTLCs in flight; they drain, and both sign.
    async fn together(&self, scene: &mut Scene) {
        self.fees_rise(scene).await;
        // Both learn the price before they agree on it.
        scene.mine(1).await;
        self.stage(scene, 0).await;
        // It may die of that, and is asked again then.
        let _asked = scene.close(self.by, false).await;
        scene.words().await;
        scene.ask_until_spent(self.by, false).await;
        for stage in 1..4 {
            self.blocks(scene, stage, 4).await;
        }
    }

    async fn alone(&self, scene: &mut Scene) {
        let other = self.by.other();
        if self.end.is_dark() {
            scene.sleep(other).await;
        }
        self.fees_rise(scene).await;
        self.stage(scene, 0).await;
        scene.force(self.by).await;
        self.stage(scene, 1).await;
        self.blocks(scene, 2, 3).await;
        if self.end.is_dark() {
            scene.mine(12).await;
            scene.wake(other).await;
        }
        scene.words().await;
        self.blocks(scene, 3, 22).await;
        // What nobody has a preimage for expires.
        let expiry = scene.last_expiry();
        scene.pass_to(expiry.saturating_sub(12)).await;
        scene.mine_to(expiry).await;
        self.blocks(scene, 4, 24).await;
        // What was locked opens.
        scene.pass(130).await;
        self.blocks(scene, 5, 12).await;
    }

    async fn theft(&self, scene: &mut Scene) {
        let (thief, victim) = (self.by, self.by.other());
        let old = scene.view(thief).await.commitment_number;
        scene.words().await;
        scene.quiet().await;
        if self.end.is_dark() {
            scene.sleep(victim).await;
        }
        self.stage(scene, 0).await;
        scene.cheat(thief, old).await;
        if !self.end.is_dark() {
            self.fees_rise(scene).await;
        }
        if self.end.is_dark() {
            scene.pass(100).await;
            self.fees_rise(scene).await;
            scene.wake(victim).await;
            scene.answered().await;
        }
        self.stage(scene, 1).await;
        for stage in 2..5 {
            self.blocks(scene, stage, 6).await;
        }
    }

    /// Every satoshi is where it belongs, but for fees, which nobody but their payer bears.
    async fn judge(&self, scene: &mut Scene, since: u32) -> Account {
        let forced = self.end != End::Together;
        let account = scene.account(since).await;
        assert!(account.left <= ANCHORS, "only anchors are left: {account:?}");
        let thief = self.end.is_theft().then_some(self.by);
        // What expired while the victim slept is fought for with up to half of its worth.
        let most = match self.end {
            _ if self.spike => 400_000,
            End::RevokedInTheDark => 60_000 + 2 * LARGE as i64,
            End::Together | End::Alone | End::AloneInTheDark | End::Revoked => 60_000,
        };
        let mut kinds = Vec::new();
        for who in Who::BOTH {
            let view = scene.view(who).await;
            assert!(view.htlcs.is_empty(), "{who:?}: {:?}", view.htlcs);
            kinds.push(view.closing.expect("closed").kind.expect("known"));
            let due = match thief {
                Some(thief) if thief == who => 0,
                Some(_) => CAPACITY as i64,
                None => scene.due(who, forced) as i64,
            };
            let lost = due - account.home[who as usize];
            assert!(lost >= 0, "the {who:?} has {} sat that are not its own: {account:?}", -lost);
            assert!(lost <= most, "the {who:?} lost {lost} of {due} sat: {account:?}");
        }
        let mut expected = match self.end {
            End::Together => vec![CloseKind::Cooperative; 2],
            End::Revoked | End::RevokedInTheDark => vec![CloseKind::ForcedByUs, CloseKind::Breach],
            End::Alone | End::AloneInTheDark => {
                vec![CloseKind::ForcedByUs, CloseKind::ForcedByThem]
            }
        };
        // Whoever hears that the other one closes does so as well, and either commitment may be mined.
        let either = self.end == End::Alone && kinds.first() != expected.first();
        if either || (self.end != End::Alone && self.by == Who::Fundee) {
            expected.reverse();
        }
        assert_eq!(kinds, expected, "the funder's word and the fundee's");
        for hung in scene.hung.clone() {
            let dust = forced && thief.is_none() && hung.is_dust();
            assert_eq!(scene.outcome(hung).await, hung.known && !dust, "{hung:?}");
        }
        account
    }
}
