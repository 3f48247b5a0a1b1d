//! The connection: down, syncing, up. BOLT 2 § Message Retransmission.
//!
//! It alone knows `channel_reestablish`. What was only said is forgotten when the connection breaks; what
//! was signed is said again, in the order in which it was said first.
//!
//! Not here: phases, which do not know whether the peer is there (`phase`).

use wire::feature::Features;
use wire::message::{ChannelReestablish, CommitmentSigned, Error as ErrorMessage, RevokeAndAck};
use wire::units::BlockHeight;

use crate::clock::{Clock, Moment, Side};
use crate::effect::{Alarm, Effect, Notice, Outcome, Resolved};
use crate::env::Env;
use crate::fact::Fact;
use crate::fault::PeerFault;
use crate::ledger::How;
use crate::live::Live;
use crate::out::Out;
use crate::refusal::Refusal;
use crate::state::End;

/// How far the connection is.
#[derive(Clone, Debug)]
pub(crate) enum Connection {
    /// The peer is away.
    Down,
    /// Our `channel_reestablish` is out, the peer's is awaited.
    Syncing {
        /// What both can.
        features: Features,
    },
    /// In quarantine: the peer's `channel_reestablish` is awaited before ours is said.
    Listening {
        /// What both can.
        features: Features,
        /// The height at which it began.
        since: BlockHeight,
    },
    /// Both know where they stand.
    Up {
        /// What both can.
        features: Features,
    },
    /// It is being closed: nothing is heard any more.
    Cut,
}

/// What the peer's numbers ask us to say again.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Again {
    commitment_signed: bool,
    revoke_and_ack: bool,
}

impl Live {
    pub(crate) fn connect(&mut self, features: Features, env: &Env<'_>, out: &mut Out) {
        // A connection that comes without the old one going is a new one all the same.
        self.disconnect(out);
        self.connection = Connection::Cut;
        match &self.state.end {
            // BOLT 2: "if a channel is in an error state: - SHOULD retransmit the error packet"
            Some(End::Failing(_)) if self.state.chain.spent.is_none() => {
                let data = b"channel failed".to_vec();
                return out.send(ErrorMessage { channel_id: self.id, data });
            }
            Some(End::Failing(_) | End::Abandoned(_) | End::Frozen) => return,
            None | Some(End::DataLoss { .. } | End::Lost) => {}
        }
        if self.state.chain.spent.is_some() {
            return;
        }
        if self.state.quarantined {
            return self.wait_for_numbers(features, env);
        }
        self.reestablish(features, env, out);
    }

    /// Says where we stand.
    pub(crate) fn reestablish(&mut self, features: Features, env: &Env<'_>, out: &mut Out) {
        match self.channel_reestablish(env) {
            Some(ours) => {
                out.send(ours);
                self.connection = Connection::Syncing { features };
            }
            None => self.freeze(Alarm::Signer, out),
        }
    }

    pub(crate) fn disconnect(&mut self, out: &mut Out) {
        if self.is_up() {
            out.notice(Notice::Usable(false));
        }
        self.connection = Connection::Down;
        self.negotiation = Default::default();
        if let Some(wanted) = self.shutdown_wanted.take() {
            out.answer(wanted.command, Err(Refusal::NotConnected));
        }
        // BOLT 2: "MUST reverse any uncommitted updates sent by the other side"
        for htlc in self.forget_proposals() {
            if let Some(origin) = htlc.origin {
                let outcome = Outcome::Unsent;
                out.effect(Effect::Resolved(Resolved { htlc: htlc.add.id, origin, outcome }));
            }
        }
    }

