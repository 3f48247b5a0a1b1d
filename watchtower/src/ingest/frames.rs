//! BOLT 8 over a socket, the answering half: nothing waits longer than it should, nothing grows.

use std::time::Duration;

use secp256k1::{PublicKey, SecretKey};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use wire::frame::{Decryptor, Encryptor, FrameFault, HEADER_LEN};
use wire::noise::HandshakeFault;

use crate::acts::{self, ActsFault};

/// How long a frame may take from its first byte to its last: LND's read timeout.
pub(crate) const FRAME_PATIENCE: Duration = Duration::from_secs(15);
/// How long nothing at all may come.
pub(crate) const IDLE_PATIENCE: Duration = Duration::from_secs(30 * 60);
/// Bytes read from the socket at once.
const READ_BUFFER: usize = 16 << 10;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineFault {
    /// The socket.
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
    /// The other end does not hold its key, or does not speak the protocol.
    #[error("the handshake failed: {0}")]
    Handshake(#[from] HandshakeFault),
    /// A frame was tampered with.
    #[error("a frame is damaged: {0}")]
    Frame(#[from] FrameFault),
    /// It took too long.
    #[error("no answer in time")]
    Slow,
    /// A message is none, or out of place.
    #[error("a message is malformed: {0}")]
    Message(String),
    /// Another chain, or a feature that we do not have.
    #[error("{0} does not fit")]
    Unfit(&'static str),
    /// More than it may.
    #[error("too much: {0}")]
    Limit(&'static str),
    /// No random numbers.
    #[error("no random numbers")]
    Entropy,
    /// The tower stops.
    #[error("the tower stops")]
    Stopped,
}

impl From<ActsFault> for LineFault {
    fn from(fault: ActsFault) -> Self {
        match fault {
            ActsFault::Broken(error) => Self::Broken(error),
            ActsFault::Handshake(fault) => Self::Handshake(fault),
            ActsFault::Random => Self::Entropy,
        }
    }
}

/// What is read.
#[derive(Debug)]
pub(crate) struct FrameReader {
    socket: BufReader<OwnedReadHalf>,
    keys: Decryptor,
    patience: Duration,
}

/// What is written.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    socket: OwnedWriteHalf,
    keys: Encryptor,
    buffer: Vec<u8>,
}

impl FrameReader {
    /// The next message, type and body. Not to be dropped half way: the place in the stream is lost then.
    pub(crate) async fn read(&mut self) -> Result<Vec<u8>, LineFault> {
        // Nothing may come for long, but what has begun must end soon.
        let first = timeout(IDLE_PATIENCE, self.socket.fill_buf());
        if first.await.map_err(|_| LineFault::Slow)??.is_empty() {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        timeout(self.patience, self.frame()).await.map_err(|_| LineFault::Slow)?
    }

    async fn frame(&mut self) -> Result<Vec<u8>, LineFault> {
        let mut header = [0; HEADER_LEN];
        self.socket.read_exact(&mut header).await?;
        let length = usize::from(self.keys.decrypt_length(&header)?);
        let mut frame = vec![0; length.saturating_add(16)];
        self.socket.read_exact(&mut frame).await?;
        self.keys.decrypt_body(&mut frame)?;
        frame.truncate(length);
        Ok(frame)
    }
}

impl FrameWriter {
    /// Says a message. Who does not read it in time is left alone.
    pub(crate) async fn say(&mut self, message: &[u8]) -> Result<(), LineFault> {
        self.buffer.clear();
        self.keys.encrypt_into(&mut self.buffer, message)?;
        let write = timeout(FRAME_PATIENCE, self.socket.write_all(&self.buffer));
        Ok(write.await.map_err(|_| LineFault::Slow)??)
    }
}

/// Answers the handshake of a caller; its static key is proven then. `patience` is for each of its frames.
pub(crate) async fn answer(
    socket: TcpStream,
    us: SecretKey,
    patience: Duration,
) -> Result<(PublicKey, FrameReader, FrameWriter), LineFault> {
    socket.set_nodelay(true)?;
    let (read, mut write) = socket.into_split();
    let mut read = BufReader::with_capacity(READ_BUFFER, read);
    let (them, keys) = acts::answer(&mut read, &mut write, us).await?;
    let reader = FrameReader { socket: read, keys: keys.decryptor, patience };
    let writer = FrameWriter { socket: write, keys: keys.encryptor, buffer: Vec::new() };
    Ok((them, reader, writer))
}
