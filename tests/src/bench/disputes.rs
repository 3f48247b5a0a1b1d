//! `bench disputes`: what each end of a channel brings home, what it costs, and how many blocks it takes.
//!
//! Two nodes of ours and the built-in chain. The best possible is what the channel's books give to those who
//! are honest; what of it did not come home is in fees and anchors, or it is missing.

use super::figure::Figure;
use crate::dispute::{CAPACITY, Scene, Who};
use daemon::rpc::model::channel::ChannelRef;
use daemon::rpc::model::sandbox::Cheat;
use daemon::rpc::node_api::NodeApi as _;

/// What an HTLC holds at least, satoshi.
const HTLC: u64 = 20_000;
/// Blocks until everything is home: what HTLCs wait, and the delay.
const BLOCKS: u32 = 300;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// One JSON object a figure instead of a table.
    #[arg(long)]
    pub json: bool,
    /// HTLCs on the commitment, half of them from each side; half of those with a preimage.
    #[arg(long, default_value_t = 20)]
    pub htlcs: u64,
    /// How often each end is played.
    #[arg(long, default_value_t = 1)]
    pub runs: usize,
}

/// An end of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Cooperative,
    Ours,
    Theirs,
    Revoked,
}

impl End {
    const ALL: [Self; 4] = [Self::Cooperative, Self::Ours, Self::Theirs, Self::Revoked];

    const fn name(self) -> &'static str {
        match self {
            Self::Cooperative => "cooperative",
            Self::Ours => "ours",
            Self::Theirs => "theirs",
            Self::Revoked => "revoked",
        }
    }
}

/// What an end came to for "us", who funded the channel, and for both together.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    /// What is ours by the books, satoshi.
    best: u64,
    /// What came home.
    recovered: i64,
    /// All that the miners got, from both.
    fees: u64,
    /// Anchors that nobody took.
    left: u64,
    /// What of both sides' money is neither home nor a fee nor an anchor.
    missing: i64,
    /// Blocks from the order to our last satoshi.
    blocks: u32,
    /// Blocks from the breach to the last transaction that punishes it; 0 is the same block.
    justice: Option<u32>,
}

/// Measures and tells.
///
/// # Panics
/// When a node fails.
pub fn run(arguments: &Arguments) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut rows = Vec::new();
    for end in End::ALL {
        let outcomes: Vec<_> = (0..arguments.runs.max(1))
            .map(|_| runtime.block_on(play(end, arguments.htlcs)))
            .collect();
        rows.push((end, outcomes));
    }
    if arguments.json {
        figures(&rows).iter().for_each(|figure| println!("{}", figure.json()));
    } else {
        table(&rows, arguments.htlcs);
    }
}

async fn play(end: End, htlcs: u64) -> Outcome {
    let mut scene = Scene::open().await;
    for number in 0..htlcs / 2 {
        for from in Who::BOTH {
            scene.hang(from, HTLC + number, number % 2 == 0).await;
        }
    }
    let since = scene.layer1.height().await;
    let us = Who::Funder;
    let mut breach = None;
    match end {
        End::Cooperative => {
            scene.words().await;
            scene.quiet().await;
            scene.ask_until_spent(us, false).await;
        }
        End::Ours | End::Theirs => {
            let by = if end == End::Ours { us } else { us.other() };
            scene.ask_until_spent(by, true).await;
            scene.mine(1).await;
            scene.words().await;
        }
        End::Revoked => {
            let thief = us.other();
            let state = scene.view(thief).await.commitment_number;
            scene.words().await;
            scene.quiet().await;
            let order = Cheat { channel: ChannelRef::Id(scene.id), state };
            let cheating = scene.node(thief).handle().cheat(order).await.expect("it cheats");
            // If nothing comes before the block, justice tells so.
            let _seen = scene.all_taken(cheating.txid).await;
            breach = Some(cheating.txid);
        }
    }
    let blocks = until_home(&mut scene, us, since).await;
    scene.bury().await;
    let account = scene.account(since).await;
    let forced = end != End::Cooperative;
    let best = if end == End::Revoked { CAPACITY } else { scene.due(us, forced) };
    let home = account.home[0] + account.home[1];
    let missing = CAPACITY as i64 - home - account.fees as i64 - account.left as i64;
    let justice = match breach {
        Some(txid) => Some(scene.justice(txid).await.expect("everything is taken")),
        None => None,
    };
    let (fees, left) = (account.fees, account.left);
    Outcome { best, recovered: account.home[us as usize], fees, left, missing, blocks, justice }
}

/// Mines until nothing more can come; answers after how many blocks the last satoshi had come.
async fn until_home(scene: &mut Scene, who: Who, since: u32) -> u32 {
    let mut last = (scene.node(who).balance().await.confirmed, since);
    for _ in 0..BLOCKS {
        scene.mine(1).await;
        let balance = scene.node(who).balance().await.confirmed;
        if balance != last.0 {
            last = (balance, scene.layer1.height().await);
        }
    }
    last.1 - since
}

fn figures(rows: &[(End, Vec<Outcome>)]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (end, outcomes) in rows {
        let mut add = |what: &str, unit, of: fn(&Outcome) -> f64| {
            let name = format!("disputes.{}.{what}", end.name());
            figures.push(Figure::alone(name, unit, outcomes.iter().map(of).collect()));
        };
        add("best", "sat", |it| it.best as f64);
        add("recovered", "sat", |it| it.recovered as f64);
        add("share", "%", share);
        add("fees", "sat", |it| it.fees as f64);
        add("left", "sat", |it| it.left as f64);
        add("missing", "sat", |it| it.missing as f64);
        add("blocks", "blocks", |it| f64::from(it.blocks));
        if *end == End::Revoked {
            add("justice", "blocks", |it| it.justice.map_or(f64::NAN, f64::from));
        }
    }
    figures
}

fn share(outcome: &Outcome) -> f64 {
    100.0 * outcome.recovered as f64 / outcome.best as f64
}

fn table(rows: &[(End, Vec<Outcome>)], htlcs: u64) {
    println!("ends of a channel with {htlcs} HTLCs, satoshi");
    println!(
        "  {:<12} {:>9} {:>9} {:>7} {:>7} {:>5} {:>7} {:>7}",
        "end", "best", "home", "%", "fees", "left", "missing", "blocks"
    );
    for (end, outcomes) in rows {
        for it in outcomes {
            let justice = it.justice.map_or(String::new(), |blocks| {
                format!("   punished {blocks} blocks after the breach's own")
            });
            println!(
                "  {:<12} {:>9} {:>9} {:>7.2} {:>7} {:>5} {:>7} {:>7}{justice}",
                end.name(),
                it.best,
                it.recovered,
                share(it),
                it.fees,
                it.left,
                it.missing,
                it.blocks,
            );
        }
    }
}
