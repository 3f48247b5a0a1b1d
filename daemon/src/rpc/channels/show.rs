//! Channels for the client.

use api::v1;
use bitcoin::Amount;

use crate::rpc::model::channel::{
    Channel, ChannelPhase, CloseKind, CloseOutput, CloseStage, Closing, Htlc, Link, OpenPlan, Side,
};

/// A channel as it is now.
pub(in crate::rpc) fn channel(channel: Channel) -> v1::Channel {
    let close = channel.closing.as_ref().map(|_| progress_of_close(&channel));
    v1::Channel {
        state: state_of(&channel).into(),
        channel_id: channel.id.to_string(),
        node_id: channel.node.to_string(),
        node_alias: channel.node_alias,
        connected: channel.link == Link::Up,
        short_channel_id: channel.short_id.map(|id| id.to_string()),
        funding_outpoint: channel.funding.map(|outpoint| outpoint.to_string()),
        capacity_sat: channel.capacity.to_sat(),
        our_msat: channel.ours.to_u64(),
        their_msat: channel.theirs.to_u64(),
        can_send_msat: channel.can_send.to_u64(),
        can_receive_msat: channel.can_receive.to_u64(),
        our_reserve_sat: channel.our_reserve.to_sat(),
        their_reserve_sat: channel.their_reserve.to_sat(),
        commit_fee_sat: channel.commit_fee.to_sat(),
        anchors_sat: channel.anchors.to_sat(),
        feerate_sat_per_kw: channel.feerate.0,
        opened_by_us: channel.funder == Side::Us,
        our_delay_blocks: u32::from(channel.our_delay),
        their_delay_blocks: u32::from(channel.their_delay),
        htlcs: channel.htlcs.iter().map(htlc).collect(),
        commitment_number: channel.commitment_number,
        quarantined: channel.quarantined,
        zero_conf: channel.zero_conf,
        at_risk_msat: channel.at_risk.to_u64(),
        scid_alias: channel.scid_alias,
        alias: channel.alias.map(|id| id.to_string()),
        peer_alias: channel.peer_alias.map(|id| id.to_string()),
        confirmations: channel.depth,
        confirmations_required: channel.depth_needed.unwrap_or(0),
        announced: channel.announced,
        created_at_ms: channel.created.0,
        close,
        funding_fee_sat: channel.funding_fee.map(Amount::to_sat),
    }
}

fn htlc(htlc: &Htlc) -> v1::Htlc {
    v1::Htlc {
        htlc_id: htlc.id,
        outgoing: htlc.offered_by == Side::Us,
        amount_msat: htlc.amount.to_u64(),
        payment_hash: htlc.hash.to_string(),
        expiry_height: htlc.cltv_expiry.0,
    }
}

/// What a channel is doing.
pub(super) fn state_of(channel: &Channel) -> v1::ChannelState {
    let kind = channel.closing.as_ref().and_then(|closing| closing.kind);
    match channel.phase {
        ChannelPhase::Negotiating | ChannelPhase::Negotiated => v1::ChannelState::Opening,
        ChannelPhase::AwaitingDepth | ChannelPhase::AwaitingPeer => v1::ChannelState::Confirming,
        ChannelPhase::Open => v1::ChannelState::Open,
        ChannelPhase::ShuttingDown => v1::ChannelState::ShuttingDown,
        ChannelPhase::Closing => match kind {
            Some(CloseKind::ForcedByUs | CloseKind::ForcedByThem | CloseKind::Breach) => {
                v1::ChannelState::ForceClosing
            }
            Some(CloseKind::Cooperative | CloseKind::FundingAbandoned) | None => {
                v1::ChannelState::Closing
            }
        },
        ChannelPhase::Closed | ChannelPhase::Failed => v1::ChannelState::Closed,
    }
}

/// What an opening would cost.
pub(super) fn open_planned(plan: &OpenPlan) -> v1::OpenProgress {
    v1::OpenProgress {
        stage: v1::OpenStage::Planned.into(),
        capacity_sat: plan.capacity.to_sat(),
        funding_fee_sat: plan.funding_fee.to_sat(),
        wallet_spendable_sat: plan.spendable_after.to_sat(),
        ..v1::OpenProgress::default()
    }
}

/// How far an opening has come.
pub(super) fn open_progress(of: Channel, spendable: Amount) -> v1::OpenProgress {
    let stage = match of.phase {
        ChannelPhase::Negotiating => v1::OpenStage::Negotiating,
        ChannelPhase::Negotiated => v1::OpenStage::Negotiated,
        ChannelPhase::AwaitingDepth => v1::OpenStage::Broadcast,
        ChannelPhase::AwaitingPeer => v1::OpenStage::Confirmed,
        ChannelPhase::Open
        | ChannelPhase::ShuttingDown
        | ChannelPhase::Closing
        | ChannelPhase::Closed
        | ChannelPhase::Failed => v1::OpenStage::Ready,
    };
    let early = of.phase == ChannelPhase::Negotiating;
    v1::OpenProgress {
        stage: stage.into(),
        channel_id: of.id.to_string(),
        capacity_sat: of.capacity.to_sat(),
        funding_fee_sat: of.funding_fee.map_or(0, Amount::to_sat),
        funding_outpoint: of.funding.filter(|_| !early).map(|outpoint| outpoint.to_string()),
        confirmations: of.depth,
        confirmations_required: of.depth_needed,
        wallet_spendable_sat: spendable.to_sat(),
        channel: (!early).then(|| channel(of)),
    }
}

