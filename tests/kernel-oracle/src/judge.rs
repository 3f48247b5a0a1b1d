//! A regtest chain of the kernel's.

use bitcoinkernel::prelude::*;
use bitcoinkernel::{
    Block, BlockValidationStateRef, ChainType, ChainstateManager, Context, ContextBuilder,
    KernelError, ValidationMode,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// What the kernel said last of each block.
type Verdicts = Arc<Mutex<HashMap<String, bool>>>;

pub struct Judge {
    pub chain: ChainstateManager,
    verdicts: Verdicts,
    _context: Arc<Context>,
    _dir: TempDir,
}

impl Judge {
    pub fn new() -> Result<Self, KernelError> {
        let verdicts = Verdicts::default();
        let heard = Arc::clone(&verdicts);
        let context = ContextBuilder::new()
            .chain_type(ChainType::Regtest)
            .with_block_checked_validation(
                move |block: Block, state: BlockValidationStateRef<'_>| {
                    let valid = state.mode() == ValidationMode::Valid;
                    heard
                        .lock()
                        .expect("no panic holds it")
                        .insert(block.hash().to_string(), valid);
                },
            )
            .build()?;
        let context = Arc::new(context);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let blocks = dir.path().join("blocks");
        std::fs::create_dir_all(&blocks).expect("a temporary directory");
        let text = |path: &std::path::Path| path.to_str().expect("a path in ASCII").to_owned();
        let chain = ChainstateManager::builder(&context, &text(dir.path()), &text(&blocks))?
            .block_tree_db_in_memory(true)
            .chainstate_db_in_memory(true)
            .build()?;
        chain.import_blocks()?;
        Ok(Self { chain, verdicts, _context: context, _dir: dir })
    }

    /// Whether the kernel takes a block. It first says yes to one that only fails against the coins; what
    /// counts is what it tells of the check.
    pub fn judge(&self, block: &[u8]) -> Result<bool, KernelError> {
        let block = Block::new(block)?;
        let hash = block.hash().to_string();
        self.verdicts.lock().expect("no panic holds it").remove(&hash);
        let result = self.chain.process_block(&block);
        let checked = self.verdicts.lock().expect("no panic holds it").get(&hash).copied();
        Ok(result.is_new_block() && checked.unwrap_or(true))
    }

    /// Height and hash of the best block.
    pub fn tip(&self) -> (u32, String) {
        let tip = self.chain.active_chain().tip();
        (u32::try_from(tip.height()).unwrap_or_default(), tip.block_hash().to_string())
    }
}
