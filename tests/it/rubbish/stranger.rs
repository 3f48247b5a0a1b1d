//! One end of a connection in the hands of a test: it can say anything, in frames or beside them.

use std::net::SocketAddr;
use std::time::Duration;

use secp256k1::{PublicKey, SecretKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wire::feature::Features;
use wire::frame::HEADER_LEN;
use wire::id::NodeId;
use wire::message::{Init, Message, Ping};
use wire::noise::{ACT_TWO_LEN, Initiator, Transport};

/// How long a node may take to answer or to hang up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The chain of the sandbox.
pub(crate) fn chain() -> [u8; 32] {
    bitcoin::constants::ChainHash::using_genesis_block(bitcoin::Network::Regtest).to_bytes()
}

/// A secret key made of one byte.
pub(crate) fn key(byte: u8) -> SecretKey {
    SecretKey::from_slice(&[byte; 32]).expect("a key")
}

/// A connection to a node, past the handshake.
pub(crate) struct Stranger {
    socket: TcpStream,
    keys: Transport,
}

impl Stranger {
    /// The handshake and nothing after it.
    pub(crate) async fn dial(address: SocketAddr, them: NodeId, us: SecretKey) -> Option<Self> {
        let mut socket = TcpStream::connect(address).await.ok()?;
        let them = PublicKey::from_slice(&them.0).expect("a node id");
        let mut ephemeral = [0; 32];
        getrandom::fill(&mut ephemeral).expect("random numbers");
        let ephemeral = SecretKey::from_slice(&ephemeral).expect("a key");
        let (act, expect) = Initiator::start(us, ephemeral, &them);
        socket.write_all(&act).await.ok()?;
        let mut act = [0; ACT_TWO_LEN];
        socket.read_exact(&mut act).await.ok()?;
        let (act, keys) = expect.act_two(&act).expect("an honest answer");
        socket.write_all(&act).await.ok()?;
        Some(Self { socket, keys })
    }

    /// Handshake and `init`, as an honest peer would.
    pub(crate) async fn greeted(address: SocketAddr, them: NodeId, us: SecretKey) -> Self {
        let mut stranger = Self::dial(address, them, us).await.expect("a handshake");
        assert!(matches!(stranger.hear().await, Some(Message::Init(_))), "init comes first");
        stranger.say(&init(Features::init(), vec![chain()])).await;
        stranger
    }

    /// Says a message; a connection that is gone hears nothing.
    pub(crate) async fn say(&mut self, message: &Message) {
        self.say_frame(&message.encode_frame()).await;
    }

    /// Says any bytes as a message; whether they could be written.
    pub(crate) async fn say_frame(&mut self, message: &[u8]) -> bool {
        let mut out = Vec::new();
        self.keys.encryptor.encrypt_into(&mut out, message).expect("short enough");
        self.say_bytes(&out).await
    }

    /// Puts bytes on the wire, around the cipher.
    pub(crate) async fn say_bytes(&mut self, bytes: &[u8]) -> bool {
        let written = tokio::time::timeout(PATIENCE, self.socket.write_all(bytes)).await;
        matches!(written, Ok(Ok(())))
    }

    /// The next message that is no gossip; `None` when the node hung up.
    pub(crate) async fn hear(&mut self) -> Option<Message> {
        tokio::time::timeout(PATIENCE, self.next()).await.expect("an answer or a hang-up")
    }

    /// The next message if one comes soon.
    pub(crate) async fn hear_soon(&mut self) -> Option<Option<Message>> {
        // Looking takes no byte, so it can be given up at any time.
        let mut byte = [0; 1];
        let soon = Duration::from_millis(20);
        match tokio::time::timeout(soon, self.socket.peek(&mut byte)).await {
            Ok(_) => Some(self.hear().await),
            Err(_) => None,
        }
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            let mut header = [0; HEADER_LEN];
            self.socket.read_exact(&mut header).await.ok()?;
            let length = self.keys.decryptor.decrypt_length(&header).expect("an honest frame");
            let mut body = vec![0; usize::from(length) + 16];
            self.socket.read_exact(&mut body).await.ok()?;
            let frame = self.keys.decryptor.decrypt_body(&mut body).expect("an honest frame");
            match Message::decode_frame(frame).expect("an honest message") {
                // A node asks everybody who looks as if it knew the network.
                None
                | Some(
                    Message::QueryChannelRange(_)
                    | Message::GossipTimestampFilter(_)
                    | Message::ChannelAnnouncement(_)
                    | Message::ChannelUpdate(_)
                    | Message::NodeAnnouncement(_),
                ) => {}
                Some(message) => return Some(message),
            }
        }
    }

    /// Everything the node still says until it hangs up, which it must do soon.
    pub(crate) async fn last_words(&mut self) -> Vec<Message> {
        let mut said = Vec::new();
        while let Some(message) = self.hear().await {
            said.push(message);
        }
        said
    }

    /// Whether the node still talks with us: it answers a ping, whatever it says before.
    pub(crate) async fn is_heard(&mut self) -> bool {
        self.say(&Ping { num_pong_bytes: 7, ignored: Vec::new() }.into()).await;
        while let Some(message) = self.hear().await {
            if matches!(&message, Message::Pong(pong) if pong.ignored.len() == 7) {
                return true;
            }
        }
        false
    }
}

/// An `init` with these features and chains.
pub(crate) fn init(features: Features, networks: Vec<[u8; 32]>) -> Message {
    Init {
        globalfeatures: Features::empty(),
        features,
        networks: Some(networks),
        remote_addr: None,
    }
    .into()
}
