//! What a record makes of the transaction that it is for. Pure.

use bitcoin::{Transaction, Txid};
use secp256k1::PublicKey;

use wire::codec::Decode;

use crate::kit::claim::Claim;
use crate::kit::sealed::{self, OpenError};
use crate::kit::template::Template;
use crate::lnd::blob::{self, BlobError};
use crate::lnd::justice;
use crate::lnd::session::Session;
use crate::store::{Found, Kit};

/// What a record is for a transaction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Meaning {
    /// Nothing: its hint fits by chance, or somebody stored rubbish.
    None,
    /// What can be taken.
    Claims(Vec<Claim>),
    /// It opens, and nothing can be made of it.
    Useless(String),
}

/// What `found` makes of `tx`.
pub(crate) fn read(found: &Found, txid: Txid, tx: &Transaction) -> Meaning {
    match found.opening.kit {
        Kit::Sealed => sealed(found, txid, tx),
        Kit::Lnd => lnd(found, txid, tx),
        Kit::Replica => Meaning::None,
    }
}

fn lnd(found: &Found, txid: Txid, tx: &Transaction) -> Meaning {
    let Ok(session) = Session::decode_exact(&found.opening.template) else { return Meaning::None };
    let (kind, blob) = (session.blob_type, &found.stored.sealed.ciphertext);
    let kit = match blob::Kit::open(kind, &txid, blob) {
        Ok(kit) => kit,
        Err(BlobError::Sealed | BlobError::Length { .. }) => return Meaning::None,
        Err(error) => return Meaning::Useless(error.to_string()),
    };
    match justice::claims(kind, session.sweep_feerate, &kit, tx) {
        Ok(claims) => Meaning::Claims(claims),
        Err(error) => Meaning::Useless(error.to_string()),
    }
}

fn sealed(found: &Found, txid: Txid, tx: &Transaction) -> Meaning {
    let Ok(session) = PublicKey::from_slice(&found.opening.key) else { return Meaning::None };
    let record = &found.stored.sealed.ciphertext;
    let record = match sealed::open(record, &txid, &session, found.stored.seq) {
        Ok(record) => record,
        Err(OpenError::Key) => return Meaning::None,
        Err(error @ OpenError::Content(_)) => return Meaning::Useless(error.to_string()),
    };
    let template = match Template::from_bytes(&found.opening.template) {
        Ok(template) => template,
        Err(error) => return Meaning::Useless(error.to_string()),
    };
    match sealed::evaluate(&template, &record, tx) {
        Ok(claims) => Meaning::Claims(claims),
        Err(error) => Meaning::Useless(error.to_string()),
    }
}
