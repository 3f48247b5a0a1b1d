//! Service `Invoices`.

use api::v1;
use api::v1::create_invoice_request::About;
use api::v1::invoices_server::Invoices;
use api::v1::settle_invoice_request::By;
use bitcoin::Network;
use bitcoin::hex::{DisplayHex as _, FromHex as _};
use tonic::{Request, Response, Status};
use wire::id::Preimage;

use super::graph::alias;
use super::model::invoice::{
    CreateInvoice, DecodedInvoice, Description, Invoice, InvoiceFilter, InvoiceState, Receipt,
};
use super::node::features;
use super::parse::{self, Pager, Paging};
use super::payments::payment;
use super::refusal::Refusal;
use super::stream::{Reply, reply, until_final};
use super::{NodeApi, Rpc};

/// The longest description: BOLT 11 gives it ten bits of length in groups of five.
const DESCRIPTION_LEN_MAX: usize = 639;

/// The longest metadata: every part carries it in its onion, where each hop of the way needs room, too.
const METADATA_LEN_MAX: usize = 256;

/// The longest time an invoice can be paid: a year.
const EXPIRY_MAX_S: u64 = 31_536_000;

#[tonic::async_trait]
impl<N: NodeApi> Invoices for Rpc<N> {
    async fn create(
        &self,
        request: Request<v1::CreateInvoiceRequest>,
    ) -> Result<Response<v1::Invoice>, Status> {
        let order = create_order(request.into_inner())?;
        Ok(Response::new(invoice(self.node.create_invoice(order).await?)))
    }

    async fn get(
        &self,
        request: Request<v1::GetInvoiceRequest>,
    ) -> Result<Response<v1::Invoice>, Status> {
        let hash = parse::payment_hash(&request.into_inner().payment_hash)?;
        Ok(Response::new(invoice(self.node.invoice(hash).await?)))
    }

    async fn list(
        &self,
        request: Request<v1::ListInvoicesRequest>,
    ) -> Result<Response<v1::ListInvoicesResponse>, Status> {
        let mut ask = request.into_inner();
        let paging = Paging {
            size: core::mem::take(&mut ask.page_size),
            token: core::mem::take(&mut ask.page_token),
            order: ask.order,
        };
        let pager = Pager::new("Invoices/List", &paging, &ask)?;
        let filter = filter(&ask.statuses)?;
        let listing = self.node.list_invoices(filter, pager.page).await?;
        Ok(Response::new(v1::ListInvoicesResponse {
            invoices: listing.entries.into_iter().map(invoice).collect(),
            next_page_token: pager.token(listing.next),
        }))
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelInvoiceRequest>,
    ) -> Result<Response<v1::Invoice>, Status> {
        // Cancelling twice is cancelling once, so the idempotency key adds nothing.
        let hash = parse::payment_hash(&request.into_inner().payment_hash)?;
        Ok(Response::new(invoice(self.node.cancel_invoice(hash).await?)))
    }

    async fn settle(
        &self,
        request: Request<v1::SettleInvoiceRequest>,
    ) -> Result<Response<v1::Invoice>, Status> {
        // Settling twice is settling once, so the idempotency key adds nothing.
        let receipt = match request.into_inner().by {
            None => Err(Refusal::Missing { field: "preimage" })?,
            Some(By::Preimage(hex)) => {
                Receipt::Preimage(Preimage(parse::hash32("preimage", &hex)?))
            }
            Some(By::PaymentHash(hex)) => Receipt::Ours(parse::payment_hash(&hex)?),
        };
        Ok(Response::new(invoice(self.node.settle_invoice(receipt).await?)))
    }

    type WatchStream = Reply<v1::Invoice>;

    async fn watch(
        &self,
        request: Request<v1::WatchInvoiceRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let hash = parse::payment_hash(&request.into_inner().payment_hash)?;
        let updates = self.node.watch_invoice(hash).await?;
        let updates = until_final(updates, Invoice::is_final, self.world.stop.clone());
        Ok(Response::new(reply(updates, invoice)))
    }

    async fn decode(
        &self,
        request: Request<v1::DecodeInvoiceRequest>,
    ) -> Result<Response<v1::DecodedInvoice>, Status> {
        let text = request.into_inner().invoice;
        if text.is_empty() {
            Err(Refusal::Missing { field: "invoice" })?;
        }
        let invoice = self.node.decode_invoice(text).await?;
        let known = alias(&self.node.graph(), invoice.payee);
        Ok(Response::new(decoded(invoice, known)))
    }
}

