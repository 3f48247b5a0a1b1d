//! `completions`.

use clap::CommandFactory as _;

use crate::args::Cli;
use crate::failure::Failure;
use crate::render::Screen;

/// Print a completion script for a shell.
///
/// For example: viaduct completions bash > /etc/bash_completion.d/viaduct
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell.
    shell: clap_complete::Shell,
}

impl Completions {
    pub(crate) fn run(self, screen: &mut Screen) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "viaduct", &mut script);
        screen.line(String::from_utf8_lossy(&script).trim_end())
    }
}
