//! Claims for a client that sleeps while its peer closes with a valid state: HTLCs whose preimage is known, and
//! those of ours that expire. BOLT 5 § Unilateral Close Handling: Remote Commitment Transaction.
//!
//! Nothing is punished here. Our own balance on such a commitment needs nobody: it waits for the seed.

use bitcoin::{OutPoint, Transaction};
use channel::signer::HtlcSigner;
use channel::tx::{HtlcKey, Recipe, Spend};
use secp256k1::PublicKey;
use wire::id::Preimage;

use super::{Replica, ReplicaError, past};
use crate::kit;
use crate::kit::claim::{Claim, ClaimKind, Deadline, Keyed, Right, Way};
use crate::message::{LiveHtlc, ReplicaNow};

impl Replica {
    /// The same with what a valid commitment may show.
    #[must_use]
    pub fn with_now(mut self, now: Option<ReplicaNow>) -> Self {
        self.now = now;
        self
    }

    /// What can be claimed from `commitment`, which is not revoked: its number, and one claim for each HTLC
    /// that we can open now or later. None, if it is our client's own.
    pub fn valid(&self, commitment: &Transaction) -> Result<(u64, Vec<Claim>), ReplicaError> {
        let number = self.number(commitment)?;
        let unknown = ReplicaError::NotRevoked { number, revealed: self.secrets.count() };
        let now = self.now.as_ref().ok_or(unknown)?;
        let point = (now.number..).zip(&now.points).find(|(of, _)| *of == number);
        let (_, point) = point.ok_or(unknown)?;
        let template = &self.template;
        let signer = HtlcSigner::new(now.htlc_key.expose())?;
        let revocation = channel::signer::RevocationSigner::new(template.revocation_key.expose())?;
        let keys = kit::keys(
            (revocation.basepoint(), signer.basepoint()),
            (&template.delayed_basepoint, &template.their_htlc_basepoint),
            point,
        )
        .map_err(|_| ReplicaError::Keys)?;
        let mut left: Vec<(bitcoin::ScriptBuf, bitcoin::ScriptBuf, Right, &LiveHtlc)> = Vec::new();
        for live in &now.htlcs {
            let right = match (live.htlc.offered, live.preimage) {
                (true, Some(preimage)) => Right::Preimage(preimage, *point),
                (true, None) => continue,
                (false, _) => Right::Expired(live.htlc.cltv_expiry, *point),
            };
            let witness_script = past(&live.htlc).witness_script(&keys);
            left.push((witness_script.to_p2wsh(), witness_script, right, live));
        }
        let txid = commitment.compute_txid();
        let mut claims = Vec::new();
        for (vout, txout) in (0..).zip(&commitment.output) {
            let Some(place) = left.iter().position(|(script, ..)| *script == txout.script_pubkey)
            else {
                continue;
            };
            // Two that are alike have an output each.
            let (script_pubkey, witness_script, right, live) = left.swap_remove(place);
            let (kind, deadline) = match right {
                Right::Preimage(..) => {
                    (ClaimKind::OfferedHtlc, Deadline::At(live.htlc.cltv_expiry))
                }
                Right::Revoked | Right::Expired(..) => (ClaimKind::ReceivedHtlc, Deadline::Race),
            };
            let outpoint = OutPoint { txid, vout };
            let Some(recipe) = recipe(right) else { continue };
            let spend = Spend { outpoint, value: txout.value, witness_script, recipe };
            claims.push(Claim {
                outpoint,
                value: txout.value,
                script_pubkey,
                kind,
                deadline,
                csv: spend.csv(),
                way: Way::Keyed(Keyed {
                    number,
                    right,
                    input_weight: spend.input_weight(),
                    witness_script: spend.witness_script,
                    sweep_script: template.sweep_script.clone(),
                }),
            });
        }
        Ok((number, claims))
    }

    /// Signs the input that takes `claim` of a valid commitment.
    pub(super) fn sign_valid(
        &self,
        tx: &mut Transaction,
        claim: &Claim,
        keyed: &Keyed,
    ) -> Result<(), ReplicaError> {
        let now = self.now.as_ref().ok_or(ReplicaError::Keys)?;
        let recipe = recipe(keyed.right).ok_or(ReplicaError::Keys)?;
        let witness_script = keyed.witness_script.clone();
        let spend = Spend { outpoint: claim.outpoint, value: claim.value, witness_script, recipe };
        Ok(HtlcSigner::new(now.htlc_key.expose())?.sign_spend(tx, &spend)?)
    }
}

fn recipe(right: Right) -> Option<Recipe> {
    let direct = |point: PublicKey, key| Some(Recipe::HtlcDirect { point, key });
    match right {
        Right::Revoked => None,
        Right::Preimage(preimage, point) => direct(point, HtlcKey::Preimage(Preimage(preimage))),
        Right::Expired(height, point) => direct(point, HtlcKey::Expiry(height)),
    }
}
