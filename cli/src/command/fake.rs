//! A node that says what a test tells it to, and a terminal that remembers.

mod network;

use std::cell::RefCell;
use std::io::{self, Cursor, Write};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use api::client::{Address, Client, Target};
use api::v1;
use api::v1::channels_server::{Channels, ChannelsServer};
use api::v1::events_server::{Events, EventsServer};
use api::v1::forwards_server::ForwardsServer;
use api::v1::graph_server::GraphServer;
use api::v1::invoices_server::{Invoices, InvoicesServer};
use api::v1::node_server::{Node, NodeServer};
use api::v1::payments_server::{Payments, PaymentsServer};
use api::v1::wallet_server::{Wallet, WalletServer};
use api::v1::why_server::{Why, WhyServer};
use clap::Parser as _;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::args::{Cli, Command};
use crate::context::{Context, Interrupt};
use crate::failure::Failure;
use crate::render::{Format, Look, Screen};
use crate::sandbox::state::NodeState;

pub(super) const NOW: u64 = 1_795_343_115_000;

/// What the node says. A stream that does not end by itself hangs.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    pub(super) info: v1::InfoResponse,
    pub(super) health: v1::HealthResponse,
    pub(super) balance: v1::BalanceResponse,
    pub(super) peers: Vec<v1::Peer>,
    pub(super) channels: Vec<v1::Channel>,
    pub(super) decoded: Option<Result<v1::DecodedInvoice, Status>>,
    pub(super) invoice: v1::Invoice,
    pub(super) pay: Option<Result<Vec<Result<v1::Payment, Status>>, Status>>,
    pub(super) open: Vec<v1::OpenProgress>,
    pub(super) close: Vec<v1::CloseProgress>,
    pub(super) send: v1::SendResponse,
    pub(super) send_fails: Option<Status>,
    pub(super) events: Vec<v1::Event>,
    pub(super) why_channel: v1::WhyChannelResponse,
    pub(super) why_payment: v1::WhyPaymentResponse,
    pub(super) closed: Vec<v1::ClosedChannel>,
    pub(super) graph: network::Seen,
    /// Streams stay open after their last message.
    pub(super) hang: bool,
}

/// What the node was asked that moves money.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Asked {
    Pay(v1::PayRequest),
    Open(v1::OpenChannelRequest),
    Close(v1::CloseChannelRequest),
    Send(v1::SendRequest),
    Bump(v1::BumpRequest),
    Create(v1::CreateInvoiceRequest),
    Settle(v1::SettleInvoiceRequest),
    Keysend(v1::KeysendRequest),
    Policy(v1::SetPeerPolicyRequest),
    Route(v1::FindRouteRequest),
    Probe(v1::ProbeRouteRequest),
    Scores(v1::ImportScoresRequest),
    Forwards(v1::ListForwardsRequest),
}

#[derive(Clone)]
struct Fake {
    script: Arc<Script>,
    asked: mpsc::Sender<Asked>,
}

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Fake {
    fn stream<T: Send + 'static>(&self, items: Vec<Result<T, Status>>) -> Response<Messages<T>> {
        let items = tokio_stream::iter(items);
        Response::new(if self.script.hang {
            Box::pin(items.chain(tokio_stream::pending()))
        } else {
            Box::pin(items)
        })
    }

    fn note(&self, asked: Asked) {
        self.asked.try_send(asked).unwrap();
    }
}

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not in this script"))
}

/// The messages of a stream whose first one answers a dry run.
fn planned<T: Clone>(dry_run: bool, all: &[T]) -> Vec<Result<T, Status>> {
    let wanted = if dry_run { all.get(..1) } else { all.get(1..) };
    wanted.unwrap_or_default().iter().cloned().map(Ok).collect()
}

