//! What counts against a peer's budget, and how much.

use tokio::sync::watch;
use wire::message::Shutdown;

use super::*;
use crate::channels::directory::{Door, Glance};
use crate::edge::{back, forward};
use crate::fact::ChannelIndex;
use wire::feature::Features;

const THEM: NodeId = NodeId([2; 33]);

const CHANNEL: ChannelId = ChannelId([7; 32]);

/// A peer with one channel, and what the channel hears.
fn world() -> (Link, Readers, Inbox<Heard>) {
    let (out, _) = back(8);
    let link = Link::new(THEM, 1, Features::empty(), out, CancellationToken::new());
    let directory = Directory::default();
    let (messages, heard) = forward(8);
    directory.insert(Door {
        index: ChannelIndex(1),
        node: THEM,
        id: CHANNEL,
        messages,
        commands: back(1).0,
        asks: forward(1).0,
        chain: forward(1).0,
        glance: watch::channel(Glance::default()).1,
    });
    let (registry, backup) = (forward(1).0, forward(1).0);
    let (gossip, gossip_peers) = (forward(1).0, back(1).0);
    let ahead = watch::channel(None).1;
    let readers =
        Readers { directory, registry, backup, ahead, is_doubtful: false, gossip, gossip_peers };
    (link, readers, heard)
}

#[tokio::test]
async fn words_about_an_own_channel_count_and_are_cut_short() {
    let (link, readers, mut heard) = world();
    for channel_id in [CHANNEL, ChannelId::ALL] {
        let data = vec![b'x'; 60_000];
        let words: [Message; 2] =
            [Error { channel_id, data: data.clone() }.into(), Warning { channel_id, data }.into()];
        for words in words {
            assert!(!pass_on(words, &link, &readers).await.unwrap(), "it counts");
            match heard.try_recv().unwrap().message {
                Message::Error(Error { data, .. }) | Message::Warning(Warning { data, .. }) => {
                    assert_eq!(data, [b'x'; 200]);
                }
                other => panic!("the channel heard {}", other.kind()),
            }
        }
    }
    let shutdown = Shutdown { channel_id: CHANNEL, scriptpubkey: vec![0; 22].into() };
    assert!(pass_on(shutdown.into(), &link, &readers).await.unwrap(), "channels talk freely");
}

#[test]
fn a_flood_of_words_ends_the_connection_long_before_the_disk_is_full() {
    let mut budget = Budget::default();
    let warning = Message::from(Warning { channel_id: CHANNEL, data: vec![b'x'] });
    let cost = cost(&warning, warning.encode_frame().len());
    let said = (0..10_000).take_while(|_| budget.spend(cost, 1).is_ok()).count();
    assert_eq!(said, 512);
}

#[test]
fn a_ping_costs_what_its_pong_takes() {
    let mut budget = Budget::default();
    let ping = Message::from(Ping { num_pong_bytes: 65_531, ignored: Vec::new() });
    let length = ping.encode_frame().len();
    let answered = (0..10_000).take_while(|_| budget.spend(cost(&ping, length), 1).is_ok()).count();
    assert!(answered < 64, "four megabytes of pongs at the very most");
    let ping = Message::from(Ping { num_pong_bytes: 0, ignored: vec![0; 100] });
    assert_eq!(cost(&ping, 106), 106);
}
