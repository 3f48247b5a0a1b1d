//! `invoice`.

use api::v1;
use api::v1::create_invoice_request::About;
use api::v1::settle_invoice_request::By;

use crate::amount::{Amount, msat, msat_bare};
use crate::context::{Context, Heard};
use crate::failure::Failure;
use crate::qr;
use crate::render::{Column, Screen, Tone, table};
use crate::resolve::{self, named, short, visible};
use crate::words;

/// Make an invoice to be paid; list, watch, settle and cancel invoices; read anybody's.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Invoice {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    make: Make,
}

#[derive(Debug, clap::Args)]
struct Make {
    /// How much to ask for: 50000, 50sat, 1k, 2.5M; or “any”, and the payer decides.
    #[arg(required = true)]
    amount: Option<String>,
    /// What it is for; the payer sees it.
    #[arg(default_value = "")]
    description: String,
    /// Seconds until it expires; an hour unless said otherwise.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    expiry: Option<u32>,
    /// Do not name us: lead to us by blinded routes. The text (vbi1…) is ours, and only Viaduct pays it.
    #[arg(long)]
    blinded: bool,
    /// Hold the payment when all of it is here, until “invoice settle” or “invoice cancel”.
    #[arg(long)]
    hold: bool,
    /// The payment hash of a preimage that somebody else has; settle with that. Unset: the node makes one.
    #[arg(long, value_name = "HASH", requires = "hold")]
    hash: Option<String>,
    /// Blocks that the last HTLC must leave us: how long it can be held at most.
    #[arg(long, value_name = "BLOCKS", value_parser = clap::value_parser!(u32).range(18..=2016))]
    final_delta: Option<u32>,
    /// What every part of the payment has to bring back, as hex (BOLT 11, field m).
    #[arg(long, value_name = "HEX", conflicts_with = "blinded")]
    metadata: Option<String>,
    /// Also show it as a QR code.
    #[arg(long)]
    qr: bool,
    /// Wait until it is paid.
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Our invoices, newest first.
    #[command(alias = "listinvoices")]
    List {
        /// How many to show.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// One of our invoices.
    #[command(alias = "lookupinvoice")]
    Show {
        /// The payment hash, or its beginning.
        invoice: String,
        /// Also show it as a QR code.
        #[arg(long)]
        qr: bool,
    },
    /// Settle an invoice that is held: the payer gets the preimage, and we get the coins.
    #[command(alias = "settleinvoice")]
    Settle {
        /// The preimage, 64 hex digits.
        #[arg(required_unless_present = "of")]
        preimage: Option<String>,
        /// The payment hash, or its beginning, of an invoice whose preimage the node made.
        #[arg(long, value_name = "INVOICE", conflicts_with = "preimage")]
        of: Option<String>,
    },
    /// Wait until one of our invoices is paid, canceled or expired.
    Watch {
        /// The payment hash, or its beginning.
        invoice: String,
    },
    /// Make one of our invoices unpayable, and give back what is held of it.
    #[command(alias = "cancelinvoice")]
    Cancel {
        /// The payment hash, or its beginning.
        invoice: String,
    },
    /// Read anybody's invoice, without paying it.
    #[command(alias = "decodepayreq")]
    Decode {
        /// The invoice (BOLT 11).
        invoice: String,
    },
}

impl Invoice {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        match self.what {
            None => self.make.run(cx).await,
            Some(What::List { limit }) => list(cx, limit).await,
            Some(What::Show { invoice, qr }) => {
                let ask = v1::GetInvoiceRequest {
                    payment_hash: resolve::invoice(&cx.client, &invoice).await?,
                };
                let one = cx
                    .client
                    .call(ask, |to, ask| async move { to.invoices().get(ask).await })
                    .await?;
                show(cx, &one, qr)
            }
            Some(What::Settle { preimage, of }) => settle(cx, preimage, of).await,
            Some(What::Watch { invoice }) => {
                let hash = resolve::invoice(&cx.client, &invoice).await?;
                watch(cx, hash).await
            }
            Some(What::Cancel { invoice }) => {
                let payment_hash = resolve::invoice(&cx.client, &invoice).await?;
                let ask = v1::CancelInvoiceRequest { idempotency_key: cx.key()?, payment_hash };
                let one = cx
                    .client
                    .call(ask, |to, ask| async move { to.invoices().cancel(ask).await })
                    .await?;
                show(cx, &one, false)
            }
            Some(What::Decode { invoice }) => decode(cx, invoice).await,
        }
    }
}

