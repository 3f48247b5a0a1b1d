//! The programs themselves: built once, started, killed, asked.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a program may take for anything a test asks of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Where built programs are, if not beside the running test.
const BIN_DIR: &str = "VIADUCT_TEST_BIN_DIR";

/// A built program. The first who asks builds them all, as the running test was built.
pub(crate) fn program(name: &str) -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(|| match std::env::var_os(BIN_DIR) {
        Some(dir) => dir.into(),
        None => build(),
    });
    let path = dir.join(name);
    assert!(path.exists(), "{} is not built", path.display());
    path
}

fn build() -> PathBuf {
    // target/<profile>/deps/<this test>
    let this = std::env::current_exe().expect("a path");
    let profile =
        this.parent().and_then(Path::parent).expect("deps lies in the profile's directory");
    let target = profile.parent().expect("the profile lies in the target directory");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--workspace", "--bins", "--target-dir"])
        .arg(target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    if profile.ends_with("release") {
        command.arg("--release");
    }
    let built = command.status().expect("cargo runs");
    assert!(built.success(), "the programs do not build");
    profile.to_owned()
}

/// A process that is killed with the test.
pub(crate) struct Process {
    child: Child,
    /// What it said first, in which it tells where it listens.
    pub(crate) ready: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    /// Starts a program and waits until it says that it is ready, on whichever output that is.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let open = || {
            let mut options = std::fs::OpenOptions::new();
            options.create(true).append(true).open(log).expect("a log")
        };
        let before = std::fs::read(log).map_or(0, |text| text.len());
        let mut child =
            command.stdin(Stdio::null()).stdout(open()).stderr(open()).spawn().expect("it starts");
        let begun = Instant::now();
        loop {
            let text = std::fs::read(log).expect("a log");
            let said = BufReader::new(&text[before..]).lines().map_while(Result::ok);
            if let Some(ready) = said.filter(|line| line.contains("ready ")).last() {
                return Self { child, ready };
            }
            if let Ok(Some(status)) = child.try_wait() {
                panic!("it ended with {status}: {}", String::from_utf8_lossy(&text));
            }
            assert!(begun.elapsed() < PATIENCE, "{}", String::from_utf8_lossy(&text));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The value after `name=` in what it said first.
    pub(crate) fn said(&self, name: &str) -> String {
        let key = format!("{name}=");
        let found = self.ready.split_whitespace().find_map(|word| word.strip_prefix(&*key));
        found.unwrap_or_else(|| panic!("no {name} in {}", self.ready)).to_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit code, if it has ended by itself; `None` within for a signal.
    pub(crate) fn ended(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().expect("a child").map(|status| status.code())
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let _dead = self.child.kill();
        let _dead = self.child.wait();
    }

    /// `kill`, and the exit code it ends with.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let sent = Command::new("kill").arg(self.pid().to_string()).status();
        assert!(sent.expect("kill runs").success());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "a stop takes five seconds at most");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// What a command line said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The one JSON value on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error as JSON: the last line on stderr.
    pub(crate) fn error(&self) -> Value {
        let last = self.err.lines().last().unwrap_or_default();
        let error: Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        assert_eq!(error["error"]["exit_code"], self.code, "{self:?}");
        error["error"].clone()
    }

    /// Itself, if all went well.
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Said {
    let done = command.stdin(Stdio::null()).output().expect("it runs");
    Said {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8(done.stdout).expect("text"),
        err: String::from_utf8(done.stderr).expect("text"),
    }
}

/// Looks again and again until something holds.
pub(crate) fn until(what: &str, mut look: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !look() {
        assert!(begun.elapsed() < PATIENCE, "waited for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
