//! Which chain `viaduct-chain` serves, by its flags.

use bitcoin::{PrivateKey, ScriptBuf};
use chain_backend::{Rules, Signet, SignetError};
use std::path::{Path, PathBuf};

/// Why there is no such chain.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unclear {
    #[error(
        "--network signet needs --signet-challenge: blocks of the public signet come from its own peers"
    )]
    NoChallenge,
    #[error("--signet-challenge is for --network signet")]
    NotSignet,
    #[error("--signet-challenge: no script in hex: {0}")]
    Hex(bitcoin::hex::HexToBytesError),
    #[error("--signet-key {0}: {1}")]
    Read(PathBuf, std::io::Error),
    // The key itself is not to be seen.
    #[error("--signet-key {0}: not a private key in wallet import format (WIF)")]
    Wif(PathBuf),
    #[error(transparent)]
    Signet(#[from] SignetError),
}

/// The rules that the flags ask for. A challenge alone means signet as well.
pub(crate) fn rules(
    network: Option<&str>,
    challenge: Option<&str>,
    key: Option<&Path>,
) -> Result<Rules, Unclear> {
    let Some(challenge) = challenge else {
        return if network == Some("signet") {
            Err(Unclear::NoChallenge)
        } else {
            Ok(Rules::Regtest)
        };
    };
    if network == Some("regtest") {
        return Err(Unclear::NotSignet);
    }
    let challenge = ScriptBuf::from_hex(challenge).map_err(Unclear::Hex)?;
    let key = key.map(read).transpose()?;
    Ok(Rules::Signet(Signet::new(challenge, key)?))
}

fn read(path: &Path) -> Result<PrivateKey, Unclear> {
    let text =
        std::fs::read_to_string(path).map_err(|error| Unclear::Read(path.to_owned(), error))?;
    PrivateKey::from_wif(text.trim()).map_err(|_| Unclear::Wif(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_makes_a_signet_and_a_bad_key_is_told_without_being_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let key = PrivateKey::from_slice(&[3; 32], bitcoin::Network::Signet).unwrap();
        std::fs::write(&file, format!("{key}\n")).unwrap();
        let challenge = ScriptBuf::new_p2pk(&key.public_key(secp256k1::SECP256K1));
        let hex = challenge.to_hex_string();
        assert_eq!(rules(None, None, None).unwrap(), Rules::Regtest);
        let signet = rules(None, Some(&hex), Some(&file)).unwrap();
        assert_eq!(signet, Rules::Signet(Signet::new(challenge, Some(key)).unwrap()));
        assert!(!format!("{signet:?}").contains(&key.to_string()));
        assert!(rules(Some("signet"), Some(&hex), None).is_ok());
        std::fs::write(&file, "Lsecret").unwrap();
        let refused = rules(None, Some(&hex), Some(&file)).unwrap_err().to_string();
        assert!(!refused.contains("Lsecret"), "{refused}");
        for (network, challenge) in [
            (Some("signet"), None),
            (Some("regtest"), Some("51")),
            (None, Some("5")),
            (None, Some("")),
        ] {
            assert!(rules(network, challenge, None).is_err());
        }
    }
}
