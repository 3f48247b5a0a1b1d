//! Tells the chains how far this tower has come for good, so that one that drops old blocks keeps those it still needs:
//! also the recent ones, with which late records are compared.

use std::sync::Arc;

use bitcoin::secp256k1::PublicKey;
use chain_backend::ChainBackend;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Watching;

/// The name under which chains know this tower.
pub(crate) fn name_of(tower: &PublicKey) -> String {
    let mut name = tower.to_string();
    name.truncate(16);
    format!("viaduct-tower {name}")
}

/// Says it at the start and whenever it changes, to every chain; what is missed is said with the next block.
pub(crate) async fn tell(
    backends: Vec<Arc<dyn ChainBackend>>,
    name: String,
    ring_blocks: u32,
    mut watching: watch::Receiver<Watching>,
    stop: CancellationToken,
) {
    let telling = async {
        let mut told = None;
        loop {
            let kept = watching.borrow_and_update().kept;
            if kept != told
                && let Some(height) = kept.map(|kept| kept.saturating_sub(ring_blocks))
            {
                for backend in &backends {
                    if let Err(error) = backend.reached(&name, height).await {
                        tracing::debug!(%error, height, "a chain does not know how far this tower is");
                    }
                }
                told = kept;
            }
            if watching.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = telling => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::ScriptBuf;
    use chain_backend::{BuiltinChain, Sandbox as _};
    use std::time::Duration;

    #[tokio::test]
    async fn every_chain_hears_how_far_the_disk_has_all_and_keeps_the_ring() {
        let chains = [1, 2].map(|_| BuiltinChain::in_memory(|| 1_700_000_000).unwrap());
        for chain in &chains {
            chain.mine(40, ScriptBuf::new()).await.unwrap();
        }
        let (publish, watching) = watch::channel(Watching::default());
        let stop = CancellationToken::new();
        let backends = chains.iter().map(|chain| Arc::new(chain.clone()) as Arc<dyn ChainBackend>);
        let key = secp256k1::SecretKey::from_slice(&[7; 32]).unwrap();
        let name = name_of(&key.public_key(secp256k1::SECP256K1));
        let task = tell(backends.collect(), name.clone(), 10, watching, stop.clone());
        let task = tokio::spawn(task);
        let heard = async |height: u32| {
            for chain in &chains {
                while chain.readers().await.unwrap().get(&name).map(|at| at.height) != Some(height)
                {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        let limit = Duration::from_secs(20);
        // What is only looked at is not on the disk.
        publish.send_modify(|watching| watching.blocks = 30);
        publish.send_modify(|watching| watching.kept = Some(35));
        tokio::time::timeout(limit, heard(25)).await.expect("all hear it");
        publish.send_modify(|watching| watching.kept = Some(3));
        tokio::time::timeout(limit, heard(0)).await.expect("all hear it");
        stop.cancel();
        task.await.unwrap();
    }
}
