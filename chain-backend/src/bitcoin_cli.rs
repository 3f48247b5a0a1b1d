//! `bitcoin-cli`, as far as programs run it: Core Lightning asks its chain through this program. Options, output and
//! exit codes are Bitcoin Core's.

use chain_backend::bitcoind::{CallError, Client, Login};
use chain_backend::rpc;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::bitcoind_flags::SIGNET_PORT;

/// What the options say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    datadir: Option<PathBuf>,
    connect: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    password: Option<String>,
    cookie_file: Option<PathBuf>,
    wallet: Option<String>,
    ask_password: bool,
    more_from_stdin: bool,
    wait: bool,
    wait_s: u64,
    named: bool,
    /// Else regtest.
    signet: bool,
    words: Vec<String>,
}

/// Why a call was not made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Unclear {
    #[error("Invalid parameter {0}")]
    Option(String),
    #[error("too few parameters (need at least command)")]
    NoCommand,
}

impl Wanted {
    /// Reads the command line. Options come first, with one or two dashes.
    pub(crate) fn read(args: impl Iterator<Item = String>) -> Result<Self, Unclear> {
        let mut wanted = Self::default();
        let mut args = args.peekable();
        while let Some(arg) = args.next_if(|arg| arg.starts_with('-')) {
            wanted.option(&arg)?;
        }
        wanted.words.extend(args);
        Ok(wanted)
    }

    fn option(&mut self, arg: &str) -> Result<(), Unclear> {
        let unclear = || Unclear::Option(arg.to_owned());
        let text = arg.trim_start_matches('-');
        let (name, value) =
            text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let text = || value.map(str::to_owned).ok_or_else(unclear);
        let is_on = value.is_none_or(|value| value != "0");
        match name {
            "regtest" | "rpcclienttimeout" | "color" | "conf" => {}
            "chain" if value == Some("regtest") => {}
            "signet" => self.signet = is_on,
            "chain" if value == Some("signet") => self.signet = true,
            "datadir" => self.datadir = Some(text()?.into()),
            "rpcconnect" => self.connect = Some(text()?),
            "rpcport" => self.port = Some(text()?.parse().map_err(|_| unclear())?),
            "rpcuser" => self.user = Some(text()?),
            "rpcpassword" => self.password = Some(text()?),
            "rpccookiefile" => self.cookie_file = Some(text()?.into()),
            "rpcwallet" => self.wallet = Some(text()?),
            "stdinrpcpass" => self.ask_password = is_on,
            "stdin" => self.more_from_stdin = is_on,
            "rpcwait" => self.wait = is_on,
            "rpcwaittimeout" => self.wait_s = text()?.parse().map_err(|_| unclear())?,
            "named" => self.named = is_on,
            "getinfo" => self.words.push("getblockchaininfo".to_owned()),
            "generate" => self.words.push("-generate".to_owned()),
            _ => return Err(unclear()),
        }
        Ok(())
    }

    /// What `bitcoin.conf` says that the command line does not.
    fn with_file(mut self, text: &str) -> Self {
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.split_once('=') else { continue };
            let value = value.trim().to_owned();
            let own = if self.signet { "signet." } else { "regtest." };
            match name.trim().trim_start_matches(own) {
                "rpcuser" => drop(self.user.get_or_insert(value)),
                "rpcpassword" => drop(self.password.get_or_insert(value)),
                "rpcconnect" => drop(self.connect.get_or_insert(value)),
                "rpcport" => {
                    if let Ok(port) = value.parse() {
                        self.port.get_or_insert(port);
                    }
                }
                _ => {}
            }
        }
        self
    }

    fn login(&self) -> Login {
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            return Login::User { user: user.clone(), password: password.clone() };
        }
        if let Some(password) = &self.password {
            return Login::User { user: String::new(), password: password.clone() };
        }
        let network = if self.signet { "signet" } else { "regtest" };
        let below = self.datadir.clone().unwrap_or_else(|| PathBuf::from(".")).join(network);
        Login::Cookie(self.cookie_file.clone().unwrap_or_else(|| below.join(rpc::COOKIE_FILE)))
    }

    fn url(&self) -> String {
        let host = self.connect.as_deref().unwrap_or("127.0.0.1");
        let usual = if self.signet { SIGNET_PORT } else { rpc::PORT };
        let port = self.port.unwrap_or(usual);
        // A port may be part of the host.
        let place = if host.contains(':') { host.to_owned() } else { format!("{host}:{port}") };
        let path = self.wallet.as_ref().map(|name| format!("/wallet/{name}")).unwrap_or_default();
        format!("http://{place}{path}")
    }

    fn params(&self, words: &[String]) -> Value {
        if !self.named {
            return words.iter().map(|word| value_of(word)).collect();
        }
        let mut named = serde_json::Map::new();
        let mut others = Vec::new();
        for word in words {
            match word.split_once('=') {
                Some((name, value)) => drop(named.insert(name.to_owned(), value_of(value))),
                None => others.push(value_of(word)),
            }
        }
        if !others.is_empty() {
            named.insert("args".to_owned(), Value::Array(others));
        }
        Value::Object(named)
    }
}

