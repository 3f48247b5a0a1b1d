//! A peer with a real channel whose every message a test may change, hold back or invent.

use std::collections::VecDeque;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, ScriptBuf, Transaction, WPubkeyHash};
use channel::seal::{Flushed, Journal, Lsn, Step};
use channel::signer::{InMemorySigner, Memory};
use channel::tx::Inline;
use channel::{
    AcceptTerms, ChainFact, Channel, Command, CommandId, Effect, Env, Event, Link, Offer, Origin,
    Params, Policy, Resolved,
};
use daemon::rpc::model::channel::OpenChannel;
use daemon::rpc::model::invoice::InvoiceState;
use daemon::rpc::model::wallet::Coins;
use daemon::rpc::node_api::NodeApi as _;
use futures_util::StreamExt as _;
use secp256k1::PublicKey;
use viaduct_tests::layer1::{Layer1, unix_now};
use viaduct_tests::ours::OurNode;
use wire::feature::Features;
use wire::id::{ChannelId, PaymentHash, PaymentSecret};
use wire::message::{Message, OnionPacket};
use wire::onion::payload::{CustomRecords, Final, Payload, PaymentData};
use wire::onion::sphinx::{Hop, build_payment};
use wire::units::{BlockHeight, FeeratePerKw, Msat};

use super::stranger::{PATIENCE, Stranger, chain, key};

/// What changes messages on their way out; `None` holds one back.
pub(crate) type Twist = Box<dyn FnMut(Message) -> Option<Message> + Send>;

/// A disk that is never slow and never full.
struct NoDisk(u64);

impl Journal for NoDisk {
    fn append(&mut self, _record: Vec<u8>) -> Lsn {
        self.0 += 1;
        Lsn(self.0)
    }
}

/// The peer.
pub(crate) struct Rogue {
    pub(crate) line: Stranger,
    key: secp256k1::SecretKey,
    /// The last `open_channel` of the node was heard.
    pub(crate) asked: bool,
    channel: Option<Channel>,
    signer: InMemorySigner,
    policy: Policy,
    height: u32,
    disk: NoDisk,
    commands: u64,
    /// What goes out goes through this.
    pub(crate) twist: Twist,
    /// Outcomes of our HTLCs.
    pub(crate) resolved: Vec<Resolved>,
    /// What our machine would broadcast.
    pub(crate) sent: Vec<Transaction>,
    /// `error` and `warning` of the node.
    pub(crate) complaints: VecDeque<(bool, String)>,
    /// Whether the node hung up.
    pub(crate) gone: bool,
}

/// An order to open a channel with a peer that is connected, half of it theirs.
pub(crate) fn order(node: wire::id::NodeId, sat: u64) -> OpenChannel {
    OpenChannel {
        key: None,
        node,
        address: None,
        coins: Coins::Exactly(Amount::from_sat(sat)),
        push: Msat::new(sat * 500).expect("in range"),
        feerate: None,
        to_self_delay: None,
        announce: false,
        kind: channel::Kind::default(),
    }
}

impl Rogue {
    /// A connection, and an honest face.
    pub(crate) async fn meet(node: &OurNode, layer1: &Layer1, byte: u8) -> Self {
        let mut line = Stranger::greeted(node.address(), node.id(), key(byte)).await;
        // Who is answered is known to the whole node.
        assert!(line.is_heard().await);
        Self {
            line,
            key: key(byte),
            asked: false,
            channel: None,
            signer: InMemorySigner::new(&[byte; 32], 1, Memory::default()).expect("keys"),
            policy: Policy::default(),
            height: layer1.height().await,
            disk: NoDisk(0),
            commands: 0,
            twist: Box::new(Some),
            resolved: Vec::new(),
            sent: Vec::new(),
            complaints: VecDeque::new(),
            gone: false,
        }
    }

