//! Random channels, random HTLCs, every kind of close: whatever is claimed is valid, standard, as heavy as
//! estimated and pays us alone. As many seeds as `VIADUCT_SEEDS` says.

use super::battle::{Dice, seeds};
use super::*;

/// Bitcoin Core's bounds for a P2WSH input: elements, their size, the script's size.
const ELEMENTS_MAX: usize = 100;
const ELEMENT_MAX: usize = 80;
const SCRIPT_MAX: usize = 3_600;

/// A channel of random size and dust limit, and a random division of it that both sides agree on.
fn random(dice: &mut Dice) -> (Pair, CommitmentSpec) {
    let dust_limit = [354, 546, 5_000][dice.below(3) as usize];
    let pair = Pair {
        opener: if dice.one_in(2) { Side::Us } else { Side::Them },
        capacity: Sat::from_sat(1_000_000 + dice.below(99_000_000)),
        dust_limit: Sat::from_sat(dust_limit),
        ..Pair::new()
    };
    let count = [0, 1, 3, 10, 40][dice.below(5) as usize];
    let most = pair.capacity.to_sat() * 500 / (count + 1);
    let mut ids = [0; 2];
    let htlcs: Vec<_> = (0..count)
        .map(|_| {
            let place = dice.below(2) as usize;
            let direction = [Direction::Offered, Direction::Received][place];
            ids[place] += 1;
            let msat = match dice.below(4) {
                0 => 1 + dice.below(dust_limit * 1_000),
                1 => dust_limit * 1_000 + dice.below(1_000),
                _ => 1 + dice.below(most),
            };
            SpecHtlc {
                direction,
                id: ids[place] - 1,
                amount: Msat::new(msat.min(most)).unwrap(),
                // Now and then the same hash twice.
                payment_hash: known_preimage(dice.below(count)).hash(),
                cltv_expiry: BlockHeight(900 + dice.below(300) as u32),
            }
        })
        .collect();
    let flying: u64 = htlcs.iter().map(|htlc| htlc.amount.to_u64()).sum();
    let rest = pair.capacity.to_sat() * 1_000 - flying;
    // Whoever pays for the commitment keeps enough to do so.
    let reserve = 40_000_000;
    let one = reserve + dice.below(rest - 2 * reserve + 1);
    let spec = CommitmentSpec {
        feerate: FeeratePerKw(253 + dice.below(1_000) as u32),
        to_owner: Msat::new(one).unwrap(),
        to_other: Msat::new(rest - one).unwrap(),
        htlcs,
    };
    (pair, spec)
}

/// What relay asks beyond consensus, of an input of ours and of the whole.
fn is_standard(tx: &Transaction) {
    assert_eq!(tx.version, bitcoin::transaction::Version::TWO);
    assert!(tx.weight().to_wu() <= 400_000 && tx.base_size() >= 65);
    for out in &tx.output {
        assert!(out.value >= crate::tx::fee::dust_threshold(&out.script_pubkey));
        assert!(out.script_pubkey.is_p2wpkh() || out.script_pubkey.is_p2wsh());
    }
    for input in &tx.input {
        assert!(input.script_sig.is_empty() && input.sequence.is_rbf());
        let Some(script) = input.witness.last() else { continue };
        assert!(script.len() <= SCRIPT_MAX && input.witness.len() <= ELEMENTS_MAX);
        let elements = input.witness.len() - 1;
        for element in input.witness.iter().take(elements) {
            assert!(element.len() <= ELEMENT_MAX);
            // A signature: strict DER, low S, a hash type that exists.
            if element.len() > 65 {
                let (kind, der) = element.split_last().unwrap();
                assert!(matches!(kind, 0x01 | 0x83));
                let signature = secp256k1::ecdsa::Signature::from_der(der).unwrap();
                let mut low = signature;
                low.normalize_s();
                assert_eq!((low, low.serialize_der().to_vec()), (signature, der.to_vec()));
            } else {
                // Nothing, the selector 01, a preimage or a key: MINIMALIF has no other way.
                assert!(matches!(element.len(), 0 | 1 | 32 | 33));
                assert!(element.len() != 1 || element == [1]);
            }
        }
    }
}

/// Every claim is worth something, and as valid alone as with others.
fn check(world: &mut World, close: &Transaction, dice: &mut Dice) {
    let mut parents = vec![close.clone()];
    for _ in 0..4 {
        let resolution = world.resolve(close);
        world.tip = world.tip.saturating_add(dice.below(400) as u32);
        let ready = resolution.claims.iter().filter(|claim| claim.is_ready(world.tip));
        let ready: Vec<_> = ready.filter(|claim| claim.worth() > Sat::ZERO).collect();
        let groups = sweep::groups(&resolution.claims, world.tip);
        let mut grouped: Vec<_> =
            groups.iter().flatten().map(|claim| claim.spend.outpoint).collect();
        let mut wanted: Vec<_> = ready.iter().map(|claim| claim.spend.outpoint).collect();
        grouped.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(grouped, wanted, "each ready claim in one group");
        let refs: Vec<_> = parents.iter().collect();
        let mut mined = Vec::new();
        for group in &groups {
            // Too little to pay for itself: left alone.
            let value: u64 = group.iter().map(|claim| claim.spend.value.to_sat()).sum();
            let cost: u64 =
                group.iter().map(|claim| sweep::cost(&claim.spend, FEERATE).to_sat()).sum();
            if value < cost + 400 {
                continue;
            }
            let swept = world.sweep(group, &refs);
            is_standard(&swept);
            let ours = bitcoin::ScriptBuf::new_p2wpkh(&bitcoin::hashes::Hash::all_zeros());
            for (place, out) in swept.output.iter().enumerate() {
                let demanded = group.iter().any(|claim| claim.spend.paired_output() == Some(out));
                assert!(out.script_pubkey == ours || demanded, "output {place} pays somebody else");
            }
            if dice.one_in(2) {
                mined.push(swept);
            }
        }
        for tx in mined {
            let height = world.tip.0 + 1;
            world.mine(&tx, height);
            parents.push(tx);
        }
        assert_eq!(world.resolve(close).close, resolution.close);
    }
}

#[test]
fn whatever_is_claimed_is_valid_standard_and_pays_us_alone() {
    for seed in 0..seeds() {
        let mut dice = Dice(seed ^ 0x5eed);
        let (pair, spec) = random(&mut dice);
        let mut world = World::of(pair, &spec);
        for htlc in spec.htlcs.iter().filter(|htlc| htlc.direction == Direction::Received) {
            if dice.one_in(2)
                && let Some(preimage) =
                    (0..40).map(known_preimage).find(|known| known.hash() == htlc.payment_hash)
            {
                world.preimages.insert((Side::Them, htlc.id), preimage);
            }
        }
        let close = match dice.below(4) {
            0 => world.our_tx.clone(),
            1 => world.their_tx(9),
            2 => world.their_tx(10),
            _ => {
                let revoked = world.pair.commitment(Side::Us, Side::Them, 4, &mirrored(&spec));
                revoked.tx().clone()
            }
        };
        check(&mut world, &close, &mut dice);
    }
}
