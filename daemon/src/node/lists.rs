//! Lists of what is remembered and what lies in the index, page by page.

use futures_util::stream;
use store::engine::{Engine, Order as Direction};
use store::table::TableError;

use crate::node::handle::Handle;
use crate::rpc::model::Updates;
use crate::rpc::model::page::{Listing, Order as PageOrder, Page};
use crate::rpc::node_api::Answer;
use crate::rpc::refusal::Refusal;

/// Rows read from the index in one go.
const ROWS_AT_ONCE: usize = 512;

/// A stream of one snapshot that is the last.
pub(super) fn once<T: Send + 'static>(shown: T) -> Updates<T> {
    Box::pin(stream::once(async move { Ok(shown) }))
}

impl Handle {
    /// One page of a list of which `recent` is remembered and the rest lies in the index. Where both know
    /// an entry, the remembered one is newer.
    pub(super) fn listing<T>(
        &self,
        recent: Vec<T>,
        page: Page,
        read: impl Fn(&dyn Engine, Option<u64>, Direction, usize) -> Result<Vec<T>, TableError>,
        place: impl Fn(&T) -> u64,
        passes: impl Fn(&T) -> bool,
    ) -> Answer<Listing<T>> {
        let direction = match page.order {
            PageOrder::OldestFirst => Direction::Ascending,
            PageOrder::NewestFirst => Direction::Descending,
        };
        let wanted = usize::try_from(page.size).unwrap_or(usize::MAX).saturating_add(1);
        let beyond = |at: u64| match (page.order, page.after) {
            (_, None) => true,
            (PageOrder::OldestFirst, Some(after)) => at > after,
            (PageOrder::NewestFirst, Some(after)) => at < after,
        };
        let mut rows: std::collections::BTreeMap<u64, T> = std::collections::BTreeMap::new();
        let engine = self.0.reading.engine().ok_or(Refusal::NoAnswer)?;
        let mut after = page.after;
        while rows.len() < wanted {
            let found =
                read(&*engine, after, direction, ROWS_AT_ONCE).map_err(|_| Refusal::StoreFailed)?;
            let Some(last) = found.last() else { break };
            after = Some(place(last));
            rows.extend(found.into_iter().filter(&passes).map(|entry| (place(&entry), entry)));
        }
        for entry in recent {
            let at = place(&entry);
            rows.remove(&at);
            if beyond(at) && passes(&entry) {
                rows.insert(at, entry);
            }
        }
        Ok(Listing::cut(rows.into_iter(), page))
    }
}
