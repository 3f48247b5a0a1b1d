//! The door: no call passes without a token that allows it, except over the Unix socket, whose file
//! permissions are the token.

use core::convert::Infallible;
use core::net::IpAddr;
use core::task::{Context, Poll};
use std::sync::Arc;

use api::auth::{Verifier, is_open};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo, UdsConnectInfo};

use super::model::UnixMillis;

/// A service behind the door.
#[derive(Clone)]
pub(super) struct Admitted<S> {
    inner: S,
    verifier: Arc<Verifier>,
    now: fn() -> UnixMillis,
}

impl<S> Admitted<S> {
    /// Puts a service behind the door.
    pub(super) const fn new(inner: S, verifier: Arc<Verifier>, now: fn() -> UnixMillis) -> Self {
        Self { inner, verifier, now }
    }

    fn check(&self, request: &http::Request<Body>) -> Result<(), Status> {
        let method = request.uri().path();
        let extensions = request.extensions();
        if is_open(method) || extensions.get::<UdsConnectInfo>().is_some() {
            return Ok(());
        }
        let tcp = extensions.get::<TcpConnectInfo>();
        let tls = extensions.get::<TlsConnectInfo<TcpConnectInfo>>().map(TlsConnectInfo::get_ref);
        let from: Option<IpAddr> =
            tcp.or(tls).and_then(TcpConnectInfo::remote_addr).map(|address| address.ip());
        let metadata = MetadataMap::from_headers(request.headers().clone());
        let checked = self.verifier.check_call(method, &metadata, (self.now)().0, from);
        checked.map_err(|error| {
            tracing::warn!(method, from = ?from, why = %error, "call refused");
            Status::from(error)
        })
    }
}

impl<S> Service<http::Request<Body>> for Admitted<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match self.check(&request) {
            Ok(()) => Box::pin(self.inner.call(request)),
            Err(status) => Box::pin(core::future::ready(Ok(status.into_http()))),
        }
    }
}

impl<S: NamedService> NamedService for Admitted<S> {
    const NAME: &'static str = S::NAME;
}
