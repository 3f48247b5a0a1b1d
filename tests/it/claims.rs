//! Whatever the resolver claims is taken by a whole chain: consensus, relay policy, locks, packages. Random
//! channels, random HTLCs both ways, every kind of close, as many as `VIADUCT_CLAIM_SEEDS` says.

use std::collections::BTreeMap;

use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use chain_backend::backend::Package;
use channel::clock::Side;
use channel::keys::CommitmentKeys;
use channel::onchain::sweep::{Coin, Sweep, SweepError, build, groups};
use channel::onchain::{Chain, Claim, Close, HtlcName, Known, Mined, Resolution, bump, resolve};
use channel::shachain::RevealedSecrets;
use channel::signer::{InMemorySigner, Memory, Signer};
use channel::tx::{
    Commitment, CommitmentSpec, CommitmentTerms, Direction, Inline, SideTerms, SpecHtlc, Spend,
};
use viaduct_tests::layer1::Layer1;
use wire::id::{Preimage, Signature};
use wire::units::{BlockHeight, FeeratePerKw, Msat};

/// A coin that pays for a claim.
const COIN: u64 = 1_000_000;

/// The least a commitment leaves to each side.
const RESERVE: u64 = 100_000;

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Ours,
    Theirs,
    Next,
    Revoked,
}

/// Anybody's: a coin without keys that policy takes.
fn anybody() -> ScriptBuf {
    ScriptBuf::from(vec![0x51])
}

fn home() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&bitcoin::hashes::Hash::from_byte_array([3; 20]))
}

fn coin_input(previous_output: OutPoint) -> TxIn {
    let sequence = Sequence::ENABLE_RBF_NO_LOCKTIME;
    TxIn { previous_output, sequence, ..TxIn::default() }
}

fn signer(byte: u8) -> InMemorySigner {
    InMemorySigner::new(&[byte; 32], 3, Memory::default()).unwrap()
}

fn preimage(id: u64) -> Preimage {
    let mut bytes = [5; 32];
    bytes[..8].copy_from_slice(&id.to_be_bytes());
    Preimage(bytes)
}

fn mirrored(spec: &CommitmentSpec) -> CommitmentSpec {
    let htlcs =
        spec.htlcs.iter().map(|htlc| SpecHtlc { direction: !htlc.direction, ..*htlc }).collect();
    CommitmentSpec { to_owner: spec.to_other, to_other: spec.to_owner, htlcs, ..*spec }
}

/// Both ends of a channel on a chain.
struct Ground {
    layer1: Layer1,
    us: InMemorySigner,
    them: InMemorySigner,
    opener: Side,
    funding: OutPoint,
    capacity: Amount,
    dust_limit: Amount,
    coins: Vec<OutPoint>,
    spends: Vec<(OutPoint, Transaction, BlockHeight)>,
}

impl Ground {
    async fn new(layer1: &Layer1, coinbase: &Transaction, dice: &mut Dice) -> Self {
        let (us, them) = (signer(1), signer(2));
        let capacity = Amount::from_sat(2_000_000 + dice.below(50_000_000));
        let keys = [us.basepoints().funding, them.basepoints().funding];
        let script = channel::tx::script::funding(&keys[0], &keys[1]).to_p2wsh();
        let mut output = vec![TxOut { value: capacity, script_pubkey: script }];
        let coin = TxOut { value: Amount::from_sat(COIN), script_pubkey: anybody().to_p2wsh() };
        output.extend(std::iter::repeat_n(coin, 60));
        let mut input = coin_input(OutPoint { txid: coinbase.compute_txid(), vout: 0 });
        input.witness = Witness::from_slice(&[anybody().as_bytes()]);
        let spent: u64 = output.iter().map(|out| out.value.to_sat()).sum();
        let rest = coinbase.output[0].value.to_sat() - spent - 10_000;
        output.push(TxOut { value: Amount::from_sat(rest), script_pubkey: anybody().to_p2wsh() });
        let tx = Transaction {
            version: bitcoin::transaction::Version::TWO,
            lock_time: bitcoin::absolute::LockTime::ZERO,
            input: vec![input],
            output,
        };
        layer1.chain().accept(Package::single(tx.clone())).await.unwrap();
        layer1.mine(1).await;
        let txid = tx.compute_txid();
        Self {
            layer1: layer1.clone(),
            us,
            them,
            opener: if dice.below(2) == 0 { Side::Us } else { Side::Them },
            funding: OutPoint { txid, vout: 0 },
            capacity,
            dust_limit: Amount::from_sat([354, 546, 3_000][dice.below(3) as usize]),
            coins: (1..=60).map(|vout| OutPoint { txid, vout }).collect(),
            spends: Vec::new(),
        }
    }

