//! The command line of `bitcoind`, as test suites write it, in words of `viaduct-chain`.

use std::path::PathBuf;

/// Options that change nothing here: what they ask for is so, or there is no such thing.
const WITHOUT_EFFECT: [&str; 19] = [
    "server",
    "regtest",
    "logtimestamps",
    "nolisten",
    "listen",
    "txindex",
    "printtoconsole",
    "fallbackfee",
    "debug",
    "debugexclude",
    "rpcthreads",
    "rpcworkqueue",
    "addresstype",
    "nowallet",
    "wallet",
    "dnsseed",
    "discover",
    "daemon",
    "rpcallowip",
];

/// What the cache of `viaduct-chain` may take, megabytes.
const CACHE_MB: (u64, u64) = (1, 16_384);

/// Where signet's callers look.
pub(crate) const SIGNET_PORT: u16 = 38_332;

/// The words of `viaduct-chain` for those of `bitcoind`.
///
/// # Errors
/// What is missing or not understood.
pub(crate) fn translated(args: impl Iterator<Item = String>) -> Result<Vec<String>, String> {
    let (mut dir, mut port, mut user, mut password) = (None, None, None, None);
    let (mut signet, mut challenge) = (false, None);
    let (mut reindex, mut prune, mut cache) = (None, None, None);
    for arg in args {
        let text = arg.trim_start_matches('-');
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        match name {
            "datadir" => dir = Some(PathBuf::from(value)),
            "rpcport" => port = Some(value.to_owned()),
            "rpcuser" => user = Some(value.to_owned()),
            "rpcpassword" => password = Some(value.to_owned()),
            "signet" => signet = true,
            "signetchallenge" => challenge = Some(value.to_owned()),
            "reindex" | "reindex-chainstate" => reindex = Some(value.to_owned()),
            "prune" => prune = Some(value.to_owned()),
            "dbcache" => cache = Some(value.to_owned()),
            name if WITHOUT_EFFECT.contains(&name) => {}
            _ => return Err(format!("Invalid parameter {arg}")),
        }
    }
    let dir = dir.ok_or("-datadir is needed")?;
    let file = std::fs::read_to_string(dir.join("bitcoin.conf")).unwrap_or_default();
    for line in file.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.split_once('=') else { continue };
        let own = if signet { "signet." } else { "regtest." };
        let (name, value) = (name.trim().trim_start_matches(own), value.trim().to_owned());
        match name {
            "reindex" | "reindex-chainstate" => drop(reindex.get_or_insert(value)),
            "prune" => drop(prune.get_or_insert(value)),
            "dbcache" => drop(cache.get_or_insert(value)),
            "signetchallenge" if signet => drop(challenge.get_or_insert(value)),
            "rpcport" => drop(port.get_or_insert(value)),
            "rpcuser" => drop(user.get_or_insert(value)),
            "rpcpassword" => drop(password.get_or_insert(value)),
            // As on the command line, but a file is somebody's own and may say more.
            _ => {}
        }
    }
    let usual = if signet { SIGNET_PORT } else { chain_backend::rpc::PORT };
    let port = port.unwrap_or_else(|| usual.to_string());
    let mut words = vec!["viaduct-chain".to_owned(), "--dir".to_owned(), dir.display().to_string()];
    // Its own gRPC takes any free port: nobody who starts `bitcoind` asks for it.
    words.extend(["--listen".to_owned(), "127.0.0.1:0".to_owned()]);
    words.extend(["--rpc-listen".to_owned(), format!("127.0.0.1:{port}")]);
    if let (Some(user), Some(password)) = (user, password) {
        words.extend(["--rpc-login".to_owned(), format!("{user}:{password}")]);
    }
    // `-reindex` alone is `-reindex=1`.
    if reindex.is_some_and(|value| value != "0") {
        words.push("--reindex".to_owned());
    }
    // Core's figure is how many megabytes may stay; here what nobody needs goes. 1 is by hand, of which there is none.
    let prune = prune.map(|value| number("prune", &value)).transpose()?;
    if prune.is_some_and(|megabytes| megabytes > 1) {
        words.push("--prune".to_owned());
    }
    if let Some(cache) = cache {
        let megabytes = number("dbcache", &cache)?.clamp(CACHE_MB.0, CACHE_MB.1);
        words.extend(["--cache-mb".to_owned(), megabytes.to_string()]);
    }
    if signet {
        words.extend(["--network".to_owned(), "signet".to_owned()]);
        words.extend(challenge.into_iter().flat_map(|hex| ["--signet-challenge".to_owned(), hex]));
    }
    Ok(words)
}

fn number(name: &str, value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| format!("Invalid value for -{name}: {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lnprototests_command_line_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let file = "rpcuser=rpcuser\nrpcpassword=rpcpass\n[regtest]\nrpcport=1234\n";
        std::fs::write(dir.path().join("bitcoin.conf"), file).unwrap();
        let datadir = format!("-datadir={}", dir.path().display());
        let args = [datadir.as_str(), "-server", "-regtest", "-logtimestamps", "-nolisten"];
        let words = translated(args.iter().map(|arg| (*arg).to_owned())).unwrap();
        let tail = &words[words.len() - 4..];
        assert_eq!(tail, ["--rpc-listen", "127.0.0.1:1234", "--rpc-login", "rpcuser:rpcpass"]);
        let signet = [datadir.as_str(), "-signet", "-signetchallenge=51"];
        let words = translated(signet.iter().map(|arg| (*arg).to_owned())).unwrap();
        let tail = &words[words.len() - 4..];
        assert_eq!(tail, ["--network", "signet", "--signet-challenge", "51"]);
        let sizes = [datadir.as_str(), "-reindex", "-prune=550", "-dbcache=450"];
        let words = translated(sizes.iter().map(|arg| (*arg).to_owned())).unwrap();
        for wanted in ["--reindex", "--prune", "--cache-mb", "450"] {
            assert!(words.iter().any(|word| word == wanted), "{wanted} in {words:?}");
        }
        let none = [datadir.as_str(), "-reindex=0", "-prune=0", "-dbcache=99999999"];
        let words = translated(none.iter().map(|arg| (*arg).to_owned())).unwrap();
        assert!(!words.iter().any(|word| word == "--reindex" || word == "--prune"), "{words:?}");
        assert_eq!(words.last().map(String::as_str), Some("16384"));
        for wrong in ["-prune=much", "-prune", "-dbcache=-1"] {
            let words = [datadir.as_str(), wrong];
            assert!(translated(words.iter().map(|arg| (*arg).to_owned())).is_err(), "{wrong}");
        }
        assert!(translated(["-reindex-everything".to_owned()].into_iter()).is_err());
        assert!(translated(std::iter::empty()).is_err());
    }
}
