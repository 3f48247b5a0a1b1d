//! The same bytes through another implementation's codec: LDK reads what we write and writes it back.
//!
//! Values that LDK does not keep as they are (texts, flags that it reads as booleans, records that it
//! does not know) are brought into its domain first; all others stay as the seed made them.

use bitcoin::consensus::serialize;
use bitcoin::{Amount, Transaction, TxOut};
use lightning::ln::msgs;
use lightning::util::ser::{LengthReadable, Writeable};
use secp256k1::PublicKey;

use super::*;
use crate::codec::Encode;
use crate::feature::Features;
use crate::sample::{Sample, Seed};

/// LDK's bytes for what it reads in ours.
fn through<T: LengthReadable + Writeable>(body: &[u8]) -> Result<Vec<u8>, msgs::DecodeError> {
    let mut rest = body;
    let message = T::read_from_fixed_length_buffer(&mut rest)?;
    assert!(rest.is_empty(), "LDK leaves {} bytes", rest.len());
    Ok(message.encode())
}

fn ldk(kind: &str, body: &[u8]) -> Result<Vec<u8>, msgs::DecodeError> {
    macro_rules! by_kind {
        ($( $name:literal => $message:ident, )*) => {
            match kind {
                $( $name => through::<msgs::$message>(body), )*
                other => panic!("{other} has no counterpart"),
            }
        };
    }
    by_kind! {
        "init" => Init,
        "error" => ErrorMessage,
        "warning" => WarningMessage,
        "ping" => Ping,
        "pong" => Pong,
        "peer_storage" => PeerStorage,
        "peer_storage_retrieval" => PeerStorageRetrieval,
        "stfu" => Stfu,
        "open_channel" => OpenChannel,
        "accept_channel" => AcceptChannel,
        "funding_created" => FundingCreated,
        "funding_signed" => FundingSigned,
        "channel_ready" => ChannelReady,
        "shutdown" => Shutdown,
        "closing_signed" => ClosingSigned,
        "closing_complete" => ClosingComplete,
        "closing_sig" => ClosingSig,
        "open_channel2" => OpenChannelV2,
        "accept_channel2" => AcceptChannelV2,
        "tx_add_input" => TxAddInput,
        "tx_add_output" => TxAddOutput,
        "tx_remove_input" => TxRemoveInput,
        "tx_remove_output" => TxRemoveOutput,
        "tx_complete" => TxComplete,
        "tx_signatures" => TxSignatures,
        "tx_init_rbf" => TxInitRbf,
        "tx_ack_rbf" => TxAckRbf,
        "tx_abort" => TxAbort,
        "splice_init" => SpliceInit,
        "splice_ack" => SpliceAck,
        "splice_locked" => SpliceLocked,
        "start_batch" => StartBatch,
        "update_add_htlc" => UpdateAddHTLC,
        "update_fulfill_htlc" => UpdateFulfillHTLC,
        "update_fail_htlc" => UpdateFailHTLC,
        "update_fail_malformed_htlc" => UpdateFailMalformedHTLC,
        "commitment_signed" => CommitmentSigned,
        "revoke_and_ack" => RevokeAndACK,
        "update_fee" => UpdateFee,
        "channel_reestablish" => ChannelReestablish,
        "announcement_signatures" => AnnouncementSignatures,
        "channel_announcement" => ChannelAnnouncement,
        "node_announcement" => NodeAnnouncement,
        "channel_update" => ChannelUpdate,
        "query_short_channel_ids" => QueryShortChannelIds,
        "reply_short_channel_ids_end" => ReplyShortChannelIdsEnd,
        "query_channel_range" => QueryChannelRange,
        "reply_channel_range" => ReplyChannelRange,
        "gossip_timestamp_filter" => GossipTimestampFilter,
        "onion_message" => OnionMessage,
    }
}

