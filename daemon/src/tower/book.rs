//! Which towers there are and how far each came: a fold over facts.

use std::collections::BTreeMap;

use wire::id::NodeId;

use crate::fact::{Fact, TowerAt, TowerFaulted, TowerKept, TowerSession};

/// A session, as the journal knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    /// How it was opened.
    pub opened: TowerSession,
    /// How far it came, if it came anywhere.
    pub at: Option<TowerAt>,
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
            }
            Fact::TowerSession(opened) => {
                let key = (opened.tower, opened.channel);
                self.next.insert(key, opened.number.saturating_add(1));
                self.sessions.insert(key, Kept { opened: opened.clone(), at: None });
            }
            Fact::TowerAt(at) => {
                if let Some(kept) = self.sessions.get_mut(&(at.tower, at.channel)) {
                    kept.at = Some(TowerAt::clone(at));
                }
            }
            Fact::TowerOver(over) => {
                self.sessions.remove(&(over.tower, over.channel));
            }
            Fact::TowerFaulted(faulted) => {
                self.faulted.insert(faulted.tower, faulted.clone());
            }
            _ => {}
        }
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
        facts
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
        book.apply(&Fact::TowerDropped(tower));
        assert!(book.towers.is_empty() && book.sessions.is_empty());
        assert_eq!(book.next_number(tower, 7), 1, "also after the tower was hired again");
    }
}
