//! Blinded routes to us and to others, and the text that carries them from a payee to a payer. BOLT 4 § Route Blinding.
//!
//! BOLT 11 has no field for blinded routes. Until there are offers (BOLT 12) a payee hands out a [`Bundle`]: a TLV
//! stream with the numbers that a BOLT 12 invoice gives the same fields, without offer and signature, and with a
//! checksum; as text, in bech32 characters behind `vbi1`. It is ours alone: no other implementation reads it.
//!
//! Not here: what an HTLC in such a route is told (`channels::blinded`) and how it fails (`switch::blinded`).

mod bundle;
mod make;
mod tail;

#[cfg(test)]
mod tests;

pub use bundle::{Bundle, is_bundle};
pub use make::{Gate, Wish, gates, route};
pub use tail::{Ending, Tail};

use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::onion::blind::{BlindedHop, BlindedPath, PathCost};
use wire::units::{CltvDelta, Msat};

/// A blinded route and what it costs, as its sender sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BlindedRoute {
    /// The route.
    pub path: BlindedPath,
    /// What all its hops take, and the blocks they want, with the payee's own.
    pub cost: PathCost,
    /// The least that passes.
    pub htlc_minimum: Msat,
    /// The most that passes in one HTLC.
    pub htlc_maximum: Msat,
}

/// A `blinded_path`, then a `blinded_payinfo` without features.
impl Encode for BlindedRoute {
    fn encode(&self, out: &mut Vec<u8>) {
        self.path.first_node_id.encode(out);
        self.path.first_path_key.encode(out);
        u8::try_from(self.path.path.len()).unwrap_or(u8::MAX).encode(out);
        for hop in &self.path.path {
            hop.blinded_node_id.encode(out);
            hop.encrypted_recipient_data.encode(out);
        }
        self.cost.fee_base_msat.encode(out);
        self.cost.fee_proportional_millionths.encode(out);
        self.cost.cltv_expiry_delta.encode(out);
        self.htlc_minimum.encode(out);
        self.htlc_maximum.encode(out);
        Vec::<u8>::new().encode(out);
    }
}

impl Decode for BlindedRoute {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let first_node_id = Decode::decode(r)?;
        let first_path_key = Decode::decode(r)?;
        let hops = u8::decode(r)?;
        if hops == 0 {
            return Err(DecodeError::Range);
        }
        let mut path = Vec::new();
        for _ in 0..hops {
            let blinded_node_id = Decode::decode(r)?;
            path.push(BlindedHop { blinded_node_id, encrypted_recipient_data: Decode::decode(r)? });
        }
        let cost = PathCost {
            fee_base_msat: Decode::decode(r)?,
            fee_proportional_millionths: Decode::decode(r)?,
            cltv_expiry_delta: CltvDelta::decode(r)?,
        };
        let (htlc_minimum, htlc_maximum) = (Decode::decode(r)?, Decode::decode(r)?);
        // BOLT 12: "MUST NOT use the corresponding `invoice_paths`.`path` if `payinfo`.`features` has any unknown even
        // bits set." We know none and take odd ones for a sign of something newer, too.
        let features = Vec::<u8>::decode(r)?;
        if features.iter().any(|byte| *byte != 0) {
            return Err(DecodeError::Range);
        }
        let path = BlindedPath { first_node_id, first_path_key, path };
        Ok(Self { path, cost, htlc_minimum, htlc_maximum })
    }
}