/// What a close would cost.
pub(super) fn plan_of_close(channel: &Channel, plan: Closing) -> v1::CloseProgress {
    let planned = Closing { stage: CloseStage::Planned, ..plan };
    progress(channel, &planned)
}

/// How far a close has come.
pub(super) fn progress_of_close(channel: &Channel) -> v1::CloseProgress {
    match &channel.closing {
        Some(closing) => progress(channel, closing),
        None => {
            // Nothing is out: the fee is still agreed on, or no coin was ever locked.
            let (stage, kind) = match channel.phase {
                ChannelPhase::Failed => (v1::CloseStage::Done, v1::CloseKind::FundingAbandoned),
                ChannelPhase::Closed => (v1::CloseStage::Done, v1::CloseKind::Unspecified),
                ChannelPhase::Negotiating
                | ChannelPhase::Negotiated
                | ChannelPhase::AwaitingDepth
                | ChannelPhase::AwaitingPeer
                | ChannelPhase::Open
                | ChannelPhase::ShuttingDown
                | ChannelPhase::Closing => {
                    (v1::CloseStage::Negotiating, v1::CloseKind::Unspecified)
                }
            };
            v1::CloseProgress {
                stage: stage.into(),
                kind: kind.into(),
                channel_id: channel.id.to_string(),
                ours_sat: channel.ours.floor_sat().to_sat(),
                theirs_sat: channel.theirs.floor_sat().to_sat(),
                ..v1::CloseProgress::default()
            }
        }
    }
}

fn progress(channel: &Channel, closing: &Closing) -> v1::CloseProgress {
    let stage = match closing.stage {
        CloseStage::Planned => v1::CloseStage::Planned,
        CloseStage::Negotiating => v1::CloseStage::Negotiating,
        CloseStage::Broadcast => v1::CloseStage::Broadcast,
        CloseStage::Confirmed => v1::CloseStage::Confirmed,
        CloseStage::Done => v1::CloseStage::Done,
    };
    let kind = match closing.kind {
        None => v1::CloseKind::Unspecified,
        Some(CloseKind::Cooperative) => v1::CloseKind::Cooperative,
        Some(CloseKind::ForcedByUs) => v1::CloseKind::ForcedByUs,
        Some(CloseKind::ForcedByThem) => v1::CloseKind::ForcedByThem,
        Some(CloseKind::Breach) => v1::CloseKind::Breach,
        Some(CloseKind::FundingAbandoned) => v1::CloseKind::FundingAbandoned,
    };
    v1::CloseProgress {
        stage: stage.into(),
        channel_id: channel.id.to_string(),
        kind: kind.into(),
        closing_txid: closing.txid.map(|txid| txid.to_string()),
        fee_sat: closing.fee.to_sat(),
        ours_sat: closing.ours.to_sat(),
        theirs_sat: closing.theirs.to_sat(),
        confirmations: closing.depth,
        confirmations_required: closing.depth_needed,
        locked_blocks: u32::from(closing.locked_blocks),
        spendable_at_height: closing.spendable_at.map(|height| height.0),
        sweep_txids: closing.sweeps.iter().map(ToString::to_string).collect(),
        sweep_fees_sat: closing.sweep_fees.to_sat(),
        outputs: closing.outputs.iter().map(output).collect(),
        forecast: closing.forecast.map(|forecast| v1::CloseForecast {
            cost_sat: forecast.cost.to_sat(),
            saves_sat: forecast.saves.to_sat(),
            home_sat: forecast.home.to_sat(),
            before_height: forecast.before.map(|height| height.0),
            close_by_height: forecast.close_by.map(|height| height.0),
            home_at_height: forecast.home_at.map(|height| height.0),
        }),
    }
}

fn output(output: &CloseOutput) -> v1::CloseOutput {
    let side = match output.side {
        Some(Side::Us) => "us",
        Some(Side::Them) => "them",
        None => "",
    };
    v1::CloseOutput {
        outpoint: output.outpoint.to_string(),
        kind: output.kind.to_owned(),
        side: side.to_owned(),
        value_sat: output.value.to_sat(),
        state: output.state.to_owned(),
        opens_height: output.opens.map(|height| height.0),
        deadline_height: output.deadline.map(|height| height.0),
        claim_txid: output.claim.map(|txid| txid.to_string()),
        claim_height: output.claim_height.map(|height| height.0),
        fee_sat: output.fee.to_sat(),
        expected_sat: output.expected.to_sat(),
        htlc_id: output.htlc,
        payment_hash: output.hash.map(|hash| hash.to_string()),
        expiry_height: output.cltv_expiry.map(|height| height.0),
    }
}

/// A channel that is no more.
pub(super) fn closed(of: Channel) -> v1::ClosedChannel {
    let closing = of.closing.as_ref();
    v1::ClosedChannel {
        reason: of.why.clone().unwrap_or_default(),
        closed_at_ms: closing.and_then(|closing| closing.closed).map_or(0, |at| at.0),
        closed_at_height: closing.and_then(|closing| closing.height).map(|height| height.0),
        channel: Some(channel(of)),
    }
}
