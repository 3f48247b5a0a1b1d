//! Values made from a seed, for tests: every type of the wire can make one.

use bitcoin::hashes::Hash;
use bitcoin::{ScriptBuf, Txid};
use secp256k1::{PublicKey, SECP256K1, SecretKey};

use crate::codec::{BigSize, Rest};
use crate::feature::Features;
use crate::id::{
    ChannelId, NodeId, PaymentHash, PaymentSecret, Preimage, ShortChannelId, Signature,
};
use crate::message::{AttributionData, Body, Message, OnionPacket};
use crate::units::{BlockHeight, FeeratePerKw, Msat, Sat};

/// A stream of numbers that is the same for the same start (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.next().to_be_bytes()[0])
    }
}

/// Makes any of its values, edges included.
pub(crate) trait Sample {
    fn sample(seed: &mut Seed) -> Self;
}

/// Encodes and decodes a hundred values of a message, alone and in a frame.
pub(crate) fn round_trip<T: Body + Sample + Clone + PartialEq + core::fmt::Debug>() {
    let mut seed = Seed(u64::from(T::NUMBER));
    for _ in 0..100 {
        let body = T::sample(&mut seed);
        assert_eq!(T::decode_exact(&body.encoded()), Ok(body.clone()), "{}", T::KIND);

        let message: Message = body.into();
        assert_eq!((message.number(), message.kind()), (T::NUMBER, T::KIND));
        let frame = message.encode_frame();
        assert_eq!(frame[..2], T::NUMBER.to_be_bytes());
        assert_eq!(Message::decode_frame(&frame), Ok(Some(message)));
    }
}

macro_rules! numbers {
    ($($int:ty),*) => { $(
        impl Sample for $int {
            fn sample(seed: &mut Seed) -> Self {
                match seed.below(4) {
                    0 => <$int>::MIN,
                    1 => <$int>::MAX,
                    _ => seed.next() as $int,
                }
            }
        }
    )* };
}

numbers!(u8, u16, u32, u64, i64);

macro_rules! from_bytes {
    ($($name:ty),*) => { $(
        impl Sample for $name {
            fn sample(seed: &mut Seed) -> Self {
                seed.bytes().into()
            }
        }
    )* };
}

from_bytes!(ChannelId, PaymentHash, PaymentSecret, Preimage, NodeId, Signature);
from_bytes!(OnionPacket, AttributionData);

impl Sample for () {
    fn sample(_: &mut Seed) -> Self {}
}

impl<const N: usize> Sample for [u8; N] {
    fn sample(seed: &mut Seed) -> Self {
        seed.bytes()
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(seed: &mut Seed) -> Self {
        (seed.below(2) == 1).then(|| T::sample(seed))
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(seed: &mut Seed) -> Self {
        // Around 253 a TLV length takes three bytes instead of one.
        let length = [0, 1, 3, 40, 252, 253, 300][seed.below(7) as usize];
        (0..length).map(|_| T::sample(seed)).collect()
    }
}

impl Sample for Rest {
    fn sample(seed: &mut Seed) -> Self {
        Self(Vec::sample(seed))
    }
}

impl Sample for Msat {
    fn sample(seed: &mut Seed) -> Self {
        Self::new(seed.next() % (Self::MAX.to_u64() + 1)).unwrap()
    }
}

impl Sample for Sat {
    fn sample(seed: &mut Seed) -> Self {
        Self::from_sat(seed.next() % (Self::MAX_MONEY.to_sat() + 1))
    }
}

impl Sample for FeeratePerKw {
    fn sample(seed: &mut Seed) -> Self {
        Self(u32::sample(seed))
    }
}

impl Sample for BlockHeight {
    fn sample(seed: &mut Seed) -> Self {
        Self(u32::sample(seed))
    }
}

impl Sample for ShortChannelId {
    fn sample(seed: &mut Seed) -> Self {
        Self::from_u64(seed.next())
    }
}

impl Sample for PublicKey {
    fn sample(seed: &mut Seed) -> Self {
        SecretKey::from_slice(&seed.bytes::<32>()).unwrap().public_key(SECP256K1)
    }
}

impl Sample for Txid {
    fn sample(seed: &mut Seed) -> Self {
        Self::from_byte_array(seed.bytes())
    }
}

impl Sample for ScriptBuf {
    fn sample(seed: &mut Seed) -> Self {
        Self::from_bytes(Vec::sample(seed))
    }
}

impl Sample for Features {
    fn sample(seed: &mut Seed) -> Self {
        Self::from_wire(Vec::sample(seed))
    }
}

impl Sample for BigSize {
    fn sample(seed: &mut Seed) -> Self {
        Self(
            [0, 0xfc, 0xfd, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, seed.next()]
                [seed.below(8) as usize],
        )
    }
}
