//! The contract holds its own conventions: every file, message and field is looked at.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

use crate::auth::Role;
use crate::v1;

fn files() -> Vec<FileDescriptorProto> {
    FileDescriptorSet::decode(crate::NODE_DESCRIPTORS).unwrap().file
}

fn messages() -> Vec<DescriptorProto> {
    files().into_iter().flat_map(|file| file.message_type).collect()
}

fn message(name: &str) -> DescriptorProto {
    messages().into_iter().find(|message| message.name() == name).unwrap()
}

/// Every method: its path, its request, and whether it only reads.
fn methods() -> Vec<(String, DescriptorProto, bool)> {
    let mut all = Vec::new();
    for file in files() {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/viaduct.v1.{}/{}", service.name(), method.name());
                let request = message(method.input_type().trim_start_matches(".viaduct.v1."));
                let reads = Role::ReadOnly.allows(&path);
                all.push((path, request, reads));
            }
        }
    }
    all
}

fn has(message: &DescriptorProto, field: &str) -> bool {
    message.field.iter().any(|one| one.name() == field)
}

#[test]
fn one_service_a_file() {
    for file in files() {
        let expected = usize::from(file.name() != "page.proto");
        assert_eq!(file.service.len(), expected, "{}", file.name());
    }
}

#[test]
fn every_request_that_changes_something_has_an_idempotency_key_and_no_other_has() {
    assert!(methods().len() > 40);
    for (path, request, reads) in methods() {
        // A stream of answers names what each is about: said twice, the second is about nothing.
        // A probe leaves nothing behind: whoever says it twice has looked twice.
        if path.ends_with("/Intercept") || path.ends_with("/ProbeRoute") {
            continue;
        }
        assert_eq!(has(&request, "idempotency_key"), !reads, "{path}");
    }
}

#[test]
fn every_list_is_paged() {
    for (path, request, _) in methods() {
        let paged = path.contains("/List");
        for field in ["page_size", "page_token", "order"] {
            assert_eq!(has(&request, field), paged, "{path} {field}");
        }
    }
}

#[test]
fn amounts_are_unsigned_64_bit_and_say_their_unit() {
    for message in messages() {
        for field in &message.field {
            let (name, kind) = (field.name(), field.r#type());
            let amount = name.ends_with("_msat") || name.ends_with("_sat");
            let named = ["amount", "fee", "balance", "capacity", "reserve"];
            let place = format!("{}.{name}", message.name());
            if amount || name.ends_with("_at_ms") {
                assert_eq!(kind, Type::Uint64, "{place}");
            }
            assert!(!named.contains(&name), "{place} has no unit");
            let floating = matches!(kind, Type::Double | Type::Float);
            let signed = matches!(kind, Type::Int64 | Type::Sint64 | Type::Int32 | Type::Sint32);
            // Names are hex; a file is a file.
            let bytes = kind == Type::Bytes && name != "file";
            assert!(!floating && !signed && !bytes, "{place} is a {kind:?}");
        }
    }
}

#[test]
fn enums_start_unspecified_and_carry_their_name() {
    for file in files() {
        for one in &file.enum_type {
            let mut prefix = String::new();
            for (index, letter) in one.name().chars().enumerate() {
                if letter.is_uppercase() && index > 0 {
                    prefix.push('_');
                }
                prefix.push(letter.to_ascii_uppercase());
            }
            assert_eq!(one.value[0].name(), format!("{prefix}_UNSPECIFIED"));
            assert_eq!(one.value[0].number(), 0);
            for value in &one.value {
                assert!(value.name().starts_with(&prefix), "{}", value.name());
            }
        }
    }
}

#[test]
fn everything_is_commented() {
    for file in files() {
        let commented: BTreeSet<Vec<i32>> = file
            .source_code_info
            .iter()
            .flat_map(|info| &info.location)
            .filter(|place| !place.leading_comments().trim().is_empty())
            .map(|place| place.path.clone())
            .collect();
        let check = |path: &[i32], what: &str| {
            assert!(commented.contains(path), "{}: {what} has no comment", file.name());
        };
        for (m, message) in (0..).zip(&file.message_type) {
            check(&[4, m], message.name());
            for (f, field) in (0..).zip(&message.field) {
                check(&[4, m, 2, f], field.name());
            }
        }
        for (e, one) in (0..).zip(&file.enum_type) {
            check(&[5, e], one.name());
            for (v, value) in (0..).zip(&one.value) {
                check(&[5, e, 2, v], value.name());
            }
        }
        for (s, service) in (0..).zip(&file.service) {
            check(&[6, s], service.name());
            for (m, method) in (0..).zip(&service.method) {
                check(&[6, s, 2, m], method.name());
            }
        }
    }
}

#[test]
fn field_numbers_have_no_gaps() {
    for message in messages() {
        for (expected, field) in (1..).zip(&message.field) {
            assert_eq!(field.number(), expected, "{}.{}", message.name(), field.name());
            assert_ne!(field.label(), Label::Required);
        }
    }
}

#[test]
fn json_has_proto_names_enum_names_and_plain_numbers() {
    let payment = v1::Payment {
        payment_hash: "ab".into(),
        status: v1::PaymentStatus::Succeeded.into(),
        amount_msat: 2_100_000_000_000_000_000,
        preimage: Some("cd".into()),
        ..Default::default()
    };
    let json = serde_json::to_value(&payment).unwrap();
    assert_eq!(json["status"], "PAYMENT_STATUS_SUCCEEDED");
    assert_eq!(json["amount_msat"], 2_100_000_000_000_000_000_u64);
    assert_eq!(json["preimage"], "cd");
    assert_eq!(json["attempts"], serde_json::json!([]));
    assert!(json.get("failure").is_none() && json.get("completed_at_ms").is_none());

    let newer = v1::Payment { status: 99, ..Default::default() };
    assert_eq!(serde_json::to_value(&newer).unwrap()["status"], 99);
}

#[test]
fn json_of_a_oneof_is_its_one_field() {
    let event =
        v1::Event { seq: 7, at_ms: 1, body: Some(v1::event::Body::Heartbeat(v1::Heartbeat {})) };
    let json = serde_json::to_value(&event).unwrap();
    assert_eq!(json, serde_json::json!({"seq": 7, "at_ms": 1, "heartbeat": {}}));

    let send = v1::SendRequest {
        amount: Some(v1::send_request::Amount::AmountSat(5)),
        ..Default::default()
    };
    let json = serde_json::to_value(&send).unwrap();
    assert_eq!(json["amount_sat"], 5);
    let states = v1::ListPaymentsRequest { statuses: vec![1, 77], ..Default::default() };
    let json = serde_json::to_value(&states).unwrap();
    assert_eq!(json["statuses"], serde_json::json!(["PAYMENT_STATUS_IN_FLIGHT", 77]));
}
