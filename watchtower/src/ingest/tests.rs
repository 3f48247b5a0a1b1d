//! Callers of all kinds at the door of a tower that runs.

mod replica;
mod rude;

use std::time::Duration;

use ::store::disk::MemoryDisk;
use bitcoin::constants::genesis_block;
use bitcoin::hashes::Hash as _;
use secp256k1::{Keypair, PublicKey, SECP256K1, SecretKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::codec::Encode as _;
use wire::frame::{Decryptor, Encryptor, HEADER_LEN};
use wire::id::Signature;
use wire::noise::{ACT_TWO_LEN, Initiator};

use super::{Bounds, Guests, Offered, Reception, serve};
use crate::hint::Hint;
use crate::lnd::blob::BlobType;
use crate::lnd::wire::{CreateSession, Message as LndMessage, StateUpdate};
use crate::message::{
    Audit, CheckpointGet, CheckpointPut, Code, Delete, FEATURE_WT2_OPTIONAL, Fetch, Init, Message,
    Records, RecordsAck, Renew, Sealed, SessionOpen, StatusGet,
};
use crate::proof::audit::{Answer, Challenge, Record};
use crate::proof::mmr::{self, Mmr};
use crate::proof::receipt::{Receipt, Session};
use crate::proof::tombstone::{Scope, Tombstone};
use crate::store::Disks;
use crate::watch::tests::scene::{Channel, Scene, Tower, broadcast, eventually};

fn tower_key() -> SecretKey {
    SecretKey::from_slice(&[9; 32]).unwrap()
}

fn chain_hash() -> [u8; 32] {
    genesis_block(bitcoin::Network::Regtest).block_hash().to_byte_array()
}

/// A tower with an open door.
struct House {
    scene: Scene,
    tower: Tower,
    at: std::net::SocketAddr,
    guests: watch::Receiver<Guests>,
    stop: CancellationToken,
    door: tokio::task::JoinHandle<()>,
}

impl House {
    async fn open(bounds: Bounds) -> Self {
        let scene = Scene::new().await;
        let tower = Tower::fresh(&scene).await;
        Self::of(scene, tower, bounds).await
    }

    #[expect(clippy::disallowed_methods, reason = "a test joins it itself")]
    async fn of(scene: Scene, tower: Tower, bounds: Bounds) -> Self {
        let reception = Reception {
            key: tower_key(),
            chain_hash: chain_hash(),
            keeper: tower.keeper.clone(),
            view: tower.view.clone(),
            offered: Offered::default(),
            bounds,
            clock: || 1,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (tell, guests) = watch::channel(Guests::default());
        let stop = CancellationToken::new();
        let door = tokio::spawn(serve(reception, listener, tell, stop.clone()));
        Self { scene, tower, at, guests, stop, door }
    }

    async fn call(&self, key: u8) -> Caller {
        let mut caller = self.ring(key).await;
        let mut init = Init { chain_hash: chain_hash(), ..Init::default() };
        init.set(FEATURE_WT2_OPTIONAL);
        caller.say(&init.encode_frame()).await;
        let answer = Init::decode_frame(&caller.hear().await.unwrap()).unwrap();
        assert!(answer.has(FEATURE_WT2_OPTIONAL) && answer.has(1) && answer.has(3));
        assert_eq!(answer.chain_hash, chain_hash());
        caller
    }

    /// A caller that has not said anything yet.
    async fn ring(&self, key: u8) -> Caller {
        let socket = TcpStream::connect(self.at).await.unwrap();
        Caller::of(socket, SecretKey::from_slice(&[key; 32]).unwrap()).await
    }

    async fn close(self) {
        let _gone = self.asleep().await;
    }

    /// Closes, and what is left for the next start.
    async fn asleep(self) -> (Scene, Disks<MemoryDisk>) {
        self.stop.cancel();
        self.door.await.unwrap();
        (self.scene, self.tower.end().await)
    }
}

struct Caller {
    socket: TcpStream,
    out: Encryptor,
    inward: Decryptor,
}

impl Caller {
    async fn of(mut socket: TcpStream, key: SecretKey) -> Self {
        let tower = PublicKey::from_secret_key(SECP256K1, &tower_key());
        let (act, expect) =
            Initiator::start(key, SecretKey::from_slice(&[0x33; 32]).unwrap(), &tower);
        socket.write_all(&act).await.unwrap();
        let mut act = [0; ACT_TWO_LEN];
        socket.read_exact(&mut act).await.unwrap();
        let (act, keys) = expect.act_two(&act).unwrap();
        socket.write_all(&act).await.unwrap();
        Self { socket, out: keys.encryptor, inward: keys.decryptor }
    }

    async fn say(&mut self, message: &[u8]) {
        let mut frame = Vec::new();
        self.out.encrypt_into(&mut frame, message).unwrap();
        // It may have been hung up on.
        let _gone = self.socket.write_all(&frame).await;
    }

    /// `None` when the tower hung up.
    async fn hear(&mut self) -> Option<Vec<u8>> {
        let wait = async {
            let mut header = [0; HEADER_LEN];
            self.socket.read_exact(&mut header).await.ok()?;
            let length = usize::from(self.inward.decrypt_length(&header).unwrap());
            let mut frame = vec![0; length + 16];
            self.socket.read_exact(&mut frame).await.ok()?;
            Some(self.inward.decrypt_body(&mut frame).unwrap().to_vec())
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("an answer in time")
    }

    async fn ask(&mut self, message: impl Into<Message>) -> Message {
        self.say(&message.into().encode_frame()).await;
        self.answer().await
    }

    async fn answer(&mut self) -> Message {
        Message::decode_frame(&self.hear().await.expect("an answer")).unwrap().unwrap()
    }

    async fn ack(&mut self) -> RecordsAck {
        let Message::RecordsAck(ack) = self.answer().await else { panic!("no receipt") };
        ack
    }

    async fn lnd(&mut self, message: LndMessage) -> LndMessage {
        self.say(&message.encode_frame()).await;
        LndMessage::decode_frame(&self.hear().await.expect("an answer")).unwrap()
    }
}

fn open(channel: &Channel) -> SessionOpen {
    let template = channel.template().encoded();
    SessionOpen { kit: 1, template, want_blocks: 0, want_bytes: 0 }
}

fn record(seq: u32) -> Sealed {
    Sealed { hint: Hint([u8::try_from(seq % 250).unwrap(); 16]), ciphertext: vec![3; 178] }
}

#[tokio::test]
async fn records_are_pipelined_and_the_newest_receipt_stands_for_all() {
    let house = House::open(Bounds::default()).await;
    let channel = Channel::new(3, bitcoin::OutPoint::null());
    let mut caller = house.call(0x52).await;
    let Message::SessionAck(session) = caller.ask(open(&channel)).await else { panic!() };
    assert_eq!((session.code, session.next_seq), (Code::OK, 0));
    for first_seq in (0..1_000).step_by(100) {
        let records = (first_seq..first_seq + 100).map(record).collect();
        caller.say(&Message::from(Records { first_seq, records }).encode_frame()).await;
    }
    let mut ack = caller.ack().await;
    while ack.durable < 1_000 {
        ack = caller.ack().await;
        assert_eq!(ack.code, Code::OK);
    }
    let leaves = (0..1_000).map(|seq| mmr::leaf(seq, &record(seq).hint.0, &record(seq).ciphertext));
    assert_eq!(ack.mmr_root, leaves.collect::<Mmr>().root());
    let key = SecretKey::from_slice(&[0x52; 32]).unwrap().public_key(SECP256K1);
    let terms = Session::new(key, 1, &channel.template().encoded());
    let tower = tower_key().public_key(SECP256K1);
    assert!(Receipt::from_message(terms, &ack).is_signed_by(&tower));
    // A gap, and what was said already.
    caller
        .say(&Message::from(Records { first_seq: 1_005, records: vec![record(1)] }).encode_frame())
        .await;
    let gap = caller.ack().await;
    assert_eq!((gap.code, gap.expected_seq, gap.durable), (Code::GAP, Some(1_000), 1_000));
    caller
        .say(&Message::from(Records { first_seq: 7, records: vec![record(7)] }).encode_frame())
        .await;
    assert_eq!(caller.ack().await.code, Code::OK);
    caller
        .say(&Message::from(Records { first_seq: 7, records: vec![record(8)] }).encode_frame())
        .await;
    assert_eq!(caller.ack().await.code, Code::DIFFERS);
    let Message::Status(status) = caller.ask(StatusGet {}).await else { panic!() };
    assert_eq!((status.next_seq, status.used_bytes), (1_000, 194_000));
    house.close().await;
}

#[tokio::test]
async fn a_client_gets_its_records_back_audits_renews_deletes_and_keeps_a_checkpoint() {
    let house = House::open(Bounds::default()).await;
    let channel = Channel::new(3, bitcoin::OutPoint::null());
    let mut caller = house.call(0x52).await;
    let _ack = caller.ask(open(&channel)).await;
    let records = (0..300).map(record).collect();
    let _ack = caller.ask(Records { first_seq: 0, records }).await;
    let Message::Fetched(back) = caller.ask(Fetch { first_seq: 10, count: 5 }).await else {
        panic!()
    };
    assert_eq!(back.records, (10..15).map(record).collect::<Vec<_>>());
    let challenge = Challenge::draw(&[1; 32], 0..300, 20);
    let audit = Audit { nonce: challenge.nonce, seqs: challenge.seqs.clone() };
    let Message::AuditReply(reply) = caller.ask(audit).await else { panic!() };
    let held: Vec<Sealed> = challenge.seqs.iter().map(|seq| record(*seq)).collect();
    let held = challenge.seqs.iter().zip(&held).map(|(seq, sealed)| Record {
        seq: *seq,
        hint: &sealed.hint.0,
        ciphertext: &sealed.ciphertext,
    });
    let answer = Answer { digest: reply.digest, signature: reply.signature.0 };
    let secret = SecretKey::from_slice(&[0x52; 32]).unwrap();
    let keypair = Keypair::from_secret_key(SECP256K1, &secret);
    let tower = tower_key().public_key(SECP256K1);
    answer.check(&tower, &keypair.public_key(), &challenge, held).unwrap();
    let unfair = Audit { nonce: [1; 32], seqs: vec![300] };
    let Message::AuditReply(reply) = caller.ask(unfair).await else { panic!() };
    assert_eq!(reply.code, Code::PERMANENT);

    let put = CheckpointPut { version: 5, ciphertext: vec![1, 2, 3] };
    let Message::CheckpointAck(ack) = caller.ask(put).await else { panic!() };
    assert_eq!((ack.code, ack.version), (Code::OK, 5));
    let stale = CheckpointPut { version: 4, ciphertext: vec![9] };
    let Message::CheckpointAck(ack) = caller.ask(stale).await else { panic!() };
    assert_eq!((ack.code, ack.version), (Code::STALE_VERSION, 5));
    let Message::CheckpointValue(kept) = caller.ask(CheckpointGet {}).await else { panic!() };
    assert_eq!((kept.version, kept.ciphertext), (5, vec![1, 2, 3]));

    let Message::Renewed(renewed) =
        caller.ask(Renew { want_blocks: 10, want_bytes: 100 << 20 }).await
    else {
        panic!()
    };
    assert_eq!((renewed.code, renewed.quota_bytes), (Code::OK, 100 << 20));

    let forged = Delete { scope: 0, first_seq: 0, last_seq: 0, signature: Signature([1; 64]) };
    let Message::DeleteAck(ack) = caller.ask(forged).await else { panic!() };
    assert_eq!(ack.code, Code::PERMANENT);
    let stone = Tombstone::sign(&keypair, Scope::Session);
    let delete =
        Delete { scope: 0, first_seq: 0, last_seq: 0, signature: Signature(stone.signature) };
    let Message::DeleteAck(ack) = caller.ask(delete).await else { panic!() };
    assert_eq!(ack.code, Code::OK);
    let Message::Status(status) = caller.ask(StatusGet {}).await else { panic!() };
    assert_eq!(status.code, Code::NO_SESSION);
    house.close().await;
}

#[tokio::test]
async fn s01_a_record_over_the_wire_is_punished_for_and_its_client_is_told() {
    let mut scene = Scene::new().await;
    let channel = Channel::new(3, scene.coin());
    let tower = Tower::fresh(&scene).await;
    let house = House::of(scene, tower, Bounds::default()).await;
    // The session's key is the channel's: 0x51 with its seed.
    let mut caller = house.call(0x52).await;
    let _ack = caller.ask(open(&channel)).await;
    let old = channel.commitment(4, 3_000_000, vec![]);
    let records = vec![channel.record(&old, 4, 0)];
    let _ack = caller.ask(Records { first_seq: 0, records }).await;
    assert!(house.scene.hand_in(broadcast(&old)).await);
    house.scene.mine(1).await;
    let Message::Event(event) = caller.answer().await else { panic!() };
    assert_eq!((event.event, event.txid), (1, old.txid()));
    house.tower.until(|watching| watching.book.claims().count() == 1).await;
    let outpoint = *house.tower.book().claims().next().unwrap().0;
    let scene = house.scene.clone();
    eventually("justice", || async { scene.spender(outpoint).await.is_some() }).await;
    house.close().await;
}

#[tokio::test]
async fn a_client_of_lnds_makes_a_session_and_stores_updates_by_lnds_rules() {
    let house = House::open(Bounds::default()).await;
    let lnd = async || {
        let mut caller = house.ring(0x61).await;
        let mut init = Init { chain_hash: chain_hash(), ..Init::default() };
        init.set(0);
        init.set(2);
        caller.say(&init.encode_frame()).await;
        let _theirs = caller.hear().await.unwrap();
        caller
    };
    let create = || {
        LndMessage::CreateSession(CreateSession {
            blob_type: BlobType::Anchor.number(),
            max_updates: 3,
            reward_base: 0,
            reward_rate: 0,
            sweep_feerate: 2_500,
        })
    };
    let answer = lnd().await.lnd(create()).await;
    assert!(matches!(answer, LndMessage::CreateSessionReply { code: Code::OK, .. }), "{answer:?}");
    let update = |seq: u16, last: u16, complete| {
        LndMessage::StateUpdate(StateUpdate {
            seq_num: seq,
            last_applied: last,
            is_complete: complete,
            hint: Hint([u8::try_from(seq).unwrap(); 16]),
            encrypted_blob: vec![5; BlobType::Anchor.blob_len()],
        })
    };
    let mut caller = lnd().await;
    for (seq, last) in [(1, 0), (2, 1), (2, 1)] {
        let answer = caller.lnd(update(seq, last, false)).await;
        let LndMessage::StateUpdateReply { code, last_applied } = answer else { panic!() };
        assert_eq!((code, last_applied), (Code::OK, seq));
    }
    let answer = caller.lnd(update(5, 2, false)).await;
    let LndMessage::StateUpdateReply { code, .. } = answer else { panic!() };
    assert_eq!(code, Code(71), "more than the session has room for");
    assert!(caller.hear().await.is_none(), "any other code ends it");
    eventually("the key is free again", || async { house.guests.borrow().connections == 0 }).await;
    let answer = lnd().await.lnd(create()).await;
    let LndMessage::CreateSessionReply { code, last_applied, .. } = answer else { panic!() };
    assert_eq!((code, last_applied), (Code(60), 2));
    eventually("the key is free again", || async { house.guests.borrow().connections == 0 }).await;
    let answer = lnd().await.lnd(LndMessage::DeleteSession).await;
    assert!(matches!(answer, LndMessage::DeleteSessionReply { code: Code::OK }));
    house.close().await;
}

#[tokio::test]
async fn s37_no_template_and_no_record_of_a_malicious_client_does_harm() {
    let house = House::open(Bounds::default()).await;
    let channel = Channel::new(3, bitcoin::OutPoint::null());
    let mut caller = house.call(0x52).await;
    for template in [vec![], vec![0; 10], vec![0xff; 400]] {
        let open = SessionOpen { kit: 1, template, want_blocks: 0, want_bytes: 0 };
        let Message::SessionAck(ack) = caller.ask(open).await else { panic!() };
        assert_eq!(ack.code, Code::PERMANENT);
    }
    for kit in [0, 2, 3, 9] {
        let template = channel.template().encoded();
        let open = SessionOpen { kit, template, want_blocks: 0, want_bytes: 0 };
        let Message::SessionAck(ack) = caller.ask(open).await else { panic!() };
        assert_eq!(ack.code, Code::UNKNOWN_KIT);
    }
    let _before = caller.ask(Records { first_seq: 0, records: vec![record(0)] }).await;
    let Message::SessionAck(ack) = caller.ask(open(&channel)).await else { panic!() };
    assert_eq!((ack.code, ack.next_seq), (Code::OK, 0), "nothing was stored without a session");
    let Message::Fetched(none) = caller.ask(Fetch { first_seq: 0, count: 65_535 }).await else {
        panic!()
    };
    assert!(none.records.is_empty());
    let Message::RecordsAck(ack) = caller.ask(Records { first_seq: 0, records: vec![] }).await
    else {
        panic!()
    };
    assert_eq!((ack.code, ack.durable), (Code::OK, 0));
    // An answer that nobody asked for ends it.
    caller.say(&Message::from(ack).encode_frame()).await;
    assert!(caller.hear().await.is_none());
    house.close().await;
}

#[tokio::test]
async fn s38_who_does_not_fit_is_sent_away_and_the_others_are_served() {
    let house = House::open(Bounds::default()).await;
    let refused = async |init: Vec<u8>| {
        let mut caller = house.ring(0x70).await;
        caller.say(&init).await;
        // The tower's own init may come first.
        while caller.hear().await.is_some() {}
    };
    let other = Init { chain_hash: [7; 32], ..Init::default() };
    refused(other.encode_frame()).await;
    let mut unknown = Init { chain_hash: chain_hash(), ..Init::default() };
    unknown.set(44);
    refused(unknown.encode_frame()).await;
    refused(vec![2, 88]).await;
    refused(vec![0; 5_000]).await;
    refused(Message::from(StatusGet {}).encode_frame()).await;
    let mut caller = house.call(0x52).await;
    caller.say(&[8; 65_000]).await;
    assert!(caller.hear().await.is_none());
    eventually("all of them are gone", || async { house.guests.borrow().connections == 0 }).await;
    let Message::Status(status) = house.call(0x52).await.ask(StatusGet {}).await else { panic!() };
    assert_eq!(status.code, Code::NO_SESSION);
    house.close().await;
}

#[tokio::test]
async fn s38_a_thousand_half_open_handshakes_take_no_more_room_than_there_is() {
    let bounds = Bounds {
        half_open: 16,
        per_address: 10_000,
        calls_per_minute: 1_000_000,
        ..Bounds::default()
    };
    let house = House::open(bounds).await;
    let mut silent = Vec::new();
    for _ in 0..1_000 {
        let Ok(Ok(mut socket)) =
            tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(house.at)).await
        else {
            break;
        };
        let _sent = socket.write_all(&[0; 10]).await;
        silent.push(socket);
    }
    assert!(silent.len() >= 100);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(house.guests.borrow().connections <= 16);
    drop(silent);
    eventually("the door is free again", || async { house.guests.borrow().connections < 16 }).await;
    let connected = tokio::time::timeout(Duration::from_secs(15), house.call(0x52)).await;
    assert!(connected.is_ok());
    house.close().await;
}

#[tokio::test]
async fn a_key_has_one_connection_and_who_is_not_on_the_list_has_none() {
    let key = SecretKey::from_slice(&[0x52; 32]).unwrap().public_key(SECP256K1);
    let allow = std::collections::BTreeSet::from([key.serialize()]);
    let house = House::open(Bounds { allow, ..Bounds::default() }).await;
    let mut first = house.call(0x52).await;
    let _status = first.ask(StatusGet {}).await;
    let mut second = house.call(0x52).await;
    second.say(&Message::from(StatusGet {}).encode_frame()).await;
    assert!(second.hear().await.is_none());
    let mut stranger = house.call(0x53).await;
    stranger.say(&Message::from(StatusGet {}).encode_frame()).await;
    assert!(stranger.hear().await.is_none());
    let _status = first.ask(StatusGet {}).await;
    house.close().await;
}

#[tokio::test]
async fn who_says_too_much_too_fast_is_told_when_to_come_again() {
    let house = House::open(Bounds { records_per_second: 10, ..Bounds::default() }).await;
    let channel = Channel::new(3, bitcoin::OutPoint::null());
    let mut caller = house.call(0x52).await;
    let _ack = caller.ask(open(&channel)).await;
    let records = (0..40).map(record).collect();
    let Message::RecordsAck(ack) = caller.ask(Records { first_seq: 0, records }).await else {
        panic!()
    };
    assert_eq!((ack.code, ack.durable), (Code::OK, 40));
    let records = vec![record(40)];
    let Message::RecordsAck(ack) = caller.ask(Records { first_seq: 40, records }).await else {
        panic!()
    };
    assert_eq!((ack.code, ack.retry_after_ms), (Code::RATE, Some(100)));
    house.close().await;
}
