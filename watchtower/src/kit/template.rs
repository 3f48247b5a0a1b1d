//! What all records of a sealed session have in common, said once: keys that are public anyway, the prices
//! of the ladder, and the one script that everything is paid to.
//!
//! No private key can be written here, so a tower cannot be given one by mistake.

use bitcoin::ScriptBuf;
use bitcoin::transaction::Version;
use secp256k1::PublicKey;
use thiserror::Error;
use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::units::{FeeratePerKw, Sat};

/// `option_static_remotekey` with `option_anchors`, the only channels we have.
pub const CHANNEL_ANCHORS: u16 = 1;

/// The most rungs of a ladder.
pub const RUNGS_MAX: usize = 4;

/// The fee of a rung above the first is at most this part of the output.
const SHARE_OF_OUTPUT: u64 = 4;

/// A replacement pays at least so much more per 1,000 weight units: 1 sat per virtual byte.
const INCREMENT_PER_KW: u64 = 250;

/// What one signature covers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Covers {
    /// The whole transaction: nobody can add to it.
    All,
    /// Its input and the output at the same place: anybody can add others.
    Pair,
}

impl Covers {
    /// The byte behind the signature.
    pub const fn sighash(self) -> u8 {
        match self {
            Self::All => 0x01,
            Self::Pair => 0x83,
        }
    }
}

/// A price at which `to_local` is signed for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Step {
    /// What the transaction pays if it is alone.
    pub feerate: FeeratePerKw,
    /// What the signature covers.
    pub covers: Covers,
}

/// A session with a sealed kit. Its records only make sense beside it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template {
    /// [`CHANNEL_ANCHORS`].
    pub channel_type: u16,
    /// Ours.
    pub revocation_basepoint: PublicKey,
    /// The cheater's `delayed_payment_basepoint`.
    pub delayed_basepoint: PublicKey,
    /// Our `htlc_basepoint`.
    pub our_htlc_basepoint: PublicKey,
    /// The cheater's `htlc_basepoint`.
    pub their_htlc_basepoint: PublicKey,
    /// Blocks for which the cheater's own output waits.
    pub to_self_delay: u16,
    /// The version of every justice transaction: 2, or 3 (TRUC).
    pub tx_version: u8,
    /// Prices, rising; HTLCs are signed for at the first. One to [`RUNGS_MAX`].
    pub ladder: Vec<Step>,
    /// Where everything goes: a version 0 or 1 witness program.
    pub sweep_script: ScriptBuf,
}

/// Why a template is none.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum TemplateError {
    /// The bytes are no template.
    #[error("not a template: {0}")]
    Bytes(#[from] DecodeError),
    /// A kind of channel that this build does not know.
    #[error("unknown channel type {0}")]
    ChannelType(u16),
    /// No price, too many, or not rising.
    #[error("a ladder has one to four rising prices")]
    Ladder,
    /// A version of transactions that nobody relays.
    #[error("transactions have version 2 or 3, not {0}")]
    TxVersion(u8),
    /// A script that is no witness program of version 0 or 1.
    #[error("the sweep script is no standard witness program")]
    SweepScript,
}

impl Template {
    /// Errors for what no honest client sends. Whoever gets one from outside calls this first.
    pub fn check(&self) -> Result<(), TemplateError> {
        if self.channel_type != CHANNEL_ANCHORS {
            return Err(TemplateError::ChannelType(self.channel_type));
        }
        if !matches!(self.tx_version, 2 | 3) {
            return Err(TemplateError::TxVersion(self.tx_version));
        }
        let rising = self.ladder.is_sorted_by(|lower, higher| lower.feerate <= higher.feerate);
        if self.ladder.is_empty() || self.ladder.len() > RUNGS_MAX || !rising {
            return Err(TemplateError::Ladder);
        }
        let script = &self.sweep_script;
        if script.is_p2wpkh() || script.is_p2wsh() || script.is_p2tr() {
            Ok(())
        } else {
            Err(TemplateError::SweepScript)
        }
    }