    fn channel_reestablish(&mut self, env: &Env<'_>) -> Option<ChannelReestablish> {
        if self.state.end == Some(End::Lost) {
            // BOLT 2: "if `next_commitment_number` is zero: - MUST immediately fail the channel and
            // broadcast any relevant latest commitment transaction." That is all we can still ask for.
            return Some(ChannelReestablish {
                channel_id: self.id,
                next_commitment_number: 0,
                next_revocation_number: 0,
                your_last_per_commitment_secret: [0; 32],
                my_current_per_commitment_point: self.point(0, env.signer).ok()?,
                next_funding: None,
                my_current_funding_locked: None,
            });
        }
        let revoked = self.state.secrets.count();
        // BOLT 2: "if `next_revocation_number` equals 0: - MUST set `your_last_per_commitment_secret` to
        // all zeroes"
        let last_secret = match revoked.checked_sub(1) {
            Some(last) => self.state.secrets.secret(last)?,
            None => [0; 32],
        };
        // BOLT 2: "if `next_commitment_number` is zero: - MUST immediately fail the channel and broadcast
        // any relevant latest commitment transaction." Data that is proved stale asks for just that.
        let next_commitment_number = match &self.state.end {
            Some(End::DataLoss { .. }) => 0,
            None | Some(End::Failing(_) | End::Frozen | End::Abandoned(_) | End::Lost) => {
                self.state.ours.saturating_add(1)
            }
        };
        Some(ChannelReestablish {
            channel_id: self.id,
            next_commitment_number,
            next_revocation_number: revoked,
            your_last_per_commitment_secret: last_secret,
            my_current_per_commitment_point: self.point(self.state.ours, env.signer).ok()?,
            next_funding: None,
            my_current_funding_locked: None,
        })
    }

    pub(crate) fn on_channel_reestablish(
        &mut self,
        theirs: &ChannelReestablish,
        env: &Env<'_>,
        out: &mut Out,
    ) -> Result<(), PeerFault> {
        if let Connection::Listening { features, .. } = &self.connection {
            let features = features.clone();
            self.reestablish(features, env, out);
        }
        let Connection::Syncing { features } = &self.connection else {
            return Err(PeerFault::UnexpectedReestablish);
        };
        let features = features.clone();
        if self.state.end == Some(End::Lost) {
            // What the peer says about numbers cannot be checked, and does not matter. A peer that does
            // not know the zero in ours knows an `error`.
            self.ask_peer_to_close(out);
            return Ok(());
        }
        // BOLT 2: "if `next_commitment_number` is zero: - MUST immediately fail the channel and broadcast"
        if theirs.next_commitment_number == 0 {
            return Err(PeerFault::AskedToFail);
        }
        self.check_proof(theirs, env)?;
        if theirs.next_revocation_number > self.state.ours {
            self.lose_data(theirs.next_revocation_number, out);
            return Ok(());
        }
        if matches!(self.state.end, Some(End::DataLoss { .. })) {
            self.ask_peer_to_close(out);
            return Ok(());
        }
        let again = self.compare(theirs)?;
        self.vouch(false, out);
        self.compared = true;
        self.connection = Connection::Up { features };
        // BOLT 2: "if `next_commitment_number` is 1 in both the `channel_reestablish` it sent and
        // received [...]: - MUST retransmit `channel_ready`."
        if theirs.next_commitment_number == 1 && self.state.ours == 0 && self.state.we_ready {
            self.send_channel_ready(env, out);
        }
        self.say_again(again, env, out);
        self.resend_shutdown(out);
        self.say_removals(out);
        if self.is_up() {
            out.notice(Notice::Usable(true));
        }
        Ok(())
    }

    /// Whether the peer knows the last secret of ours that it says it knows.
    fn check_proof(&self, theirs: &ChannelReestablish, env: &Env<'_>) -> Result<(), PeerFault> {
        let claim = &theirs.your_last_per_commitment_secret;
        let right = match theirs.next_revocation_number.checked_sub(1) {
            Some(last) => env.signer.is_our_secret(last, claim),
            None => *claim == [0; 32],
        };
        // BOLT 2: "if `your_last_per_commitment_secret` does not match the expected values: - SHOULD
        // send an `error` and fail the channel."
        if right { Ok(()) } else { Err(PeerFault::BadLastSecret) }
    }

    /// What the peer has not got, by its numbers.
    fn compare(&self, theirs: &ChannelReestablish) -> Result<Again, PeerFault> {
        let state = &self.state;
        let next = state.theirs.saturating_add(1);
        let commitment_signed = match theirs.next_commitment_number {
            number if number == next => false,
            // BOLT 2: "if `next_commitment_number` is equal to the commitment number of the last
            // `commitment_signed` message the receiving node has sent: - MUST reuse the same commitment
            // number for its next `commitment_signed`."
            number if number == state.theirs && state.awaiting_revocation => true,
            _ => return Err(PeerFault::BadCommitmentNumber),
        };
        let revoke_and_ack = match theirs.next_revocation_number {
            number if number == state.ours => false,
            // BOLT 2: "if `next_revocation_number` is equal to the commitment number of the last
            // `revoke_and_ack` the receiving node sent [...]: - MUST re-send the `revoke_and_ack`."
            number if number.checked_add(1) == Some(state.ours) => true,
            _ => return Err(PeerFault::BadRevocationNumber),
        };
        Ok(Again { commitment_signed, revoke_and_ack })
    }