/// A word as JSON where it is some; hashes and bytes stay text even if they are all digits.
fn value_of(word: &str) -> Value {
    let is_long_number = word.len() > 20 && word.bytes().all(|byte| byte.is_ascii_digit());
    match serde_json::from_str(word) {
        Ok(
            value @ (Value::Number(_)
            | Value::Bool(_)
            | Value::Array(_)
            | Value::Object(_)
            | Value::Null),
        ) if !is_long_number => value,
        Ok(_) | Err(_) => Value::String(word.to_owned()),
    }
}

/// Makes the call and prints what came; the exit code is the error's code without its sign.
pub(crate) async fn run(args: impl Iterator<Item = String>) -> ExitCode {
    let mut wanted = match Wanted::read(args) {
        Ok(wanted) => wanted,
        Err(unclear) => return failed(1, &format!("error: {unclear}")),
    };
    let mut stdin = std::io::stdin().lock().lines().map_while(Result::ok);
    if wanted.ask_password {
        wanted.password = stdin.next();
    }
    if wanted.more_from_stdin {
        wanted.words.extend(stdin.by_ref());
    }
    if let Some(dir) = &wanted.datadir
        && let Ok(text) = std::fs::read_to_string(dir.join("bitcoin.conf"))
    {
        wanted = wanted.with_file(&text);
    }
    let Some((method, words)) = wanted.words.split_first() else {
        return failed(1, &format!("error: {}", Unclear::NoCommand));
    };
    let client = match Client::new(&wanted.url(), wanted.login()) {
        Ok(client) => client,
        Err(error) => return failed(1, &format!("error: {error}")),
    };
    if method == "-generate" {
        return generate(&wanted, &client, words).await;
    }
    match call(&wanted, &client, method, wanted.params(words)).await {
        Ok(result) => {
            printed(&text_of(&result));
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// Blocks for the wallet: an address first, as Bitcoin Core does.
async fn generate(wanted: &Wanted, client: &Client, words: &[String]) -> ExitCode {
    let count = words.first().map_or_else(|| json!(1), |word| value_of(word));
    let address = match call(wanted, client, "getnewaddress", json!([])).await {
        Ok(address) => address,
        Err(code) => return code,
    };
    let address: Value = serde_json::from_str(address.get()).unwrap_or_default();
    match call(wanted, client, "generatetoaddress", json!([count, address])).await {
        Ok(blocks) => {
            printed(&indented(&format!("{{\"address\":{address},\"blocks\":{}}}", blocks.get())));
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

#[derive(serde::Deserialize)]
struct Answered {
    result: Option<Box<RawValue>>,
    error: Option<Refused>,
}

#[derive(serde::Deserialize)]
struct Refused {
    code: i64,
    message: String,
}

/// One call; what went wrong is printed already.
async fn call(
    wanted: &Wanted,
    client: &Client,
    method: &str,
    params: Value,
) -> Result<Box<RawValue>, ExitCode> {
    let body = json!({ "jsonrpc": "1.0", "id": 1, "method": method, "params": params }).to_string();
    let mut waited = Duration::ZERO;
    let nap = Duration::from_millis(200);
    let answer = loop {
        match client.post_text(body.clone()).await {
            Err(CallError::Unreachable(_))
                if wanted.wait
                    && (wanted.wait_s == 0 || waited < Duration::from_secs(wanted.wait_s)) =>
            {
                waited = waited.saturating_add(nap);
                tokio::time::sleep(nap).await;
            }
            Err(error) => {
                let words =
                    format!("error: Could not connect to the server {}\n\n{error}", wanted.url());
                return Err(failed(1, &words));
            }
            Ok(answer) => break answer,
        }
    };
    let nonsense = || failed(1, "error: the server's answer is no JSON");
    let answer: Answered = serde_json::from_slice(&answer).map_err(|_| nonsense())?;
    match answer.error {
        None => Ok(answer.result.unwrap_or_else(|| RawValue::NULL.to_owned())),
        Some(Refused { code, message }) => {
            let words = format!("error code: {code}\nerror message:\n{message}");
            let exit = u8::try_from(code.unsigned_abs() & 0xff).unwrap_or(1);
            Err(failed(exit, &words))
        }
    }
}

fn failed(code: u8, words: &str) -> ExitCode {
    // If even this cannot be written there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{words}");
    ExitCode::from(code)
}

fn printed(text: &str) {
    if !text.is_empty() {
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}

/// Text without quotes, nothing for null, everything else indented.
fn text_of(result: &RawValue) -> String {
    match serde_json::from_str(result.get()) {
        Ok(Value::String(text)) => text,
        Ok(Value::Null) => String::new(),
        Ok(_) | Err(_) => indented(result.get()),
    }
}

/// JSON over several lines; numbers stay as they were written.
fn indented(json: &str) -> String {
    let mut text = String::new();
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let mut letters = json.chars().peekable();
    while let Some(letter) = letters.next() {
        if quoted {
            text.push(letter);
            quoted = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
            continue;
        }
        let line = |depth: usize| format!("\n{}", "  ".repeat(depth));
        match letter {
            '"' => {
                quoted = true;
                text.push(letter);
            }
            '{' | '[' => {
                text.push(letter);
                let is_empty = matches!(letters.peek(), Some('}' | ']'));
                depth = depth.saturating_add(1);
                if !is_empty {
                    text.push_str(&line(depth));
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if !text.ends_with(['{', '[']) {
                    text.push_str(&line(depth));
                }
                text.push(letter);
            }
            ',' => {
                text.push(letter);
                text.push_str(&line(depth));
            }
            ':' => text.push_str(": "),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Wanted {
        Wanted::read(words.iter().map(|word| (*word).to_owned())).unwrap()
    }

    #[test]
    fn core_lightnings_command_line_is_understood() {
        let wanted = read(&[
            "-regtest",
            "-datadir=/x",
            "-rpcclienttimeout=60",
            "-rpcconnect=127.0.0.1",
            "-rpcport=4",
            "-rpcuser=u",
            "-stdinrpcpass",
            "-stdin",
            "estimatesmartfee",
        ]);
        assert_eq!((wanted.url().as_str(), wanted.more_from_stdin), ("http://127.0.0.1:4", true));
        let wanted = Wanted {
            words: ["getblock", &"1".repeat(64), "0"].map(str::to_owned).to_vec(),
            ..wanted
        };
        assert_eq!(wanted.params(&wanted.words[1..]), json!(["1".repeat(64), 0]));
        assert!(Wanted::read(["-nonsense".to_owned()].into_iter()).is_err());
    }

    #[test]
    fn parameters_have_names_if_wanted() {
        let wanted = read(&["--named", "sendtoaddress", "address=x", "amount=0.1", "rest"]);
        assert_eq!(
            wanted.params(&wanted.words[1..]),
            json!({ "address": "x", "amount": 0.1, "args": ["rest"] })
        );
    }

    #[test]
    fn what_the_file_says_holds_unless_the_command_line_says_otherwise() {
        let wanted = read(&["-rpcport=1", "stop"]);
        let wanted = wanted
            .with_file("rpcuser=u\nrpcpassword = p\n[regtest]\nrpcport=9\n# rpcconnect=evil\n");
        assert_eq!(wanted.url(), "http://127.0.0.1:1");
        assert!(
            matches!(wanted.login(), Login::User { user, password } if user == "u" && password == "p")
        );
    }

    #[test]
    fn output_is_indented_and_its_numbers_are_left_alone() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        assert_eq!(text_of(&raw("\"abc\"")), "abc");
        assert_eq!(text_of(&raw("null")), "");
        assert_eq!(text_of(&raw("7")), "7");
        let json = "{\"fee\":0.00001000,\"a\":[],\"b\":[1,\"x,{\\\"\"],\"c\":{}}";
        let lines = "{\n  \"fee\": 0.00001000,\n  \"a\": [],\n  \"b\": [\n    1,\n    \"x,{\\\"\"\n  ],\n  \"c\": {}\n}";
        assert_eq!(text_of(&raw(json)), lines);
    }
}
