//! Conversations in text, one for each paragraph of BOLT 2 that is a conversation.
//!
//! `alice offers 10000000 as 1`, `alice fulfils 0 with 1`, `alice fails 0`, `alice signs`,
//! `alice sets 2000`, `alice closes`, `alice breaks off` (force close), `alice crashes`,
//! `the link breaks`, `the link comes back`; `alice tells` hands over everything she has said, and
//! `alice tells 2` the first two of it. A line that begins with `alice:` is what she has said and not
//! handed over yet, `alice owns 590 + 410` her balance and Bob's on her commitment in thousands of
//! satoshi, `alice sees` what her own side was told since the last look.

use super::*;
use crate::effect::{Notice, Outcome};

fn play(name: &str, script: &str) {
    let mut world = World::open(&Setup::default());
    for (number, line) in script.lines().enumerate() {
        let line = line.split('#').next().unwrap().trim();
        if !line.is_empty() {
            perform(&mut world, line, &format!("{name}:{}: {line}", number + 1));
        }
    }
}

fn perform(world: &mut World, line: &str, place: &str) {
    let words: Vec<_> = line.split_whitespace().collect();
    let who = usize::from(!line.starts_with("alice"));
    let amount = |word: &str| word.parse::<u64>().unwrap_or_else(|_| panic!("{place}"));
    match words[..] {
        ["the", "link", "breaks"] => world.nodes.iter_mut().for_each(Node::disconnect),
        ["the", "link", "comes", "back"] => world.nodes.iter_mut().for_each(Node::connect),
        [_, "offers", msat, "as", payment] => {
            world.nodes[who].offer(amount(msat), amount(payment));
            world.nodes[who].flush();
        }
        [_, "fulfils", htlc, "with", payment] => {
            let command = world.nodes[who].command_id();
            let (htlc, preimage) = (amount(htlc), preimage(amount(payment)));
            let fulfill = Command::FulfillHtlc { command, htlc, preimage, attribution: None };
            world.nodes[who].step(Event::Command(fulfill));
        }
        [_, "fails", htlc] => {
            let command = world.nodes[who].command_id();
            let (htlc, reason) = (amount(htlc), vec![1; 292]);
            let fail = Command::FailHtlc { command, htlc, reason, attribution: None };
            world.nodes[who].step(Event::Command(fail));
        }
        [_, "sets", feerate] => {
            let command = world.nodes[who].command_id();
            let feerate = FeeratePerKw(u32::try_from(amount(feerate)).unwrap());
            world.nodes[who].step(Event::Command(Command::UpdateFee { command, feerate }));
        }
        [_, "closes"] => {
            let command = world.nodes[who].command_id();
            let shutdown = Command::Shutdown { command, script: None, feerate: FEERATE };
            world.nodes[who].step(Event::Command(shutdown));
        }
        [_, "breaks", "off"] => {
            let command = world.nodes[who].command_id();
            world.nodes[who].step(Event::Command(Command::ForceClose { command }));
        }
        [_, "signs"] => world.nodes[who].step(Event::Commit),
        [_, "crashes"] => world.nodes[who].crash(),
        [_, "tells"] => {
            let said = world.nodes[who].outbox.len();
            (0..said).for_each(|_| assert!(world.deliver(who), "{place}"));
            world.nodes[1 - who].flush();
        }
        [_, "tells", said] => {
            (0..amount(said)).for_each(|_| assert!(world.deliver(who), "{place}"));
            world.nodes[1 - who].flush();
        }
        [_, "owns", ours, "+", theirs] => {
            let (us, them) = world.nodes[who].channel().balances().unwrap();
            let owned = (us.to_u64() / 1_000_000, them.to_u64() / 1_000_000);
            assert_eq!(owned, (amount(ours), amount(theirs)), "{place}");
        }
        ["alice" | "bob", "sees", ..] => {
            let seen: Vec<_> = world.nodes[who].look().iter().filter_map(shown).collect();
            assert_eq!(seen.join(", "), words[2..].join(" "), "{place}");
        }
        ["alice:" | "bob:", ..] => {
            let said: Vec<_> = world.nodes[who].outbox.iter().map(Message::kind).collect();
            assert_eq!(said.join(", "), words[1..].join(" "), "{place}");
        }
        _ => panic!("{place}"),
    }
}

/// Effects that a transcript speaks of.
fn shown(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Incoming(htlc) => format!("htlc {}", htlc.id),
        Effect::Resolved(resolved) => {
            let how = match resolved.outcome {
                Outcome::Fulfilled { .. } => "fulfilled",
                Outcome::Failed { .. } => "failed",
                Outcome::Malformed { .. } => "malformed",
                Outcome::TimedOut => "timed out",
                Outcome::Unsent => "unsent",
            };
            format!("{} {how}", resolved.htlc)
        }
        Effect::Broadcast { why, .. } => format!("{why:?}"),
        Effect::Notice(Notice::Fault(fault)) => format!("{fault:?}"),
        Effect::Notice(Notice::FeerateChanged { feerate }) => format!("feerate {}", feerate.0),
        Effect::Alarm(_) => "alarm".to_owned(),
        Effect::Disconnect => "hang up".to_owned(),
        _ => return None,
    })
}

macro_rules! transcripts {
    ($($name:ident)*) => { $(
        #[test]
        fn $name() {
            let name = concat!(stringify!($name), ".txt");
            play(name, include_str!(concat!("../transcripts/", stringify!($name), ".txt")));
        }
    )* };
}

transcripts! {
    normal_operation
    signatures_that_cross
    removing_an_htlc
    updating_fees
    closing
    retransmission_of_a_signature
    retransmission_of_a_revocation
    retransmission_in_order
    uncommitted_updates_are_forgotten
    failing_the_channel
}
