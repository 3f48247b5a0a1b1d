//! What a node must not start on: somebody else's directory, a lost journal, a damaged one.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use daemon::config::{Config, Sources};
use daemon::node::{ChainAccess, Node, StartError};
use daemon::seed::Seed;
use store::journal::{Damage, JournalError};
use store::marker::MarkerError;
use viaduct_tests::layer1::Layer1;
use viaduct_tests::until::until_async;

use super::pair::{CAPACITY, in_time};

/// A node that is started again and again on the same directory.
struct Place {
    layer1: Layer1,
    config: Config,
    seed: Seed,
    _dir: tempfile::TempDir,
}

fn config(root: &Path) -> Config {
    let flags = [("network", "sandbox"), ("p2p.listen", "127.0.0.1:0")];
    let flags = flags.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let sources = Sources { flags, ..Sources::default() };
    let config = Config::read(root.to_owned(), &sources).unwrap();
    fs::create_dir_all(config.dir.network()).unwrap();
    config
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        Self { layer1: Layer1::start(), config, seed: Seed::generate().unwrap(), _dir: dir }
    }

    async fn start_as(&self, seed: &Seed) -> Result<Node, StartError> {
        let sandbox = self.layer1.sandbox();
        let access = ChainAccess { backend: self.layer1.backend(), sandbox: Some(sandbox) };
        let secrets = seed.secrets(self.config.network.params()).unwrap();
        Node::start(&self.config, secrets, access).await
    }

    async fn start(&self) -> Result<Node, StartError> {
        self.start_as(&self.seed).await
    }

    /// A directory whose node once had a channel, stopped.
    async fn used() -> Self {
        let place = Self::new();
        let peer = Self::new();
        let node = place.start().await.unwrap();
        let other = Node::start(
            &peer.config,
            peer.seed.secrets(peer.config.network.params()).unwrap(),
            ChainAccess { backend: place.layer1.backend(), sandbox: Some(place.layer1.sandbox()) },
        )
        .await
        .unwrap();
        open(&place.layer1, &node, &other).await;
        assert!(node.stop().await.is_none());
        assert!(other.stop().await.is_none());
        place
    }

    fn journal(&self) -> PathBuf {
        self.config.dir.store().join("journal")
    }

    /// The journal's segments, oldest first.
    fn segments(&self) -> Vec<PathBuf> {
        let mut found: Vec<_> = fs::read_dir(self.journal())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                name.ends_with(".seg") || name.contains("segment")
            })
            .collect();
        found.sort();
        assert!(!found.is_empty(), "{:?}", listing(&self.journal()));
        found
    }
}

fn listing(dir: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), entry.metadata().unwrap().len())
        })
        .collect()
}

