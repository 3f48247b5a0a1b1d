//! One drill, step by step: funded, deep enough, with the tower, breached.
//!
//! Not here: what a tower's answer is worth, how the money comes home (`verdict`).

use std::sync::Arc;
use std::time::Duration;

use bitcoin::{Amount, ScriptBuf};
use chain_backend::backend::BackendError;
use channel::seal::Journal as _;
use secp256k1::{PublicKey, SECP256K1};
use tokio::sync::{Semaphore, oneshot, watch};
use watchtower::client::{ClientError, Link};
use watchtower::message::{Code, KIT_SEALED, Message, Records, SessionOpen};
use watchtower::proof::check::{Checker, Evidence};
use watchtower::proof::drill::Drill as Scene;
use watchtower::proof::drill::{DrillError, Staged};
use watchtower::proof::mmr;
use watchtower::proof::receipt::{self, Receipt};
use wire::codec::{Decode as _, Encode as _};
use wire::id::NodeId;

use super::{scene, show};
use crate::clock::now_ms;
use crate::fact::{ChannelIndex, DrillFunded, DrillStaged, Fact, TowerKept, TowerSession, record};
use crate::journal::Writer;
use crate::layer1;
use crate::payments::Reply;
use crate::rpc::model::wallet::Coins;
use crate::rpc::refusal::Refusal;
use crate::tower::book::Drilled;
use crate::tower::keep::hear;
use crate::tower::shown::{Drill, DrillStage, Verdict};
use crate::tower::upload::{News, Shared, What, session_key};
use crate::wallet::{PromiseId, Spend};

/// Blocks on top of the funding before the tower hears of the channel, as of every channel.
pub(super) const DEPTH: u32 = 3;

/// Blocks after which a tower that takes no record is given up.
const GIVE_UP_BLOCKS: u32 = 24;

/// How often a tower that does not answer is called, and a transaction is looked for.
const AGAIN: Duration = Duration::from_secs(5);

/// As much as the tower gives: what every session asks for.
const WANT: u32 = u32::MAX;

/// One drill.
pub(super) struct Work {
    pub(super) shared: Arc<Shared>,
    /// The tower, if it is still hired.
    pub(super) tower: Option<TowerKept>,
    pub(super) id: NodeId,
    pub(super) key: PublicKey,
    pub(super) connections: Arc<Semaphore>,
    pub(super) writer: Writer,
    pub(super) drilled: Drilled,
    pub(super) updates: watch::Sender<Drill>,
    /// A script of the wallet for what we bring home ourselves.
    pub(super) home: Option<ScriptBuf>,
}

