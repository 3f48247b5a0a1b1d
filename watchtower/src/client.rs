//! A client's connection to one tower, whichever program it runs in: the handshake with a session's own
//! key, `Init` both ways, and messages one by one with a limit of time on each.
//!
//! A connection belongs to one session. Towers are called with another key for every channel, so what two
//! connections have in common is the address they come from.
//!
//! Not here: what is uploaded when (`daemon::tower`), the other end (`ingest`).

use std::time::Duration;

use secp256k1::{PublicKey, SecretKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use wire::codec::DecodeError;
use wire::frame::{Decryptor, Encryptor, FrameFault, HEADER_LEN};
use wire::noise::HandshakeFault;

use crate::acts::{self, ActsFault};
use crate::message::{
    Caps, Code, FEATURE_WT2_OPTIONAL, FEATURE_WT2_REQUIRED, Init, Message, Offer, SessionAck,
    SessionOpen,
};

/// How long a tower may take for anything.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Bytes read from the socket at once.
const READ_BUFFER: usize = 16 << 10;

/// Records in one message if a tower does not say.
const BATCH_DEFAULT: u16 = 256;

/// Why a tower cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
    /// The other end does not hold the key.
    #[error("the handshake failed: {0}")]
    Handshake(#[from] HandshakeFault),
    /// It took too long.
    #[error("no answer in time")]
    Slow,
    /// A frame was tampered with.
    #[error("a frame is damaged: {0}")]
    Frame(#[from] FrameFault),
    /// What it says makes no sense.
    #[error("a message is malformed: {0}")]
    Message(#[from] DecodeError),
    /// It follows another chain.
    #[error("the tower watches another chain")]
    Chain,
    /// It does not know our messages, as LND's towers do not.
    #[error("the tower does not speak our protocol (feature {FEATURE_WT2_OPTIONAL})")]
    Protocol,
    /// It answered something else.
    #[error("the tower answered {0} where that makes no sense")]
    Unexpected(&'static str),
    /// It refuses.
    #[error("the tower refuses: {0}")]
    Refused(Code),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

impl From<ActsFault> for ClientError {
    fn from(fault: ActsFault) -> Self {
        match fault {
            ActsFault::Broken(error) => Self::Broken(error),
            ActsFault::Handshake(fault) => Self::Handshake(fault),
            ActsFault::Random => Self::Random,
        }
    }
}

/// A connection on which messages go both ways.
#[derive(Debug)]
pub struct Link {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    decryptor: Decryptor,
    encryptor: Encryptor,
    frame: Vec<u8>,
    out: Vec<u8>,
    caps: Option<Caps>,
    offer: Option<Offer>,
}

impl Link {
    /// Calls the tower with this key at `address` (`host:port`), as the session with the key `session`.
    ///
    /// # Errors
    /// [`ClientError`]; nothing is left open.
    pub async fn call(
        address: &str,
        tower: &PublicKey,
        session: SecretKey,
        chain_hash: [u8; 32],
    ) -> Result<Self, ClientError> {
        let work = async {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            let (read, mut write) = socket.into_split();
            let mut read = BufReader::with_capacity(READ_BUFFER, read);
            let keys = acts::call(&mut read, &mut write, session, tower).await?;
            let mut link = Self {
                read,
                write,
                decryptor: keys.decryptor,
                encryptor: keys.encryptor,
                frame: Vec::new(),
                out: Vec::new(),
                caps: None,
                offer: None,
            };
            link.greet(chain_hash).await?;
            Ok(link)
        };
        timeout(PATIENCE, work).await.unwrap_or(Err(ClientError::Slow))
    }

    /// The client speaks first, and both look at what the other says.
    async fn greet(&mut self, chain_hash: [u8; 32]) -> Result<(), ClientError> {
        let mut ours = Init { chain_hash, ..Init::default() };
        ours.set(FEATURE_WT2_OPTIONAL);
        self.write_frame(&ours.encode_frame()).await?;
        let theirs = Init::decode_frame(self.read_frame().await?)?;
        if theirs.chain_hash != chain_hash {
            return Err(ClientError::Chain);
        }
        if !theirs.has(FEATURE_WT2_OPTIONAL) && !theirs.has(FEATURE_WT2_REQUIRED) {
            return Err(ClientError::Protocol);
        }
        (self.caps, self.offer) = (theirs.caps, theirs.offer);
        Ok(())
    }

    /// Records that the tower takes in one message, at least 1.
    pub fn batch(&self) -> usize {
        let said = self.caps.map_or(BATCH_DEFAULT, |caps| caps.max_batch);
        usize::from(said.max(1))
    }

    /// Bytes that a record (hint and ciphertext) may have, if the tower says so.
    pub fn record_max(&self) -> Option<u32> {
        self.caps.map(|caps| caps.max_record)
    }

    /// What the tower gives a session that asks for no more.
    pub const fn offer(&self) -> Option<Offer> {
        self.offer
    }

    /// Says something.
    ///
    /// # Errors
    /// [`ClientError`]; the connection is of no use after any.
    pub async fn say(&mut self, message: &Message) -> Result<(), ClientError> {
        let frame = message.encode_frame();
        timeout(PATIENCE, self.write_frame(&frame)).await.unwrap_or(Err(ClientError::Slow))
    }

    /// The next message; what need not be understood is skipped.
    ///
    /// # Errors
    /// [`ClientError`]; the connection is of no use after any.
    pub async fn hear(&mut self) -> Result<Message, ClientError> {
        timeout(PATIENCE, self.hear_whenever()).await.unwrap_or(Err(ClientError::Slow))
    }

    /// The same, however long it takes.
    ///
    /// # Errors
    /// [`ClientError`]; the connection is of no use after any, nor after the future was dropped.
    pub async fn hear_whenever(&mut self) -> Result<Message, ClientError> {
        loop {
            if let Some(message) = Message::decode_frame(self.read_frame().await?)? {
                return Ok(message);
            }
        }
    }

    /// Opens the session of this connection's key, or finds it again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn open(&mut self, open: SessionOpen) -> Result<SessionAck, ClientError> {
        self.say(&open.into()).await?;
        loop {
            #[expect(clippy::wildcard_enum_match_arm, reason = "all others make no sense here")]
            match self.hear().await? {
                Message::SessionAck(ack) if ack.code.is_ok() => return Ok(ack),
                Message::SessionAck(ack) => return Err(ClientError::Refused(ack.code)),
                // What happened since the last time is told first.
                Message::Event(_) => {}
                other => return Err(ClientError::Unexpected(other.kind())),
            }
        }
    }

    async fn read_frame(&mut self) -> Result<&[u8], ClientError> {
        let mut header = [0; HEADER_LEN];
        self.read.read_exact(&mut header).await?;
        let length = usize::from(self.decryptor.decrypt_length(&header)?);
        self.frame.resize(length.saturating_add(16), 0);
        self.read.read_exact(&mut self.frame).await?;
        Ok(self.decryptor.decrypt_body(&mut self.frame)?)
    }

    async fn write_frame(&mut self, message: &[u8]) -> Result<(), ClientError> {
        self.encryptor.encrypt_into(&mut self.out, message)?;
        self.write.write_all(&self.out).await?;
        self.out.clear();
        Ok(())
    }
}
