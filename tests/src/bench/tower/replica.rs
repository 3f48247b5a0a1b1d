//! What a tower of one's own stores: nothing for a state, a few bytes for an HTLC.

use super::shelf::{client, start, stop};
use crate::bench::figure::Figure;
use bitcoin::hashes::{Hash as _, sha256};
use channel::shachain;
use std::path::Path;
use watchtower::message::{HtlcAdd, ReplicaUpdate};
use watchtower::store::{Keeper, Kit, Wish};
use wire::units::BlockHeight;

/// States and HTLCs that are told at once.
const BATCH: u64 = 40;
/// States that are told before and while it is measured.
const STATES: u64 = 10_000;

/// Tells of so many more states, each with so many HTLCs.
async fn tell(keeper: &Keeper, session: u32, from: (u64, u64), htlcs: u64) -> (u64, u64) {
    let (mut state, mut htlc) = from;
    while state < from.0 + STATES {
        let secrets = (state..state + BATCH).map(|n| shachain::secret(&[7; 32], n).expect("one"));
        let added = (htlc..htlc + BATCH * htlcs).map(|number| {
            let [hash @ .., _, _, _, _, _, _, _, _, _, _, _, _] =
                sha256::Hash::hash(&number.to_be_bytes()).to_byte_array();
            HtlcAdd { hash, cltv_expiry: BlockHeight(800_000), offered: number % 2 == 0 }
        });
        let update = ReplicaUpdate {
            first: state,
            secrets: secrets.collect(),
            chain: Vec::new(),
            first_htlc: htlc,
            htlcs: added.collect(),
            fundings: Vec::new(),
            now: None,
        };
        let heard = keeper.tell(session, update, Vec::new()).await.expect("taken").into_inner();
        (state, htlc) = (heard.count, heard.htlcs);
    }
    (state, htlc)
}

/// What lasts of all that: the records' directory, and the state that a snapshot holds.
async fn lasting(keeper: &Keeper, dir: &Path) -> f64 {
    let state = keeper.state().await.expect("running").encode().len() as u64;
    (state + super::shelf::bytes_below(&dir.join("records"))) as f64
}

/// Bytes of a state and of an HTLC that last.
pub(super) async fn sizes(dir: &Path) -> Vec<Figure> {
    let opened = start(dir);
    let keeper = &opened.keeper;
    let wish = Wish {
        key: client(0).public_key().serialize(),
        kit: Kit::Replica,
        template: vec![0; 400],
        quota_bytes: u64::MAX,
        quota_records: u32::MAX,
        blocks: u32::MAX,
        replaces: false,
    };
    let session = keeper.open(wish).await.expect("a session").into_inner().session;
    let mut at = tell(keeper, session, (0, 0), 0).await;
    let mut sizes = vec![lasting(keeper, dir).await];
    for htlcs in [0, 1] {
        at = tell(keeper, session, at, htlcs).await;
        sizes.push(lasting(keeper, dir).await);
    }
    stop(opened).await;
    let each: Vec<f64> = sizes.windows(2).map(|two| (two[1] - two[0]) / STATES as f64).collect();
    vec![
        Figure::alone("tower.bytes.replica_state".into(), "B", vec![each[0]]),
        Figure::alone("tower.bytes.replica_htlc".into(), "B", vec![each[1]]),
    ]
}