#[tonic::async_trait]
impl Node for Fake {
    async fn info(
        &self,
        _: Request<v1::InfoRequest>,
    ) -> Result<Response<v1::InfoResponse>, Status> {
        Ok(Response::new(self.script.info.clone()))
    }
    async fn health(
        &self,
        _: Request<v1::HealthRequest>,
    ) -> Result<Response<v1::HealthResponse>, Status> {
        Ok(Response::new(self.script.health.clone()))
    }
    async fn stop(
        &self,
        _: Request<v1::StopRequest>,
    ) -> Result<Response<v1::StopResponse>, Status> {
        not_here()
    }
    async fn connect_peer(
        &self,
        request: Request<v1::ConnectPeerRequest>,
    ) -> Result<Response<v1::ConnectPeerResponse>, Status> {
        let v1::ConnectPeerRequest { node_id, address, .. } = request.into_inner();
        let address = address.unwrap_or_default();
        let peer = Some(v1::Peer { node_id, address, ..Default::default() });
        Ok(Response::new(v1::ConnectPeerResponse { peer, already_connected: false }))
    }
    async fn disconnect_peer(
        &self,
        _: Request<v1::DisconnectPeerRequest>,
    ) -> Result<Response<v1::DisconnectPeerResponse>, Status> {
        not_here()
    }
    async fn set_peer_policy(
        &self,
        request: Request<v1::SetPeerPolicyRequest>,
    ) -> Result<Response<v1::SetPeerPolicyResponse>, Status> {
        let request = request.into_inner();
        let own = request.force_close.is_some();
        let force_close = request.force_close.clone().unwrap_or_else(|| "automatic".into());
        let trust_funding = request.trust_funding.unwrap_or(false);
        self.note(Asked::Policy(request));
        Ok(Response::new(v1::SetPeerPolicyResponse { force_close, own, trust_funding }))
    }
    async fn list_peers(
        &self,
        request: Request<v1::ListPeersRequest>,
    ) -> Result<Response<v1::ListPeersResponse>, Status> {
        // One a page, so that reading all pages is tested too.
        let at: usize = request.into_inner().page_token.parse().unwrap_or(0);
        let peers: Vec<_> = self.script.peers.get(at).cloned().into_iter().collect();
        let more = at + 1 < self.script.peers.len();
        let next_page_token = if more { (at + 1).to_string() } else { String::new() };
        Ok(Response::new(v1::ListPeersResponse { peers, next_page_token }))
    }
}

#[tonic::async_trait]
impl Wallet for Fake {
    async fn new_address(
        &self,
        _: Request<v1::NewAddressRequest>,
    ) -> Result<Response<v1::NewAddressResponse>, Status> {
        Ok(Response::new(v1::NewAddressResponse { address: "bcrt1qexample".into() }))
    }
    async fn balance(
        &self,
        _: Request<v1::BalanceRequest>,
    ) -> Result<Response<v1::BalanceResponse>, Status> {
        Ok(Response::new(self.script.balance))
    }
    async fn list_transactions(
        &self,
        _: Request<v1::ListTransactionsRequest>,
    ) -> Result<Response<v1::ListTransactionsResponse>, Status> {
        not_here()
    }
    async fn send(
        &self,
        request: Request<v1::SendRequest>,
    ) -> Result<Response<v1::SendResponse>, Status> {
        let request = request.into_inner();
        if !request.dry_run {
            self.note(Asked::Send(request));
            if let Some(status) = &self.script.send_fails {
                return Err(status.clone());
            }
        }
        Ok(Response::new(self.script.send.clone()))
    }
    async fn bump(
        &self,
        request: Request<v1::BumpRequest>,
    ) -> Result<Response<v1::BumpResponse>, Status> {
        self.note(Asked::Bump(request.into_inner()));
        Ok(Response::new(v1::BumpResponse {
            txid: "ab".repeat(32),
            fee_sat: 1_234,
            feerate_sat_per_kw: 2_500,
            kind: v1::BumpKind::Commitment.into(),
        }))
    }
    async fn list_unspent(
        &self,
        _: Request<v1::ListUnspentRequest>,
    ) -> Result<Response<v1::ListUnspentResponse>, Status> {
        not_here()
    }
}

#[tonic::async_trait]
impl Channels for Fake {
    type OpenStream = Messages<v1::OpenProgress>;
    async fn open(
        &self,
        request: Request<v1::OpenChannelRequest>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let request = request.into_inner();
        let messages = planned(request.dry_run, &self.script.open);
        if !request.dry_run {
            self.note(Asked::Open(request));
        }
        Ok(self.stream(messages))
    }
    async fn list(
        &self,
        _: Request<v1::ListChannelsRequest>,
    ) -> Result<Response<v1::ListChannelsResponse>, Status> {
        let channels = self.script.channels.clone();
        Ok(Response::new(v1::ListChannelsResponse { channels, next_page_token: String::new() }))
    }
    async fn get(
        &self,
        request: Request<v1::GetChannelRequest>,
    ) -> Result<Response<v1::Channel>, Status> {
        let id = request.into_inner().channel_id;
        let found = self.script.channels.iter().find(|channel| channel.channel_id == id);
        found.cloned().map(Response::new).ok_or_else(|| api::reason::Reason::ChannelUnknown.into())
    }
    type CloseStream = Messages<v1::CloseProgress>;
    async fn close(
        &self,
        request: Request<v1::CloseChannelRequest>,
    ) -> Result<Response<Self::CloseStream>, Status> {
        let request = request.into_inner();
        let messages = planned(request.dry_run, &self.script.close);
        if !request.dry_run {
            self.note(Asked::Close(request));
        }
        Ok(self.stream(messages))
    }
    async fn lift_quarantine(
        &self,
        _: Request<v1::LiftQuarantineRequest>,
    ) -> Result<Response<v1::Channel>, Status> {
        not_here()
    }
    async fn list_closed(
        &self,
        _: Request<v1::ListClosedRequest>,
    ) -> Result<Response<v1::ListClosedResponse>, Status> {
        let channels = self.script.closed.clone();
        Ok(Response::new(v1::ListClosedResponse { channels, next_page_token: String::new() }))
    }
}

