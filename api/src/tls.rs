//! The daemon's certificate: made by itself, P-256, pinned by its clients.
//!
//! It is a plain server certificate and its own issuer; clients trust exactly this one, out of the file
//! `tls.cert`. It names localhost, both loopback addresses and what the operator adds, is good for 14
//! months, and is made anew 30 days before its end or when the names change.
//! Not here: reloading it into a running server (daemon).

mod der;

pub use der::{CertificateFacts, NotACertificate};

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tonic::transport::{Identity, ServerTlsConfig};

use crate::calendar::{Civil, UnixMs};

const DAY_MS: UnixMs = 86_400_000;
/// How long a certificate is good for.
const LIFETIME_MS: UnixMs = 425 * DAY_MS;
/// How long before its end a certificate is made anew.
const RENEW_BEFORE_MS: UnixMs = 30 * DAY_MS;
/// How far into the past it begins, for clocks that are behind.
const BACKDATE_MS: UnixMs = DAY_MS;
/// The largest file that is read as a certificate or key, in bytes.
const FILE_LEN_MAX: u64 = 65_536;

/// Names that every certificate has.
pub const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: not a certificate or key in PEM", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// A name that no certificate can carry.
    #[error("cannot make a certificate: {0}")]
    Making(#[from] rcgen::Error),
    /// One of the two files is missing: somebody's key, or somebody's certificate, would be lost.
    #[error("{} is missing beside its other half; put it back, or remove the other", path.display())]
    Half {
        /// The file that is missing.
        path: PathBuf,
    },
}

/// A certificate with its key, as PEM. Its `Debug` shows the certificate's fingerprint alone.
#[derive(Clone)]
pub struct ServerIdentity {
    certificate_pem: String,
    key_pem: String,
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerIdentity").field(&fingerprint(&self.certificate_pem)).finish()
    }
}

impl ServerIdentity {
    /// Makes one with [`LOCAL_NAMES`] and these names (hosts or addresses).
    ///
    /// # Errors
    ///
    /// [`TlsError::Making`].
    pub fn generate(now: UnixMs, names: &[String]) -> Result<Self, TlsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(all_names(names))?;
        params.distinguished_name.push(DnType::CommonName, "viaduct");
        let date = |at| {
            let Civil { year, month, day, .. } = Civil::from_ms(at);
            let narrow = |part| u8::try_from(part).unwrap_or(1);
            let year = i32::try_from(year).unwrap_or(9_999);
            rcgen::date_time_ymd(year, narrow(month), narrow(day))
        };
        params.not_before = date(now.saturating_sub(BACKDATE_MS));
        params.not_after = date(now.saturating_add(LIFETIME_MS));
        let certificate = params.self_signed(&key)?;
        Ok(Self { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// Takes the one in these files, or makes one and writes them: when there is none, when it is about
    /// to end, or when the names are others. The second value says whether it was made.
    ///
    /// # Errors
    ///
    /// Any [`TlsError`]. A file that is there and cannot be read is never overwritten.
    pub fn load_or_make(
        certificate: &Path,
        key: &Path,
        now: UnixMs,
        names: &[String],
    ) -> Result<(Self, bool), TlsError> {
        match (read(certificate)?, read(key)?) {
            (Some(certificate_pem), Some(key_pem)) => {
                let kept = Self { certificate_pem, key_pem };
                let malformed = |path: &Path| TlsError::Malformed { path: path.into() };
                let facts = kept.facts().map_err(|NotACertificate| malformed(certificate))?;
                PrivateKeyDer::from_pem_slice(kept.key_pem.as_bytes())
                    .map_err(|_| malformed(key))?;
                if !facts.needs_renewal(now, names) {
                    return Ok((kept, false));
                }
            }
            (None, None) => {}
            (Some(_), None) => return Err(TlsError::Half { path: key.into() }),
            (None, Some(_)) => return Err(TlsError::Half { path: certificate.into() }),
        }
        let fresh = Self::generate(now, names)?;
        // The key goes first: between the two renames a restart finds a pair that does not match only
        // when it was being renewed, and then the next start makes it anew.
        write(key, &fresh.key_pem, 0o600)?;
        write(certificate, &fresh.certificate_pem, 0o644)?;
        Ok((fresh, true))
    }

    /// The certificate, as clients pin it.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// What the certificate says.
    ///
    /// # Errors
    ///
    /// When the PEM is none.
    pub fn facts(&self) -> Result<CertificateFacts, NotACertificate> {
        let der = certificate_der(&self.certificate_pem).ok_or(NotACertificate)?;
        CertificateFacts::read(&der)
    }

    /// For tonic's server.
    pub fn server_config(&self) -> ServerTlsConfig {
        ServerTlsConfig::new().identity(Identity::from_pem(&self.certificate_pem, &self.key_pem))
    }
}

/// The SHA-256 of the first certificate in a PEM text, as browsers show it: `3A:7F:…`. Nothing when
/// there is none.
pub fn fingerprint(certificate_pem: &str) -> Option<String> {
    let der = certificate_der(certificate_pem)?;
    // The TLS library has the hash already; a second one need not be linked for this.
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13()?;
    let hash = suite.common.hash_provider.hash(&der);
    let pairs: Vec<String> = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    Some(pairs.join(":"))
}

impl CertificateFacts {
    /// Whether a server with these further names needs another certificate.
    pub fn needs_renewal(&self, now: UnixMs, names: &[String]) -> bool {
        let ends_soon = now.saturating_add(RENEW_BEFORE_MS) >= self.not_after;
        ends_soon || all_names(names).iter().any(|name| !self.names.contains(name))
    }
}

/// In the form that a certificate shows them: addresses as the standard library writes them.
fn all_names(more: &[String]) -> Vec<String> {
    let mut names: Vec<String> = LOCAL_NAMES.map(str::to_owned).to_vec();
    for name in more {
        let name = match name.parse::<std::net::IpAddr>() {
            Ok(ip) => ip.to_string(),
            Err(_) => name.to_ascii_lowercase(),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn certificate_der(pem: &str) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).ok()
}

/// The file's text, or nothing when there is no such file.
fn read(path: &Path) -> Result<Option<String>, TlsError> {
    let failed = |source| TlsError::File { path: path.into(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(facts) if facts.len() > FILE_LEN_MAX => {
            return Err(TlsError::Malformed { path: path.into() });
        }
        Ok(_) => {}
    }
    fs::read_to_string(path).map(Some).map_err(failed)
}

/// Writes aside, then renames, so that no half file is ever found.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let aside = path.with_extension("new");
    let written = || -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        let mut file = options.open(&aside)?;
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    written().map_err(|source| TlsError::File { path: path.into(), source })
}

#[cfg(test)]
mod tests;