    fn terms(&self, viewer: Side, owner: Side) -> CommitmentTerms {
        let seen = |side: Side| if side == viewer { Side::Us } else { Side::Them };
        let side = |side: Side| SideTerms {
            basepoints: *self.signer(side).basepoints(),
            dust_limit: self.dust_limit,
            to_self_delay: if side == Side::Us { 9 } else { 6 },
        };
        CommitmentTerms::new(
            seen(owner),
            seen(self.opener),
            &side(viewer),
            &side(!viewer),
            self.funding,
            self.capacity,
        )
    }

    fn signer(&self, side: Side) -> &InMemorySigner {
        match side {
            Side::Us => &self.us,
            Side::Them => &self.them,
        }
    }

    /// Commitment `number` of `owner` as `viewer` sees it; `spec` is the owner's.
    fn commitment(
        &self,
        viewer: Side,
        owner: Side,
        number: u64,
        spec: &CommitmentSpec,
    ) -> Commitment {
        let keys = CommitmentKeys::derive(
            self.signer(owner).basepoints(),
            self.signer(!owner).basepoints(),
            &self.signer(owner).point(number).unwrap(),
        )
        .unwrap();
        Commitment::build(&self.terms(viewer, owner), &keys, number, spec).unwrap()
    }

    /// Signed by both, and the other side's signatures on its HTLCs.
    fn signed(
        &self,
        owner: Side,
        number: u64,
        spec: &CommitmentSpec,
    ) -> (Commitment, Transaction, Vec<Signature>) {
        let theirs = self.commitment(!owner, owner, number, spec);
        let signed = self.signer(!owner).sign_theirs(&theirs, &Inline).unwrap();
        let ours = self.commitment(owner, owner, number, spec);
        let tx = self.signer(owner).sign_ours(&ours, &signed.signature).unwrap();
        (ours, tx, signed.htlcs)
    }

    /// A division with HTLCs both ways that expire from here on.
    fn spec(&self, dice: &mut Dice, tip: u32) -> CommitmentSpec {
        let count = [0, 2, 7, 30][dice.below(4) as usize];
        let most = (self.capacity.to_sat() - 2 * RESERVE) * 1_000 / (count + 1);
        let mut ids = [0; 2];
        let htlcs: Vec<_> = (0..count)
            .map(|_| {
                let place = dice.below(2) as usize;
                ids[place] += 1;
                let amount = if dice.below(4) == 0 { 400_000 } else { dice.below(most) };
                SpecHtlc {
                    direction: [Direction::Offered, Direction::Received][place],
                    id: ids[place] - 1,
                    amount: Msat::new(1 + amount).unwrap(),
                    payment_hash: preimage(dice.below(count)).hash(),
                    cltv_expiry: BlockHeight(tip + 1 + dice.below(30) as u32),
                }
            })
            .collect();
        let flying: u64 = htlcs.iter().map(|htlc| htlc.amount.to_u64()).sum();
        let rest = self.capacity.to_sat() * 1_000 - flying;
        let one = RESERVE * 1_000 + dice.below(rest - 2 * RESERVE * 1_000 + 1);
        CommitmentSpec {
            feerate: FeeratePerKw(300 + dice.below(2_000) as u32),
            to_owner: Msat::new(one).unwrap(),
            to_other: Msat::new(rest - one).unwrap(),
            htlcs,
        }
    }

