//! A tower that is not what it says: it signs for everything and never looks at a block. It may lose records
//! that it signed for, and bend its receipts.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use secp256k1::{Keypair, PublicKey, SECP256K1, SecretKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use viaduct_tests::layer1::Layer1;
use watchtower::message::{
    AuditReply, Caps, CheckpointAck, CheckpointValue, Code, DeleteAck, FEATURE_WT2_OPTIONAL, Init,
    KIT_SEALED, Message, Offer, RecordsAck, Renewed, Sealed, SessionAck,
};
use watchtower::proof::audit::{Answer, Challenge, Record, digest};
use watchtower::proof::mmr::{self, Mmr};
use watchtower::proof::receipt::{Ack, Session};
use wire::frame::HEADER_LEN;
use wire::id::{NodeId, Signature};
use wire::noise::{ACT_ONE_LEN, ACT_THREE_LEN, Responder};
use wire::units::BlockHeight;

/// Blocks for which its sessions live.
const BLOCKS: u32 = 50_000;

/// What is wrong with its receipts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Bend {
    Root,
    Signature,
    Count,
    Height,
}

/// What else is wrong with it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flaws {
    /// One bit of each receipt is not what was signed.
    pub(crate) bend: Option<Bend>,
    /// It loses the first record of every session after it signed for it.
    pub(crate) loses: bool,
    /// The time of the first session that brings records is over as soon as it has so many.
    pub(crate) expires: Option<usize>,
}

/// It, as long as it is held.
pub(crate) struct Mute {
    key: Keypair,
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Mute {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Asked = (PublicKey, Message, oneshot::Sender<Option<Message>>);

impl Mute {
    pub(crate) async fn start(layer1: &Layer1) -> Self {
        Self::with(layer1, Flaws::default()).await
    }

    pub(crate) async fn with(layer1: &Layer1, flaws: Flaws) -> Self {
        let secret = SecretKey::new(&mut secp256k1::rand::thread_rng());
        let key = secret.keypair(SECP256K1);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (asks, mut asked) = mpsc::channel::<Asked>(64);
        let mut desk =
            Desk { key, flaws, layer1: layer1.clone(), sessions: BTreeMap::new(), over: None };
        let task = tokio::spawn(async move {
            let mut calls = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    Ok((socket, _)) = listener.accept() => {
                        calls.spawn(talk(socket, secret, asks.clone()));
                    }
                    Some((session, message, reply)) = asked.recv() => {
                        let _gone = reply.send(desk.answer(session, message).await);
                    }
                }
            }
        });
        Self { key, address, task }
    }

