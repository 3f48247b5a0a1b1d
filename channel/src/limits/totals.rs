//! The sums that limits are measured on: one look at everything in flight, then kept up to date add by add.
//!
//! A burst of offers would otherwise look at all of them again for every one.

use wire::units::{FeeratePerKw, Msat, Sat};

use crate::clock::{Clock, Side, Turn};
use crate::ledger::{Htlc, Ledger};
use crate::terms::Terms;
use crate::tx::trimmed;

/// What counts when an HTLC is offered, by either side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Totals {
    /// Who pays the fees.
    pub funder: Side,
    /// The highest feerate that any commitment has or is about to have.
    pub feerate_max: FeeratePerKw,
    /// Everything that our commitments may show from now on.
    pub on_ours: Shown,
    /// Everything that the peer's commitments may show from now on.
    pub on_theirs: Shown,
    /// Measured on the peer's next commitment, where our offers appear first.
    pub ours: Offers,
    /// Measured on our next commitment, where the peer's offers appear first.
    pub theirs: Offers,
    /// HTLCs with an output on our next commitment.
    pub outputs: usize,
    /// The feerate of our next commitment.
    pub feerate: FeeratePerKw,
}

/// HTLCs on the commitments of one side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shown {
    dust_limit: Sat,
    /// How many have an output.
    pub untrimmed: usize,
    /// What the others are worth: what a close would burn.
    pub dust_msat: u64,
}

/// What one side offers, and what it has left.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Offers {
    /// The offerer's balance.
    pub balance: Msat,
    /// The other side's balance.
    pub other_balance: Msat,
    /// How many HTLCs of it are in flight.
    pub count: usize,
    /// What they are worth.
    pub value_msat: u64,
}

impl Shown {
    const fn of(dust_limit: Sat) -> Self {
        Self { dust_limit, untrimmed: 0, dust_msat: 0 }
    }

    /// Whether an HTLC of this amount has no output here.
    pub fn trims(&self, amount: Msat) -> bool {
        trimmed(amount, self.dust_limit)
    }

    fn add(&mut self, amount: Msat) {
        if self.trims(amount) {
            self.dust_msat = self.dust_msat.saturating_add(amount.to_u64());
        } else {
            self.untrimmed = self.untrimmed.saturating_add(1);
        }
    }
}

impl Offers {
    fn add(&mut self, amount: Msat) -> Option<()> {
        self.balance = self.balance.checked_sub(amount)?;
        self.count = self.count.saturating_add(1);
        self.value_msat = self.value_msat.saturating_add(amount.to_u64());
        Some(())
    }
}

/// Gains and losses of both sides on one commitment.
struct Balance {
    us: [Msat; 2],
    them: [Msat; 2],
}

impl Balance {
    fn take(&mut self, by: Side, amount: Msat, paid: bool) -> Option<()> {
        let (offerer, receiver) = match by {
            Side::Us => (&mut self.us, &mut self.them),
            Side::Them => (&mut self.them, &mut self.us),
        };
        let ([_, loss], [gain, _]) = (offerer, receiver);
        *loss = loss.checked_add(amount)?;
        if paid {
            *gain = gain.checked_add(amount)?;
        }
        Some(())
    }

    fn left(self) -> Option<(Msat, Msat)> {
        let ([us, from_us], [them, from_them]) = (self.us, self.them);
        Some((us.checked_sub(from_us)?, them.checked_sub(from_them)?))
    }
}

impl Totals {
    /// Measures the channel as it will be when everything said so far is signed.
    ///
    /// `None` if somebody would own less than nothing, which the limits never let happen.
    pub fn measure(ledger: &Ledger, terms: &Terms) -> Option<Self> {
        let mut totals = Self {
            funder: ledger.funder,
            feerate_max: ledger.feerate_max(),
            on_ours: Shown::of(terms.us.dust_limit),
            on_theirs: Shown::of(terms.them.dust_limit),
            ours: Offers::default(),
            theirs: Offers::default(),
            outputs: 0,
            feerate: ledger.feerate(Side::Us, Some(Turn::Signed(Side::Them))),
        };
        let start = || Balance {
            us: [ledger.settled(Side::Us), Msat::ZERO],
            them: [ledger.settled(Side::Them), Msat::ZERO],
        };
        let (mut on_ours, mut on_theirs) = (start(), start());
        for (by, htlc) in ledger.htlcs() {
            totals.look(by, htlc, &mut on_ours, &mut on_theirs)?;
        }
        let (us, them) = on_theirs.left()?;
        (totals.ours.balance, totals.ours.other_balance) = (us, them);
        let (us, them) = on_ours.left()?;
        (totals.theirs.balance, totals.theirs.other_balance) = (them, us);
        Some(totals)
    }

    fn look(
        &mut self,
        by: Side,
        htlc: &Htlc,
        on_ours: &mut Balance,
        on_theirs: &mut Balance,
    ) -> Option<()> {
        let amount = htlc.add.amount_msat;
        let next = |clock: Clock, owner: Side| clock.after(Turn::Signed(!owner)).shown_to(owner);
        for owner in [Side::Us, Side::Them] {
            let gone = htlc.removal.as_ref().filter(|going| next(going.clock, owner));
            let (shown, balance, offers) = match owner {
                Side::Us => (&mut self.on_ours, &mut *on_ours, &mut self.theirs),
                Side::Them => (&mut self.on_theirs, &mut *on_theirs, &mut self.ours),
            };
            if gone.is_none() {
                shown.add(amount);
            }
            if !next(htlc.clock, owner) {
                continue;
            }
            match gone {
                Some(going) if going.how.fulfils() => balance.take(by, amount, true)?,
                Some(_) => {}
                None => {
                    balance.take(by, amount, false)?;
                    if by != owner {
                        offers.count = offers.count.saturating_add(1);
                        offers.value_msat = offers.value_msat.saturating_add(amount.to_u64());
                    }
                    if owner == Side::Us && !self.on_ours.trims(amount) {
                        self.outputs = self.outputs.saturating_add(1);
                    }
                }
            }
        }
        Some(())
    }

    /// As they are with one more HTLC of ours; `None` if we cannot pay it.
    pub fn with_ours(mut self, amount: Msat) -> Option<Self> {
        self.ours.add(amount)?;
        self.on_ours.add(amount);
        self.on_theirs.add(amount);
        Some(self)
    }

    /// As they are with one more HTLC of the peer's; `None` if it cannot pay it.
    pub fn with_theirs(mut self, amount: Msat) -> Option<Self> {
        self.theirs.add(amount)?;
        self.on_ours.add(amount);
        self.on_theirs.add(amount);
        if !self.on_ours.trims(amount) {
            self.outputs = self.outputs.saturating_add(1);
        }
        Some(self)
    }
}
