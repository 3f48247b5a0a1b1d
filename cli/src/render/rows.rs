//! Several lines that change while something goes on: on a terminal they are written over in place, elsewhere each is
//! printed when it is new.

use std::io::Write as _;

use console::{Term, truncate_str};

use super::{Format, Screen};
use crate::failure::Failure;

/// Columns of a terminal that does not say how many it has.
const WIDTH: u16 = 80;

impl Screen {
    /// Shows how several things stand; the next call, or the next step, takes the place of it.
    pub(crate) fn rows(&mut self, lines: &[String]) -> Result<(), Failure> {
        if self.look.format == Format::Ids {
            return Ok(());
        }
        if !self.look.live {
            for line in lines.iter().filter(|line| !self.said.contains(line)) {
                writeln!(self.err, "  {line}")?;
            }
            self.said = lines.to_vec();
            return Ok(self.err.flush()?);
        }
        self.wipe()?;
        // A line that wraps would take two, and the next call would leave one of them.
        let (_, width) = Term::stderr().size_checked().unwrap_or((0, WIDTH));
        let width = usize::from(width).saturating_sub(1);
        let cut = |line: &String| truncate_str(&format!("  {line}"), width, "…").into_owned();
        let text = lines.iter().map(cut).collect::<Vec<_>>().join("\n");
        write!(self.err, "{text}")?;
        self.hanging = lines.len();
        Ok(self.err.flush()?)
    }

    /// Takes what is shown of something that goes on off the terminal.
    pub(crate) fn wipe(&mut self) -> Result<(), Failure> {
        let lines = std::mem::take(&mut self.hanging);
        if lines > 0 {
            write!(self.err, "\r\u{1b}[2K")?;
        }
        for _ in 1..lines {
            write!(self.err, "\u{1b}[1A\u{1b}[2K")?;
        }
        Ok(())
    }
}
