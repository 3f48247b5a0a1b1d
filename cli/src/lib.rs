//! The command line: parse, one call, render.
//!
//! One verb, one file in `command/`. [`run`] is all of it; [`amount`] reads and prints amounts,
//! [`connect`] finds the node that is meant, [`sandbox`] and [`demo`] run whole networks through
//! [`sandbox::network::Launch`]. Not here: anything that decides about money; the daemon does that.

mod args;
mod command;
mod context;
mod failure;
mod qr;
mod render;
mod resolve;
mod words;

pub mod amount;
pub mod connect;
pub mod demo;
pub mod sandbox;

use std::ffi::OsString;

use api::calendar::UnixMs;
use clap::Parser as _;

use args::{Cli, Command};
use connect::Places;
use context::{Context, Interrupt};
use failure::Failure;
use render::{Look, Screen};
use sandbox::network::Launch;
use sandbox::state::{Layout, State};

/// Does what a command line says, and returns the code that the process is to end with: 0 done,
/// 1 refused or failed for good, 2 no daemon reached, 3 wrong usage, 4 outcome unknown, 5 not let in,
/// 6 not confirmed, 130 interrupted.
///
/// `launch` starts nodes in this process, for the sandbox and the demo.
pub async fn run(
    arguments: impl IntoIterator<Item = OsString>,
    now: UnixMs,
    launch: &impl Launch,
) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; everything else is wrong usage.
            let code = if error.use_stderr() { 3 } else { 0 };
            let _ = error.print();
            return code;
        }
    };
    let look = Look::detect(cli.json, cli.quiet, cli.yes, cli.color);
    let mut screen = Screen::real(look);
    match dispatch(cli, &mut screen, now, launch).await {
        Ok(()) => 0,
        // Whoever read us has heard enough.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
        Err(failure) => {
            screen.failure(&failure);
            failure.exit_code()
        }
    }
}

async fn dispatch(
    cli: Cli,
    screen: &mut Screen,
    now: UnixMs,
    launch: &impl Launch,
) -> Result<(), Failure> {
    match cli.command {
        Command::Completions(command) => command.run(screen),
        Command::Demo(command) => command.run(screen, launch).await,
        Command::Sandbox(command) => command.run(screen, &cli.to, launch).await,
        Command::Node(command) => {
            if let Some(offline) = command.offline() {
                return offline.run(screen);
            }
            let places = Places::find(cli.to.dir.as_deref())?;
            let client = connect::connect(&cli.to, &places).await?;
            // Names only: without them everything goes by id.
            let sandbox = State::read(&Layout::new(places.data.join("sandbox"))).ok().flatten();
            let mut cx = Context {
                client,
                screen,
                now,
                node: cli.to.node,
                key: cli.idempotency_key,
                neighbours: sandbox.map(|sandbox| sandbox.nodes).unwrap_or_default(),
                interrupt: Interrupt::Keyboard,
            };
            command.run(&mut cx).await
        }
    }
}
