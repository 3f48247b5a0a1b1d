//! Closes of channels whose keys we hold: breaches, what the cheater makes of its HTLCs, and valid states whose
//! owner sleeps.

use bitcoin::{OutPoint, Transaction};
use wire::codec::Decode as _;

use super::{EventKind, WatchError, Watcher};
use crate::kit::claim::{Claim, Right, Way};
use crate::kit::replica::{Replica, ReplicaError, ReplicaTemplate};
use crate::message::{HtlcAdd, ReplicaNow};
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
            Err(ReplicaError::NotACommitment) => return Ok(()),
            Err(ReplicaError::NotRevoked { .. }) => {
                let valid = replica.valid(tx);
                self.valid(session, tx, valid, facts);
                return Ok(());
            }
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
                self.in_vain((txid, session, seq), error.to_string(), "a replica", facts);
            }
        }
        Ok(())
    }

    /// The peer closed with a state that is no breach: what is ours of its HTLCs is claimed, nothing else.
    fn valid(
        &mut self,
        session: u32,
        tx: &Transaction,
        valid: Result<(u64, Vec<Claim>), ReplicaError>,
        facts: &mut Vec<Fact>,
    ) {
        let txid = tx.compute_txid();
        let (number, claims) = match valid {
            Ok((number, claims)) => (number, claims),
            // Our client's own, or one that we were not told of yet: it may still be.
            Err(error) => return tracing::info!(%txid, session, %error, "a close is left alone"),
        };
        if claims.iter().all(|claim| self.book.claim(&claim.outpoint).is_some()) {
            return;
        }
        let text = format!("valid commitment {number}: {} HTLCs can be claimed", claims.len());
        tracing::info!(%txid, session, number, "the peer closed: {text}");
        let inputs = tx.input.iter().map(|input| input.previous_output).collect();
        let seq = u32::try_from(number).unwrap_or(u32::MAX);
        self.follow_fact(ClaimFact::Found { source: txid, inputs, session, seq, claims }, facts);
        self.tell(EventKind::Matched, Some(session), Some(txid), text);
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
            // On a valid commitment it is the peer's right.
            if keyed.right != Right::Revoked {
                continue;
            }
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
            let now = self.disk_key.open(&told.told.now);
            let now = now.and_then(|plain| ReplicaNow::decode_exact(&plain).ok());
            if now.is_none() && !told.told.now.is_empty() {
                tracing::error!(session, "what a replica knows of valid states cannot be read");
            }
            let replica = Replica::new(template, told.told.secrets).with_now(now);
            self.replicas.insert(session, (replica, told.htlcs));
        }
        Ok(self.replicas.get(&session))
    }
}
