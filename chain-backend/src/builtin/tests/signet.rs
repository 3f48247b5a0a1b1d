//! A signet: only who has its key makes blocks.

use super::harness::{key, miner, options, pubkey, word};
use crate::builtin::chainstate::{BlockOutcome, ChainError, Chainstate};
use crate::builtin::mine::grind;
use crate::builtin::reject::Reject;
use crate::builtin::signet::{Rules, Signet, SignetError};
use crate::builtin::verify::signet::{SIGNET_HEADER, check_solution};
use bitcoin::script::Builder;
use bitcoin::{Block, CompactTarget, Network, PrivateKey, ScriptBuf};

/// Some hundred tries a block.
fn easy() -> CompactTarget {
    CompactTarget::from_consensus(0x2000_ffff)
}

fn wif() -> PrivateKey {
    PrivateKey::new(key(), Network::Signet)
}

fn rules(challenge: ScriptBuf, key: Option<PrivateKey>) -> Rules {
    Rules::Signet(Signet::new(challenge, key).unwrap().easier(easy()))
}

fn chain(challenge: ScriptBuf, key: Option<PrivateKey>) -> Result<Chainstate, ChainError> {
    let mut options = options(None);
    options.rules = rules(challenge, key);
    Chainstate::open(&options)
}

fn challenges() -> Vec<ScriptBuf> {
    let other = PrivateKey::from_slice(&[9; 32], Network::Signet).unwrap();
    let other = other.public_key(secp256k1::SECP256K1);
    vec![
        miner(),
        ScriptBuf::new_p2pkh(&pubkey().pubkey_hash()),
        ScriptBuf::new_p2pk(&pubkey()),
        Builder::new()
            .push_int(1)
            .push_key(&other)
            .push_key(&pubkey())
            .push_int(2)
            .push_opcode(bitcoin::opcodes::all::OP_CHECKMULTISIG)
            .into_script(),
    ]
}

fn block_at(chain: &mut Chainstate, height: u32) -> Block {
    let hash = chain.header_at(height).unwrap().hash;
    Block::clone(&chain.block(hash).unwrap())
}

#[test]
fn who_has_the_key_makes_blocks_that_others_take() {
    for challenge in challenges() {
        let mut signer = chain(challenge.clone(), Some(wif())).unwrap();
        let mut follower = chain(challenge.clone(), None).unwrap();
        signer.mine(2, &miner()).unwrap();
        for height in 1..=2 {
            let block = block_at(&mut signer, height);
            assert_eq!(follower.submit_block(block).unwrap(), BlockOutcome::Connected);
        }
        assert_eq!(follower.tip().hash, signer.tip().hash);
        assert!(matches!(follower.mine(1, &miner()), Err(ChainError::NotTheSigner)));
        let genesis = bitcoin::constants::genesis_block(Network::Signet).block_hash();
        assert_eq!(signer.header_at(0).unwrap().hash, genesis);
    }
}

#[test]
fn a_block_without_a_good_signature_is_refused_by_its_word() {
    let mut signer = chain(miner(), Some(wif())).unwrap();
    signer.mine(1, &miner()).unwrap();
    let good = block_at(&mut signer, 1);
    let rework = |mut block: Block| {
        block.header.merkle_root = block.compute_merkle_root().unwrap();
        grind(block).unwrap()
    };
    // Somebody else's signature.
    let other = PrivateKey::from_slice(&[9; 32], Network::Signet).unwrap();
    let stranger = other.public_key(secp256k1::SECP256K1).wpubkey_hash().unwrap();
    let mut theirs = chain(ScriptBuf::new_p2wpkh(&stranger), Some(other)).unwrap();
    theirs.mine(1, &miner()).unwrap();
    // The time is signed, and so is who gets the reward; the nonce is not.
    let mut later = good.clone();
    later.header.time += 1;
    let mut richer = good.clone();
    richer.txdata[0].output[0].script_pubkey = ScriptBuf::new_p2wpkh(&stranger);
    let mut bare = good.clone();
    bare.txdata[0].output[1].script_pubkey =
        ScriptBuf::from_bytes(good.txdata[0].output[1].script_pubkey.as_bytes()[..38].to_vec());
    let mut longer = good.clone();
    longer.txdata[0].output[1].script_pubkey = {
        let script = good.txdata[0].output[1].script_pubkey.as_bytes();
        let mut bytes = script[..38].to_vec();
        bytes.push(script[38] + 1);
        bytes.extend(&script[39..]);
        bytes.push(0);
        ScriptBuf::from_bytes(bytes)
    };
    for block in
        [block_at(&mut theirs, 1), rework(later), rework(richer), rework(bare), rework(longer)]
    {
        let mut follower = chain(miner(), None).unwrap();
        assert_eq!(word(follower.submit_block(block)), Reject::SignetSignature);
        assert_eq!(Reject::SignetSignature.to_string(), "bad-signet-blksig");
    }
    let mut follower = chain(miner(), None).unwrap();
    assert_eq!(follower.submit_block(good).unwrap(), BlockOutcome::Connected);
}

