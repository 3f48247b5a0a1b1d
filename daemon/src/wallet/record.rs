//! Wallet facts as bytes. The layout of version 1 is frozen: these bytes lie in journals.
//!
//! `version (1 byte) | time | sections`, a section being `tag (1 byte) | length | body`. An unknown
//! section with an odd tag is skipped, with an even one the record is of a newer build. Numbers are
//! in Bitcoin's consensus encoding, little-endian, lengths and counts as CompactSize.

use std::collections::BTreeMap;
use std::sync::Arc;

use bdk_wallet::ChangeSet;
use bdk_wallet::chain::{BlockId, ConfirmationBlockTime, DescriptorId};
use bitcoin::consensus::encode::{Decodable, Encodable, VarInt};
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Transaction, Txid};
use wire::id::ChannelId;

use super::book::{BookChange, Label, Promise, PromiseId};
use crate::rpc::model::UnixMillis;
use crate::rpc::model::wallet::SetAside;

const VERSION: u8 = 1;

const OWNER: u8 = 2;
const BLOCKS: u8 = 4;
const TXS: u8 = 6;
const TXOUTS: u8 = 8;
const ANCHORS: u8 = 10;
const LAST_SEEN: u8 = 12;
const LAST_EVICTED: u8 = 14;
const FIRST_SEEN: u8 = 16;
const REVEALED: u8 = 18;
const BOOK: u8 = 20;

/// Why bytes are not a wallet fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer build.
    #[error("the wallet record is of a newer version ({0}): it needs a newer viaductd")]
    Newer(u8),
    /// A section that must be understood is not.
    #[error("the wallet record has a section {0} that only a newer viaductd understands")]
    Section(u8),
    /// Cut short, too long, or not what it should be.
    #[error("the wallet record is damaged")]
    Damaged,
}

/// What changed, decoded.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Fact {
    pub(super) at: UnixMillis,
    pub(super) owner: Option<[u8; 4]>,
    pub(super) changes: ChangeSet,
    pub(super) book: Vec<BookChange>,
}

impl Fact {
    /// The bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put(&mut out, &self.at.0);
        let graph = &self.changes.tx_graph;
        if let Some(owner) = self.owner {
            section(&mut out, OWNER, owner.to_vec());
        }
        list(&mut out, BLOCKS, &self.changes.local_chain.blocks, |out, (height, hash)| {
            put(out, height);
            put(out, &hash.is_some());
            if let Some(hash) = hash {
                put(out, hash);
            }
        });
        list(&mut out, TXS, &graph.txs, |out, tx| put(out, tx.as_ref()));
        list(&mut out, TXOUTS, &graph.txouts, |out, (outpoint, txout)| {
            put(out, outpoint);
            put(out, txout);
        });
        list(&mut out, ANCHORS, &graph.anchors, |out, (anchor, txid)| {
            put(out, &anchor.block_id.height);
            put(out, &anchor.block_id.hash);
            put(out, &anchor.confirmation_time);
            put(out, txid);
        });
        for (tag, times) in [
            (LAST_SEEN, &graph.last_seen),
            (LAST_EVICTED, &graph.last_evicted),
            (FIRST_SEEN, &graph.first_seen),
        ] {
            list(&mut out, tag, times, |out, (txid, time)| {
                put(out, txid);
                put(out, time);
            });
        }
        list(&mut out, REVEALED, &self.changes.indexer.last_revealed, |out, (id, index)| {
            put(out, &id.0.to_byte_array());
            put(out, index);
        });
        list(&mut out, BOOK, &self.book, put_change);
        out
    }

    /// Reads the bytes.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let (version, mut rest) = bytes.split_first().ok_or(RecordError::Damaged)?;
        if *version != VERSION {
            return Err(RecordError::Newer(*version));
        }
        let mut fact = Self { at: UnixMillis(get(&mut rest)?), ..Self::default() };
        while let Some((tag, after)) = rest.split_first() {
            rest = after;
            let length: VarInt = get(&mut rest)?;
            let length = usize::try_from(length.0).map_err(|_| RecordError::Damaged)?;
            let (body, after) = rest.split_at_checked(length).ok_or(RecordError::Damaged)?;
            rest = after;
            fact.take_section(*tag, body)?;
        }
        Ok(fact)
    }

    fn take_section(&mut self, tag: u8, mut body: &[u8]) -> Result<(), RecordError> {
        let body = &mut body;
        let graph = &mut self.changes.tx_graph;
        match tag {
            OWNER => self.owner = Some(get(body)?),
            BLOCKS => {
                self.changes.local_chain.blocks = map(body, |body| {
                    let height: u32 = get(body)?;
                    let there: bool = get(body)?;
                    let hash: Option<BlockHash> = there.then(|| get(body)).transpose()?;
                    Ok((height, hash))
                })?;
            }
            TXS => {
                graph.txs = many(body, |body| Ok(Arc::new(get::<Transaction>(body)?)))?
                    .into_iter()
                    .collect()
            }
            TXOUTS => graph.txouts = map(body, |body| Ok((get(body)?, get(body)?)))?,
            ANCHORS => {
                let anchors = many(body, |body| {
                    let block_id = BlockId { height: get(body)?, hash: get(body)? };
                    let anchor = ConfirmationBlockTime { block_id, confirmation_time: get(body)? };
                    Ok((anchor, get::<Txid>(body)?))
                })?;
                graph.anchors = anchors.into_iter().collect();
            }
            LAST_SEEN => graph.last_seen = times(body)?,
            LAST_EVICTED => graph.last_evicted = times(body)?,
            FIRST_SEEN => graph.first_seen = times(body)?,
            REVEALED => {
                self.changes.indexer.last_revealed = map(body, |body| {
                    let id = bitcoin::hashes::sha256::Hash::from_byte_array(get(body)?);
                    Ok((DescriptorId(id), get(body)?))
                })?;
            }
            BOOK => self.book = many(body, get_change)?,
            // It is ok to be odd.
            odd if odd & 1 == 1 => return Ok(()),
            even => return Err(RecordError::Section(even)),
        }
        if body.is_empty() { Ok(()) } else { Err(RecordError::Damaged) }
    }
}

