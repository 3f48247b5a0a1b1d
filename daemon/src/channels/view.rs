//! A channel as users see it: computed when somebody looks, kept nowhere.

use bitcoin::{Amount, Txid};
use channel::clock::Side as Who;
use channel::effect::{AbandonReason, CloseReason};
use channel::state::{End, State};
use channel::tx::fee::{ANCHORS, commitment_fee, trimmed};
use channel::{Channel, Policy};
use wire::id::{ChannelId, NodeId};
use wire::units::{BlockHeight, FeeratePerKw, Msat};

use crate::fact::ChannelBorn;
use crate::rpc::model::UnixMillis;
use crate::rpc::model::channel::{
    Channel as View, ChannelPhase, CloseKind, CloseOutput, CloseStage, Closing, Htlc, Link, Side,
};

/// What is known of a channel besides its machine.
#[derive(Clone, Debug)]
pub struct Meta {
    /// Its lasting number.
    pub index: u64,
    /// With whom.
    pub node: NodeId,
    /// The id it was negotiated under.
    pub temporary_id: ChannelId,
    /// When it was asked for, Unix milliseconds.
    pub created_ms: u64,
    /// Whether it is to be announced.
    pub announce: bool,
    /// Who funds it.
    pub funder: Side,
    /// What was asked for, until there are terms.
    pub capacity: Amount,
    /// The transaction that ended it.
    pub close_txid: Option<Txid>,
    /// What that pays.
    pub close_fee: Option<Amount>,
    /// Why it ended.
    pub why: Option<String>,
    /// When it was over, Unix milliseconds.
    pub closed_ms: Option<u64>,
    /// What the peer complained about last.
    pub peer_said: Option<String>,
    /// Transactions of ours that fetched its outputs, and what they paid.
    pub sweeps: Vec<(Txid, Amount)>,
    /// How its outputs ended, once it is over.
    pub outputs: Vec<CloseOutput>,
    /// What the transaction in a block was taken for, once it is over.
    pub kind: Option<CloseKind>,
}

impl Meta {
    /// Of a channel that is in the journal.
    pub fn of(born: &ChannelBorn) -> Self {
        Self {
            index: born.index,
            node: born.node,
            temporary_id: ChannelId([0; 32]),
            created_ms: born.created_ms,
            announce: born.announce,
            funder: if born.funder { Side::Us } else { Side::Them },
            capacity: Amount::ZERO,
            close_txid: None,
            close_fee: None,
            why: None,
            closed_ms: None,
            peer_said: None,
            sweeps: Vec::new(),
            outputs: Vec::new(),
            kind: None,
        }
    }

    /// The id users know it by.
    pub fn shown_id(&self, channel: Option<&Channel>) -> ChannelId {
        channel.map_or(self.temporary_id, Channel::id)
    }
}

