//! Strangers at the door: real sockets, real handshakes, and what is left of them.

use channel::seal::Flushed;
use secp256k1::SecretKey;
use store::disk::RealDisk;
use store::journal::{Options, Recovery};
use tokio::sync::oneshot;

use super::handshake::Greeted;
use super::*;
use crate::backup;
use crate::channels::directory::{Directory, Door, Glance};
use crate::channels::registry;
use crate::edge::forward;
use crate::fact::ChannelIndex;
use crate::journal;

const CHAIN: [u8; 32] = [6; 32];

fn identity(number: u8) -> Arc<Identity> {
    Arc::new(Identity::new(SecretKey::from_slice(&[number; 32]).unwrap(), [number; 32]))
}

struct World {
    peers: Peers,
    said: Inbox<FromConnection>,
    directory: Directory,
    listener: TcpListener,
    disk: watch::Receiver<Flushed>,
    _journal: (journal::Running, std::sync::mpsc::Receiver<journal::Group>, tempfile::TempDir),
}

impl World {
    async fn new(inbound_max: u32, kept: &[NodeId]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(dir.path().join("journal")).unwrap();
        let (records, _) = Recovery::start(disk, Options::new(1)).unwrap().finish().unwrap();
        let (follower, groups) = std::sync::mpsc::sync_channel(64);
        let tasks = Tasks::default();
        let journal = journal::start(records, follower, tasks.clone()).unwrap();
        let directory = Directory::default();
        let (registry, mut orders) = forward(8);
        tasks.spawn("registry", async move {
            while let Some(order) = orders.recv().await {
                if let registry::Order::Up { done, .. } = order {
                    let _gone = done.send(());
                }
            }
            Ok(())
        });
        let (backup, mut asks) = forward(8);
        tasks.spawn("backup", async move {
            while let Some(ask) = asks.recv().await {
                if let backup::Ask::Up { done, .. } = ask {
                    let _gone = done.send(());
                }
            }
            Ok(())
        });
        let ahead = watch::channel(None).1;
        let kept =
            kept.iter().map(|node| (*node, (1, PeerKept { node: *node, address: "".into() })));
        let (to_self, said) = back(FROM_CONNECTIONS);
        let start = Start {
            us: identity(1),
            chain: CHAIN,
            kept: kept.collect(),
            writer: journal.writer.clone(),
            readers: Readers {
                directory: directory.clone(),
                registry,
                backup,
                ahead,
                is_doubtful: false,
                gossip: forward(1).0,
                gossip_peers: back(1).0,
            },
            force_close: watch::Sender::default(),
            tasks,
            limits: Limits { inbound_max, handshakes_max: 100 },
        };
        Self {
            peers: Peers::new(start, to_self),
            said,
            directory,
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            disk: journal.flushed.clone(),
            _journal: (journal, groups, dir),
        }
    }

    /// Hears what connections say until it is as wished.
    async fn until(&mut self, wished: impl Fn(&Peers) -> bool) {
        while !wished(&self.peers) {
            let said = tokio::time::timeout(Duration::from_secs(20), self.said.recv());
            let said = said.await.expect("nothing more happens").unwrap();
            self.peers.hear(said).await;
        }
    }

    /// Somebody calls and is greeted.
    async fn caller(&mut self, them: &Identity) -> Greeted {
        let at = self.listener.local_addr().unwrap();
        let (socket, called) = tokio::join!(TcpStream::connect(at), self.listener.accept());
        let (answering, from) = called.unwrap();
        self.peers.accept(answering, from.ip());
        let us = identity(1).public_key();
        let node = them.node_id();
        let calling = handshake::call(socket.unwrap(), them, us, CHAIN);
        let (greeted, ()) = tokio::join!(calling, self.until(|peers| peers.stands(node)));
        greeted.unwrap()
    }

    fn give_channel(&self, node: NodeId) {
        self.directory.insert(Door {
            index: ChannelIndex(1),
            node,
            id: wire::id::ChannelId([7; 32]),
            messages: forward(1).0,
            commands: back(1).0,
            asks: forward(1).0,
            chain: forward(1).0,
            glance: watch::channel(Glance::default()).1,
        });
    }
}

impl Peers {
    fn stands(&self, node: NodeId) -> bool {
        self.known.get(&node).is_some_and(|known| known.standing.is_some())
    }
}

#[tokio::test]
async fn a_peer_with_a_channel_gets_in_and_stays_when_strangers_hold_every_slot() {
    let mut world = World::new(2, &[]).await;
    let [first, second, friend, third] = [2, 3, 4, 5].map(identity);
    world.give_channel(friend.node_id());
    let mut oldest = world.caller(&first).await;
    let _second = world.caller(&second).await;
    let _friend = world.caller(&friend).await;
    assert!(world.peers.stands(first.node_id()), "a friend takes no stranger's slot");
    let _third = world.caller(&third).await;
    assert!(oldest.reader.read().await.is_err(), "the oldest makes room");
    let gone = first.node_id();
    world.until(|peers| !peers.stands(gone)).await;
    for there in [second, friend, third] {
        assert!(world.peers.stands(there.node_id()));
    }
}

#[tokio::test]
async fn a_stranger_that_left_is_forgotten_and_a_kept_peer_is_not() {
    let [stranger, friend] = [2, 3].map(identity);
    let (node, kept) = (stranger.node_id(), friend.node_id());
    let mut world = World::new(10, &[kept]).await;
    drop(world.caller(&stranger).await);
    drop(world.caller(&friend).await);
    world.until(|peers| !peers.stands(node) && !peers.stands(kept)).await;
    assert_eq!(world.peers.known.keys().copied().collect::<Vec<_>>(), [kept]);
}

#[tokio::test]
async fn a_node_that_was_not_reached_or_is_disconnected_is_forgotten() {
    let mut world = World::new(10, &[]).await;
    let node = identity(2).node_id();
    let (reply, answer) = oneshot::channel();
    world.peers.connect(node, None, reply);
    assert!(answer.await.unwrap().is_err(), "no address is known");
    assert!(world.peers.known.is_empty());

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (reply, answer) = oneshot::channel();
    world.peers.connect(node, Some(closed.to_string()), reply);
    assert_eq!(world.peers.known.len(), 1);
    world.until(|peers| peers.known.is_empty()).await;
    assert!(answer.await.unwrap().is_err());

    let mut world = World::new(10, &[node]).await;
    let (reply, mut answer) = oneshot::channel();
    world.peers.disconnect(node, false, reply);
    assert!(world.peers.known.is_empty());
    while answer.try_recv().is_err() {
        world.disk.changed().await.unwrap();
        let flushed = *world.disk.borrow_and_update();
        world.peers.release(flushed);
    }
}
