//! BOLT 11 strings: making ours, reading theirs.
//!
//! Not here: what becomes of an invoice (`received`), whether we pay one (`send`).

use std::str::FromStr as _;
use std::time::Duration;

use bitcoin::Network;
use bitcoin::hashes::{Hash as _, sha256};
use lightning_invoice::{
    Bolt11Invoice, Bolt11InvoiceDescription, Bolt11InvoiceDescriptionRef, Bolt11ParseError,
    Bolt11SemanticError, CreationError, Currency, InvoiceBuilder, ParseOrSemanticError, RouteHint,
    RouteHintHop, RoutingFees,
};
use routing::request::HintHop;
use secp256k1::PublicKey;
use wire::feature::Features;
use wire::id::{NodeId, PaymentHash, PaymentSecret, Preimage};
use wire::units::Msat;

use crate::fact::{InvoiceMade, Text};
use crate::identity::Identity;
use crate::rpc::model::invoice::Description;
use crate::rpc::refusal::Refusal;

/// The longest description, in bytes: what fits a tagged field of BOLT 11.
pub const DESCRIPTION_BYTES_MAX: usize = 639;

/// Blocks we ask the last HTLC to leave us. What LDK insists on when it pays, and more than the 18 of
/// BOLT 2 (`cltv_expiry_delta` selection).
pub const MIN_FINAL_CLTV_DELTA: u16 = 42;

/// How long an invoice is good for unless told otherwise, in seconds. BOLT 11.
pub const EXPIRY_S: u32 = 3_600;

/// Blocks the last HTLC of an invoice that is held is asked to leave us, unless told otherwise: a day to think about it.
pub const HOLD_CLTV_DELTA: u16 = 144;

/// What an invoice is known by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Name {
    /// A receipt of ours.
    Preimage(Preimage),
    /// The hash of somebody else's.
    Hash(PaymentHash),
}

impl Name {
    /// Its hash.
    pub fn hash(&self) -> PaymentHash {
        match self {
            Self::Preimage(preimage) => preimage.hash(),
            Self::Hash(hash) => *hash,
        }
    }

    /// The receipt, if it is ours.
    pub const fn preimage(&self) -> Option<Preimage> {
        match self {
            Self::Preimage(preimage) => Some(*preimage),
            Self::Hash(_) => None,
        }
    }
}

/// What an invoice is to say.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What it is known by.
    pub name: Name,
    /// Whether it waits for a word when all of it is here.
    pub hold: bool,
    /// What a payer must show.
    pub payment_secret: PaymentSecret,
    /// What every part has to bring back. BOLT 11, field `m`.
    pub metadata: Option<Vec<u8>>,
    /// How much; none leaves it to the payer.
    pub amount: Option<Msat>,
    /// What for.
    pub description: Description,
    /// When, Unix milliseconds.
    pub created_ms: u64,
    /// Good for so many seconds.
    pub expiry_s: u32,
    /// Blocks the last HTLC must leave us.
    pub min_final_cltv_delta: u16,
    /// Peers that forward to us over channels that gossip does not know.
    pub hints: Vec<HintHop>,
}