    /// A channel that the node opens to us and that is in use.
    pub(crate) async fn with_channel(node: &OurNode, layer1: &Layer1, byte: u8, sat: u64) -> Self {
        let mut rogue = Self::meet(node, layer1, byte).await;
        let opening = async {
            let mut updates = node
                .handle()
                .open_channel(order(rogue_id(byte), sat))
                .await
                .expect("begun")
                .updates;
            while let Some(Ok(shown)) = updates.next().await {
                if shown.funding.is_some() {
                    return;
                }
            }
        };
        let pumping = async {
            rogue
                .pump("its funding", |rogue| {
                    rogue.channel.as_ref().is_some_and(|channel| channel.funding().is_some())
                })
                .await;
        };
        tokio::join!(opening, pumping);
        rogue.confirm(layer1).await;
        rogue
            .pump("its channel", |rogue| rogue.channel.as_ref().is_some_and(Channel::is_usable))
            .await;
        node.usable(rogue.id()).await;
        rogue
    }

    /// Mines the funding and tells our machine of it.
    async fn confirm(&mut self, layer1: &Layer1) {
        let outpoint = self.channel().funding().expect("funded");
        let waiting = layer1.mempool_of(1).await;
        let tx = waiting.iter().find(|tx| tx.compute_txid() == outpoint.txid).expect("there");
        let found = tx.output[outpoint.vout as usize].clone();
        self.height = layer1.mine(1).await;
        let fact = ChainFact::FundingConfirmed {
            height: BlockHeight(self.height),
            tx_index: 1,
            outpoint,
            found: Some(found),
        };
        self.step(Event::Chain(fact)).await;
        self.step(Event::Chain(ChainFact::Tip)).await;
    }

    pub(crate) fn channel(&self) -> &Channel {
        self.channel.as_ref().expect("a channel")
    }

    pub(crate) fn id(&self) -> ChannelId {
        self.channel().id()
    }

