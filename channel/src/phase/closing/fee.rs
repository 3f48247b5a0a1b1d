//! Agreeing on what the closing transaction pays. BOLT 2 § Legacy Closing Negotiation.
//!
//! The talks belong to one connection and start again on the next. Every transaction we sign is recorded
//! before the signature leaves, because from then on it may appear.

use wire::id::Signature;
use wire::message::{ClosingSigned, FeeRange};
use wire::units::{FeeratePerKw, Sat};

use crate::clock::Side;
use crate::effect::{Effect, Notice, Why};
use crate::env::Env;
use crate::fact::{CloseTerms, Fact};
use crate::fault::PeerFault;
use crate::live::Live;
use crate::out::Out;
use crate::tx::closing::{ClosingTx, LegacyClose};

/// The most closing transactions of one channel that we sign. Each may appear and is looked for in every
/// block; an honest peer needs one a connection, and hardly ever a second connection.
const CLOSES_MAX: usize = 32;

/// What was said about the fee on this connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Negotiation {
    /// The fee we proposed last.
    ours: Option<Sat>,
    /// The fee the peer proposed last.
    theirs: Option<Sat>,
    /// Both signed the same one: the talks are over.
    agreed: bool,
}

/// The fees we would agree to, ends included, and the one we would like.
#[derive(Clone, Copy, Debug)]
struct Wish {
    min: Sat,
    ideal: Sat,
    max: Sat,
}

impl Live {
    /// The funder begins, once there is nothing else to do.
    pub(crate) fn start_fee_talks(&mut self, env: &Env<'_>, out: &mut Out) {
        if self.state.terms.funder != Side::Us || self.negotiation.ours.is_some() {
            return;
        }
        let Some(close) = self.closable() else { return };
        let wish = self.wish(&close, env);
        let Ok(tx) = close.build(wish.ideal, self.state.terms.us.dust_limit, None) else { return };
        self.propose_close(&close, &tx, wish.ideal, wish, env, out);
    }

    pub(crate) fn on_closing_signed(
        &mut self,
        signed: &ClosingSigned,
        env: &Env<'_>,
        out: &mut Out,
    ) -> Result<(), PeerFault> {
        let close = self.closable().ok_or(PeerFault::UnexpectedClosing)?;
        let fee = signed.fee_satoshis;
        // The peer repeats what was agreed on: both know.
        if let Some((agreed, _)) = &self.state.closed
            && agreed.fee_sat == fee.to_sat()
            && self.negotiation.ours == Some(fee)
        {
            return Ok(());
        }
        // BOLT 2 knows no talks after the agreement, and what was agreed on is broadcast.
        if self.negotiation.agreed {
            return Ok(());
        }
        let tx = self.signed_variant(&close, signed)?;
        let wish = self.wish(&close, env);
        let before = self.negotiation;
        self.negotiation.theirs = Some(fee);
        match next_fee(before, fee, signed.fee_range.as_ref(), wish, self.state.terms.funder)? {
            Next::Agree => {
                self.check_room_for(close_terms(&close, &tx, fee))?;
                if before.ours != Some(fee) {
                    self.propose_close(&close, &tx, fee, wish, env, out);
                }
                self.finish_close(&close, &tx, fee, signed.signature, env, out);
            }
            Next::Propose(counter) => {
                let dust_limit = self.state.terms.us.dust_limit;
                let ours = (close.build(counter, dust_limit, None))
                    .map_err(|_| PeerFault::BadClosingFee)?;
                self.check_room_for(close_terms(&close, &ours, counter))?;
                self.propose_close(&close, &ours, counter, wish, env, out);
            }
        }
        Ok(())
    }

    /// Whether one more may be signed. What was agreed on before stands, and is agreed on again.
    fn check_room_for(&self, terms: CloseTerms) -> Result<(), PeerFault> {
        let closes = &self.state.closes;
        if closes.len() < CLOSES_MAX || closes.contains(&terms) {
            Ok(())
        } else {
            Err(PeerFault::TooManyCloses)
        }
    }

    /// The variant of the closing transaction that the peer signed.
    fn signed_variant(
        &self,
        close: &LegacyClose,
        signed: &ClosingSigned,
    ) -> Result<ClosingTx, PeerFault> {
        let terms = &self.state.terms;
        let (ours, theirs) = (terms.us.dust_limit, terms.them.dust_limit);
        let key = &terms.their_keys.funding;
        // BOLT 2: "if the `signature` is not valid for either variant of closing transaction"
        (close.candidates(signed.fee_satoshis, ours, theirs).into_iter())
            .find(|variant| variant.verify(key, &signed.signature).is_ok())
            .ok_or(PeerFault::BadClosingSignature)
    }

    /// Signs a closing transaction, records that, and sends the signature.
    fn propose_close(
        &mut self,
        close: &LegacyClose,
        tx: &ClosingTx,
        fee: Sat,
        wish: Wish,
        env: &Env<'_>,
        out: &mut Out,
    ) {
        let Ok(signature) = env.signer.sign_close(tx) else {
            return self.freeze(crate::effect::Alarm::Signer, out);
        };
        let terms = close_terms(close, tx, fee);
        if !self.state.closes.contains(&terms) {
            self.note(Fact::WeSignedClose(terms), out);
        }
        self.negotiation.ours = Some(fee);
        out.send(ClosingSigned {
            channel_id: self.id,
            fee_satoshis: fee,
            signature,
            fee_range: Some(FeeRange {
                min_fee_satoshis: wish.min.min(fee).to_sat(),
                max_fee_satoshis: wish.max.max(fee).to_sat(),
            }),
        });
    }

