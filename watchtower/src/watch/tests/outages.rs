//! Backends that fail, leave out blocks, and come again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bitcoin::{Block, BlockHash, FeeRate, Network, OutPoint, Txid};
use chain_backend::{
    BackendError, BlockRef, BuiltinChain, Capabilities, ChainBackend, ChainEvent, ChainStream,
    FeeTable, Interest, Locator, Package, Spend, SubmitOutcome, TxOutWhere, TxWhere,
};
use futures_util::StreamExt as _;

use super::breaches::the_claim;
use super::scene::{Channel, Scene, Tower, broadcast, disks, eventually};
use crate::watch::EventKind;

/// How a backend fails: 0 not at all, 1 it cannot be reached, 2 it leaves out every second block, 3 its next word is that
/// it is away, and then it says no more and fails at nothing.
#[derive(Clone, Debug)]
struct Moody {
    chain: BuiltinChain,
    mood: Arc<AtomicU32>,
}

impl Moody {
    fn fail(&self) -> Result<(), BackendError> {
        if self.mood.load(Ordering::SeqCst) == 1 {
            return Err(BackendError::Unavailable("moody".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl ChainBackend for Moody {
    fn network(&self) -> Network {
        self.chain.network()
    }
    fn capabilities(&self) -> Capabilities {
        self.chain.capabilities()
    }
    async fn tip(&self) -> Result<BlockRef, BackendError> {
        self.fail()?;
        self.chain.tip().await
    }
    async fn events(&self, from: Locator, what: Interest) -> Result<ChainStream, BackendError> {
        self.fail()?;
        let mood = Arc::clone(&self.mood);
        let events = self.chain.events(from, what).await?;
        let mut is_away = false;
        let events = events.filter_map(move |event| {
            let mood = mood.load(Ordering::SeqCst);
            let told = match &event {
                _ if is_away => None,
                _ if mood == 3 => {
                    is_away = true;
                    Some(Ok(ChainEvent::Away { why: "moody".to_owned() }))
                }
                _ if mood == 1 => Some(Err(BackendError::Unavailable("moody".to_owned()))),
                Ok(ChainEvent::Connected { block, .. }) if mood == 2 && block.height % 2 == 0 => {
                    None
                }
                _ => Some(event),
            };
            std::future::ready(told)
        });
        Ok(events.boxed())
    }
    async fn block(&self, hash: BlockHash) -> Result<Arc<Block>, BackendError> {
        self.fail()?;
        self.chain.block(hash).await
    }
    async fn header_at(&self, height: u32) -> Result<BlockRef, BackendError> {
        self.fail()?;
        self.chain.header_at(height).await
    }
    async fn tx(&self, txid: Txid) -> Result<Option<TxWhere>, BackendError> {
        self.fail()?;
        self.chain.tx(txid).await
    }
    async fn txout(&self, outpoint: OutPoint) -> Result<Option<TxOutWhere>, BackendError> {
        self.fail()?;
        self.chain.txout(outpoint).await
    }
    async fn spender(&self, of: OutPoint, since: u32) -> Result<Option<Spend>, BackendError> {
        self.fail()?;
        self.chain.spender(of, since).await
    }
    async fn submit(&self, package: Package, most: Option<FeeRate>) -> SubmitOutcome {
        if self.fail().is_err() {
            return SubmitOutcome::Unavailable;
        }
        self.chain.submit(package, most).await
    }
    async fn test(&self, package: &Package) -> SubmitOutcome {
        self.chain.test(package).await
    }
    async fn fees(&self) -> Result<FeeTable, BackendError> {
        self.fail()?;
        self.chain.fees().await
    }
}

#[tokio::test]
async fn s39_a_backend_that_fails_and_then_leaves_out_blocks_hides_no_breach() {
    let mut scene = Scene::new().await;
    let channel = Channel::new(3, scene.coin());
    let mood = Arc::new(AtomicU32::new(0));
    let moody = Moody { chain: scene.chain.clone(), mood: Arc::clone(&mood) };
    let tower = Tower::start(disks(), vec![Arc::new(moody)]).await;
    tower.reach(scene.height().await).await;
    let mut events = tower.view.events.subscribe();
    let session = tower.open(&channel).await.session;
    let old = channel.commitment(4, 3_000_000, vec![]);
    tower.store(session, 0, vec![channel.record(&old, 4, 0)]).await;
    mood.store(1, Ordering::SeqCst);
    scene.mine(3).await;
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    tower.until(|watching| watching.trouble.is_some()).await;
    eventually("an alert", || {
        let alert = events.try_recv().is_ok_and(|event| event.kind == EventKind::Chain);
        std::future::ready(alert)
    })
    .await;
    mood.store(2, Ordering::SeqCst);
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    mood.store(0, Ordering::SeqCst);
    let outpoint = the_claim(&tower).await;
    eventually("justice", || async { scene.spender(outpoint).await.is_some() }).await;
    scene.mine(1).await;
    tower.reach(scene.height().await).await;
    assert!(tower.view.watching.borrow().trouble.is_none());
    tower.end().await;
}

/// The first of two backends fails, a breach is mined, and the second tells of it.
async fn taken_over_from_one_that_fails(how: u32) {
    let mut scene = Scene::new().await;
    let channel = Channel::new(3, scene.coin());
    let mood = Arc::new(AtomicU32::new(0));
    let moody = Moody { chain: scene.chain.clone(), mood: Arc::clone(&mood) };
    let backends: Vec<Arc<dyn ChainBackend>> = vec![Arc::new(moody), Arc::new(scene.chain.clone())];
    let tower = Tower::start(disks(), backends).await;
    tower.reach(scene.height().await).await;
    let session = tower.open(&channel).await.session;
    let old = channel.commitment(4, 3_000_000, vec![]);
    tower.store(session, 0, vec![channel.record(&old, 4, 0)]).await;
    mood.store(how, Ordering::SeqCst);
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    let outpoint = the_claim(&tower).await;
    eventually("justice", || async { scene.spender(outpoint).await.is_some() }).await;
    assert_eq!(tower.view.watching.borrow().backend, 1);
    tower.end().await;
}

#[tokio::test]
async fn s39_a_second_backend_takes_over_from_one_that_is_gone() {
    taken_over_from_one_that_fails(1).await;
}

#[tokio::test]
async fn s39_a_second_backend_takes_over_from_one_that_says_that_it_is_away() {
    taken_over_from_one_that_fails(3).await;
}