/// Makes and signs an invoice.
///
/// # Errors
/// [`Refusal::Malformed`] for a description that does not fit.
pub fn make(terms: &Terms, network: Network, us: &Identity) -> Result<InvoiceMade, Refusal> {
    let malformed = |why| Refusal::Malformed { field: "description", why };
    let description = match &terms.description {
        Description::Text(text) => Bolt11InvoiceDescription::Direct(
            lightning_invoice::Description::new(text.clone())
                .map_err(|_| malformed("longer than 639 bytes"))?,
        ),
        Description::Hash(hash) => Bolt11InvoiceDescription::Hash(lightning_invoice::Sha256(
            sha256::Hash::from_byte_array(*hash),
        )),
    };
    let builder = InvoiceBuilder::new(currency(network))
        .invoice_description(description)
        .payment_hash(sha256::Hash::from_byte_array(terms.name.hash().0))
        .payment_secret(lightning_invoice::PaymentSecret(terms.payment_secret.0))
        .duration_since_epoch(Duration::from_secs(seconds(terms.created_ms)))
        .expiry_time(Duration::from_secs(u64::from(terms.expiry_s)))
        .min_final_cltv_expiry_delta(u64::from(terms.min_final_cltv_delta))
        .basic_mpp();
    let builder = terms.hints.iter().fold(builder, |builder, hint| {
        let hop = PublicKey::from_slice(&hint.node.0).map(|src_node_id| RouteHintHop {
            src_node_id,
            short_channel_id: hint.scid.to_u64(),
            fees: RoutingFees {
                base_msat: hint.fee_base_msat,
                proportional_millionths: hint.fee_proportional_millionths,
            },
            cltv_expiry_delta: hint.cltv_expiry_delta.to_u16(),
            htlc_minimum_msat: None,
            htlc_maximum_msat: None,
        });
        match hop {
            Ok(hop) => builder.private_route(RouteHint(vec![hop])),
            Err(_) => builder,
        }
    });
    let builder = match terms.amount {
        Some(amount) => builder.amount_milli_satoshis(amount.to_u64()),
        None => builder,
    };
    // BOLT 9: `option_payment_metadata` as an even bit, for whoever does not send it back pays in vain.
    let signed = match &terms.metadata {
        None => builder.build_signed(|hash| us.sign_invoice(hash)),
        Some(metadata) => builder
            .payment_metadata(metadata.clone())
            .require_payment_metadata()
            .build_signed(|hash| us.sign_invoice(hash)),
    };
    let invoice = signed.map_err(|error| match error {
        CreationError::DescriptionTooLong => malformed("longer than 639 bytes"),
        CreationError::InvalidAmount => {
            Refusal::Malformed { field: "amount", why: "more bitcoin than exist" }
        }
        CreationError::RouteTooLong
        | CreationError::TimestampOutOfBounds
        | CreationError::MissingRouteHints
        | CreationError::MinFinalCltvExpiryDeltaTooShort => {
            Refusal::Malformed { field: "invoice", why: "out of the bounds of BOLT 11" }
        }
    })?;
    let (text, hash) = match &terms.description {
        Description::Text(text) => (text.as_str(), None),
        Description::Hash(hash) => ("", Some(*hash)),
    };
    // The string counts whole seconds, so does its expiry.
    let expires_s = seconds(terms.created_ms).saturating_add(u64::from(terms.expiry_s));
    Ok(InvoiceMade {
        payment_hash: terms.name.hash(),
        preimage: terms.name.preimage(),
        hold: terms.hold,
        payment_secret: terms.payment_secret,
        metadata: terms.metadata.clone(),
        amount: terms.amount,
        bolt11: Text(invoice.to_string()),
        description: text.into(),
        description_hash: hash,
        created_ms: terms.created_ms,
        expires_ms: expires_s.saturating_mul(1_000),
        min_final_cltv_delta: terms.min_final_cltv_delta,
    })
}

/// An invoice of somebody, checked: signature, semantics, amounts.
#[derive(Clone, Debug)]
pub struct Read {
    /// The invoice itself.
    pub invoice: Bolt11Invoice,
    /// Its name.
    pub hash: PaymentHash,
    /// Who is paid.
    pub payee: NodeId,
    /// How much it asks for.
    pub amount: Option<Msat>,
    /// What it is for.
    pub description: Description,
    /// What proves to the payee that we have it.
    pub payment_secret: PaymentSecret,
    /// Blocks the last HTLC must leave the payee.
    pub min_final_cltv_delta: u32,
    /// When it was made, Unix milliseconds.
    pub created_ms: u64,
    /// From when on it cannot be paid, Unix milliseconds.
    pub expires_ms: u64,
}

