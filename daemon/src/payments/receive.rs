//! Whether an HTLC that ends here may settle an invoice. BOLT 4 § Failure Messages, § Basic Multi-Part
//! Payments.
//!
//! Pure: an HTLC and an invoice in, a verdict out.

use bitcoin::hashes::cmp::fixed_time_eq;
use channel::{Command, CommandId};
use wire::id::{PaymentHash, Preimage};
use wire::onion::SharedSecret;
use wire::onion::attribution::{self, HoldTime};
use wire::onion::failure::{Failure, ReturnPacket};
use wire::onion::payload::Final;
use wire::units::{BlockHeight, Msat};

use crate::fact::ChannelIndex;
use crate::payments::blinded;
use crate::payments::received::{Asked, AskedEnd};
use crate::switch::blinded::Inside;

/// How long an incomplete set of parts is held, in milliseconds. BOLT 4: "SHOULD wait for at least 60 seconds after the
/// initial HTLC."
pub const PARTS_PATIENCE_MS: u64 = 60_000;

/// Blocks before the expiry of a part at which an incomplete set is given back, so that no channel has
/// to be closed over it.
pub const FAIL_BACK_BLOCKS: u32 = 20;

/// An HTLC whose onion ends with us.
#[derive(Clone, Debug)]
pub struct Part {
    /// Over which channel it came.
    pub channel: ChannelIndex,
    /// The peer's id of it.
    pub htlc: u64,
    /// What it is worth.
    pub amount: Msat,
    /// The hash whose preimage claims it.
    pub hash: PaymentHash,
    /// The height at which the peer can take it back.
    pub cltv_expiry: BlockHeight,
    /// Trimmed value is above the policy: its preimage must not be shown.
    pub overexposed: bool,
    /// What encrypts a failure on its way back.
    pub secret: SharedSecret,
    /// When it was irrevocably committed, or told again after a restart, Unix milliseconds.
    pub since_ms: u64,
    /// Where in a blinded route we are, if it came by one. The payment secret is then the `path_id`.
    pub blinded: Option<Inside>,
    /// What the sender says.
    pub payload: Final,
}

impl Part {
    /// Gives it back with words for the sender; in a blinded route there are no words.
    pub fn refuse(&self, command: CommandId, failure: &Failure, now_ms: u64) -> Command {
        let held = self.held_for(now_ms);
        if let Some(inside) = &self.blinded {
            return inside.refuse(command, self.htlc, &self.secret, held);
        }
        let packet = ReturnPacket::create(&self.secret, failure, Some(held));
        Command::FailHtlc {
            command,
            htlc: self.htlc,
            reason: packet.reason,
            attribution: packet.attribution_data,
        }
    }

    /// Takes it. The sender hears how long we had it, unless it must not know who we are.
    pub fn fulfil(&self, command: CommandId, preimage: Preimage, now_ms: u64) -> Command {
        let says = self.blinded.is_none_or(|inside| inside.introduction);
        let attribution =
            says.then(|| attribution::fulfil(None, &self.secret, self.held_for(now_ms)));
        Command::FulfillHtlc { command, htlc: self.htlc, preimage, attribution }
    }

    fn held_for(&self, now_ms: u64) -> HoldTime {
        HoldTime::from_millis(now_ms.saturating_sub(self.since_ms))
    }

    /// All that a sender may learn of why its details do not fit.
    pub const fn unknown(&self, height: BlockHeight) -> Failure {
        Failure::IncorrectOrUnknownPaymentDetails {
            htlc_msat: self.amount.to_u64(),
            height: height.0,
        }
    }
}

/// What to do with a part.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Give it back.
    Refuse(Failure),
    /// It belongs to a set that was settled before: show the preimage.
    Settle,
    /// It may count towards its invoice.
    Count,
}

/// Judges a part by the invoice of its hash.
pub fn judge(part: &Part, asked: Option<&Asked>, height: BlockHeight, now_ms: u64) -> Verdict {
    let unknown = || Verdict::Refuse(part.unknown(height));
    // Before the invoice is looked at, so that whoever knows a hash alone learns nothing of it.
    if let Err(failure) = as_the_onion_says(part) {
        return Verdict::Refuse(failure);
    }
    let Some(asked) = asked else { return unknown() };
    match &asked.end {
        Some(AskedEnd::Settled(settled)) => {
            // Only what was settled as a set is fulfilled; a later payment for the same hash is another
            // payment, and nobody is owed it.
            return if settled.parts.contains(&(part.channel.0, part.htlc)) {
                Verdict::Settle
            } else {
                unknown()
            };
        }
        Some(AskedEnd::Cancelled(_)) => return unknown(),
        None => {}
    }
    // They were judged when they came, and time has passed since: only whether it is one of them counts.
    if let Some(held) = &asked.held {
        let is_one = held.parts.contains(&(part.channel.0, part.htlc));
        return if is_one { Verdict::Count } else { unknown() };
    }
    // BOLT 4: "if the `payment_secret` doesn't match the expected value for that `payment_hash`, or the
    // `payment_secret` is required and is not present: - MUST fail the HTLC."
    let Some(data) = part.payload.payment_data else { return unknown() };
    if !fixed_time_eq(&data.payment_secret.0, &asked.made.payment_secret.0) {
        return unknown();
    }
    // A blinded route is good for what it was made for, and what names us openly is not for it.
    if part.blinded.is_some() != blinded::is_bundle(&asked.made.bolt11.0) {
        return unknown();
    }
    // BOLT 4: "if the recipient provided `payment_metadata`: - MUST include `payment_metadata` with every HTLC". And what
    // we did not give nobody can bring back.
    if part.payload.payment_metadata != asked.made.metadata {
        return unknown();
    }
    if !amounts_fit(data.total_msat, asked.made.amount) || now_ms >= asked.made.expires_ms {
        return unknown();
    }
    // BOLT 4: "if the `cltv_expiry` value is unreasonably near the present: - MUST fail the HTLC."
    let needed = height.saturating_add(u32::from(asked.made.min_final_cltv_delta));
    if part.cltv_expiry < needed || part.overexposed || part.payload.custom_records.demand() {
        return unknown();
    }
    Verdict::Count
}

