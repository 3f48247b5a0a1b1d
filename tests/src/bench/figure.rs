//! A figure: its samples, those of a peer, and the two ways to tell it.

use serde::Serialize;

/// A measured quantity.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What it is, for programs; stable.
    pub name: String,
    /// Its unit.
    pub unit: &'static str,
    /// What was measured, in no order; never empty.
    pub samples: Vec<f64>,
    /// What a peer reached in the same run.
    pub peer: Option<Vec<f64>>,
}

/// A figure as a line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    unit: &'a str,
    median: f64,
    min: f64,
    max: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_median: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
}

impl Figure {
    /// A figure nobody else is compared with.
    pub const fn alone(name: String, unit: &'static str, samples: Vec<f64>) -> Self {
        Self { name, unit, samples, peer: None }
    }

    /// The middle sample.
    pub fn median(&self) -> f64 {
        median(&self.samples)
    }

    /// Ours divided by the peer's.
    pub fn ratio(&self) -> Option<f64> {
        self.peer.as_ref().map(|peer| self.median() / median(peer))
    }

    /// One JSON object.
    ///
    /// # Panics
    /// Never: there is nothing in it that JSON has no word for.
    pub fn json(&self) -> String {
        let line = Line {
            name: &self.name,
            unit: self.unit,
            median: round(self.median()),
            min: round(least(&self.samples)),
            max: round(most(&self.samples)),
            peer_median: self.peer.as_deref().map(median).map(round),
            ratio: self.ratio().map(round),
        };
        serde_json::to_string(&line).expect("numbers and names")
    }

    /// Minimum, median and maximum as people read them.
    pub fn spread(&self) -> String {
        let digits = usize::from(self.median() < 100.0) * 2;
        let (min, max) = (least(&self.samples), most(&self.samples));
        format!("{min:.digits$} / {:.digits$} / {max:.digits$}", self.median())
    }
}

/// The middle of some numbers, or the mean of the two in the middle.
///
/// # Panics
/// For no numbers at all.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

fn least(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Four significant digits behind the point are more than any of these figures is worth.
fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
