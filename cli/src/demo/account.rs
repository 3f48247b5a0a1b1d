//! The closing account: what was there, what is there, and where the difference went.

use serde::Serialize;

use crate::amount::{grouped, sat};

/// Virtual bytes of an everyday payment on the chain: one taproot input, two outputs.
const PAYMENT_VB: u64 = 154;

/// What the story moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Payments that arrived.
    pub payments: u64,
    /// Payments that did not.
    pub failed: u64,
    /// Transactions that the channel put on the chain.
    pub l1_transactions: u64,
    /// What those paid to miners.
    pub chain_fees_sat: u64,
    /// What the nodes had before.
    pub before_sat: u64,
    /// What the nodes have now.
    pub after_sat: u64,
    /// What moved off the chain, both ways added up.
    pub volume_sat: u64,
    /// Whether each node has what its payments say: neither more nor less.
    pub shares_agree: bool,
    /// How long it took, in milliseconds.
    #[serde(skip)]
    pub took_ms: u64,
}

/// What one node had, did and has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// On the chain, before.
    pub before_sat: u64,
    /// Paid away through the channel.
    pub sent_sat: u64,
    /// Got through the channel.
    pub received_sat: u64,
    /// Chain fees that were its own to pay.
    pub fees_sat: u64,
    /// On the chain, after.
    pub after_sat: u64,
}

impl Share {
    /// Whether it has exactly what it should.
    pub fn agrees(&self) -> bool {
        let all = self.before_sat.checked_add(self.received_sat);
        let spent = self.sent_sat.checked_add(self.fees_sat);
        let should = all.zip(spent).and_then(|(all, spent)| all.checked_sub(spent));
        should == Some(self.after_sat)
    }
}

impl Account {
    /// Whether every satoshi is where it should be.
    pub fn conserved(&self) -> bool {
        self.shares_agree
            && self.after_sat.checked_add(self.chain_fees_sat) == Some(self.before_sat)
    }

    /// For programs: one object.
    pub fn to_json(&self) -> serde_json::Value {
        let mut object = serde_json::json!(self);
        if let Some(fields) = object.as_object_mut() {
            let seconds = std::time::Duration::from_millis(self.took_ms).as_secs_f64();
            fields.insert("conserved".into(), self.conserved().into());
            fields.insert("seconds".into(), seconds.into());
        }
        object
    }

    /// For people: three lines.
    pub fn to_text(&self) -> String {
        let on_chain_vb = self.payments.saturating_mul(PAYMENT_VB);
        let sum = if self.conserved() {
            format!("all {} accounted for", sat(self.before_sat))
        } else {
            format!(
                "{} before, {} after: THE ACCOUNT DOES NOT ADD UP",
                sat(self.before_sat),
                sat(self.after_sat)
            )
        };
        let failed = match self.failed {
            0 => String::new(),
            failed => format!(" ({} failed)", grouped(failed)),
        };
        format!(
            "{} payments{failed}, {} Layer-1 transactions, {} chain fees; {sum}\n\
             {} moved off the chain. As Layer-1 transactions the same payments are {} vB: {} at 1 sat/vB.",
            grouped(self.payments),
            grouped(self.l1_transactions),
            sat(self.chain_fees_sat),
            sat(self.volume_sat),
            grouped(on_chain_vb),
            sat(on_chain_vb),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Account {
        Account {
            payments: 1_000,
            failed: 0,
            l1_transactions: 2,
            chain_fees_sat: 338,
            before_sat: 150_000_000,
            after_sat: 149_999_662,
            volume_sat: 4_321_000,
            shares_agree: true,
            took_ms: 12_345,
        }
    }

    #[test]
    fn an_account_that_adds_up_says_so() {
        let text = good().to_text();
        assert!(text.starts_with(
            "1 000 payments, 2 Layer-1 transactions, 338 sat chain fees; all 150 000 000 sat accounted for"
        ), "{text}");
    }

    #[test]
    fn one_satoshi_too_many_or_too_few_is_seen() {
        for after_sat in [149_999_661, 149_999_663] {
            let account = Account { after_sat, ..good() };
            assert!(!account.conserved());
            assert!(account.to_text().contains("DOES NOT ADD UP"));
        }
        assert!(!Account { shares_agree: false, ..good() }.conserved());
    }

    #[test]
    fn programs_get_one_object_with_the_promised_fields() {
        let json = good().to_json();
        assert_eq!(json["payments"], 1_000);
        assert_eq!(json["failed"], 0);
        assert_eq!(json["l1_transactions"], 2);
        assert_eq!(json["chain_fees_sat"], 338);
        assert_eq!(json["conserved"], true);
        assert_eq!(json["seconds"], 12.345);
    }

    #[test]
    fn a_share_agrees_only_to_the_satoshi() {
        let share = Share {
            before_sat: 1_000,
            sent_sat: 300,
            received_sat: 50,
            fees_sat: 10,
            after_sat: 740,
        };
        assert!(share.agrees());
        assert!(!Share { after_sat: 741, ..share }.agrees());
        assert!(!Share { sent_sat: 5_000, ..share }.agrees());
    }
}
