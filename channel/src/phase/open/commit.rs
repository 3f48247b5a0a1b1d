//! Signatures and revocations. BOLT 2 § Committing Updates So Far, § Completing the Transition to the
//! Updated State.

use wire::message::{CommitmentSigned, RevokeAndAck};

use crate::clock::{Side, Turn};
use crate::effect::Alarm;
use crate::env::Env;
use crate::fact::{Fact, Signatures};
use crate::fault::PeerFault;
use crate::keys;
use crate::ledger::Unbalanced;
use crate::live::Live;
use crate::out::Out;
use crate::tx::SignatureFault;

impl Live {
    /// Whether a signature is due and allowed.
    pub(crate) fn wants_commit(&self) -> bool {
        self.may_update().is_ok()
            && !self.state.awaiting_revocation
            // BOLT 2: "MUST NOT send a `commitment_signed` message that does not include any updates."
            && self.state.ledger.has_something_to_sign(Side::Us)
    }

    /// Signs everything that waits for a signature of ours.
    pub(crate) fn commit(&mut self, env: &Env<'_>, out: &mut Out) {
        if !self.wants_commit() {
            return;
        }
        let number = self.state.theirs.saturating_add(1);
        let Some(point) = self.state.their_next_point else { return };
        let turn = Some(Turn::Signed(Side::Us));
        let theirs = match self.state.commitment(Side::Them, turn, number, &point) {
            Ok(theirs) => theirs,
            Err(unbalanced) => return self.freeze(unbalanced.into(), out),
        };
        let Ok(signatures) = env.signer.sign_theirs(&theirs, env.workers) else {
            return self.freeze(Alarm::Signer, out);
        };
        let covered = self.state.our_proposals();
        out.send(CommitmentSigned {
            channel_id: self.id,
            signature: signatures.signature,
            htlc_signature: signatures.htlcs,
            // BOLT 2: "MUST set `funding_txid` to the funding transaction spent by this commitment"
            funding_txid: Some(theirs.terms().funding.outpoint.txid),
        });
        let ticked = self.note(Fact::WeSigned(covered), out);
        self.tell(ticked, out);
    }

    pub(crate) fn on_commitment_signed(
        &mut self,
        signed: &CommitmentSigned,
        env: &Env<'_>,
        out: &mut Out,
    ) -> Result<(), PeerFault> {
        self.may_they_update()?;
        let funding = self.state.fundings.first().map(|funding| funding.outpoint.txid);
        // BOLT 2: "MUST ignore `commitment_signed` where `funding_txid` does not match the current
        // funding transaction."
        if signed.funding_txid.is_some() && signed.funding_txid != funding {
            return Err(PeerFault::WrongFundingTxid);
        }
        let number = self.state.ours.saturating_add(1);
        let Ok(point) = self.point(number, env.signer) else {
            self.freeze(Alarm::Signer, out);
            return Ok(());
        };
        let turn = Some(Turn::Signed(Side::Them));
        let ours = match self.state.commitment(Side::Us, turn, number, &point) {
            Ok(ours) => ours,
            Err(unbalanced) => {
                self.freeze(unbalanced.into(), out);
                return Ok(());
            }
        };
        // BOLT 2: "if `signature` is not valid for its local commitment transaction OR non-compliant
        // with LOW-S-standard rule"
        ours.verify(&signed.signature, &signed.htlc_signature, env.workers).map_err(|fault| {
            match fault {
                SignatureFault::Count { .. } => PeerFault::WrongHtlcSignatureCount,
                SignatureFault::Htlc(_) => PeerFault::BadHtlcSignature,
                SignatureFault::Wrong | SignatureFault::HighS => PeerFault::BadCommitmentSignature,
            }
        })?;
        self.revoke(signed, env, out);
        Ok(())
    }

    /// Takes the new commitment and gives the old one up.
    fn revoke(&mut self, signed: &CommitmentSigned, env: &Env<'_>, out: &mut Out) {
        let old = self.state.ours;
        // The point first: a signer that reveals a secret never signs that commitment again, and if the
        // point fails it is still the one we may need.
        let Ok(next_point) = self.point(old.saturating_add(2), env.signer) else {
            return self.freeze(Alarm::Signer, out);
        };
        let Ok(secret) = env.signer.reveal(old) else {
            return self.freeze(Alarm::Signer, out);
        };
        let mut covered = self.state.their_proposals();
        covered.signatures =
            vec![Signatures { commitment: signed.signature, htlcs: signed.htlc_signature.clone() }];
        let ticked = self.note(Fact::TheySigned(covered), out);
        out.send(RevokeAndAck {
            channel_id: self.id,
            // BOLT 2: "MUST set `per_commitment_secret` to the secret used to generate keys for the
            // previous commitment transaction."
            per_commitment_secret: secret,
            next_per_commitment_point: next_point,
        });
        self.tell(ticked, out);
    }

    pub(crate) fn on_revoke_and_ack(
        &mut self,
        revoked: &RevokeAndAck,
        out: &mut Out,
    ) -> Result<(), PeerFault> {
        if !self.state.awaiting_revocation {
            return Err(PeerFault::UnexpectedRevocation);
        }
        let secret = revoked.per_commitment_secret;
        // BOLT 2: "if `per_commitment_secret` is not a valid secret key or does not generate the
        // previous `per_commitment_point`: - MUST send an `error` and fail the channel."
        if keys::point_of(&secret) != Some(self.state.their_point) {
            return Err(PeerFault::BadRevocationSecret);
        }
        // BOLT 2: "if the `per_commitment_secret` was not generated by the protocol in [BOLT #3]"
        let number = self.state.secrets.count();
        self.state.secrets.check(number, &secret).map_err(|_| PeerFault::UnrelatedSecret)?;
        let next_point = revoked.next_per_commitment_point;
        let ticked = self.note(Fact::TheyRevoked { secret, next_point }, out);
        self.tell(ticked, out);
        Ok(())
    }
}

impl From<Unbalanced> for Alarm {
    fn from(unbalanced: Unbalanced) -> Self {
        let Unbalanced { found_msat, expected_msat } = unbalanced;
        Self::Unbalanced { found_msat, expected_msat }
    }
}
