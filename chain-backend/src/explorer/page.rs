//! The frame of every page: its head, the way around, a place to search.

use super::html::Html;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bitcoin::Network;

/// A page.
#[derive(Debug)]
pub(super) struct Page {
    title: String,
    network: Option<Network>,
    /// What the chain was when it was made, if it is made again when that changes.
    mark: Option<String>,
    body: Html,
}

impl Page {
    pub(super) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), network: None, mark: None, body: Html::new() }
    }

    /// Says which network it is.
    pub(super) fn on(mut self, network: Network) -> Self {
        self.network = Some(network);
        self
    }

    /// Is made again whenever this changes.
    pub(super) fn live(mut self, mark: String) -> Self {
        self.mark = Some(mark);
        self
    }

    pub(super) fn with(mut self, body: Html) -> Self {
        self.body = body;
        self
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut page = Html::new();
        page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")
            .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
            .raw("<meta name=\"color-scheme\" content=\"dark light\"><title>")
            .text(&self.title)
            .raw(" · Viaduct chain</title><link rel=\"stylesheet\" href=\"/style.css\">")
            .raw("<link rel=\"icon\" href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M1 4h14v3h-2a3 3 0 0 0-3 3v3H9v-3a3 3 0 0 0-2-2.8A3 3 0 0 0 6 10v3H5v-3a3 3 0 0 0-3-3H1z' fill='%23f7931a'/%3E%3C/svg%3E\">")
            .raw("<script src=\"/live.js\" defer></script>");
        if self.mark.is_some() {
            page.raw("<noscript><meta http-equiv=\"refresh\" content=\"15\"></noscript>");
        }
        page.raw("</head><body><header><nav><a class=\"brand\" href=\"/\">Viaduct<b>chain</b></a>");
        if let Some(network) = self.network {
            page.span("network", network.to_core_arg());
        }
        page.raw("<a href=\"/blocks\">Blocks</a><a href=\"/mempool\">Mempool</a><a href=\"/fees\">Fees</a></nav>")
            .raw("<form action=\"/search\" role=\"search\"><input name=\"q\" type=\"search\" maxlength=\"200\" required aria-label=\"Search\" placeholder=\"height, hash, outpoint or address\"></form></header>")
            .raw("<main");
        if let Some(mark) = &self.mark {
            page.raw(" data-live=\"").text(mark).raw("\"");
        }
        page.raw(">").add(&self.body).raw("</main></body></html>\n");
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        let fresh = HeaderValue::from_static("no-store");
        ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, fresh)], page.into_string())
            .into_response()
    }
}
