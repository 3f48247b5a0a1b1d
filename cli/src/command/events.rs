//! `events`.

use api::calendar::to_rfc3339;
use api::v1;
use api::v1::event::Body;

use crate::amount::{grouped, msat, sat};
use crate::context::{Context, Heard};
use crate::failure::Failure;
use crate::render::{Screen, Tone};
use crate::resolve::{named, short};
use crate::words;

/// Watch what happens, as it happens.
///
/// One event a line. None is ever lost: events are numbered, and --after goes on where you left off.
#[derive(Debug, clap::Args)]
pub(crate) struct Events {
    /// Start after this event; 0 starts with the oldest that is kept. New ones only, unless given.
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
    /// Only these kinds.
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// End after so many events.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Peer,
    Channel,
    Payment,
    Invoice,
    Block,
    Wallet,
}

impl From<Kind> for i32 {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Peer => v1::EventKind::Peer,
            Kind::Channel => v1::EventKind::Channel,
            Kind::Payment => v1::EventKind::Payment,
            Kind::Invoice => v1::EventKind::Invoice,
            Kind::Block => v1::EventKind::Block,
            Kind::Wallet => v1::EventKind::Wallet,
        }
        .into()
    }
}

impl Events {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let kinds = self.kinds.iter().map(|kind| (*kind).into()).collect();
        let ask = v1::SubscribeRequest { after_seq: self.after, kinds };
        let mut stream = cx.client.events().subscribe(ask).await?.into_inner();
        let mut last = self.after;
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            match cx.hear(&mut stream).await {
                Heard::Message(event) => {
                    last = Some(event.seq);
                    if !matches!(event.body, Some(Body::Heartbeat(_))) {
                        left = left.saturating_sub(1);
                        cx.screen.stream_item(&event, |event| event.seq.to_string(), line)?;
                    }
                }
                Heard::End => break,
                Heard::Broken(status) => return Err(status.into()),
                Heard::Interrupted => {
                    let after = last.map_or_else(String::new, |seq| format!(" --after {seq}"));
                    let reattach = cx.again(&format!("events{after}"));
                    return Err(Failure::Detached { what: "the node", reattach });
                }
            }
        }
        Ok(())
    }
}

fn line(screen: &Screen, event: &v1::Event) -> String {
    let at = screen.paint(Tone::Faint, &format!("{} #{}", to_rfc3339(event.at_ms), event.seq));
    format!("{at} {}", event.body.as_ref().map_or_else(|| "something new".to_owned(), in_words))
}

fn in_words(body: &Body) -> String {
    match body {
        Body::Heartbeat(_) => "alive".to_owned(),
        Body::Peer(peer) => {
            let how = if peer.connected { "connected" } else { "went away" };
            format!("peer {} {how}", named(&peer.alias, &peer.node_id))
        }
        Body::Channel(channel) => format!(
            "channel {} with {}: {}",
            super::channels::place(channel),
            named(&channel.node_alias, &channel.node_id),
            words::channel(channel.state())
        ),
        Body::Payment(payment) => format!(
            "payment {} of {}: {}",
            short(&payment.payment_hash),
            msat(payment.amount_msat),
            words::payment(payment.status())
        ),
        Body::Invoice(invoice) => {
            let amount = match invoice.status() {
                v1::InvoiceStatus::Settled | v1::InvoiceStatus::Held => Some(invoice.received_msat),
                v1::InvoiceStatus::Unspecified
                | v1::InvoiceStatus::Open
                | v1::InvoiceStatus::Accepted
                | v1::InvoiceStatus::Canceled
                | v1::InvoiceStatus::Expired => invoice.amount_msat,
            };
            let amount = amount.map_or_else(|| "any amount".to_owned(), msat);
            format!(
                "invoice {} over {amount}: {}",
                short(&invoice.payment_hash),
                words::invoice(invoice.status())
            )
        }
        Body::Block(block) => {
            let how = if block.disconnected { "left the chain" } else { "connected" };
            format!("block {} {} {how}", grouped(block.height.into()), short(&block.block_hash))
        }
        Body::Wallet(wallet) => format!(
            "wallet tx {}: {} in, {} out",
            short(&wallet.txid),
            sat(wallet.received_sat),
            sat(wallet.sent_sat)
        ),
    }
}