/// The preimage of a payment that came without an invoice, if it may be taken: whole, in time, and as its sender
/// meant it.
pub fn gift(part: &Part, height: BlockHeight) -> Option<Preimage> {
    let preimage = part.payload.keysend_preimage?;
    let whole = part.payload.total_msat() == part.payload.amt_to_forward;
    let in_time = part.cltv_expiry > height.saturating_add(FAIL_BACK_BLOCKS);
    let fits = whole && in_time && !part.overexposed && !part.payload.custom_records.demand();
    (fits && preimage.hash() == part.hash && as_the_onion_says(part).is_ok()).then_some(preimage)
}

/// What the hop before us did must be what the sender told it to.
fn as_the_onion_says(part: &Part) -> Result<(), Failure> {
    // BOLT 4: "if the `cltv_expiry` from the final node's HTLC is below `outgoing_cltv_value`: - MUST return
    // `final_incorrect_cltv_expiry` error."
    if part.cltv_expiry < part.payload.outgoing_cltv_value {
        return Err(Failure::FinalIncorrectCltvExpiry { cltv_expiry: part.cltv_expiry.0 });
    }
    // BOLT 4: "if `amount_msat` from the final node's HTLC is below `amt_to_forward`: - MUST return a
    // `final_incorrect_htlc_amount` error."
    if part.amount < part.payload.amt_to_forward {
        return Err(Failure::FinalIncorrectHtlcAmount { incoming_htlc_amt: part.amount.to_u64() });
    }
    Ok(())
}

/// BOLT 4: "if the amount paid is less than the amount expected: - MUST fail the HTLC", "if the amount paid is more than
/// twice the amount expected: - SHOULD fail the HTLC." An invoice without amount takes any.
fn amounts_fit(total: Msat, asked: Option<Msat>) -> bool {
    asked.is_none_or(|asked| {
        let (total, asked) = (total.to_u64(), asked.to_u64());
        total >= asked && total <= asked.saturating_mul(2)
    })
}

/// The parts of one payment that are here so far.
#[derive(Clone, Debug)]
pub struct HeldSet {
    /// What they are to add up to.
    pub total: Msat,
    /// When the first came, Unix milliseconds.
    pub since_ms: u64,
    /// The parts.
    pub parts: Vec<Part>,
}

impl HeldSet {
    /// A set that begins with `part`.
    pub fn begin(part: Part, now_ms: u64) -> Self {
        Self { total: part.payload.total_msat(), since_ms: now_ms, parts: vec![part] }
    }

    /// Whether another part belongs to this set. BOLT 4: "SHOULD fail the entire HTLC set if `total_msat` is not the same
    /// for all HTLCs in the set." We give back the one that differs: the others may still become whole.
    pub fn takes(&self, part: &Part) -> bool {
        part.payload.total_msat() == self.total
    }

    /// Adds a part, once.
    pub fn add(&mut self, part: Part) {
        let known = |held: &Part| held.channel == part.channel && held.htlc == part.htlc;
        if !self.parts.iter().any(known) {
            self.parts.push(part);
        }
    }

    /// What is here. Parts count with what the sender sent, not with what a hop added.
    pub fn sum(&self) -> Msat {
        Msat::checked_sum(self.parts.iter().map(|part| part.payload.amt_to_forward))
            .unwrap_or(Msat::MAX)
    }

    /// What really arrived.
    pub fn received(&self) -> Msat {
        Msat::checked_sum(self.parts.iter().map(|part| part.amount)).unwrap_or(Msat::MAX)
    }

    /// Whether all is here.
    pub fn is_complete(&self) -> bool {
        self.sum() >= self.total
    }

    /// Whether it was held long enough, or a part of it comes near its expiry.
    pub fn is_overdue(&self, height: BlockHeight, now_ms: u64) -> bool {
        let near = height.saturating_add(FAIL_BACK_BLOCKS);
        now_ms >= self.since_ms.saturating_add(PARTS_PATIENCE_MS)
            || self.parts.iter().any(|part| part.cltv_expiry <= near)
    }
}

#[cfg(test)]
mod tests;
