//! `open`.

use api::v1;
use api::v1::open_channel_request::Amount as Of;
use tonic::Streaming;

use super::connect::typed;
use crate::amount::{Amount, grouped, msat, sat};
use crate::context::{Context, Heard};
use crate::failure::Failure;
use crate::render::Tone;
use crate::resolve::{self, named, short};

/// Open a channel: lock coins with a peer, then pay each other off the chain.
///
/// Shows what it costs and asks before anything is signed. Then it tells of each step until payments can
/// flow. Ctrl-C ends the telling, not the opening.
#[derive(Debug, clap::Args)]
pub(crate) struct Open {
    /// The peer: ID@HOST:PORT; its alias or the beginning of its id if it is known.
    peer: String,
    /// How much to put in: 500000, 1M, 0.01btc, or all.
    amount: Amount,
    /// A gift to the peer out of it, so that it can pay at once.
    #[arg(long, value_name = "AMOUNT")]
    push: Option<Amount>,
    /// Fee rate of the funding transaction in satoshi for each virtual byte.
    #[arg(long, value_name = "SAT_PER_VB")]
    feerate: Option<u64>,
    /// Tell the network of the channel, so that others route through it.
    #[arg(long)]
    announce: bool,
    /// Use it at once, before its funding is in a block; the peer has to trust you for that.
    #[arg(long)]
    zero_conf: bool,
    /// Hide where it is in the chain: those who pay you name it by an alias.
    #[arg(long, conflicts_with = "announce")]
    scid_alias: bool,
    /// End once the funding transaction is broadcast, without waiting for blocks.
    #[arg(long)]
    no_wait: bool,
}

impl Open {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let typed = typed(&self.peer);
        let node_id = resolve::peer(cx, typed.id).await?;
        let amount = match self.amount.whole_sat_or_all()? {
            Some(amount) => Of::AmountSat(amount),
            None => Of::All(true),
        };
        let ask = v1::OpenChannelRequest {
            idempotency_key: cx.key()?,
            node_id: node_id.clone(),
            address: typed.address.map(str::to_owned).or_else(|| resolve::address(cx, &node_id)),
            amount: Some(amount),
            push_msat: self.push.map(Amount::msat).transpose()?,
            feerate_sat_per_vb: self.feerate,
            to_self_delay_blocks: None,
            announce: self.announce,
            dry_run: false,
            zero_conf: self.zero_conf,
            scid_alias: self.scid_alias,
        };
        let plan = self.plan(cx, &ask).await?;
        let mut alias = String::new();
        cx.name(&mut alias, &node_id);
        let peer = named(&alias, &node_id);
        cx.screen.confirm(&self.about(&ask, &plan, &peer), "Proceed?")?;

        let again = cx.again("channels");
        let lost = |status| Failure::after_sending(&status, "the channel opening", again.clone());
        let stream = cx.client.channels().open(ask).await.map_err(lost)?.into_inner();
        let last = self.follow(cx, stream).await?;
        cx.screen.result(
            &last,
            |last| vec![last.channel_id.clone()],
            |screen, last| {
                let mark = screen.paint(Tone::Good, "✓");
                let channel = last.channel.clone().unwrap_or_default();
                let place = super::channels::place(&channel);
                if last.stage() == v1::OpenStage::Ready {
                    format!(
                        "{mark} channel {place} ready — you can send {}, receive {}",
                        msat(channel.can_send_msat),
                        msat(channel.can_receive_msat)
                    )
                } else {
                    let outpoint = last.funding_outpoint.clone().unwrap_or_default();
                    format!("{mark} channel {} funded by {outpoint}", short(&last.channel_id))
                }
            },
        )
    }

    /// What it would cost.
    async fn plan(
        &self,
        cx: &Context<'_>,
        ask: &v1::OpenChannelRequest,
    ) -> Result<v1::OpenProgress, Failure> {
        let plan = v1::OpenChannelRequest { dry_run: true, ..ask.clone() };
        let mut stream = cx.client.channels().open(plan).await?.into_inner();
        Ok(stream.message().await?.unwrap_or_default())
    }

    fn about(
        &self,
        ask: &v1::OpenChannelRequest,
        plan: &v1::OpenProgress,
        peer: &str,
    ) -> Vec<String> {
        let mut about = vec![
            format!("Open a {} channel with {peer}", sat(plan.capacity_sat)),
            format!("you pay now   {} chain fee", sat(plan.funding_fee_sat)),
            format!("you keep      {} on the chain", sat(plan.wallet_spendable_sat)),
        ];
        if let Some(push) = ask.push_msat.filter(|push| *push > 0) {
            about.push(format!("you give away {} of it to the peer", msat(push)));
        }
        about.push("worst case    the peer vanishes: you close without it, and your coins wait for a delay".into());
        about
    }

    async fn follow(
        &self,
        cx: &mut Context<'_>,
        mut stream: Streaming<v1::OpenProgress>,
    ) -> Result<v1::OpenProgress, Failure> {
        use v1::OpenStage as Stage;
        let mut last = v1::OpenProgress::default();
        let mut told = Stage::Unspecified;
        loop {
            let again = match last.channel_id.as_str() {
                "" => cx.again("channels"),
                id => cx.again(&format!("channels watch {id}")),
            };
            match cx.hear(&mut stream).await {
                Heard::Message(progress) => last = progress,
                Heard::Interrupted => {
                    return Err(Failure::Detached { what: "the opening", reattach: again });
                }
                Heard::Broken(status) => {
                    return Err(Failure::after_sending(&status, "the channel opening", again));
                }
                Heard::End => {
                    let why = "the daemon ended the stream".to_owned();
                    return Err(Failure::OutcomeUnknown {
                        what: "the channel opening",
                        why,
                        reattach: again,
                    });
                }
            }
            let stage = last.stage();
            // A stage that went by between two snapshots was reached all the same.
            for (reached, words) in [
                (Stage::Negotiated, "negotiated".to_owned()),
                (Stage::Broadcast, broadcast_words(&last)),
                (Stage::Confirmed, confirmed_words(&last)),
            ] {
                if stage >= reached && told < reached {
                    cx.screen.done(&words)?;
                }
            }
            told = told.max(stage);
            match stage {
                Stage::Ready => return Ok(last),
                Stage::Broadcast | Stage::Confirmed if self.no_wait => return Ok(last),
                Stage::Broadcast => {
                    let wanted = last.confirmations_required.unwrap_or(1);
                    cx.screen.waiting(&format!("{}/{wanted} confirmations", last.confirmations))?;
                }
                Stage::Confirmed => cx.screen.waiting("waiting for the peer's word")?,
                Stage::Unspecified | Stage::Planned | Stage::Negotiating => {
                    cx.screen.waiting("negotiating")?;
                }
                Stage::Negotiated => cx.screen.waiting("broadcasting")?,
            }
        }
    }
}

fn confirmed_words(progress: &v1::OpenProgress) -> String {
    let zero_conf = progress.channel.as_ref().is_some_and(|channel| channel.zero_conf);
    match progress.confirmations {
        0 if zero_conf => "in use before it is in a block".to_owned(),
        _ => "confirmed".to_owned(),
    }
}

fn broadcast_words(progress: &v1::OpenProgress) -> String {
    let outpoint = progress.funding_outpoint.as_deref().unwrap_or_default();
    let txid = outpoint.split(':').next().unwrap_or_default();
    match progress.funding_fee_sat {
        // The node does not say what it paid.
        0 => format!("funding tx {} broadcast", short(txid)),
        fee => format!("funding tx {} broadcast, fee {} sat", short(txid), grouped(fee)),
    }
}