#[tonic::async_trait]
impl Payments for Fake {
    type PayStream = Messages<v1::Payment>;
    async fn pay(
        &self,
        request: Request<v1::PayRequest>,
    ) -> Result<Response<Self::PayStream>, Status> {
        self.note(Asked::Pay(request.into_inner()));
        Ok(self.stream(self.script.pay.clone().unwrap_or_else(|| Ok(Vec::new()))?))
    }
    type KeysendStream = Messages<v1::Payment>;
    async fn keysend(
        &self,
        request: Request<v1::KeysendRequest>,
    ) -> Result<Response<Self::KeysendStream>, Status> {
        self.note(Asked::Keysend(request.into_inner()));
        Ok(self.stream(self.script.pay.clone().unwrap_or_else(|| Ok(Vec::new()))?))
    }
    type WatchStream = Messages<v1::Payment>;
    async fn watch(
        &self,
        _: Request<v1::WatchPaymentRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Ok(self.stream(self.script.pay.clone().unwrap_or_else(|| Ok(Vec::new()))?))
    }
    async fn get(
        &self,
        _: Request<v1::GetPaymentRequest>,
    ) -> Result<Response<v1::Payment>, Status> {
        not_here()
    }
    async fn list(
        &self,
        _: Request<v1::ListPaymentsRequest>,
    ) -> Result<Response<v1::ListPaymentsResponse>, Status> {
        not_here()
    }
}

#[tonic::async_trait]
impl Invoices for Fake {
    async fn create(
        &self,
        request: Request<v1::CreateInvoiceRequest>,
    ) -> Result<Response<v1::Invoice>, Status> {
        self.note(Asked::Create(request.into_inner()));
        Ok(Response::new(self.script.invoice.clone()))
    }
    async fn get(
        &self,
        _: Request<v1::GetInvoiceRequest>,
    ) -> Result<Response<v1::Invoice>, Status> {
        Ok(Response::new(self.script.invoice.clone()))
    }
    async fn list(
        &self,
        _: Request<v1::ListInvoicesRequest>,
    ) -> Result<Response<v1::ListInvoicesResponse>, Status> {
        not_here()
    }
    async fn settle(
        &self,
        request: Request<v1::SettleInvoiceRequest>,
    ) -> Result<Response<v1::Invoice>, Status> {
        self.note(Asked::Settle(request.into_inner()));
        Ok(Response::new(self.script.invoice.clone()))
    }
    async fn cancel(
        &self,
        _: Request<v1::CancelInvoiceRequest>,
    ) -> Result<Response<v1::Invoice>, Status> {
        not_here()
    }
    type WatchStream = Messages<v1::Invoice>;
    async fn watch(
        &self,
        _: Request<v1::WatchInvoiceRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Ok(self.stream(vec![Ok(self.script.invoice.clone())]))
    }
    async fn decode(
        &self,
        _: Request<v1::DecodeInvoiceRequest>,
    ) -> Result<Response<v1::DecodedInvoice>, Status> {
        let decoded = self.script.decoded.clone();
        decoded.unwrap_or_else(|| Ok(v1::DecodedInvoice::default())).map(Response::new)
    }
}

#[tonic::async_trait]
impl Events for Fake {
    type SubscribeStream = Messages<v1::Event>;
    async fn subscribe(
        &self,
        _: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        Ok(self.stream(self.script.events.iter().cloned().map(Ok).collect()))
    }
}

