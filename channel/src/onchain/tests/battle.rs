//! Both sides fight over one close on a small chain with reorganisations, each with nothing but [`resolve`]
//! and the rules of Bitcoin, for as many seeds as `VIADUCT_SEEDS` says.
//!
//! Whatever happens: what resolve calls ready is valid, an HTLC that failed is never taken by the peer
//! afterwards, no output of ours is forgotten, and a cheater ends with nothing.

use bitcoin::{Script, ScriptBuf, TxOut};

use super::*;
use crate::tx::tests::PREIMAGE;

/// As deep as the chain changes its mind; below `fail_depth`.
const REORG_MAX: u32 = 5;

/// Numbers that only depend on the seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }

    pub(super) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// Blocks since the close, with Bitcoin's rules for what may come next.
struct Ground {
    tip: u32,
    highest: u32,
    mined: Vec<(u32, Transaction)>,
}

impl Ground {
    fn find(&self, outpoint: OutPoint) -> Option<(u32, TxOut)> {
        let (height, tx) = self.mined.iter().find(|(_, tx)| tx.compute_txid() == outpoint.txid)?;
        Some((*height, tx.output[usize::try_from(outpoint.vout).unwrap()].clone()))
    }

    fn is_spent(&self, outpoint: OutPoint) -> bool {
        (self.mined.iter()).any(|(_, tx)| tx.input.iter().any(|i| i.previous_output == outpoint))
    }

    /// Whether an input competes for something that is gone: lost the race, which is nobody's fault.
    fn is_late(&self, tx: &Transaction) -> bool {
        tx.input.iter().any(|input| self.is_spent(input.previous_output))
    }

    /// Whether the next block may contain it. Coins come from elsewhere and are always good.
    fn allows(&self, tx: &Transaction) -> bool {
        let next = self.tip + 1;
        let lock = tx.lock_time.to_consensus_u32();
        let final_inputs = tx.input.iter().all(|input| input.sequence == bitcoin::Sequence::MAX);
        (lock == 0 || lock < next || final_inputs)
            && tx.input.iter().enumerate().all(|(place, input)| {
                let Some((height, spent)) = self.find(input.previous_output) else { return true };
                let waits = input.sequence.is_relative_lock_time();
                let csv = if waits { input.sequence.0 & 0xffff } else { 0 };
                next >= height + csv && accepts(tx, place, &spent)
            })
    }

    fn mine(&mut self, txs: Vec<Transaction>) {
        for tx in txs {
            if !self.is_late(&tx) {
                self.mined.push((self.tip + 1, tx));
            }
        }
        self.tip += 1;
    }

    fn reorganise(&mut self, blocks: u32) {
        // However often it changes its mind, what was buried deeper stays.
        self.highest = self.highest.max(self.tip);
        self.tip = (self.tip - blocks).max(CLOSED.0).max(self.highest - REORG_MAX);
        let tip = self.tip;
        self.mined.retain(|(height, _)| *height <= tip);
        // Spends of what is gone go with it.
        loop {
            let gone = self.mined.iter().position(|(height, tx)| {
                *height > CLOSED.0
                    && tx.input.iter().any(|input| {
                        input.previous_output.vout != 1
                            && self.find(input.previous_output).is_none()
                    })
            });
            match gone {
                Some(place) => drop(self.mined.remove(place)),
                None => break,
            }
        }
    }
}

/// One side with all it knows.
struct Player {
    side: Side,
    world: World,
    to: ScriptBuf,
    coins: u8,
}

impl Player {
    fn resolve(&self, ground: &Ground) -> Resolution {
        let spends: Vec<_> = (ground.mined.iter())
            .flat_map(|(height, tx)| {
                let mined = Mined { tx, height: BlockHeight(*height) };
                tx.input.iter().map(move |input| (input.previous_output, mined))
            })
            .collect();
        let close = Mined { tx: &ground.mined[0].1, height: CLOSED };
        let tip = BlockHeight(ground.tip);
        let chain = Chain { tip, feerate: FEERATE, close, spends: &spends };
        resolve(&self.world.known(), &chain)
    }

    /// Whether the peer took the output of our HTLC with a preimage.
    fn lost(&self, ground: &Ground, id: u64) -> bool {
        let close = ground.mined[0].1.compute_txid();
        let commitments = self.world.theirs.iter().chain([&self.world.ours]);
        let Some(commitment) = commitments.into_iter().find(|known| known.txid() == close) else {
            return false;
        };
        let name = (Side::Us, id);
        let outpoint = (commitment.htlcs().iter())
            .find(|output| super::name(commitment.terms().owner, &output.htlc) == name)
            .map(|output| commitment.htlc_outpoint(output));
        ground.mined.iter().flat_map(|(_, tx)| &tx.input).any(|input| {
            Some(input.previous_output) == outpoint
                && input.witness.iter().any(|element| element.len() == 32)
        })
    }

