//! How far the journal has come, noted outside of the store; and what happens if the store is behind it.
//!
//! Whoever starts on an older copy of its store would sign and broadcast what the peer can punish. So the
//! note (`store::guard`) lies elsewhere and follows the journal, a tenth of a second behind it at most. At
//! a start that cannot be sure (the note is ahead, missing or damaged, or somebody said that this store
//! was restored), every channel goes into quarantine before anything runs: `channel::quarantine`. So it
//! does when a newer backup turns up, beside the journal or with a peer.
//!
//! Not here: what a channel does in quarantine (the `channel` crate).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use channel::Channel;
use channel::seal::{Flushed, Journal as _, Lsn};
use store::disk::RealDisk;
use store::guard::{Doubt, Guard, GuardError, Mark};
use store::journal::{History, Journal, JournalError, Recovered};
use tokio::sync::{oneshot, watch};

use crate::backup::Ahead;
use crate::channels::directory::Directory;
use crate::channels::task::Ask;
use crate::config::Config;
use crate::datadir::DataDir;
use crate::fact::{ChannelIndex, channel_record};
use crate::journal::Writer;
use crate::state::{State, StateError};
use crate::tasks::{Fatal, Tasks};

/// How far the note may be behind the journal.
const BEHIND_AT_MOST: Duration = Duration::from_millis(100);

/// The note of this node, read before the journal is opened.
///
/// # Errors
/// [`GuardError`]: it belongs to another node or cannot be read.
pub fn read(config: &Config, node_id: [u8; 33]) -> Result<Guard, GuardError> {
    let path = &config.guard;
    let shown = path.display().to_string();
    let failed = |source| GuardError::Disk { name: shown.clone(), source };
    let (Some(parent), Some(name)) =
        (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Err(failed(io::ErrorKind::InvalidFilename.into()));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let disk = RealDisk::open(parent).map_err(failed)?;
    Guard::read(disk, name, node_id)
}

/// Says, durably, that the store of this directory was restored or copied from elsewhere: at the next
/// start every channel in it goes into quarantine, whatever the guard says.
///
/// # Errors
/// Those of the file system.
pub fn mark_restored(dir: &DataDir) -> io::Result<()> {
    let mark = dir.restored();
    fs::write(&mark, b"this store was restored; its channels go into quarantine\n")?;
    fs::File::open(&mark)?.sync_all()?;
    fs::File::open(dir.network())?.sync_all()
}

/// Whether, and why, the store may be an older copy.
fn doubt(guard: &Guard, recovered: &Recovered, state: &State, mark: &Path) -> Option<String> {
    if mark.exists() {
        return Some("it was marked as restored".to_owned());
    }
    let journal = Mark { epoch: recovered.before, seq: recovered.last };
    match guard.noted().doubt(journal)? {
        // The first start.
        Doubt::Nothing | Doubt::Damaged if state.channels.is_empty() => None,
        doubt @ (Doubt::Nothing | Doubt::Damaged | Doubt::Behind { .. }) => Some(doubt.to_string()),
    }
}

/// Why a doubt could not be acted upon. The node must not start.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// The note.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The mark of [`mark_restored`] cannot be taken away.
    #[error("the mark of a restored store: {0}")]
    Mark(io::Error),
}

/// Puts every channel into quarantine, durably, before anything runs.
///
/// The records it made, so that the index hears of them.
///
/// # Errors
/// [`QuarantineError`].
pub fn quarantine_all(
    journal: &mut Journal,
    state: &mut State,
    why: &str,
) -> Result<Vec<(Lsn, Vec<u8>)>, QuarantineError> {
    let mut made = Vec::new();
    for (index, kept) in &mut state.channels {
        let Some(channel) = &mut kept.channel else { continue };
        let bytes = channel_record(*index, &channel.quarantine());
        if !bytes.is_empty() {
            made.push((Lsn(journal.append(&bytes)?), bytes));
        }
    }
    journal.sync()?;
    tracing::error!(
        channels = made.len(),
        why,
        "QUARANTINE: this store may be an older copy; nothing is signed or broadcast in these channels \
         before their peers have shown that it is not"
    );
    Ok(made)
}

/// What came of [`check`].
#[derive(Debug)]
pub struct Checked {
    /// Whether the store may be an older copy.
    pub is_doubtful: bool,
    /// The records that were made of it, so that the index hears of them.
    pub records: Vec<(Lsn, Vec<u8>)>,
}