/// The snapshot.
pub fn view(
    channel: &Channel,
    meta: &Meta,
    linked: bool,
    height: BlockHeight,
    policy: &Policy,
) -> View {
    let mut view = empty(channel, meta, linked);
    let Some(state) = channel.state() else { return view };
    let terms = &state.terms;
    let funding = state.fundings.first();
    view.funding = channel.funding();
    view.short_id = channel.short_channel_id();
    view.capacity = terms.capacity;
    view.our_reserve = terms.them.channel_reserve;
    view.their_reserve = terms.us.channel_reserve;
    view.our_delay = terms.them.to_self_delay;
    view.their_delay = terms.us.to_self_delay;
    view.commitment_number = state.ours;
    view.depth_needed = Some(terms.minimum_depth);
    view.zero_conf = terms.is_zero_conf();
    view.scid_alias = terms.kind.scid_alias;
    view.alias = terms.alias;
    view.peer_alias = state.their_alias;
    view.at_risk = state.at_risk(height, policy.funding_depth);
    view.depth =
        funding.and_then(|funding| funding.confirmed).map_or(0, |(at, _)| depth(at, height));
    view.quarantined = channel.is_quarantined();
    view.feerate = channel.feerate().unwrap_or(FeeratePerKw::FLOOR);
    view.anchors = ANCHORS;
    // Nobody knows what is whose in a channel of which only a backup is left.
    if channel.balances().is_some()
        && let Some(spec) = state.ledger.spec(Who::Us, None)
    {
        let dust = terms.us.dust_limit;
        let untrimmed = spec.htlcs.iter().filter(|htlc| !trimmed(htlc.amount, dust)).count();
        view.ours = spec.to_owner;
        view.theirs = spec.to_other;
        view.commit_fee = commitment_fee(spec.feerate, untrimmed);
    }
    view.can_send = channel.sendable(policy).max;
    view.can_receive = receivable(&view);
    view.htlcs = state
        .ledger
        .htlcs()
        .map(|(by, htlc)| Htlc {
            id: htlc.add.id,
            offered_by: if by == Who::Us { Side::Us } else { Side::Them },
            amount: htlc.add.amount_msat,
            hash: htlc.add.payment_hash,
            cltv_expiry: htlc.add.cltv_expiry,
        })
        .collect();
    view.phase = phase(channel, linked, height);
    if view.phase == ChannelPhase::Closed {
        // Layer 1 has settled what the books still have.
        view.htlcs.clear();
    }
    view.closing = closing(channel, meta, height);
    view
}

fn empty(channel: &Channel, meta: &Meta, linked: bool) -> View {
    let link = match (linked, channel.is_connected()) {
        (false, _) => Link::Down,
        (true, false) => Link::Syncing,
        (true, true) => Link::Up,
    };
    View {
        index: meta.index,
        id: channel.id(),
        temporary_id: meta.temporary_id,
        node: meta.node,
        node_alias: String::new(),
        phase: phase(channel, linked, BlockHeight(0)),
        link,
        funder: meta.funder,
        funding: None,
        short_id: None,
        announced: meta.announce,
        capacity: meta.capacity,
        ours: Msat::ZERO,
        theirs: Msat::ZERO,
        can_send: Msat::ZERO,
        can_receive: Msat::ZERO,
        our_reserve: Amount::ZERO,
        their_reserve: Amount::ZERO,
        commit_fee: Amount::ZERO,
        anchors: Amount::ZERO,
        feerate: FeeratePerKw::FLOOR,
        our_delay: 0,
        their_delay: 0,
        commitment_number: 0,
        quarantined: false,
        htlcs: Vec::new(),
        depth: 0,
        depth_needed: None,
        zero_conf: false,
        at_risk: Msat::ZERO,
        scid_alias: false,
        alias: None,
        peer_alias: None,
        funding_fee: None,
        closing: None,
        why: why(channel, meta),
        created: UnixMillis(meta.created_ms),
    }
}

fn depth(at: BlockHeight, tip: BlockHeight) -> u32 {
    tip.blocks_since(at).map_or(0, |above| above.saturating_add(1))
}

fn phase(channel: &Channel, _linked: bool, height: BlockHeight) -> ChannelPhase {
    use channel::channel::Stage;
    match channel.stage() {
        Stage::Opening => ChannelPhase::Negotiating,
        Stage::Funding => {
            let Some(state) = channel.state() else { return ChannelPhase::Negotiated };
            let confirmed = state.fundings.first().and_then(|funding| funding.confirmed);
            let reached = confirmed.map_or(0, |(at, _)| depth(at, height));
            if state.we_ready || (reached > 0 && reached >= state.terms.minimum_depth) {
                ChannelPhase::AwaitingPeer
            } else {
                ChannelPhase::AwaitingDepth
            }
        }
        Stage::Open => ChannelPhase::Open,
        Stage::ShuttingDown => ChannelPhase::ShuttingDown,
        Stage::MutuallyClosed
        | Stage::Failing(_)
        | Stage::DataLoss
        | Stage::Lost
        | Stage::Frozen
        | Stage::OnChain => ChannelPhase::Closing,
        Stage::Closed => ChannelPhase::Closed,
        Stage::Abandoned(_) => ChannelPhase::Failed,
    }
}