    /// Signed transactions for all that is ready.
    fn act(&mut self, ground: &Ground) -> Vec<Transaction> {
        let resolution = self.resolve(ground);
        (sweep::groups(&resolution.claims, BlockHeight(ground.tip)).into_iter())
            .map(|group| {
                let spends: Vec<_> = group.iter().map(|claim| &claim.spend).collect();
                self.coins = self.coins.wrapping_add(1);
                let mut outpoint = coin(self.coins).previous_output;
                if self.side == Side::Them {
                    outpoint.txid = bitcoin::hashes::Hash::hash(&[self.coins]);
                }
                let value = Sat::from_sat(50_000);
                let fee_coin = Coin { outpoint, value, input_weight: 272 };
                let needed = group.iter().any(|claim| claim.needs_coins());
                let coins = if needed { &[fee_coin][..] } else { &[] };
                let feerate = FeeratePerKw(253);
                let mut sweep = sweep::build(&spends, coins, &self.to, feerate).unwrap();
                self.world.pair.us.sign_spends(&mut sweep.tx, &spends).unwrap();
                assert!(ground.is_late(&sweep.tx) || ground.allows(&sweep.tx), "{spends:#?}");
                sweep.tx
            })
            .collect()
    }
}

/// What a script got, less the coins that its owner put in.
fn net(ground: &Ground, to: &Script) -> i64 {
    (ground.mined.iter().skip(1))
        .filter(|(_, tx)| tx.output.last().is_some_and(|out| out.script_pubkey.as_script() == to))
        .map(|(_, tx)| {
            let got = tx.output.last().unwrap().value.to_sat() as i64;
            let coins =
                tx.input.iter().filter(|i| ground.find(i.previous_output).is_none()).count();
            got - 50_000 * coins as i64
        })
        .sum()
}

/// A spec with HTLCs both ways, some of them alike, some expired soon.
fn contested(dice: &mut Dice) -> CommitmentSpec {
    let mut spec = spec();
    spec.htlcs = (0..1 + dice.below(6))
        .flat_map(|id| [Direction::Offered, Direction::Received].map(|direction| (id, direction)))
        .map(|(id, direction)| SpecHtlc {
            direction,
            id,
            amount: Msat::new(10_000_000 + 1_000_000 * dice.below(3)).unwrap(),
            payment_hash: hidden(dice.below(3)).hash(),
            cltv_expiry: BlockHeight(1_002 + dice.below(60) as u32),
        })
        .collect();
    let flying: u64 = spec.htlcs.iter().map(|htlc| htlc.amount.to_u64()).sum();
    spec.to_owner = Msat::new(300_000_000).unwrap();
    spec.to_other = Msat::new(700_000_000 - flying).unwrap();
    spec
}

fn hidden(which: u64) -> Preimage {
    Preimage([PREIMAGE.0[0].wrapping_add(which as u8); 32])
}

/// Who knows what: both sides, and the close between them.
fn players(dice: &mut Dice, spec: &CommitmentSpec, cheat: bool) -> (Player, Player, Transaction) {
    let p2wpkh = |byte| {
        let hash = bitcoin::hashes::Hash::from_byte_array([byte; 20]);
        ScriptBuf::new_p2wpkh(&hash)
    };
    let ours = World::new(spec);
    let pair = Pair::new();
    // The peer's own world: it is "us" there.
    let theirs_number = if cheat { 4 } else { 9 };
    let (own, own_tx, signatures) = pair.signed(Side::Them, theirs_number, &mirrored(spec));
    let their_signer = InMemorySigner::new(&[2; 32], 3, Memory::default()).unwrap();
    let our_signer = InMemorySigner::new(&[1; 32], 3, Memory::default()).unwrap();
    let outgoing = |spec: &CommitmentSpec| {
        let offered = spec.htlcs.iter().filter(|htlc| htlc.direction == Direction::Offered);
        offered.copied().collect::<Vec<_>>()
    };
    let theirs = World {
        ours: own,
        our_tx: own_tx,
        signatures,
        theirs: vec![pair.commitment(Side::Them, Side::Us, 9, spec)],
        their_terms: pair.terms(Side::Them, Side::Us),
        secrets: RevealedSecrets::new(),
        outgoing: outgoing(&mirrored(spec)),
        pair: Pair { us: their_signer, them: our_signer, ..Pair::new() },
        ..World::new(spec)
    };
    let mut ours = ours;
    ours.pair.us = InMemorySigner::new(&[1; 32], 3, Memory::default()).unwrap();
    if cheat {
        ours.past = mirrored(spec).htlcs;
    }
    let mut us = Player { side: Side::Us, world: ours, to: p2wpkh(1), coins: 0 };
    let mut them = Player { side: Side::Them, world: theirs, to: p2wpkh(2), coins: 0 };
    for which in 0..3 {
        for player in [&mut us, &mut them] {
            if dice.one_in(2) {
                learn(player, spec, which);
            }
        }
    }
    let close = if cheat || dice.one_in(2) { &them.world.our_tx } else { &us.world.our_tx };
    let close = close.clone();
    (us, them, close)
}

