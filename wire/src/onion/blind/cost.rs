//! What a blinded route costs and allows. BOLT 4 § `payload` format, Requirements.

use crate::units::{BlockHeight, CltvDelta, Msat};

const MILLION: u128 = 1_000_000;

/// What a hop takes for forwarding, in place of its advertised policy (TLV 10).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PaymentRelay {
    /// Blocks between incoming and outgoing expiry.
    pub cltv_expiry_delta: CltvDelta,
    /// Millionths of the outgoing amount.
    pub fee_proportional_millionths: u32,
    /// Millisatoshi for each HTLC.
    pub fee_base_msat: u32,
}

impl PaymentRelay {
    /// Amount and expiry of the outgoing HTLC; `None` if the incoming one does not pay for it.
    pub fn outgoing(&self, amount: Msat, expiry: BlockHeight) -> Option<(Msat, BlockHeight)> {
        // BOLT 4: "`amt_to_forward = ((amount_msat - fee_base_msat) * 1000000 + 1000000 +
        // fee_proportional_millionths - 1) / (1000000 + fee_proportional_millionths)`"
        let paid = u128::from(amount.to_u64().checked_sub(u64::from(self.fee_base_msat))?);
        let rate = MILLION.checked_add(u128::from(self.fee_proportional_millionths))?;
        let forward = paid.checked_mul(MILLION)?.div_ceil(rate);
        let expiry = expiry.to_u32().checked_sub(u32::from(self.cltv_expiry_delta.to_u16()))?;
        Some((Msat::new(u64::try_from(forward).ok()?)?, BlockHeight(expiry)))
    }
}

/// What HTLCs a hop lets through (TLV 12).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PaymentConstraints {
    /// The last incoming expiry; after it the route is dead.
    pub max_cltv_expiry: BlockHeight,
    /// The least incoming amount.
    pub htlc_minimum_msat: Msat,
}

impl PaymentConstraints {
    /// Whether an incoming HTLC may pass.
    pub fn allow(&self, amount: Msat, expiry: BlockHeight) -> bool {
        expiry <= self.max_cltv_expiry && amount >= self.htlc_minimum_msat
    }
}

/// What a whole blinded route costs, as its sender sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PathCost {
    /// Millisatoshi for each HTLC.
    pub fee_base_msat: u32,
    /// Millionths of the amount that arrives.
    pub fee_proportional_millionths: u32,
    /// Blocks from the introduction node to the recipient's expiry, with its own delta.
    pub cltv_expiry_delta: CltvDelta,
}

impl PathCost {
    /// Adds up the forwarding hops, introduction node first; `None` if a sum leaves its field.
    pub fn of(relays: &[PaymentRelay], min_final: CltvDelta) -> Option<Self> {
        let nothing =
            Self { fee_base_msat: 0, fee_proportional_millionths: 0, cltv_expiry_delta: min_final };
        relays.iter().rev().try_fold(nothing, |total, hop| total.before(hop))
    }

    // BOLT 4: "`total_fee_base_msat(n+1) = (fee_base_msat(n+1) * 1000000 + total_fee_base_msat(n) *
    // (1000000 + fee_proportional_millionths(n+1)) + 1000000 - 1) / 1000000`"
    fn before(self, hop: &PaymentRelay) -> Option<Self> {
        let hop_base = u128::from(hop.fee_base_msat).checked_mul(MILLION)?;
        let hop_rate = u128::from(hop.fee_proportional_millionths);
        let base = u128::from(self.fee_base_msat);
        let rate = u128::from(self.fee_proportional_millionths);
        let base = base.checked_mul(MILLION.checked_add(hop_rate)?)?.checked_add(hop_base)?;
        let sum = rate.checked_add(hop_rate)?.checked_mul(MILLION)?;
        let rate = sum.checked_add(rate.checked_mul(hop_rate)?)?;
        let delta = self.cltv_expiry_delta.to_u16().checked_add(hop.cltv_expiry_delta.to_u16())?;
        Some(Self {
            fee_base_msat: u32::try_from(base.div_ceil(MILLION)).ok()?,
            fee_proportional_millionths: u32::try_from(rate.div_ceil(MILLION)).ok()?,
            cltv_expiry_delta: CltvDelta(delta),
        })
    }

    /// What must enter the route so that `amount` arrives; `None` above 21 million bitcoin. Rounding the share down
    /// (BOLT 7 § HTLC Fees) is enough, because every hop rounds what it forwards up.
    pub fn incoming(&self, amount: Msat) -> Option<Msat> {
        let rate = u128::from(self.fee_proportional_millionths);
        let share = u128::from(amount.to_u64()).checked_mul(rate)?.checked_div(MILLION)?;
        let fee = u64::try_from(share).ok()?.checked_add(u64::from(self.fee_base_msat))?;
        amount.checked_add(Msat::new(fee)?)
    }
}
