//! Every output of a close for people: what the channel says of it, and what the sweeper does about it.
//!
//! Not here: what an output is (`channel::onchain::outputs`), how it is swept (`crate::sweeper`).

use bitcoin::{Amount, OutPoint, Txid};
use channel::clock::Side as Who;
use channel::onchain::{Close, OutputState, OutputView, What};
use channel::{Channel, Env, Stage};

use crate::channels::task::ChannelTask;
use crate::rpc::model::channel::{Channel as View, CloseForecast, CloseKind, CloseOutput, Side};

/// Outputs of a close as they stand; `under_way` tells which transaction is to take one, and its fee.
pub fn outputs(
    channel: &Channel,
    env: &Env<'_>,
    under_way: impl Fn(OutPoint) -> Option<(Txid, Option<Amount>)>,
) -> Vec<CloseOutput> {
    let views = match channel.resolution(env) {
        Some(resolution) => resolution.outputs,
        // Our commitment is on its way: its outputs are known already.
        None if matches!(channel.stage(), Stage::Failing(_)) => {
            channel.forecast(env).map(|forecast| forecast.outputs).unwrap_or_default()
        }
        None => Vec::new(),
    };
    views.iter().map(|view| row(view, under_way(view.outpoint))).collect()
}

/// What the transaction in a block was taken for; a strange one is told by an alarm.
pub fn kind(channel: &Channel, env: &Env<'_>) -> Option<CloseKind> {
    match channel.resolution(env)?.close {
        Close::Mutual => Some(CloseKind::Cooperative),
        Close::Ours => Some(CloseKind::ForcedByUs),
        Close::Theirs { .. } | Close::Future { .. } => Some(CloseKind::ForcedByThem),
        Close::Revoked { .. } => Some(CloseKind::Breach),
        Close::Unknown => None,
    }
}

/// What closing alone now would come to.
pub fn forecast(channel: &Channel, env: &Env<'_>) -> Option<(CloseForecast, Vec<CloseOutput>)> {
    let of = channel.forecast(env)?;
    let told = CloseForecast {
        cost: of.cost,
        saves: of.saved,
        home: of.home,
        before: of.deadline,
        close_by: of.close_by,
        home_at: of.all_home_at,
    };
    Some((told, of.outputs.iter().map(|view| row(view, None)).collect()))
}

const fn side(who: Who) -> Side {
    match who {
        Who::Us => Side::Us,
        Who::Them => Side::Them,
    }
}

fn row(view: &OutputView, under_way: Option<(Txid, Option<Amount>)>) -> CloseOutput {
    let mut row = CloseOutput {
        outpoint: view.outpoint,
        kind: "unknown",
        side: None,
        value: view.value,
        state: "unresolved",
        opens: None,
        deadline: view.deadline,
        claim: None,
        claim_height: None,
        fee: view.cost,
        expected: view.expected,
        htlc: None,
        hash: None,
        cltv_expiry: None,
    };
    match view.what {
        What::Balance(of) => (row.kind, row.side) = ("balance", Some(side(of))),
        What::Anchor(of) => (row.kind, row.side) = ("anchor", Some(side(of))),
        What::Htlc { name: (by, id), payment_hash, cltv_expiry } => {
            (row.kind, row.side, row.htlc) = ("htlc", Some(side(by)), Some(id));
            (row.hash, row.cltv_expiry) = (Some(payment_hash), Some(cltv_expiry));
        }
        What::SecondStage { htlc } => {
            row.kind = "second-stage";
            row.side = htlc.map(|(by, _)| side(by));
            row.htlc = htlc.map(|(_, id)| id);
        }
        What::Settled { by, cltv_expiry } => {
            (row.kind, row.side) = ("htlc", Some(side(by)));
            row.cltv_expiry = Some(cltv_expiry);
        }
        What::Unknown => {}
    }
    match view.state {
        OutputState::Theirs => row.state = "theirs",
        OutputState::Unresolved => {}
        OutputState::Waits { until } => (row.state, row.opens) = ("waits", Some(until)),
        OutputState::Claimable => row.state = "claimable",
        OutputState::Claimed { txid, height } => taken(&mut row, "claimed", txid, height),
        OutputState::Taken { txid, height } => taken(&mut row, "taken", txid, height),
        OutputState::Irrevocable { by: _, txid, height } => {
            taken(&mut row, "irrevocable", txid, height);
        }
    }
    if let Some((txid, fee)) = under_way {
        if view.state.is_open() {
            (row.state, row.claim) = ("claiming", Some(txid));
        }
        if row.claim == Some(txid) {
            row.fee = fee.unwrap_or(row.fee);
        }
    }
    row
}

const fn taken(
    row: &mut CloseOutput,
    state: &'static str,
    txid: Txid,
    height: wire::units::BlockHeight,
) {
    row.state = state;
    row.claim = Some(txid);
    row.claim_height = Some(height);
}

impl ChannelTask {
    /// Adds to a view how every output of the close stands.
    pub(super) fn show_outputs(&self, shown: &mut View) {
        if let (Some(closing), Some(channel)) = (&mut shown.closing, self.channel()) {
            let sweeps = std::sync::Arc::clone(&self.common.sweeps.borrow());
            closing.outputs = outputs(channel, &self.env(), |outpoint| {
                let txid = sweeps.get(&outpoint)?.txid?;
                let fee = self.meta.sweeps.iter().find(|(of, _)| *of == txid);
                Some((txid, fee.map(|(_, fee)| *fee)))
            });
            closing.kind = kind(channel, &self.env()).or(closing.kind);
        }
    }

    pub(super) fn forecast(&self) -> Option<(CloseForecast, Vec<CloseOutput>)> {
        forecast(self.channel()?, &self.env())
    }
}
