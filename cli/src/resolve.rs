//! Names and pieces of ids: wherever an id is wanted, any unique beginning of it will do, or an alias.
//!
//! Not here: whether the daemon knows the id; it has the last word.

use std::collections::BTreeMap;

use api::client::Client;
use api::v1;
use thiserror::Error;

use crate::context::Context;
use crate::failure::Failure;

/// How many pages are read before a list is called endless.
const PAGES_MAX: usize = 1_000;
/// Entries on a page.
pub(crate) const PAGE: u32 = 1_000;
/// How many candidates an error lists.
const SHOWN: usize = 8;

/// Something that can be meant.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// Its id.
    pub(crate) id: String,
    /// Other ids of which a beginning will do.
    pub(crate) more_ids: Vec<String>,
    /// Names; these must be given in full, in either case.
    pub(crate) names: Vec<String>,
    /// How to show it in a list.
    pub(crate) shown: String,
}

/// Why a text does not stand for one thing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Unresolved {
    /// For nothing.
    #[error("no {kind} is called “{text}”, and no id begins like that")]
    Nothing {
        /// What was looked for.
        kind: &'static str,
        /// What was given.
        text: String,
    },
    /// For several.
    #[error("“{text}” could be {}", shown(candidates))]
    Several {
        /// What was looked for.
        kind: &'static str,
        /// What was given.
        text: String,
        /// What it could be.
        candidates: Vec<String>,
    },
}

impl Unresolved {
    /// What to do next.
    pub(crate) fn next(&self) -> String {
        match self {
            Self::Nothing { kind: "peer", .. } => {
                "See: viaduct peers. A new one is named as ID@HOST:PORT.".into()
            }
            Self::Nothing { kind, .. } => format!("See: viaduct {kind}s"),
            Self::Several { .. } => "Give more of the id.".into(),
        }
    }
}

fn shown(candidates: &[String]) -> String {
    let more = candidates.len().saturating_sub(SHOWN);
    let mut text = candidates.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(" or ");
    if more > 0 {
        text.push_str(&format!(" or {more} others"));
    }
    text
}

/// The one that is meant: by its full id or name, else by the beginning of an id.
pub(crate) fn pick(
    kind: &'static str,
    text: &str,
    candidates: &[Candidate],
) -> Result<String, Unresolved> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let exact = |one: &&Candidate| {
        one.id == lower
            || one.more_ids.contains(&lower)
            || one.names.iter().any(|name| name.eq_ignore_ascii_case(text))
    };
    let begins = |one: &&Candidate| {
        let ids = || std::iter::once(&one.id).chain(&one.more_ids);
        !lower.is_empty() && ids().any(|id| id.starts_with(&lower))
    };
    let full: Vec<&Candidate> = candidates.iter().filter(exact).collect();
    let found = if full.is_empty() { candidates.iter().filter(begins).collect() } else { full };
    match found.as_slice() {
        [] => Err(Unresolved::Nothing { kind, text: text.to_owned() }),
        [one] => Ok(one.id.clone()),
        several => Err(Unresolved::Several {
            kind,
            text: text.to_owned(),
            candidates: several.iter().map(|one| one.shown.clone()).collect(),
        }),
    }
}

/// All pages of a list. The call gets a page token and gives entries and the next token.
pub(crate) async fn all_pages<T, F>(page: impl Fn(String) -> F) -> Result<Vec<T>, Failure>
where
    F: Future<Output = Result<(Vec<T>, String), tonic::Status>>,
{
    let mut all = Vec::new();
    let mut token = String::new();
    for _ in 0..PAGES_MAX {
        let (entries, next) = page(token).await?;
        all.extend(entries);
        if next.is_empty() {
            break;
        }
        token = next;
    }
    Ok(all)
}

/// Every peer.
pub(crate) async fn peers(cx: &Context<'_>) -> Result<Vec<v1::Peer>, Failure> {
    let client = &cx.client;
    let mut all = all_pages(|page_token| async move {
        let ask = v1::ListPeersRequest { page_size: PAGE, page_token, ..Default::default() };
        let send = |to: Client, ask| async move { to.node().list_peers(ask).await };
        let page = client.call(ask, send).await?;
        Ok((page.peers, page.next_page_token))
    })
    .await?;
    for peer in &mut all {
        cx.name(&mut peer.alias, &peer.node_id);
    }
    Ok(all)
}

