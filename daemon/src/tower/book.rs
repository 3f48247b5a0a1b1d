//! Which towers there are and how far each came: a fold over facts.

use std::collections::BTreeMap;

use bitcoin::hashes::{Hash as _, sha256};
use wire::id::NodeId;

use crate::fact::{
    DrillBegun, DrillEnded, DrillFunded, DrillStaged, Fact, TowerAt, TowerAudited, TowerFaulted,
    TowerKept, TowerSession,
};

/// Drills that are over and still shown, for each tower.
const DRILLS_SHOWN: usize = 8;

/// The bit that tells the session of a drill from that of a channel: no channel ever has such an index.
const DRILL: u64 = 1 << 63;

/// Whether the session in this place is a drill's.
pub(super) const fn is_drill(place: u64) -> bool {
    place & DRILL != 0
}

/// The name of a drill whose keys follow from these bytes.
pub(super) fn drill_name(entropy: &[u8; 32]) -> u64 {
    let hash = sha256::Hash::hash(&[b"viaduct drill", entropy.as_slice()].concat()).to_byte_array();
    let [a, b, c, d, e, f, g, h, ..] = hash;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]) | DRILL
}

/// A drill, as the journal knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Drilled {
    /// How it began.
    pub begun: DrillBegun,
    /// Its coins, once they left the wallet.
    pub funded: Option<DrillFunded>,
    /// Whether its breach may be out.
    pub staged: Option<DrillStaged>,
    /// How it ended.
    pub ended: Option<DrillEnded>,
}

/// A session, as the journal knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    /// How it was opened.
    pub opened: TowerSession,
    /// How far it came, if it came anywhere.
    pub at: Option<TowerAt>,
}

impl Kept {
    /// Whether the tower signed for anything in it.
    pub fn is_signed(&self) -> bool {
        self.at.as_ref().is_some_and(|at| !at.receipt.is_empty())
    }
}

/// All towers and their sessions.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Book {
    /// Towers, by their keys.
    pub towers: BTreeMap<NodeId, TowerKept>,
    /// Those that broke their word.
    pub faulted: BTreeMap<NodeId, TowerFaulted>,
    /// Sessions, by tower and the index of the channel.
    pub sessions: BTreeMap<(NodeId, u64), Kept>,
    /// Earlier sessions in the same places that a tower had signed for, the oldest first: they were full, or
    /// their time was over.
    pub past: BTreeMap<(NodeId, u64), Vec<Kept>>,
    /// Drills that run, and the last that are over.
    pub drills: BTreeMap<u64, Drilled>,
    /// The last audit of each session, by tower and the index of the channel.
    pub audits: BTreeMap<(NodeId, u64), TowerAudited>,
    /// The version of the newest checkpoint; 0 before the first.
    pub checkpoint: u64,
    /// The number of the next session with a tower for a channel, where there was one.
    next: BTreeMap<(NodeId, u64), u32>,
}

