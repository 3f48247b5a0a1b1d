//! Walking long lists: a page at a time, from a cursor that stays right while the list grows.

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Newest first, the default.
    #[default]
    NewestFirst,
    /// Oldest first.
    OldestFirst,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many entries at most: 1 to 1000.
    pub size: u32,
    /// Go on after the entry with this index (exclusive, in the list's order). `None`: from the start.
    pub after: Option<u64>,
    /// Which way.
    pub order: Order,
}

impl Page {
    /// Entries on a page when the user does not say.
    pub const SIZE_DEFAULT: u32 = 100;
    /// Entries on a page at most.
    pub const SIZE_MAX: u32 = 1_000;
}

impl Default for Page {
    fn default() -> Self {
        Self { size: Self::SIZE_DEFAULT, after: None, order: Order::NewestFirst }
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// The index to go on after, if there is more.
    pub next: Option<u64>,
}

impl<T> Listing<T> {
    /// Cuts a page out of entries that are sorted oldest first and carry a rising index.
    #[must_use]
    pub fn cut(oldest_first: impl DoubleEndedIterator<Item = (u64, T)>, page: Page) -> Self {
        let size = usize::try_from(page.size).unwrap_or(usize::MAX);
        match page.order {
            Order::OldestFirst => Self::take(
                oldest_first.skip_while(|(index, _)| page.after.is_some_and(|at| *index <= at)),
                size,
            ),
            Order::NewestFirst => Self::take(
                oldest_first
                    .rev()
                    .skip_while(|(index, _)| page.after.is_some_and(|at| *index >= at)),
                size,
            ),
        }
    }

    fn take(mut rest: impl Iterator<Item = (u64, T)>, size: usize) -> Self {
        let mut last = None;
        let mut entries = Vec::new();
        for (index, entry) in rest.by_ref().take(size) {
            last = Some(index);
            entries.push(entry);
        }
        let more = rest.next().is_some();
        Self { entries, next: last.filter(|_| more) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Listing, Order, Page};

    fn walk(order: Order, size: u32) -> Vec<Vec<u64>> {
        let mut pages = Vec::new();
        let mut after = None;
        loop {
            let rows = (10..15_u64).map(|index| (index, index));
            let listing = Listing::cut(rows, Page { size, after, order });
            pages.push(listing.entries);
            after = listing.next;
            if after.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn pages_meet_without_gap_or_overlap_in_both_orders() {
        assert_eq!(walk(Order::OldestFirst, 2), [vec![10, 11], vec![12, 13], vec![14]]);
        assert_eq!(walk(Order::NewestFirst, 2), [vec![14, 13], vec![12, 11], vec![10]]);
    }

    #[test]
    fn a_list_that_ends_with_its_page_says_so() {
        assert_eq!(walk(Order::OldestFirst, 5), [vec![10, 11, 12, 13, 14]]);
        assert_eq!(walk(Order::NewestFirst, 1000), [vec![14, 13, 12, 11, 10]]);
    }

    #[test]
    fn an_entry_that_came_in_meanwhile_does_not_shift_the_pages() {
        let first = Listing::cut((0..4_u64).map(|i| (i, i)), Page { size: 2, ..Page::default() });
        let grown = (0..9_u64).map(|i| (i, i));
        let second = Listing::cut(grown, Page { size: 2, after: first.next, ..Page::default() });
        assert_eq!((first.entries, second.entries), (vec![3, 2], vec![1, 0]));
    }
}
