//! `tower`.

mod audit;
mod drill;
mod verify_proof;

use api::v1;
use audit::{Audit, Proof};
use drill::Drill;
pub(crate) use verify_proof::VerifyProof;

use crate::amount::sat;
use crate::context::Context;
use crate::failure::Failure;
use crate::render::{Column, Screen, Tone, table};
use crate::resolve::{short, visible};
use crate::words;

/// Towers that punish for this node while it sleeps.
#[derive(Debug, clap::Args)]
pub(crate) struct Tower {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// All towers (the same as no word at all).
    List,
    /// How far each tower is with every channel.
    Status,
    /// What could be lost, channel by channel.
    Coverage,
    /// Hire a tower, or say where it is now.
    Add {
        /// ID@HOST:PORT, as the tower prints it.
        tower: String,
        /// It is mine: it gets keys instead of signatures, and can do more. Never for somebody else's.
        #[arg(long)]
        trusted: bool,
    },
    /// Dismiss a tower. What it has it keeps until its sessions expire.
    Remove {
        /// The tower: the beginning of its id.
        tower: String,
    },
    Drill(Drill),
    Audit(Audit),
    Proof(Proof),
    VerifyProof(VerifyProof),
}

impl Tower {
    /// What needs no node, if that was asked for.
    pub(crate) const fn offline(&self) -> Option<&VerifyProof> {
        if let Some(What::VerifyProof(command)) = &self.what { Some(command) } else { None }
    }

    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        match self.what.unwrap_or(What::List) {
            What::List => list(cx).await,
            What::Status => status(cx).await,
            What::Coverage => coverage(cx).await,
            What::Add { tower, trusted } => add(cx, &tower, trusted).await,
            What::Remove { tower } => remove(cx, &tower).await,
            What::Drill(command) => command.run(cx).await,
            What::Audit(command) => command.run(cx).await,
            What::Proof(command) => command.run(cx).await,
            What::VerifyProof(command) => command.run(cx.screen),
        }
    }
}

const NONE: &str = "no tower yet; hire one: viaduct tower add ID@HOST:PORT";

async fn all(cx: &Context<'_>) -> Result<v1::TowersOverviewResponse, Failure> {
    let ask = v1::TowersOverviewRequest {};
    Ok(cx.client.call(ask, |to, ask| async move { to.towers().overview(ask).await }).await?)
}

fn ids(all: &v1::TowersOverviewResponse) -> Vec<String> {
    all.towers.iter().map(|tower| tower.tower_id.clone()).collect()
}

async fn list(cx: &mut Context<'_>) -> Result<(), Failure> {
    let all = all(cx).await?;
    let now = cx.now;
    cx.screen.result(&all, ids, |screen, all| {
        let columns = [
            Column::Left("TOWER"),
            Column::Left("ADDRESS"),
            Column::Left("KIT"),
            Column::Right("CHANNELS"),
            Column::Right("STATES"),
            Column::Left("STATE"),
            Column::Right("SINCE"),
        ];
        let rows = all.towers.iter().map(|tower| {
            let (has, of) = tower.sessions.iter().fold((0_u64, 0_u64), |(has, of), session| {
                (has.saturating_add(session.states), of.saturating_add(session.of_states))
            });
            let state = match &tower.fault {
                Some(fault) => {
                    screen.paint(Tone::Bad, &format!("broke its word: {}", visible(fault)))
                }
                None => worst(&tower.sessions).to_owned(),
            };
            vec![
                tower.tower_id.clone(),
                visible(&tower.address),
                if tower.trusted { "replica" } else { "sealed" }.to_owned(),
                tower.sessions.len().to_string(),
                format!("{has}/{of}"),
                state,
                words::age(now, tower.since_ms),
            ]
        });
        table(&columns, rows.collect(), NONE)
    })
}

/// The tower whose id begins so, or the only one there is.
fn one_of<'a>(
    all: &'a v1::TowersOverviewResponse,
    beginning: Option<&str>,
) -> Result<&'a v1::HiredTower, Failure> {
    let fits = |one: &&v1::HiredTower| {
        beginning.is_none_or(|text| !text.is_empty() && one.tower_id.starts_with(text))
    };
    let mut fitting = all.towers.iter().filter(fits);
    match (fitting.next(), fitting.next(), beginning) {
        (Some(one), None, _) => Ok(one),
        (Some(_), Some(_), Some(_)) => {
            Err(Failure::Usage("that is the beginning of several towers' ids"))
        }
        (Some(_), Some(_), None) => {
            Err(Failure::Usage("there are several towers; see: viaduct tower list"))
        }
        (None, _, Some(_)) => {
            Err(Failure::Usage("no tower's id begins so; see: viaduct tower list"))
        }
        (None, _, None) => Err(Failure::Usage(NONE)),
    }
}

/// The standing of the session that is worst off.
fn worst(sessions: &[v1::HiredTowerSession]) -> &str {
    let order = ["knows more", "refused", "unreachable", "catching up", "connecting", "covered"];
    let place = |session: &&v1::HiredTowerSession| {
        order.iter().position(|word| session.standing.starts_with(word)).unwrap_or(0)
    };
    sessions.iter().min_by_key(place).map_or("no channel with it yet", |session| &session.standing)
}

