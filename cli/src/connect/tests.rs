//! Tests of `connect`.

use super::*;
use crate::sandbox::state::NodeState;
use api::auth::RootKey;

struct Home {
    dir: tempfile::TempDir,
    places: Places,
}

fn home() -> Home {
    let dir = tempfile::tempdir().unwrap();
    let places = Places { profiles: dir.path().join("nodes.toml"), data: dir.path().join("data") };
    fs::create_dir_all(places.data.join("sandbox")).unwrap();
    Home { dir, places }
}

impl Home {
    fn token(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        let token = Token::bake(&RootKey::from_bytes([1; 32]), Role::Admin).unwrap();
        fs::write(&path, token.to_bytes().unwrap()).unwrap();
        path
    }

    fn find(&self, to: &Where) -> Result<Target, SetupError> {
        target(to, &self.places)
    }
}

#[test]
fn with_nothing_said_it_is_the_daemon_of_this_machine() {
    let home = home();
    let error = home.find(&Where::default()).unwrap_err();
    assert!(matches!(&error, SetupError::NoDaemon { dir } if *dir == home.places.data));
    assert_eq!(Failure::from(error).exit_code(), 2);

    fs::write(home.places.data.join("tls.cert"), "PEM").unwrap();
    fs::copy(home.token("t"), home.places.data.join("sandbox/admin.macaroon")).unwrap();
    let found = home.find(&Where::default()).unwrap();
    assert_eq!(found.address.to_string(), DEFAULT_URL);
    assert_eq!(found.certificate_pem.as_deref(), Some("PEM"));
    assert!(found.token.is_some());

    fs::write(home.places.data.join("sandbox/viaductd.sock"), "").unwrap();
    let found = home.find(&Where::default()).unwrap();
    assert!(
        matches!(found.address, Address::Unix(path) if path.ends_with("sandbox/viaductd.sock"))
    );
    assert!(found.token.is_none(), "the file's permission is enough");
}

#[test]
fn a_profile_is_found_by_name_and_flags_win_over_it() {
    let home = home();
    let (token, cert) = (home.token("a.macaroon"), home.dir.path().join("a.cert"));
    fs::write(&cert, "CERT").unwrap();
    let text = format!(
        "default = \"alice\"\n[alice]\nurl = \"10.0.0.4:10009\"\ntls = {cert:?}\nmacaroon = {token:?}\n[bob]\nurl = \"10.0.0.5:1\"\n"
    );
    fs::write(&home.places.profiles, text).unwrap();
    let named = |name: &str| Where { node: Some(name.into()), ..Where::default() };
    for to in [Where::default(), named("alice")] {
        let found = home.find(&to).unwrap();
        assert_eq!(found.address.to_string(), "10.0.0.4:10009");
        assert_eq!(found.certificate_pem.as_deref(), Some("CERT"));
        assert!(found.token.is_some());
    }
    assert_eq!(home.find(&named("bob")).unwrap().address.to_string(), "10.0.0.5:1");
    let flags = Where { url: Some("[::1]:7".into()), ..named("alice") };
    let found = home.find(&flags).unwrap();
    assert_eq!(found.address.to_string(), "[::1]:7");
    assert_eq!(found.certificate_pem.as_deref(), Some("CERT"));

    let error = home.find(&named("carol")).unwrap_err();
    assert_eq!(error.to_string(), "no node “carol” is known; known are alice, bob");
}

#[test]
fn nodes_of_the_running_sandbox_are_found_by_name() {
    let home = home();
    let layout = Layout::new(home.places.data.join("sandbox"));
    let node = |name: &str, rpc: &str| NodeState {
        name: name.into(),
        node_id: "02".into(),
        rpc: rpc.into(),
        p2p: "127.0.0.1:9735".into(),
        certificate: home.dir.path().join("a.cert"),
        macaroon: home.token("a.macaroon"),
    };
    fs::write(home.dir.path().join("a.cert"), "CERT").unwrap();
    let lock = layout.lock().unwrap();
    let nodes = vec![node("alice", "127.0.0.1:10009"), node("bob", "127.0.0.1:10010")];
    State { pid: 1, nodes, doors: Vec::new() }.write(&layout).unwrap();

    let named = Where { node: Some("bob".into()), ..Where::default() };
    assert_eq!(home.find(&named).unwrap().address.to_string(), "127.0.0.1:10010");
    let error = home.find(&Where::default()).unwrap_err();
    assert_eq!(error.to_string(), "several nodes run in the sandbox; known are alice, bob");
    assert!(error.next().unwrap().contains("viaduct -n alice"));
    drop(lock);
    assert!(matches!(home.find(&named), Err(SetupError::NoSuchNode { .. })));
}

#[test]
fn a_token_is_a_file_or_hex_and_hex_is_never_shown() {
    let home = home();
    let token = Token::bake(&RootKey::from_bytes([1; 32]), Role::Admin).unwrap();
    let url = Some(DEFAULT_URL.to_owned());
    let with =
        |macaroon: String| Where { macaroon: Some(macaroon), url: url.clone(), ..Where::default() };
    assert!(home.find(&with(token.to_hex().unwrap())).unwrap().token.is_some());
    assert!(home.find(&with(home.token("x").display().to_string())).unwrap().token.is_some());
    let broken = token.to_hex().unwrap().replace('0', "g");
    let error = home.find(&with(broken.clone())).unwrap_err();
    assert!(matches!(error, SetupError::Macaroon { .. }) && !error.to_string().contains(&broken));
    let error = home.find(&with("/no/such/file".into())).unwrap_err();
    assert!(matches!(error, SetupError::File { .. }));
}

#[test]
fn what_cannot_be_read_is_an_error_with_its_place() {
    let home = home();
    fs::write(&home.places.profiles, "[alice]\nport = 5\n").unwrap();
    assert!(matches!(home.find(&Where::default()), Err(SetupError::Profiles { .. })));
    fs::remove_file(&home.places.profiles).unwrap();
    let missing = Where { tls: Some("/no/such/cert".into()), ..Where::default() };
    assert!(matches!(home.find(&missing), Err(SetupError::File { .. })));
    let bad = Where { url: Some("http://example.org:1".into()), ..Where::default() };
    let error = home.find(&bad).unwrap_err();
    assert!(error.to_string().contains("loopback"), "{error}");
}

#[tokio::test]
async fn a_daemon_that_is_not_there_ends_with_code_2() {
    let home = home();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let to = Where { url: Some(format!("http://{free}")), ..Where::default() };
    let failure = connect(&to, &home.places).await.unwrap_err();
    assert_eq!(failure.exit_code(), 2);
    let text = failure.to_text(|_, text| text.to_owned());
    assert!(text.contains(&free.to_string()) && text.contains("refused"), "{text}");
    assert!(text.contains("viaduct sandbox up"), "{text}");

    let remote = Where { url: Some(free.to_string()), ..Where::default() };
    let failure = connect(&remote, &home.places).await.unwrap_err();
    assert!(failure.next().unwrap().contains("--tls"));
}
