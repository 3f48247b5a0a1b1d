//! Are these terms acceptable? The parameter table of a channel, both ways. BOLT 2 § The `open_channel`
//! Message, § The `accept_channel` Message.

use bitcoin::{ScriptBuf, WitnessVersion};
use wire::feature::{Feature, Features};
use wire::message::{AcceptChannel, OpenChannel};
use wire::units::{FeeratePerKw, Msat, Sat};

use super::first_balances;
use super::message::{accepter_params, opener_params};
use crate::env::Policy;
use crate::fault::PeerFault;
use crate::refusal::BadTerms;
use crate::terms::{AcceptTerms, Kind, OpenTerms, Params};
use crate::tx::fee;

/// The least that may be an output on Layer 1, whatever its script. BOLT 3 § Dust Limits.
const DUST_LIMIT_MIN: Sat = Sat::from_sat(354);

/// The most HTLCs with which a `commitment_signed` and a penalty still fit.
const ACCEPTED_HTLCS_MAX: u16 = 483;

/// From here on `option_support_large_channel` is needed.
const LARGE: Sat = Sat::from_sat(1 << 24);

/// Whether we may ask for this.
pub(super) fn our_terms(terms: &OpenTerms) -> Result<(), BadTerms> {
    let capacity = terms.capacity;
    if !terms.features.offers(Feature::StaticRemotekey) || !terms.features.offers(Feature::Anchors)
    {
        return Err(BadTerms::MissingFeature);
    }
    if !terms.kind.is_negotiated(&terms.features) {
        return Err(BadTerms::KindNotOffered);
    }
    // BOLT 2: "if `announce_channel` is `true` (not `0`): - MUST NOT send `channel_type` with the
    // `option_scid_alias` bit set."
    if terms.announce && terms.kind.scid_alias {
        return Err(BadTerms::AnnouncedAlias);
    }
    // BOLT 2: "if `option_scid_alias` was negotiated: - MUST set `short_channel_id` `alias`."
    if terms.alias.is_none() && terms.kind != Kind::default() {
        return Err(BadTerms::BadParams);
    }
    // BOLT 2: "MUST set `funding_satoshis` to less than 2^24 satoshi."
    let large = terms.features.offers(Feature::LargeChannels);
    if capacity > Sat::MAX_MONEY || (capacity >= LARGE && !large) {
        return Err(BadTerms::TooLarge { capacity });
    }
    if !are_sound(&terms.params) || terms.params.channel_reserve >= capacity {
        return Err(BadTerms::BadParams);
    }
    let script = terms.upfront_shutdown.as_ref().unwrap_or(&terms.shutdown_script);
    if !is_shutdown_script(script, true) || !is_shutdown_script(&terms.shutdown_script, true) {
        return Err(BadTerms::BadParams);
    }
    let (funder, fundee) = first_balances(capacity, terms.push).ok_or(BadTerms::CannotAffordFee)?;
    let cost = Msat::from_sat(fee::funder_cost(terms.feerate, 0)).unwrap_or(Msat::MAX);
    let left = funder.checked_sub(cost).ok_or(BadTerms::CannotAffordFee)?;
    let reserve = terms.params.channel_reserve;
    if left.floor_sat() <= reserve && fundee.floor_sat() <= reserve {
        return Err(BadTerms::TooSmall { capacity });
    }
    Ok(())
}