async fn status(cx: &mut Context<'_>) -> Result<(), Failure> {
    let all = all(cx).await?;
    let now = cx.now;
    cx.screen.result(&all, ids, |screen, all| {
        let columns = [
            Column::Left("TOWER"),
            Column::Left("CHANNEL"),
            Column::Left("STATE"),
            Column::Right("STATES"),
            Column::Right("RECORDS"),
            Column::Right("ITS HEIGHT"),
            Column::Right("EXPIRES"),
            Column::Right("HEARD"),
        ];
        let mut rows = Vec::new();
        for tower in &all.towers {
            for session in &tower.sessions {
                rows.push(vec![
                    short(&tower.tower_id),
                    short(&session.channel_id),
                    session.standing.clone(),
                    format!("{}/{}", session.states, session.of_states),
                    session.records.to_string(),
                    session.tower_height.to_string(),
                    session.expiry_height.to_string(),
                    session.heard_at_ms.map_or_else(String::new, |at| words::age(now, at)),
                ]);
            }
        }
        let empty = if all.towers.is_empty() { NONE } else { "no channel is with a tower yet" };
        let mut lines = vec![table(&columns, rows, empty)];
        for tower in &all.towers {
            let name = short(&tower.tower_id);
            let besides = besides(screen, tower, now).into_iter();
            lines.extend(besides.map(|line| format!("{name}  {line}")));
        }
        lines.join("\n")
    })
}

/// What else there is to say of a tower, a line each.
fn besides(screen: &Screen, tower: &v1::HiredTower, now: u64) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(fault) = &tower.fault {
        lines.push(screen.paint(Tone::Bad, &format!("broke its word: {}", visible(fault))));
    }
    if let Some(kept) = &tower.checkpoint {
        let state = if kept.current { "current" } else { "behind" };
        let age = words::age(now, kept.at_ms);
        lines.push(format!("checkpoint {} ({state}), {age} old", kept.version));
    }
    if tower.found_sessions > 0 {
        lines.push(format!("{} sessions found again by its checkpoint", tower.found_sessions));
    }
    let count = |result: &str| tower.audits.iter().filter(|one| one.result == result).count();
    if let Some(newest) = tower.audits.iter().map(|audit| audit.at_ms).max() {
        lines.push(format!(
            "audits: {} passed, {} failed, {} unknown; the last {} ago",
            count("passed"),
            count("failed"),
            count("unknown"),
            words::age(now, newest),
        ));
    }
    if let Some(newest) = tower.drills.last() {
        let age = words::age(now, newest.since_ms);
        let cost = newest.cost_sat.map_or_else(String::new, |cost| format!(", cost {}", sat(cost)));
        lines.push(format!("drill {age} ago: {}{cost}", drill::verdict(screen, newest)));
    }
    lines
}

async fn coverage(cx: &mut Context<'_>) -> Result<(), Failure> {
    let ask = v1::TowerCoverageRequest {};
    let all = cx.client.call(ask, |to, ask| async move { to.towers().coverage(ask).await }).await?;
    cx.screen.result(
        &all,
        |all| all.channels.iter().map(|channel| channel.channel_id.clone()).collect(),
        |screen, all| {
            let columns = [
                Column::Left("CHANNEL"),
                Column::Left("PEER"),
                Column::Right("OLD STATES"),
                Column::Right("WITH NO TOWER"),
                Column::Right("WITH TOO FEW"),
                Column::Right("AT RISK"),
                Column::Right("TOO SMALL"),
                Column::Left("TOWERS"),
            ];
            let rows = all.channels.iter().map(|channel| {
                let risk = sat(channel.at_risk_sat);
                let risk =
                    if channel.at_risk_sat > 0 { screen.paint(Tone::Bad, &risk) } else { risk };
                let towers: Vec<_> =
                    channel.towers.iter().map(|share| short(&share.tower_id)).collect();
                vec![
                    short(&channel.channel_id),
                    short(&channel.node_id),
                    channel.states.to_string(),
                    channel.uncovered_states.to_string(),
                    channel.missing_copies.to_string(),
                    risk,
                    sat(channel.too_small_sat),
                    towers.join(" "),
                ]
            });
            table(&columns, rows.collect(), "no channel has an old state yet")
        },
    )
}

async fn add(cx: &mut Context<'_>, tower: &str, trusted: bool) -> Result<(), Failure> {
    let (id, address) = tower
        .split_once('@')
        .ok_or_else(|| Failure::Usage("a tower is ID@HOST:PORT, as the tower prints it"))?;
    if trusted {
        let about = [
            "It gets the revocation key of every channel. Together with a peer it could take HTLCs \
             that are in flight."
                .to_owned(),
        ];
        cx.screen.confirm(&about, "Is this tower yours?")?;
    }
    let (tower_id, address) = (id.to_owned(), address.to_owned());
    let ask = v1::AddTowerRequest { tower_id, address, trusted, idempotency_key: String::new() };
    let done = cx.client.call(ask, |to, ask| async move { to.towers().add(ask).await }).await?;
    let id = id.to_owned();
    cx.screen.result(
        &done,
        |_| vec![id.clone()],
        |_, _| "hired; every old state of every channel is on its way to it".to_owned(),
    )
}

async fn remove(cx: &mut Context<'_>, tower: &str) -> Result<(), Failure> {
    let all = all(cx).await?;
    let id = one_of(&all, Some(tower))?.tower_id.clone();
    let ask = v1::RemoveTowerRequest { tower_id: id.clone(), idempotency_key: String::new() };
    let done = cx.client.call(ask, |to, ask| async move { to.towers().remove(ask).await }).await?;
    cx.screen.result(&done, |_| vec![id.clone()], |_, _| "dismissed".to_owned())
}
