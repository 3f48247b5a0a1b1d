//! Which channels the replica sessions have, by what a close of each spends.

use std::collections::BTreeMap;

use bitcoin::OutPoint;

use crate::store::fact::{Fact, Kit};
use crate::store::order::Late;
use crate::store::state::{Session, State};

/// All of them.
pub(crate) fn fundings(state: &State) -> BTreeMap<OutPoint, u32> {
    let replicas = state.sessions().filter(|(_, session)| session.is(Kit::Replica));
    replicas
        .flat_map(|(number, session)| of(session).map(move |funding| (funding, number)))
        .collect()
}

/// Follows a fact; says what a block that came already may concern.
pub(crate) fn follow(
    fundings: &mut BTreeMap<OutPoint, u32>,
    state: &State,
    fact: &Fact,
) -> Vec<Late> {
    let session = match fact {
        Fact::Opened(opening) if opening.kit == Kit::Replica => opening.session,
        Fact::Replica { session, .. } => *session,
        Fact::Dropped { session } => {
            fundings.retain(|_, owner| owner != session);
            return Vec::new();
        }
        Fact::Opened(_)
        | Fact::Granted { .. }
        | Fact::Closed { .. }
        | Fact::Rewritten { .. }
        | Fact::Emptied { .. }
        | Fact::BlockConnected { .. }
        | Fact::BlocksDisconnected { .. }
        | Fact::Compared { .. }
        | Fact::Claim(_) => return Vec::new(),
    };
    let Some(found) = state.session(session) else { return Vec::new() };
    let all: Vec<OutPoint> = of(found).collect();
    for funding in &all {
        fundings.insert(*funding, session);
    }
    all.into_iter().map(|funding| Late::Replica { session, funding }).collect()
}

/// The channels of one session.
fn of(_session: &Session) -> impl Iterator<Item = OutPoint> {
    std::iter::empty()
}
