//! Keys for a tower of one's own: secrets, HTLCs and fundings as they come.

use bitcoin::hashes::Hash as _;
use wire::codec::Encode as _;
use wire::id::Signature;
use wire::units::BlockHeight;

use super::{Talk, code};
use crate::ingest::frames::LineFault;
use crate::message::{Code, ReplicaAck, ReplicaUpdate};
use crate::proof::receipt;
use crate::store::Kit;

impl Talk {
    pub(super) async fn replica(
        &mut self,
        mut update: ReplicaUpdate,
    ) -> Result<ReplicaAck, LineFault> {
        let refuse = |code| ReplicaAck {
            code,
            count: 0,
            htlcs: 0,
            height: BlockHeight(0),
            tip: [0; 32],
            expiry: BlockHeight(0),
            signature: Signature([0; 64]),
            knows: None,
        };
        let tower = self.tower;
        let Some(known) = self.known().await? else { return Ok(refuse(Code::NO_SESSION)) };
        if known.kit != Kit::Replica {
            return Ok(refuse(Code::UNKNOWN_KIT));
        }
        let (number, terms) = (known.number, known.terms);
        let now = update.now.take();
        let knows = now.as_ref().map(|now| now.number);
        let key = self.key.serialize();
        let now = now.map(|now| self.disk_key.seal(&key, &now.encoded())).unwrap_or_default();
        let heard = match self.keeper.tell(number, update, now).await {
            Ok(heard) => heard,
            Err(refused) => return Ok(refuse(code(refused))),
        };
        let heard = heard.get();
        let ack = receipt::ReplicaAck {
            revoked: heard.count,
            htlcs: heard.htlcs,
            height: heard.standing.tip.height,
            tip: heard.standing.tip.hash,
            expiry: heard.standing.expiry_height,
        };
        Ok(ReplicaAck {
            code: Code::OK,
            count: ack.revoked,
            htlcs: ack.htlcs,
            height: BlockHeight(ack.height),
            tip: ack.tip.to_byte_array(),
            expiry: BlockHeight(ack.expiry),
            signature: Signature(ack.sign(&terms, &tower)),
            knows,
        })
    }
}
