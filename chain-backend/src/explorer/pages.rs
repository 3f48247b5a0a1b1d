//! The pages, one a file, and what several of them show.

pub(super) mod block;
pub(super) mod blocks;
pub(super) mod fees;
pub(super) mod home;
pub(super) mod mempool;
pub(super) mod names;
pub(super) mod outpoint;
pub(super) mod rows;
pub(super) mod script;
pub(super) mod search;
pub(super) mod tx;

use super::Missing;
use axum::http::Uri;

/// A value of the query, such as `page` in `?page=2`; decoded, and cut after 200 letters.
fn asked(uri: &Uri, name: &str) -> Option<String> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
    Some(decoded(value).chars().take(200).collect())
}

/// Undoes what forms do to letters. What is no UTF-8 comes out as a mark.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let two = (byte == b'%').then(|| rest.clone()).and_then(|mut ahead| {
            let (high, low) = (digit(ahead.next())?, digit(ahead.next())?);
            u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()
        });
        match (byte, two) {
            (_, Some(two)) => {
                bytes.push(two);
                rest.nth(1);
            }
            (b'+', None) => bytes.push(b' '),
            (byte, None) => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Which page is asked for, from 1 on.
fn page_of(uri: &Uri) -> Result<usize, Missing> {
    match asked(uri, "page") {
        None => Ok(1),
        Some(text) => match text.parse() {
            Ok(number) if (1..=1_000_000).contains(&number) => Ok(number),
            _ => Err(Missing::Unknown(format!("page {text:?}"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_decoded_and_cut() {
        let uri: Uri = "/search?x=1&q=a%3Cb%3e+c%zz%C3%A4".parse().unwrap();
        assert_eq!(asked(&uri, "q").unwrap(), "a<b> c%zzä");
        assert_eq!(asked(&uri, "y"), None);
        let long: Uri = format!("/?q={}", "x".repeat(5_000)).parse().unwrap();
        assert_eq!(asked(&long, "q").unwrap().len(), 200);
        let page = |text: &str| page_of(&text.parse::<Uri>().unwrap()).ok();
        assert_eq!(
            [page("/"), page("/?page=3"), page("/?page=0"), page("/?page=-1")],
            [Some(1), Some(3), None, None]
        );
    }
}