/// Why a step cannot be done now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("{0}")]
    Chain(#[from] BackendError),
    #[error("{0}")]
    Tower(#[from] ClientError),
    #[error("{0}")]
    Drill(#[from] DrillError),
    #[error("its receipt is wrong: {}", .0.fault)]
    Receipt(Box<Evidence>),
    #[error("the node stops")]
    Stopping,
}

/// What the next step waits for.
pub(super) enum Next {
    /// The next block, or a while.
    Block,
    /// Nothing: it is over.
    Over,
}

impl Work {
    /// Everything from the order to the end.
    pub(super) async fn begin(mut self, reply: Reply<watch::Receiver<Drill>>) {
        match self.fund().await {
            Ok(funded) => {
                self.drilled.funded = Some(funded.clone());
                self.updates.send_replace(show(&self.drilled));
                self.tell(What::Facts(vec![Fact::DrillFunded(funded)])).await;
                let _gone = reply.send(Ok(self.updates.subscribe()));
                self.go_on().await;
            }
            Err(refusal) => {
                let _kept = self.end(Verdict::Abandoned, None, 0).await;
                let _gone = reply.send(Err(refusal));
            }
        }
    }

    async fn fund(&self) -> Result<DrillFunded, Refusal> {
        let begun = &self.drilled.begun;
        let scene = scene(begun).map_err(|_| Refusal::WalletInconsistent { what: "a drill" })?;
        let doors = self.shared.directory.doors();
        let spend = Spend {
            to: scene.funding_script(),
            coins: Coins::Exactly(Amount::from_sat(begun.amount_sat)),
            feerate: self.shared.feerates.borrow().normal,
            anchor_channels: u32::try_from(doors.iter().count()).unwrap_or(u32::MAX),
        };
        let mut promise = [0; 32];
        getrandom::fill(&mut promise).map_err(|_| Refusal::NoAnswer)?;
        let (reply, answer) = oneshot::channel();
        let (spend, promise, drill) = (Box::new(spend), PromiseId(promise), begun.drill);
        let ask = layer1::Ask::Drill { spend, promise, drill, reply };
        self.shared.wallet.send(ask).await.map_err(|_| Refusal::NoAnswer)?;
        answer.await.map_err(|_| Refusal::NoAnswer)?
    }

    /// Until everything is home.
    pub(super) async fn go_on(mut self) {
        let mut height = self.shared.height.clone();
        loop {
            height.mark_unchanged();
            match self.step().await {
                Ok(Next::Over) => return,
                Ok(Next::Block) => {}
                Err(Trouble::Stopping) => return,
                Err(trouble) => {
                    tracing::warn!(tower = %self.id, %trouble, "a drill does not get on");
                    self.shown(|shown| shown.trouble = Some(trouble.to_string()));
                }
            }
            tokio::select! {
                changed = height.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    pub(super) fn shown(&self, change: impl FnOnce(&mut Drill)) {
        self.updates.send_if_modified(|shown| {
            let before = shown.clone();
            change(shown);
            before != *shown
        });
    }

    async fn step(&mut self) -> Result<Next, Trouble> {
        let drilled = self.drilled.clone();
        if drilled.ended.is_some() {
            return Ok(Next::Over);
        }
        let Some(funded) = drilled.funded.clone() else {
            // A stop came before the coins left: nothing is owed to anybody.
            self.end(Verdict::Abandoned, None, 0).await?;
            return Ok(Next::Over);
        };
        let scene = scene(&drilled.begun)?;
        let staged = scene.stage(funded.outpoint)?;
        let receipt = match &drilled.staged {
            Some(kept) => Receipt::decode_exact(&kept.receipt).ok(),
            None => {
                let Some(receipt) = self.bring_to_tower(&scene, &staged, &funded).await? else {
                    return Ok(Next::Block);
                };
                receipt
            }
        };
        let seen = self.look(&staged, &funded).await?;
        self.shown(|shown| {
            shown.breach = Some(seen.breach);
            shown.breach_height = seen.breach_height.map(|height| height.0);
            shown.trouble = None;
        });
        self.judge(&scene, &staged, &funded, receipt, &seen).await
    }

    /// The funding gets deep, then the tower its records; answers its receipt, or `None` if it was given up.
    async fn bring_to_tower(
        &mut self,
        scene: &Scene,
        staged: &Staged,
        funded: &DrillFunded,
    ) -> Result<Option<Option<Receipt>>, Trouble> {
        let found = self.shared.backend.tx(funded.outpoint.txid).await?;
        let tip = self.shared.height.borrow().0;
        let mined = found.and_then(|found| found.confirmed).map(|(block, _)| block.height);
        let depth = mined.map_or(0, |height| tip.saturating_add(1).saturating_sub(height));
        if depth < DEPTH {
            let blocks = DEPTH.saturating_sub(depth);
            self.shown(|shown| shown.stage = DrillStage::Confirming(blocks));
            return Ok(None);
        }
        self.shown(|shown| shown.stage = DrillStage::Uploading);
        let receipt = match self.upload(scene, staged).await {
            Ok(receipt) => Some(receipt),
            Err(Trouble::Receipt(evidence)) => {
                let why = evidence.fault.to_string();
                self.tell(What::Faulted { evidence: Some(evidence), why }).await;
                None
            }
            Err(_) if depth > GIVE_UP_BLOCKS || self.tower.is_none() => None,
            Err(trouble) => return Err(trouble),
        };
        let bytes = receipt.map(|receipt| receipt.encoded()).unwrap_or_default();
        let drill = self.name();
        let kept = DrillStaged { drill, receipt: bytes, at_ms: now_ms() };
        let mut facts = vec![Fact::DrillStaged(kept.clone())];
        if receipt.is_some() {
            facts.push(Fact::TowerSession(self.session(staged)));
        }
        self.keep(facts).await?;
        self.drilled.staged = Some(kept);
        Ok(Some(receipt))
    }

    pub(super) const fn name(&self) -> u64 {
        self.drilled.begun.drill
    }

    /// The session: in the book, so that it is deleted when the drill is over.
    fn session(&self, staged: &Staged) -> TowerSession {
        TowerSession {
            tower: self.id,
            channel: self.name(),
            number: 0,
            kit: KIT_SEALED,
            template: staged.template.encoded(),
            row: 0,
        }
    }

    async fn upload(&self, scene: &Scene, staged: &Staged) -> Result<Receipt, Trouble> {
        let tower = self.tower.as_ref().ok_or(ClientError::Slow)?;
        let connections = Arc::clone(&self.connections);
        let _turn = connections.acquire().await.map_err(|_| Trouble::Stopping)?;
        let secret = session_key(&self.shared.keys, &self.key, ChannelIndex(self.name()), 0);
        let secret = secret.ok_or(ClientError::Random)?;
        let public = secret.public_key(SECP256K1);
        let template = staged.template.encoded();
        let promised = receipt::Session::new(public, KIT_SEALED, &template);
        let address = &tower.address.0;
        let mut link = Link::call(address, &self.key, secret, self.shared.chain).await?;
        let (kit, want_blocks, want_bytes) = (KIT_SEALED, WANT, WANT);
        let ack = link.open(SessionOpen { kit, template, want_blocks, want_bytes }).await?;
        let (records, _) = scene.records(staged, &public);
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let mut checker = Checker::new(self.key, promised);
        for (seq, record) in (0_u32..).zip(&records) {
            let _noted = checker.send(mmr::leaf(seq, &record.hint.0, &record.ciphertext));
        }
        // What it has already it says once more for the last of them: its receipt is for all.
        let first_seq = ack.next_seq.min(count.saturating_sub(1));
        let skip = usize::try_from(first_seq).unwrap_or(usize::MAX);
        let rest = records.into_iter().skip(skip).collect();
        link.say(&Records { first_seq, records: rest }.into()).await?;
        loop {
            let ack = hear(&mut link, |message| {
                if let Message::RecordsAck(ack) = message { Some(ack.clone()) } else { None }
            })
            .await?;
            if ack.code != Code::OK {
                return Err(ClientError::Refused(ack.code).into());
            }
            let receipt = Receipt::from_message(promised, &ack);
            let height = self.shared.height.borrow().0;
            checker.check(&receipt, height).map_err(Trouble::Receipt)?;
            if ack.durable >= count {
                return Ok(receipt);
            }
        }
    }

    /// Makes facts durable, then tells the task of all towers.
    pub(super) async fn keep(&mut self, facts: Vec<Fact>) -> Result<(), Trouble> {
        let lsn = self.writer.append(record(&facts));
        let mut disk = self.shared.disk.clone();
        let durable = disk.wait_for(|flushed| flushed.upto() >= lsn).await.is_ok();
        if !durable {
            return Err(Trouble::Stopping);
        }
        self.tell(What::Facts(facts)).await;
        Ok(())
    }

    pub(super) async fn tell(&self, what: What) {
        let news = News { tower: self.id, channel: ChannelIndex(self.name()), what };
        let _stopped = self.shared.news.send(news).await;
    }
}
