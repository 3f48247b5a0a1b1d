//! Breaches of channels whose keys we hold, and what the cheater makes of its HTLCs.

use bitcoin::{OutPoint, Transaction};

use super::{EventKind, WatchError, Watcher};
use crate::kit::claim::{Claim, Way};
use crate::kit::replica::{Replica, ReplicaError, ReplicaTemplate};
use crate::message::HtlcAdd;
use crate::respond::fact::{ClaimFact, Taker};
use crate::respond::plan::Job;
use crate::store::{Fact, Kit, Refused};

impl Watcher {
    /// Looks whether `tx`, which spends a channel of the session, is a revoked commitment.
    pub(super) async fn replica(
        &mut self,
        session: u32,
        tx: &Transaction,
        facts: &mut Vec<Fact>,
    ) -> Result<(), WatchError> {
        // What was learnt since the last time counts.
        self.replicas.remove(&session);
        let Some((replica, htlcs)) = self.keys(session).await? else { return Ok(()) };
        let (number, claims) = match replica.revoked(tx) {
            Ok(number) => (number, replica.evaluate(tx, htlcs.iter().copied())),
            Err(ReplicaError::NotACommitment | ReplicaError::NotRevoked { .. }) => return Ok(()),
            Err(error) => (0, Err(error)),
        };
        let txid = tx.compute_txid();
        let seq = u32::try_from(number).unwrap_or(u32::MAX);
        match claims {
            Ok(claims) => {
                if claims.iter().all(|claim| self.book.claim(&claim.outpoint).is_some()) {
                    return Ok(());
                }
                let text = format!("commitment {number}: {} outputs can be taken", claims.len());
                tracing::warn!(%txid, session, number, "a revoked commitment: {text}");
                let inputs = tx.input.iter().map(|input| input.previous_output).collect();
                let fact = ClaimFact::Found { source: txid, inputs, session, seq, claims };
                self.follow_fact(fact, facts);
                self.tell(EventKind::Matched, Some(session), Some(txid), text);
            }
            // Our client's own commitment has a number as well.
            Err(ReplicaError::NoOutput) => {}
            Err(error) => {
                let reason = error.to_string();
                tracing::error!(%txid, session, reason, "a replica is of no use");
                self.tell(EventKind::Failed, Some(session), Some(txid), reason.clone());
                self.follow_fact(ClaimFact::Useless { source: txid, session, seq, reason }, facts);
            }
        }
        Ok(())
    }

    /// Claims what the cheater made of HTLCs in a block: it has to wait for it, and we need not.
    pub(super) async fn second_stages<'a>(
        &mut self,
        seen: &[ClaimFact],
        txs: impl IntoIterator<Item = &'a Transaction>,
        height: u32,
        facts: &mut Vec<Fact>,
    ) -> Result<(), WatchError> {
        let mut lost: Vec<(OutPoint, bitcoin::Txid, u32, u64)> = Vec::new();
        for fact in seen {
            let ClaimFact::Taken { outpoint, by, taker: Taker::Them, .. } = fact else { continue };
            let Some(tracked) = self.book.claim(outpoint) else { continue };
            let (Way::Keyed(keyed), Some(source)) =
                (&tracked.claim.way, self.book.source(&outpoint.txid))
            else {
                continue;
            };
            lost.push((*outpoint, *by, source.session, keyed.number));
        }
        if lost.is_empty() {
            return Ok(());
        }
        let txs: Vec<&Transaction> = txs.into_iter().collect();
        for (outpoint, by, session, number) in lost {
            let Some(tx) = txs.iter().find(|tx| tx.compute_txid() == by) else { continue };
            let Some((replica, _)) = self.keys(session).await? else { continue };
            let Some(claim) = replica.second_stage(number, tx, outpoint) else { continue };
            let inputs = tx.input.iter().map(|input| input.previous_output).collect();
            let seq = u32::try_from(number).unwrap_or(u32::MAX);
            let claims = vec![claim];
            self.follow_fact(ClaimFact::Found { source: by, inputs, session, seq, claims }, facts);
            self.follow_fact(ClaimFact::Confirmed { source: by, height }, facts);
        }
        Ok(())
    }

    /// Signs a job with the keys of its replica; `None` if they are gone.
    pub(super) async fn signed(&mut self, mut job: Job) -> Result<Option<Job>, WatchError> {
        let Some(session) = job.signer else { return Ok(Some(job)) };
        let claims: Vec<Claim> = (job.outpoints.iter())
            .filter_map(|outpoint| Some(self.book.claim(outpoint)?.claim.clone()))
            .collect();
        let Some((replica, _)) = self.keys(session).await? else {
            tracing::error!(session, "the keys for a breach are gone");
            return Ok(None);
        };
        let claims: Vec<&Claim> = claims.iter().collect();
        match replica.sign(&mut job.tx, &claims) {
            Ok(()) => Ok(Some(job)),
            Err(error) => {
                tracing::error!(session, %error, "a breach cannot be signed for");
                Ok(None)
            }
        }
    }

    async fn keys(&mut self, session: u32) -> Result<Option<&(Replica, Vec<HtlcAdd>)>, WatchError> {
        if !self.replicas.contains_key(&session) {
            let told = match self.keeper.replica(session).await {
                Ok(told) => told,
                Err(Refused::NoSession) => return Ok(None),
                Err(other) => return Err(other.into()),
            };
            let plain = self.disk_key.open(&told.opening.template);
            let template = plain.and_then(|plain| ReplicaTemplate::from_bytes(&plain).ok());
            let (Some(mut template), Kit::Replica) = (template, told.opening.kit) else {
                tracing::error!(session, "the keys of a replica cannot be read");
                return Ok(None);
            };
            template.fundings = told.told.fundings;
            let replica = Replica::new(template, told.told.secrets);
            self.replicas.insert(session, (replica, told.htlcs));
        }
        Ok(self.replicas.get(&session))
    }
}
