//! The keys of a wallet: P2WPKH (BIP 84) for everything.

use bdk_wallet::miniscript::psbt::PsbtExt as _;
use bitcoin::bip32::Xpriv;
use bitcoin::{Network, PrivateKey, Psbt, Transaction};
use secp256k1::SECP256K1;
use std::fmt;

/// Keys that follow from 32 bytes.
pub(in crate::rpc) struct Keys {
    secret: [u8; 32],
    master: Xpriv,
    network: Network,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(secret)")
    }
}

impl Keys {
    pub(super) fn new(secret: &[u8; 32], network: Network) -> Option<Self> {
        let master = Xpriv::new_master(network, secret).ok()?;
        Some(Self { secret: *secret, master, network })
    }

    pub(super) const fn secret(&self) -> [u8; 32] {
        self.secret
    }

    /// An empty wallet of these keys.
    pub(super) fn wallet(&self) -> Result<bdk_wallet::Wallet, String> {
        let chain = |number: u8| format!("wpkh({}/84'/1'/0'/{number}/*)", self.master);
        let made = bdk_wallet::Wallet::create(chain(0), chain(1)).network(self.network);
        made.create_wallet_no_persist().map_err(|error| error.to_string())
    }

    /// Signs what these keys can; what they cannot stays.
    pub(in crate::rpc) fn sign(&self, psbt: &mut Psbt) {
        // Others' inputs fail, which their owners mend.
        let _ = psbt.sign(&self.master, SECP256K1);
    }
}

/// Puts witnesses in wherever there are signatures enough; whether all inputs are complete.
pub(in crate::rpc) fn finalize(psbt: &mut Psbt) -> bool {
    for place in 0..psbt.inputs.len() {
        let is_done = psbt.inputs.get(place).is_some_and(|input| {
            input.final_script_witness.is_some() || input.final_script_sig.is_some()
        });
        if !is_done {
            // What cannot be completed stays open.
            let _ = psbt.finalize_inp_mut(SECP256K1, place);
        }
    }
    let is_final = |input: &bitcoin::psbt::Input| {
        input.final_script_witness.is_some() || input.final_script_sig.is_some()
    };
    psbt.inputs.iter().all(is_final)
}

/// The transaction of a PSBT with the witnesses it has.
pub(in crate::rpc) fn extract(psbt: Psbt) -> Transaction {
    psbt.extract_tx_unchecked_fee_rate()
}

/// Keys in their export format.
pub(in crate::rpc) fn from_wif(text: &str) -> Option<PrivateKey> {
    PrivateKey::from_wif(text).ok()
}
