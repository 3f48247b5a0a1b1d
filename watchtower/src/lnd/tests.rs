//! LND's clients against our rules, and our client against LND's. Scenarios 16, 18, 19, 20.
//!
//! LND's own tests make their blobs with random nonces and addresses, so they hold no blob to compare
//! with. What is compared: keys and figures of its tests, the commitments in its vectors (`lnwallet`), and
//! blobs that another library sealed from the layout in its source.

mod blobs;
mod justices;
mod sessions;
mod uploads;
