//! `wallet`.

use api::v1;

use crate::amount::{Amount, grouped, sat};
use crate::context::Context;
use crate::failure::Failure;
use crate::qr;
use crate::render::{Column, Format, table};
use crate::resolve::{PAGE, all_pages, short};
use crate::words;

/// Coins on the chain: balance, addresses, sending.
#[derive(Debug, clap::Args)]
pub(crate) struct Wallet {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// What the wallet holds (the same as no word at all).
    Balance,
    /// A fresh address to be paid at.
    #[command(alias = "newaddress")]
    Address {
        /// Also show it as a QR code.
        #[arg(long)]
        qr: bool,
        /// An address of the older kind (witness key hash), for payers that do not know taproot.
        #[arg(long)]
        segwit: bool,
    },
    /// Send coins to an address on the chain.
    #[command(alias = "sendcoins")]
    Send(Send),
    /// Transactions that moved coins of this wallet, newest first.
    #[command(alias = "listchaintxns")]
    Transactions {
        /// How many to show.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Coins that can be spent, and those that are set aside.
    #[command(alias = "listunspent")]
    Coins,
}

/// Send coins to an address on the chain.
#[derive(Debug, clap::Args)]
struct Send {
    /// The address, of the network that this node is on.
    address: String,
    /// How much: 50000, 50sat, 0.001btc, 1k, 2.5M, or all.
    amount: Amount,
    /// Fee rate in satoshi for each virtual byte; the node estimates one if this is left out.
    #[arg(long, value_name = "SAT_PER_VB")]
    feerate: Option<u64>,
    /// Kept with the transaction.
    #[arg(long, default_value = "")]
    label: String,
}

impl Wallet {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        match self.what.unwrap_or(What::Balance) {
            What::Balance => balance(cx).await,
            What::Address { qr, segwit } => address(cx, qr, segwit).await,
            What::Send(send) => send.run(cx).await,
            What::Transactions { limit } => transactions(cx, limit).await,
            What::Coins => coins(cx).await,
        }
    }
}

/// The balance on one line.
pub(super) fn in_words(balance: &v1::BalanceResponse) -> String {
    let mut parts = Vec::new();
    for (amount, what) in [
        (balance.reserved_sat, "reserved"),
        (balance.unconfirmed_sat, "unconfirmed"),
        (balance.immature_sat, "immature"),
        (balance.anchor_reserve_missing_sat, "missing for the fees of force closes"),
    ] {
        if amount > 0 {
            parts.push(format!("{} {what}", grouped(amount)));
        }
    }
    let more = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    format!("{} can be spent{more}", sat(balance.spendable_sat))
}

async fn balance(cx: &mut Context<'_>) -> Result<(), Failure> {
    let ask = v1::BalanceRequest {};
    let balance =
        cx.client.call(ask, |to, ask| async move { to.wallet().balance(ask).await }).await?;
    cx.screen.result(
        &balance,
        |balance| vec![balance.spendable_sat.to_string()],
        |_, balance| {
            let promised = balance.reserved_sat.saturating_sub(balance.anchor_reserve_sat);
            let mut rows = vec![
                ("can be spent", balance.spendable_sat),
                ("confirmed", balance.confirmed_sat),
                ("unconfirmed", balance.unconfirmed_sat),
                ("kept for the fees of force closes", balance.anchor_reserve_sat),
                ("promised to transactions", promised),
                ("immature", balance.immature_sat),
            ];
            if balance.anchor_reserve_missing_sat > 0 {
                let missing = balance.anchor_reserve_missing_sat;
                rows.insert(4, ("missing for the fees of force closes", missing));
            }
            let row = |(what, amount): (&str, u64)| vec![what.to_owned(), sat(amount)];
            let rows: Vec<_> = rows.into_iter().map(row).collect();
            table(&[Column::Left("COINS"), Column::Right("AMOUNT")], rows, "")
        },
    )
}

