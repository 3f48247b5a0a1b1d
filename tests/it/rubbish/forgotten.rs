//! A peer that shows a state so old that only the archive remembers its HTLCs.

use chain_backend::backend::{Package, SubmitOutcome};
use channel::signer::{InMemorySigner, Memory};
use channel::{Channel, Command, CommandId, Effect, Env, Event, Policy, Why};
use daemon::rpc::node_api::NodeApi as _;
use viaduct_tests::until::until_async;
use wire::units::{BlockHeight, FeeratePerKw};

use super::rogue::{Part, Rogue};
use crate::nodes::pair::{Pair, find, in_time, pay_some};

const SAT: u64 = 1_000_000;

/// The commitment of a state that was kept, signed by a signer that remembers nothing.
fn commitment(old: Channel, byte: u8, height: u32) -> bitcoin::Transaction {
    struct NoDisk;
    impl channel::seal::Journal for NoDisk {
        fn append(&mut self, _record: Vec<u8>) -> channel::seal::Lsn {
            channel::seal::Lsn(0)
        }
    }
    let signer = InMemorySigner::new(&[byte; 32], 1, Memory::default()).expect("keys");
    let policy = Policy::default();
    let env = Env {
        height: BlockHeight(height),
        now: 0,
        feerate: FeeratePerKw(1_000),
        policy: &policy,
        signer: &signer,
        workers: &channel::tx::Inline,
    };
    let close = Command::ForceClose { command: CommandId(1) };
    let (_, sealed) = old.step(Event::Command(close), &env).stage(&mut NoDisk);
    #[expect(clippy::disallowed_methods, reason = "this peer has no journal")]
    let disk = channel::seal::Flushed::attest(channel::seal::Lsn(u64::MAX));
    let effects = sealed.open(disk).expect("nothing waits");
    effects
        .into_iter()
        .find_map(|effect| match effect {
            Effect::Broadcast { tx, why: Why::ForceClose } => Some(tx),
            _ => None,
        })
        .expect("a commitment")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c49_a_state_whose_htlcs_only_the_archive_remembers_is_punished_to_the_last_output() {
    in_time(async {
        let byte = 51;
        let (mut pair, honest) = Pair::with_channel().await;
        let mut rogue = Rogue::with_channel(&pair.alice, &pair.layer1, byte, SAT).await;
        let bad = rogue.id();
        let total = 90_000_000;
        let (invoice, hash) = pair.alice.create_invoice(Some(total), 3_600).await;
        let height = pair.layer1.height().await;
        for msat in [30_000_000, 40_000_000] {
            rogue.offer(&pair.alice, Part::of(&invoice, msat, total, height)).await;
        }
        rogue.until_held(&pair.alice, hash).await;
        let old = rogue.channel().clone();
        rogue.offer(&pair.alice, Part::of(&invoice, 20_000_000, total, height)).await;
        rogue.pump("the preimages", |rogue| rogue.resolved.len() == 3).await;
        rogue
            .pump("the end of the dance", |rogue| {
                rogue.channel().state().is_some_and(|state| state.ledger.is_clean())
            })
            .await;
        drop(rogue);
        // A snapshot, which drops what was settled, and a start from it.
        pair.alice = pair
            .alice
            .restart_with(|dir| {
                assert!(daemon::keeper::compact(dir).unwrap().is_some());
                let sizes = std::fs::read_dir(dir.archive()).unwrap();
                assert_eq!(sizes.count(), 1, "one channel has had HTLCs");
            })
            .await;
        let tx = commitment(old, byte, height);
        let penalty: u64 = tx.output.iter().map(|out| out.value.to_sat()).sum::<u64>() - 660;
        assert_eq!(tx.output.len(), 6, "two balances, two anchors, two HTLCs");
        let before = pair.alice.balance().await.confirmed.to_sat();
        let txid = tx.compute_txid();
        let outcome = pair.layer1.backend().submit(Package::single(tx.clone()), None).await;
        assert!(matches!(outcome, SubmitOutcome::Accepted), "{outcome:?}");
        pair.layer1.mine(1).await;
        until_async("all of it", String::new, || async {
            pair.layer1.mine(1).await;
            let grown = pair.alice.balance().await.confirmed.to_sat() - before;
            // Less than two per cent goes to the miners.
            (grown > penalty - penalty / 50).then_some(())
        })
        .await;
        let left = pair.layer1.unspent_of(&tx).await;
        assert!(left.iter().all(|(_, out)| out.value.to_sat() == 330), "{txid}: {left:?}");
        assert!(find(&pair.alice, bad).await.closing.is_some());
        pair.usable(honest).await;
        pair.synced().await;
        pay_some(&pair.alice, &pair.bob, 30_000_000).await;
        // When it is over for good, the archive goes with it, at the next snapshot.
        pair.mine(101).await;
        until_async("its end", String::new, || async {
            let info = pair.alice.handle().info().await.unwrap();
            (info.channels_closing == 0).then_some(())
        })
        .await;
        pair.alice = pair
            .alice
            .restart_with(|dir| {
                daemon::keeper::compact(dir).unwrap();
                let names: Vec<_> = std::fs::read_dir(dir.archive()).unwrap().collect();
                assert_eq!(names.len(), 1, "only the honest channel's: {names:?}");
            })
            .await;
    })
    .await;
}
