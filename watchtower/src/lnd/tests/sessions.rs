//! The rows of LND's `watchtower/wtserver/server_test.go`, and what it leaves out. Scenario 19.

use proptest::prelude::*;
use wire::codec::{Decode, DecodeError, Encode};

use super::super::blob::BlobType;
use super::super::session::{Breach, Change, Conversation, Session, Turn};
use super::super::wire::{CreateSession, Message, StateUpdate};
use crate::hint::Hint;
use crate::message::Code;

fn create(blob_type: u16, max_updates: u16) -> CreateSession {
    let (reward_base, reward_rate, sweep_feerate) = (0, 0, 10_000);
    CreateSession { blob_type, max_updates, reward_base, reward_rate, sweep_feerate }
}

fn update(seq_num: u16, last_applied: u16) -> StateUpdate {
    let encrypted_blob = vec![0; 314];
    StateUpdate { seq_num, last_applied, is_complete: false, hint: Hint([9; 16]), encrypted_blob }
}

/// A tower with one client: every message on a connection of its own, or on one that goes on.
#[derive(Default)]
struct Tower {
    session: Option<Session>,
    stored: Vec<u16>,
    conversation: Conversation,
}

impl Tower {
    fn reconnect(&mut self) {
        self.conversation = Conversation::Fresh;
    }

    fn hear(&mut self, message: &Message) -> Result<Turn, Breach> {
        let turn = self.conversation.hear(&message.encode_frame(), self.session.as_ref())?;
        match &turn.change {
            Change::None => {}
            Change::Put(session) => self.session = Some(*session),
            Change::Record { session, seq, .. } => {
                self.session = Some(*session);
                self.stored.push(*seq);
            }
            Change::Delete => self.session = None,
        }
        Ok(turn)
    }

    /// Code and last number of the answer.
    fn update(&mut self, seq_num: u16, last_applied: u16) -> (u16, u16) {
        let turn = self.hear(&Message::StateUpdate(update(seq_num, last_applied))).unwrap();
        let Message::StateUpdateReply { code, last_applied } = turn.reply else { panic!() };
        assert_eq!(turn.close, !code.is_ok());
        (code.0, last_applied)
    }

    fn create(&mut self, create: CreateSession) -> (u16, u16) {
        self.reconnect();
        let turn = self.hear(&Message::CreateSession(create)).unwrap();
        assert!(turn.close);
        self.reconnect();
        let Message::CreateSessionReply { code, last_applied, data } = turn.reply else { panic!() };
        assert!(data.is_empty());
        (code.0, last_applied)
    }

    fn with_room(max_updates: u16) -> Self {
        let mut tower = Self::default();
        assert_eq!(tower.create(create(2, max_updates)), (0, 0));
        tower
    }
}