    async fn carry(
        &mut self,
        make: impl FnOnce(&Env<'_>, Option<Channel>) -> Step<Channel, Effect>,
    ) {
        let env = Env {
            height: BlockHeight(self.height),
            now: u64::from(unix_now()),
            feerate: FeeratePerKw(1_000),
            policy: &self.policy,
            signer: &self.signer,
            workers: &Inline,
        };
        let step = make(&env, self.channel.take());
        let (channel, sealed) = step.stage(&mut self.disk);
        self.channel = Some(channel);
        let effects = sealed.open(Flushed::attest(Lsn(self.disk.0))).expect("written");
        for effect in effects {
            match effect {
                Effect::Send(message) => {
                    if let Some(message) = (self.twist)(message) {
                        self.line.say(&message).await;
                    }
                }
                Effect::Resolved(resolved) => self.resolved.push(resolved),
                Effect::Broadcast { tx, .. } => self.sent.push(tx),
                _ => {}
            }
        }
    }

    pub(crate) async fn step(&mut self, event: Event) {
        self.carry(|env, channel| channel.expect("a channel").step(event, env)).await;
    }

    async fn hear(&mut self, message: Message) {
        match message {
            Message::OpenChannel(asked) => {
                self.asked = true;
                let terms = AcceptTerms {
                    chain_hash: chain(),
                    params: Params::for_capacity(asked.funding_satoshis),
                    minimum_depth: 1,
                    upfront_shutdown: None,
                    shutdown_script: ScriptBuf::new_p2wpkh(&WPubkeyHash::all_zeros()),
                    alias: None,
                    features: Features::init(),
                };
                self.carry(|env, _| Channel::accept(&asked, terms, env).expect("good terms")).await;
            }
            Message::Error(error) => {
                self.complaints.push_back((true, error.text().to_string()));
            }
            Message::Warning(warning) => {
                self.complaints.push_back((false, warning.text().to_string()));
            }
            Message::Ping(ping) => {
                if let Some(pong) = ping.pong() {
                    self.line.say(&pong.into()).await;
                }
            }
            // Gossip is nothing that a channel hears.
            other if self.channel.is_some() && other.channel_id().is_some() => {
                self.step(Event::Peer(other)).await;
            }
            _ => {}
        }
    }

    /// Hears at most one message, and signs what is to be signed.
    pub(crate) async fn turn(&mut self) {
        match self.line.hear_soon().await {
            Some(Some(message)) => self.hear(message).await,
            Some(None) => self.gone = true,
            None => {}
        }
        if self.channel.as_ref().is_some_and(Channel::wants_commit) {
            self.step(Event::Commit).await;
        }
    }

    /// Plays on until the node holds a part of the invoice.
    pub(crate) async fn until_held(&mut self, node: &OurNode, hash: PaymentHash) {
        let begun = std::time::Instant::now();
        loop {
            self.turn().await;
            let state = node.handle().invoice(hash).await.expect("known").state;
            if state == InvoiceState::Accepted {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "held: {state:?} {:?} {:?}",
                self.complaints,
                self.resolved
            );
        }
    }

    /// A new connection to the same node, and `channel_reestablish`.
    pub(crate) async fn reconnect(&mut self, node: &OurNode) {
        self.step(Event::Link(Link::Down)).await;
        self.line = Stranger::greeted(node.address(), node.id(), self.key).await;
        self.gone = false;
        self.step(Event::Link(Link::Up { features: Features::init() })).await;
        self.pump("its channel again", |rogue| rogue.channel().is_usable()).await;
        assert!(self.channel().is_usable(), "the node hung up: {:?}", self.complaints);
    }

    /// Plays on until something holds, or the node hung up.
    pub(crate) async fn pump(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let begun = std::time::Instant::now();
        while !done(self) && !self.gone {
            assert!(begun.elapsed() < PATIENCE, "waited for {what}: {:?}", self.complaints);
            self.turn().await;
        }
    }

    /// Offers an HTLC to the node, as a part of a payment of its own.
    pub(crate) async fn offer(&mut self, node: &OurNode, part: Part) -> CommandId {
        let payee = PublicKey::from_slice(&node.id().0).expect("a key");
        let payload = Payload::Final(Final {
            amt_to_forward: part.forward,
            outgoing_cltv_value: part.expiry,
            payment_data: part
                .secret
                .map(|payment_secret| PaymentData { payment_secret, total_msat: part.total }),
            payment_metadata: None,
            keysend_preimage: None,
            custom_records: CustomRecords::default(),
        })
        .encode();
        let hops = [Hop { node: payee, payload: &payload }];
        self.offer_onion(onion(&hops, &part.hash), &part).await
    }

    /// Offers an HTLC with any onion.
    pub(crate) async fn offer_onion(&mut self, onion: OnionPacket, part: &Part) -> CommandId {
        self.commands += 1;
        let command = CommandId(self.commands);
        let offer = Offer {
            command,
            amount_msat: part.amount,
            payment_hash: part.hash,
            cltv_expiry: part.htlc_expiry,
            onion,
            origin: Origin::Payment { payment_id: part.hash.0, part: self.commands as u32 },
            path_key: None,
            accountable: false,
        };
        self.step(Event::Command(Command::OfferHtlc(Box::new(offer)))).await;
        command
    }
}

/// An onion for these hops, from a random session key.
pub(crate) fn onion(hops: &[Hop<'_>], hash: &PaymentHash) -> OnionPacket {
    let mut session = [0; 32];
    getrandom::fill(&mut session).expect("random numbers");
    let session = secp256k1::SecretKey::from_slice(&session).expect("a key");
    build_payment(&session, hops, hash).expect("fits").0
}

/// One HTLC of a payment to the node.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) hash: PaymentHash,
    pub(crate) secret: Option<PaymentSecret>,
    /// What the HTLC holds.
    pub(crate) amount: Msat,
    /// What the onion says that arrives.
    pub(crate) forward: Msat,
    /// What the onion says that all parts add up to.
    pub(crate) total: Msat,
    /// The expiry that the onion says.
    pub(crate) expiry: BlockHeight,
    /// The expiry of the HTLC.
    pub(crate) htlc_expiry: BlockHeight,
}

impl Part {
    /// A part as the invoice wants it.
    pub(crate) fn of(invoice: &str, msat: u64, total: u64, height: u32) -> Self {
        let read: lightning_invoice::Bolt11Invoice = invoice.parse().expect("an invoice");
        let hash = PaymentHash(bitcoin::hashes::Hash::to_byte_array(*read.payment_hash()));
        let amount = Msat::new(msat).expect("in range");
        let expiry = BlockHeight(height + 60);
        Self {
            hash,
            secret: Some(PaymentSecret(read.payment_secret().0)),
            amount,
            forward: amount,
            total: Msat::new(total).expect("in range"),
            expiry,
            htlc_expiry: expiry,
        }
    }
}

/// Who the rogue of this byte is.
pub(crate) fn rogue_id(byte: u8) -> wire::id::NodeId {
    wire::id::NodeId(PublicKey::from_secret_key(secp256k1::SECP256K1, &key(byte)).serialize())
}