#[test]
fn a_key_that_does_not_open_the_challenge_is_refused_at_the_start() {
    let script_hash = ScriptBuf::from_bytes(vec![0x51, 0x87]).to_p2wsh();
    for challenge in [script_hash, ScriptBuf::new_p2pk(&other_key())] {
        let opened = chain(challenge, Some(wif()));
        assert!(matches!(opened, Err(ChainError::Signet(SignetError::Key))));
    }
    assert_eq!(Signet::new(ScriptBuf::new(), None), Err(SignetError::Challenge));
    // Where the challenge is nobody's, everybody may.
    let mut open = chain(ScriptBuf::from_bytes(vec![0x51]), None).unwrap();
    open.mine(1, &miner()).unwrap();
}

fn other_key() -> bitcoin::PublicKey {
    let other = PrivateKey::from_slice(&[9; 32], Network::Signet).unwrap();
    other.public_key(secp256k1::SECP256K1)
}

#[test]
fn the_public_signets_magic_follows_from_its_challenge() {
    // BIP 325, "Genesis Block and Message Start", and its default challenge.
    let challenge = "512103ad5e0edad18cb1f0fc0d28a3d4f1f3e445640337489abb10404f2d1e086be430210359ef5021964fe22d6f8e05b2463c9540ce96883fe3b278760f048f5189f2e6c452ae";
    let signet = Signet::new(ScriptBuf::from_hex(challenge).unwrap(), None).unwrap();
    assert_eq!(signet.magic(), [0x0a, 0x03, 0xcf, 0x40]);
}

#[test]
fn a_signets_directory_is_no_other_signets_nor_regtests() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(Some(dir.path()));
    options.rules = rules(miner(), Some(wif()));
    let mut signer = Chainstate::open(&options).unwrap();
    signer.mine(2, &miner()).unwrap();
    let tip = signer.tip();
    drop(signer);
    let again = Chainstate::open(&options).unwrap();
    assert_eq!(again.tip().hash, tip.hash);
    drop(again);
    for other in [Rules::Regtest, rules(challenges().remove(2), Some(wif()))] {
        options.rules = other;
        assert!(Chainstate::open(&options).is_err());
    }
}

#[test]
fn a_solution_is_read_only_where_it_stands_and_only_once() {
    let mut signer = chain(miner(), Some(wif())).unwrap();
    signer.mine(1, &miner()).unwrap();
    let block = block_at(&mut signer, 1);
    assert_eq!(check_solution(&block, &miner()), Ok(()));
    let mut twice = block.clone();
    let script = &mut twice.txdata[0].output[1].script_pubkey;
    let mut second = SIGNET_HEADER.to_vec();
    second.push(1);
    script.push_slice(bitcoin::script::PushBytesBuf::try_from(second).unwrap());
    assert_eq!(check_solution(&twice, &miner()), Err(Reject::SignetSignature));
    let mut without = block;
    without.txdata[0].output.truncate(1);
    assert_eq!(check_solution(&without, &miner()), Err(Reject::SignetSignature));
}
