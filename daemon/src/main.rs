//! `viaductd`: flags, signals, exit codes. Everything else is in the library.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use daemon::boot::{self, Chain, Daemon};
use daemon::config::{Config, ConfigError, Sources, sample};
use daemon::datadir::DataDir;
use daemon::logging;
use daemon::rpc::NodeApi as _;
use daemon::seed::Seed;
use daemon::seed::birth::Birth;
use daemon::seed::password::{PasswordSource, VARIABLE};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

/// It did not start, or could not do what was asked.
const FAILED: u8 = 1;
/// The flags make no sense.
const USAGE: u8 = 3;
/// It ran, and had to stop to keep the money safe.
const FATAL: u8 = 4;

/// How long a stop may take before the process just ends; the journal needs no goodbye.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest input of `seed restore`, in bytes.
const WORDS_LEN_MAX: u64 = 4_096;

/// A Lightning payment channel daemon.
#[derive(Debug, Parser)]
#[command(
    name = "viaductd",
    version,
    after_help = "Exit codes: 0 stopped when asked · 1 did not start · 3 wrong flags · 4 had to stop.\n\
                  The password of the seed never goes on the command line."
)]
struct Flags {
    /// Where to keep everything; ~/.viaduct unless said otherwise.
    #[arg(long, global = true, value_name = "DIR", env = "VIADUCT_DIR")]
    dir: Option<PathBuf>,
    /// sandbox, regtest, signet, testnet4 or mainnet.
    #[arg(long, global = true, value_name = "NAME")]
    network: Option<String>,
    /// What the node calls itself.
    #[arg(long, value_name = "NAME")]
    alias: Option<String>,
    /// Where to take peers: addresses with port, commas between; empty: nowhere.
    #[arg(long, value_name = "ADDRESSES")]
    listen: Option<String>,
    /// Where to serve the API: an address with port.
    #[arg(long, value_name = "ADDRESS")]
    rpc_listen: Option<String>,
    /// Where blocks come from: builtin, http://HOST:PORT of a viaduct-chain, bitcoind=http://HOST:PORT, or
    /// esplora=https://HOST/api.
    #[arg(long, value_name = "SOURCE")]
    chain: Option<String>,
    /// Read the seed's password from a file (a systemd credential, for example).
    #[arg(long, global = true, value_name = "FILE", group = "password")]
    password_file: Option<PathBuf>,
    /// Read the seed's password from an open file descriptor.
    #[arg(long, global = true, value_name = "NUMBER", group = "password")]
    password_fd: Option<u32>,
    /// Leave the seed unencrypted: for the sandbox.
    #[arg(long, global = true, group = "password")]
    no_password: bool,
    /// Any setting: --set channel.dust_limit_sat=400. Can be given again and again.
    #[arg(long, global = true, value_name = "SETTING=VALUE")]
    set: Vec<String>,
    /// The sentence that opens the door to real money, once.
    #[arg(long, value_name = "SENTENCE")]
    confirm: Option<String>,
    /// The data were restored from a backup or copied from elsewhere: put every channel into quarantine,
    /// so that nothing is signed or broadcast before the peers have shown that the data are current.
    #[arg(long)]
    restored: bool,
    /// Print every setting with its meaning and default, and end.
    #[arg(long)]
    print_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The 24 words from which every key follows.
    #[command(subcommand)]
    Seed(SeedCommand),
}

#[derive(Debug, Subcommand)]
enum SeedCommand {
    /// Make a seed and print its words, once. Write them down.
    New,
    /// Take the words from standard input; a second line is the optional passphrase.
    Restore {
        /// The height of a block before which none of these words' coins came. Blocks up to it are not read.
        #[arg(long, value_name = "HEIGHT", default_value_t = 0)]
        birth: u32,
    },
}

