//! The messages, one declaration each. A session is named by the static key of the connection.

use bitcoin::{OutPoint, Txid};
use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::id::Signature;
use wire::tlv::{self, Record};
use wire::units::BlockHeight;

use super::code::Code;
use super::declare::messages;
use super::parts::{ClaimStatus, HtlcAdd, ReplicaNow, Sealed};

messages! {
    /// Client: opens the session of this connection's key, or finds it again. The same template opens
    /// the same session.
    620 SessionOpen {
        /// [`super::KIT_SEALED`] or [`super::KIT_REPLICA`].
        kit: u8,
        /// The template of the kit, encoded.
        template: Vec<u8>,
        /// For how many blocks.
        want_blocks: u32,
        /// For how many bytes of records.
        want_bytes: u32,
    }

    /// Tower: the session as it stands.
    621 SessionAck {
        /// Whether there is one.
        code: Code,
        /// The height up to which records are taken.
        expiry: BlockHeight,
        /// Bytes of records in all.
        quota_bytes: u64,
        /// How many records are durable: the number of the next one. Numbers begin at 0.
        next_seq: u32,
        /// The root of the Merkle mountain range over them, zero if there are none.
        mmr_root: [u8; 32],
    }

    /// Client: records in a row, without waiting for the answers to those before.
    622 Records {
        /// The number of the first.
        first_seq: u32,
        /// They.
        records: Vec<Sealed>,
    }

    /// Tower: everything before `durable` is on its disk, signed.
    623 RecordsAck {
        /// What became of the newest records.
        code: Code,
        /// How many records are durable; those below this number are.
        durable: u32,
        /// The root over them.
        mmr_root: [u8; 32],
        /// The tower's height.
        height: BlockHeight,
        /// The hash of its block there, as it lies in memory.
        tip: [u8; 32],
        /// The height up to which the session lives.
        expiry: BlockHeight,
        /// BIP 340, by the tower's key, over all of that (`proof`).
        signature: Signature,
    } + tlvs {
        /// With [`Code::GAP`]: the number that is expected.
        1 => expected_seq: u32,
        /// With [`Code::RATE`]: milliseconds to wait.
        3 => retry_after_ms: u32,
    }

    /// Client: how does the session stand?
    624 StatusGet {}

    /// Tower: so.
    625 Status {
        /// Whether there is one.
        code: Code,
        /// How many records are durable.
        next_seq: u32,
        /// The root over them.
        mmr_root: [u8; 32],
        /// Bytes that count.
        used_bytes: u64,
        /// Bytes in all.
        quota_bytes: u64,
        /// The height up to which records are taken.
        expiry: BlockHeight,
        /// The tower's height.
        height: BlockHeight,
        /// The hash of its block there, as it lies in memory.
        tip: [u8; 32],
        /// What it claims or has claimed, the newest first, as many as fit.
        claims: Vec<ClaimStatus>,
    }

    /// Client: gives records back, for another tower.
    626 Fetch {
        /// The number of the first.
        first_seq: u32,
        /// How many at most.
        count: u16,
    }

    /// Tower: they, as many as fit; none at the end.
    627 Fetched {
        /// The number of the first.
        first_seq: u32,
        /// They.
        records: Vec<Sealed>,
    }

    /// Client: proves that it has these records.
    628 Audit {
        /// Random, so that no answer can be prepared.
        nonce: [u8; 32],
        /// The numbers.
        seqs: Vec<u32>,
    }

    /// Tower: the answer (`proof`).
    629 AuditReply {
        /// Whether it has them all.
        code: Code,
        /// `SHA256(nonce || the records in that order)`.
        digest: [u8; 32],
        /// BIP 340, by the tower's key, over nonce and digest.
        signature: Signature,
    }

    /// Client: these records need no watching any more.
    630 Delete {
        /// 0: the whole session; 1: the numbers below.
        scope: u8,
        /// The first number.
        first_seq: u32,
        /// The last number, included.
        last_seq: u32,
        /// BIP 340, by the session's key: what protects the tower from a false claim (`proof`).
        signature: Signature,
    }

    /// Tower: they are gone.
    631 DeleteAck {
        /// Whether they are.
        code: Code,
        /// BIP 340, by the tower's key, over the client's signature.
        signature: Signature,
    }

    /// Client: keeps this, whatever it is; only a higher version replaces a lower.
    632 CheckpointPut {
        /// Its version.
        version: u64,
        /// What only the client reads, up to 60,000 bytes.
        ciphertext: Vec<u8>,
    }

    /// Tower: kept, or not ([`Code::STALE_VERSION`]).
    633 CheckpointAck {
        /// Which.
        code: Code,
        /// The version that is kept now.
        version: u64,
    }

    /// Client: gives the checkpoint back.
    634 CheckpointGet {}

    /// Tower: the newest checkpoint; version 0 and no bytes if there is none.
    635 CheckpointValue {
        /// Its version.
        version: u64,
        /// Its bytes.
        ciphertext: Vec<u8>,
    }

    /// Tower: something happened, unasked.
    636 Event {
        /// 1 matched, 2 broadcast, 3 confirmed, 4 bumped, 5 split, 6 failed, 7 second stage seen,
        /// 8 expiring.
        event: u8,
        /// The transaction it is about.
        txid: Txid,
        /// The tower's height.
        height: BlockHeight,
        /// For people.
        text: Vec<u8>,
    }

    /// Client: for longer, or for more.
    638 Renew {
        /// Blocks from now.
        want_blocks: u32,
        /// Bytes in all.
        want_bytes: u32,
    }

    /// Tower: so be it.
    639 Renewed {
        /// Whether.
        code: Code,
        /// The height up to which records are taken.
        expiry: BlockHeight,
        /// Bytes of records in all.
        quota_bytes: u64,
    }

    /// Client, replica: these states are revoked now, and these HTLCs may be on any of them.
    640 ReplicaUpdate {
        /// The commitment number of the first of `secrets`.
        first: u64,
        /// Per-commitment secrets in a row.
        secrets: Vec<[u8; 32]>,
        /// All secrets so far in one (`RevealedSecrets::to_bytes`), instead of many in a row; empty if
        /// those do.
        chain: Vec<u8>,
        /// The place of the first of `htlcs` among all that were said.
        first_htlc: u64,
        /// HTLCs that were new.
        htlcs: Vec<HtlcAdd>,
        /// Funding outputs that came to life.
        fundings: Vec<OutPoint>,
    } + tlvs {
        /// What claims HTLCs if the peer closes with a valid state; it stands for the one before.
        1 => now: ReplicaNow,
    }

    /// Tower: on its disk, signed as [`RecordsAck`] is.
    641 ReplicaAck {
        /// Whether.
        code: Code,
        /// How many commitments are revoked, as far as it knows.
        count: u64,
        /// How many HTLCs it knows.
        htlcs: u64,
        /// The tower's height.
        height: BlockHeight,
        /// The hash of its block there, as it lies in memory.
        tip: [u8; 32],
        /// The height up to which the session lives.
        expiry: BlockHeight,
        /// BIP 340, by the tower's key, over all of that (`proof`).
        signature: Signature,
    } + tlvs {
        /// The number that it knows what to do at, if the peer closes with a valid state.
        1 => knows: u64,
    }
}

impl Message {
    /// Type and body, ready for a frame.
    pub fn encode_frame(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.number().encode(&mut out);
        self.encode_body(&mut out);
        out
    }

    /// Reads type and body. `None` is an odd type that we do not know and may ignore.
    pub fn decode_frame(frame: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut r = Reader::new(frame);
        let number = u16::decode(&mut r)?;
        Self::decode_body(number, &mut r)
    }
}
