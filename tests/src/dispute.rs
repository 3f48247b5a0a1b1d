//! Two nodes, a channel between them, HTLCs that hang in it, and whatever Layer 1 and disks do meanwhile.
//!
//! A scene is told block by block: who closes, who sleeps, whose disk fails after which record, which
//! blocks are replaced. Nodes that died on the way are started again by themselves.
//! Not here: which scenes there are, and what must hold at their ends (`tests/it/disputes`).

mod hang;

use crate::layer1::{Layer1, nobody};
use crate::ours::{Asleep, OurNode, Place};
use crate::until::{PATIENCE, until_async};
use bitcoin::{OutPoint, Transaction, Txid};
use chain_backend::Reorg;
use daemon::rpc::model::channel::{
    Channel, ChannelFilter, ChannelPhase, ChannelRef, CloseChannel, CloseHow,
};
use daemon::rpc::model::payment::PaymentStatus;
use daemon::rpc::model::sandbox::Cheat;
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::Refusal;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::id::ChannelId;

pub use hang::Hung;

/// Satoshi in each wallet at the start: one subsidy of the built-in chain.
pub const COIN: u64 = 5_000_000_000;
/// Satoshi in the channel.
pub const CAPACITY: u64 = 2_000_000;
/// Satoshi of it that the fundee has from the start.
pub const GIVEN: u64 = 700_000;
/// What both anchors hold together, satoshi. BOLT 3 § Anchor Outputs.
pub const ANCHORS: u64 = 660;

/// What nodes need to hold HTLCs for us, and to cheat.
const SETTINGS: [(&str, &str); 3] =
    [("chain.cheat", "true"), ("forwarding.enabled", "true"), ("forwarding.intercept", "true")];

/// Blocks above the funding, so that no reorganisation of a scene reaches it.
const ROOM: u32 = 24;

/// How long a node may be busy with a block before the next comes.
const BREATH: Duration = Duration::from_millis(12);

/// How long a close may take to the mempool before a block comes.
const WAIT: Duration = Duration::from_secs(1);

/// How long a commitment in the mempool may be without an answer.
const ANSWER: Duration = Duration::from_secs(3);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(3);

/// Blocks at once while nothing happens.
const QUIET: u32 = 6;

/// The most blocks until everything is over: what HTLCs wait, what delays lock, and a hundred on top.
const BLOCKS_MAX: u32 = 700;

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Paid for the channel, and pays for its commitments.
    Funder,
    /// Did not.
    Fundee,
}

impl Who {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Funder, Self::Fundee];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Funder => Self::Fundee,
            Self::Fundee => Self::Funder,
        }
    }
}

/// When a node is to die, by moments of its journal: before each record, and behind it.
#[derive(Clone, Copy, Debug)]
struct Deadly {
    who: Who,
    /// That come before it, while it sleeps.
    left: u64,
    /// Between a start and its next death.
    again: Option<u64>,
}

#[derive(Debug)]
enum Seat {
    Awake(Box<OurNode>),
    Asleep(Box<Asleep>),
    /// On its way from one to the other.
    Empty,
}

/// The world of a dispute.
#[derive(Debug)]
pub struct Scene {
    /// The chain.
    pub layer1: Layer1,
    /// The channel.
    pub id: ChannelId,
    /// Its funding output.
    pub funding: OutPoint,
    seats: [Seat; 2],
    /// What hangs in it, in order.
    pub hung: Vec<Hung>,
    /// The height at which the last of them expires.
    expiry: u32,
    /// What each wallet held when the channel was open, satoshi.
    before: [u64; 2],
    /// Satoshi that hung or were settled: what the funder would have without any that hang.
    paid: [u64; 2],
    /// How often each node died.
    pub deaths: [u32; 2],
    deadly: Option<Deadly>,
    /// Whether the takers said what becomes of what hangs: whoever dies later may not have heard it.
    told: bool,
    /// What every wallet ever got, and what the miners had got before the dispute began, satoshi.
    given: u64,
    fees_before: u64,
    dir: tempfile::TempDir,
}

/// Where every satoshi went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// What each wallet holds, less what it held before: what came home.
    pub home: [i64; 2],
    /// What the miners got since the dispute began.
    pub fees: u64,
    /// What nobody took: anchors.
    pub left: u64,
    /// Blocks from the beginning to the last satoshi.
    pub blocks: u32,
}

