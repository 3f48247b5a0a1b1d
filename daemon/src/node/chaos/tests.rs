//! Who may cheat.

use std::sync::Arc;

use chain_backend::BuiltinChain;

use super::*;
use crate::config::{Config, Network, Sources};

fn config(flags: &[(&str, &str)]) -> Config {
    let flags = flags.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Config::read("/nowhere".into(), &Sources { flags, ..Sources::default() }).unwrap()
}

#[test]
fn leave_to_cheat_needs_the_sandbox_a_chain_of_ours_and_the_word() {
    let seed = Arc::new(Secret32::new(zeroize::Zeroizing::new([7; 32])));
    let chain = BuiltinChain::in_memory(|| 1_700_000_000).unwrap();
    let backend = Arc::new(chain);
    let ours = ChainAccess { backend: backend.clone(), sandbox: Some(backend.clone()) };
    let not_ours = ChainAccess { backend, sandbox: None };
    let told = config(&[("chain.cheat", "true")]);
    assert!(Licence::of(&told, &ours, &seed).is_some());
    assert!(Licence::of(&told, &not_ours, &seed).is_none(), "a chain that is not ours to steer");
    assert!(Licence::of(&config(&[]), &ours, &seed).is_none(), "nobody said so");
    for network in [Network::Mainnet, Network::Testnet4, Network::Signet, Network::Regtest] {
        // Settings refuse this; and if they did not, there would be no leave all the same.
        let elsewhere = Config { network, ..told.clone() };
        assert!(Licence::of(&elsewhere, &ours, &seed).is_none(), "{network:?}");
    }
}
