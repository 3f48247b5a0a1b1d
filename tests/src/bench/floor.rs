//! What no implementation can save: the primitives that BOLT 2, 3 and 4 demand for a payment over one
//! channel with anchors, measured on this machine, and what they add up to.
//!
//! For a batch of k payments: per payment one point from a secret (onion), two ECDH (onion built and
//! peeled) and, when not dust, two HTLC signatures and two verifications; per batch four commitment
//! signatures with their verifications, eight points from secrets (revocation), the keys of four
//! commitments derived on both sides, and six syncs, three a node. Hashing, framing and TCP are left out:
//! together a few microseconds.

use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::ecdh::SharedSecret;
use bitcoin::secp256k1::{All, Message, PublicKey, Scalar, Secp256k1, SecretKey};
use lightning::types::payment::PaymentSecret;
use lightning_invoice::{Bolt11Invoice, Currency, InvoiceBuilder};
use std::fs::OpenOptions;
use std::hint::black_box;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long each primitive is repeated.
const LONG: Duration = Duration::from_millis(60);
/// Bytes of one journal write.
const BLOCK: usize = 4_096;
/// Blocks in the file that is written over.
const BLOCKS: usize = 512;

/// What the primitives take here, microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Primitives {
    /// An ECDSA signature without grinding.
    pub sign: f64,
    /// Its verification.
    pub verify: f64,
    /// An ECDH.
    pub ecdh: f64,
    /// A public key from a secret one.
    pub point: f64,
    /// A public key times a scalar.
    pub multiply: f64,
    /// A public key plus a scalar's point.
    pub tweak: f64,
    /// Two public keys added.
    pub add: f64,
    /// A BOLT 11 invoice read and its signature checked; not mandatory, but what a user who pays hands in.
    pub invoice: f64,
    /// 4 KiB written over in a file that has its blocks, then `fdatasync`.
    pub sync: f64,
}

/// Mandatory time of one payment in a batch, microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mandatory {
    /// Signatures, of commitments and HTLCs.
    pub signing: f64,
    /// Verifications of the same.
    pub verifying: f64,
    /// Onion built and peeled.
    pub onion: f64,
    /// Per-commitment secrets and keys.
    pub keys: f64,
    /// Syncs of both nodes one after another.
    pub syncing: f64,
}

impl Mandatory {
    /// All but the syncs.
    pub const fn cpu(&self) -> f64 {
        self.signing + self.verifying + self.onion + self.keys
    }

    /// Payments a second when nothing overlaps.
    pub const fn rate_serial(&self) -> f64 {
        1e6 / (self.cpu() + self.syncing)
    }

    /// Payments a second when the two nodes overlap without a gap.
    pub const fn rate_overlapped(&self) -> f64 {
        2e6 / (self.cpu() + self.syncing)
    }
}

impl Primitives {
    /// Measures them all; `dir` is where stores live.
    ///
    /// # Panics
    /// When `dir` cannot be written.
    pub fn measure(dir: &Path) -> Self {
        let secp = Secp256k1::new();
        let secret = SecretKey::from_slice(&[7; 32]).expect("a valid key");
        let public = PublicKey::from_secret_key(&secp, &secret);
        let other =
            PublicKey::from_secret_key(&secp, &SecretKey::from_slice(&[9; 32]).expect("valid"));
        let message = Message::from_digest([3; 32]);
        let signature = secp.sign_ecdsa(&message, &secret);
        let scalar = Scalar::from(secret);
        Self {
            sign: time(|| secp.sign_ecdsa(&message, &secret)),
            verify: time(|| secp.verify_ecdsa(&message, &signature, &public)),
            ecdh: time(|| SharedSecret::new(&public, &secret)),
            point: time(|| PublicKey::from_secret_key(&secp, &secret)),
            multiply: time(|| public.mul_tweak(&secp, &scalar)),
            tweak: time(|| public.add_exp_tweak(&secp, &scalar)),
            add: time(|| public.combine(&other)),
            invoice: {
                let text = invoice(&secp, &secret);
                time(|| text.parse::<Bolt11Invoice>())
            },
            sync: sync_time(dir),
        }
    }

    /// What a payment costs in a batch of `k`; dust has no HTLC signatures.
    pub fn mandatory(&self, k: usize, dust: bool) -> Mandatory {
        let share = 1.0 / k as f64;
        let htlc = if dust { 0.0 } else { 2.0 };
        Mandatory {
            signing: (4.0 * share + htlc) * self.sign,
            verifying: (4.0 * share + htlc) * self.verify,
            onion: self.point + 2.0 * self.ecdh,
            keys: share
                * (8.0 * self.point + 16.0 * self.multiply + 16.0 * self.tweak + 8.0 * self.add),
            syncing: share * 6.0 * self.sync,
        }
    }
}

/// An invoice as nodes make them.
fn invoice(secp: &Secp256k1<All>, secret: &SecretKey) -> String {
    InvoiceBuilder::new(Currency::Regtest)
        .description("a benchmark".to_owned())
        .amount_milli_satoshis(10_000_000)
        .payment_hash(sha256::Hash::hash(&[1]))
        .payment_secret(PaymentSecret([2; 32]))
        .duration_since_epoch(Duration::from_secs(1_800_000_000))
        .min_final_cltv_expiry_delta(42)
        .build_signed(|digest| secp.sign_ecdsa_recoverable(digest, secret))
        .expect("a complete invoice")
        .to_string()
}

/// Microseconds a call, the least of five stretches: the floor is what the machine can do.
fn time<T>(mut call: impl FnMut() -> T) -> f64 {
    let mut least = f64::INFINITY;
    for _ in 0..5 {
        let (start, mut calls) = (Instant::now(), 0_u32);
        while start.elapsed() < LONG / 5 {
            for _ in 0..16 {
                black_box(call());
            }
            calls += 16;
        }
        least = least.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(calls));
    }
    least
}

/// Microseconds of a 4 KiB write and its sync, the median of many.
fn sync_time(dir: &Path) -> f64 {
    let path = dir.join("sync-probe");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&path)
        .expect("a file in the directory");
    let block = [1_u8; BLOCK];
    for _ in 0..BLOCKS {
        file.write_all(&block).expect("room");
    }
    file.sync_all().expect("a disk that syncs");
    file.seek(SeekFrom::Start(0)).expect("a file");
    let samples: Vec<_> = (0..BLOCKS)
        .map(|_| {
            let start = Instant::now();
            file.write_all(&block).expect("room");
            file.sync_data().expect("a disk that syncs");
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    drop(file);
    std::fs::remove_file(&path).expect("our own file");
    super::figure::median(&samples)
}
