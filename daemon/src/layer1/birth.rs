//! Where a node that has read no block yet begins: at the birth of its seed.
//!
//! Not here: how that is kept (`crate::seed::birth`).

use chain_backend::backend::BackendError;

use crate::clock::now_ms;
use crate::fact::Fact;
use crate::layer1::{Layer1, Then};
use crate::rpc::model::UnixMillis;
use crate::seed::birth::Birth;
use crate::tasks::Fatal;

/// So many blocks below the tip a new seed begins. A reorganisation that is deeper costs time: then every block is read.
const DEPTH: u32 = 12;

impl Layer1 {
    /// Skips the blocks before the seed's birth, once. Says whether the chain answered.
    pub(super) async fn begin(&mut self) -> Result<bool, Fatal> {
        let Some(birth) = self.birth else { return Ok(true) };
        match self.begin_at(birth).await {
            Ok(begun) => {
                begun?;
                self.birth = None;
                Ok(true)
            }
            Err(error) => {
                tracing::warn!(%error, "chain backend: a node's first start has to wait for it");
                Ok(false)
            }
        }
    }

    async fn begin_at(&mut self, birth: Birth) -> Result<Result<(), Fatal>, BackendError> {
        let tip = self.backend.tip().await?.height;
        let height = match birth {
            Birth::Tip => tip.saturating_sub(DEPTH),
            Birth::Height(height) => height.min(tip),
        };
        let block = self.backend.header_at(height).await?;
        if birth == Birth::Tip {
            // Before anything else: a seed whose coins may lie behind this block must never begin at a later tip.
            if let Err(error) = Birth::Height(height).write(&self.birth_file) {
                return Ok(Err(Fatal::Journal(format!("the birth of the seed: {error}"))));
            }
            tracing::info!(
                height,
                "this seed was born here; with its words, note the height: viaductd seed restore --birth HEIGHT \
                 then reads no older block"
            );
        }
        if height > self.cursor.tip().height {
            let wallet = match self.wallet.begin_at(block, UnixMillis(now_ms())) {
                Ok(wallet) => wallet,
                Err(fault) => return Ok(Err(Fatal::Chain(fault.to_string()))),
            };
            self.cursor.advance(block.id());
            // The chain may drop older blocks as soon as it hears of it.
            let place = self.place.clone();
            let then: Then = Box::new(move || {
                place.send_replace(height);
            });
            self.keep_then(wallet, vec![Fact::ChainAt(self.cursor.encode())], vec![then]);
            self.show_tip(height, block.hash, block.header.time, false);
        }
        Ok(Ok(()))
    }
}
