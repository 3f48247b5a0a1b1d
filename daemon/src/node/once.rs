//! Requests that have a key: carried out once, and to the end, whoever goes away meanwhile.

use bitcoin::{Address, Amount, Txid};
use tokio::sync::{oneshot, watch};
use wire::id::PaymentHash;
use wire::units::{BlockHeight, FeeratePerKw};

use crate::layer1;
use crate::node::answers::parse_address;
use crate::node::faucet;
use crate::node::handle::{Handle, Turn, not_a_channel};
use crate::node::open::is_opened;
use crate::node::updates::follow;
use crate::rpc::model::channel::{Channel, OpenChannel};
use crate::rpc::model::invoice::{CreateInvoice, Invoice};
use crate::rpc::model::payment::{PayOrder, Payment};
use crate::rpc::model::sandbox::{Faucet, Poured};
use crate::rpc::model::wallet::{AddressKind, Bumped, Bumping, RaiseFee, SendCoins, SentCoins};
use crate::rpc::model::{OrderKey, Started};
use crate::rpc::node_api::{Answer, NodeApi as _};
use crate::rpc::refusal::Refusal;
use crate::wallet::PromiseId;

impl Handle {
    /// Runs `work` to its end even if whoever asked hangs up: a key that is taken would stay so.
    pub(super) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Answer<T>> + Send + 'static,
    ) -> Answer<T> {
        let (reply, answer) = oneshot::channel();
        let tasks = self.0.tasks.clone();
        self.0.tasks.spawn("request", async move {
            tokio::select! {
                biased;
                () = tasks.stopping() => {}
                done = work => drop(reply.send(done)),
            }
            Ok(())
        });
        answer.await.unwrap_or(Err(Refusal::NoAnswer))
    }

    pub(super) async fn new_address_once(
        &self,
        kind: AddressKind,
        key: Option<OrderKey>,
    ) -> Answer<Address> {
        let kept = match self.turn(key).await? {
            Turn::Go(kept) => kept,
            Turn::Done(made) => return parse_address(&made),
        };
        let asked = Self::ask(&self.0.wallet, |reply| layer1::Ask::Address {
            kind,
            kept: kept.clone().map(Box::new),
            reply,
        })
        .await;
        self.settle(kept, &asked, ToString::to_string).await;
        asked
    }

    pub(super) async fn send_coins_once(&self, order: SendCoins) -> Answer<SentCoins> {
        let kept = match self.turn(order.key).await? {
            Turn::Go(kept) => kept,
            Turn::Done(made) => return self.sent_before(&made).await,
        };
        let spend = self.spend(order.address.script_pubkey(), order.coins, order.feerate, 0);
        let mut promise = [0; 32];
        getrandom::fill(&mut promise).map_err(|_| Refusal::NoAnswer)?;
        let sent = Self::ask(&self.0.wallet, |reply| layer1::Ask::Send {
            spend: Box::new(spend),
            promise: PromiseId(promise),
            label: order.label,
            kept: kept.clone().map(Box::new),
            reply,
        })
        .await
        .and_then(|sent| sent);
        let made = |sent: &SentCoins| sent.txid.map_or_else(String::new, |txid| txid.to_string());
        self.settle(kept, &sent, made).await;
        sent
    }

    pub(super) async fn bump_once(&self, order: RaiseFee) -> Answer<Bumped> {
        let kept = match self.turn(order.key).await? {
            Turn::Go(kept) => kept,
            Turn::Done(made) => return bumped_before(&made).ok_or(Refusal::NoAnswer),
        };
        let door = order.channel.and_then(|channel| self.door(channel));
        let target = match (door, order.txid, order.channel) {
            (Some(door), ..) => Ok(layer1::BumpTarget::Channel(door.index)),
            (None, Some(txid), _) => Ok(layer1::BumpTarget::Tx(txid)),
            (None, None, Some(channel)) => Err(not_a_channel(channel)),
            (None, None, None) => Err(Refusal::Missing { field: "target" }),
        };
        let how = order.how;
        let bumped = match target {
            Ok(target) => {
                let ask = |reply| layer1::Ask::Bump { target, how, reply };
                Self::ask(&self.0.wallet, ask).await.and_then(|bumped| bumped)
            }
            Err(refusal) => Err(refusal),
        };
        self.settle(kept, &bumped, made_of).await;
        bumped
    }

    pub(super) async fn open_channel_once(&self, order: OpenChannel) -> Answer<Started<Channel>> {
        let kept = match self.turn(order.key.clone()).await? {
            Turn::Go(kept) => kept,
            Turn::Done(made) => return self.opened_before(&made).await,
        };
        let opened = self.open(order, kept.clone()).await;
        let made = |view: &watch::Receiver<Channel>| view.borrow().index.to_string();
        self.settle(kept, &opened, made).await;
        let is_last = |channel: &Channel| is_opened(&channel.phase);
        Ok(Started { fresh: true, updates: follow(opened?, is_last) })
    }

    pub(super) async fn pay_once(&self, order: PayOrder) -> Answer<Started<Payment>> {
        let kept = match self.turn(order.key.clone()).await? {
            Turn::Go(kept) => kept,
            Turn::Done(made) => {
                let hash: PaymentHash = made.parse().map_err(|_| Refusal::NoAnswer)?;
                let updates = self.watch_payment(hash).await?;
                return Ok(Started { fresh: false, updates });
            }
        };
        let paid = self.pay_invoice(order, Vec::new()).await;
        let made = |paid: &(bool, watch::Receiver<Payment>)| paid.1.borrow().hash.to_string();
        self.settle(kept, &paid, made).await;
        let (fresh, view) = paid?;
        Ok(Started { fresh, updates: follow(view, Payment::is_final) })
    }

    pub(super) async fn create_invoice_once(&self, order: CreateInvoice) -> Answer<Invoice> {
        let kept = match self.turn(order.key.clone()).await? {
            Turn::Go(kept) => kept,
            Turn::Done(made) => {
                let hash: PaymentHash = made.parse().map_err(|_| Refusal::NoAnswer)?;
                return self.find_invoice(hash).await;
            }
        };
        let made = self.make_invoice(order, kept.clone()).await;
        self.settle(kept, &made, |invoice| invoice.hash.to_string()).await;
        made
    }

    pub(super) async fn faucet_once(&self, order: Faucet) -> Answer<Poured> {
        let kept = match self.turn(order.key.clone()).await? {
            Turn::Go(kept) => kept,
            Turn::Done(made) => {
                let mut parts = made.split(':');
                let txid = parts.next().and_then(|txid| txid.parse::<Txid>().ok());
                let height = parts.next().and_then(|height| height.parse().ok());
                let (Some(txid), Some(height)) = (txid, height) else {
                    return Err(Refusal::NoAnswer);
                };
                return Ok(Poured { txid, height: BlockHeight(height) });
            }
        };
        self.sandbox()?;
        let Some(faucet) = &self.0.faucet else { return Err(Refusal::NoAnswer) };
        let poured = faucet::ask(faucet, order.to.script_pubkey(), order.amount).await;
        let made = |poured: &Poured| format!("{}:{}", poured.txid, poured.height.0);
        self.settle(kept, &poured, made).await;
        let poured = poured?;
        self.caught_up(poured.height.0).await;
        Ok(poured)
    }
}

/// What is kept of a raised fee under its key.
fn made_of(of: &Bumped) -> String {
    format!("{}:{}:{}:{}", of.txid, of.fee.to_sat(), of.feerate.0, of.what.number())
}

/// What a request made that is repeated.
fn bumped_before(made: &str) -> Option<Bumped> {
    let mut parts = made.split(':');
    Some(Bumped {
        txid: parts.next()?.parse().ok()?,
        fee: Amount::from_sat(parts.next()?.parse().ok()?),
        feerate: FeeratePerKw(parts.next()?.parse().ok()?),
        what: Bumping::of_number(parts.next()?.parse().ok()?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raise_is_kept_as_it_was_answered() {
        let txid: Txid = "ab".repeat(32).parse().unwrap();
        for what in [Bumping::Sweep, Bumping::Commitment, Bumping::Replacement, Bumping::Child] {
            let bumped =
                Bumped { txid, fee: Amount::from_sat(1_234), feerate: FeeratePerKw(500), what };
            assert_eq!(bumped_before(&made_of(&bumped)), Some(bumped));
        }
        assert_eq!(bumped_before("1:2"), None);
    }
}
