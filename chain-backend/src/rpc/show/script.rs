//! Scripts as people read them.

use bdk_wallet::miniscript::descriptor::checksum::desc_checksum;
use bitcoin::hex::DisplayHex;
use bitcoin::opcodes::all::{OP_CHECKMULTISIG, OP_CHECKSIG, OP_CLTV, OP_CSV};
use bitcoin::script::Instruction;
use bitcoin::{Address, Network, Opcode, Script};
use serde::Serialize;

/// An output script.
#[derive(Clone, Debug, Serialize)]
pub(in crate::rpc) struct ScriptShown {
    asm: String,
    desc: String,
    hex: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    r#type: &'static str,
}

/// A script without an address.
#[derive(Clone, Debug, Serialize)]
pub(in crate::rpc) struct ScriptSigShown {
    asm: String,
    hex: String,
}

impl ScriptShown {
    pub(in crate::rpc) fn of(script: &Script, network: Network) -> Self {
        let kind = kind(script);
        // Bitcoin Core has an address for keys behind a hash, not for a bare key.
        let address = Address::from_script(script, network).ok().map(|address| address.to_string());
        let desc = match &address {
            Some(address) => format!("addr({address})"),
            None => format!("raw({})", script.as_bytes().as_hex()),
        };
        let checksum = desc_checksum(&desc).unwrap_or_default();
        Self {
            asm: asm(script),
            desc: format!("{desc}#{checksum}"),
            hex: script.to_hex_string(),
            address,
            r#type: kind,
        }
    }
}

impl ScriptSigShown {
    pub(in crate::rpc) fn of(script: &Script) -> Self {
        Self { asm: asm(script), hex: script.to_hex_string() }
    }
}

/// Bitcoin Core's name for what a script is.
pub(in crate::rpc) fn kind(script: &Script) -> &'static str {
    if script.is_p2pkh() {
        "pubkeyhash"
    } else if script.is_p2sh() {
        "scripthash"
    } else if script.is_p2wpkh() {
        "witness_v0_keyhash"
    } else if script.is_p2wsh() {
        "witness_v0_scripthash"
    } else if script.is_p2tr() {
        "witness_v1_taproot"
    } else if script.as_bytes() == ANCHOR {
        "anchor"
    } else if script.is_witness_program() {
        "witness_unknown"
    } else if script.is_op_return() && script.instructions().skip(1).all(|part| is_push(&part)) {
        "nulldata"
    } else if script.is_p2pk() {
        "pubkey"
    } else if script.is_multisig() {
        "multisig"
    } else {
        "nonstandard"
    }
}

/// Pay to anchor (BIP 433): `OP_1 <4e73>`.
const ANCHOR: [u8; 4] = [0x51, 0x02, 0x4e, 0x73];

fn is_push<E>(part: &Result<Instruction<'_>, E>) -> bool {
    matches!(part, Ok(Instruction::PushBytes(_)))
        || matches!(part, Ok(Instruction::Op(op)) if op.to_u8() <= 0x60)
}

/// The opcodes and pushes of a script, as Bitcoin Core prints them.
pub(in crate::rpc) fn asm(script: &Script) -> String {
    let mut words = Vec::new();
    for part in script.instructions() {
        match part {
            Ok(Instruction::PushBytes(bytes)) => words.push(push(bytes.as_bytes())),
            Ok(Instruction::Op(op)) => words.push(name(op)),
            Err(_) => {
                words.push("[error]".to_owned());
                break;
            }
        }
    }
    words.join(" ")
}

/// Up to four bytes are a number to Bitcoin Core, more are bytes.
fn push(bytes: &[u8]) -> String {
    if bytes.len() > 4 {
        return bytes.to_lower_hex_string();
    }
    let Some((last, rest)) = bytes.split_last() else { return "0".to_owned() };
    let high = i64::from(last & 0x7f);
    let magnitude = rest.iter().rev().fold(high, |sum, byte| (sum << 8) | i64::from(*byte));
    if last & 0x80 == 0 { magnitude.to_string() } else { format!("-{magnitude}") }
}

fn name(op: Opcode) -> String {
    match op {
        OP_CLTV => "OP_CHECKLOCKTIMEVERIFY".to_owned(),
        OP_CSV => "OP_CHECKSEQUENCEVERIFY".to_owned(),
        OP_CHECKSIG => "OP_CHECKSIG".to_owned(),
        OP_CHECKMULTISIG => "OP_CHECKMULTISIG".to_owned(),
        other => {
            let text = other.to_string();
            match text.strip_prefix("OP_PUSHNUM_") {
                Some("NEG1") => "-1".to_owned(),
                Some(number) => number.to_owned(),
                None if text.starts_with("OP_RETURN_") => "OP_UNKNOWN".to_owned(),
                None => text,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::ScriptBuf;

    /// Rows of Bitcoin Core's own output for its regtest (`getrawtransaction … 1`).
    #[test]
    fn a_script_is_printed_as_bitcoin_core_prints_it() {
        for (hex, expected, kind_of) in [
            (
                "0014751e76e8199196d454941c45d1b3a323f1433bd6",
                "0 751e76e8199196d454941c45d1b3a323f1433bd6",
                "witness_v0_keyhash",
            ),
            ("51024e73", "1 29518", "anchor"),
            (
                "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9",
                "OP_RETURN aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9",
                "nulldata",
            ),
            (
                "76a914751e76e8199196d454941c45d1b3a323f1433bd688ac",
                "OP_DUP OP_HASH160 751e76e8199196d454941c45d1b3a323f1433bd6 OP_EQUALVERIFY OP_CHECKSIG",
                "pubkeyhash",
            ),
            (
                "6300670164b2686a",
                "OP_IF 0 OP_ELSE 100 OP_CHECKSEQUENCEVERIFY OP_ENDIF OP_RETURN",
                "nonstandard",
            ),
            ("4f", "-1", "nonstandard"),
            ("0181", "-1", "nonstandard"),
            ("05aa", "[error]", "nonstandard"),
        ] {
            let script = ScriptBuf::from_hex(hex).unwrap();
            assert_eq!((asm(&script).as_str(), kind(&script)), (expected, kind_of), "{hex}");
        }
    }

    #[test]
    fn a_script_with_an_address_shows_it() {
        let script = ScriptBuf::from_hex("0014751e76e8199196d454941c45d1b3a323f1433bd6").unwrap();
        let shown = ScriptShown::of(&script, Network::Regtest);
        let address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
        assert_eq!(shown.address.as_deref(), Some(address));
        assert!(
            shown.desc.starts_with(&format!("addr({address})#"))
                && shown.desc.len() == address.len() + 15
        );
    }
}
