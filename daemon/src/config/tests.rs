//! Layers, slips of the keyboard, bounds.

use std::collections::BTreeMap;
use std::path::Path;

use chain_backend::bitcoind::Login;

use super::*;

fn from(
    file: &str,
    variables: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Config, ConfigError> {
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    let sources = Sources {
        file: Some((PathBuf::from("viaduct.toml"), file.to_owned())),
        variables: pairs(variables).into_iter().collect::<BTreeMap<_, _>>(),
        flags: pairs(flags),
    };
    Config::read(PathBuf::from("/data"), &sources)
}

fn said(file: &str) -> String {
    from(file, &[], &[]).unwrap_err().to_string()
}

#[test]
fn without_any_word_it_is_the_sandbox_with_safe_defaults() {
    let config = Config::read(PathBuf::from("/data"), &Sources::default()).unwrap();
    assert_eq!(config.network, Network::Sandbox);
    assert_eq!(config.password, PasswordSource::NoPassword);
    assert_eq!(config.chain, ChainSource::Builtin { mining: Mining::Manual });
    let asks = config.channel.asks;
    assert_eq!((asks.minimum_depth, asks.to_self_delay, asks.max_accepted_htlcs), (1, 144, 483));
    assert_eq!(asks.dust_limit.to_sat(), 354);
    assert_eq!(config.dir.seed(), Path::new("/data/sandbox/seed.enc"));
}

#[test]
fn the_printed_sample_reads_back_as_the_defaults() {
    let sample = sample();
    let config = from(&sample, &[], &[]).unwrap();
    let default = Config::read(PathBuf::from("/data"), &Sources::default()).unwrap();
    assert_eq!(format!("{config:?}"), format!("{default:?}"));
    for section in settings::SECTIONS {
        for setting in section.settings {
            assert!(sample.contains(setting.name), "{}", setting.name);
            assert!(!setting.docs.is_empty());
        }
    }
}

#[test]
fn a_flag_goes_before_a_variable_before_the_networks_table_before_the_file() {
    let file = "network = \"signet\"\n[chain]\nbackend = \"http://h:1\"\n\
                [channel]\ndust_limit_sat = 401\n[signet.channel]\ndust_limit_sat = 402\n";
    let variable = ("VIADUCT_CHANNEL_DUST_LIMIT_SAT", "403");
    let flag = ("channel.dust_limit_sat", "404");
    let dust = |variables: &[(&str, &str)], flags: &[(&str, &str)]| {
        from(file, variables, flags).unwrap().channel.asks.dust_limit.to_sat()
    };
    assert_eq!(dust(&[], &[]), 402);
    assert_eq!(dust(&[variable], &[]), 403);
    assert_eq!(dust(&[variable], &[flag]), 404);
    // Another network: its table does not count.
    assert_eq!(dust(&[("VIADUCT_NETWORK", "regtest")], &[]), 401);
    assert_eq!(from(file, &[], &[("network", "regtest")]).unwrap().channel.asks.minimum_depth, 3);
}

#[test]
fn a_slip_is_refused_with_what_was_meant() {
    assert_eq!(said("netwrk = \"x\""), "there is no setting netwrk; did you mean network?");
    assert_eq!(
        said("[channel]\ndust_limit = 400"),
        "there is no setting channel.dust_limit; did you mean channel.dust_limit_sat?"
    );
    assert_eq!(said("[rpc]\nalias = \"a\""), "there is no setting rpc.alias; did you mean alias?");
    assert_eq!(said("[chanel]\n"), "there is no setting chanel; did you mean channel?");
    assert_eq!(
        said("[signet.channel]\nreserve_pm = 1"),
        "there is no setting signet.channel.reserve_pm; did you mean channel.reserve_ppm?"
    );
    assert_eq!(said("qqqqqqqqqqqq = 1"), "there is no setting qqqqqqqqqqqq");
    let variable = from("", &[("VIADUCT_RPC_LISEN", "x")], &[]).unwrap_err().to_string();
    assert_eq!(variable, "there is no setting VIADUCT_RPC_LISEN; did you mean VIADUCT_RPC_LISTEN?");
    let flag = from("", &[], &[("channel.dust", "1")]).unwrap_err().to_string();
    assert!(flag.starts_with("there is no setting channel.dust"), "{flag}");
}

#[test]
fn wrong_values_name_the_setting_its_origin_and_the_bounds() {
    assert_eq!(
        said("[channel]\ndust_limit_sat = 353"),
        "channel.dust_limit_sat (from settings file): 353 is not between 354 and 5000"
    );
    assert_eq!(
        said("[channel]\ndust_limit_sat = \"many\""),
        "channel.dust_limit_sat (from settings file) must be a whole number, not negative"
    );
    assert!(said("[channel]\ndust_limit_sat = -1").contains("not negative"));
    assert!(said("[channel]\naccepted_htlcs_max = 484").contains("between 1 and 483"));
    assert!(said("[channel]\nfunding_max_sat = 15000").contains("smaller than funding_min_sat"));
    assert_eq!(said("channel = 5"), "channel must be a table: write [channel] above its settings");
    assert_eq!(
        said("network = \"main\""),
        "network (from settings file): \"main\" is not sandbox, regtest, signet, testnet4 or mainnet"
    );
    let variable = from("", &[("VIADUCT_P2P_INBOUND_MAX", "x")], &[]).unwrap_err().to_string();
    assert!(variable.contains("variable VIADUCT_P2P_INBOUND_MAX"), "{variable}");
    let alias = format!("alias = \"{}\"", "x".repeat(33));
    assert!(said(&alias).contains("33 bytes are more than 32"));
    assert!(said("[log]\nfilter = \"info,=\"").starts_with("log.filter"));
    assert!(said("[rpc]\nlisten = \"localhost\"").contains("not an address with port"));
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_its_line() {
    let said = said("alias = \"a\"\n\nalias = \n");
    assert!(said.starts_with("viaduct.toml, line 3: "), "{said}");
}

#[test]
fn the_built_in_chain_is_the_sandboxes_alone() {
    let said = said("network = \"mainnet\"");
    assert!(said.contains("the built-in chain is the sandbox's"), "{said}");
    let remote = |url: &str| from(&format!("[chain]\nbackend = \"{url}\""), &[], &[]);
    assert_eq!(
        remote("http://127.0.0.1:18555").unwrap().chain,
        ChainSource::Elsewhere(Source::Remote { url: "http://127.0.0.1:18555".into() })
    );
    for wrong in ["", "bitcoind", "http://", "http://h", "https://h:1", "http://h:99999"] {
        assert!(remote(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn bitcoin_core_is_reached_by_its_cookie_or_by_user_and_password_and_not_by_both() {
    let chain = |lines: &str| {
        let text = format!(
            "network = \"regtest\"\n[chain]\nbackend = \"bitcoind=http://h:18443\"\n{lines}"
        );
        from(&text, &[], &[]).map(|config| config.chain)
    };
    let core = |lines: &str| match chain(lines).unwrap() {
        ChainSource::Elsewhere(Source::Bitcoind(core)) => core,
        other => panic!("{other:?}"),
    };
    let core_by_cookie = core("rpc_cookie = \"/c\"");
    let place = (core_by_cookie.url.as_str(), core_by_cookie.poll.as_millis());
    assert_eq!(place, ("http://h:18443", 1_000));
    assert_eq!(core_by_cookie.login, Login::Cookie("/c".into()));
    let core_by_password = core("rpc_user = \"u\"\nrpc_password = \"p\"");
    assert_eq!(core_by_password.login, Login::User { user: "u".into(), password: "p".into() });
    for wrong in
        ["", "rpc_user = \"u\"", "rpc_cookie = \"/c\"\nrpc_user = \"u\"\nrpc_password = \"p\""]
    {
        let said = chain(wrong).unwrap_err().to_string();
        assert!(said.contains("rpc_cookie, or rpc_user and rpc_password"), "{said}");
    }
}

#[test]
fn only_a_node_of_the_sandbox_can_be_allowed_to_cheat_and_only_on_demand() {
    assert!(!from("", &[], &[]).unwrap().may_cheat);
    assert!(from("[chain]\ncheat = true", &[], &[]).unwrap().may_cheat);
    for network in ["mainnet", "testnet4", "signet", "regtest"] {
        let remote = "[chain]\nbackend = \"http://127.0.0.1:18555\"\ncheat =";
        let with =
            |word: &str| from(&format!("network = \"{network}\"\n{remote} {word}"), &[], &[]);
        assert!(!with("false").unwrap().may_cheat);
        let refused = with("true").unwrap_err().to_string();
        assert!(refused.contains("cheating is for the sandbox alone"), "{refused}");
    }
}

#[test]
fn blocks_come_by_hand_by_need_or_by_the_clock() {
    let mine = |word: &str| from(&format!("[chain]\nmine = \"{word}\""), &[], &[]);
    let mining = |word: &str| match mine(word).unwrap().chain {
        ChainSource::Builtin { mining } => mining,
        ChainSource::Elsewhere(_) => panic!("built in"),
    };
    assert_eq!(mining("manual"), Mining::Manual);
    assert_eq!(mining("on-tx"), Mining::OnTransaction);
    assert_eq!(mining("10"), Mining::Every(10));
    assert!(mine("0").is_err() && mine("never").is_err());
}

#[test]
fn the_passwords_source_is_named_and_the_password_never_is() {
    let source = |text: &str| from(&format!("password = \"{text}\""), &[], &[]).map(|c| c.password);
    assert_eq!(source("file:/run/pw").unwrap(), PasswordSource::File("/run/pw".into()));
    assert_eq!(source("fd:3").unwrap(), PasswordSource::Descriptor(3));
    assert_eq!(source("env").unwrap(), PasswordSource::Environment);
    assert_eq!(source("none").unwrap(), PasswordSource::NoPassword);
    let said = source("hunter2").unwrap_err().to_string();
    assert!(!said.contains("hunter2"), "{said}");
    // The variable that holds the password is not where it comes from.
    let variable = from("", &[("VIADUCT_PASSWORD", "hunter2")], &[]).unwrap();
    assert_eq!(variable.password, PasswordSource::NoPassword);
    let signet = "network = \"signet\"\n[chain]\nbackend = \"http://h:1\"";
    assert_eq!(from(signet, &[], &[]).unwrap().password, PasswordSource::Unset);
}

#[test]
fn a_seed_needs_a_network_and_a_password_and_no_chain() {
    let place = |network: &str, password: &str| {
        let flag = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let flags = vec![flag("network", network), flag("password", password)];
        let sources = Sources { flags, ..Sources::default() };
        let whole = Config::read("/d".into(), &sources).map_err(|error| error.to_string());
        (Config::seed_place("/d".into(), &sources), whole)
    };
    let (seed, whole) = place("signet", "file:/run/pw");
    let (dir, password) = seed.unwrap();
    assert_eq!(dir, DataDir::new("/d".into(), Network::Signet));
    assert_eq!(password, PasswordSource::File("/run/pw".into()));
    let why = whole.unwrap_err();
    assert!(why.contains("on signet use http://HOST:PORT, bitcoind=http://HOST:PORT"), "{why}");
    assert!(place("sygnet", "none").0.is_err());
    assert!(place("signet", "hunter2").0.is_err());
}

#[test]
fn real_money_needs_the_sentence_once_whoever_tells_of_the_chain() {
    for backend in ["http://h:1", "bitcoind=http://h:1", "esplora=https://h/api"] {
        needs_the_sentence_once(backend);
    }
}

fn needs_the_sentence_once(backend: &str) {
    let dir = tempfile::tempdir().unwrap();
    let sources = Sources {
        flags: vec![
            ("network".into(), "mainnet".into()),
            ("chain.backend".into(), backend.into()),
            ("chain.rpc_cookie".into(), "/cookie".into()),
        ],
        ..Sources::default()
    };
    let config = Config::read(dir.path().into(), &sources).unwrap();
    std::fs::create_dir(config.dir.network()).unwrap();
    assert!(matches!(config.confirm(None), Err(ConfigError::NotConfirmed)));
    assert!(matches!(config.confirm(Some("yes")), Err(ConfigError::NotConfirmed)));
    config.confirm(Some(REAL_MONEY)).unwrap();
    config.confirm(None).unwrap();
}

#[test]
fn the_reserve_is_a_share_but_never_dust() {
    let asks = Config::read("/data".into(), &Sources::default()).unwrap().channel.asks;
    let reserve = |sat| asks.reserve(Amount::from_sat(sat)).to_sat();
    assert_eq!(
        (reserve(20_000), reserve(1_000_000), reserve(16_777_215)),
        (1_000, 10_000, 167_772)
    );
    assert_eq!(asks.in_flight_max_msat(Amount::from_sat(1_000)), 1_000_000);
}

use bitcoin::Amount;