/// Reads an invoice.
///
/// # Errors
/// [`Refusal::BadInvoice`], saying what is wrong with it.
pub fn read(text: &str) -> Result<Read, Refusal> {
    let text = text.trim();
    let text =
        text.strip_prefix("lightning:").or_else(|| text.strip_prefix("LIGHTNING:")).unwrap_or(text);
    let invoice = Bolt11Invoice::from_str(text)
        .map_err(|error| Refusal::BadInvoice { why: what_is_wrong(&error) })?;
    let amount = invoice
        .amount_milli_satoshis()
        .map(|msat| {
            Msat::new(msat).ok_or(Refusal::BadInvoice { why: "asks for more bitcoin than exist" })
        })
        .transpose()?;
    let description = match invoice.description() {
        Bolt11InvoiceDescriptionRef::Direct(text) => Description::Text(text.as_inner().0.clone()),
        Bolt11InvoiceDescriptionRef::Hash(hash) => Description::Hash(hash.0.to_byte_array()),
    };
    let created_ms = millis(invoice.duration_since_epoch());
    Ok(Read {
        hash: PaymentHash(invoice.payment_hash().to_byte_array()),
        payee: NodeId(invoice.get_payee_pub_key().serialize()),
        amount,
        description,
        payment_secret: PaymentSecret(invoice.payment_secret().0),
        min_final_cltv_delta: u32::try_from(invoice.min_final_cltv_expiry_delta())
            .unwrap_or(u32::MAX),
        created_ms,
        expires_ms: created_ms.saturating_add(millis(invoice.expiry_time())),
        invoice,
    })
}

/// The features an invoice demands and offers. BOLT 11, field `9`.
pub fn features(read: &Read) -> Features {
    let flags = read.invoice.features().map(|features| features.le_flags().to_vec());
    let mut bytes = flags.unwrap_or_default();
    bytes.reverse();
    Features::from_wire(bytes)
}

/// Whether an invoice of this currency is for a chain of `network`.
pub fn is_for(invoice: &Bolt11Invoice, network: Network) -> bool {
    invoice.currency() == currency(network)
}

/// The network an invoice is for, as people call it.
pub fn network_name(invoice: &Bolt11Invoice) -> &'static str {
    match invoice.currency() {
        Currency::Bitcoin => "mainnet",
        Currency::BitcoinTestnet => "testnet",
        Currency::Regtest => "regtest",
        Currency::Simnet => "simnet",
        Currency::Signet => "signet",
    }
}

fn currency(network: Network) -> Currency {
    match network {
        Network::Bitcoin => Currency::Bitcoin,
        Network::Signet => Currency::Signet,
        Network::Regtest => Currency::Regtest,
        // Both test networks share a prefix.
        Network::Testnet | Network::Testnet4 => Currency::BitcoinTestnet,
    }
}

fn what_is_wrong(error: &ParseOrSemanticError) -> &'static str {
    match error {
        ParseOrSemanticError::ParseError(Bolt11ParseError::Bech32Error(_)) => {
            "its checksum is wrong: a character was lost or changed"
        }
        ParseOrSemanticError::ParseError(
            Bolt11ParseError::BadPrefix
            | Bolt11ParseError::MalformedHRP
            | Bolt11ParseError::UnknownCurrency,
        ) => "it does not begin like an invoice",
        ParseOrSemanticError::ParseError(_) => "it does not decode",
        ParseOrSemanticError::SemanticError(Bolt11SemanticError::InvalidSignature) => {
            "its signature is not the payee's: it was tampered with"
        }
        ParseOrSemanticError::SemanticError(Bolt11SemanticError::NoPaymentSecret) => {
            "it has no payment secret, so paying it would be unsafe"
        }
        ParseOrSemanticError::SemanticError(Bolt11SemanticError::ImpreciseAmount) => {
            "its amount is not a whole number of millisatoshi"
        }
        ParseOrSemanticError::SemanticError(
            Bolt11SemanticError::NoPaymentHash
            | Bolt11SemanticError::MultiplePaymentHashes
            | Bolt11SemanticError::NoDescription
            | Bolt11SemanticError::MultipleDescriptions
            | Bolt11SemanticError::MultiplePaymentSecrets
            | Bolt11SemanticError::InvalidFeatures,
        ) => "it lacks or repeats a field that BOLT 11 demands",
    }
}

