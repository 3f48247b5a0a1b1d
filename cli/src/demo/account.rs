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
    /// Transactions that the channels put on the chain.
    pub l1_transactions: u64,
    /// What those paid to miners.
    pub chain_fees_sat: u64,
    /// What the nodes had before.
    pub before_sat: u64,
    /// What the nodes have now.
    pub after_sat: u64,
    /// What moved off the chain, both ways added up.
    pub volume_sat: u64,
    /// Payments that passed over the node in the middle, as it tells.
    pub forwarded: u64,
    /// What it earned by that.
    pub forward_fees_sat: u64,
    /// Whether each node has what its payments say: neither more nor less.
    pub shares_agree: bool,
    /// Old states that were broadcast and cost the cheater everything, as confirmed on the chain.
    pub cheats_punished: u64,
    /// The second act, with sums of its own.
    pub betrayal: Betrayal,
    /// The third act, in which a watchtower took it for a victim that slept.
    pub ambush: Betrayal,
    /// How long it took, in milliseconds.
    #[serde(skip)]
    pub took_ms: u64,
}

/// What an anchor holds, in satoshi. Whoever cheats leaves one behind that nobody needs. BOLT 3.
pub(super) const ANCHOR_SAT: u64 = 330;

/// What the second act moved, or the third: one node broadcast an old state of a channel, and the other, or its
/// watchtower, took it all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Betrayal {
    /// What the channel held.
    pub channel_sat: u64,
    /// What the cheater's state would have given to it.
    pub wanted_sat: u64,
    /// What the victim's wallet got, in a block.
    pub taken_sat: u64,
    /// What the transaction that took it paid to miners.
    pub justice_fee_sat: u64,
    /// What all transactions of the act paid to miners.
    pub chain_fees_sat: u64,
    /// What lies in anchors that nobody fetched.
    pub anchors_sat: u64,
    /// Transactions of the act on the chain.
    pub l1_transactions: u64,
    /// What the nodes had before.
    pub before_sat: u64,
    /// What the nodes have now.
    pub after_sat: u64,
    /// Whether the cheater has nothing of the channel and the victim all of it.
    pub shares_agree: bool,
}

impl Betrayal {
    /// 1 if a block holds the transaction that takes all that the cheater wanted, else 0.
    pub fn cheats_punished(&self) -> u64 {
        let taken = self.taken_sat.checked_add(self.justice_fee_sat);
        u64::from(self.justice_fee_sat > 0 && taken == Some(self.wanted_sat))
    }

    /// Whether every satoshi is where it should be.
    pub fn conserved(&self) -> bool {
        let gone = self.chain_fees_sat.checked_add(self.anchors_sat);
        let all = gone.and_then(|gone| gone.checked_add(self.after_sat));
        self.shares_agree && all == Some(self.before_sat)
    }

    /// `by` says who punished.
    fn to_text(self, by: &str) -> String {
        if self.cheats_punished() == 0 || !self.conserved() {
            return "THE CHEATER GOT AWAY WITH SOMETHING".to_owned();
        }
        format!(
            "1 cheat punished {by}: it wanted {} and lost all of them; the victim has {} more, {} went to \
             miners and {} lie in an anchor",
            sat(self.wanted_sat),
            sat(self.taken_sat),
            sat(self.chain_fees_sat),
            sat(self.anchors_sat),
        )
    }
}

/// What one node had, did and has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// On the chain, before.
    pub before_sat: u64,
    /// Paid away through channels, fees of those on the way included.
    pub sent_sat: u64,
    /// Got through channels, fees for forwarding included.
    pub received_sat: u64,
    /// Chain fees that were its own to pay.
    pub fees_sat: u64,
    /// On the chain, after.
    pub after_sat: u64,
}

impl Share {
    /// What it should have after, with what it did and paid.
    pub fn should_sat(&self) -> u64 {
        let all = self.before_sat.saturating_add(self.received_sat);
        all.saturating_sub(self.sent_sat).saturating_sub(self.fees_sat)
    }