    fn say_again(&mut self, again: Again, env: &Env<'_>, out: &mut Out) {
        // BOLT 2: "MUST retransmit `revoke_and_ack` and `commitment_signed` in the same relative order as
        // initially transmitted."
        if again.revoke_and_ack && self.state.signed_last {
            self.revoke_again(env, out);
        }
        if again.commitment_signed {
            self.sign_again(env, out);
        }
        if again.revoke_and_ack && !self.state.signed_last {
            self.revoke_again(env, out);
        }
    }

    fn revoke_again(&mut self, env: &Env<'_>, out: &mut Out) {
        let ours = self.state.ours;
        let next = self.point(ours.saturating_add(1), env.signer);
        let secret = ours.checked_sub(1).and_then(|last| env.signer.reveal(last).ok());
        match (secret, next) {
            (Some(per_commitment_secret), Ok(next_per_commitment_point)) => {
                out.send(RevokeAndAck {
                    channel_id: self.id,
                    per_commitment_secret,
                    next_per_commitment_point,
                });
            }
            (None, _) | (_, Err(_)) => self.freeze(Alarm::Signer, out),
        }
    }

    /// Says the updates that our last signature covered first, and the signature.
    fn sign_again(&mut self, env: &Env<'_>, out: &mut Out) {
        let signed = |clock: Clock| {
            clock.proposer() == Side::Us && clock.moment() == Moment::SignedByProposer
        };
        // Removals first: what they free may be what the adds spend. Then the feerate, which was
        // checked with all the adds on top of it.
        for (_, htlc) in self.state.ledger.htlcs() {
            if let Some(going) = htlc.removal.as_ref().filter(|going| signed(going.clock))
                && let How::Ours(removal) = &going.how
            {
                out.send(self.say_removal(htlc.add.id, removal));
            }
        }
        for change in self.state.ledger.fees.iter().filter(|change| signed(change.clock)) {
            out.send(self.say_fee(change.feerate));
        }
        for (_, htlc) in self.state.ledger.htlcs().filter(|(_, htlc)| signed(htlc.clock)) {
            out.send(self.say_add(&htlc.add));
        }
        let number = self.state.theirs;
        let Some(point) = self.state.their_next_point else { return };
        let theirs = match self.state.commitment(Side::Them, None, number, &point) {
            Ok(theirs) => theirs,
            Err(unbalanced) => return self.freeze(unbalanced.into(), out),
        };
        match env.signer.sign_theirs(&theirs, env.workers) {
            Ok(signatures) => out.send(CommitmentSigned {
                channel_id: self.id,
                signature: signatures.signature,
                htlc_signature: signatures.htlcs,
                funding_txid: Some(theirs.terms().funding.outpoint.txid),
            }),
            Err(_) => self.freeze(Alarm::Signer, out),
        }
    }

    /// Says removals that were decided and not signed yet.
    fn say_removals(&self, out: &mut Out) {
        if self.may_update().is_err() {
            return;
        }
        for (_, htlc) in self.state.ledger.htlcs() {
            if let Some(going) = htlc.removal.as_ref().filter(|going| going.clock.is_proposed())
                && let How::Ours(removal) = &going.how
            {
                out.send(self.say_removal(htlc.add.id, removal));
            }
        }
    }

    /// BOLT 2: "MUST NOT broadcast its commitment transaction. - SHOULD send an `error` to request the
    /// peer to fail the channel."
    fn lose_data(&mut self, theirs: u64, out: &mut Out) {
        if !matches!(self.state.end, Some(End::DataLoss { .. })) {
            self.note(Fact::DataLoss { theirs }, out);
            out.alarm(Alarm::DataLoss { theirs, ours: self.state.ours });
        }
        self.ask_peer_to_close(out);
    }

    fn ask_peer_to_close(&mut self, out: &mut Out) {
        let data = b"we have lost data: please close".to_vec();
        out.send(ErrorMessage { channel_id: self.id, data });
        self.connection = Connection::Cut;
    }
}
