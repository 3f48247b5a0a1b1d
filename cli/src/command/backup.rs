//! `backup`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use api::v1;

use crate::amount::sat;
use crate::context::Context;
use crate::failure::Failure;
use crate::render::{Column, Screen, Tone, table};
use crate::resolve::{short, visible};
use crate::words;

/// The longest backup that is read, in bytes: the daemon's own limit.
const FILE_LEN_MAX: u64 = 32 << 20;

/// The backup from which the coins in channels come home with the seed alone.
#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Where the newest backup is, and who holds it (the same as no word at all).
    Show,
    /// What a backup says, and whether it is of use to this node.
    Verify {
        /// The file.
        #[arg(required_unless_present = "from_peers", conflicts_with = "from_peers")]
        file: Option<PathBuf>,
        /// Instead of a file: what connected peers gave back.
        #[arg(long)]
        from_peers: bool,
    },
    /// Write the newest backup to a file, encrypted.
    Export {
        /// The file; it must not exist.
        file: PathBuf,
    },
    /// Make the channels of a backup again: each asks its peer to close, and its balance then comes to the
    /// wallet. Channels that this node knows stay as they are.
    Restore {
        /// The file.
        #[arg(required_unless_present = "from_peers", conflicts_with = "from_peers")]
        file: Option<PathBuf>,
        /// Instead of a file: what connected peers gave back.
        #[arg(long)]
        from_peers: bool,
    },
}

impl Backup {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        match self.what.unwrap_or(What::Show) {
            What::Show => show(cx).await,
            What::Verify { file, .. } => {
                let content = look(cx, file.as_deref()).await?;
                cx.screen.result(&content, ids, describe)
            }
            What::Export { file } => export(cx, &file).await,
            What::Restore { file, .. } => restore(cx, file.as_deref()).await,
        }
    }
}

async fn show(cx: &mut Context<'_>) -> Result<(), Failure> {
    let ask = v1::ShowBackupRequest {};
    let status = cx.client.call(ask, |to, ask| async move { to.backup().show(ask).await }).await?;
    let (now, restore) = (cx.now, cx.again("backup restore"));
    cx.screen.result(
        &status,
        |status| vec![status.path.clone()],
        |screen, status| {
            let made = status.made_at_ms.map_or_else(
                || "none yet: there is no channel to back up".to_owned(),
                |at| {
                    let age = words::age(now, at);
                    format!("number {}, {age} old, {} channels", status.counter, status.channels)
                },
            );
            let mut lines = vec![format!("backup     {made}")];
            lines.push(format!("file       {}", place(screen, &status.path, &status.problem)));
            if status.second_path.is_empty() {
                lines.push("second     none: set backup_path to one on another disk".to_owned());
            } else {
                let place = place(screen, &status.second_path, &status.second_problem);
                lines.push(format!("second     {place}"));
            }
            for holder in &status.holders {
                let (peer, number) = (short(&holder.node_id), holder.counter);
                lines.push(format!("peer       {peer} was given number {number}"));
            }
            lines.push(format!("kept       for {} peers", status.kept_for_peers));
            if let Some(newer) = status.newer_counter {
                let text = format!(
                    "number {newer} is about and is newer than this node's data: an older copy \
                     runs here. Bring back what is missing: {restore} FILE or --from-peers"
                );
                lines.push(screen.paint(Tone::Bad, &text));
            }
            lines.join("\n")
        },
    )
}

fn place(screen: &Screen, path: &str, problem: &str) -> String {
    if problem.is_empty() {
        return visible(path);
    }
    let text = format!("{} is NOT written: {}", visible(path), visible(problem));
    screen.paint(Tone::Bad, &text)
}

async fn look(cx: &Context<'_>, file: Option<&Path>) -> Result<v1::VerifyBackupResponse, Failure> {
    let file = file.map(read).transpose()?.unwrap_or_default();
    let ask = v1::VerifyBackupRequest { file };
    Ok(cx.client.call(ask, |to, ask| async move { to.backup().verify(ask).await }).await?)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| wrong(path, error))?;
    file.take(FILE_LEN_MAX).read_to_end(&mut bytes).map_err(|error| wrong(path, error))?;
    if bytes.is_empty() {
        return Err(Failure::Usage("the file is empty"));
    }
    Ok(bytes)
}

fn wrong(path: &Path, error: std::io::Error) -> Failure {
    Failure::File { path: path.display().to_string(), error }
}

fn ids(content: &v1::VerifyBackupResponse) -> Vec<String> {
    content.channels.iter().map(|channel| channel.channel_id.clone()).collect()
}

fn describe(screen: &Screen, content: &v1::VerifyBackupResponse) -> String {
    let mut text = format!("a backup of this node, number {}\n", content.counter);
    let named = u32::try_from(content.channels.len()).unwrap_or(u32::MAX);
    if named < content.channels_then {
        text.push_str(&format!("it names {named} of {} channels\n", content.channels_then));
    }
    text.push_str(&channels(&content.channels));
    let verdict = if content.current {
        screen.paint(Tone::Good, "current: it names every channel of this node")
    } else {
        let missing: Vec<_> = content.missing_channel_ids.iter().map(|id| short(id)).collect();
        let text = format!("old: it lacks {}", missing.join(", "));
        screen.paint(Tone::Warn, &text)
    };
    format!("{text}\n{verdict}")
}

fn channels(all: &[v1::BackupChannel]) -> String {
    let columns = [
        Column::Left("CHANNEL"),
        Column::Left("PEER"),
        Column::Left("ADDRESS"),
        Column::Right("HOLDS"),
        Column::Left("HERE"),
    ];
    let rows = all.iter().map(|channel| {
        vec![
            channel.channel_id.clone(),
            channel.node_id.clone(),
            visible(&channel.address),
            sat(channel.capacity_sat),
            if channel.known { "known" } else { "missing" }.to_owned(),
        ]
    });
    table(&columns, rows.collect(), "it names no channel")
}

async fn export(cx: &mut Context<'_>, path: &Path) -> Result<(), Failure> {
    use std::io::Write as _;
    let ask = v1::ExportBackupRequest {};
    let exported =
        cx.client.call(ask, |to, ask| async move { to.backup().export(ask).await }).await?;
    // Never over another file: that may be the only good one.
    let written = std::fs::File::create_new(path)
        .and_then(|mut file| file.write_all(&exported.file).and_then(|()| file.sync_all()));
    written.map_err(|error| wrong(path, error))?;
    cx.screen.done(&format!("written to {}", path.display()))
}

async fn restore(cx: &mut Context<'_>, file: Option<&Path>) -> Result<(), Failure> {
    let content = look(cx, file).await?;
    let missing = content.channels.iter().filter(|channel| !channel.known).count();
    if missing > 0 {
        let about = [
            channels(&content.channels),
            format!("{missing} channels are made again; their peers are asked to close them."),
            "HTLCs that were under way in them are lost.".to_owned(),
        ];
        cx.screen.confirm(&about, "Restore?")?;
    }
    let ask = v1::RestoreBackupRequest {
        idempotency_key: cx.key()?,
        file: file.map(read).transpose()?.unwrap_or_default(),
        from_peers: file.is_none(),
    };
    let done = cx.client.call(ask, |to, ask| async move { to.backup().restore(ask).await }).await?;
    let see = cx.again("channels");
    cx.screen.result(
        &done,
        |done| done.restored.iter().map(|channel| channel.channel_id.clone()).collect(),
        |_, done| {
            let (made, known) = (done.restored.len(), done.known);
            format!("{made} channels restored, {known} known already; see them close: {see}")
        },
    )
}
