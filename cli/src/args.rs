//! The command line as a whole: options that every verb takes, and the verbs.

use clap::builder::styling::{AnsiColor, Styles};

use crate::command::NodeCommand;
use crate::command::completions::Completions;
use crate::command::demo::Demo;
use crate::command::sandbox::Sandbox;
use crate::connect::Where;
use crate::render::ColorChoice;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

const LOOK: &str = "Manners (with every command)";

const AFTER: &str = "\
Amounts: 50000 or 50000sat, 50_000msat, 0.001btc, 1k (a thousand sat), 2.5M (a million sat), all.
Ids: wherever one is wanted, its beginning or an alias will do if it is unique.
Output: tables on a terminal, JSON when piped or with --json; results on stdout, the rest on stderr.
Exit codes: 0 done, 1 refused or failed for good, 2 no daemon reached, 3 wrong usage,
  4 outcome unknown: do not repeat blindly, 5 not let in, 6 not confirmed, 130 interrupted.

First steps:
  viaduct demo                            the whole story in under a minute
  viaduct sandbox up                      a network of your own, two nodes with coins
  viaduct -n alice open bob 1M            lock a million sat in a channel
  viaduct -n bob invoice 25k \"espresso\"   ask for 25 000 sat
  viaduct -n alice pay lnbcrt…            pay them, off the chain";

/// Express lanes above a chain: channels, and payments through them.
#[derive(Debug, clap::Parser)]
#[command(
    name = "viaduct",
    version,
    styles = STYLES,
    after_help = AFTER,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) to: Where,
    /// JSON, also on a terminal; errors are JSON too then, on stderr.
    #[arg(long, global = true, help_heading = LOOK)]
    pub(crate) json: bool,
    /// Ids alone, one a line, and no progress.
    #[arg(short, long, global = true, help_heading = LOOK)]
    pub(crate) quiet: bool,
    /// Answer every question with yes.
    #[arg(short, long, global = true, help_heading = LOOK)]
    pub(crate) yes: bool,
    /// Colour: auto, always or never.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        help_heading = LOOK
    )]
    pub(crate) color: ColorChoice,
    /// Names this request: repeated with the same key it is done once. Made up unless given.
    #[arg(long, global = true, value_name = "KEY", hide_short_help = true, help_heading = LOOK)]
    pub(crate) idempotency_key: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Every verb. Its words for the manual are at each.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Node(NodeCommand),
    Sandbox(Sandbox),
    Demo(Demo),
    Completions(Completions),
}