async fn open(layer1: &Layer1, node: &Node, other: &Node) {
    use daemon::rpc::model::channel::OpenChannel;
    use daemon::rpc::model::wallet::Coins;
    use daemon::rpc::node_api::NodeApi as _;
    let to = node.handle().new_address(Default::default(), None).await.unwrap();
    layer1.give(&[to.script_pubkey()]).await;
    let height = layer1.height().await;
    until_async("the coin", String::new, || async {
        (node.handle().tip().borrow().height.0 >= height).then_some(())
    })
    .await;
    let order = OpenChannel {
        key: None,
        node: other.handle().node_id(),
        address: Some(other.listening()[0].to_string()),
        coins: Coins::Exactly(bitcoin::Amount::from_sat(CAPACITY)),
        push: wire::units::Msat::ZERO,
        feerate: None,
        to_self_delay: None,
        announce: false,
        kind: channel::Kind::default(),
    };
    let started = node.handle().open_channel(order).await.unwrap();
    layer1.mempool_of(1).await;
    layer1.mine(1).await;
    drop(started);
    until_async("the channel", String::new, || async {
        let info = node.handle().info().await.unwrap();
        (info.channels_open == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_node_on_the_same_directory_is_refused_with_the_process_that_has_it() {
    in_time(async {
        let place = Place::new();
        let node = place.start().await.unwrap();
        let refused = place.start().await.expect_err("refused");
        let text = refused.to_string();
        assert!(text.contains(&std::process::id().to_string()), "{text}");
        assert!(
            matches!(refused, StartError::Journal(JournalError::Locked { pid: Some(_) })),
            "{text}"
        );
        // The first one never noticed.
        let info = daemon::rpc::node_api::NodeApi::info(&node.handle()).await.unwrap();
        assert_eq!(info.channels_open, 0);
        assert!(node.stop().await.is_none());
        assert!(place.start().await.is_ok(), "it is free again");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c41_a_node_that_had_channels_does_not_start_without_its_journal_or_on_another_seed() {
    in_time(async {
        let place = Place::used().await;
        let another = Seed::generate().unwrap();
        let refused = place.start_as(&another).await.expect_err("refused");
        assert!(matches!(refused, StartError::Marker(MarkerError::OtherNode)), "{refused}");

        let kept = place.journal().with_extension("kept");
        fs::rename(place.journal(), &kept).unwrap();
        let refused = place.start().await.expect_err("refused");
        // The index knows of records, and the marker of channels: either may speak first.
        assert!(
            matches!(
                refused,
                StartError::Marker(MarkerError::JournalLost) | StartError::JournalBehind { .. }
            ),
            "{refused}"
        );
        fs::remove_dir_all(place.config.dir.store().join("index")).unwrap();
        let refused = place.start().await.expect_err("refused");
        assert!(matches!(refused, StartError::Marker(MarkerError::JournalLost)), "{refused}");
        assert!(refused.to_string().contains("lose the money"), "{refused}");

        fs::remove_dir_all(place.journal()).unwrap();
        fs::rename(&kept, place.journal()).unwrap();
        let node =
            place.start().await.expect("with its journal it starts, and makes its index anew");
        let info = daemon::rpc::node_api::NodeApi::info(&node.handle()).await.unwrap();
        assert_eq!(info.channels_open + info.channels_opening, 1);
        assert!(node.stop().await.is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_changed_anywhere_in_the_middle_of_the_journal_is_found() {
    in_time(async {
        let place = Place::used().await;
        let segment = place.segments().remove(0);
        let whole = fs::read(&segment).unwrap();
        let written = whole.iter().rposition(|byte| *byte != 0).unwrap();
        for part in 1..8 {
            let at = written * part / 8;
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&segment, &damaged).unwrap();
            let refused = place.start().await.expect_err("refused");
            let StartError::Journal(JournalError::Corrupt { offset, damage, .. }) = &refused else {
                panic!("byte {at}: {refused}")
            };
            assert!(*offset <= at as u64, "{refused}");
            assert!(matches!(damage, Damage::Record | Damage::Head), "{refused}");
        }
        fs::write(&segment, &whole).unwrap();
        let node = place.start().await.expect("the whole journal is fine");
        assert!(node.stop().await.is_none());
    })
    .await;
}

/// What a segment begins with, before its first record.
const SEGMENT_HEAD_BYTES: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_the_crash_tore_is_left_out_and_reported() {
    in_time(async {
        let place = Place::new();
        // A node that was dropped, so that its last segment is not closed.
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let secrets = place.seed.secrets(place.config.network.params()).unwrap();
        let (config, access) =
            (place.config.clone(), ChainAccess { backend: place.layer1.backend(), sandbox: None });
        let node = runtime.spawn(async move { Node::start(&config, secrets, access).await });
        let node = node.await.unwrap().unwrap();
        let before = node.recovered().last;
        runtime.shutdown_background();
        drop(node);
        until_async("the directory to be free", String::new, || async {
            // Half a record behind the last whole one, as a crash within a write leaves it.
            place.start().await.ok()
        })
        .await
        .stop()
        .await;
        let last = place.segments().pop().unwrap();
        let mut bytes = fs::read(&last).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        // The head of a segment is older than any crash, even where it ends with zeros.
        bytes.truncate(end.max(SEGMENT_HEAD_BYTES));
        fs::write(&last, &bytes).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(&last).unwrap();
        file.write_all(&[0x5a; 21]).unwrap();
        drop(file);
        let node = place.start().await.expect("a torn tail is no damage");
        assert!(node.recovered().last >= before);
        assert!(node.recovered().torn.is_some(), "{:?}", node.recovered());
        assert!(node.stop().await.is_none());
    })
    .await;
}