/// The peer keeps its reserve, and pays for its own fees if it is the funder.
fn receivable(view: &View) -> Msat {
    let fees = if view.funder == Side::Them {
        view.commit_fee.checked_add(view.anchors).unwrap_or(Amount::MAX_MONEY)
    } else {
        Amount::ZERO
    };
    let kept = view.their_reserve.checked_add(fees).and_then(Msat::from_sat);
    kept.and_then(|kept| view.theirs.checked_sub(kept)).unwrap_or(Msat::ZERO)
}

/// BOLT 3 § Commitment Transaction: "locktime: upper 8 bits are 0x20", "sequence: upper 8 bits are 0x80".
fn is_commitment(tx: &bitcoin::Transaction) -> bool {
    let sequence = tx.input.first().map_or(0, |input| input.sequence.to_consensus_u32());
    sequence >> 24 == 0x80 && tx.lock_time.to_consensus_u32() >> 24 == 0x20
}

fn closing(channel: &Channel, meta: &Meta, height: BlockHeight) -> Option<Closing> {
    use channel::channel::Stage;
    let state = channel.state()?;
    let stage = channel.stage();
    let spent = state.chain.spent.as_ref();
    if spent.is_none() && matches!(stage, Stage::Funding | Stage::Open) {
        return None;
    }
    let closed = state.closed.as_ref().map(|(terms, _)| terms);
    let at = spent.map(|(_, at)| *at);
    let lost = state.end == Some(End::Lost);
    let failing = matches!(stage, Stage::Failing(_)) || (state.end.is_some() && !lost);
    let locked = if failing { state.terms.them.to_self_delay } else { 0 };
    let value_of = |tx: &bitcoin::Transaction| {
        tx.output
            .iter()
            .fold(Amount::ZERO, |sum, out| sum.checked_add(out.value).unwrap_or(Amount::MAX_MONEY))
    };
    let fee = spent
        .and_then(|(tx, _)| state.terms.capacity.checked_sub(value_of(tx)))
        .or_else(|| closed.map(|terms| Amount::from_sat(terms.fee_sat)))
        .or(meta.close_fee)
        .unwrap_or(Amount::ZERO);
    // The funder pays, for a close together its fee, for one alone the anchors as well.
    let costs = if failing { fee.checked_add(ANCHORS).unwrap_or(fee) } else { fee };
    let share = |msat: Msat, whose: Side| {
        let cost = if meta.funder == whose { costs } else { Amount::ZERO };
        msat.floor_sat().checked_sub(cost).unwrap_or(Amount::ZERO)
    };
    let spec = if lost { None } else { state.ledger.spec(Who::Us, None) };
    let ours = match &spec {
        Some(spec) => share(spec.to_owner, Side::Us),
        None => spent.map_or(Amount::ZERO, |(tx, _)| balance_on_theirs(state, tx)),
    };
    let theirs = spec.as_ref().map_or(Amount::ZERO, |spec| share(spec.to_other, Side::Them));
    // What is in a block says it; it may be there before the peer's last word about a close together.
    let agreed = closed.is_some() || matches!(stage, Stage::MutuallyClosed | Stage::ShuttingDown);
    let unfunded = matches!(&state.end, Some(End::Failing(reason)) if reason.is_unfunded());
    let kind = if unfunded && spent.is_none() {
        Some(CloseKind::FundingAbandoned)
    } else if spent.map_or(agreed, |(tx, _)| !is_commitment(tx)) {
        Some(CloseKind::Cooperative)
    } else if failing {
        Some(CloseKind::ForcedByUs)
    } else {
        spent.map(|_| CloseKind::ForcedByThem)
    };
    Some(Closing {
        stage: match (&stage, spent) {
            (Stage::Closed, _) => CloseStage::Done,
            (_, Some(_)) => CloseStage::Confirmed,
            (Stage::ShuttingDown, None) => CloseStage::Negotiating,
            (_, None) => CloseStage::Broadcast,
        },
        kind: meta.kind.or(kind),
        txid: spent.map(|(tx, _)| tx.compute_txid()).or(meta.close_txid),
        fee,
        ours,
        theirs,
        depth: at.map_or(0, |at| depth(at, height)),
        depth_needed: if kind == Some(CloseKind::Cooperative) {
            state.terms.minimum_depth.max(1)
        } else {
            channel::onchain::IRREVOCABLE_DEPTH
        },
        locked_blocks: locked,
        spendable_at: at.filter(|_| locked > 0).map(|at| at.saturating_add(u32::from(locked))),
        sweeps: meta.sweeps.iter().map(|(txid, _)| *txid).collect(),
        sweep_fees: meta
            .sweeps
            .iter()
            .fold(Amount::ZERO, |sum, (_, fee)| sum.checked_add(*fee).unwrap_or(Amount::MAX_MONEY)),
        height: at,
        closed: meta.closed_ms.map(UnixMillis),
        outputs: meta.outputs.clone(),
        forecast: None,
    })
}