impl Flags {
    /// The settings that were given as flags.
    fn settings(&self) -> Result<Vec<(String, String)>, Box<dyn Error>> {
        let mut settings = Vec::new();
        for pair in &self.set {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| format!("--set {pair}: write SETTING=VALUE"))?;
            settings.push((name.trim().to_owned(), value.to_owned()));
        }
        let password = match (&self.password_file, self.password_fd) {
            (Some(path), _) => Some(format!("file:{}", path.display())),
            (None, Some(number)) => Some(format!("fd:{number}")),
            (None, None) if self.no_password => Some("none".to_owned()),
            (None, None) => std::env::var_os(VARIABLE).map(|_| "env".to_owned()),
        };
        let named = [
            ("network", self.network.clone()),
            ("alias", self.alias.clone()),
            ("p2p.listen", self.listen.clone()),
            ("rpc.listen", self.rpc_listen.clone()),
            ("chain.backend", self.chain.clone()),
            ("password", password),
        ];
        let given = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        settings.extend(given);
        Ok(settings)
    }

    /// The data directory, and all that says what the settings are.
    fn sources(&self) -> Result<(PathBuf, Sources), Box<dyn Error>> {
        let root = self.dir.clone().or_else(DataDir::home).ok_or(ConfigError::NoHome)?;
        let path = DataDir::settings(&root);
        let file = match std::fs::read_to_string(&path) {
            Ok(text) => Some((path, text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(ConfigError::Unreadable { path, source }.into()),
        };
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("VIADUCT_"))
            .collect();
        Ok((root, Sources { file, variables, flags: self.settings()? }))
    }
}