/// `None` is a connection that was lost: one row of LND's table.
type Row = (&'static str, u16, &'static [Option<(u16, u16)>], &'static [(u16, u16)]);

/// `stateUpdateTests` of LND's server_test.go: room, (number, last applied), (code, last applied).
const ROWS: &[Row] = &[
    (
        "perm fail after sending seqnum equal lastapplied",
        3,
        &[Some((1, 0)), Some((2, 1)), Some((3, 2)), Some((3, 3))],
        &[(0, 1), (0, 2), (0, 3), (50, 3)],
    ),
    ("skip sequence number", 4, &[Some((2, 0))], &[(72, 0)]),
    (
        "revert to older seqnum",
        4,
        &[Some((1, 0)), Some((2, 0)), Some((1, 0))],
        &[(0, 1), (0, 2), (72, 2)],
    ),
    (
        "revert to older lastapplied",
        4,
        &[Some((1, 0)), Some((2, 1)), Some((3, 2)), Some((4, 1))],
        &[(0, 1), (0, 2), (0, 3), (70, 3)],
    ),
    (
        "resume after disconnect",
        4,
        &[Some((1, 0)), Some((2, 1)), None, Some((3, 2)), Some((4, 3))],
        &[(0, 1), (0, 2), (0, 3), (0, 4)],
    ),
    (
        "resume after disconnect lagging lastapplied",
        4,
        &[Some((1, 0)), Some((2, 0)), None, Some((3, 0)), Some((4, 3))],
        &[(0, 1), (0, 2), (0, 3), (0, 4)],
    ),
    (
        "resume with the last update again",
        4,
        &[Some((1, 0)), Some((2, 0)), None, Some((2, 0)), Some((3, 0)), Some((4, 3))],
        &[(0, 1), (0, 2), (0, 2), (0, 3), (0, 4)],
    ),
    (
        "seqnum exceed maxupdates",
        3,
        &[Some((1, 0)), Some((2, 1)), Some((3, 2)), Some((4, 3))],
        &[(0, 1), (0, 2), (0, 3), (71, 3)],
    ),
    ("perm fail after seqnum 0", 3, &[Some((0, 0))], &[(50, 0)]),
];

#[test]
fn scenario_19_updates_get_the_codes_of_lnds_own_table() {
    for (name, room, updates, answers) in ROWS {
        let mut tower = Tower::with_room(*room);
        let mut answers = answers.iter();
        for update in *updates {
            match update {
                Some((seq, last)) => {
                    let answer = tower.update(*seq, *last);
                    assert_eq!(Some(&answer), answers.next(), "{name}: {seq} after {last}");
                }
                None => tower.reconnect(),
            }
        }
        assert_eq!(answers.next(), None);
    }
}

#[test]
fn scenario_19_a_whole_session_of_1024_updates_then_a_deletion_then_another() {
    let mut tower = Tower::with_room(1_024);
    for seq in 1..=1_024 {
        assert_eq!(tower.update(seq, seq - 1), (0, seq));
    }
    assert_eq!(tower.update(1_025, 1_024), (71, 1_024));
    assert_eq!(tower.stored, (1..=1_024).collect::<Vec<_>>());
    // It is in use, so it cannot be opened again.
    assert_eq!(tower.create(create(2, 1_024)), (60, 1_024));
    let deleted = tower.hear(&Message::DeleteSession).unwrap();
    assert_eq!(deleted.reply, Message::DeleteSessionReply { code: Code::OK });
    tower.reconnect();
    let again = tower.hear(&Message::DeleteSession).unwrap();
    assert_eq!(again.reply, Message::DeleteSessionReply { code: Code(80) });
    assert_eq!(tower.create(create(6, 10)), (0, 0));
    assert_eq!(tower.update(1, 0), (0, 1));
}

#[test]
fn an_unused_session_can_be_given_other_terms() {
    let mut tower = Tower::with_room(1_000);
    assert_eq!(tower.create(create(10, 5)), (0, 0));
    let session = tower.session.unwrap();
    assert_eq!((session.blob_type, session.max_updates), (BlobType::Taproot, 5));
    assert_eq!(Session::decode_exact(&session.encoded()), Ok(session));
}

#[test]
fn terms_that_are_not_taken_get_the_code_lnd_names_for_them() {
    for (asked, code) in [
        (create(0, 1_000), 64),
        (create(3, 1_000), 64),
        (create(14, 1_000), 64),
        (create(0xffff, 1_000), 64),
        (CreateSession { reward_base: 1, ..create(2, 1_000) }, 62),
        (CreateSession { reward_rate: 1, ..create(2, 1_000) }, 62),
        (create(2, 0), 61),
        (CreateSession { sweep_feerate: 249, ..create(2, 1_000) }, 63),
        (CreateSession { sweep_feerate: 250, ..create(2, 1_000) }, 0),
        (create(2, 1), 0),
        (create(6, u16::MAX), 0),
        (create(10, 1), 0),
        (create(26, 1), 0),
    ] {
        assert_eq!(Tower::default().create(asked), (code, 0), "{asked:?}");
    }
}

#[test]
fn updates_without_a_session_or_of_another_length_are_refused() {
    let mut stranger = Tower::default();
    assert_eq!(stranger.update(1, 0), (50, 0));
    let mut tower = Tower::with_room(10);
    tower.update(1, 0);
    for length in [0, 313, 315, 340] {
        tower.reconnect();
        let encrypted_blob = vec![0; length];
        let wrong = StateUpdate { encrypted_blob, ..update(2, 1) };
        let turn = tower.hear(&Message::StateUpdate(wrong)).unwrap();
        let code = Code(40);
        assert_eq!(turn.reply, Message::StateUpdateReply { code, last_applied: 1 });
        assert_eq!(turn.change, Change::None);
        assert!(turn.close);
    }
    // Taproot sessions have the longer blobs.
    let mut tower = Tower::default();
    tower.create(create(26, 10));
    let encrypted_blob = vec![0; 340];
    let right = StateUpdate { encrypted_blob, ..update(1, 0) };
    let turn = tower.hear(&Message::StateUpdate(right)).unwrap();
    assert!(matches!(turn.change, Change::Record { seq: 1, .. }));
}

#[test]
fn a_connection_is_for_one_thing() {
    let creates = Message::CreateSession(create(2, 10));
    let replies = Message::DeleteSessionReply { code: Code::OK };
    let error = Message::Error { code: Code::PERMANENT, data: vec![1] };
    let mut tower = Tower::with_room(10);
    tower.update(1, 0);
    assert_eq!(tower.hear(&creates), Err(Breach::OutOfPlace(602)));
    assert_eq!(tower.hear(&Message::DeleteSession), Err(Breach::OutOfPlace(606)));
    assert_eq!(tower.update(2, 1), (0, 2));
    let last = StateUpdate { is_complete: true, ..update(3, 2) };
    assert!(tower.hear(&Message::StateUpdate(last)).unwrap().close);
    let more = tower.hear(&Message::StateUpdate(update(4, 3)));
    assert_eq!(more, Err(Breach::OutOfPlace(604)));
    tower.reconnect();
    assert_eq!(tower.hear(&replies), Err(Breach::OutOfPlace(607)));
    assert_eq!(tower.hear(&error), Err(Breach::OutOfPlace(601)));
}

fn every_message() -> Vec<Message> {
    vec![
        Message::Error { code: Code::PERMANENT, data: b"no".to_vec() },
        Message::CreateSession(create(6, 1_024)),
        Message::CreateSessionReply { code: Code(60), last_applied: 7, data: vec![1; 300] },
        Message::StateUpdate(StateUpdate { is_complete: true, ..update(3, 2) }),
        Message::StateUpdateReply { code: Code(72), last_applied: 9 },
        Message::DeleteSession,
        Message::DeleteSessionReply { code: Code(80) },
    ]
}

#[test]
fn messages_have_lnds_bytes() {
    let create = Message::CreateSession(create(6, 1_024)).encode_frame();
    // Type, 6, 1024, 0, 0, 10000: LND's MaxPayloadLength of 20 bytes.
    let expected = [0x02, 0x5a, 0, 6, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x27, 0x10];
    assert_eq!(create, expected);
    let update = Message::StateUpdate(update(258, 257)).encode_frame();
    assert_eq!(update.len(), 2 + 21 + 3 + 314);
    assert_eq!(update[..7], [0x02, 0x5c, 1, 2, 1, 1, 0]);
    // The length of the blob, least significant byte first.
    assert_eq!(update[23..26], [0xfd, 0x3a, 0x01]);
    assert_eq!(Message::DeleteSession.encode_frame(), [0x02, 0x5e]);
    let reply = Message::StateUpdateReply { code: Code(72), last_applied: 9 }.encode_frame();
    assert_eq!(reply, [0x02, 0x5d, 0, 72, 0, 9]);
}

#[test]
fn messages_survive_their_encoding_and_bytes_behind_them_are_ignored() {
    for message in every_message() {
        let mut frame = message.encode_frame();
        assert!(Message::is_one(&frame));
        assert_eq!(Message::decode_frame(&frame).as_ref(), Ok(&message));
        for length in 0..frame.len() {
            let cut = Message::decode_frame(&frame[..length]);
            assert!(cut.is_err(), "{message:?} cut to {length}");
        }
        frame.extend([1, 2, 3]);
        assert_eq!(Message::decode_frame(&frame), Ok(message));
    }
    assert_eq!(Message::decode_frame(&[2, 0x58]), Err(DecodeError::UnknownEvenType(600)));
    let long_form_of_a_short_length = [0x02, 0x59, 0, 50, 0xfd, 1, 0, 7];
    let refused = Message::decode_frame(&long_form_of_a_short_length);
    assert_eq!(refused, Err(DecodeError::NotCanonical));
}

proptest! {
    #[test]
    fn no_bytes_make_a_tower_panic_or_store_anything_out_of_order(
        frames in prop::collection::vec(
            (prop::sample::select(vec![602_u16, 604, 604, 604, 606]), any::<[u8; 5]>()), 0..40,
        ),
    ) {
        let mut tower = Tower::with_room(3);
        for (number, [a, b, c, d, e]) in frames {
            let message = match number {
                602 => Message::CreateSession(create(u16::from(a % 32), u16::from(b % 5))),
                604 => Message::StateUpdate(StateUpdate {
                    is_complete: e % 4 == 0,
                    ..update(u16::from(c % 6), u16::from(d % 6))
                }),
                _ => Message::DeleteSession,
            };
            let before = tower.session;
            if tower.hear(&message).is_err() {
                prop_assert_eq!(tower.session, before);
                tower.reconnect();
            }
            if let Some(session) = tower.session {
                prop_assert!(session.last_applied <= session.max_updates);
                prop_assert!(session.client_last_applied <= session.last_applied);
            }
        }
    }
}
