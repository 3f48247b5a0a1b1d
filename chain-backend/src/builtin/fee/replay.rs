//! Estimates by a script, block after block: a rush for block space that can be had again and again.

use bitcoin::FeeRate;
use std::collections::BTreeMap;
use std::str::FromStr;

/// The longest script, lines.
const LINES_MAX: usize = 100_000;
/// The highest target of an estimate, blocks.
const TARGET_MAX: u16 = 1_008;
/// A rate above this is a mistake, satoshi per virtual byte.
const RATE_MAX: u64 = 100_000;

/// What a chain says of fees for some blocks, and then for others.
///
/// One line a step: for how many blocks, then `target=sat/vB` pairs (`-` for "nobody knows") and perhaps `floor=sat/vB`,
/// the least the mempool takes. What follows a `#` is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeeReplay {
    steps: Vec<(u32, FeeStep)>,
}

/// What is said of fees at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeeStep {
    /// What to pay, by target in blocks.
    pub targets: BTreeMap<u16, Option<FeeRate>>,
    /// The least the mempool takes.
    pub floor: Option<FeeRate>,
}

/// A line that is no step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line}: {word:?} is not understood; write a number of blocks, then target=sat/vB pairs"
)]
pub struct FeeReplayError {
    /// Which line, from 1 on.
    pub line: usize,
    /// The word in it.
    pub word: String,
}

impl FeeReplay {
    /// A rush as mainnet has seen them, some 150 blocks long.
    pub fn spike() -> Self {
        // It is ours, and read in a test.
        include_str!("spike.txt").parse().unwrap_or(Self { steps: Vec::new() })
    }

    /// What is said after so many blocks; `None` once it is over.
    pub fn at(&self, blocks: u32) -> Option<&FeeStep> {
        let mut end = 0_u32;
        let found = self.steps.iter().find(|(length, _)| {
            end = end.saturating_add(*length);
            blocks < end
        });
        found.map(|(_, step)| step)
    }

    /// How many blocks it takes.
    pub fn blocks(&self) -> u32 {
        self.steps.iter().fold(0, |sum, (length, _)| sum.saturating_add(*length))
    }
}

impl FromStr for FeeReplay {
    type Err = FeeReplayError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut steps = Vec::new();
        for (line, words) in (1..=LINES_MAX).zip(text.lines()) {
            let mut words = words.split('#').next().unwrap_or_default().split_whitespace();
            let Some(first) = words.next() else { continue };
            let unclear = |word: &str| FeeReplayError { line, word: word.to_owned() };
            let length = first.parse().ok().filter(|length| *length > 0);
            let length = length.ok_or_else(|| unclear(first))?;
            let mut step = FeeStep::default();
            for word in words {
                step.put(word).ok_or_else(|| unclear(word))?;
            }
            if step.targets.is_empty() {
                return Err(unclear(first));
            }
            steps.push((length, step));
        }
        Ok(Self { steps })
    }
}

impl FeeStep {
    fn put(&mut self, word: &str) -> Option<()> {
        let (name, value) = word.split_once('=')?;
        if name == "floor" {
            self.floor = Some(rate(value)?);
            return Some(());
        }
        let target = name.parse().ok().filter(|target| (1..=TARGET_MAX).contains(target))?;
        let known = if value == "-" { None } else { Some(rate(value)?) };
        self.targets.insert(target, known);
        Some(())
    }
}

fn rate(text: &str) -> Option<FeeRate> {
    let sat_vb = text.parse().ok().filter(|sat_vb| (1..=RATE_MAX).contains(sat_vb))?;
    FeeRate::from_sat_per_vb(sat_vb)
}