    /// Whether it has exactly what it should.
    pub fn agrees(&self) -> bool {
        let all = self.before_sat.checked_add(self.received_sat);
        let spent = self.sent_sat.checked_add(self.fees_sat);
        let should = all.zip(spent).and_then(|(all, spent)| all.checked_sub(spent));
        should == Some(self.after_sat)
    }
}

impl Account {
    /// Whether every satoshi is where it should be, in all acts.
    pub fn conserved(&self) -> bool {
        self.shares_agree
            && self.after_sat.checked_add(self.chain_fees_sat) == Some(self.before_sat)
            && self.betrayal.conserved()
            && self.ambush.conserved()
            && self.cheats_punished == 2
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

    /// For people: a few lines.
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
             {} passed over a node in the middle, which earned {}\n\
             {} moved off the chain. As Layer-1 transactions the same payments are {} vB: {} at 1 sat/vB.\n\
             {}\n{}",
            grouped(self.payments),
            grouped(self.l1_transactions),
            sat(self.chain_fees_sat),
            grouped(self.forwarded),
            sat(self.forward_fees_sat),
            sat(self.volume_sat),
            grouped(on_chain_vb),
            sat(on_chain_vb),
            self.betrayal.to_text("by its victim"),
            self.ambush.to_text("by a watchtower while its victim slept"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheated(before_sat: u64) -> Betrayal {
        Betrayal {
            channel_sat: 5_000_000,
            wanted_sat: 4_999_388,
            taken_sat: 4_999_228,
            justice_fee_sat: 160,
            chain_fees_sat: 596,
            anchors_sat: 330,
            l1_transactions: 3,
            before_sat,
            after_sat: before_sat - 926,
            shares_agree: true,
        }
    }

    fn good() -> Account {
        Account {
            payments: 1_000,
            failed: 0,
            l1_transactions: 2,
            chain_fees_sat: 338,
            before_sat: 150_000_000,
            after_sat: 149_999_662,
            volume_sat: 4_321_000,
            forwarded: 1_000,
            forward_fees_sat: 1_000,
            shares_agree: true,
            cheats_punished: 2,
            betrayal: cheated(149_999_662),
            ambush: cheated(149_998_736),
            took_ms: 12_345,
        }
    }

    #[test]
    fn a_cheater_that_got_anything_is_seen() {
        let betrayal = good().betrayal;
        assert_eq!(betrayal.cheats_punished(), 1);
        let text = good().to_text();
        assert!(text.contains("1 cheat punished by its victim: it wanted 4 999 388 sat"), "{text}");
        assert!(text.contains("1 cheat punished by a watchtower while its victim slept"), "{text}");
        let loots = [
            Betrayal { taken_sat: 4_999_227, ..betrayal },
            Betrayal { justice_fee_sat: 0, ..betrayal },
            Betrayal { after_sat: 149_998_735, ..betrayal },
            Betrayal { shares_agree: false, ..betrayal },
        ];
        for betrayal in loots {
            let cheats_punished = betrayal.cheats_punished() + 1;
            for account in [
                Account { betrayal, cheats_punished, ..good() },
                Account { ambush: betrayal, cheats_punished, ..good() },
            ] {
                assert!(!account.conserved(), "{betrayal:?}");
                assert!(account.to_text().contains("GOT AWAY"), "{betrayal:?}");
            }
        }
    }

    #[test]
    fn an_account_that_adds_up_says_so() {
        let text = good().to_text();
        assert!(text.starts_with(
            "1 000 payments, 2 Layer-1 transactions, 338 sat chain fees; all 150 000 000 sat accounted for"
        ), "{text}");
        assert!(text.contains("1 000 passed over a node in the middle, which earned 1 000 sat"));
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
        assert_eq!(json["cheats_punished"], 2);
        assert_eq!(json["betrayal"]["taken_sat"], 4_999_228);
        assert_eq!(json["ambush"]["taken_sat"], 4_999_228);
        assert_eq!((&json["forwarded"], &json["forward_fees_sat"]), (&1_000.into(), &1_000.into()));
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