/// Every channel that is not closed.
pub(crate) async fn channels(cx: &Context<'_>) -> Result<Vec<v1::Channel>, Failure> {
    let client = &cx.client;
    let mut all = all_pages(|page_token| async move {
        let ask = v1::ListChannelsRequest { page_size: PAGE, page_token, ..Default::default() };
        let send = |to: Client, ask| async move { to.channels().list(ask).await };
        let page = client.call(ask, send).await?;
        Ok((page.channels, page.next_page_token))
    })
    .await?;
    for channel in &mut all {
        cx.name(&mut channel.node_alias, &channel.node_id);
    }
    Ok(all)
}

/// The node id of the peer that is meant.
pub(crate) async fn peer(cx: &Context<'_>, text: &str) -> Result<String, Failure> {
    if is_hex(text, 66) {
        return Ok(text.to_ascii_lowercase());
    }
    let mut nodes: BTreeMap<String, String> =
        peers(cx).await?.into_iter().map(|peer| (peer.node_id, peer.alias)).collect();
    for node in &cx.neighbours {
        nodes.entry(node.node_id.clone()).or_insert_with(|| node.name.clone());
    }
    let candidates: Vec<Candidate> = nodes
        .into_iter()
        .map(|(id, alias)| Candidate {
            shown: named(&alias, &id),
            names: non_empty([alias]),
            more_ids: Vec::new(),
            id,
        })
        .collect();
    Ok(pick("peer", text, &candidates)?)
}

/// Where a node of the sandbox takes peers, so that its name alone is enough.
pub(crate) fn address(cx: &Context<'_>, node_id: &str) -> Option<String> {
    let node = cx.neighbours.iter().find(|node| node.node_id == node_id);
    node.map(|node| node.p2p.clone())
}

/// The channel id of the channel that is meant: by its id, its short id, its peer's name or id.
pub(crate) async fn channel(cx: &Context<'_>, text: &str) -> Result<String, Failure> {
    if is_hex(text, 64) {
        return Ok(text.to_ascii_lowercase());
    }
    let candidates: Vec<Candidate> =
        channels(cx).await?.into_iter().map(channel_candidate).collect();
    Ok(pick("channel", text, &candidates)?)
}

fn channel_candidate(channel: v1::Channel) -> Candidate {
    let scid = channel.short_channel_id.unwrap_or_default();
    let place = if scid.is_empty() { short(&channel.channel_id) } else { scid.clone() };
    let peer = named(&channel.node_alias, &channel.node_id);
    Candidate {
        shown: format!("{place} with {peer}"),
        names: non_empty([channel.node_alias, scid]),
        more_ids: vec![channel.node_id],
        id: channel.channel_id,
    }
}

/// As [`channel`]; where no living channel is meant, a closed one may be.
pub(crate) async fn any_channel(cx: &Context<'_>, text: &str) -> Result<String, Failure> {
    let nothing = match channel(cx, text).await {
        Err(Failure::Unresolved(nothing @ Unresolved::Nothing { .. })) => nothing,
        found => return found,
    };
    let all = all_pages(|page_token| async move {
        let ask = v1::ListClosedRequest { page_size: PAGE, page_token, ..Default::default() };
        let send = |to: Client, ask| async move { to.channels().list_closed(ask).await };
        let page = cx.client.call(ask, send).await?;
        Ok((page.channels, page.next_page_token))
    });
    let mut candidates = Vec::new();
    for closed in all.await? {
        if let Some(mut channel) = closed.channel {
            cx.name(&mut channel.node_alias, &channel.node_id);
            candidates.push(channel_candidate(channel));
        }
    }
    match pick("channel", text, &candidates) {
        Err(Unresolved::Nothing { .. }) => Err(nothing.into()),
        found => Ok(found?),
    }
}

/// The payment hash that is meant.
pub(crate) async fn payment(client: &Client, text: &str) -> Result<String, Failure> {
    if is_hex(text, 64) {
        return Ok(text.to_ascii_lowercase());
    }
    let all = all_pages(|page_token| async move {
        let ask = v1::ListPaymentsRequest { page_size: PAGE, page_token, ..Default::default() };
        let send = |to: Client, ask| async move { to.payments().list(ask).await };
        let page = client.call(ask, send).await?;
        Ok((page.payments, page.next_page_token))
    });
    let hashes =
        all.await?.into_iter().map(|payment| by_hash(payment.payment_hash, payment.description));
    Ok(pick("payment", text, &hashes.collect::<Vec<_>>())?)
}

