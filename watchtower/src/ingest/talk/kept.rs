//! What a client asks for: how its session stands, and the checkpoint that is kept for it.

use bitcoin::hashes::Hash as _;
use chain_backend::BlockId;
use wire::units::BlockHeight;

use super::{CHECKPOINT_MAX, CLAIMS_MAX, Talk, code};
use crate::ingest::frames::LineFault;
use crate::message::{CheckpointAck, CheckpointValue, ClaimStatus, Code, Status};
use crate::store::Refused;

impl Talk {
    pub(super) async fn status(&self) -> Result<Status, LineFault> {
        let tip = self.tip();
        let mut status = Status {
            code: Code::NO_SESSION,
            next_seq: 0,
            mmr_root: [0; 32],
            used_bytes: 0,
            quota_bytes: 0,
            expiry: BlockHeight(0),
            height: BlockHeight(tip.map_or(0, |tip| tip.height)),
            tip: tip.map_or([0; 32], |tip| tip.hash.to_byte_array()),
            claims: Vec::new(),
        };
        let standing = match self.keeper.standing(self.key.serialize()).await {
            Ok((standing, _)) => standing.into_inner(),
            Err(Refused::NoSession) => return Ok(status),
            Err(_) => return Err(LineFault::Stopped),
        };
        status.code = Code::OK;
        status.next_seq = standing.next_seq;
        status.mmr_root = standing.root;
        status.used_bytes = standing.used_bytes;
        status.quota_bytes = standing.quota_bytes;
        status.expiry = BlockHeight(standing.expiry_height);
        status.height = BlockHeight(standing.tip.height);
        status.tip = standing.tip.hash.to_byte_array();
        status.claims = self.claims(standing.session, standing.tip.height);
        Ok(status)
    }

    fn claims(&self, session: u32, tip_height: u32) -> Vec<ClaimStatus> {
        let watching = self.view.watching.borrow();
        watching.book.statuses(session, tip_height).take(CLAIMS_MAX).collect()
    }

    fn tip(&self) -> Option<BlockId> {
        self.view.watching.borrow().tip
    }

    pub(super) async fn put_checkpoint(
        &mut self,
        version: u64,
        ciphertext: Vec<u8>,
    ) -> Result<CheckpointAck, LineFault> {
        let Some(known) = self.known().await? else {
            return Ok(CheckpointAck { code: Code::NO_SESSION, version: 0 });
        };
        let session = known.number;
        if ciphertext.len() > CHECKPOINT_MAX {
            return Ok(CheckpointAck { code: Code::PERMANENT, version: 0 });
        }
        Ok(match self.keeper.put_checkpoint(session, version, ciphertext).await {
            Ok(version) => CheckpointAck { code: Code::OK, version: version.into_inner() },
            Err((refused, version)) => CheckpointAck { code: code(refused), version },
        })
    }

    pub(super) async fn checkpoint(&mut self) -> Result<CheckpointValue, LineFault> {
        let none = CheckpointValue { version: 0, ciphertext: Vec::new() };
        let Some(known) = self.known().await? else { return Ok(none) };
        let session = known.number;
        let kept = self.keeper.checkpoint(session).await;
        let (version, ciphertext) = kept.map_err(|_| LineFault::Stopped)?;
        Ok(CheckpointValue { version, ciphertext })
    }
}