fn create_order(mut ask: v1::CreateInvoiceRequest) -> Result<CreateInvoice, Refusal> {
    let key = core::mem::take(&mut ask.idempotency_key);
    let key = parse::order_key("Invoices/Create", key, &ask)?;
    let description = match ask.about {
        None => Description::Text(String::new()),
        Some(About::Description(text)) if text.len() <= DESCRIPTION_LEN_MAX => {
            Description::Text(text)
        }
        Some(About::Description(_)) => {
            let why = "longer than 639 bytes: give its hash instead";
            return Err(Refusal::Malformed { field: "description", why });
        }
        Some(About::DescriptionHash(hex)) => {
            Description::Hash(parse::hash32("description_hash", &hex)?)
        }
    };
    if let Some(seconds) = ask.expiry_s {
        parse::within("expiry_s", u64::from(seconds), 1, EXPIRY_MAX_S, "seconds")?;
    }
    let delta = ask.min_final_cltv_expiry_blocks.map(|blocks| {
        // BOLT 11: at least 18, the default of readers that find none.
        let field = "min_final_cltv_expiry_blocks";
        let blocks = parse::within(field, u64::from(blocks), 18, 2_016, "blocks")?;
        u16::try_from(blocks).map_err(|_| Refusal::Malformed { field, why: "too large" })
    });
    let hash = ask.payment_hash.as_deref().map(parse::payment_hash).transpose()?;
    if hash.is_some() && !ask.hold {
        let why = "only an invoice that is held can be settled by a preimage that we do not have";
        return Err(Refusal::Malformed { field: "payment_hash", why });
    }
    let metadata = ask.payment_metadata.as_deref().map(metadata).transpose()?;
    if metadata.is_some() && ask.blinded {
        let why = "in a blinded route the path's own secret does its work";
        return Err(Refusal::Malformed { field: "payment_metadata", why });
    }
    Ok(CreateInvoice {
        key,
        amount: ask.amount_msat.map(|raw| parse::some_msat("amount_msat", raw)).transpose()?,
        description,
        expiry_s: ask.expiry_s,
        min_final_cltv_delta: delta.transpose()?,
        blinded: ask.blinded,
        hold: ask.hold,
        hash,
        metadata,
    })
}

fn metadata(hex: &str) -> Result<Vec<u8>, Refusal> {
    let field = "payment_metadata";
    let bytes = Vec::from_hex(hex).map_err(|_| Refusal::Malformed { field, why: "not hex" })?;
    if bytes.is_empty() || bytes.len() > METADATA_LEN_MAX {
        return Err(Refusal::Malformed { field, why: "not 1 to 256 bytes" });
    }
    Ok(bytes)
}

fn filter(statuses: &[i32]) -> Result<InvoiceFilter, Refusal> {
    let mut filter = InvoiceFilter::default();
    for status in statuses {
        match v1::InvoiceStatus::try_from(*status) {
            Ok(v1::InvoiceStatus::Open) => filter.open = true,
            Ok(v1::InvoiceStatus::Accepted) => filter.accepted = true,
            Ok(v1::InvoiceStatus::Held) => filter.held = true,
            Ok(v1::InvoiceStatus::Settled) => filter.settled = true,
            Ok(v1::InvoiceStatus::Canceled) => filter.cancelled = true,
            Ok(v1::InvoiceStatus::Expired) => filter.expired = true,
            Ok(v1::InvoiceStatus::Unspecified) | Err(_) => {
                return Err(Refusal::Malformed { field: "statuses", why: "unknown status" });
            }
        }
    }
    Ok(filter)
}

/// An invoice for the client. The preimage is shown once the payer has it.
pub(super) fn invoice(invoice: Invoice) -> v1::Invoice {
    let (mut settled, mut held, mut canceled_because) = (None, None, None);
    let status = match invoice.state {
        InvoiceState::Open => v1::InvoiceStatus::Open,
        InvoiceState::Accepted => v1::InvoiceStatus::Accepted,
        InvoiceState::Held { received, at, until } => {
            held = Some((received, at, until));
            v1::InvoiceStatus::Held
        }
        InvoiceState::Settled { received, at } => {
            settled = Some((received, at));
            v1::InvoiceStatus::Settled
        }
        InvoiceState::Expired => v1::InvoiceStatus::Expired,
        InvoiceState::Cancelled { why } => {
            canceled_because = Some(why.to_string());
            v1::InvoiceStatus::Canceled
        }
    };
    let received =
        settled.map(|(received, _)| received).or_else(|| held.map(|(received, ..)| received));
    let (description, description_hash) = about(invoice.description);
    v1::Invoice {
        payment_hash: invoice.hash.to_string(),
        invoice: invoice.bolt11,
        status: status.into(),
        amount_msat: invoice.amount.map(wire::units::Msat::to_u64),
        received_msat: received.map_or(0, wire::units::Msat::to_u64),
        description,
        description_hash,
        created_at_ms: invoice.created.0,
        expires_at_ms: invoice.expires.0,
        settled_at_ms: settled.map(|(_, at)| at.0),
        preimage: settled.and(invoice.preimage).map(|preimage| preimage.to_string()),
        hold: invoice.hold,
        held_at_ms: held.map(|(_, at, _)| at.0),
        held_until_height: held.map(|(.., until)| until.0),
        canceled_because,
    }
}

fn decoded(invoice: DecodedInvoice, destination_alias: String) -> v1::DecodedInvoice {
    let (description, description_hash) = about(invoice.description);
    v1::DecodedInvoice {
        payment_hash: invoice.hash.to_string(),
        destination: invoice.payee.to_string(),
        destination_alias,
        amount_msat: invoice.amount.map(wire::units::Msat::to_u64),
        description,
        description_hash,
        created_at_ms: invoice.created.0,
        expires_at_ms: invoice.expires.0,
        expired: invoice.expired,
        min_final_cltv_expiry_blocks: invoice.min_final_cltv_delta,
        network: network(invoice.network).to_owned(),
        ours: invoice.ours,
        payment: invoice.payment.map(payment),
        features: features(&invoice.features),
        payment_metadata: invoice.metadata.map(|metadata| metadata.to_lower_hex_string()),
    }
}

fn about(description: Description) -> (String, Option<String>) {
    match description {
        Description::Text(text) => (text, None),
        Description::Hash(hash) => (String::new(), Some(hash.to_lower_hex_string())),
    }
}

const fn network(network: Network) -> &'static str {
    match network {
        Network::Bitcoin => "mainnet",
        Network::Signet => "signet",
        Network::Regtest => "regtest",
        // BOLT 11 gives all testnets one prefix.
        Network::Testnet | Network::Testnet4 => "testnet",
    }
}