/// The payment hash of the invoice that is meant.
pub(crate) async fn invoice(client: &Client, text: &str) -> Result<String, Failure> {
    if is_hex(text, 64) {
        return Ok(text.to_ascii_lowercase());
    }
    let all = all_pages(|page_token| async move {
        let ask = v1::ListInvoicesRequest { page_size: PAGE, page_token, ..Default::default() };
        let send = |to: Client, ask| async move { to.invoices().list(ask).await };
        let page = client.call(ask, send).await?;
        Ok((page.invoices, page.next_page_token))
    });
    let hashes =
        all.await?.into_iter().map(|invoice| by_hash(invoice.payment_hash, invoice.description));
    Ok(pick("invoice", text, &hashes.collect::<Vec<_>>())?)
}

fn by_hash(id: String, about: String) -> Candidate {
    let shown = if about.is_empty() { short(&id) } else { format!("{} ({about})", short(&id)) };
    Candidate { id, more_ids: Vec::new(), names: Vec::new(), shown }
}

fn non_empty<const N: usize>(names: [String; N]) -> Vec<String> {
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The first and last digits of an id: `02f3…9ac1`.
pub(crate) fn short(id: &str) -> String {
    match (id.get(..4), id.len().checked_sub(4).and_then(|from| id.get(from..))) {
        (Some(first), Some(last)) if id.len() > 12 => format!("{first}…{last}"),
        _ => id.to_owned(),
    }
}

/// A node as people call it: `carol (02f3…9ac1)`.
pub(crate) fn named(alias: &str, id: &str) -> String {
    if alias.is_empty() { short(id) } else { format!("{} ({})", visible(alias), short(id)) }
}

/// Text of strangers without control characters, which could rewrite the terminal.
pub(crate) fn visible(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if hidden(c) { '�' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates() -> Vec<Candidate> {
        let of = |id: &str, scid: &str, name: &str| Candidate {
            id: id.into(),
            more_ids: vec!["02ff".into()],
            names: vec![name.into(), scid.into()],
            shown: format!("{scid} with {name}"),
        };
        vec![
            of("aa11", "101x1x0", "bob"),
            of("aa22", "102x1x0", "carol"),
            of("bb33", "103x1x0", "bob"),
        ]
    }

    #[test]
    fn a_unique_beginning_or_a_name_is_enough() {
        assert_eq!(pick("channel", "bb", &candidates()), Ok("bb33".into()));
        assert_eq!(pick("channel", "AA1", &candidates()), Ok("aa11".into()));
        assert_eq!(pick("channel", "Carol", &candidates()), Ok("aa22".into()));
        assert_eq!(pick("channel", " 103x1x0 ", &candidates()), Ok("bb33".into()));
    }

    #[test]
    fn what_could_be_several_lists_them() {
        for (text, count) in [("aa", 2), ("bob", 2), ("02", 3)] {
            let Err(Unresolved::Several { candidates, .. }) = pick("channel", text, &candidates())
            else {
                panic!("{text}");
            };
            assert_eq!(candidates.len(), count);
        }
        let error = pick("channel", "bob", &candidates()).unwrap_err();
        assert_eq!(error.to_string(), "“bob” could be 101x1x0 with bob or 103x1x0 with bob");
    }

    #[test]
    fn what_is_nothing_is_not_guessed() {
        for text in ["", "cc", "caro", "101x"] {
            assert!(
                matches!(pick("channel", text, &candidates()), Err(Unresolved::Nothing { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn a_full_name_wins_over_the_beginning_of_an_id() {
        let mut all = candidates();
        all[0].names = vec!["bb".into()];
        assert_eq!(pick("channel", "bb", &all), Ok("aa11".into()));
    }

    #[test]
    fn long_ids_are_shown_short() {
        assert_eq!(short("02f3000000000000009ac1"), "02f3…9ac1");
        assert_eq!(short("101x1x0"), "101x1x0");
        assert_eq!(named("", "02f3000000000000009ac1"), "02f3…9ac1");
        assert_eq!(visible("a\u{1b}[2Jb\u{202e}"), "a�[2Jb�");
    }
}
