//! Our client against a tower with LND's rules that loses answers. Scenario 20.

use wire::codec::{Decode, Encode};

use super::super::blob::BlobType;
use super::super::session::{Change, Conversation, Session};
use super::super::uploader::{Heard, Terms, Uploader};
use super::super::wire::Message;
use crate::hint::Hint;
use crate::message::Code;
use std::collections::BTreeMap;

const TERMS: Terms = Terms { blob_type: BlobType::Anchor, max_updates: 5, sweep_feerate: 2_500 };

/// LND's semantics for many keys of one client.
#[derive(Default)]
struct Tower {
    sessions: BTreeMap<u32, Session>,
    /// By key and number.
    stored: BTreeMap<(u32, u16), Vec<u8>>,
}

impl Tower {
    /// The answer to one message on a new connection with this key.
    fn hear(&mut self, key: u32, message: &Message) -> Message {
        let session = self.sessions.get(&key);
        let frame = message.encode_frame();
        let turn = Conversation::default().hear(&frame, session).unwrap();
        match turn.change {
            Change::None => {}
            Change::Put(session) => drop(self.sessions.insert(key, session)),
            Change::Record { session, seq, blob, .. } => {
                self.sessions.insert(key, session);
                let before = self.stored.insert((key, seq), blob.clone());
                assert!(before.is_none_or(|before| before == blob), "other bytes under {seq}");
            }
            Change::Delete => drop(self.sessions.remove(&key)),
        }
        turn.reply
    }
}

fn blob(number: u32) -> Vec<u8> {
    number.to_be_bytes().into_iter().cycle().take(314).collect()
}

/// Uploads until the update has its answer. `lost` says of each answer whether it got lost, which is as if
/// the client had crashed: it goes on from what it had written down.
fn upload(client: &mut Uploader, tower: &mut Tower, mut lost: impl FnMut() -> bool) {
    for _ in 0..100 {
        let Some(message) = client.message() else { return };
        let written = client.encoded();
        let answer = tower.hear(client.key_index(), &message);
        if lost() {
            *client = Uploader::decode_exact(&written).unwrap();
            assert_eq!(client.message(), Some(message), "the same bytes again");
            continue;
        }
        client.hear(&answer);
    }
    panic!("no end");
}

#[test]
fn scenario_20_lost_answers_leave_no_hole_and_no_second_record() {
    let (mut client, mut tower) = (Uploader::new(TERMS), Tower::default());
    let mut dice = 1_u32;
    for number in 0..40 {
        assert!(client.take(Hint([0; 16]), blob(number)));
        upload(&mut client, &mut tower, || {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            dice >> 16 & 1 == 0
        });
        assert!(!client.is_busy());
    }
    let blobs: Vec<Vec<u8>> = tower.stored.values().cloned().collect();
    assert_eq!(blobs, (0..40).map(blob).collect::<Vec<_>>(), "every blob once, in order");
    let keys: Vec<u32> = tower.sessions.keys().copied().collect();
    assert_eq!(keys, (0..8).collect::<Vec<_>>(), "five updates a session");
}

#[test]
fn scenario_20_a_key_that_the_tower_has_in_use_is_left_for_the_next() {
    let mut tower = Tower::default();
    let mut before = Uploader::new(TERMS);
    before.take(Hint([0; 16]), blob(0));
    upload(&mut before, &mut tower, || false);
    // The same seed, and nothing else left of it.
    let mut restored = Uploader::new(TERMS);
    restored.take(Hint([0; 16]), blob(1));
    let answer = tower.hear(0, &restored.message().unwrap());
    assert_eq!(restored.hear(&answer), Heard::NextKey(1));
    upload(&mut restored, &mut tower, || false);
    assert_eq!(tower.stored.keys().copied().collect::<Vec<_>>(), [(0, 1), (1, 1)]);
}

#[test]
fn a_session_that_got_out_of_step_is_left_and_the_update_goes_into_a_new_one() {
    for code in [50, 70, 71, 72] {
        let (mut client, mut tower) = (Uploader::new(TERMS), Tower::default());
        client.take(Hint([0; 16]), blob(0));
        let answer = tower.hear(0, &client.message().unwrap());
        assert_eq!(client.hear(&answer), Heard::Opened);
        let refused = Message::StateUpdateReply { code: Code(code), last_applied: 3 };
        assert_eq!(client.hear(&refused), Heard::NextKey(1));
        upload(&mut client, &mut tower, || false);
        assert_eq!(tower.stored.keys().copied().collect::<Vec<_>>(), [(1, 1)]);
    }
}

#[test]
fn answers_to_what_was_not_asked_change_nothing() {
    let mut client = Uploader::new(TERMS);
    let stored = Message::StateUpdateReply { code: Code::OK, last_applied: 1 };
    assert_eq!(client.hear(&stored), Heard::Nonsense);
    client.take(Hint([0; 16]), blob(0));
    assert!(!client.take(Hint([0; 16]), blob(1)), "one at a time");
    let opened = Message::CreateSessionReply { code: Code::OK, last_applied: 0, data: vec![] };
    assert_eq!(client.hear(&opened), Heard::Opened);
    assert_eq!(client.hear(&opened), Heard::Nonsense);
    let other_number = Message::StateUpdateReply { code: Code::OK, last_applied: 2 };
    assert_eq!(client.hear(&other_number), Heard::Nonsense);
    let later = Message::StateUpdateReply { code: Code::TEMPORARY, last_applied: 0 };
    assert_eq!(client.hear(&later), Heard::Later);
    assert_eq!(client.hear(&stored), Heard::Stored(1));
    assert!(!client.take(Hint([0; 16]), vec![0; 340]), "a taproot blob in an anchors session");
}

#[test]
fn refused_terms_are_told() {
    let mut client = Uploader::new(Terms { sweep_feerate: 1, ..TERMS });
    client.take(Hint([0; 16]), blob(0));
    let answer = Tower::default().hear(0, &client.message().unwrap());
    assert_eq!(client.hear(&answer), Heard::Refused(Code(63)));
}