/// From now on the player can take incoming HTLCs of this hash.
fn learn(player: &mut Player, spec: &CommitmentSpec, which: u64) {
    let incoming = match player.side {
        Side::Us => Direction::Received,
        Side::Them => Direction::Offered,
    };
    for htlc in &spec.htlcs {
        if htlc.direction == incoming && htlc.payment_hash == hidden(which).hash() {
            player.world.preimages.insert((Side::Them, htlc.id), hidden(which));
        }
    }
}

fn fight(seed: u64, cheat: bool) {
    let mut dice = Dice(seed);
    let spec = contested(&mut dice);
    let (mut us, mut them, close) = players(&mut dice, &spec, cheat);
    let mut ground = Ground { tip: CLOSED.0, highest: CLOSED.0, mined: vec![(CLOSED.0, close)] };
    let mut failed: Vec<u64> = Vec::new();
    let mut lazy = 0;
    for _ in 0..30 {
        let mut block = Vec::new();
        let act = dice.one_in(2) || lazy > 3;
        lazy = if act { 0 } else { lazy + 1 };
        let we_first = dice.one_in(2);
        if act && we_first {
            block.extend(us.act(&ground));
        }
        if dice.one_in(2) {
            block.extend(them.act(&ground));
        }
        if act && !we_first {
            block.extend(us.act(&ground));
        }
        ground.mine(block);
        if dice.one_in(6) {
            learn(&mut us, &spec, 0);
        }
        if dice.one_in(3) {
            ground.tip += dice.below(8) as u32;
        }
        let fates = us.resolve(&ground).fates;
        for id in &failed {
            // A twin's preimage may turn a failure into a gain, never into a loss.
            assert!(!us.lost(&ground, *id), "seed {seed}: HTLC {id} was failed and then taken");
        }
        failed.extend(fates.iter().filter(|(_, fate)| **fate == Fate::Failed).map(|(id, _)| id));
        if dice.one_in(5) {
            ground.reorganise(1 + dice.below(u64::from(REORG_MAX)) as u32);
        }
    }
    end(seed, cheat, &spec, &mut us, &mut them, &mut ground);
}

/// Time passes, everybody takes what is left.
fn end(
    seed: u64,
    cheat: bool,
    spec: &CommitmentSpec,
    us: &mut Player,
    them: &mut Player,
    ground: &mut Ground,
) {
    for _ in 0..6 {
        let block = us.act(ground);
        ground.mine(block);
    }
    for passing in [200, 41_000, 41_000] {
        ground.tip += passing;
        for player in [&mut *us, them] {
            let block = player.act(ground);
            ground.mine(block);
        }
    }
    let resolution = us.resolve(ground);
    assert!(resolution.claims.iter().all(|claim| kind(claim) == "anchor"), "seed {seed}");
    // What the peer may take for want of a preimage of ours is gone, too, or expired long ago.
    ground.tip += IRREVOCABLE_DEPTH;
    let resolution = us.resolve(ground);
    assert!(resolution.done, "seed {seed}: {resolution:#?}");
    let (ours, theirs) = (net(ground, &us.to), net(ground, &them.to));
    if cheat {
        assert_eq!(theirs.max(0), 0, "seed {seed}: the cheater has {theirs}");
        assert!(ours > 950_000, "seed {seed}: we have {ours}");
        return;
    }
    assert_eq!(resolution.fates.len(), us.world.outgoing.len(), "seed {seed}");
    let returned: u64 = (us.world.outgoing.iter())
        .filter(|htlc| resolution.fates[&htlc.id] == Fate::Failed)
        .map(|htlc| htlc.amount.floor_sat().to_sat())
        .sum();
    let least = (spec.to_owner.floor_sat().to_sat() + returned) as i64;
    // Fees of the commitment and of at most a dozen sweeps.
    assert!(ours > least - 20_000, "seed {seed}: {ours} of {least}");
}

pub(super) fn seeds() -> u64 {
    std::env::var("VIADUCT_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(30)
}

#[test]
fn honest_closes_end_with_everybody_having_theirs() {
    (0..seeds()).for_each(|seed| fight(seed, false));
}

#[test]
fn cheats_end_with_nothing_for_the_cheater() {
    (0..seeds()).for_each(|seed| fight(seed, true));
}
