//! Refusals with Bitcoin Core's codes (its `src/rpc/protocol.h`): programs decide by them.

use crate::backend::BackendError;
use crate::builtin::ChainError;
use crate::sandbox::SandboxError;
use serde::Serialize;

/// What a call that fails answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcError {
    /// Bitcoin Core's number for it.
    pub code: i32,
    /// The same in words, some of which programs look for.
    pub message: String,
}

/// Something went wrong that has no number of its own.
pub(super) const MISC: i32 = -1;
/// A parameter of another type than expected.
pub(super) const TYPE: i32 = -3;
/// The wallet cannot do that.
pub(super) const WALLET: i32 = -4;
/// No such transaction, block or address.
pub(super) const NOT_FOUND: i32 = -5;
/// The wallet has not that much.
pub(super) const INSUFFICIENT_FUNDS: i32 = -6;
/// A parameter out of its range, missing or of no meaning.
pub(super) const INVALID_PARAMETER: i32 = -8;
/// No wallet of this name is loaded.
pub(super) const WALLET_NOT_FOUND: i32 = -18;
/// The chain's own data fails.
pub(super) const DATABASE: i32 = -20;
/// Bytes that are no transaction, block or script.
pub(super) const DESERIALIZATION: i32 = -22;
/// Inputs that are missing, or a submission that failed for want of something.
pub(super) const VERIFY: i32 = -25;
/// A rule says no.
pub(super) const REJECTED: i32 = -26;
/// A block has it already.
pub(super) const IN_UTXO_SET: i32 = -27;
/// No request at all.
pub(super) const INVALID_REQUEST: i32 = -32_600;
/// No such method.
pub(super) const METHOD_NOT_FOUND: i32 = -32_601;
/// Parameters that do not fit the method.
pub(super) const INVALID_PARAMS: i32 = -32_602;
/// The bytes are no JSON.
pub(super) const PARSE: i32 = -32_700;

impl RpcError {
    pub(super) fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn misc(message: impl Into<String>) -> Self {
        Self::new(MISC, message)
    }

    pub(super) fn parameter(message: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMETER, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(NOT_FOUND, message)
    }
}

impl From<BackendError> for RpcError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::NotFound => Self::not_found("Block not found"),
            BackendError::Unavailable(_)
            | BackendError::WrongChain
            | BackendError::Lied(_)
            | BackendError::Storage(_) => Self::misc(error.to_string()),
        }
    }
}

impl From<SandboxError> for RpcError {
    fn from(error: SandboxError) -> Self {
        Self::misc(error.to_string())
    }
}

impl From<ChainError> for RpcError {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::UnknownBlock(_) => Self::not_found("Block not found"),
            ChainError::Rejected(_)
            | ChainError::Signet(_)
            | ChainError::NotTheSigner
            | ChainError::Storage(_)
            | ChainError::TooDeep { .. }
            | ChainError::TooMany(_)
            | ChainError::Needed { .. }
            | ChainError::ReaderName(..)
            | ChainError::StandsStill
            | ChainError::Stopped
            | ChainError::Thread(_) => Self::misc(error.to_string()),
        }
    }
}
