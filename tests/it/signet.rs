//! Nodes on a signet of one's own: a network that is closed, because only who holds a key makes blocks.

use std::sync::Arc;

use chain_backend::{
    BuiltinChain, ChainBackend as _, Options, Rules, Sandbox, SandboxError, Signet,
};
use daemon::rpc::model::channel::CloseKind;
use daemon::rpc::model::sandbox::Mine;
use daemon::rpc::model::wallet::AddressKind;
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::Refusal;
use viaduct_tests::layer1::signet::{Carriers, anyone, challenge, easy, premined, unsigned};
use viaduct_tests::layer1::{Layer1, unix_now};

use crate::nodes::pair::{CAPACITY, Pair, find, in_time, pay_some};

/// What a node on a signet is told. Its chain is given to it by the test.
const SETTINGS: &[(&str, &str)] = &[
    ("network", "signet"),
    ("chain.backend", "http://127.0.0.1:1"),
    ("channel.depth_min_blocks", "1"),
];

/// Who cannot sign cannot make a block either, and is told why.
async fn cannot_mine(chain: &BuiltinChain) {
    let refused = chain.mine(1, anyone()).await.expect_err("only its signer makes blocks");
    let SandboxError::Refused(why) = &refused else { panic!("{refused:?}") };
    assert!(why.contains("only who holds the key of this signet"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_with_a_signets_work_and_signature_are_taken_and_work_alone_is_not_enough() {
    let rules = Rules::Signet(Signet::new(challenge(), None).expect("a challenge"));
    let chain = BuiltinChain::open(&Options { rules, ..Options::memory(unix_now) });
    let chain = chain.expect("a thread for the chain");
    let blocks = premined();
    let worked = unsigned(&blocks);
    for block in &blocks {
        assert!(chain.submit_block(block.clone()).await.expect("it is taken"));
    }
    for block in worked {
        let refused = chain.submit_block(block).await.expect_err("it is not signed");
        assert_eq!(refused, SandboxError::Refused("bad-signet-blksig".to_owned()));
    }
    cannot_mine(&chain).await;
    let tip = chain.tip().await.expect("it answers");
    assert_eq!((tip.height, tip.hash), (100, blocks[99].block_hash()));
}

/// One side of a channel makes blocks, the other only follows, and blocks and transactions are carried between them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_live_and_end_on_a_signet_whose_blocks_one_side_alone_can_make() {
    in_time(async {
        let (signer, follower) = (easy(true), easy(false));
        let _carriers = Carriers::between(Arc::new(signer.clone()), Arc::new(follower.clone()));
        let pair = Pair::apart(Layer1::of(signer), &Layer1::of(follower.clone()), SETTINGS).await;
        cannot_mine(&follower).await;
        let address = pair.bob.handle().new_address(AddressKind::Taproot, None).await;
        assert!(address.expect("an address").to_string().starts_with("tb1p"));
        let (invoice, _) = pair.bob.create_invoice(Some(1_000), 3_600).await;
        assert!(invoice.starts_with("lntbs10n1"), "{invoice}");
        // It is no play money: nobody mines or pours by way of a node.
        let mined = pair.alice.handle().mine(Mine { key: None, blocks: 1, to: None }).await;
        let network = bitcoin::Network::Signet;
        assert_eq!(mined.expect_err("no sandbox"), Refusal::NotSandbox { network });

        let id = pair.open(CAPACITY).await;
        pay_some(&pair.alice, &pair.bob, 500_000_000).await;
        pair.agree(id).await;
        pay_some(&pair.bob, &pair.alice, 200_000_000).await;
        let view = pair.agree(id).await;
        assert_eq!(view.theirs.to_u64(), 300_000_000);
        pair.close_together(&pair.bob, id).await;
        let closing = find(&pair.alice, id).await.closing.expect("closed");
        assert_eq!(closing.kind, Some(CloseKind::Cooperative));
        pair.account(0).await;

        let id = pair.open(CAPACITY).await;
        pay_some(&pair.alice, &pair.bob, 700_000_000).await;
        let funding = pair.agree(id).await.funding.expect("funded");
        pair.bob.close(id, true).await;
        let commitment = pair.layer1.spend_seen(funding).await;
        pair.mine(1).await;
        let mined = pair.layer1.spend_seen(funding).await;
        // Who is told of a close by force closes as well, and either may be the one that is mined.
        assert_eq!(mined.input[0].previous_output, commitment.input[0].previous_output);
        pair.buried(id).await;
        let left = pair.layer1.unspent_of(&mined).await;
        pair.account(left.iter().map(|(_, output)| output.value.to_sat()).sum()).await;
    })
    .await;
}
