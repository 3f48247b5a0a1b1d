//! Making blocks on top of this chain, and making it reorganise.

use super::{BlockOutcome, ChainError, Chainstate};
use crate::backend::BlockRef;
use crate::builtin::mine::{Order, assemble, make_block};
use crate::builtin::reject::Reject;
use crate::builtin::signet::{Signet, SignetError};
use crate::builtin::template::{Template, fill, linearise};
use crate::sandbox::Reorg;
use bitcoin::{Block, BlockHash, FeeRate, ScriptBuf, Transaction, Txid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The most blocks one command makes.
const BLOCKS_MAX: u32 = 100_000;

/// A block that lacks its work.
#[derive(Debug)]
pub(crate) struct Unworked {
    pub(crate) block: Block,
    pub(crate) template: Template,
}

impl Chainstate {
    /// Mines `count` blocks whose coinbases pay `script`; answers them in order.
    pub(crate) fn mine(
        &mut self,
        count: u32,
        script: &ScriptBuf,
    ) -> Result<Vec<BlockHash>, ChainError> {
        if count > BLOCKS_MAX {
            return Err(ChainError::TooMany(BLOCKS_MAX));
        }
        self.check_may_make()?;
        (0..count).map(|_| self.mine_one(script)).collect()
    }

    /// Whether a block can be made now and here.
    fn check_may_make(&self) -> Result<(), ChainError> {
        self.check_moving()?;
        match &self.params.signet {
            Some(signet) if !signet.can_sign() => Err(ChainError::NotTheSigner),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the key of a signet, where there is one, opens its challenge.
    pub(super) fn check_signer(&self) -> Result<(), ChainError> {
        if !self.params.signet.as_ref().is_some_and(Signet::can_sign) {
            return Ok(());
        }
        let order = self.order(self.tree.tip(), &[], 0, bitcoin::Script::new());
        assemble(&order, &self.params).map(drop).ok_or(ChainError::Signet(SignetError::Key))
    }

    fn order<'a>(
        &self,
        previous: BlockRef,
        txs: &'a [Arc<Transaction>],
        fees_sat: u64,
        script: &'a bitcoin::Script,
    ) -> Order<'a> {
        let (now, extra) = (self.now(), self.tree.count());
        let bits = self.next_bits(&previous);
        Order { previous, txs, fees_sat, script, now, extra, bits }
    }

    /// The next block, signed, but without the work; and what it was made from.
    pub(crate) fn unworked(&mut self, script: &ScriptBuf) -> Result<Unworked, ChainError> {
        self.check_may_make()?;
        let template = self.fresh_template();
        let tip = self.tree.tip();
        let order = self.order(tip, &template.txs, template.fees_sat, script);
        let block = assemble(&order, &self.params).ok_or(Reject::HighHash)?;
        Ok(Unworked { block, template })
    }

    /// A block that was made from a template goes in; answers whether it is the tip's, or came too late.
    pub(crate) fn worked(
        &mut self,
        block: Block,
        template: &Template,
    ) -> Result<BlockOutcome, ChainError> {
        let hash = block.block_hash();
        let outcome = self.submit_block(block)?;
        if outcome == BlockOutcome::Connected {
            self.fees.mined(hash, template);
        }
        Ok(outcome)
    }

    fn fresh_template(&mut self) -> Template {
        let now = self.now();
        self.mempool.limit(now);
        self.tell_mempool();
        fill(&self.mempool, linearise(&self.mempool)).0
    }

    fn mine_one(&mut self, script: &ScriptBuf) -> Result<BlockHash, ChainError> {
        let template = self.fresh_template();
        let hash = self.mine_on(self.tree.tip(), &template, script)?;
        self.fees.mined(hash, &template);
        Ok(hash)
    }

    fn mine_on(
        &mut self,
        previous: BlockRef,
        template: &Template,
        script: &ScriptBuf,
    ) -> Result<BlockHash, ChainError> {
        let order = self.order(previous, &template.txs, template.fees_sat, script);
        let block = make_block(&order, &self.params).ok_or(Reject::HighHash)?;
        let hash = block.block_hash();
        self.submit_block(block)?;
        Ok(hash)
    }

    /// Replaces the last blocks by one more than that. Their transactions are mined again in the same
    /// order, but for those left out and what stands on them. Readers see one move to a higher tip.
    pub(crate) fn reorganise(&mut self, reorg: &Reorg) -> Result<Vec<BlockHash>, ChainError> {
        self.check_may_make()?;
        let Reorg { depth, left_out, forget, script } = reorg;
        let depth = *depth;
        let tip = self.tree.tip();
        let too_deep = ChainError::TooDeep { depth, height: tip.height };
        let Some(base) = tip.height.checked_sub(depth) else { return Err(too_deep) };
        let Some(fork) = self.tree.at(base) else { return Err(too_deep) };
        let mut old: Vec<Vec<Arc<Transaction>>> = Vec::new();
        for block in self.tree.above(fork, tip).into_iter().rev() {
            let block = self.block(block.hash).map_err(|_| ChainError::UnknownBlock(block.hash))?;
            let txs = block.txdata.iter().filter(|tx| !tx.is_coinbase());
            old.push(txs.map(|tx| Arc::new(tx.clone())).collect());
        }
        old.push(Vec::new());
        let made = self.build_branch(fork, old, (left_out, *forget), script);
        self.forgotten.clear();
        made
    }

    /// Blocks of a branch have less work than the tip until the last one, so they wait aside; the last
    /// one switches over.
    fn build_branch(
        &mut self,
        fork: BlockRef,
        contents: Vec<Vec<Arc<Transaction>>>,
        (excluded, forget): (&BTreeSet<Txid>, bool),
        script: &ScriptBuf,
    ) -> Result<Vec<BlockHash>, ChainError> {
        let mut left_out = excluded.clone();
        let mut made: BTreeMap<bitcoin::OutPoint, u64> = BTreeMap::new();
        let mut previous = fork;
        let mut hashes = Vec::new();
        for txs in contents {
            let mut template = Template::default();
            for tx in txs {
                let txid = tx.compute_txid();
                match self.input_sat(&tx, fork, &made, &left_out) {
                    Some(input_sat) => {
                        let output_sat = tx.output.iter().map(|output| output.value.to_sat());
                        let output_sat = output_sat.fold(0, u64::saturating_add);
                        let fee_sat = input_sat.saturating_sub(output_sat);
                        template.fees_sat = template.fees_sat.saturating_add(fee_sat);
                        for (vout, output) in (0_u32..).zip(&tx.output) {
                            let outpoint = bitcoin::OutPoint::new(txid, vout);
                            made.insert(outpoint, output.value.to_sat());
                        }
                        template.txs.push(tx);
                    }
                    None => {
                        left_out.insert(txid);
                    }
                }
            }
            if forget {
                self.forgotten.clone_from(&left_out);
            }
            let hash = self.mine_on(previous, &template, script)?;
            previous = self.block_ref(hash).ok_or(ChainError::UnknownBlock(hash))?;
            hashes.push(hash);
        }
        Ok(hashes)
    }

    /// What a transaction of the old branch spends, if it can be mined on the new one.
    fn input_sat(
        &mut self,
        tx: &Transaction,
        fork: BlockRef,
        made: &BTreeMap<bitcoin::OutPoint, u64>,
        left_out: &BTreeSet<Txid>,
    ) -> Option<u64> {
        if left_out.contains(&tx.compute_txid()) {
            return None;
        }
        let mut sum: u64 = 0;
        for input in &tx.input {
            let outpoint = input.previous_output;
            let value = match made.get(&outpoint) {
                Some(value) => *value,
                None => {
                    // A coin from below the fork; one made above it did not come along.
                    let found = self.find_tx(outpoint.txid).ok()??;
                    let (block, _) = found.confirmed?;
                    if block.height > fork.height {
                        return None;
                    }
                    let vout = usize::try_from(outpoint.vout).ok()?;
                    found.tx.output.get(vout)?.value.to_sat()
                }
            };
            sum = sum.saturating_add(value);
        }
        Some(sum)
    }

    /// A block on the tip with just these transactions, not handed in.
    pub(crate) fn block_of(
        &mut self,
        txs: &[Transaction],
        script: &ScriptBuf,
    ) -> Result<Block, ChainError> {
        self.check_may_make()?;
        let mut made: BTreeMap<bitcoin::OutPoint, u64> = BTreeMap::new();
        let mut template = Template::default();
        let tip = self.tree.tip();
        for tx in txs {
            let input_sat = self.input_sat(tx, tip, &made, &BTreeSet::new());
            let input_sat = input_sat.ok_or(Reject::InputsMissingOrSpent)?;
            let output_sat = tx.output.iter().map(|output| output.value.to_sat());
            let fee_sat = input_sat.saturating_sub(output_sat.fold(0, u64::saturating_add));
            template.fees_sat = template.fees_sat.saturating_add(fee_sat);
            let txid = tx.compute_txid();
            let outputs = (0_u32..).zip(&tx.output);
            made.extend(
                outputs.map(|(vout, output)| {
                    (bitcoin::OutPoint::new(txid, vout), output.value.to_sat())
                }),
            );
            template.txs.push(Arc::new(tx.clone()));
        }
        let order = self.order(tip, &template.txs, template.fees_sat, script);
        make_block(&order, &self.params).ok_or_else(|| Reject::HighHash.into())
    }

    /// New coins of the block at `height`, satoshi.
    pub(crate) fn subsidy_sat(&self, height: u32) -> u64 {
        self.params.subsidy_sat(height)
    }

    /// Answers these fee estimates from now on.
    pub(crate) fn fix_fees(&mut self, targets: BTreeMap<u16, Option<FeeRate>>) {
        self.fees.fix(targets);
    }
}
