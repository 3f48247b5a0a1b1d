//! LDK's log: the last lines of each node, told when a wait fails.

use lightning::util::logger::{Level, Logger, Record};
use std::collections::VecDeque;
use std::sync::Mutex;

/// How many lines are kept.
const LINES_MAX: usize = 4_000;
/// How many are told.
const LINES_TOLD: usize = 80;

/// What one node said.
#[derive(Debug)]
pub(super) struct Log {
    name: String,
    /// Nothing below this level is even formatted.
    least: Level,
    lines: Mutex<VecDeque<String>>,
}

impl Log {
    /// A log that keeps everything from debug upwards, or errors alone when `quiet`.
    pub(super) fn new(name: &str, quiet: bool) -> Self {
        let least = if quiet { Level::Error } else { Level::Debug };
        Self { name: name.to_owned(), least, lines: Mutex::default() }
    }

    /// Adds a line of the harness itself.
    ///
    /// # Panics
    /// When another thread panicked while logging.
    pub(super) fn note(&self, line: String) {
        tracing::debug!(target: "ldk", "{}: {line}", self.name);
        let mut lines = self.lines.lock().unwrap();
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The newest lines, as a block of text.
    ///
    /// # Panics
    /// When another thread panicked while logging.
    pub(super) fn tail(&self) -> String {
        let lines = self.lines.lock().unwrap();
        let mut told = format!("last lines of {}:\n", self.name);
        for line in lines.iter().skip(lines.len().saturating_sub(LINES_TOLD)) {
            told.push_str("  ");
            told.push_str(line);
            told.push('\n');
        }
        told
    }
}

impl Logger for Log {
    fn log(&self, record: Record<'_>) {
        if record.level >= self.least {
            self.note(format!(
                "{:<5} {}:{} {}",
                record.level, record.module_path, record.line, record.args
            ));
        }
    }
}
