//! Callers that mean no good: slow ones, and records that open and are rubbish.

use bitcoin::OutPoint;
use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit as _, Nonce};
use channel::signer::Signer as _;

use super::*;
use crate::kit::sealed::record_key;
use crate::watch::EventKind;

#[tokio::test]
async fn s38_who_says_one_byte_at_a_time_is_sent_away() {
    let patience = Duration::from_millis(500);
    let house = House::open(Bounds { patience, ..Bounds::default() }).await;
    // In the handshake: a byte now and then is no reason to go on.
    let mut socket = TcpStream::connect(house.at).await.unwrap();
    assert!(drip(&mut socket, vec![0; 50]).await);
    // In a frame, from its first byte to its last.
    let mut caller = house.call(0x52).await;
    let mut frame = Vec::new();
    let question = Message::from(Records { first_seq: 0, records: vec![record(0)] });
    caller.out.encrypt_into(&mut frame, &question.encode_frame()).unwrap();
    assert!(drip(&mut caller.socket, frame).await);
    eventually("both are gone", || async { house.guests.borrow().connections == 0 }).await;
    assert_eq!(house.guests.borrow().faults, 2);
    // Whoever only waits is not slow.
    let mut quiet = house.call(0x53).await;
    tokio::time::sleep(patience * 2).await;
    let Message::Status(status) = quiet.ask(StatusGet {}).await else { panic!() };
    assert_eq!(status.code, Code::NO_SESSION);
    house.close().await;
}

/// Says one byte after the other; whether it is hung up on before the last.
async fn drip(socket: &mut TcpStream, bytes: Vec<u8>) -> bool {
    let mut answer = [0; 1];
    for byte in bytes {
        let _sent = socket.write_all(&[byte]).await;
        let wait = tokio::time::timeout(Duration::from_millis(100), socket.read(&mut answer));
        if let Ok(read) = wait.await {
            return matches!(read, Ok(0) | Err(_));
        }
    }
    false
}

#[tokio::test]
async fn s37_records_that_open_and_are_rubbish_hide_no_good_one_and_end_no_tower() {
    let mut house = House::open(Bounds::default()).await;
    let channel = Channel::new(3, house.scene.coin());
    let old = channel.commitment(4, 3_000_000, vec![]);
    let txid = old.txid();
    let mut events = house.tower.view.events.subscribe();
    let mut caller = house.call(0x60).await;
    let Message::SessionAck(session) = caller.ask(open(&channel)).await else { panic!() };
    assert_eq!(session.code, Code::OK);
    let key = SecretKey::from_slice(&[0x60; 32]).unwrap().public_key(SECP256K1);
    let point = channel.cheater.basepoints().htlc.serialize();
    let huge = [&point[..], &[1, 2], &[0x30; 128], &[0xff; 3]].concat();
    let bad_point = [&[7; 33][..], &[0; 200]].concat();
    let zeroes = [&point[..], &[2], &[0; 128]].concat();
    let rubbish: [Vec<u8>; 6] = [Vec::new(), vec![0], huge, bad_point, zeroes, vec![0xff; 60_000]];
    let count = u32::try_from(rubbish.len()).unwrap();
    for (first_seq, plain) in (0..).zip(&rubbish) {
        let ciphertext = seal_bytes(plain, &record_key(&txid, &key, first_seq));
        let record = Sealed { hint: Hint::of(&txid), ciphertext };
        caller
            .say(&Message::from(Records { first_seq, records: vec![record] }).encode_frame())
            .await;
        assert_eq!(caller.ack().await.code, Code::OK);
    }
    // Another client has the good one.
    let mut other = house.call(channel_key(&channel)).await;
    let _open = other.ask(open(&channel)).await;
    let records = vec![channel.record(&old, 4, 0)];
    let Message::RecordsAck(ack) = other.ask(Records { first_seq: 0, records }).await else {
        panic!()
    };
    assert_eq!(ack.code, Code::OK);
    // It is seen twice: in the mempool, and in a block.
    assert!(house.scene.hand_in(broadcast(&old)).await);
    house.tower.until(|watching| watching.book.claims().count() == 1).await;
    house.scene.mine(1).await;
    house.tower.reach(house.scene.height().await).await;
    let outpoint: OutPoint = *house.tower.book().claims().next().unwrap().0;
    eventually("justice", || async { house.scene.spender(outpoint).await.is_some() }).await;
    house.tower.until(|watching| watching.book.useless() >= u64::from(count)).await;
    let mut told = 0;
    while let Ok(event) = events.try_recv() {
        told += u32::from(event.kind == EventKind::Failed);
    }
    assert_eq!(told, count, "each is told once");
    house.close().await;
}

/// The byte that [`House::call`] makes the session's key of.
fn channel_key(channel: &Channel) -> u8 {
    channel.session().secret_key().secret_bytes()[0]
}

/// As a record is sealed, whatever it says.
fn seal_bytes(plain: &[u8], key: &[u8; 32]) -> Vec<u8> {
    let cipher = ChaCha20Poly1305::new(&Key::from(*key));
    cipher.encrypt(&Nonce::default(), plain).unwrap()
}
