//! HTLCs that are settled and that a revoked commitment may still show. BOLT 5 § Revoked Transaction Close
//! Handling.
//!
//! Of each, 24 bytes are enough to find its output again and to spend it as a penalty; amount and number
//! are in nobody's way. The state keeps those that were settled since the last snapshot, the archive has
//! all the others, and only a breach ever looks at either. Dust is not among them: it never had an output.
//!
//! Not here: the file they go to (`store::archive`), who searches it (the daemon).

use std::collections::{BTreeSet, VecDeque};

use bitcoin::hashes::{Hash, ripemd160};
use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use wire::codec::{Decode, DecodeError, Encode, Long, Reader};
use wire::id::PaymentHash;
use wire::units::BlockHeight;

use crate::clock::Side;
use crate::event::ChainFact;
use crate::keys::CommitmentKeys;
use crate::tx::script;

/// The bytes of one: [`PastHtlc::to_bytes`].
pub const PAST_HTLC_BYTES: usize = 24;

/// Marks what the peer offered. Heights are below 500,000,000 (BOLT 2 § Adding an HTLC).
const THEIRS: u32 = 1 << 31;

/// What is left of a settled HTLC.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct PastHtlc {
    /// Who offered it.
    pub by: Side,
    /// `RIPEMD160(payment_hash)`, as scripts have it.
    pub hash: [u8; 20],
    /// The height at which its offerer could take it back.
    pub cltv_expiry: BlockHeight,
}

impl PastHtlc {
    /// Of an HTLC that `by` offered.
    pub fn new(by: Side, payment_hash: &PaymentHash, cltv_expiry: BlockHeight) -> Self {
        let hash = ripemd160::Hash::hash(&payment_hash.0).to_byte_array();
        Self { by, hash, cltv_expiry }
    }

    /// Its form in the archive: the hash, then the height in big-endian with the offerer in its highest
    /// bit.
    pub fn to_bytes(&self) -> [u8; PAST_HTLC_BYTES] {
        let height = self.cltv_expiry.0 & !THEIRS;
        let tail = match self.by {
            Side::Us => height,
            Side::Them => height | THEIRS,
        };
        let mut bytes = [0; PAST_HTLC_BYTES];
        let (hash, height) = bytes.split_at_mut(self.hash.len());
        hash.copy_from_slice(&self.hash);
        height.copy_from_slice(&tail.to_be_bytes());
        bytes
    }

    /// Reads [`Self::to_bytes`]; there are no bytes that it cannot read.
    pub fn from_bytes(bytes: &[u8; PAST_HTLC_BYTES]) -> Self {
        let (mut hash, mut tail) = ([0; 20], [0; 4]);
        let (first, rest) = bytes.split_at(hash.len());
        hash.copy_from_slice(first);
        tail.copy_from_slice(rest);
        let tail = u32::from_be_bytes(tail);
        let by = if tail & THEIRS == 0 { Side::Us } else { Side::Them };
        Self { by, hash, cltv_expiry: BlockHeight(tail & !THEIRS) }
    }

    /// Its script on the peer's commitment with these keys.
    pub fn witness_script(&self, theirs: &CommitmentKeys) -> ScriptBuf {
        match self.by {
            Side::Them => script::offered_htlc_hashed(theirs, self.hash),
            Side::Us => script::received_htlc_hashed(theirs, self.hash, self.cltv_expiry),
        }
    }
}

impl Encode for PastHtlc {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }
}

impl Decode for PastHtlc {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self::from_bytes(&r.array()?))
    }
}

/// Settled HTLCs of one channel, numbered in the order in which they were settled.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Past {
    /// How many of the first are in the archive and not here.
    archived: u64,
    /// All since then.
    recent: VecDeque<PastHtlc>,
    /// What the archive has of the revoked commitment that spent the funding output.
    pub(crate) found: Option<(Txid, Vec<PastHtlc>)>,
}