/// For each spent output of a commitment but its anchors whether it was its victim's own balance (its
/// spender shows a signature and a script, no more), and the block; and how many are not spent.
async fn taken_from(layer1: &Layer1, commitment: Txid) -> (Vec<(bool, Option<u32>)>, usize) {
    let chain = layer1.chain();
    let tx = chain.tx(commitment).await.expect("it answers").expect("it is there").tx;
    let (mut spends, mut open) = (Vec::new(), 0);
    for (vout, output) in (0_u32..).zip(&tx.output) {
        if output.value.to_sat() * 2 == ANCHORS {
            continue;
        }
        let outpoint = OutPoint { txid: commitment, vout };
        match chain.spender(outpoint, 0).await.expect("it answers") {
            Some(spend) => {
                let input = &spend.tx.input[spend.input_index as usize];
                let block = spend.block.map(|block| block.height);
                spends.push((input.witness.len() == 2, block));
            }
            None => open += 1,
        }
    }
    (spends, open)
}

impl Scene {
    /// Two nodes with a coin each and a usable channel, in which both have something.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn open() -> Self {
        Self::open_with(&[]).await
    }

    /// The same with more settings for both.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn open_with(more: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let layer1 = Layer1::start();
        let settings: Vec<_> = SETTINGS.iter().chain(more).copied().collect();
        let place = |name| Place::with_settings(name, dir.path(), &layer1, &settings);
        let funder = OurNode::start(place("funder")).await;
        let fundee = OurNode::start(place("fundee")).await;
        layer1.give(&[funder.wallet_script().await, fundee.wallet_script().await]).await;
        for node in [&funder, &fundee] {
            node.at_height(layer1.height().await).await;
        }
        let id = funder.open_channel(fundee.id(), fundee.address(), CAPACITY).await;
        layer1.mempool_of(1).await;
        let height = layer1.mine(ROOM).await;
        for node in [&funder, &fundee] {
            node.at_height(height).await;
            node.usable(id).await;
        }
        let (invoice, hash) = fundee.create_invoice(Some(GIVEN * 1_000), 3_600).await;
        funder.begin_pay(&invoice).await.expect("not refused");
        let status = funder.outcome(hash).await;
        assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
        let channel = funder.usable(id).await;
        let before = [funder.balance().await, fundee.balance().await];
        let fees_before = layer1.totals().await.fees_sat;
        let seats = [Seat::Awake(Box::new(funder)), Seat::Awake(Box::new(fundee))];
        let mut scene = Self {
            layer1,
            id,
            funding: channel.funding.expect("funded"),
            seats,
            hung: Vec::new(),
            expiry: 0,
            before: before.map(|balance| balance.confirmed.to_sat()),
            paid: [CAPACITY - GIVEN, GIVEN],
            deaths: [0; 2],
            deadly: None,
            told: false,
            given: 2 * COIN,
            fees_before,
            dir,
        };
        scene.quiet().await;
        scene
    }

    /// Where everything lies; gone with the scene.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A node that is awake.
    ///
    /// # Panics
    /// When it sleeps.
    pub fn node(&self, who: Who) -> &OurNode {
        match &self.seats[who as usize] {
            Seat::Awake(node) => node,
            Seat::Asleep(_) | Seat::Empty => panic!("the {who:?} sleeps"),
        }
    }

    /// Whether it runs.
    pub const fn is_awake(&self, who: Who) -> bool {
        matches!(self.seats[who as usize], Seat::Awake(_))
    }

    /// Starts whoever has died.
    ///
    /// # Panics
    /// When it does not start again.
    pub async fn tend(&mut self) {
        for who in Who::BOTH {
            if self.is_awake(who) && self.node(who).has_failed() {
                self.crash(who).await;
            }
        }
    }

    /// A node dies in the middle of whatever it does, and is started again.
    ///
    /// # Panics
    /// When it does not start again.
    pub async fn crash(&mut self, who: Who) {
        let seat = &mut self.seats[who as usize];
        if let Seat::Awake(node) = std::mem::replace(seat, Seat::Empty) {
            *seat = Seat::Awake(Box::new(node.crash_and_restart().await));
            self.deaths[who as usize] += 1;
            if let Some(Deadly { who: mortal, again: Some(moments), .. }) = self.deadly
                && mortal == who
            {
                self.node(who).fail_at_moment(moments);
            }
        }
    }

    /// A node dies at the `moment`th moment of its journal from now on, two a record: the first is before the first
    /// record is written, the second when it is durable and nobody has heard of it. And so many moments after each
    /// start as `again` says, if it says so.
    pub fn kill_at(&mut self, who: Who, moment: u64, again: Option<u64>) {
        let left = moment.saturating_sub(1);
        self.deadly = Some(Deadly { who, left, again });
        if self.is_awake(who) {
            self.node(who).fail_at_moment(left);
        }
    }

    /// Nobody is to die any more. Whoever was about to, dies of it.
    ///
    /// # Panics
    /// When it does not start again.
    pub async fn kill_no_more(&mut self) {
        if let Some(Deadly { who, .. }) = self.deadly.take() {
            if self.is_awake(who) && self.node(who).fail_no_more() == 0 {
                self.crash(who).await;
            }
            self.tend().await;
        }
    }

    /// A node stops.
    ///
    /// # Panics
    /// When it does not.
    pub async fn sleep(&mut self, who: Who) {
        // Nobody dies while it stops in order: it goes on dying when it wakes up.
        if let Some(mut deadly) = self.deadly.filter(|deadly| deadly.who == who) {
            deadly.left = self.node(who).fail_no_more();
            if deadly.left == 0 {
                self.crash(who).await;
                deadly.left = self.node(who).fail_no_more();
            }
            self.deadly = Some(deadly);
        }
        let seat = &mut self.seats[who as usize];
        if let Seat::Awake(node) = std::mem::replace(seat, Seat::Empty) {
            *seat = Seat::Asleep(Box::new(node.sleep().await));
        }
    }

    /// A node that stopped is started again.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn wake(&mut self, who: Who) {
        let seat = &mut self.seats[who as usize];
        match std::mem::replace(seat, Seat::Empty) {
            Seat::Asleep(asleep) => *seat = Seat::Awake(Box::new(asleep.wake().await)),
            other @ (Seat::Awake(_) | Seat::Empty) => *seat = other,
        }
        if let Some(deadly) = self.deadly.filter(|deadly| deadly.who == who) {
            self.node(who).fail_at_moment(deadly.left);
        }
        self.level().await;
    }

    /// The disk of a node fails after so many more records, as often as it is called.
    pub fn fail_after(&self, who: Who, records: u64) {
        if self.is_awake(who) {
            self.node(who).fail_after(records);
        }
    }

    /// Its end of the channel, if it answers.
    pub async fn look(&self, who: Who) -> Option<Channel> {
        if !self.is_awake(who) {
            return None;
        }
        let filter = ChannelFilter { ended: true, ..ChannelFilter::default() };
        let all = self.node(who).handle().list_channels(filter).await.ok()?;
        all.into_iter().find(|channel| channel.id == self.id)
    }

    /// Its end of the channel; a node that has died is started again.
    ///
    /// # Panics
    /// When it has none.
    pub async fn view(&mut self, who: Who) -> Channel {
        let start = Instant::now();
        loop {
            self.tend().await;
            if let Some(channel) = self.look(who).await {
                return channel;
            }
            assert!(start.elapsed() < PATIENCE, "the {who:?} knows no such channel");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until nothing is in flight and both tell the same.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn quiet(&mut self) {
        self.agreed(0).await;
    }

    /// Waits until so many HTLCs are in flight, and both tell the same.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn agreed(&mut self, htlcs: usize) -> [Channel; 2] {
        let start = Instant::now();
        loop {
            self.say_again().await;
            let (ours, theirs) = (self.view(Who::Funder).await, self.view(Who::Fundee).await);
            let counted = ours.htlcs.len() == htlcs && theirs.htlcs.len() == htlcs;
            if counted && ours.ours == theirs.theirs && ours.theirs == theirs.ours {
                return [ours, theirs];
            }
            assert!(start.elapsed() < PATIENCE, "no agreement: {ours:?}\n{theirs:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until everybody who is awake has seen the tip, and leaves them some time to act on it.
    ///
    /// # Panics
    /// When somebody falls behind.
    pub async fn level(&mut self) {
        let height = self.layer1.height().await;
        let start = Instant::now();
        loop {
            self.tend().await;
            let awake = Who::BOTH.into_iter().filter(|who| self.is_awake(*who));
            let tips = awake.map(|who| self.node(who).handle().tip().borrow().height.0);
            if tips.into_iter().all(|tip| tip >= height) {
                break;
            }
            assert!(start.elapsed() < PATIENCE, "somebody does not see block {height}");
            tokio::time::sleep(PAUSE).await;
        }
        self.say_again().await;
        tokio::time::sleep(BREATH).await;
    }

    /// Mines blocks one by one, each seen by all before the next.
    ///
    /// # Panics
    /// When somebody falls behind.
    pub async fn mine(&mut self, blocks: u32) {
        for _ in 0..blocks {
            self.layer1.mine(1).await;
            self.level().await;
        }
    }

    /// Mines so many blocks in which nothing is expected to happen: several at once, as long as nothing waits for them.
    ///
    /// # Panics
    /// When somebody falls behind.
    pub async fn pass(&mut self, blocks: u32) {
        let mut left = blocks;
        while left > 0 {
            let waiting = self.layer1.chain().mempool().await.expect("it answers");
            let step = if waiting.is_empty() { left.min(QUIET) } else { 1 };
            self.layer1.mine(step).await;
            self.level().await;
            left -= step;
        }
    }

    /// [`Self::pass`] until the chain is so high.
    ///
    /// # Panics
    /// When somebody falls behind.
    pub async fn pass_to(&mut self, height: u32) {
        let now = self.layer1.height().await;
        self.pass(height.saturating_sub(now)).await;
    }

    /// Mines until the chain is so high.
    ///
    /// # Panics
    /// When somebody falls behind.
    pub async fn mine_to(&mut self, height: u32) {
        let now = self.layer1.height().await;
        self.mine(height.saturating_sub(now)).await;
    }

    /// Replaces the last blocks. All that they had of this dispute is left out of the new ones: it waits
    /// again, or is forgotten, so that whoever sent it must send it again.
    ///
    /// # Panics
    /// When the chain refuses.
    pub async fn reorganise(&mut self, depth: u32, forget: bool) {
        let tip = self.layer1.height().await;
        let mut left_out = BTreeSet::new();
        for height in tip + 1 - depth..=tip {
            let at = self.layer1.chain().header_at(height).await.expect("a block");
            let block = self.layer1.chain().block(at.hash).await.expect("a block");
            left_out.extend(block.txdata.iter().skip(1).map(Transaction::compute_txid));
        }
        left_out.remove(&self.funding.txid);
        let reorg = Reorg { depth, left_out, forget, script: nobody() };
        self.layer1.chain().reorganise(reorg).await.expect("another branch");
        self.level().await;
    }

    /// A node begins to close the channel.
    ///
    /// # Errors
    /// What it refuses, or that it is gone.
    pub async fn close(&self, who: Who, force: bool) -> Result<(), Refusal> {
        let together = CloseHow::Cooperative { to: None, feerate: None };
        let how = if force { CloseHow::Force } else { together };
        let order = CloseChannel { key: None, channel: ChannelRef::Id(self.id), how };
        self.node(who).handle().close_channel(order).await.map(drop)
    }

    /// A node closes the channel alone, and says so again each time it died before it knew.
    ///
    /// # Panics
    /// When nothing comes of it.
    pub async fn force(&mut self, who: Who) -> Arc<Transaction> {
        self.ask_until_spent(who, true).await
    }

    /// A node asks for the end of the channel, again each time it died before it knew, until something
    /// spends the channel. Blocks come meanwhile, so that fees can rise.
    ///
    /// # Panics
    /// When nothing comes of it.
    pub async fn ask_until_spent(&mut self, who: Who, force: bool) -> Arc<Transaction> {
        let start = Instant::now();
        let mut asked = None;
        let mut blocks = 1;
        loop {
            self.tend().await;
            self.say_again().await;
            let deaths = self.deaths;
            if asked != Some(deaths) && self.close(who, force).await.is_ok() {
                asked = Some(deaths);
            }
            let spend = self.layer1.chain().spender(self.funding, 0).await.expect("it answers");
            if let Some(spend) = spend {
                return spend.tx;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "nothing spends the channel: {:?}\n{:?}",
                self.look(Who::Funder).await,
                self.look(Who::Fundee).await
            );
            tokio::time::sleep(PAUSE).await;
            if start.elapsed() > WAIT * blocks {
                blocks += 1;
                self.mine(1).await;
            }
        }
    }

    /// A node cheats with an old state, and is told so again each time it died before it knew.
    ///
    /// # Panics
    /// When nothing comes of it.
    pub async fn cheat(&mut self, thief: Who, state: u64) {
        let start = Instant::now();
        loop {
            self.tend().await;
            let order = Cheat { channel: ChannelRef::Id(self.id), state };
            let Err(refused) = self.node(thief).handle().cheat(order).await else { return };
            // It may have begun before it died: then it goes on by itself.
            let spend = self.layer1.chain().spender(self.funding, 0).await.expect("it answers");
            if spend.is_some() {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "it does not cheat: {refused:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Gives whoever is awake some time to answer what spends the channel, in a block or not, until nothing but
    /// anchors is left of it; a block would take ten minutes.
    ///
    /// # Panics
    /// When somebody who died does not start again.
    pub async fn answered(&mut self) {
        let start = Instant::now();
        while start.elapsed() < ANSWER {
            self.tend().await;
            let spend = self.layer1.chain().spender(self.funding, 0).await.expect("it answers");
            let Some(spend) = spend else { return };
            let left = self.layer1.unspent_of(&spend.tx).await;
            if left.iter().all(|(_, output)| output.value.to_sat() == ANCHORS / 2) {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Gives everybody some time to answer a revoked commitment in the mempool: whether all of it is spent
    /// there then but for its anchors and the victim's own balance, which is locked for a block.
    ///
    /// # Panics
    /// When the commitment is not there.
    pub async fn all_taken(&self, breach: Txid) -> bool {
        let start = Instant::now();
        while start.elapsed() < ANSWER {
            let (_, open) = taken_from(&self.layer1, breach).await;
            if open <= 1 {
                return true;
            }
            tokio::time::sleep(PAUSE).await;
        }
        false
    }

    /// How many outputs of a breach nobody spends yet, its anchors not counted.
    ///
    /// # Panics
    /// When it is not there.
    pub async fn untaken(&self, breach: Txid) -> usize {
        taken_from(&self.layer1, breach).await.1
    }

    /// Blocks from a breach to the last transaction that punishes it, 0 if all were in its block; `None` if
    /// an output is left to the thief. The victim's own balance does not count.
    ///
    /// # Panics
    /// When the breach is in no block.
    pub async fn justice(&self, breach: Txid) -> Option<u32> {
        let at = self.height_of(breach).await.flatten().expect("the breach is in a block");
        let (spends, open) = taken_from(&self.layer1, breach).await;
        let punish = spends.iter().filter(|(own, _)| !own);
        let own = spends.iter().any(|(own, _)| *own);
        let last = punish
            .map(|(_, block)| *block)
            .try_fold(at, |last, block| block.map(|block| block.max(last)));
        last.filter(|_| open <= usize::from(!own)).map(|last| last - at)
    }

    /// The height at which the last of what hangs expires; 0 when nothing does.
    pub const fn last_expiry(&self) -> u32 {
        self.expiry
    }

    /// Whether a transaction is in a block, and in which; `None`: it is nowhere.
    ///
    /// # Panics
    /// When the chain is gone.
    pub async fn height_of(&self, txid: Txid) -> Option<Option<u32>> {
        let found = self.layer1.chain().tx(txid).await.expect("the chain answers")?;
        Some(found.confirmed.map(|(block, _)| block.height))
    }

    /// Mines until both call the channel over.
    ///
    /// # Panics
    /// When they do not.
    pub async fn bury(&mut self) {
        for _ in 0..BLOCKS_MAX / 5 {
            let mut over = true;
            for who in Who::BOTH {
                over &= self.view(who).await.phase == ChannelPhase::Closed;
            }
            if over {
                return;
            }
            self.layer1.mine(5).await;
            self.level().await;
        }
        panic!("not over: {:?}\n{:?}", self.look(Who::Funder).await, self.look(Who::Fundee).await);
    }

    /// What a node may expect of the channel when all that hangs ends as it must, satoshi; what is too small
    /// for an output goes to nobody when the end is `forced`.
    pub fn due(&self, who: Who, forced: bool) -> u64 {
        let mut due = self.paid[who as usize];
        for hung in &self.hung {
            let lost = forced && hung.is_dust();
            if hung.from == who && (lost || hung.known) {
                due -= hung.sat;
            }
            if hung.to() == who && !lost && hung.known {
                due += hung.sat;
            }
        }
        due
    }

    /// Waits until wallets, fees and at most the anchors add up to all there ever was.
    ///
    /// # Panics
    /// When they do not.
    pub async fn account(&mut self, since: u32) -> Account {
        self.level().await;
        let fees = self.layer1.totals().await.fees_sat;
        let mut wallets = [0; 2];
        for who in Who::BOTH {
            let node = self.node(who);
            let what = format!("the {who:?}'s coins in blocks");
            let balance = until_async(&what, String::new, || async {
                let balance = node.handle().wallet_balance().await.ok()?;
                (balance.unconfirmed.to_sat() == 0).then_some(balance)
            });
            wallets[who as usize] = balance.await.confirmed.to_sat();
        }
        let left = self.given.checked_sub(fees + wallets[0] + wallets[1]);
        let left = left.expect("no satoshi is made");
        let home = Who::BOTH.map(|who| {
            let index = who as usize;
            wallets[index] as i64 - self.before[index] as i64
        });
        let blocks = self.layer1.height().await - since;
        Account { home, fees: fees - self.fees_before, left, blocks }
    }
}
