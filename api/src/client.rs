//! The client: one connection, one token, typed clients for each service.
//!
//! The server's certificate is pinned, not looked up: what the daemon wrote to `tls.cert` is the only
//! one that is trusted. Calls are sent again only when the server said nothing and a second copy does
//! no harm ([`Repeatable`]). Not here: which node to speak to, and with which files (cli).

mod address;

pub use address::{Address, BadAddress};

use std::future::Future;
use std::time::Duration;

use thiserror::Error;
use tonic::codegen::InterceptedService;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::auth::{METADATA_KEY, NoEntropy, Token, TokenError, to_hex};
use crate::reason::Report;
use crate::v1::backup_client::BackupClient;
use crate::v1::channels_client::ChannelsClient;
use crate::v1::events_client::EventsClient;
use crate::v1::forwards_client::ForwardsClient;
use crate::v1::graph_client::GraphClient;
use crate::v1::invoices_client::InvoicesClient;
use crate::v1::node_client::NodeClient;
use crate::v1::payments_client::PaymentsClient;
use crate::v1::sandbox_client::SandboxClient;
use crate::v1::tower_client::TowerClient;
use crate::v1::towers_client::TowersClient;
use crate::v1::wallet_client::WalletClient;
use crate::v1::why_client::WhyClient;

/// The largest answer that is read, in bytes: a page of 1000 payments with all attempts.
const ANSWER_LEN_MAX: usize = 16 * 1024 * 1024;
/// How long dialling may take.
const DIAL: Duration = Duration::from_secs(5);
/// How often a silent connection is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Waits between copies of one request.
const RETRY_AFTER: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1_600)];
/// The longest wait that a server can ask of us.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// Whether a request may be sent again when it is not known whether the first one arrived.
///
/// True for what only reads, and for what carries an idempotency key.
pub trait Repeatable {
    /// Whether a second copy of this very request does no harm.
    fn is_repeatable(&self) -> bool;
}

/// Where a node is and how to be let in.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens.
    pub address: Address,
    /// The server's certificate as PEM; needed for [`Address::Tls`].
    pub certificate_pem: Option<String>,
    /// The token; a Unix socket needs none.
    pub token: Option<Token>,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// A TLS address without a certificate to trust.
    #[error("no certificate to trust was given")]
    CertificateMissing,
    /// The certificate is not PEM, or the address is not one.
    #[error("the certificate or the address is malformed")]
    Malformed(#[source] tonic::transport::Error),
    /// The token cannot be put into a header.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Nobody answers, or with another certificate.
    #[error("nobody answers there")]
    Unreachable(#[source] tonic::transport::Error),
}

/// Adds the token to every call.
#[derive(Debug, Clone)]
pub struct WithToken(Option<MetadataValue<Ascii>>);

impl Interceptor for WithToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert(METADATA_KEY, token.clone());
        }
        Ok(request)
    }
}

/// The transport under the typed clients.
pub type Transport = InterceptedService<Channel, WithToken>;

/// A connected client. Cheap to clone; clones share the connection.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
}

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident -> $client:ident)*) => {$(
        $(#[$doc])*
        pub fn $name(&self) -> $client<Transport> {
            $client::new(self.transport.clone()).max_decoding_message_size(ANSWER_LEN_MAX)
        }
    )*};
}

impl Client {
    /// Connects, so that a wrong address or certificate is known at once.
    ///
    /// # Errors
    ///
    /// Any [`ConnectError`].
    pub async fn connect(target: Target) -> Result<Self, ConnectError> {
        let endpoint = endpoint(&target.address, target.certificate_pem.as_deref())?;
        let channel = endpoint.connect().await.map_err(ConnectError::Unreachable)?;
        let token = match target.token {
            Some(token) => {
                let mut value: MetadataValue<Ascii> =
                    token.to_hex()?.parse().map_err(|_| TokenError::Malformed)?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self { transport: InterceptedService::new(channel, WithToken(token)) })
    }

    services! {
        /// Service Tower, of a watchtower.
        tower -> TowerClient
        /// Service Node.
        node -> NodeClient
        /// Service Wallet.
        wallet -> WalletClient
        /// Service Channels.
        channels -> ChannelsClient
        /// Service Payments.
        payments -> PaymentsClient
        /// Service Invoices.
        invoices -> InvoicesClient
        /// Service Forwards.
        forwards -> ForwardsClient
        /// Service Graph.
        graph -> GraphClient
        /// Service Events.
        events -> EventsClient
        /// Service Backup.
        backup -> BackupClient
        /// Service Towers.
        towers -> TowersClient
        /// Service Sandbox.
        sandbox -> SandboxClient
        /// Service Why.
        why -> WhyClient
    }

    /// Makes a call, and again if the server was not there to answer and the request is repeatable: up
    /// to three times more, within about two seconds unless the server asks for longer.
    ///
    /// # Errors
    ///
    /// The last answer.
    pub async fn call<Q, A, F>(&self, ask: Q, send: impl Fn(Self, Q) -> F) -> Result<A, Status>
    where
        Q: Repeatable + Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let waits = if ask.is_repeatable() { RETRY_AFTER.as_slice() } else { &[] };
        for wait in waits {
            match send(self.clone(), ask.clone()).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => match worth_waiting(&status, *wait) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(status),
                },
            }
        }
        send(self.clone(), ask).await.map(Response::into_inner)
    }
}

/// How long to wait before another copy; nothing when this answer would only come again.
fn worth_waiting(status: &Status, wait: Duration) -> Option<Duration> {
    let report = Report::read(status);
    match (status.code(), report.reason, report.retry_after) {
        (Code::Unavailable | Code::ResourceExhausted, _, Some(asked)) => {
            Some(asked.max(wait).min(RETRY_AFTER_MAX))
        }
        // Nobody of ours spoke: the connection broke.
        (Code::Unavailable, None, None) => Some(wait),
        _ => None,
    }
}

/// A fresh idempotency key, 32 hex characters.
///
/// # Errors
///
/// When the operating system gives no random numbers.
pub fn fresh_key() -> Result<String, NoEntropy> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| NoEntropy)?;
    Ok(to_hex(&bytes))
}

fn endpoint(address: &Address, certificate: Option<&str>) -> Result<Endpoint, ConnectError> {
    let endpoint = Endpoint::from_shared(address.uri()).map_err(ConnectError::Malformed)?;
    let endpoint = endpoint
        .connect_timeout(DIAL)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    match address {
        Address::Unix(_) | Address::Plain(_) => Ok(endpoint),
        Address::Tls { .. } => {
            let pem = certificate.ok_or(ConnectError::CertificateMissing)?;
            // The certificate is pinned, so the name in it need not be the one that was dialled.
            let tls = ClientTlsConfig::new()
                .ca_certificate(Certificate::from_pem(pem))
                .domain_name("localhost");
            endpoint.tls_config(tls).map_err(ConnectError::Malformed)
        }
    }
}

#[cfg(test)]
mod tests;
