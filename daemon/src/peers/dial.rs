//! Calling a peer: name, socket, handshake.

use std::time::Duration;

use tokio::net::TcpStream;
use wire::id::NodeId;

use crate::identity::Identity;
use crate::peers::handshake::{ConnectionFault, Greeted, call};
use crate::peers::public_key;
use crate::rpc::refusal::Unreachable;

/// How long a socket may take to open.
const PATIENCE: Duration = Duration::from_secs(10);

/// Calls `node` at `host:port`.
pub(super) async fn dial(
    us: &Identity,
    node: NodeId,
    address: &str,
    chain: [u8; 32],
) -> Result<Greeted, ConnectionFault> {
    let them = public_key(node).ok_or(ConnectionFault::Limit("a node id that is no key"))?;
    let socket = tokio::time::timeout(PATIENCE, TcpStream::connect(address))
        .await
        .unwrap_or(Err(std::io::Error::from(std::io::ErrorKind::TimedOut)))?;
    call(socket, us, them, chain).await
}

/// A fault in words for the user who asked for the connection.
pub(super) fn why(fault: &ConnectionFault) -> Unreachable {
    use std::io::ErrorKind;
    match fault {
        ConnectionFault::Broken(error) => {
            let is = |kinds: &[ErrorKind]| kinds.contains(&error.kind());
            if is(&[ErrorKind::ConnectionRefused]) {
                Unreachable::ConnectionRefused
            } else if is(&[ErrorKind::TimedOut]) {
                Unreachable::TimedOut
            } else if is(&[ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset]) {
                // BOLT 8 has the callee hang up without a word when the key is not its own.
                Unreachable::WrongKey
            } else if error.raw_os_error().is_none() {
                // What a resolver says has no number of the operating system.
                Unreachable::NameUnknown
            } else {
                Unreachable::Broken
            }
        }
        ConnectionFault::Handshake(_) => Unreachable::WrongKey,
        ConnectionFault::Slow => Unreachable::TimedOut,
        ConnectionFault::Feature { .. } | ConnectionFault::Chain => Unreachable::Incompatible,
        ConnectionFault::Frame(_)
        | ConnectionFault::Message(_)
        | ConnectionFault::NotInit
        | ConnectionFault::Limit(_)
        | ConnectionFault::Closed => Unreachable::Broken,
    }
}