/// Checks `open_channel`; which kind of channel it asks for, and the script its sender will close to, if it
/// said one.
pub(super) fn open_channel(
    asked: &OpenChannel,
    terms: &AcceptTerms,
    policy: &Policy,
) -> Result<(Kind, Option<ScriptBuf>), PeerFault> {
    // BOLT 2: "the `chain_hash` value is set to a hash of a chain that is unknown to the receiver."
    if asked.chain_hash != terms.chain_hash {
        return Err(PeerFault::UnknownChain);
    }
    // BOLT 2: "if `option_dual_fund` has been negotiated: - fail the channel."
    if terms.features.offers(Feature::DualFund) {
        return Err(PeerFault::DualFundNegotiated);
    }
    let kind = check_kind(asked, terms)?;
    let capacity = asked.funding_satoshis;
    // BOLT 2: "`funding_satoshis` is greater than or equal to 2^24 and the receiver does not support
    // `option_support_large_channel`."
    let large = terms.features.offers(Feature::LargeChannels);
    if capacity < policy.funding_min
        || capacity > policy.funding_max
        || (capacity >= LARGE && !large)
    {
        return Err(PeerFault::BadFundingAmount);
    }
    // BOLT 2: "`push_msat` is greater than `funding_satoshis` * 1000."
    let (funder, fundee) =
        first_balances(capacity, asked.push_msat).ok_or(PeerFault::PushTooLarge)?;
    check_feerate(asked.feerate_per_kw, policy)?;
    let theirs = opener_params(asked);
    check_params(&theirs, capacity, policy)?;
    check_reserves(&theirs, &terms.params)?;
    // BOLT 2: "the funder's amount for the initial commitment transaction is not sufficient for full
    // [fee payment]"
    let cost = Msat::from_sat(fee::funder_cost(asked.feerate_per_kw, 0)).unwrap_or(Msat::MAX);
    let left = funder.checked_sub(cost).ok_or(PeerFault::CannotPayFirstFee)?;
    // BOLT 2: "both `to_local` and `to_remote` amounts for the initial commitment transaction are less
    // than or equal to `channel_reserve_satoshis`"
    let reserve = theirs.channel_reserve.max(terms.params.channel_reserve);
    if left.floor_sat() <= reserve && fundee.floor_sat() <= reserve {
        return Err(PeerFault::NothingAboveReserve);
    }
    Ok((kind, upfront(asked.upfront_shutdown_script.as_ref(), &terms.features)?))
}

fn check_kind(asked: &OpenChannel, terms: &AcceptTerms) -> Result<Kind, PeerFault> {
    // BOLT 2: "the `channel_type` is not suitable."
    let kind = asked.channel_type.as_ref().and_then(Kind::of).ok_or(PeerFault::BadChannelType)?;
    if !kind.is_negotiated(&terms.features) {
        return Err(PeerFault::BadChannelType);
    }
    if kind.scid_alias && asked.channel_flags & 1 == 1 {
        return Err(PeerFault::AnnouncedAlias);
    }
    // BOLT 2: "the `channel_type` includes `option_zeroconf` and it does not trust the sender to open an
    // unconfirmed channel."
    if kind.zero_conf && terms.minimum_depth > 0 {
        return Err(PeerFault::UntrustedFunding);
    }
    // Nobody could name it.
    let needs_alias = kind.scid_alias || terms.minimum_depth == 0;
    if needs_alias && terms.alias.is_none() {
        return Err(PeerFault::BadChannelType);
    }
    Ok(kind)
}

/// Checks `accept_channel`; the script its sender will close to, if it said one.
pub(super) fn accept_channel(
    accepted: &AcceptChannel,
    terms: &OpenTerms,
    policy: &Policy,
) -> Result<Option<ScriptBuf>, PeerFault> {
    // BOLT 2: "if `channel_type` does not match the `channel_type` from `open_channel`: - MUST fail the
    // channel."
    if accepted.channel_type.as_ref() != Some(&terms.kind.channel_type()) {
        return Err(PeerFault::BadChannelType);
    }
    // BOLT 2: "if `channel_type` includes `option_zeroconf`: - MUST set `minimum_depth` to zero."
    if terms.kind.zero_conf && accepted.minimum_depth > 0 {
        return Err(PeerFault::BadMinimumDepth);
    }
    // BOLT 2: "if `minimum_depth` is unreasonably large: - MAY fail the channel."
    if accepted.minimum_depth > policy.minimum_depth_max {
        return Err(PeerFault::BadMinimumDepth);
    }
    let theirs = accepter_params(accepted);
    check_params(&theirs, terms.capacity, policy)?;
    check_reserves(&theirs, &terms.params)?;
    upfront(accepted.upfront_shutdown_script.as_ref(), &terms.features)
}

