//! One door to each decoder for whoever brings bytes: the tests of this crate and the fuzz targets.
//!
//! Every door takes any bytes and holds the decoder to the same three promises: it does not panic, what
//! it accepted it writes, and what it wrote it reads back as the same value.

pub mod sealed;

use core::fmt::Debug;

use crate::codec::{BigSize, Decode, Encode, Long, Reader, Tu16, Tu32, Tu64};
use crate::feature::{Context, Features};
use crate::id::{NodeId, PaymentHash, ShortChannelId, Signature};
use crate::message::{Address, Addresses, Encoded, Message};
use crate::tlv;
use crate::units::{Msat, Sat};

/// A name for the corpus folder, and the door.
pub type Target = (&'static str, fn(&[u8]));

/// Every door of this crate.
pub const TARGETS: &[Target] = &[
    ("message", message),
    ("integers", integers),
    ("lists", lists),
    ("tlv_stream", tlv_stream),
    ("features", features),
    ("addresses", addresses),
    ("texts", texts),
    ("onion_packet", sealed::onion_packet),
    ("onion_payload", sealed::onion_payload),
    ("recipient_data", sealed::recipient_data),
    ("onion_failure", sealed::onion_failure),
    ("transport", sealed::transport),
];

/// [`Message::decode_frame`]: all messages and everything in them.
pub fn message(frame: &[u8]) {
    let Ok(Some(message)) = Message::decode_frame(frame) else { return };
    let again = message.encode_frame();
    assert_eq!(Message::decode_frame(&again).as_ref(), Ok(&Some(message.clone())));
    assert!(again.len() <= frame.len(), "nothing grows: {}", message.kind());
    // What else is derived from a message must stand any of them, too.
    let _ = (message.channel_id(), format!("{message:?}"));
    if let Message::Init(init) = &message {
        features(init.all_features().as_bytes());
        let _ = init.remote_address();
    }
    if let Message::NodeAnnouncement(node) = &message {
        let _ = (node.digest(), node.alias_text(), node.addresses.known());
    }
    if let Message::ChannelAnnouncement(channel) = &message {
        let _ = channel.digest();
    }
    if let Message::ChannelUpdate(update) = &message {
        let _ = (update.digest(), update.checksum());
    }
}

/// Fixed, variable and truncated integers, amounts among them.
pub fn integers(bytes: &[u8]) {
    exact::<BigSize>(bytes);
    exact::<Tu16>(bytes);
    exact::<Tu32>(bytes);
    exact::<Tu64>(bytes);
    exact::<i64>(bytes);
    exact::<Msat>(bytes);
    exact::<Sat>(bytes);
}

/// Lists with counts, nested and long.
pub fn lists(bytes: &[u8]) {
    exact::<Vec<u8>>(bytes);
    exact::<Vec<Vec<u8>>>(bytes);
    exact::<Vec<Signature>>(bytes);
    exact::<Long<Option<u16>>>(bytes);
    exact::<Encoded<ShortChannelId>>(bytes);
    exact::<Encoded<BigSize>>(bytes);
}

/// A TLV stream whose odd types are unknown and whose even ones are kept.
pub fn tlv_stream(bytes: &[u8]) {
    let read = |bytes: &[u8]| {
        let mut records: Vec<(u64, Vec<u8>)> = Vec::new();
        let stream = tlv::each(&mut Reader::new(bytes), |kind, value| {
            if kind % 2 == 0 {
                records.push((kind, value.rest().to_vec()));
            }
            Ok(kind % 2 == 0)
        });
        stream.map(|()| records)
    };
    let Ok(records) = read(bytes) else { return };
    let mut again = Vec::new();
    for (kind, value) in &records {
        tlv::put(&mut again, *kind, Some(value));
    }
    assert_eq!(read(&again), Ok(records));
}

/// A feature vector and every question that can be asked of it.
pub fn features(bytes: &[u8]) {
    let features = Features::from_wire(bytes.to_vec());
    let again = Features::from_bits(features.bits());
    assert_eq!(again, features, "a vector is its bits");
    assert_eq!(features.union(&features), features);
    let _ = (features.demands_beyond(&Features::init()), features.unknown_even());
    let _ =
        (features.missing_dependency(), features.misplaced(Context::Init), features.to_string());
}

/// One address descriptor, and a row of them.
pub fn addresses(bytes: &[u8]) {
    exact::<Address>(bytes);
    if let Ok(known) = Addresses(bytes.to_vec()).known() {
        let again = Addresses::new(known.clone()).known();
        assert_eq!(again.map(|known| known.len()), Ok(known.len()));
        let _ = known.iter().map(ToString::to_string).collect::<Vec<_>>();
    }
}

/// Names as text.
pub fn texts(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    if let Ok(channel) = text.parse::<ShortChannelId>() {
        assert_eq!(channel.to_string().parse(), Ok(channel));
    }
    if let Ok(hash) = text.parse::<PaymentHash>() {
        assert_eq!(hash.to_string(), text.to_lowercase());
    }
    if let Ok(node) = text.parse::<NodeId>() {
        assert_eq!(node.to_string(), text.to_lowercase());
    }
}

/// Types with one form for each value: what decodes encodes to the same bytes.
fn exact<T: Encode + Decode + Debug + PartialEq>(bytes: &[u8]) {
    if let Ok(value) = T::decode_exact(bytes) {
        assert_eq!(value.encoded(), bytes, "{value:?} has two forms");
    }
}

#[cfg(test)]
mod tests;
