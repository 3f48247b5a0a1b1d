//! Seeds that are missing, lost or locked; a daemon that starts, answers over its API and stops.

use std::path::Path;
use std::time::Duration;

use api::auth::{Role, Token};
use api::client::{Address, Client, Target};
use api::v1;

use super::*;
use crate::config::Sources;

fn config(root: &Path, more: &[(&str, &str)]) -> Config {
    let usual = [("p2p.listen", "127.0.0.1:0"), ("rpc.listen", "127.0.0.1:0")];
    let flags = usual.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Config::read(root.into(), &Sources { flags: flags.collect(), ..Sources::default() }).unwrap()
}

#[test]
fn the_sandbox_makes_its_seed_once_and_only_in_an_empty_place() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &[]);
    let made = open_seed(&config).unwrap();
    let again = open_seed(&config).unwrap();
    assert_eq!(made.words().unwrap(), again.words().unwrap());
    std::fs::create_dir(config.dir.store()).unwrap();
    std::fs::remove_file(config.dir.seed()).unwrap();
    assert!(matches!(open_seed(&config), Err(BootError::SeedLost { .. })));
    // The words bring it back, and the node with it.
    save_seed(&config.dir, &config.password, &made, Birth::Tip).unwrap();
    assert_eq!(open_seed(&config).unwrap().words().unwrap(), made.words().unwrap());
}

#[test]
fn elsewhere_a_seed_is_made_by_hand_and_with_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let signet = [("network", "signet"), ("chain.backend", "http://127.0.0.1:1")];
    let config = config(dir.path(), &signet);
    let missing = open_seed(&config).unwrap_err();
    assert!(missing.to_string().contains("viaductd seed new"), "{missing}");
    let seed = Seed::generate().unwrap();
    let refused = save_seed(&config.dir, &config.password, &seed, Birth::Tip).unwrap_err();
    assert!(matches!(refused, BootError::Password(PasswordError::Unset)), "{refused}");
}

#[tokio::test]
async fn a_daemon_starts_answers_over_its_api_and_stops_when_asked_over_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &[("alias", "alice")]);
    let seed = open_seed(&config).unwrap();
    let chain = Chain::open(&config).await.unwrap();
    let daemon = Daemon::start(&config, &seed, chain).await.unwrap();

    let token = std::fs::read(config.dir.token(Role::Admin)).unwrap();
    let target = Target {
        address: Address::Tls { host: "127.0.0.1".into(), port: daemon.rpc_address().port() },
        certificate_pem: Some(daemon.certificate_pem().to_owned()),
        token: Some(Token::from_bytes(&token).unwrap()),
    };
    let client = Client::connect(target).await.unwrap();
    let info = client.node().info(v1::InfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.alias.as_str(), info.network.as_str()), ("alice", "sandbox"));

    // The same directory is taken.
    let second = Chain::open(&config).await;
    assert!(matches!(second, Err(BootError::Chain(_))));

    client.node().stop(v1::StopRequest::default()).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), daemon.wait()).await;
    assert!(ended.unwrap().is_none());
}