fn check_feerate(feerate: FeeratePerKw, policy: &Policy) -> Result<(), PeerFault> {
    // BOLT 2: "it considers `feerate_per_kw` too small for timely processing or unreasonably large."
    if feerate < policy.feerate_min || feerate > policy.feerate_max {
        return Err(PeerFault::BadFeerate);
    }
    Ok(())
}

/// The rules for the demands of one side, whichever opened.
fn check_params(theirs: &Params, capacity: Sat, policy: &Policy) -> Result<(), PeerFault> {
    // BOLT 2: "`dust_limit_satoshis` is smaller than `354 satoshis`"
    if theirs.dust_limit < DUST_LIMIT_MIN || theirs.dust_limit > policy.dust_limit_max {
        return Err(PeerFault::BadDustLimit);
    }
    // BOLT 2: "`dust_limit_satoshis` is greater than `channel_reserve_satoshis`."
    let fifth = Sat::from_sat(capacity.to_sat() / 5);
    if theirs.channel_reserve < theirs.dust_limit || theirs.channel_reserve > fifth {
        return Err(PeerFault::BadReserve);
    }
    // BOLT 2: "`to_self_delay` is unreasonably large."
    if theirs.to_self_delay > policy.to_self_delay_max {
        return Err(PeerFault::BadToSelfDelay);
    }
    // BOLT 2: "`max_accepted_htlcs` is greater than 483."
    if theirs.accepted_htlcs_max > ACCEPTED_HTLCS_MAX
        || theirs.accepted_htlcs_max < policy.accepted_htlcs_min
    {
        return Err(PeerFault::BadMaxAcceptedHtlcs);
    }
    // BOLT 2: "it considers `htlc_minimum_msat` too large."
    if theirs.htlc_minimum > policy.htlc_minimum_max {
        return Err(PeerFault::BadHtlcMinimum);
    }
    // BOLT 2: "it considers `max_htlc_value_in_flight_msat` too small."
    if theirs.in_flight_max_msat < theirs.htlc_minimum.to_u64().max(1_000_000) {
        return Err(PeerFault::BadInFlightMaximum);
    }
    Ok(())
}

/// Both reserves above both dust limits, so that no commitment is all dust.
fn check_reserves(theirs: &Params, ours: &Params) -> Result<(), PeerFault> {
    // BOLT 2: "if `channel_reserve_satoshis` is less than `dust_limit_satoshis` within the
    // `open_channel` message"
    if theirs.channel_reserve < ours.dust_limit || ours.channel_reserve < theirs.dust_limit {
        return Err(PeerFault::BadReserve);
    }
    Ok(())
}

fn are_sound(params: &Params) -> bool {
    params.dust_limit >= DUST_LIMIT_MIN
        && params.channel_reserve >= params.dust_limit
        && params.accepted_htlcs_max >= 1
        && params.accepted_htlcs_max <= ACCEPTED_HTLCS_MAX
}

fn upfront(
    script: Option<&ScriptBuf>,
    features: &Features,
) -> Result<Option<ScriptBuf>, PeerFault> {
    match script {
        None if features.offers(Feature::UpfrontShutdownScript) => {
            Err(PeerFault::MissingUpfrontScript)
        }
        None => Ok(None),
        Some(empty) if empty.is_empty() => Ok(None),
        Some(script) if is_shutdown_script(script, features.offers(Feature::ShutdownAnysegwit)) => {
            Ok(Some(script.clone()))
        }
        Some(_) => Err(PeerFault::BadUpfrontScript),
    }
}

/// Whether `shutdown` may carry this. BOLT 2 § Closing Initiation.
pub(crate) fn is_shutdown_script(script: &ScriptBuf, anysegwit: bool) -> bool {
    let newer = script.witness_version().is_some_and(|version| version != WitnessVersion::V0);
    script.is_p2wpkh() || script.is_p2wsh() || (anysegwit && newer)
}