impl Book {
    /// Takes a fact in; most are about other things.
    pub fn apply(&mut self, fact: &Fact) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others are about other things")]
        match fact {
            Fact::TowerKept(kept) => {
                self.towers.insert(kept.tower, kept.clone());
                self.faulted.remove(&kept.tower);
            }
            Fact::TowerDropped(tower) => {
                self.towers.remove(tower);
                self.faulted.remove(tower);
                self.sessions.retain(|(of, _), _| of != tower);
                self.past.retain(|(of, _), _| of != tower);
                self.audits.retain(|(of, _), _| of != tower);
            }
            Fact::TowerSession(opened) => {
                let key = (opened.tower, opened.channel);
                self.next.insert(key, opened.number.saturating_add(1));
                let kept = Kept { opened: opened.clone(), at: None };
                let before = self.sessions.insert(key, kept);
                let is_other = |before: &Kept| before.opened.number != opened.number;
                if let Some(before) = before.filter(|before| before.is_signed() && is_other(before))
                {
                    self.past.entry(key).or_default().push(before);
                }
            }
            Fact::TowerAt(at) => {
                if let Some(kept) = self.sessions.get_mut(&(at.tower, at.channel)) {
                    kept.at = Some(TowerAt::clone(at));
                }
            }
            Fact::TowerOver(over) => {
                let key = (over.tower, over.channel);
                self.sessions.remove(&key);
                self.past.remove(&key);
                self.audits.remove(&key);
                if is_drill(over.channel) {
                    self.next.remove(&key);
                }
            }
            Fact::TowerFaulted(faulted) => {
                self.faulted.insert(faulted.tower, faulted.clone());
            }
            Fact::DrillBegun(begun) => {
                let begun = DrillBegun::clone(begun);
                let drilled = Drilled { begun, funded: None, staged: None, ended: None };
                self.drills.insert(drilled.begun.drill, drilled);
            }
            Fact::DrillFunded(funded) => {
                if let Some(drilled) = self.drills.get_mut(&funded.drill) {
                    drilled.funded = Some(funded.clone());
                }
            }
            Fact::DrillStaged(staged) => {
                if let Some(drilled) = self.drills.get_mut(&staged.drill) {
                    drilled.staged = Some(staged.clone());
                }
            }
            Fact::DrillEnded(ended) => {
                if let Some(drilled) = self.drills.get_mut(&ended.drill) {
                    drilled.ended = Some(ended.clone());
                    let tower = drilled.begun.tower;
                    self.forget_drills(tower);
                }
            }
            Fact::TowerAudited(audited) => {
                self.audits.insert((audited.tower, audited.channel), audited.clone());
            }
            Fact::CheckpointMade(version) => self.checkpoint = self.checkpoint.max(*version),
            _ => {}
        }
    }

    /// Of the drills of a tower that are over, the last few are kept.
    fn forget_drills(&mut self, tower: NodeId) {
        let mut over: Vec<(u64, u64)> = (self.drills.iter())
            .filter(|(_, drilled)| drilled.begun.tower == tower)
            .filter_map(|(name, drilled)| Some((drilled.ended.as_ref()?.at_ms, *name)))
            .collect();
        over.sort_unstable();
        let old = over.len().saturating_sub(DRILLS_SHOWN);
        for (_, name) in over.into_iter().take(old) {
            self.drills.remove(&name);
        }
    }

    /// The drill that runs with this tower, if one does.
    pub fn drill_with(&self, tower: NodeId) -> Option<&Drilled> {
        let mut drills = self.drills.values();
        drills.find(|drilled| drilled.begun.tower == tower && drilled.ended.is_none())
    }

    /// The facts that make this book again. The numbers of sessions that are over are among them, as
    /// sessions that are over at once: their keys are never used again.
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts: Vec<_> = self.towers.values().cloned().map(Fact::TowerKept).collect();
        facts.extend(self.faulted.values().cloned().map(Fact::TowerFaulted));
        for ((tower, channel), next) in &self.next {
            let kept = self.sessions.get(&(*tower, *channel));
            match (kept, next.checked_sub(1)) {
                (Some(kept), _) => {
                    for past in self.past.get(&(*tower, *channel)).into_iter().flatten() {
                        facts.push(Fact::TowerSession(past.opened.clone()));
                        facts.extend(past.at.clone().map(Box::new).map(Fact::TowerAt));
                    }
                    facts.push(Fact::TowerSession(kept.opened.clone()));
                    facts.extend(kept.at.clone().map(Box::new).map(Fact::TowerAt));
                }
                (None, Some(number)) => {
                    let (tower, channel) = (*tower, *channel);
                    let (kit, template, row) = (0, Vec::new(), 0);
                    let opened = TowerSession { tower, channel, number, kit, template, row };
                    facts.push(Fact::TowerSession(opened));
                    facts.push(Fact::TowerOver(crate::fact::TowerOver { tower, channel }));
                }
                (None, None) => {}
            }
        }
        for drilled in self.drills.values() {
            facts.push(Fact::DrillBegun(Box::new(drilled.begun.clone())));
            facts.extend(drilled.funded.clone().map(Fact::DrillFunded));
            facts.extend(drilled.staged.clone().map(Fact::DrillStaged));
            facts.extend(drilled.ended.clone().map(Fact::DrillEnded));
        }
        facts.extend(self.audits.values().cloned().map(Fact::TowerAudited));
        if self.checkpoint > 0 {
            facts.push(Fact::CheckpointMade(self.checkpoint));
        }
        facts
    }

    /// All sessions with a tower for a channel that it signed for, the newest first.
    pub fn signed(&self, tower: NodeId, channel: u64) -> Vec<Kept> {
        let key = (tower, channel);
        let past = self.past.get(&key).into_iter().flatten().rev();
        let all = self.sessions.get(&key).into_iter().chain(past);
        all.filter(|kept| kept.is_signed()).cloned().collect()
    }

    /// The number of the next session with a tower for a channel.
    pub fn next_number(&self, tower: NodeId, channel: u64) -> u32 {
        self.next.get(&(tower, channel)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::TowerOver;

    fn begun(tower: NodeId, drill: u64, at_ms: u64) -> DrillBegun {
        DrillBegun {
            drill,
            tower,
            entropy: [1; 32],
            amount_sat: 1,
            to_remote_sat: 1,
            commitment_feerate: wire::units::FeeratePerKw(253),
            to_self_delay: 144,
            ladder: vec![],
            sweep_script: vec![],
            word: "".into(),
            at_ms,
        }
    }

    fn ended(drill: u64, at_ms: u64) -> DrillEnded {
        let justice = bitcoin::Txid::from_byte_array([0; 32]);
        let (verdict, blocks, justice_fee_sat, cost_sat) = (1, 0, 0, 0);
        DrillEnded { drill, verdict, blocks, justice, justice_fee_sat, cost_sat, at_ms }
    }

    #[test]
    fn a_session_that_was_signed_for_is_remembered_behind_the_one_that_takes_its_place() {
        let tower = NodeId([2; 33]);
        let opened = |number| {
            let (kit, template, row) = (1, vec![1], u64::from(number));
            Fact::TowerSession(TowerSession { tower, channel: 7, number, kit, template, row })
        };
        let at = |row, receipt: &[u8]| {
            let (range, receipt) = (vec![1], receipt.to_vec());
            let (skip, htlcs, next_htlc) = (0, 0, (0, 0));
            let at = TowerAt { tower, channel: 7, row, skip, htlcs, next_htlc, range, receipt };
            Fact::TowerAt(Box::new(at))
        };
        let mut book = Book::default();
        let facts = [opened(0), at(5, &[8]), opened(1), opened(2), at(9, &[9]), opened(3)];
        facts.iter().for_each(|fact| book.apply(fact));
        let numbers = |book: &Book| -> Vec<u32> {
            book.signed(tower, 7).iter().map(|kept| kept.opened.number).collect()
        };
        assert_eq!(numbers(&book), [2, 0], "nothing was signed for in the others");
        book.apply(&at(11, &[10]));
        assert_eq!(numbers(&book), [3, 2, 0]);
        let mut again = Book::default();
        book.facts().iter().for_each(|fact| again.apply(fact));
        assert_eq!(again, book);
        book.apply(&Fact::TowerOver(TowerOver { tower, channel: 7 }));
        assert_eq!(numbers(&book), [0_u32; 0]);
    }

    #[test]
    fn a_book_is_made_again_by_its_own_facts_and_no_session_key_is_used_twice() {
        let tower = NodeId([2; 33]);
        let kept = TowerKept { tower, address: "here:9911".into(), kit: 1, at_ms: 5 };
        let opened = |channel, number| TowerSession {
            tower,
            channel,
            number,
            kit: 1,
            template: vec![1, 2],
            row: 3,
        };
        let at = TowerAt {
            tower,
            channel: 7,
            row: 9,
            skip: 0,
            htlcs: 0,
            next_htlc: (0, 0),
            range: vec![1],
            receipt: vec![],
        };
        let mut book = Book::default();
        for fact in [
            Fact::TowerKept(kept),
            Fact::TowerSession(opened(7, 0)),
            Fact::TowerAt(Box::new(at)),
            Fact::TowerSession(opened(8, 4)),
            Fact::TowerOver(TowerOver { tower, channel: 8 }),
        ] {
            book.apply(&fact);
        }
        assert_eq!((book.next_number(tower, 7), book.next_number(tower, 8)), (1, 5));
        let mut again = Book::default();
        // Over and over a snapshot is made of a snapshot.
        for fact in book.facts() {
            again.apply(&fact);
        }
        assert_eq!(again, book);
        for name in (0..12_u64).map(|n| n | DRILL) {
            let at_ms = name & 15;
            book.apply(&Fact::DrillBegun(Box::new(begun(tower, name, at_ms))));
            if name != DRILL {
                book.apply(&Fact::DrillEnded(ended(name, at_ms)));
            }
        }
        book.apply(&Fact::CheckpointMade(7));
        book.apply(&Fact::CheckpointMade(3));
        assert_eq!(book.checkpoint, 7);
        assert_eq!(
            book.drills.len(),
            1 + DRILLS_SHOWN,
            "the one that runs, and the last of the others"
        );
        assert_eq!(book.drill_with(tower).map(|drilled| drilled.begun.drill), Some(DRILL));
        let mut again = Book::default();
        for fact in book.facts() {
            again.apply(&fact);
        }
        assert_eq!(again, book);
        book.apply(&Fact::TowerDropped(tower));
        assert!(book.towers.is_empty() && book.sessions.is_empty());
        assert_eq!(book.next_number(tower, 7), 1, "also after the tower was hired again");
    }
}
