//! What a single message must fulfil, whatever else is known: form, and signatures. BOLT 7.

use bitcoin::ScriptBuf;
use bitcoin::opcodes::all::{OP_CHECKMULTISIG, OP_PUSHNUM_2};
use secp256k1::{Message, PublicKey, SECP256K1, ecdsa};
use wire::id::{NodeId, Signature};
use wire::message::{ChannelAnnouncement, ChannelUpdate, NodeAnnouncement};

/// A signature that must hold before a message is believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Proof {
    /// What is signed.
    pub digest: [u8; 32],
    /// The signature.
    pub signature: Signature,
    /// Whose it must be.
    pub key: NodeId,
}

impl Proof {
    /// Whether it holds. Costs some 40 µs: not for a thread that others wait for.
    pub fn holds(&self) -> bool {
        let (Ok(signature), Ok(key)) =
            (ecdsa::Signature::try_from(self.signature), PublicKey::try_from(self.key))
        else {
            return false;
        };
        let digest = Message::from_digest(self.digest);
        SECP256K1.verify_ecdsa(&digest, &signature, &key).is_ok()
    }
}

/// Why a message is not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Reject {
    /// It is about another chain.
    #[error("about another chain")]
    WrongChain,
    /// The two node ids are equal, or not in order.
    #[error("node ids out of order")]
    NodeOrder,
    /// A signature that is not its author's.
    #[error("a signature does not hold")]
    BadSignature,
    /// A key that is no point on the curve.
    #[error("a key is no point on the curve")]
    NoPoint,
    /// An update that must not be passed on.
    #[error("marked as not to be forwarded")]
    Private,
    /// A timestamp more than a day ahead of us.
    #[error("from the future")]
    Future,
    /// Older than two weeks.
    #[error("older than two weeks")]
    Old,
    /// More than the channel holds, or a minimum above the maximum.
    #[error("amounts that cannot be")]
    Amounts,
    /// More updates of one direction than anybody needs.
    #[error("too many updates of one channel")]
    TooMany,
    /// The funding output does not exist, is spent, has another script or too few confirmations.
    #[error("no such funding output")]
    NoFunding,
    /// As much is known as there is room for.
    #[error("no room")]
    Full,
}

/// The four signatures of a channel announcement, after what costs nothing.
///
/// # Errors
/// [`Reject::WrongChain`] and [`Reject::NodeOrder`].
pub(super) fn channel(
    announcement: &ChannelAnnouncement,
    chain: &[u8; 32],
) -> Result<[Proof; 4], Reject> {
    // BOLT 7: "if the specified `chain_hash` is unknown to the receiver: MUST ignore the message."
    if announcement.chain_hash != *chain {
        return Err(Reject::WrongChain);
    }
    // BOLT 7: "MUST set `node_id_1` and `node_id_2` to the public keys of the two nodes operating the
    // channel, such that `node_id_1` is the lexicographically-lesser of the two compressed keys"
    if announcement.node_id_1 >= announcement.node_id_2 {
        return Err(Reject::NodeOrder);
    }
    let digest = announcement.digest();
    let proof = |signature, key| Proof { digest, signature, key };
    Ok([
        proof(announcement.node_signature_1, announcement.node_id_1),
        proof(announcement.node_signature_2, announcement.node_id_2),
        proof(announcement.bitcoin_signature_1, announcement.bitcoin_key_1),
        proof(announcement.bitcoin_signature_2, announcement.bitcoin_key_2),
    ])
}

/// The signature of an update by `author`.
pub(super) fn update(update: &ChannelUpdate, author: NodeId) -> Proof {
    Proof { digest: update.digest(), signature: update.signature, key: author }
}

/// The signature of a node's announcement.
pub(super) fn node(node: &NodeAnnouncement) -> Proof {
    Proof { digest: node.digest(), signature: node.signature, key: node.node_id }
}

/// The script that the funding output must have: both keys of two, the lesser first. BOLT 3 § Funding
/// Transaction Output.
///
/// # Errors
/// [`Reject::NoPoint`] if a key is none.
pub fn funding_script(announcement: &ChannelAnnouncement) -> Result<ScriptBuf, Reject> {
    let key =
        |key| PublicKey::try_from(key).map(|key| key.serialize()).map_err(|_| Reject::NoPoint);
    let one = key(announcement.bitcoin_key_1)?;
    let other = key(announcement.bitcoin_key_2)?;
    let (lesser, greater) = if one < other { (one, other) } else { (other, one) };
    let script = ScriptBuf::builder()
        .push_opcode(OP_PUSHNUM_2)
        .push_slice(lesser)
        .push_slice(greater)
        .push_opcode(OP_PUSHNUM_2)
        .push_opcode(OP_CHECKMULTISIG)
        .into_script();
    Ok(script.to_p2wsh())
}