impl Make {
    async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let amount_msat = match self.amount.as_deref() {
            None => {
                return Err(Failure::Usage("an amount is missing; “any” leaves it to the payer"));
            }
            Some(any) if any.eq_ignore_ascii_case("any") => None,
            Some(text) => Some(text.parse::<Amount>()?.msat()?),
        };
        let ask = v1::CreateInvoiceRequest {
            idempotency_key: cx.key()?,
            amount_msat,
            about: Some(About::Description(self.description)),
            expiry_s: self.expiry,
            min_final_cltv_expiry_blocks: self.final_delta,
            blinded: self.blinded,
            hold: self.hold,
            payment_hash: self.hash,
            payment_metadata: self.metadata,
        };
        let made =
            cx.client.call(ask, |to, ask| async move { to.invoices().create(ask).await }).await?;
        show(cx, &made, self.qr)?;
        if self.wait { watch(cx, made.payment_hash).await } else { Ok(()) }
    }
}

fn show(cx: &mut Context<'_>, invoice: &v1::Invoice, with_qr: bool) -> Result<(), Failure> {
    let picture = if with_qr { qr::code(&invoice.invoice.to_uppercase()) } else { None };
    let now = cx.now;
    cx.screen.result(
        invoice,
        |invoice| vec![invoice.invoice.clone()],
        |screen, invoice| {
            let mut lines = vec![summary(screen, invoice, now)];
            lines.extend(picture);
            lines.push(invoice.invoice.clone());
            lines.join("\n")
        },
    )
}

fn summary(screen: &Screen, invoice: &v1::Invoice, now: u64) -> String {
    let amount = invoice.amount_msat.map_or_else(|| "any amount".to_owned(), msat);
    let mut parts = vec![screen.paint(Tone::Strong, &amount)];
    if !invoice.description.is_empty() {
        parts.push(visible(&invoice.description));
    }
    parts.push(match invoice.status() {
        v1::InvoiceStatus::Open => {
            format!("expires in {}", words::span(invoice.expires_at_ms.saturating_sub(now)))
        }
        v1::InvoiceStatus::Settled => format!("paid: {} arrived", msat(invoice.received_msat)),
        v1::InvoiceStatus::Held => format!(
            "held: {} waits, until height {}",
            msat(invoice.received_msat),
            invoice.held_until_height.unwrap_or_default()
        ),
        v1::InvoiceStatus::Canceled => match &invoice.canceled_because {
            Some(why) => format!("canceled: {}", visible(why)),
            None => words::invoice(v1::InvoiceStatus::Canceled).to_owned(),
        },
        status @ (v1::InvoiceStatus::Unspecified
        | v1::InvoiceStatus::Accepted
        | v1::InvoiceStatus::Expired) => words::invoice(status).to_owned(),
    });
    parts.join(" · ")
}

async fn settle(
    cx: &mut Context<'_>,
    preimage: Option<String>,
    of: Option<String>,
) -> Result<(), Failure> {
    let by = match (preimage, of) {
        (Some(preimage), _) => By::Preimage(preimage),
        (None, Some(invoice)) => By::PaymentHash(resolve::invoice(&cx.client, &invoice).await?),
        (None, None) => return Err(Failure::Usage("the preimage is missing")),
    };
    let ask = v1::SettleInvoiceRequest { idempotency_key: cx.key()?, by: Some(by) };
    let one = cx.client.call(ask, |to, ask| async move { to.invoices().settle(ask).await }).await?;
    show(cx, &one, false)
}

