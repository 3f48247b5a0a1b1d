//! What the incoming side is told when the outgoing one has its outcome. BOLT 2 § Removing an HTLC, BOLT 4
//! § Returning Errors, § Returning Success.

use channel::{Command, CommandId, Outcome, Refusal as ChannelRefusal};
use wire::onion::attribution::{self, HoldTime};
use wire::onion::failure::{ChannelUpdateBytes, Failure, ReturnPacket};
use wire::units::Msat;

use crate::channels::task::Asker;
use crate::fact::ForwardEnd;
use crate::switch::Forward;

/// Gives an HTLC back with words of ours.
pub(super) fn refuse(
    command: CommandId,
    forward: &Forward,
    failure: &Failure,
    held: HoldTime,
) -> Command {
    if let Some(onward) = &forward.blinded {
        return onward.inside.refuse(command, forward.htlc, &forward.secret, held);
    }
    let packet = ReturnPacket::create(&forward.secret, failure, Some(held));
    Command::FailHtlc {
        command,
        htlc: forward.htlc,
        reason: packet.reason,
        attribution: packet.attribution_data,
    }
}

/// Passes an outcome on. Without the forward only a preimage can be: the words of a failure need its secret.
pub(super) fn pass_on(
    command: CommandId,
    htlc: u64,
    outcome: Outcome,
    forward: Option<(&Forward, HoldTime)>,
) -> Option<Command> {
    match outcome {
        Outcome::Fulfilled { preimage, attribution } => {
            let attribution = forward.and_then(|(forward, held)| match &forward.blinded {
                None => Some(attribution::fulfil(attribution.as_ref(), &forward.secret, held)),
                // BOLT 2: "if `path_key` is not set in the incoming `update_add_htlc`: MUST initialize
                // `attribution_data`". The introduction node speaks for itself alone.
                Some(onward) => onward
                    .inside
                    .introduction
                    .then(|| attribution::fulfil(None, &forward.secret, held)),
            });
            Some(Command::FulfillHtlc { command, htlc, preimage, attribution })
        }
        Outcome::Failed { reason, attribution } => {
            let (forward, held) = forward?;
            if let Some(onward) = &forward.blinded {
                return Some(onward.inside.refuse(command, htlc, &forward.secret, held));
            }
            let packet = ReturnPacket { reason, attribution_data: attribution };
            let packet = packet.relay(&forward.secret, Some(held));
            Some(Command::FailHtlc {
                command,
                htlc,
                reason: packet.reason,
                attribution: packet.attribution_data,
            })
        }
        // BOLT 2: "MUST return an error in the `update_fail_htlc` sent to the link which originally sent the
        // HTLC, using the `failure_code` given and setting the data to `sha256_of_onion`."
        Outcome::Malformed { failure_code, sha256_of_onion } => {
            let (forward, held) = forward?;
            let failure = Failure::from_malformed(failure_code, sha256_of_onion);
            let failure = failure.unwrap_or(Failure::TemporaryNodeFailure);
            Some(refuse(command, forward, &failure, held))
        }
        Outcome::TimedOut | Outcome::Unsent => {
            let (forward, held) = forward?;
            Some(refuse(command, forward, &Failure::PermanentChannelFailure, held))
        }
    }
}

/// How the journal says it.
pub(super) const fn end_of(outcome: &Outcome) -> ForwardEnd {
    match outcome {
        Outcome::Fulfilled { .. } => ForwardEnd::Settled,
        Outcome::Failed { .. } => ForwardEnd::FailedBeyond,
        Outcome::Malformed { failure_code, .. } => ForwardEnd::Malformed(*failure_code),
        Outcome::TimedOut | Outcome::Unsent => ForwardEnd::TimedOut,
    }
}

/// What the sender hears if no channel takes the HTLC, by what the last one said.
pub(super) fn failure_of(
    refusal: Option<&ChannelRefusal>,
    out: Msat,
    update: ChannelUpdateBytes,
) -> Failure {
    let channel_update = update;
    match refusal {
        Some(ChannelRefusal::BelowMinimum { .. }) => {
            Failure::AmountBelowMinimum { htlc_msat: out.to_u64(), channel_update }
        }
        // The height moved on since the check.
        Some(ChannelRefusal::BadExpiry { .. }) => Failure::ExpiryTooSoon { channel_update },
        Some(
            ChannelRefusal::Closing
            | ChannelRefusal::Frozen
            | ChannelRefusal::Stale
            | ChannelRefusal::NotOpened(_),
        ) => Failure::PermanentChannelFailure,
        _ => Failure::TemporaryChannelFailure { channel_update },
    }
}

/// A command nobody waits for the answer of.
pub(super) fn unasked() -> CommandId {
    Asker::Nobody.command(0)
}
