//! Tokens that open the API and can only get weaker.
//!
//! A token is a macaroon: the daemon signs it with a root key, and whoever holds it may add caveats
//! (fewer calls, an end, an address) without asking, but never take one away. It travels as hex in the
//! metadata `macaroon`, as with LND; on disk it is the V2 binary form.
//! Not here: where root key and files are kept (daemon).

mod caveat;
mod role;

pub use caveat::{Caveat, MethodSet, UnknownCaveat};
pub use role::{Role, is_open};

use std::net::IpAddr;

use libmacaroon::{Format, Macaroon, MacaroonKey};
use thiserror::Error;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::calendar::UnixMs;
use crate::reason::{Reason, Refused};

/// The metadata key under which a token travels, as hex.
pub const METADATA_KEY: &str = "macaroon";

/// The longest token that is looked at, in bytes.
pub const TOKEN_LEN_MAX: usize = 4_096;

/// The identifier starts with this; the next layout of tokens takes another one.
const IDENTIFIER: &[u8] = b"viaduct:1:";

/// The secret with which a daemon signs and checks its tokens. Wiped when dropped; its `Debug` says
/// nothing.
#[derive(Debug, Clone)]
pub struct RootKey(MacaroonKey);

impl RootKey {
    /// A fresh one.
    ///
    /// # Errors
    ///
    /// When the operating system gives no random numbers.
    pub fn generate() -> Result<Self, NoEntropy> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| NoEntropy)?;
        Ok(Self(MacaroonKey::from(bytes)))
    }

    /// One that was kept.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(MacaroonKey::from(bytes))
    }

    /// The secret itself, to be kept.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.as_ref()
    }
}

/// The operating system gave no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the operating system gives no random numbers")]
pub struct NoEntropy;

/// What opens the API. Whoever holds it may call; its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Macaroon);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// Why bytes are not a token, or a token could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Not a macaroon, or longer than [`TOKEN_LEN_MAX`].
    #[error("not a macaroon")]
    Malformed,
    /// One more caveat would make it longer than [`TOKEN_LEN_MAX`].
    #[error("the macaroon would be too long")]
    TooLong,
    /// No random numbers for its identifier.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

impl Token {
    /// Signs a new token for a role.
    ///
    /// # Errors
    ///
    /// [`TokenError::NoEntropy`].
    pub fn bake(root: &RootKey, role: Role) -> Result<Self, TokenError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|_| NoEntropy)?;
        let mut identifier = IDENTIFIER.to_vec();
        identifier.extend_from_slice(to_hex(&nonce).as_bytes());
        let bare = Macaroon::create(Some("viaduct"), &root.0, identifier);
        let token = Self(bare.map_err(|_| TokenError::Malformed)?);
        match role {
            Role::Admin => Ok(token),
            Role::ReadOnly | Role::Invoice => token.restrict(&Caveat::Role(role)),
        }
    }

    /// The same token, weaker by one caveat. Needs no key.
    ///
    /// # Errors
    ///
    /// [`TokenError::TooLong`].
    pub fn restrict(mut self, caveat: &Caveat) -> Result<Self, TokenError> {
        let added = self.0.add_first_party_caveat(caveat.to_string());
        added.map_err(|_| TokenError::TooLong)?;
        if self.to_bytes()?.len() > TOKEN_LEN_MAX { Err(TokenError::TooLong) } else { Ok(self) }
    }

    /// Reads the V2 (or V1) binary form, as in a `.macaroon` file.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenError> {
        if bytes.len() > TOKEN_LEN_MAX {
            return Err(TokenError::Malformed);
        }
        Macaroon::deserialize_binary(bytes).map(Self).map_err(|_| TokenError::Malformed)
    }

    /// The V2 binary form.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`], which no token made here gives.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TokenError> {
        let text = self.0.serialize(Format::V2).map_err(|_| TokenError::Malformed)?;
        from_base64(&text).ok_or(TokenError::Malformed)
    }

    /// Reads hex, as in metadata.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`].
    pub fn from_hex(text: &str) -> Result<Self, TokenError> {
        Self::from_bytes(&from_hex(text).ok_or(TokenError::Malformed)?)
    }

    /// The binary form as hex, as it travels in metadata.
    ///
    /// # Errors
    ///
    /// As [`Token::to_bytes`].
    pub fn to_hex(&self) -> Result<String, TokenError> {
        Ok(to_hex(&self.to_bytes()?))
    }
}

