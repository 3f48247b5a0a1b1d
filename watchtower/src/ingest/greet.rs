//! `Init` both ways. LND's client speaks first, and the tower answers; both then check chain and features.

use wire::codec::Decode;

use super::frames::{FrameReader, FrameWriter, LineFault};
use crate::message::{Caps, FEATURE_WT2_OPTIONAL, FEATURE_WT2_REQUIRED, Init, Offer};

/// The longest `Init`.
const INIT_MAX: usize = 1_024;
/// Features of LND that a client may require of us: altruist sessions, anchor and taproot blobs.
const KNOWN: [usize; 4] = [0, 2, 4, FEATURE_WT2_REQUIRED];
/// What we say we can.
const OURS: [usize; 4] = [1, 3, 5, FEATURE_WT2_OPTIONAL];

/// Greets a client. Whether it speaks our messages.
pub(crate) async fn greet(
    reader: &mut FrameReader,
    writer: &mut FrameWriter,
    chain_hash: [u8; 32],
    (caps, offer): (Caps, Offer),
) -> Result<bool, LineFault> {
    let frame = reader.read().await?;
    if frame.len() > INIT_MAX {
        return Err(LineFault::Limit("the first message"));
    }
    let mut r = wire::codec::Reader::new(&frame);
    let number = u16::decode(&mut r).map_err(|e| LineFault::Message(e.to_string()))?;
    if number != Init::NUMBER {
        return Err(LineFault::Message("the first message is not init".to_owned()));
    }
    let theirs = Init::decode_frame(&frame).map_err(|e| LineFault::Message(e.to_string()))?;
    let mut ours = Init { chain_hash, caps: Some(caps), offer: Some(offer), ..Init::default() };
    for bit in OURS {
        ours.set(bit);
    }
    writer.say(&ours.encode_frame()).await?;
    if theirs.chain_hash != chain_hash {
        return Err(LineFault::Unfit("the chain"));
    }
    let bits = theirs.features.len().saturating_mul(8);
    if (0..bits).step_by(2).any(|bit| theirs.has(bit) && !KNOWN.contains(&bit)) {
        return Err(LineFault::Unfit("a required feature"));
    }
    Ok(theirs.has(FEATURE_WT2_OPTIONAL) || theirs.has(FEATURE_WT2_REQUIRED))
}
