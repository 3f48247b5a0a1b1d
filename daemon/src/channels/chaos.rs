//! What the sandbox lets a channel do that no honest node does.
//!
//! A node that cheats is one that believes in an old state: its channel goes back to it and closes alone.
//! Everything after that, claims and all, is the same code that an honest node runs.
//!
//! Not here: who may ask for it, and how the old state is found (`node::chaos`).

use std::sync::Arc;

use bitcoin::{OutPoint, Transaction};
use channel::effect::CloseReason;
use channel::signer::{InMemorySigner, Signer as _};
use channel::tx::{Recipe, Spend, script};
use channel::{Channel, Fact};
use tokio::sync::oneshot;

use crate::channels::task::ChannelTask;
use crate::channels::view::close_reason;
use crate::payments::Reply;
use crate::rpc::refusal::Refusal;

/// What the sandbox asks of a channel.
#[derive(Debug)]
pub enum Chaos {
    /// Believe in an old state from now on, and close with it.
    Cheat {
        /// The channel as it was, and a signer that remembers no more.
        past: Box<(Channel, InMemorySigner)>,
        /// Answered when it has begun.
        reply: Reply<()>,
    },
    /// Is there an anchor of ours on this transaction that nobody has spent?
    FindAnchor {
        /// The transaction.
        tx: Arc<Transaction>,
        /// Answered at once.
        reply: oneshot::Sender<Option<Spend>>,
    },
    /// Sign for that anchor.
    SignAnchor {
        /// All of it but witnesses.
        tx: Box<Transaction>,
        /// The anchor.
        anchor: Box<Spend>,
        /// Answered at once; nothing if it is not ours.
        reply: oneshot::Sender<Option<Transaction>>,
    },
}

impl ChannelTask {
    pub(super) fn take_chaos(&mut self, chaos: Chaos) {
        match chaos {
            Chaos::Cheat { past, reply } => {
                let begun = self.cheat(*past);
                let _gone = reply.send(begun);
            }
            Chaos::FindAnchor { tx, reply } => {
                let _gone = reply.send(self.find_anchor(&tx));
            }
            Chaos::SignAnchor { mut tx, anchor, reply } => {
                let signed = self.signer.sign_spends(&mut tx, &[&anchor]);
                let _gone = reply.send(signed.is_ok().then_some(*tx));
            }
        }
    }

    fn cheat(&mut self, (mut past, signer): (Channel, InMemorySigner)) -> Result<(), Refusal> {
        let now = self.channel().and_then(Channel::state);
        let open = now.is_some_and(|now| now.end.is_none() && now.chain.spent.is_none());
        let closed = Refusal::Sandbox { why: "the channel is closing already".to_owned() };
        if !open || self.machine.is_none() || past.apply(Fact::Failing(CloseReason::Asked)).is_err()
        {
            return Err(closed);
        }
        tracing::warn!(channel = self.index.0, "CHEATING with a revoked commitment, as told");
        self.meta.why = Some(close_reason(&CloseReason::Asked));
        self.replace(past, signer);
        Ok(())
    }

    fn find_anchor(&self, tx: &Transaction) -> Option<Spend> {
        let state = self.channel()?.state()?;
        let funding = state.fundings.first()?.outpoint;
        if !tx.input.iter().any(|input| input.previous_output == funding) {
            return None;
        }
        let witness_script = script::anchor(&self.signer.basepoints().funding);
        let ours = witness_script.to_p2wsh();
        let outputs = (0_u32..).zip(&tx.output);
        let (vout, txout) = outputs.into_iter().find(|(_, out)| out.script_pubkey == ours)?;
        let outpoint = OutPoint { txid: tx.compute_txid(), vout };
        Some(Spend { outpoint, value: txout.value, witness_script, recipe: Recipe::Anchor })
    }
}
