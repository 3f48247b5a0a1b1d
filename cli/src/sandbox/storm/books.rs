//! What all nodes together have in their channels, at a moment when nothing is under way.

use api::client::Client;
use api::v1;
use tonic::Status;

use crate::sandbox::run::Seat;
use crate::sandbox::weave::{channels_of, until};

/// Sums over a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Books {
    /// Channels, each once.
    pub(super) channels: u64,
    /// What was put into them, each once, in msat.
    pub(super) issued_msat: u64,
    /// Payments that one side or the other still shows in a channel, and their value in msat, as their
    /// offerers show it.
    pub(super) htlcs: u64,
    /// See above.
    pub(super) in_flight_msat: u64,
    /// Each node, by its place.
    pub(super) nodes: Vec<Purse>,
}

/// One node's part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Purse {
    /// Its side of all its channels, in msat.
    pub(super) ours_msat: u64,
    /// What it has earned by forwarding since it exists, in msat.
    pub(super) earned_msat: u64,
}

impl Books {
    /// What is on all sides together, in msat.
    pub(super) fn balances_msat(&self) -> u64 {
        self.nodes.iter().map(|purse| purse.ours_msat).fold(0, u64::saturating_add)
    }

    /// Reads them once no channel shows a payment and both ends of all agree.
    pub(super) async fn quiet(seats: &[Seat]) -> Result<Self, Status> {
        let mut newest = Self::default();
        let settled = until("payments under way to end", || async {
            let books = Self::read(seats).await?;
            Ok(books.htlcs == 0 && books.balances_msat() == books.issued_msat)
        })
        .await;
        // An account that does not add up is told, not hidden behind an error.
        if settled.is_ok() || seats.is_empty() {
            newest = Self::read(seats).await?;
        } else if let Ok(books) = Self::read(seats).await {
            newest = books;
        }
        Ok(newest)
    }

    async fn read(seats: &[Seat]) -> Result<Self, Status> {
        let mut books = Self::default();
        for seat in seats {
            let mut purse = Purse::default();
            let channels = channels_of(seat).await?;
            for channel in channels.iter().filter(|one| one.state() == v1::ChannelState::Open) {
                purse.ours_msat = purse.ours_msat.saturating_add(channel.our_msat);
                books.count(channel);
            }
            let info = |to: Client, ask| async move { to.node().info(ask).await };
            purse.earned_msat = seat.client.call(v1::InfoRequest {}, info).await?.forward_fees_msat;
            books.nodes.push(purse);
        }
        Ok(books)
    }

    fn count(&mut self, channel: &v1::Channel) {
        if channel.opened_by_us {
            self.channels = self.channels.saturating_add(1);
            let msat = channel.capacity_sat.saturating_mul(1_000);
            self.issued_msat = self.issued_msat.saturating_add(msat);
        }
        for htlc in &channel.htlcs {
            self.htlcs = self.htlcs.saturating_add(1);
            if htlc.outgoing {
                self.in_flight_msat = self.in_flight_msat.saturating_add(htlc.amount_msat);
            }
        }
    }
}
