//! What goes to the terminal: results on stdout, everything else on stderr.
//!
//! On a terminal results are tables for people; piped or with `--json` they are JSON; with `-q` only
//! ids. The same data, three looks. Colour never says anything that the words do not.

mod rows;
mod table;

pub(crate) use table::{Column, table};

use std::io::{self, BufRead, IsTerminal as _, Write};

use serde::Serialize;

use crate::failure::Failure;

/// What a result looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Tables and sentences.
    Human,
    /// One JSON document, or one a line for streams.
    Json,
    /// Ids alone, one a line.
    Ids,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Colours, by meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Went well.
    Good,
    /// Look here.
    Warn,
    /// Went wrong.
    Bad,
    /// Less important.
    Faint,
    /// A heading.
    Strong,
}

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// How results look.
    pub(crate) format: Format,
    /// Whether errors are JSON too: only when it was asked for by name.
    pub(crate) json_errors: bool,
    /// Whether to use colour.
    pub(crate) colour: bool,
    /// Whether stderr is a terminal, so that a line can be written over.
    pub(crate) live: bool,
    /// Whether somebody is there to answer.
    pub(crate) can_ask: bool,
    /// Whether every question is answered with yes.
    pub(crate) yes: bool,
}

impl Look {
    /// For the terminal we are on.
    pub(crate) fn detect(json: bool, quiet: bool, yes: bool, colour: ColorChoice) -> Self {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let format = match (quiet, json || !out) {
            (true, _) => Format::Ids,
            (false, true) => Format::Json,
            (false, false) => Format::Human,
        };
        let colour = match colour {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto if set("NO_COLOR") => false,
            ColorChoice::Auto => set("CLICOLOR_FORCE") || (out && err),
        };
        let can_ask = io::stdin().is_terminal() && err;
        Self { format, json_errors: json, colour, live: err && !quiet, can_ask, yes }
    }
}

/// The three streams of a command, and how to use them.
pub(crate) struct Screen {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    input: Box<dyn BufRead>,
    look: Look,
    /// Lines on stderr that the next step writes over.
    hanging: usize,
    /// Lines that were said of something that goes on, where nothing can be written over.
    said: Vec<String>,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("look", &self.look).finish_non_exhaustive()
    }
}

impl Screen {
    /// The real one.
    pub(crate) fn real(look: Look) -> Self {
        let input = Box::new(io::BufReader::new(io::stdin()));
        Self::new(Box::new(io::stdout()), Box::new(io::stderr()), input, look)
    }

    /// Any three streams.
    pub(crate) fn new(
        out: Box<dyn Write>,
        err: Box<dyn Write>,
        input: Box<dyn BufRead>,
        look: Look,
    ) -> Self {
        Self { out, err, input, look, hanging: 0, said: Vec::new() }
    }

    /// How results look.
    pub(crate) const fn format(&self) -> Format {
        self.look.format
    }

    /// Whether stderr is a terminal that somebody watches.
    pub(crate) const fn live(&self) -> bool {
        self.look.live
    }

    /// The text in a colour, if colours are used.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.look.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// A line of the result.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.end_step()?;
        Ok(writeln!(self.out, "{text}")?)
    }

    /// A result: for people by `human`, for programs as JSON, and as ids.
    pub(crate) fn result<T: Serialize>(
        &mut self,
        value: &T,
        ids: impl FnOnce(&T) -> Vec<String>,
        human: impl FnOnce(&Self, &T) -> String,
    ) -> Result<(), Failure> {
        let text = match self.look.format {
            Format::Human => human(self, value),
            Format::Json => serde_json::to_string_pretty(value).map_err(io::Error::from)?,
            Format::Ids => ids(value).join("\n"),
        };
        let text = text.trim_end();
        if text.is_empty() { Ok(()) } else { self.line(text) }
    }

    /// One value of a stream: JSON on a line of its own.
    pub(crate) fn stream_item<T: Serialize>(
        &mut self,
        value: &T,
        id: impl FnOnce(&T) -> String,
        human: impl FnOnce(&Self, &T) -> String,
    ) -> Result<(), Failure> {
        let text = match self.look.format {
            Format::Human => human(self, value),
            Format::Json => serde_json::to_string(value).map_err(io::Error::from)?,
            Format::Ids => id(value),
        };
        self.line(&text)?;
        Ok(self.out.flush()?)
    }

    /// Something to know besides the result.
    pub(crate) fn note(&mut self, text: &str) -> Result<(), Failure> {
        self.end_step()?;
        if self.look.format == Format::Ids {
            return Ok(());
        }
        Ok(writeln!(self.err, "{text}")?)
    }

    /// A step of long work that is done.
    pub(crate) fn done(&mut self, text: &str) -> Result<(), Failure> {
        let mark = self.paint(Tone::Good, "✓");
        self.step(&format!("{mark} {text}\n"), false)
    }

    /// A step of long work that is going on; on a terminal the next step writes over it.
    pub(crate) fn waiting(&mut self, text: &str) -> Result<(), Failure> {
        let mark = self.paint(Tone::Warn, "◐");
        let end = if self.look.live { "" } else { "\n" };
        self.step(&format!("{mark} {text}{end}"), self.look.live)
    }

    fn step(&mut self, text: &str, hanging: bool) -> Result<(), Failure> {
        if self.look.format == Format::Ids {
            return Ok(());
        }
        self.wipe()?;
        self.hanging = usize::from(hanging);
        write!(self.err, "  {text}")?;
        Ok(self.err.flush()?)
    }

    fn end_step(&mut self) -> Result<(), Failure> {
        if self.hanging > 0 {
            self.hanging = 0;
            writeln!(self.err)?;
        }
        Ok(())
    }

    /// Shows what is about to be done and asks whether to do it.
    ///
    /// With `--yes` nothing is asked. Where nobody can answer, the answer is no.
    pub(crate) fn confirm(&mut self, about: &[String], question: &str) -> Result<(), Failure> {
        if self.look.yes {
            return Ok(());
        }
        self.end_step()?;
        for line in about {
            writeln!(self.err, "  {line}")?;
        }
        if !self.look.can_ask {
            return Err(Failure::NobodyToAsk { question: question.to_owned() });
        }
        write!(self.err, "  {question} [y/N] ")?;
        self.err.flush()?;
        let mut answer = String::new();
        self.input.read_line(&mut answer)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::Declined),
        }
    }

    /// What went wrong. What cannot be written any more is let go.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        if self.hanging > 0 {
            self.hanging = 0;
            let _ = writeln!(self.err);
        }
        let text = if self.look.json_errors {
            failure.to_json().to_string()
        } else {
            failure.to_text(|tone, text| self.paint(tone, text))
        };
        let _ = writeln!(self.err, "{text}");
    }
}
