//! HTLCs in a blinded route: all of them fail alike, so that nobody learns where or why. BOLT 4 § Route Blinding, BOLT 2
//! § Removing an HTLC.
//!
//! Not here: reading what the maker of the route says (`channels::blinded`).

use std::collections::BTreeMap;
use std::time::Duration;

use bitcoin::hashes::{Hash as _, sha256};
use channel::{Command, CommandId};
use secp256k1::PublicKey;
use tokio::time::Instant;
use wire::message::OnionPacket;
use wire::onion::SharedSecret;
use wire::onion::attribution::HoldTime;
use wire::onion::blind::NextHop;
use wire::onion::failure::{Failure, ReturnPacket, code};

use crate::fact::ChannelIndex;

/// The shortest time that an introduction node waits before it fails an HTLC.
const DELAY_MIN: Duration = Duration::from_millis(30);

/// Where in a blinded route we are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Inside {
    /// Whether it begins with us: the sender told us the path key, not the peer.
    pub introduction: bool,
    /// Of the onion as it came.
    pub sha256_of_onion: [u8; 32],
}

impl Inside {
    /// `peer_told`: whether the path key stood in `update_add_htlc`.
    pub fn new(onion: &OnionPacket, peer_told: bool) -> Self {
        let sha256_of_onion = sha256::Hash::hash(onion.as_bytes()).to_byte_array();
        Self { introduction: !peer_told, sha256_of_onion }
    }

    /// Gives an HTLC back, whatever the reason. `secret` is the one that the sender knows of us.
    pub fn refuse(
        &self,
        command: CommandId,
        htlc: u64,
        secret: &SharedSecret,
        held: HoldTime,
    ) -> Command {
        let sha256_of_onion = self.sha256_of_onion;
        if !self.introduction {
            // BOLT 2: "If `path_key` is set in the incoming `update_add_htlc`: MUST send an
            // `update_fail_malformed_htlc` error using the `invalid_onion_blinding` failure code for any local
            // or downstream errors."
            let failure_code = code::INVALID_ONION_BLINDING;
            return Command::FailMalformedHtlc { command, htlc, sha256_of_onion, failure_code };
        }
        // BOLT 2: "If `current_path_key` is set in the onion payload and it is not the final node: MUST send an
        // `update_fail_htlc` error using the `invalid_onion_blinding` failure code for any local or downstream
        // errors." The hold time is ours alone; nothing from behind us goes on.
        let failure = Failure::InvalidOnionBlinding { sha256_of_onion };
        let packet = ReturnPacket::create(secret, &failure, Some(held));
        Command::FailHtlc {
            command,
            htlc,
            reason: packet.reason,
            attribution: packet.attribution_data,
        }
    }
}

/// How an HTLC of a blinded route goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Onward {
    /// Where we are.
    pub inside: Inside,
    /// To whom, or over which channel.
    pub next: NextHop,
    /// The `path_key` for the next hop.
    pub path_key: PublicKey,
}

/// What channels are told after a random delay. Lost in a crash; then the HTLCs are told again, and decided again.
#[derive(Debug, Default)]
pub(super) struct Late {
    commands: BTreeMap<(Instant, u64), (ChannelIndex, Command)>,
    number: u64,
}

impl Late {
    /// Adds a command. BOLT 2: "SHOULD add a random delay before sending `update_fail_htlc`."
    pub(super) fn add(&mut self, channel: ChannelIndex, command: Command) {
        let mut dice = [0; 2];
        // Without random numbers the time says more than it should, and nothing else is wrong.
        let _no_dice = getrandom::fill(&mut dice);
        // 30 to 541 ms.
        let more = Duration::from_millis(u64::from(u16::from_be_bytes(dice) >> 7));
        let now = Instant::now();
        let at = now.checked_add(DELAY_MIN.saturating_add(more)).unwrap_or(now);
        self.number = self.number.wrapping_add(1);
        self.commands.insert((at, self.number), (channel, command));
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.commands.first_key_value().map(|((at, _), _)| *at)
    }

    /// Waits for it; for ever if there is none.
    pub(super) async fn come(next: Option<Instant>) {
        match next {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// What is due.
    pub(super) fn due(&mut self) -> Vec<(ChannelIndex, Command)> {
        let now = Instant::now();
        let later = self.commands.split_off(&(now, u64::MAX));
        std::mem::replace(&mut self.commands, later).into_values().collect()
    }
}

#[cfg(test)]
mod tests;