fn put_change(out: &mut Vec<u8>, change: &BookChange) {
    match change {
        BookChange::Promised(promise) => {
            put(out, &1_u8);
            put(out, &promise.id.0);
            match promise.purpose {
                SetAside::Send => put(out, &0_u8),
                SetAside::Channel(channel) => {
                    put(out, &1_u8);
                    put(out, &channel.0);
                }
            }
            put(out, &promise.tx);
        }
        BookChange::Released(id) => {
            put(out, &2_u8);
            put(out, &id.0);
        }
        BookChange::Noted(txid, label) => {
            put(out, &3_u8);
            put(out, txid);
            put(out, &label.text);
            put(out, &label.channel.is_some());
            if let Some(channel) = label.channel {
                put(out, &channel.0);
            }
        }
        BookChange::Came(txid, at) => {
            put(out, &4_u8);
            put(out, txid);
            put(out, &at.0);
        }
    }
}

fn get_change(body: &mut &[u8]) -> Result<BookChange, RecordError> {
    Ok(match get::<u8>(body)? {
        1 => {
            let id = PromiseId(get(body)?);
            let purpose = match get::<u8>(body)? {
                0 => SetAside::Send,
                1 => SetAside::Channel(ChannelId(get(body)?)),
                _ => return Err(RecordError::Damaged),
            };
            BookChange::Promised(Promise { id, purpose, tx: get(body)? })
        }
        2 => BookChange::Released(PromiseId(get(body)?)),
        3 => {
            let (txid, text) = (get(body)?, get(body)?);
            let channel = get::<bool>(body)?.then(|| get(body)).transpose()?.map(ChannelId);
            BookChange::Noted(txid, Label { text, channel })
        }
        4 => BookChange::Came(get(body)?, UnixMillis(get(body)?)),
        _ => return Err(RecordError::Damaged),
    })
}

fn put(out: &mut Vec<u8>, value: &impl Encodable) {
    // Writing to memory cannot fail.
    let written = value.consensus_encode(out);
    debug_assert!(written.is_ok(), "memory takes everything");
}

fn get<T: Decodable>(body: &mut &[u8]) -> Result<T, RecordError> {
    T::consensus_decode(body).map_err(|_| RecordError::Damaged)
}

fn section(out: &mut Vec<u8>, tag: u8, body: Vec<u8>) {
    out.push(tag);
    put(out, &VarInt::from(body.len()));
    out.extend_from_slice(&body);
}

/// Writes a section of counted entries, nothing if there is none.
fn list<I>(out: &mut Vec<u8>, tag: u8, entries: I, each: impl Fn(&mut Vec<u8>, I::Item))
where
    I: IntoIterator,
    I::IntoIter: ExactSizeIterator,
{
    let entries = entries.into_iter();
    if entries.len() == 0 {
        return;
    }
    let mut body = Vec::new();
    put(&mut body, &VarInt::from(entries.len()));
    for entry in entries {
        each(&mut body, entry);
    }
    section(out, tag, body);
}

/// Reads counted entries. Each takes at least a byte, so the count cannot ask for more than is there.
fn many<T>(
    body: &mut &[u8],
    each: impl Fn(&mut &[u8]) -> Result<T, RecordError>,
) -> Result<Vec<T>, RecordError> {
    let count: VarInt = get(body)?;
    let mut entries = Vec::new();
    for _ in 0..count.0 {
        entries.push(each(body)?);
    }
    Ok(entries)
}

fn map<K: Ord, V>(
    body: &mut &[u8],
    each: impl Fn(&mut &[u8]) -> Result<(K, V), RecordError>,
) -> Result<BTreeMap<K, V>, RecordError> {
    Ok(many(body, each)?.into_iter().collect())
}

fn times(body: &mut &[u8]) -> Result<BTreeMap<Txid, u64>, RecordError> {
    map(body, |body| Ok((get(body)?, get(body)?)))
}
