//! What messages are made of: records, HTLCs, how far a claim is.

use bitcoin::{OutPoint, Txid};
use secp256k1::PublicKey;
use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::tlv::Record;
use wire::units::{BlockHeight, Sat};

use crate::hint::Hint;
use crate::kit::replica::Secret;

/// A record as it travels: by what to find it, and what only the breach opens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sealed {
    /// The hint of the revoked commitment's id.
    pub hint: Hint,
    /// The ciphertext with its tag.
    pub ciphertext: Vec<u8>,
}

impl Encode for Sealed {
    /// A `u16` length of both, the hint, the ciphertext; cut where the length ends.
    fn encode(&self, out: &mut Vec<u8>) {
        let length = u16::try_from(self.ciphertext.len().saturating_add(16)).unwrap_or(u16::MAX);
        length.encode(out);
        self.hint.0.encode(out);
        out.extend(self.ciphertext.iter().take(usize::from(length).saturating_sub(16)));
    }
}

impl Decode for Sealed {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = usize::from(u16::decode(r)?);
        let mut inner = Reader::new(r.take(length)?);
        let hint = Hint(inner.array()?);
        Ok(Self { hint, ciphertext: inner.rest().to_vec() })
    }
}

/// An HTLC that any state of a channel may have shown: what its script needs.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HtlcAdd {
    /// `RIPEMD160` of the payment hash.
    pub hash: [u8; 20],
    /// The height from which its offerer may take it back.
    pub cltv_expiry: BlockHeight,
    /// Whether the cheater (the owner of the commitments) offered it.
    pub offered: bool,
}

impl Encode for HtlcAdd {
    fn encode(&self, out: &mut Vec<u8>) {
        self.hash.encode(out);
        self.cltv_expiry.encode(out);
        self.offered.encode(out);
    }
}

impl Decode for HtlcAdd {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            hash: r.array()?,
            cltv_expiry: BlockHeight::decode(r)?,
            offered: bool::decode(r)?,
        })
    }
}

/// What a valid commitment of the peer's may show now, and what claims it: for whoever sleeps while the peer
/// closes honestly.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReplicaNow {
    /// The private half of our `htlc_basepoint`.
    pub htlc_key: Secret,
    /// The number of the peer's oldest commitment that is not revoked.
    pub number: u64,
    /// The points of that one and of those after it: one or two.
    pub points: Vec<PublicKey>,
    /// Everything in flight.
    pub htlcs: Vec<LiveHtlc>,
}

/// An HTLC in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LiveHtlc {
    /// What its script needs.
    pub htlc: HtlcAdd,
    /// What claims it, if the peer offered it and we know.
    pub preimage: Option<[u8; 32]>,
}

impl Encode for ReplicaNow {
    fn encode(&self, out: &mut Vec<u8>) {
        self.htlc_key.expose().encode(out);
        self.number.encode(out);
        self.points.encode(out);
        self.htlcs.encode(out);
    }
}

impl Decode for ReplicaNow {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            htlc_key: Secret::new(r.array()?),
            number: u64::decode(r)?,
            points: Vec::decode(r)?,
            htlcs: Vec::decode(r)?,
        })
    }
}

impl Record for ReplicaNow {
    fn put(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::decode(r)
    }
}

impl Encode for LiveHtlc {
    fn encode(&self, out: &mut Vec<u8>) {
        self.htlc.encode(out);
        self.preimage.encode(out);
    }
}

impl Decode for LiveHtlc {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { htlc: HtlcAdd::decode(r)?, preimage: Option::decode(r)? })
    }
}

/// How far the claim on one output is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ClaimState {
    /// The breach was seen.
    Seen,
    /// The transaction stands; nobody has it yet, or nobody took it.
    Built,
    /// The network has the transaction.
    Sent,
    /// It is in a block.
    Mined,
    /// It is so deep that nothing brings it back.
    Final,
    /// The cheater was faster.
    TakenByThem,
    /// Somebody else took it for the client.
    DoneByOther,
    /// There was nothing to be done with the record.
    Failed,
}

impl Encode for ClaimState {
    fn encode(&self, out: &mut Vec<u8>) {
        let number: u8 = match self {
            Self::Seen => 0,
            Self::Built => 1,
            Self::Sent => 2,
            Self::Mined => 3,
            Self::Final => 4,
            Self::TakenByThem => 5,
            Self::DoneByOther => 6,
            Self::Failed => 7,
        };
        number.encode(out);
    }
}

impl Decode for ClaimState {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            0 => Self::Seen,
            1 => Self::Built,
            2 => Self::Sent,
            3 => Self::Mined,
            4 => Self::Final,
            5 => Self::TakenByThem,
            6 => Self::DoneByOther,
            7 => Self::Failed,
            _ => return Err(DecodeError::Range),
        })
    }
}

/// A claim as its client is told of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClaimStatus {
    /// The output that is taken.
    pub outpoint: OutPoint,
    /// What it holds.
    pub value: Sat,
    /// How far it is.
    pub state: ClaimState,
    /// The transaction that takes it, all zero if there is none yet.
    pub justice: Txid,
    /// The block of that transaction, 0 if it has none.
    pub height: BlockHeight,
}

impl Encode for ClaimStatus {
    fn encode(&self, out: &mut Vec<u8>) {
        self.outpoint.encode(out);
        self.value.encode(out);
        self.state.encode(out);
        self.justice.encode(out);
        self.height.encode(out);
    }
}

impl Decode for ClaimStatus {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            outpoint: OutPoint::decode(r)?,
            value: Sat::decode(r)?,
            state: ClaimState::decode(r)?,
            justice: Txid::decode(r)?,
            height: BlockHeight::decode(r)?,
        })
    }
}