    /// Reads a template from outside, with [`Self::check`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TemplateError> {
        let template = Self::decode_exact(bytes)?;
        template.check()?;
        Ok(template)
    }

    /// The version as transactions have it.
    pub fn version(&self) -> Version {
        Version(i32::from(self.tx_version))
    }

    /// The least that an output to the sweep script may hold.
    pub fn dust(&self) -> Sat {
        self.sweep_script.minimal_non_dust()
    }

    /// The rungs that an output of `value` has, cheapest first, with what each pays to the script:
    /// `weight` is that of the transaction with this input and one output.
    ///
    /// The first pays its price; the others at most a quarter of the output, and each at least one satoshi
    /// per virtual byte more than the one before, so that it replaces it. Client and tower compute the
    /// same, so the record needs no amounts.
    pub fn rungs(&self, value: Sat, weight: u64) -> Vec<(Step, Sat)> {
        let mut rungs: Vec<(Step, Sat)> = Vec::with_capacity(self.ladder.len());
        let mut last_fee: Option<Sat> = None;
        let increment = fee(INCREMENT_PER_KW, weight);
        for step in &self.ladder {
            let full = fee(u64::from(step.feerate.0), weight);
            let fee = match last_fee {
                None => full,
                Some(_) => full.min(Sat::from_sat(value.to_sat() / SHARE_OF_OUTPUT)),
            };
            let dearer = last_fee.is_none_or(|last| {
                last.to_sat().saturating_add(increment.to_sat()) <= fee.to_sat()
            });
            let Some(left) = value.checked_sub(fee).filter(|left| *left >= self.dust()) else {
                continue;
            };
            if dearer {
                last_fee = Some(fee);
                rungs.push((*step, left));
            }
        }
        rungs
    }

    /// What an HTLC output of `value` pays to the script, at the first price; `None` if that is too little
    /// to be worth a signature (less than twice the dust limit).
    pub fn htlc_output(&self, value: Sat, weight: u64) -> Option<Sat> {
        let first = self.ladder.first()?;
        let left = value.checked_sub(fee(u64::from(first.feerate.0), weight))?;
        (left.to_sat() >= self.dust().to_sat().saturating_mul(2)).then_some(left)
    }
}

/// `weight` at so many satoshis per 1,000 weight units, rounded up.
fn fee(per_kw: u64, weight: u64) -> Sat {
    Sat::from_sat(per_kw.saturating_mul(weight).div_ceil(1_000))
}

impl Encode for Template {
    fn encode(&self, out: &mut Vec<u8>) {
        self.channel_type.encode(out);
        self.revocation_basepoint.encode(out);
        self.delayed_basepoint.encode(out);
        self.our_htlc_basepoint.encode(out);
        self.their_htlc_basepoint.encode(out);
        self.to_self_delay.encode(out);
        self.tx_version.encode(out);
        let rungs = u8::try_from(self.ladder.len()).unwrap_or(u8::MAX);
        rungs.encode(out);
        for step in self.ladder.iter().take(usize::from(rungs)) {
            step.feerate.encode(out);
            step.covers.sighash().encode(out);
        }
        let length = u8::try_from(self.sweep_script.len()).unwrap_or(u8::MAX);
        length.encode(out);
        out.extend(self.sweep_script.as_bytes().iter().take(usize::from(length)));
    }
}

impl Decode for Template {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let channel_type = u16::decode(r)?;
        let mut point = || PublicKey::decode(r);
        let (revocation_basepoint, delayed_basepoint) = (point()?, point()?);
        let (our_htlc_basepoint, their_htlc_basepoint) = (point()?, point()?);
        let to_self_delay = u16::decode(r)?;
        let tx_version = u8::decode(r)?;
        let rungs = u8::decode(r)?;
        let mut ladder = Vec::new();
        for _ in 0..rungs {
            let feerate = FeeratePerKw::decode(r)?;
            let covers = match u8::decode(r)? {
                0x01 => Covers::All,
                0x83 => Covers::Pair,
                _ => return Err(DecodeError::Range),
            };
            ladder.push(Step { feerate, covers });
        }
        let length = usize::from(u8::decode(r)?);
        let sweep_script = ScriptBuf::from_bytes(r.take(length)?.to_vec());
        Ok(Self {
            channel_type,
            revocation_basepoint,
            delayed_basepoint,
            our_htlc_basepoint,
            their_htlc_basepoint,
            to_self_delay,
            tx_version,
            ladder,
            sweep_script,
        })
    }
}