impl Past {
    /// How many are in the archive: its first so many records.
    pub const fn archived(&self) -> u64 {
        self.archived
    }

    /// Those behind them, which the next snapshot puts into the archive.
    pub fn recent(&self) -> impl ExactSizeIterator<Item = &PastHtlc> {
        self.recent.iter()
    }

    /// What was found for this revoked commitment, if anybody searched.
    pub fn found(&self, commitment: Txid) -> Option<&[PastHtlc]> {
        let (of, htlcs) = self.found.as_ref()?;
        (*of == commitment).then_some(htlcs.as_slice())
    }

    pub(crate) fn push(&mut self, htlc: PastHtlc) {
        self.recent.push_back(htlc);
    }

    /// Lets go of what the archive has by now: all up to the number `upto`.
    pub fn let_go(&mut self, upto: u64) {
        let more = usize::try_from(upto.saturating_sub(self.archived)).unwrap_or(usize::MAX);
        let gone = more.min(self.recent.len());
        self.recent.drain(..gone);
        self.archived = self.archived.saturating_add(u64::try_from(gone).unwrap_or(u64::MAX));
    }
}

impl Encode for Past {
    fn encode(&self, out: &mut Vec<u8>) {
        self.archived.encode(out);
        Long(self.recent.iter().copied().collect()).encode(out);
        self.found.is_some().encode(out);
        if let Some((txid, htlcs)) = &self.found {
            txid.encode(out);
            htlcs.encode(out);
        }
    }
}

impl Decode for Past {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let archived = u64::decode(r)?;
        let recent = Long::<PastHtlc>::decode(r)?.0.into();
        let found = match bool::decode(r)? {
            true => Some((Decode::decode(r)?, Decode::decode(r)?)),
            false => None,
        };
        Ok(Self { archived, recent, found })
    }
}

/// A search for the HTLCs of a revoked commitment: offer it every HTLC that there ever was.
///
/// It computes one script for each and compares it with the outputs that nobody knows, so that a million
/// take some seconds and memory stays with what fits. Equal HTLCs are one; it opens all outputs that have
/// its script, whatever their amounts.
#[derive(Clone, Debug)]
pub struct Search {
    txid: Txid,
    keys: CommitmentKeys,
    scripts: BTreeSet<ScriptBuf>,
    archived: u64,
    recent: Vec<PastHtlc>,
    found: BTreeSet<PastHtlc>,
}

impl Search {
    /// For the outputs of `commitment` that are in `unknown`; `keys` are those of that commitment of the
    /// peer's.
    pub fn new(
        commitment: &Transaction,
        unknown: &[OutPoint],
        keys: &CommitmentKeys,
        past: &Past,
    ) -> Self {
        let txid = commitment.compute_txid();
        let scripts = (0..)
            .zip(&commitment.output)
            .filter(|(vout, _)| unknown.contains(&OutPoint { txid, vout: *vout }))
            .map(|(_, txout)| txout.script_pubkey.clone())
            .collect();
        Self {
            txid,
            keys: keys.clone(),
            scripts,
            archived: past.archived,
            recent: past.recent.iter().copied().collect(),
            found: BTreeSet::new(),
        }
    }

    /// The revoked commitment.
    pub const fn txid(&self) -> Txid {
        self.txid
    }

    /// How many HTLCs of the archive are to be offered, from the first on.
    pub const fn archived(&self) -> u64 {
        self.archived
    }

    /// Looks at one more.
    pub fn offer(&mut self, htlc: PastHtlc) {
        if self.scripts.contains(&htlc.witness_script(&self.keys).to_p2wsh()) {
            self.found.insert(htlc);
        }
    }

    /// Looks at what was not archived yet, and says what fits.
    pub fn finish(mut self) -> ChainFact {
        for htlc in std::mem::take(&mut self.recent) {
            self.offer(htlc);
        }
        ChainFact::HistoryFound { txid: self.txid, htlcs: self.found.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests;
