//! QR codes in half blocks, light on dark as terminals are.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// The code of a text, or nothing when the text is too long for one. A BOLT 11 invoice or a bech32
/// address goes in upper case, which QR packs tighter and every wallet reads.
pub(crate) fn code(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::L).ok()?;
    let picture = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .quiet_zone(true)
        .build();
    Some(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invoice_in_upper_case_fits_a_terminal() {
        let invoice = format!("lnbcrt250u1p{}", "q".repeat(251));
        let (lower, upper) = (code(&invoice).unwrap(), code(&invoice.to_uppercase()).unwrap());
        let width = |picture: &str| picture.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(width(&upper) < width(&lower));
        assert!(width(&upper) <= 80 && upper.lines().count() <= 30, "{}", width(&upper));
        assert_eq!(code(&"x".repeat(10_000)), None);
    }
}