    fn finish_close(
        &mut self,
        close: &LegacyClose,
        tx: &ClosingTx,
        fee: Sat,
        signature: Signature,
        env: &Env<'_>,
        out: &mut Out,
    ) {
        let terms = close_terms(close, tx, fee);
        let txid = tx.txid();
        self.note(Fact::BothSignedClose { close: terms, signature }, out);
        self.negotiation.agreed = true;
        match self.signed_close(terms, &signature, env) {
            Some(tx) => out.effect(Effect::Broadcast { tx, why: Why::MutualClose }),
            None => return self.freeze(crate::effect::Alarm::Signer, out),
        }
        out.notice(Notice::MutuallyClosed { txid, fee });
    }

    /// What we would pay, or have paid.
    fn wish(&self, close: &LegacyClose, env: &Env<'_>) -> Wish {
        let weight = close.weight();
        let feerate = self.state.our_shutdown.as_ref().map_or(env.feerate, |said| said.feerate);
        let payer = match close.funder {
            Side::Us => &close.ours,
            Side::Them => &close.theirs,
        };
        let most = payer.balance.floor_sat();
        let min = FeeratePerKw::FLOOR.fee_ceil(weight).min(most);
        let ideal = feerate.max(FeeratePerKw::FLOOR).fee_ceil(weight).min(most);
        let max = match close.funder {
            Side::Us => {
                let factor = u64::from(env.policy.closing_fee_factor_max.max(1));
                Sat::from_sat(ideal.to_sat().saturating_mul(factor)).min(most)
            }
            // BOLT 2: "if it is not the funder: - SHOULD set `max_fee_satoshis` to at least the
            // `max_fee_satoshis` received"
            Side::Them => most,
        };
        Wish { min, ideal: ideal.max(min), max }
    }
}

/// What to answer a proposal.
enum Next {
    Agree,
    Propose(Sat),
}

fn next_fee(
    before: Negotiation,
    fee: Sat,
    range: Option<&FeeRange>,
    wish: Wish,
    funder: Side,
) -> Result<Next, PeerFault> {
    // BOLT 2: "if `fee_satoshis` is equal to its previously sent `fee_satoshis`: - SHOULD sign and
    // broadcast the final closing transaction."
    if before.ours == Some(fee) {
        return Ok(Next::Agree);
    }
    let within = |low: Sat, high: Sat| low <= fee && fee <= high;
    let Some(range) = range else {
        return without_range(before, fee, wish);
    };
    let low = wish.min.max(Sat::from_sat(range.min_fee_satoshis));
    let high = wish.max.min(Sat::from_sat(range.max_fee_satoshis));
    // BOLT 2: "if there is no overlap between that and its own `fee_range`: - SHOULD send a warning"
    if low > high {
        return Err(PeerFault::NoCommonFee);
    }
    match funder {
        // BOLT 2: "if `fee_satoshis` is not in the overlap between the sent and received `fee_range`: -
        // MUST fail the channel - otherwise: - MUST reply with the same `fee_satoshis`."
        Side::Us if within(low, high) => Ok(Next::Agree),
        Side::Us => Err(PeerFault::BadClosingFee),
        // BOLT 2: "if it has already sent a `closing_signed`: - if `fee_satoshis` is not the same as the
        // value it sent: - MUST fail the channel"
        Side::Them if before.ours.is_some() => Err(PeerFault::BadClosingFee),
        Side::Them if within(low, high) => Ok(Next::Agree),
        // BOLT 2: "MUST propose a `fee_satoshis` in the overlap between received and (about-to-be) sent
        // `fee_range`."
        Side::Them => Ok(Next::Propose(wish.ideal.clamp(low, high))),
    }
}

/// The old way: each proposal strictly between the last two.
fn without_range(before: Negotiation, fee: Sat, wish: Wish) -> Result<Next, PeerFault> {
    // BOLT 2: "if `fee_satoshis` is not strictly between its last-sent `fee_satoshis` and its
    // previously-received `fee_satoshis`, UNLESS it has since reconnected"
    if let (Some(ours), Some(theirs)) = (before.ours, before.theirs)
        && !(ours.min(theirs) < fee && fee < ours.max(theirs))
    {
        return Err(PeerFault::BadClosingFee);
    }
    if wish.min <= fee && fee <= wish.max {
        return Ok(Next::Agree);
    }
    let last = before.ours.unwrap_or(wish.ideal);
    let middle = last.to_sat().saturating_add(fee.to_sat()) / 2;
    let counter = Sat::from_sat(middle).clamp(wish.min, wish.max);
    // BOLT 2: "MUST propose a value "strictly between" the received `fee_satoshis` and its
    // previously-sent `fee_satoshis`."
    let strictly = before.ours.is_none() || (last.min(fee) < counter && counter < last.max(fee));
    if strictly { Ok(Next::Propose(counter)) } else { Err(PeerFault::NoCommonFee) }
}

/// What tells this closing transaction from the others.
fn close_terms(close: &LegacyClose, tx: &ClosingTx, fee: Sat) -> CloseTerms {
    let alone = |omit| {
        (close.build(fee, Sat::ZERO, Some(omit))).is_ok_and(|other| other.txid() == tx.txid())
    };
    CloseTerms { fee_sat: fee.to_sat(), pays_us: !alone(Side::Us), pays_them: !alone(Side::Them) }
}