/// Why a call may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthError {
    /// There is no token.
    #[error("the call came without a token")]
    Missing,
    /// Not a token, not ours, changed, or with a caveat we do not know: who cannot check must refuse.
    #[error("the token was not made by this daemon, or it was changed")]
    Invalid,
    /// Its time is over.
    #[error("the token's time is over")]
    Expired,
    /// It does not allow this method.
    #[error("the token does not allow this call")]
    Forbids,
    /// It is bound to another address.
    #[error("the token is bound to another address")]
    Elsewhere,
}

impl From<AuthError> for Reason {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing => Self::TokenMissing,
            AuthError::Invalid => Self::TokenInvalid,
            AuthError::Expired => Self::TokenExpired,
            AuthError::Forbids => Self::TokenForbids,
            AuthError::Elsewhere => Self::TokenElsewhere,
        }
    }
}

impl From<AuthError> for Status {
    fn from(error: AuthError) -> Self {
        Refused::new(error.into()).into()
    }
}

/// Checks tokens for the daemon.
#[derive(Debug, Clone)]
pub struct Verifier {
    root: RootKey,
}

impl Verifier {
    /// Checks tokens that were signed with this key.
    pub const fn new(root: RootKey) -> Self {
        Self { root }
    }

    /// Whether a token lets a call pass. `method` is the gRPC path (`/viaduct.v1.Payments/Pay`), `token`
    /// the binary form, `ip` where the call comes from if that is known.
    ///
    /// # Errors
    ///
    /// The first thing that stands against it, the signature before everything else.
    pub fn check(
        &self,
        method: &str,
        token: &[u8],
        now: UnixMs,
        ip: Option<IpAddr>,
    ) -> Result<(), AuthError> {
        let Token(macaroon) = Token::from_bytes(token).map_err(|_| AuthError::Invalid)?;
        // First that it is ours and unchanged, whatever its caveats say; then each caveat by itself, so
        // that the answer can name the one that failed.
        let mut signature = libmacaroon::Verifier::default();
        signature.satisfy_general(|_| true);
        let genuine = signature.verify(&macaroon, &self.root.0, &[]).is_ok();
        if !genuine || !macaroon.identifier().starts_with(IDENTIFIER) {
            return Err(AuthError::Invalid);
        }
        for caveat in macaroon.caveats() {
            let predicate = caveat.as_first_party().ok_or(AuthError::Invalid)?.predicate();
            let caveat = Caveat::parse(predicate).map_err(|UnknownCaveat| AuthError::Invalid)?;
            caveat.check(method, now, ip)?;
        }
        Ok(())
    }

    /// As [`Verifier::check`], with the token out of a call's metadata.
    ///
    /// # Errors
    ///
    /// Also [`AuthError::Missing`].
    pub fn check_call(
        &self,
        method: &str,
        metadata: &MetadataMap,
        now: UnixMs,
        ip: Option<IpAddr>,
    ) -> Result<(), AuthError> {
        let value = metadata.get(METADATA_KEY).ok_or(AuthError::Missing)?;
        let text = value.to_str().map_err(|_| AuthError::Invalid)?;
        let token = from_hex(text).ok_or(AuthError::Invalid)?;
        self.check(method, &token, now, ip)
    }
}

/// Lower-case hex.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || text.len() / 2 > TOKEN_LEN_MAX {
        return None;
    }
    let nibble = |digit: &u8| char::from(*digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(nibble(high)? << 4 | nibble(low)?),
            _ => None,
        })
        .collect()
}

/// The one text form that libmacaroon writes: URL-safe base64, padded.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut held) = (0u32, 0u32);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit.checked_sub(b'A')?,
            b'a'..=b'z' => digit.checked_sub(b'a')?.checked_add(26)?,
            b'0'..=b'9' => digit.checked_sub(b'0')?.checked_add(52)?,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held = held.saturating_add(6);
        if held >= 8 {
            held = held.saturating_sub(8);
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
