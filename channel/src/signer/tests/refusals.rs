//! What the signer does not do, whoever asks.