async fn address(cx: &mut Context<'_>, show_qr: bool, segwit: bool) -> Result<(), Failure> {
    let kind = if segwit { v1::AddressType::WitnessKey } else { v1::AddressType::Taproot };
    let ask = v1::NewAddressRequest { idempotency_key: cx.key()?, r#type: kind.into() };
    let made =
        cx.client.call(ask, |to, ask| async move { to.wallet().new_address(ask).await }).await?;
    let picture = if show_qr { qr::code(&made.address.to_uppercase()) } else { None };
    cx.screen.result(
        &made,
        |made| vec![made.address.clone()],
        |_, made| match picture {
            Some(picture) => format!("{picture}\n{}", made.address),
            None => made.address.clone(),
        },
    )
}

impl Send {
    async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        use v1::send_request::Amount as Of;
        let amount = match self.amount.whole_sat_or_all()? {
            Some(amount) => Of::AmountSat(amount),
            None => Of::All(true),
        };
        let ask = v1::SendRequest {
            idempotency_key: cx.key()?,
            address: self.address.clone(),
            amount: Some(amount),
            feerate_sat_per_vb: self.feerate,
            label: self.label,
            dry_run: false,
        };
        let plan = v1::SendRequest { dry_run: true, ..ask.clone() };
        let plan =
            cx.client.call(plan, |to, ask| async move { to.wallet().send(ask).await }).await?;
        let total = plan.amount_sat.saturating_add(plan.fee_sat);
        let about = [
            format!("Send {} to {}", sat(plan.amount_sat), self.address),
            format!(
                "fee {} ({} sat/vB), {} together",
                sat(plan.fee_sat),
                plan.feerate_sat_per_vb,
                sat(total)
            ),
        ];
        cx.screen.confirm(&about, "Proceed?")?;
        let again = cx.again("wallet transactions");
        let sent = cx.client.call(ask, |to, ask| async move { to.wallet().send(ask).await }).await;
        let sent =
            sent.map_err(|status| Failure::after_sending(&status, "the transaction", again))?;
        cx.screen.result(
            &sent,
            |sent| vec![sent.txid.clone()],
            |screen, sent| {
                let mark = screen.paint(crate::render::Tone::Good, "✓");
                format!(
                    "{mark} sent {}, fee {}, tx {}",
                    sat(sent.amount_sat),
                    sat(sent.fee_sat),
                    sent.txid
                )
            },
        )
    }
}

async fn transactions(cx: &mut Context<'_>, limit: u32) -> Result<(), Failure> {
    let ask = v1::ListTransactionsRequest { page_size: limit, ..Default::default() };
    let page = cx
        .client
        .call(ask, |to, ask| async move { to.wallet().list_transactions(ask).await })
        .await?;
    let now = cx.now;
    cx.screen.result(
        &page,
        |page| page.transactions.iter().map(|one| one.txid.clone()).collect(),
        |_, page| {
            let columns = [
                Column::Left("TX"),
                Column::Right("IN"),
                Column::Right("OUT"),
                Column::Right("FEE"),
                Column::Right("CONF"),
                Column::Right("AGE"),
                Column::Left("FOR"),
            ];
            let rows = page.transactions.iter().map(|one| {
                vec![
                    short(&one.txid),
                    grouped(one.received_sat),
                    grouped(one.sent_sat),
                    one.fee_sat.map_or_else(String::new, grouped),
                    one.confirmations.to_string(),
                    words::age(now, one.seen_at_ms),
                    one.label.clone(),
                ]
            });
            table(&columns, rows.collect(), "no transactions yet")
        },
    )
}

async fn coins(cx: &mut Context<'_>) -> Result<(), Failure> {
    let client = &cx.client;
    let unspent = all_pages(|page_token| async move {
        let ask = v1::ListUnspentRequest { page_size: PAGE, page_token, ..Default::default() };
        let page =
            client.call(ask, |to, ask| async move { to.wallet().list_unspent(ask).await }).await?;
        Ok((page.unspent, page.next_page_token))
    })
    .await?;
    let all = v1::ListUnspentResponse { unspent, next_page_token: String::new() };
    cx.screen.result(
        &all,
        |all| all.unspent.iter().map(|one| one.outpoint.clone()).collect(),
        |_, all| {
            let columns = [
                Column::Left("COIN"),
                Column::Right("AMOUNT"),
                Column::Right("CONF"),
                Column::Left("STATE"),
            ];
            let rows = all.unspent.iter().map(|one| {
                let state = match &one.reserved_for {
                    Some(what) => format!("reserved for {}", short(what)),
                    None if one.immature => "immature".to_owned(),
                    None => "free".to_owned(),
                };
                vec![
                    one.outpoint.clone(),
                    sat(one.amount_sat),
                    one.confirmations.to_string(),
                    state,
                ]
            });
            table(&columns, rows.collect(), "no coins")
        },
    )?;
    if cx.screen.format() == Format::Human {
        let total: u64 = all.unspent.iter().map(|one| one.amount_sat).fold(0, u64::saturating_add);
        cx.screen.note(&format!("{} together", sat(total)))?;
    }
    Ok(())
}