    /// The claims as one transaction, signed; `None` if they cannot pay for themselves.
    fn sweep(&mut self, claims: &[&Claim], feerate: FeeratePerKw) -> Option<Transaction> {
        let spends: Vec<&Spend> = claims.iter().map(|claim| &claim.spend).collect();
        let coins: Vec<Coin> = claims
            .iter()
            .any(|claim| claim.needs_coins())
            .then(|| self.coins.pop().expect("coins"))
            .map(|outpoint| Coin {
                outpoint,
                value: Amount::from_sat(COIN),
                input_weight: 4 * 41 + 3,
            })
            .into_iter()
            .collect();
        let Sweep { mut tx, weight, .. } = match build(&spends, &coins, &home(), feerate) {
            Ok(sweep) => sweep,
            Err(SweepError::Short { .. }) => return None,
            Err(other) => panic!("{other}"),
        };
        self.us.sign_spends(&mut tx, &spends).unwrap();
        let anybody = Witness::from_slice(&[anybody().as_bytes()]);
        for input in &mut tx.input {
            if coins.iter().any(|coin| coin.outpoint == input.previous_output) {
                input.witness = anybody.clone();
            }
        }
        let real = tx.weight().to_wu();
        assert!(real <= weight && 100 * (weight - real) <= weight, "{real} of {weight}");
        let demanded: Vec<_> = spends.iter().filter_map(|spend| spend.paired_output()).collect();
        let ours = |out: &TxOut| out.script_pubkey == home() || demanded.contains(&out);
        assert!(tx.output.iter().all(ours), "pays us alone");
        Some(tx)
    }

    async fn accept(&self, tx: &Transaction, what: &str) {
        let package = Package::single(tx.clone());
        if let Err(error) = self.layer1.chain().accept(package).await {
            panic!("{what}: {error}: {tx:#?}");
        }
    }

    /// Mines what is there; every transaction has to be in the block.
    async fn mine(&mut self, txs: Vec<Transaction>) {
        let blocks = self.layer1.chain().mine(1, home()).await.unwrap();
        let block = self.layer1.chain().block(blocks[0]).await.unwrap();
        let height = BlockHeight(self.layer1.height().await);
        let mined: Vec<Txid> = block.txdata.iter().map(Transaction::compute_txid).collect();
        for tx in txs {
            assert!(mined.contains(&tx.compute_txid()), "left out of the next block");
            let outpoints: Vec<_> = tx.input.iter().map(|input| input.previous_output).collect();
            self.spends.extend(outpoints.into_iter().map(|at| (at, tx.clone(), height)));
        }
    }
}

