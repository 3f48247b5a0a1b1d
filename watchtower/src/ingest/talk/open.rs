//! A session is opened, lives longer, is deleted.

use wire::id::Signature;
use wire::units::BlockHeight;

use super::{Known, Talk, code};
use crate::ingest::frames::LineFault;
use crate::kit::replica::ReplicaTemplate;
use crate::kit::template::Template;
use crate::message::{Code, DeleteAck, Renewed, ReplicaUpdate, SessionAck, SessionOpen};
use crate::proof::receipt;
use crate::proof::tagged::tagged;
use crate::proof::tombstone::{Scope, Tombstone};
use crate::store::{Fact, Kit, Refused, Wish};

impl Talk {
    pub(super) async fn open(&mut self, open: SessionOpen) -> Result<SessionAck, LineFault> {
        let refuse = |code| SessionAck {
            code,
            expiry: BlockHeight(0),
            quota_bytes: 0,
            next_seq: 0,
            mmr_root: [0; 32],
        };
        let key = self.key.serialize();
        let terms = receipt::Session::new(self.key, open.kit, &open.template);
        let (kit, template, fundings) = match Kit::of(open.kit) {
            Some(Kit::Sealed) if Template::from_bytes(&open.template).is_ok() => {
                (Kit::Sealed, open.template, Vec::new())
            }
            Some(Kit::Replica) if self.is_trusted => {
                match ReplicaTemplate::from_bytes(&open.template) {
                    Ok(template) => {
                        let sealed = self.disk_key.seal(&key, &open.template);
                        (Kit::Replica, sealed, template.fundings)
                    }
                    Err(_) => return Ok(refuse(Code::PERMANENT)),
                }
            }
            Some(Kit::Sealed) => return Ok(refuse(Code::PERMANENT)),
            Some(Kit::Replica | Kit::Lnd) | None => return Ok(refuse(Code::UNKNOWN_KIT)),
        };
        let blocks = if open.want_blocks == 0 { self.offered.blocks } else { open.want_blocks };
        let bytes = if open.want_bytes == 0 { self.offered.bytes } else { open.want_bytes };
        let wish = Wish {
            key,
            kit,
            template,
            quota_bytes: u64::from(bytes),
            quota_records: u32::MAX,
            blocks,
            replaces: true,
        };
        let standing = match self.keeper.open(wish).await {
            Ok(standing) => standing.into_inner(),
            Err(refused) => return Ok(refuse(code(refused))),
        };
        if !fundings.is_empty() {
            let update = ReplicaUpdate {
                first: 0,
                secrets: Vec::new(),
                chain: Vec::new(),
                first_htlc: 0,
                htlcs: Vec::new(),
                fundings,
                now: None,
            };
            if let Err(refused) = self.keeper.tell(standing.session, update, Vec::new()).await {
                return Ok(refuse(code(refused)));
            }
        }
        self.session = Some(Known { number: standing.session, kit, terms });
        Ok(SessionAck {
            code: Code::OK,
            expiry: BlockHeight(standing.expiry_height),
            quota_bytes: standing.quota_bytes,
            next_seq: standing.next_seq,
            mmr_root: standing.root,
        })
    }

    pub(super) async fn renew(
        &self,
        want_blocks: u32,
        want_bytes: u32,
    ) -> Result<Renewed, LineFault> {
        let none = |code| Renewed { code, expiry: BlockHeight(0), quota_bytes: 0 };
        let found = self.keeper.standing(self.key.serialize()).await;
        let standing = match found {
            Ok((standing, _)) => standing.into_inner(),
            Err(Refused::NoSession) => return Ok(none(Code::NO_SESSION)),
            Err(_) => return Err(LineFault::Stopped),
        };
        let expiry = standing.tip.height.saturating_add(want_blocks.min(self.offered.blocks_max));
        let expiry_height = standing.expiry_height.max(expiry);
        let bytes = u64::from(want_bytes).min(self.offered.bytes_max);
        let quota_bytes = standing.quota_bytes.max(bytes);
        let session = standing.session;
        match self.keeper.note(Fact::Granted { session, quota_bytes, expiry_height }).await {
            Ok(durable) => {
                let () = durable.into_inner();
                Ok(Renewed { code: Code::OK, expiry: BlockHeight(expiry_height), quota_bytes })
            }
            Err(refused) => Ok(none(code(refused))),
        }
    }

    pub(super) async fn delete(
        &mut self,
        scope: Scope,
        signature: Signature,
    ) -> Result<DeleteAck, LineFault> {
        let signed = tagged("wt2/deleted", &[&signature.0]);
        let answer = |code, signature| DeleteAck { code, signature: Signature(signature) };
        let (key, tower) = (self.key, self.tower);
        let Some(known) = self.known().await? else {
            return Ok(answer(Code::NO_SESSION, [0; 64]));
        };
        let stone = Tombstone { session: key, scope, signature: signature.0 };
        if !stone.is_signed() {
            return Ok(answer(Code::PERMANENT, [0; 64]));
        }
        let session = known.number;
        let fact = match scope {
            Scope::Session => Fact::Dropped { session },
            Scope::Range { first, last } => {
                Fact::Forgotten { session, first_seq: first, last_seq: last }
            }
        };
        match self.keeper.note(fact).await {
            Ok(durable) => {
                let () = durable.into_inner();
                if scope == Scope::Session {
                    self.session = None;
                }
                Ok(answer(Code::OK, receipt::sign(&signed, &tower)))
            }
            Err(refused) => Ok(answer(code(refused), [0; 64])),
        }
    }
}
