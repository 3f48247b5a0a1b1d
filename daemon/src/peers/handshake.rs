//! From a socket to a peer: the noise handshake and the exchange of `init`. BOLT 8, BOLT 1.
//!
//! Not here: what follows (`peers::connection`).

use std::time::Duration;

use secp256k1::PublicKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use watchtower::acts::{self, ActsFault};
use wire::codec::DecodeError;
use wire::feature::Features;
use wire::frame::{Decryptor, Encryptor, FrameFault, HEADER_LEN};
use wire::id::NodeId;
use wire::message::{Init, Message};
use wire::noise::HandshakeFault;

use crate::identity::Identity;

/// A stranger that does not finish both exchanges by then is dropped.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes read from the socket at once.
const READ_BUFFER: usize = 64 << 10;

/// Why a connection did not come about, or broke.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionFault {
    /// The socket failed.
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
    /// The other end does not hold the key, or does not speak the protocol.
    #[error("the handshake failed: {0}")]
    Handshake(#[from] HandshakeFault),
    /// It took too long.
    #[error("no answer in time")]
    Slow,
    /// A frame was tampered with.
    #[error("a frame is damaged: {0}")]
    Frame(#[from] FrameFault),
    /// A message does not decode, or is one that nobody may ignore.
    #[error("a message is malformed: {0}")]
    Message(#[from] DecodeError),
    /// The first message was another one.
    #[error("the first message was not init")]
    NotInit,
    /// The peer demands something we lack, or lacks something it depends on.
    #[error("feature {bit} does not fit")]
    Feature {
        /// The bit.
        bit: u32,
    },
    /// The peer follows other chains.
    #[error("the peer follows another chain")]
    Chain,
    /// The peer said less than it must, or too much.
    #[error("the peer broke a limit: {0}")]
    Limit(&'static str),
    /// We ended it.
    #[error("closed by us")]
    Closed,
}

impl From<ActsFault> for ConnectionFault {
    fn from(fault: ActsFault) -> Self {
        match fault {
            ActsFault::Broken(error) => Self::Broken(error),
            ActsFault::Handshake(fault) => Self::Handshake(fault),
            ActsFault::Random => Self::Limit("no random numbers"),
        }
    }
}

/// The reading end of a connection.
#[derive(Debug)]
pub struct FrameReader {
    socket: BufReader<OwnedReadHalf>,
    keys: Decryptor,
    frame: Vec<u8>,
}

/// The writing end of a connection.
#[derive(Debug)]
pub struct FrameWriter {
    socket: OwnedWriteHalf,
    keys: Encryptor,
    buffer: Vec<u8>,
}

impl FrameReader {
    /// The next message's type and body.
    ///
    /// # Errors
    /// The connection is of no use after any.
    pub async fn read(&mut self) -> Result<&[u8], ConnectionFault> {
        let mut header = [0; HEADER_LEN];
        self.socket.read_exact(&mut header).await?;
        let length = usize::from(self.keys.decrypt_length(&header)?);
        self.frame.resize(length.saturating_add(16), 0);
        self.socket.read_exact(&mut self.frame).await?;
        Ok(self.keys.decrypt_body(&mut self.frame)?)
    }
}

impl FrameWriter {
    /// Encrypts a message behind those that wait to be flushed.
    ///
    /// # Errors
    /// If the message is longer than any may be.
    pub fn push(&mut self, message: &[u8]) -> Result<(), ConnectionFault> {
        Ok(self.keys.encrypt_into(&mut self.buffer, message)?)
    }

    /// How many bytes wait.
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Writes all that waits.
    ///
    /// # Errors
    /// If the socket is gone.
    pub async fn flush(&mut self) -> Result<(), ConnectionFault> {
        self.socket.write_all(&self.buffer).await?;
        self.buffer.clear();
        Ok(())
    }
}

/// A peer that told us what it can.
#[derive(Debug)]
pub struct Greeted {
    /// Who it is; proved by the handshake.
    pub node: NodeId,
    /// What it can.
    pub features: Features,
    /// Where to read.
    pub reader: FrameReader,
    /// Where to write.
    pub writer: FrameWriter,
}

/// Calls a peer.
///
/// # Errors
/// [`ConnectionFault`]; nothing is left open.
pub async fn call(
    socket: TcpStream,
    us: &Identity,
    them: PublicKey,
    chain: [u8; 32],
) -> Result<Greeted, ConnectionFault> {
    in_time(async {
        let (mut read, mut write) = split(socket)?;
        let keys = acts::call(&mut read, &mut write, us.noise_key(), &them).await?;
        greet(NodeId(them.serialize()), read, write, keys, chain).await
    })
    .await
}

/// Answers a caller.
///
/// # Errors
/// [`ConnectionFault`]; nothing is left open.
pub async fn answer(
    socket: TcpStream,
    us: &Identity,
    chain: [u8; 32],
) -> Result<Greeted, ConnectionFault> {
    in_time(async {
        let (mut read, mut write) = split(socket)?;
        let (them, keys) = acts::answer(&mut read, &mut write, us.noise_key()).await?;
        greet(NodeId(them.serialize()), read, write, keys, chain).await
    })
    .await
}

/// BOLT 1: "MUST send `init` as the first Lightning message for any connection." Nothing else is said
/// before theirs is here.
async fn greet(
    node: NodeId,
    socket: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    keys: wire::noise::Transport,
    chain: [u8; 32],
) -> Result<Greeted, ConnectionFault> {
    let mut writer = FrameWriter { socket: write, keys: keys.encryptor, buffer: Vec::new() };
    let mut reader = FrameReader { socket, keys: keys.decryptor, frame: Vec::new() };
    let ours = Features::init();
    let init = Init {
        globalfeatures: Features::empty(),
        features: ours.clone(),
        networks: Some(vec![chain]),
        remote_addr: None,
    };
    writer.push(&Message::from(init).encode_frame())?;
    writer.flush().await?;
    let features = check(reader.read().await?, &ours, &chain)?;
    Ok(Greeted { node, features, reader, writer })
}

fn check(frame: &[u8], ours: &Features, chain: &[u8; 32]) -> Result<Features, ConnectionFault> {
    let Some(Message::Init(init)) = Message::decode_frame(frame)? else {
        return Err(ConnectionFault::NotInit);
    };
    // BOLT 1: "upon receiving unknown _even_ feature bits that are non-zero: MUST close the connection."
    let theirs = init.all_features();
    if let Some(bit) = theirs.demands_beyond(ours) {
        return Err(ConnectionFault::Feature { bit });
    }
    // BOLT 1: "if the feature vector does not set all known, transitive dependencies: MUST close the
    // connection."
    if let Some((_, lacking)) = theirs.missing_dependency() {
        return Err(ConnectionFault::Feature { bit: u32::from(lacking.even()) });
    }
    // BOLT 1: "upon receiving `networks` containing no common chains: MAY close the connection."
    if init.lacks_chain(chain) {
        return Err(ConnectionFault::Chain);
    }
    Ok(theirs)
}

fn split(socket: TcpStream) -> Result<(BufReader<OwnedReadHalf>, OwnedWriteHalf), ConnectionFault> {
    socket.set_nodelay(true)?;
    let (read, write) = socket.into_split();
    Ok((BufReader::with_capacity(READ_BUFFER, read), write))
}

async fn in_time(
    work: impl Future<Output = Result<Greeted, ConnectionFault>>,
) -> Result<Greeted, ConnectionFault> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(ConnectionFault::Slow))
}