/// Acts on a doubt, durably, and lets the note follow the journal from here on. Nothing may run before.
///
/// # Errors
/// [`QuarantineError`].
pub fn check(
    guard: &mut Guard,
    (journal, recovered): (&mut Journal, &Recovered),
    state: &mut State,
    dir: &DataDir,
) -> Result<Checked, QuarantineError> {
    let mark = dir.restored();
    let why = doubt(guard, recovered, state, &mark);
    let records = match &why {
        Some(why) => quarantine_all(journal, state, why)?,
        None => Vec::new(),
    };
    // Only now: until the channels know it, the note must go on saying it.
    guard.note(Mark { epoch: journal.epoch(), seq: journal.durable() })?;
    if mark.exists() {
        fs::remove_file(&mark).map_err(QuarantineError::Mark)?;
    }
    Ok(Checked { is_doubtful: why.is_some(), records })
}

/// Puts one channel into quarantine before its task runs: the record is in the journal before any of its
/// own, so nothing of it leaves earlier.
pub fn doubt_one(index: ChannelIndex, channel: &mut Channel, writer: &mut Writer) {
    let bytes = channel_record(index, &channel.quarantine());
    if !bytes.is_empty() {
        let _before_all = writer.append(bytes);
    }
}

/// Tells every running channel that the journal was proved to be an older copy, and waits until those
/// whose peers were not heard yet have their quarantine on the disk.
pub async fn doubt_all(directory: &Directory) {
    let doors = directory.doors();
    for door in doors.iter() {
        let (reply, done) = oneshot::channel();
        // A channel that ends meanwhile signs nothing any more, nor does one that is only being opened.
        if door.asks.send(Ask::Doubt { reply }).await.is_ok() {
            let _ended = done.await;
        }
    }
}

/// Waits for a proof that the journal is an older copy, and doubts all channels; again for each newer one.
///
/// # Errors
/// None; it ends with the node.
pub async fn heed(
    mut ahead: watch::Receiver<Option<Ahead>>,
    directory: Directory,
    tasks: Tasks,
) -> Result<(), Fatal> {
    loop {
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            changed = ahead.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let proved = ahead.borrow_and_update().is_some();
                if proved {
                    doubt_all(&directory).await;
                }
            }
        }
    }
}

/// The thread that lets the note follow.
#[derive(Debug)]
pub struct Following {
    thread: thread::JoinHandle<()>,
    hurry: mpsc::SyncSender<()>,
}

impl Following {
    /// Waits for the last note, after the journal thread has ended. Blocks.
    pub fn join(self) {
        drop(self.hurry);
        if self.thread.join().is_err() {
            tracing::error!("the thread behind the guard panicked; the journal is whole");
        }
    }
}

/// Starts it. It ends with the journal thread.
///
/// # Errors
/// If the system gives no thread.
pub fn follow(
    mut guard: Guard,
    (epoch, history): (u64, History<RealDisk>),
    mut flushed: watch::Receiver<Flushed>,
) -> io::Result<Following> {
    let (hurry, wait) = mpsc::sync_channel::<()>(0);
    let thread = thread::Builder::new().name("guard".to_owned()).spawn(move || {
        let mut failing = false;
        loop {
            let ended = flushed.has_changed().is_err();
            let seq = flushed.borrow_and_update().upto().0;
            if guard.noted() != store::guard::Noted::Mark(Mark { epoch, seq }) {
                let noted = guard.note(Mark { epoch, seq });
                if let Err(error) = &noted
                    && !failing
                {
                    // The journal is whole; only an old copy of it would be noticed later.
                    tracing::error!(%error, "the guard cannot be written");
                }
                failing = noted.is_err();
            }
            if ended {
                // With it goes the lock: whoever opens the journal next finds the last note.
                return drop(history);
            }
            // Nobody ever says anything: it ends the wait when the node stops.
            if let Err(mpsc::RecvTimeoutError::Disconnected) = wait.recv_timeout(BEHIND_AT_MOST) {
                thread::sleep(Duration::from_millis(1));
            }
        }
    })?;
    Ok(Following { thread, hurry })
}

/// Where the note is, unless the settings say otherwise: beside the directory of the network, so that
/// putting back an old copy of that directory does not put back the note.
pub fn default_path(dir: &DataDir) -> PathBuf {
    let mut path = dir.network().into_os_string();
    path.push(".guard");
    path.into()
}