async fn list(cx: &mut Context<'_>, limit: u32) -> Result<(), Failure> {
    let ask = v1::ListInvoicesRequest { page_size: limit, ..Default::default() };
    let page = cx.client.call(ask, |to, ask| async move { to.invoices().list(ask).await }).await?;
    let now = cx.now;
    cx.screen.result(
        &page,
        |page| page.invoices.iter().map(|one| one.payment_hash.clone()).collect(),
        |_, page| {
            let columns = [
                Column::Left("INVOICE"),
                Column::Right("ASKED"),
                Column::Right("ARRIVED"),
                Column::Left("STATE"),
                Column::Right("AGE"),
                Column::Left("FOR"),
            ];
            let rows = page.invoices.iter().map(|one| {
                vec![
                    short(&one.payment_hash),
                    one.amount_msat.map_or_else(|| "any".to_owned(), msat_bare),
                    msat_bare(one.received_msat),
                    words::invoice(one.status()).to_owned(),
                    words::age(now, one.created_at_ms),
                    visible(&one.description),
                ]
            });
            table(&columns, rows.collect(), "no invoices yet; make one: viaduct invoice AMOUNT")
        },
    )
}

async fn watch(cx: &mut Context<'_>, payment_hash: String) -> Result<(), Failure> {
    let again = cx.again(&format!("invoice watch {payment_hash}"));
    let ask = v1::WatchInvoiceRequest { payment_hash };
    let mut stream = cx.client.invoices().watch(ask).await?.into_inner();
    let mut last = v1::Invoice::default();
    loop {
        match cx.hear(&mut stream).await {
            Heard::Message(invoice) => last = invoice,
            Heard::End => break,
            Heard::Broken(status) => return Err(status.into()),
            Heard::Interrupted => {
                return Err(Failure::Detached { what: "the invoice", reattach: again });
            }
        }
        match last.status() {
            v1::InvoiceStatus::Unspecified | v1::InvoiceStatus::Open => {
                cx.screen.waiting("waiting to be paid")?;
            }
            v1::InvoiceStatus::Accepted => cx.screen.waiting("a payment is arriving")?,
            v1::InvoiceStatus::Held => {
                let until = last.held_until_height.unwrap_or_default();
                let held = msat(last.received_msat);
                cx.screen.waiting(&format!(
                    "{held} held until height {until}: invoice settle, or invoice cancel"
                ))?;
            }
            v1::InvoiceStatus::Settled
            | v1::InvoiceStatus::Canceled
            | v1::InvoiceStatus::Expired => break,
        }
    }
    let now = cx.now;
    cx.screen.result(
        &last,
        |last| vec![last.payment_hash.clone()],
        |screen, last| summary(screen, last, now),
    )
}

async fn decode(cx: &mut Context<'_>, invoice: String) -> Result<(), Failure> {
    let ask = v1::DecodeInvoiceRequest { invoice };
    let mut read =
        cx.client.call(ask, |to, ask| async move { to.invoices().decode(ask).await }).await?;
    cx.name(&mut read.destination_alias, &read.destination);
    let now = cx.now;
    cx.screen.result(
        &read,
        |read| vec![read.payment_hash.clone()],
        |_, read| {
            let amount = read.amount_msat.map_or_else(|| "any amount".to_owned(), msat);
            let expiry = if read.expired {
                format!("expired {} ago", words::age(now, read.expires_at_ms))
            } else {
                format!("expires in {}", words::span(read.expires_at_ms.saturating_sub(now)))
            };
            let whose = if read.ours { " (this node)" } else { "" };
            let mut lines = vec![
                format!(
                    "{amount} to {}{whose}, {expiry}",
                    named(&read.destination_alias, &read.destination)
                ),
                format!("network   {}", read.network),
                format!("payment   {}", read.payment_hash),
                format!("last hop  {} blocks", read.min_final_cltv_expiry_blocks),
            ];
            if let Some(metadata) = &read.payment_metadata {
                lines.push(format!("metadata  {metadata}"));
            }
            if !read.description.is_empty() {
                lines.insert(1, format!("for       {}", visible(&read.description)));
            }
            if let Some(payment) = &read.payment {
                lines.push(format!("ours      {}", words::payment(payment.status())));
            }
            lines.join("\n")
        },
    )
}