/// The message with nothing in it that LDK would rewrite.
#[allow(clippy::wildcard_enum_match_arm, reason = "most messages need nothing")]
fn in_domain(message: Message, seed: &mut Seed) -> Message {
    match message {
        Message::Init(mut init) => {
            // LDK repeats bits 0 to 13 in `globalfeatures`.
            init.features = Features::init();
            init.globalfeatures = Features::from_wire(vec![0x19, 0x81]);
            let address = Address::Dns(Hostname::new("node.example").unwrap(), 9735);
            init.remote_addr = init.remote_addr.map(|_| address.encoded());
            init.into()
        }
        Message::Error(m) => Error { data: b"no".to_vec(), ..m }.into(),
        Message::Warning(m) => Warning { data: b"well".to_vec(), ..m }.into(),
        Message::Ping(m) => Ping { ignored: vec![0; m.ignored.len()], ..m }.into(),
        Message::Pong(m) => Pong { ignored: vec![0; m.ignored.len()] }.into(),
        Message::Stfu(m) => Stfu { initiator: m.initiator & 1, ..m }.into(),
        Message::TxAddInput(m) => TxAddInput { prevtx: transaction(), ..m }.into(),
        Message::TxSignatures(mut m) => {
            m.witnesses = vec![vec![2, 1, 0xaa, 2, 0xbb, 0xcc], vec![0]];
            m.into()
        }
        Message::TxInitRbf(m) => TxInitRbf { require_confirmed_inputs: None, ..m }.into(),
        Message::TxAckRbf(m) => TxAckRbf { require_confirmed_inputs: None, ..m }.into(),
        Message::UpdateAddHtlc(mut m) => {
            // LDK leaves out an experiment that it takes no part in.
            m.accountable = None;
            // LDK keeps the ephemeral key as a point.
            let key = PublicKey::sample(seed).serialize();
            m.onion_routing_packet.0[1..34].copy_from_slice(&key);
            m.into()
        }
        Message::OnionMessage(mut m) => {
            let key = PublicKey::sample(seed).serialize();
            m.onion_message_packet = [&[0][..], &key, &seed.bytes::<1_332>()].concat();
            m.into()
        }
        Message::NodeAnnouncement(mut m) => {
            m.addresses = Addresses::new(vec![
                Address::Ipv4([127, 0, 0, 1].into(), 9735),
                Address::Ipv6([7; 16].into(), 9735),
                Address::TorV3(seed.bytes(), 9735),
                Address::Dns(Hostname::new("node.example").unwrap(), 9735),
            ]);
            Message::NodeAnnouncement(m)
        }
        Message::ChannelUpdate(mut m) => {
            m.message_flags |= 1;
            Message::ChannelUpdate(m)
        }
        Message::QueryShortChannelIds(m) => QueryShortChannelIds { query_flags: None, ..m }.into(),
        Message::ReplyShortChannelIdsEnd(m) => {
            ReplyShortChannelIdsEnd { full_information: m.full_information & 1, ..m }.into()
        }
        Message::QueryChannelRange(m) => QueryChannelRange { query_option_flags: None, ..m }.into(),
        Message::ReplyChannelRange(m) => ReplyChannelRange {
            sync_complete: m.sync_complete & 1,
            timestamps_tlv: None,
            checksums_tlv: None,
            ..m
        }
        .into(),
        other => other,
    }
}

fn transaction() -> Vec<u8> {
    serialize(&Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![bitcoin::TxIn::default()],
        output: vec![TxOut { value: Amount::from_sat(1_000), script_pubkey: Default::default() }],
    })
}

#[test]
fn ldk_reads_what_we_write_and_writes_it_back() {
    let mut seed = Seed(1_000);
    for _ in 0..60 {
        for message in samples(&mut seed) {
            let message = in_domain(message, &mut seed);
            let frame = message.encode_frame();
            let (kind, body) = (message.kind(), &frame[2..]);
            match ldk(kind, body) {
                Ok(bytes) => assert_eq!(bytes, body, "{kind}: {message:?}"),
                Err(error) => panic!("{kind}: {error:?} in {message:?}"),
            }
        }
    }
}