fn main() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            // If even this cannot be written there is nobody to tell.
            let _unheard = error.print();
            return ExitCode::from(code);
        }
    };
    match act(&flags) {
        Ok(code) => code,
        Err(error) => {
            let _unheard = writeln!(io::stderr(), "viaductd: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn act(flags: &Flags) -> Result<ExitCode, Box<dyn Error>> {
    if flags.print_config {
        io::stdout().write_all(sample().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let (root, sources) = flags.sources()?;
    match &flags.command {
        // Seeds are made before anybody knows where the chain will be.
        Some(Command::Seed(verb)) => {
            let (dir, password) = Config::seed_place(root, &sources)?;
            match verb {
                SeedCommand::New => new_seed(&dir, &password),
                SeedCommand::Restore { birth } => restore_seed(&dir, &password, *birth),
            }
        }
        None => {
            let config = Config::read(root, &sources)?;
            logging::start(&config.log)?;
            if flags.restored {
                daemon::seed::file::private_directory(&config.dir.network())?;
                daemon::guard::mark_restored(&config.dir)?;
            }
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let code = runtime.block_on(run(&config, flags.confirm.as_deref()))?;
            runtime.shutdown_timeout(Duration::from_millis(200));
            Ok(code)
        }
    }
}

fn new_seed(dir: &DataDir, password: &PasswordSource) -> Result<ExitCode, Box<dyn Error>> {
    let seed = Seed::generate()?;
    boot::save_seed(dir, password, &seed, Birth::Tip)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", seed.words()?.as_str())?;
    writeln!(io::stderr(), "Write these words down. They are shown once and are all the money.")?;
    Ok(ExitCode::SUCCESS)
}

fn restore_seed(
    dir: &DataDir,
    password: &PasswordSource,
    birth: u32,
) -> Result<ExitCode, Box<dyn Error>> {
    let mut text = Zeroizing::new(String::new());
    io::stdin().lock().take(WORDS_LEN_MAX).read_to_string(&mut text)?;
    let mut lines = text.lines();
    let words = lines.next().unwrap_or_default().trim().to_lowercase();
    let passphrase = lines.next().unwrap_or_default();
    let seed = Seed::from_words(&Zeroizing::new(words), passphrase)?;
    boot::save_seed(dir, password, &seed, Birth::Height(birth))?;
    writeln!(io::stderr(), "The seed is restored at {}.", dir.seed().display())?;
    Ok(ExitCode::SUCCESS)
}

async fn run(config: &Config, confirmation: Option<&str>) -> Result<ExitCode, Box<dyn Error>> {
    daemon::seed::file::private_directory(&config.dir.network())?;
    config.confirm(confirmation)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let seed = boot::open_seed(config)?;
    let chain = Chain::open(config).await?;
    let daemon = Daemon::start(config, &seed, chain).await?;
    drop(seed);
    announce(config, &daemon).await?;

    let tasks = daemon.node().tasks().clone();
    let ended = daemon.wait();
    tokio::pin!(ended);
    let why = tokio::select! {
        why = &mut ended => why,
        _ = terminate.recv() => stop(&tasks, ended).await,
        _ = interrupt.recv() => stop(&tasks, ended).await,
    };
    notify("STOPPING=1");
    Ok(match why {
        None => ExitCode::SUCCESS,
        Some(fatal) => {
            tracing::error!(%fatal, "stopped; starting again is safe");
            ExitCode::from(FATAL)
        }
    })
}

async fn stop(
    tasks: &daemon::tasks::Tasks,
    ended: impl Future<Output = Option<daemon::tasks::Fatal>>,
) -> Option<daemon::tasks::Fatal> {
    tracing::info!("stopping");
    tasks.stop();
    match tokio::time::timeout(PATIENCE, ended).await {
        Ok(why) => why,
        Err(_) => {
            tracing::warn!("not everything ended in time; the journal has what counts");
            None
        }
    }
}

/// Says on standard output, in one line, that it is ready; and to systemd, if that asked.
async fn announce(config: &Config, daemon: &Daemon) -> Result<(), Box<dyn Error>> {
    let info = daemon.handle().info().await?;
    let p2p: Vec<String> = daemon.node().listening().iter().map(ToString::to_string).collect();
    writeln!(
        io::stdout(),
        "ready network={} node_id={} rpc={} p2p={}",
        config.network.name(),
        info.node,
        daemon.rpc_address(),
        p2p.join(",")
    )?;
    io::stdout().flush()?;
    notify("READY=1");
    Ok(())
}

/// A word to the service manager that started us (systemd's notification protocol).
fn notify(word: &str) {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        _ => SocketAddr::from_pathname(&name),
    };
    let told = address.and_then(|address| {
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.send(word.as_bytes())
    });
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::Flags;

    fn settings(flags: &[&str]) -> Result<Vec<(String, String)>, String> {
        let words = std::iter::once("viaductd").chain(flags.iter().copied());
        let flags = Flags::try_parse_from(words).map_err(|error| error.to_string())?;
        flags.settings().map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_sound() {
        Flags::command().debug_assert();
    }

    #[test]
    fn flags_are_settings_by_another_name() {
        let given = settings(&["--chain", "http://h:1", "--set", "channel.reserve_ppm = 5"]);
        let expected = [("channel.reserve_ppm ", " 5"), ("chain.backend", "http://h:1")];
        let trimmed = expected.map(|(name, value)| (name.trim().to_owned(), value.to_owned()));
        assert_eq!(given.unwrap(), trimmed);
        assert!(settings(&["--set", "alias"]).unwrap_err().contains("SETTING=VALUE"));
    }

    #[test]
    fn the_password_comes_from_one_place_and_never_from_the_command_line() {
        let of = |flags: &[&str]| settings(flags).unwrap().pop();
        let password = |value: &str| Some(("password".to_owned(), value.to_owned()));
        assert_eq!(of(&["--password-file", "/run/pw"]), password("file:/run/pw"));
        assert_eq!(of(&["--password-fd", "3"]), password("fd:3"));
        assert_eq!(of(&["--no-password"]), password("none"));
        assert!(settings(&["--no-password", "--password-fd", "3"]).is_err());
        assert!(settings(&["--password", "hunter2"]).is_err());
    }
}