const fn seconds(millis: u64) -> u64 {
    millis / 1_000
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use secp256k1::SecretKey;

    use super::*;

    fn us() -> Identity {
        Identity::new(SecretKey::from_slice(&[7; 32]).unwrap(), [8; 32])
    }

    fn terms() -> Terms {
        Terms {
            name: Name::Preimage(Preimage([1; 32])),
            hold: false,
            payment_secret: PaymentSecret([2; 32]),
            metadata: None,
            amount: Msat::new(25_000_000),
            description: Description::Text("espresso machine".to_owned()),
            created_ms: 1_700_000_000_123,
            expiry_s: 600,
            min_final_cltv_delta: MIN_FINAL_CLTV_DELTA,
            hints: Vec::new(),
        }
    }

    #[test]
    fn what_we_make_reads_back_with_our_name_on_it() {
        let made = make(&terms(), Network::Regtest, &us()).unwrap();
        let read = read(&made.bolt11.0).unwrap();
        assert_eq!(read.payee, us().node_id());
        assert_eq!(read.hash, Preimage([1; 32]).hash());
        assert_eq!(read.amount, Msat::new(25_000_000));
        assert_eq!(read.payment_secret, PaymentSecret([2; 32]));
        assert_eq!(read.min_final_cltv_delta, 42);
        assert_eq!(read.expires_ms, made.expires_ms);
        assert_eq!(read.expires_ms, 1_700_000_600_000);
        assert!(is_for(&read.invoice, Network::Regtest));
        assert!(!is_for(&read.invoice, Network::Bitcoin));
    }

    #[test]
    fn metadata_is_in_the_invoice_and_demanded() {
        let metadata = Some(vec![1, 2, 3]);
        let terms = Terms { metadata: metadata.clone(), ..terms() };
        let made = make(&terms, Network::Regtest, &us()).unwrap();
        let read = read(&made.bolt11.0).unwrap();
        assert_eq!(read.invoice.payment_metadata(), metadata.as_ref());
        assert_eq!(made.metadata, metadata);
        let features = features(&read);
        assert!(features.requires(wire::feature::Feature::PaymentMetadata));
        assert_eq!(features.demands_beyond(&Features::payable()), None);
        assert_eq!(features.demands_beyond(&Features::invoice()), Some(48));
    }

    #[test]
    fn an_invoice_for_somebody_elses_hash_names_it_and_no_preimage() {
        let hash = PaymentHash([5; 32]);
        let terms = Terms { name: Name::Hash(hash), hold: true, ..terms() };
        let made = make(&terms, Network::Regtest, &us()).unwrap();
        assert_eq!(read(&made.bolt11.0).unwrap().hash, hash);
        assert_eq!((made.payment_hash, made.preimage, made.hold), (hash, None, true));
    }

    #[test]
    fn a_changed_character_is_found() {
        let made = make(&terms(), Network::Regtest, &us()).unwrap();
        let mut text = made.bolt11.0.into_bytes();
        let last = text.len() - 10;
        text[last] = if text[last] == b'q' { b'p' } else { b'q' };
        let refused = read(core::str::from_utf8(&text).unwrap());
        assert!(matches!(refused, Err(Refusal::BadInvoice { .. })));
    }

    #[test]
    fn a_description_that_does_not_fit_is_refused() {
        let mut terms = terms();
        terms.description = Description::Text("x".repeat(DESCRIPTION_BYTES_MAX + 1));
        assert!(matches!(
            make(&terms, Network::Regtest, &us()),
            Err(Refusal::Malformed { field: "description", .. })
        ));
        terms.description = Description::Text("x".repeat(DESCRIPTION_BYTES_MAX));
        assert!(make(&terms, Network::Regtest, &us()).is_ok());
    }

    #[test]
    fn upper_case_and_the_scheme_are_read_too() {
        let made = make(&terms(), Network::Regtest, &us()).unwrap();
        assert!(read(&made.bolt11.0.to_uppercase()).is_ok());
        assert!(read(&format!("lightning:{}", made.bolt11.0)).is_ok());
    }
}