async fn close(layer1: &Layer1, coinbase: &Transaction, seed: u64) {
    let mut dice = Dice(seed);
    let mut ground = Ground::new(layer1, coinbase, &mut dice).await;
    let kind = [Kind::Ours, Kind::Theirs, Kind::Next, Kind::Revoked][(seed % 4) as usize];
    let spec = ground.spec(&mut dice, layer1.height().await);
    let number = match kind {
        Kind::Revoked => 4,
        Kind::Ours | Kind::Theirs => 9,
        Kind::Next => 10,
    };
    let (_, their_tx, _) = ground.signed(Side::Them, number, &mirrored(&spec));
    let (ours, our_tx, our_htlc_signatures) = ground.signed(Side::Us, 9, &spec);
    let theirs =
        [9, 10].map(|number| ground.commitment(Side::Us, Side::Them, number, &mirrored(&spec)));
    let tx = if kind == Kind::Ours { our_tx } else { their_tx };
    let mut secrets = RevealedSecrets::new();
    let past = signer(2);
    for number in 0..9 {
        secrets.insert(number, past.reveal(number).unwrap()).unwrap();
    }
    let mut preimages: BTreeMap<HtlcName, Preimage> = BTreeMap::new();
    for htlc in spec.htlcs.iter().filter(|htlc| htlc.direction == Direction::Received) {
        let known = (0..40).map(preimage).find(|known| known.hash() == htlc.payment_hash);
        if dice.below(2) == 0 {
            preimages.insert((Side::Them, htlc.id), known.unwrap());
        }
    }
    let their_terms = ground.terms(Side::Us, Side::Them);
    let outgoing: Vec<_> =
        spec.htlcs.iter().filter(|htlc| htlc.direction == Direction::Offered).copied().collect();
    let past = mirrored(&spec).htlcs;
    let (bases, upstream) = ([*ground.us.basepoints(), *ground.them.basepoints()], BTreeMap::new());
    let known = Known {
        our_basepoints: &bases[0],
        their_basepoints: &bases[1],
        their_terms: &their_terms,
        ours: &ours,
        our_htlc_signatures: &our_htlc_signatures,
        theirs: &theirs,
        secrets: &secrets,
        closes: &[],
        close_script: None,
        outgoing: &outgoing,
        past: &past,
        found: &[],
        preimages: &preimages,
        fail_depth: 6,
        upstream: &upstream,
        fail_back_buffer: 3,
    };
    let feerate = FeeratePerKw(260 + dice.below(3_000) as u32);
    let look = |ground: &Ground, tip: u32, height: u32| -> Resolution {
        let spends: Vec<_> = (ground.spends.iter())
            .map(|(at, tx, height)| (*at, Mined { tx, height: *height }))
            .collect();
        let close = Mined { tx: &tx, height: BlockHeight(height) };
        resolve(&known, &Chain { tip: BlockHeight(tip), feerate, close, spends: &spends })
    };

    // On its way: an honest one is raised through our anchor, justice follows a cheat into the same block.
    let tip = layer1.height().await;
    let mut block = vec![tx.clone()];
    if kind == Kind::Revoked {
        ground.accept(&tx, "the cheat").await;
        let resolution = look(&ground, tip, tip + 1);
        assert_eq!(resolution.close, Close::Revoked { number });
        for group in groups(&resolution.claims, BlockHeight(tip)) {
            if let Some(swept) = ground.sweep(&group, feerate) {
                ground.accept(&swept, "justice").await;
                block.push(swept);
            }
        }
    } else {
        let commitment = if kind == Kind::Ours { &ours } else { &theirs[(number - 9) as usize] };
        let anchor = bump(commitment).expect("an anchor");
        let child = ground.sweep(&[&anchor], feerate).expect("a coin pays");
        let package = Package::new(vec![tx.clone(), child.clone()]).unwrap();
        layer1.chain().accept(package).await.unwrap();
        block.push(child);
    }
    ground.mine(block).await;
    let height = layer1.height().await;
    if kind == Kind::Revoked {
        let penalties = look(&ground, height, height).claims.into_iter();
        let left = penalties.filter(|claim| claim.deadline.is_some());
        // Only what is worth less than its fee is left to a cheater.
        assert!(left.map(|claim| claim.spend.value.to_sat()).all(|value| value < 3_000));
    }

    loop {
        let tip = layer1.height().await;
        let resolution = look(&ground, tip, height);
        let mut block = Vec::new();
        let mut poor = Vec::new();
        for group in groups(&resolution.claims, BlockHeight(tip)) {
            match ground.sweep(&group, feerate) {
                Some(swept) => {
                    ground.accept(&swept, "a claim").await;
                    block.push(swept);
                }
                None => poor.extend(group.iter().map(|claim| claim.spend.outpoint)),
            }
        }
        if !block.is_empty() {
            ground.mine(block).await;
            continue;
        }
        let waits = resolution.claims.iter().filter(|claim| claim.worth() > Amount::ZERO);
        let waits = waits.filter(|claim| !poor.contains(&claim.spend.outpoint));
        let Some(next) = waits.map(|claim| claim.mature.0).min() else {
            assert!(poor.len() <= 30, "what cannot pay for itself is dust");
            break;
        };
        layer1.mine(next - 1 - tip).await;
    }
    // A hundred blocks later nothing changes any more.
    let tip = layer1.mine(140).await;
    let resolution = look(&ground, tip, height);
    let open = resolution.claims.iter().filter(|claim| claim.worth() > Amount::ZERO).count();
    assert_eq!(resolution.done, open == 0, "seed {seed}");
    assert_eq!(
        resolution.outputs.iter().filter(|view| view.state.is_open()).count(),
        open + usize::from(resolution.claims.len() > open,)
    );
}

#[tokio::test]
async fn every_claim_of_every_close_is_taken_by_consensus_and_policy() {
    let seeds = std::env::var("VIADUCT_CLAIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let seeds: u64 = seeds.unwrap_or(8);
    for batch in (0..seeds).step_by(8) {
        // A young chain each: the subsidy halves every 150 blocks.
        let layer1 = Layer1::start();
        let mut coinbases = Vec::new();
        for _ in batch..seeds.min(batch + 8) {
            let blocks = layer1.chain().mine(1, anybody().to_p2wsh()).await.unwrap();
            let block = layer1.chain().block(blocks[0]).await.unwrap();
            coinbases.push(block.txdata[0].clone());
        }
        layer1.mine(100).await;
        for (seed, coinbase) in (batch..).zip(&coinbases) {
            close(&layer1, coinbase, seed).await;
        }
    }
}
