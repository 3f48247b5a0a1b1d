//! The three acts of BOLT 8 over a socket, for whoever calls and whoever answers: clients and towers here, peers in
//! the daemon. `wire::noise` has the acts themselves, without a socket.
//!
//! Not here: how long it may take, frames after it.

use secp256k1::{PublicKey, SecretKey};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use wire::noise::{
    ACT_ONE_LEN, ACT_THREE_LEN, ACT_TWO_LEN, HandshakeFault, Initiator, Responder, Transport,
};

/// Why there is no connection. Nothing more may be said on the socket.
#[derive(Debug, thiserror::Error)]
pub enum ActsFault {
    /// The socket failed.
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
    /// The other end does not hold its key, or does not speak the protocol.
    #[error("the handshake failed: {0}")]
    Handshake(#[from] HandshakeFault),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// Calls whoever holds `them`, as `us`.
///
/// # Errors
/// [`ActsFault`].
pub async fn call(
    read: &mut (impl AsyncRead + Unpin),
    write: &mut (impl AsyncWrite + Unpin),
    us: SecretKey,
    them: &PublicKey,
) -> Result<Transport, ActsFault> {
    let (act, expect) = Initiator::start(us, ephemeral()?, them);
    write.write_all(&act).await?;
    let mut act = [0; ACT_TWO_LEN];
    read.read_exact(&mut act).await?;
    let (act, keys) = expect.act_two(&act)?;
    write.write_all(&act).await?;
    Ok(keys)
}

/// Answers a caller; its static key is proven then.
///
/// # Errors
/// [`ActsFault`].
pub async fn answer(
    read: &mut (impl AsyncRead + Unpin),
    write: &mut (impl AsyncWrite + Unpin),
    us: SecretKey,
) -> Result<(PublicKey, Transport), ActsFault> {
    let expect = Responder::start(us, ephemeral()?);
    let mut act = [0; ACT_ONE_LEN];
    read.read_exact(&mut act).await?;
    let (act, expect) = expect.act_one(&act)?;
    write.write_all(&act).await?;
    let mut act = [0; ACT_THREE_LEN];
    read.read_exact(&mut act).await?;
    Ok(expect.act_three(&act)?)
}

fn ephemeral() -> Result<SecretKey, ActsFault> {
    let mut bytes = [0; 32];
    loop {
        getrandom::fill(&mut bytes).map_err(|_| ActsFault::Random)?;
        // All but one in 2^127 draws are keys.
        if let Ok(key) = SecretKey::from_slice(&bytes) {
            return Ok(key);
        }
    }
}