/// What a commitment of the peer's pays us at once.
fn balance_on_theirs(state: &State, tx: &bitcoin::Transaction) -> Amount {
    let script = channel::tx::script::to_remote(&state.terms.our_keys.payment).to_p2wsh();
    let ours = tx.output.iter().filter(|out| out.script_pubkey == script);
    ours.fold(Amount::ZERO, |sum, out| sum.checked_add(out.value).unwrap_or(Amount::MAX_MONEY))
}

fn why(channel: &Channel, meta: &Meta) -> Option<String> {
    use channel::channel::Stage;
    meta.why.clone().or_else(|| match channel.stage() {
        Stage::Failing(reason) => Some(close_reason(&reason)),
        Stage::Abandoned(reason) => Some(abandon_reason(&reason)),
        Stage::DataLoss => {
            Some("our data is older than what the peer proves; it was asked to close".to_owned())
        }
        Stage::Lost => Some(
            "all its data is lost and it was restored from a backup: its peer is asked to close"
                .to_owned(),
        ),
        Stage::Frozen => Some("frozen: its books do not balance or its signer failed".to_owned()),
        Stage::ShuttingDown | Stage::MutuallyClosed => Some("closed together".to_owned()),
        Stage::Opening | Stage::Funding | Stage::Open | Stage::OnChain | Stage::Closed => None,
    })
}

/// Why we close alone, as a sentence.
pub fn close_reason(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Asked => "we were asked to close without the peer".to_owned(),
        CloseReason::Fault(fault) => format!("the peer broke a rule: {fault}"),
        CloseReason::PeerError => "the peer sent an error".to_owned(),
        CloseReason::HtlcDeadline { offered_by_us, htlc, cltv_expiry } => {
            let whose = if *offered_by_us { "our" } else { "the peer's" };
            format!("{whose} HTLC {htlc} was not resolved before its expiry at block {cltv_expiry}")
        }
        CloseReason::FundingConflict { by, lost } => format!(
            "the coins of its funding were spent by transaction {by} instead: {} sat that were ours in it are lost",
            lost.floor_sat().to_sat()
        ),
        CloseReason::FundingNeverCame { lost } => format!(
            "its funding never confirmed: {} sat that were ours in it are lost",
            lost.floor_sat().to_sat()
        ),
    }
}

/// Why a channel never came to be, as a sentence.
pub fn abandon_reason(reason: &AbandonReason) -> String {
    match reason {
        AbandonReason::Disconnected => "the connection broke before it was funded".to_owned(),
        AbandonReason::Fault(fault) => format!("the peer broke a rule: {fault}"),
        AbandonReason::PeerError { text } => format!("the peer refused: {text}"),
        AbandonReason::FundingFailed => "the wallet could not fund it".to_owned(),
        AbandonReason::Asked => "we gave it up".to_owned(),
        AbandonReason::NeverFunded => "its funding never confirmed".to_owned(),
    }
}