#[tonic::async_trait]
impl Why for Fake {
    async fn channel(
        &self,
        request: Request<v1::WhyChannelRequest>,
    ) -> Result<Response<v1::WhyChannelResponse>, Status> {
        let channel_id = request.into_inner().channel_id;
        let why = v1::WhyChannelResponse { channel_id, ..self.script.why_channel.clone() };
        Ok(Response::new(why))
    }
    async fn payment(
        &self,
        request: Request<v1::WhyPaymentRequest>,
    ) -> Result<Response<v1::WhyPaymentResponse>, Status> {
        let payment_hash = request.into_inner().payment_hash;
        if payment_hash != self.script.why_payment.payment_hash {
            return Err(api::reason::Reason::PaymentUnknown.into());
        }
        Ok(Response::new(self.script.why_payment.clone()))
    }
}

/// Bytes that a test can look at afterwards.
#[derive(Debug, Clone, Default)]
pub(super) struct Paper(Rc<RefCell<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

/// The person at the terminal.
#[derive(Debug, Clone, Copy)]
pub(super) enum User {
    /// Watches the terminal and types this when asked.
    Types(&'static str),
    /// Watches, says yes, and then presses Ctrl-C.
    Interrupts,
    /// Is not there: stdin and stdout are pipes.
    Away,
}

/// How a command went.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) out: String,
    pub(super) err: String,
    pub(super) code: u8,
    pub(super) asked: Vec<Asked>,
}

/// A terminal that somebody watches, or a pipe that wants JSON, and what was printed on it.
pub(super) fn screen(json: bool) -> (Screen, Paper) {
    let format = if json { Format::Json } else { Format::Human };
    let (colour, live, can_ask, yes) = (false, false, false, false);
    let look = Look { format, json_errors: json, colour, live, can_ask, yes };
    let out = Paper::default();
    let input = Box::new(Cursor::new(""));
    (Screen::new(Box::new(out.clone()), Box::new(io::sink()), input, look), out)
}

/// Runs a command line against a node of its own.
pub(super) async fn run(script: Script, user: User, line: &[&str]) -> Ran {
    let (client, mut asked) = serve(script).await;
    let cli = Cli::try_parse_from([&["viaduct"], line].concat()).unwrap();
    let away = matches!(user, User::Away);
    let format = match (cli.quiet, cli.json || away) {
        (true, _) => Format::Ids,
        (false, true) => Format::Json,
        (false, false) => Format::Human,
    };
    let look = Look {
        format,
        json_errors: cli.json,
        colour: false,
        live: false,
        can_ask: !away,
        yes: cli.yes,
    };
    let typed = match user {
        User::Types(text) => text,
        User::Interrupts => "y\n",
        User::Away => "",
    };
    let (out, err) = (Paper::default(), Paper::default());
    let input = Box::new(Cursor::new(typed));
    let mut screen = Screen::new(Box::new(out.clone()), Box::new(err.clone()), input, look);
    let bell = Arc::new(Notify::new());
    if matches!(user, User::Interrupts) {
        bell.notify_one();
    }
    let Command::Node(command) = cli.command else { panic!("not a command for a node") };
    let mut cx = Context {
        client,
        screen: &mut screen,
        now: NOW,
        node: cli.to.node,
        key: cli.idempotency_key,
        neighbours: vec![NodeState {
            name: "dave".into(),
            node_id: format!("03{}", "dd".repeat(32)),
            rpc: String::new(),
            p2p: "127.0.0.1:9738".into(),
            certificate: "".into(),
            macaroon: "".into(),
        }],
        interrupt: Interrupt::Bell(bell),
    };
    let result = command.run(&mut cx).await;
    if let Err(failure) = &result {
        screen.failure(failure);
    }
    let code = result.as_ref().err().map_or(0, Failure::exit_code);
    let mut all = Vec::new();
    while let Ok(one) = asked.try_recv() {
        all.push(one);
    }
    Ran { out: out.text(), err: err.text(), code, asked: all }
}

async fn serve(script: Script) -> (Client, mpsc::Receiver<Asked>) {
    let (asked, seen) = mpsc::channel(16);
    let fake = Fake { script: Arc::new(script), asked };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let server = Server::builder()
        .add_service(NodeServer::new(fake.clone()))
        .add_service(WalletServer::new(fake.clone()))
        .add_service(ChannelsServer::new(fake.clone()))
        .add_service(PaymentsServer::new(fake.clone()))
        .add_service(InvoicesServer::new(fake.clone()))
        .add_service(EventsServer::new(fake.clone()))
        .add_service(GraphServer::new(fake.clone()))
        .add_service(ForwardsServer::new(fake.clone()))
        .add_service(WhyServer::new(fake));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let target = Target { address: Address::Plain(at), certificate_pem: None, token: None };
    (Client::connect(target).await.unwrap(), seen)
}
