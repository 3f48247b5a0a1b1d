//! The compute pool: many signatures at once, on all cores.

use channel::tx::Workers;
use rayon::prelude::*;
use wire::id::Signature;

/// Below this many jobs, handing them out costs more than it saves.
const WORTH: usize = 4;

/// Signs and verifies on rayon's threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pool;

impl Workers for Pool {
    fn sign(&self, count: usize, job: &(dyn Fn(usize) -> Signature + Sync)) -> Vec<Signature> {
        if count < WORTH {
            return (0..count).map(job).collect();
        }
        (0..count).into_par_iter().map(job).collect()
    }

    fn find_bad(&self, count: usize, job: &(dyn Fn(usize) -> bool + Sync)) -> Option<usize> {
        if count < WORTH {
            return (0..count).find(|place| !job(*place));
        }
        (0..count).into_par_iter().find_first(|place| !job(*place))
    }
}
