//! Compiles proto/*.proto to Rust without protoc, and writes beside it what the generated code lacks:
//! JSON names of enums, and which requests may be repeated.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;
use tonic_prost_build::{Builder, FileDescriptorSet};

type Field = prost_types::FieldDescriptorProto;
type Message = prost_types::DescriptorProto;

const NODE: &str = "viaduct.v1";
const CHAIN: &str = "viaduct.chain.v1";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let set = protox::compile(proto_files()?, ["proto"])?;

    for (package, file) in [(NODE, "node.bin"), (CHAIN, "chain.bin")] {
        let mut part = FileDescriptorSet::default();
        part.file.extend(set.file.iter().filter(|file| file.package() == package).cloned());
        fs::write(out.join(file), part.encode_to_vec())?;
        if part.file.is_empty() {
            fs::write(out.join(format!("{package}.rs")), "")?;
        }
    }
    fs::write(out.join("contract.rs"), contract(&set)?)?;
    with_json(tonic_prost_build::configure(), &set).compile_fds(set)?;
    Ok(())
}

fn proto_files() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir("proto")? {
        let path = entry?.path();
        if path.extension() == Some("proto".as_ref()) {
            files.push(Path::new("proto").join(path.file_name().ok_or("a file without a name")?));
        }
    }
    files.sort();
    Ok(files)
}

/// Messages of our own package, with their Rust and proto names. None is nested.
fn messages(set: &FileDescriptorSet) -> impl Iterator<Item = &Message> {
    set.file.iter().filter(|file| file.package() == NODE).flat_map(|file| &file.message_type)
}

/// Attributes that make the generated types print as the JSON of the contract.
fn with_json(mut builder: Builder, set: &FileDescriptorSet) -> Builder {
    for message in messages(set) {
        let path = format!("{NODE}.{}", message.name());
        builder = builder.type_attribute(&path, "#[derive(serde::Serialize)]");
        for (index, oneof) in message.oneof_decl.iter().enumerate() {
            let real = message.field.iter().any(|field| in_oneof(field, index));
            if real {
                let path = format!("{path}.{}", oneof.name());
                builder = builder.field_attribute(&path, "#[serde(flatten)]");
                builder = builder.type_attribute(
                    &path,
                    "#[derive(serde::Serialize)] #[serde(rename_all = \"snake_case\")]",
                );
            }
        }
        for field in &message.field {
            if let Some(attribute) = json_attribute(field) {
                builder = builder.field_attribute(format!("{path}.{}", field.name()), attribute);
            }
        }
    }
    builder
}

fn in_oneof(field: &Field, index: usize) -> bool {
    !field.proto3_optional()
        && field.oneof_index.is_some_and(|of| usize::try_from(of).is_ok_and(|of| of == index))
}

fn json_attribute(field: &Field) -> Option<String> {
    use prost_types::field_descriptor_proto::{Label, Type};
    let name = field.type_name().trim_start_matches(".viaduct.v1.");
    let many = field.label() == Label::Repeated;
    let optional = field.proto3_optional()
        || (field.r#type() == Type::Message && !many && field.oneof_index.is_none());
    match (field.r#type(), many) {
        (Type::Enum, false) => {
            Some(format!("#[serde(serialize_with = \"crate::json::one::<crate::v1::{name}, _>\")]"))
        }
        (Type::Enum, true) => Some(format!(
            "#[serde(serialize_with = \"crate::json::many::<crate::v1::{name}, _>\")]"
        )),
        _ if optional => Some("#[serde(skip_serializing_if = \"Option::is_none\")]".to_owned()),
        _ => None,
    }
}

/// Rust that follows from the descriptors: names of enums, and which requests may be repeated.
fn contract(set: &FileDescriptorSet) -> Result<String, std::fmt::Error> {
    let mut code = String::new();
    for file in set.file.iter().filter(|file| file.package() == NODE) {
        for one in &file.enum_type {
            let name = one.name();
            writeln!(
                code,
                "impl crate::json::Named for crate::v1::{name} {{\n\
                 fn name(self) -> &'static str {{ self.as_str_name() }}\n}}"
            )?;
        }
    }
    for message in messages(set).filter(|message| message.name().ends_with("Request")) {
        let keyed = message.field.iter().any(|field| field.name() == "idempotency_key");
        let test = if keyed { "!self.idempotency_key.is_empty()" } else { "true" };
        writeln!(
            code,
            "impl crate::client::Repeatable for crate::v1::{} {{\n\
             fn is_repeatable(&self) -> bool {{ {test} }}\n}}",
            message.name()
        )?;
    }
    Ok(code)
}