    pub(crate) fn id(&self) -> NodeId {
        NodeId(self.key.public_key().serialize())
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

/// One conversation, until it breaks.
async fn talk(socket: TcpStream, us: SecretKey, asks: mpsc::Sender<Asked>) {
    let _broken = converse(socket, us, asks).await;
}

async fn converse(
    socket: TcpStream,
    us: SecretKey,
    asks: mpsc::Sender<Asked>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (mut read, mut write) = socket.into_split();
    let ephemeral = SecretKey::new(&mut secp256k1::rand::thread_rng());
    let expect = Responder::start(us, ephemeral);
    let mut act = [0; ACT_ONE_LEN];
    read.read_exact(&mut act).await?;
    let (act, expect) = expect.act_one(&act)?;
    write.write_all(&act).await?;
    let mut act = [0; ACT_THREE_LEN];
    read.read_exact(&mut act).await?;
    let (session, mut keys) = expect.act_three(&act)?;
    let mut greeted = false;
    loop {
        let mut header = [0; HEADER_LEN];
        read.read_exact(&mut header).await?;
        let length = usize::from(keys.decryptor.decrypt_length(&header)?);
        let mut frame = vec![0; length + 16];
        read.read_exact(&mut frame).await?;
        keys.decryptor.decrypt_body(&mut frame)?;
        frame.truncate(length);
        let answer = if greeted {
            let Some(message) = Message::decode_frame(&frame)? else { continue };
            let (reply, said) = oneshot::channel();
            asks.send((session, message, reply)).await?;
            let Some(answer) = said.await? else { continue };
            answer.encode_frame()
        } else {
            greeted = true;
            let theirs = Init::decode_frame(&frame)?;
            let caps = Caps { flags: 0, max_batch: 256, max_record: 60_000 };
            let offer = Offer { bytes_quota: 1 << 20, max_blocks: BLOCKS, grace_blocks: 144 };
            let chain_hash = theirs.chain_hash;
            let mut ours =
                Init { chain_hash, caps: Some(caps), offer: Some(offer), ..Init::default() };
            ours.set(FEATURE_WT2_OPTIONAL);
            ours.encode_frame()
        };
        let mut out = Vec::new();
        keys.encryptor.encrypt_into(&mut out, &answer)?;
        write.write_all(&out).await?;
    }
}

/// What it knows of one session.
#[derive(Default)]
struct Kept {
    template: Vec<u8>,
    records: Vec<Sealed>,
    range: Mmr,
    checkpoint: (u64, Vec<u8>),
}

/// Everything it knows.
struct Desk {
    key: Keypair,
    flaws: Flaws,
    layer1: Layer1,
    sessions: BTreeMap<[u8; 33], Kept>,
    /// The session whose time is over early.
    over: Option<[u8; 33]>,
}

impl Desk {
    async fn answer(&mut self, session: PublicKey, message: Message) -> Option<Message> {
        let tip = self.layer1.chain().tip().await.expect("a tip");
        let expiry = BlockHeight(BLOCKS);
        let (key, flaws) = (self.key, self.flaws);
        let kept = self.sessions.entry(session.serialize()).or_default();
        Some(match message {
            Message::SessionOpen(open) => {
                kept.template = open.template;
                SessionAck {
                    code: Code::OK,
                    expiry,
                    quota_bytes: 1 << 30,
                    next_seq: kept.range.count(),
                    mmr_root: kept.range.root(),
                }
                .into()
            }
            Message::Records(records) => {
                let id = session.serialize();
                let is_first = *self.over.get_or_insert(id) == id;
                let is_over = flaws.expires.is_some_and(|most| kept.records.len() >= most);
                let new = if is_first && is_over { Vec::new() } else { records.records };
                for (seq, record) in (records.first_seq..).zip(new) {
                    if seq == kept.range.count() {
                        let leaf = mmr::leaf(seq, &record.hint.0, &record.ciphertext);
                        kept.range.append(leaf);
                        kept.records.push(record);
                    }
                }
                let ack = Ack {
                    durable_seq: kept.range.count(),
                    root: kept.range.root(),
                    height: tip.height,
                    tip: tip.hash,
                    expiry: expiry.0,
                };
                let terms = Session::new(session, KIT_SEALED, &kept.template);
                let code = if is_first && is_over { Code::EXPIRED } else { Code::OK };
                let ack = ack.sign(terms, &key).to_message(code);
                bend(ack, flaws.bend).into()
            }
            Message::Audit(audit) => {
                let challenge = Challenge { nonce: audit.nonce, seqs: audit.seqs };
                let lost = |seq: u32| flaws.loses && seq == 0;
                let records: Vec<(u32, Sealed)> = (challenge.seqs.iter())
                    .filter_map(|seq| Some((*seq, kept.records.get(*seq as usize)?.clone())))
                    .map(|(seq, mut record)| {
                        if lost(seq) {
                            record.ciphertext.clear();
                        }
                        (seq, record)
                    })
                    .collect();
                let records = records.iter().map(|(seq, record)| Record {
                    seq: *seq,
                    hint: &record.hint.0,
                    ciphertext: &record.ciphertext,
                });
                let digest = digest(&challenge.nonce, records);
                let answer = Answer::new(&session, &challenge, digest, &key);
                let signature = Signature(answer.signature);
                AuditReply { code: Code::OK, digest: answer.digest, signature }.into()
            }
            Message::CheckpointPut(put) => {
                let newer = put.version > kept.checkpoint.0;
                if newer {
                    kept.checkpoint = (put.version, put.ciphertext);
                }
                let code = if newer { Code::OK } else { Code::STALE_VERSION };
                CheckpointAck { code, version: kept.checkpoint.0 }.into()
            }
            Message::CheckpointGet(_) => {
                let (version, ciphertext) = kept.checkpoint.clone();
                CheckpointValue { version, ciphertext }.into()
            }
            Message::Renew(_) => Renewed { code: Code::OK, expiry, quota_bytes: 1 << 30 }.into(),
            Message::Delete(_) => {
                DeleteAck { code: Code::OK, signature: Signature([0; 64]) }.into()
            }
            other => panic!("nobody asks this here: {other:?}"),
        })
    }
}

fn bend(mut ack: RecordsAck, bend: Option<Bend>) -> RecordsAck {
    match bend {
        Some(Bend::Root) => ack.mmr_root[7] ^= 1,
        Some(Bend::Signature) => ack.signature.0[7] ^= 1,
        Some(Bend::Count) => ack.durable ^= 1,
        Some(Bend::Height) => ack.height.0 ^= 1,
        None => {}
    }
    ack
}
