//! What callers send: both dialects of JSON-RPC, parameters by place and by name.

use super::error::{INVALID_PARAMS, INVALID_REQUEST, RpcError, TYPE};
use bitcoin::consensus::Decodable;
use bitcoin::consensus::encode::deserialize_hex;
use serde_json::{Map, Value};
use std::str::FromStr;

/// The most calls in one batch: LND sends up to 1000.
pub(super) const BATCH_MAX: usize = 10_000;

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// Whatever the caller wants to see again.
    pub(super) id: Value,
    pub(super) method: String,
    pub(super) params: Params,
    /// JSON-RPC 2.0: errors come with HTTP's 200, and there is a result or an error, not both.
    pub(super) modern: bool,
    /// Nobody waits for an answer (2.0 without an id).
    pub(super) silent: bool,
}

/// Parameters as they came.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Params {
    ByPlace(Vec<Value>),
    ByName(Map<String, Value>),
}

/// A request that cannot be taken, and what can be said of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Malformed {
    pub(super) id: Value,
    pub(super) modern: bool,
    pub(super) error: RpcError,
}

impl Call {
    pub(super) fn read(value: Value) -> Result<Self, Malformed> {
        let Value::Object(mut fields) = value else {
            return Err(malformed(Value::Null, false, "Invalid Request object"));
        };
        let has_id = fields.contains_key("id");
        let id = fields.remove("id").unwrap_or(Value::Null);
        let modern = match fields.remove("jsonrpc") {
            None => false,
            Some(Value::String(version)) if version == "2.0" => true,
            Some(Value::String(version)) if version == "1.0" || version == "1.1" => false,
            Some(_) => return Err(malformed(id, false, "JSON-RPC version not supported")),
        };
        let method = match fields.remove("method") {
            Some(Value::String(method)) => method,
            Some(_) => return Err(malformed(id, modern, "Method must be a string")),
            None => return Err(malformed(id, modern, "Missing method")),
        };
        let params = match fields.remove("params") {
            None | Some(Value::Null) => Params::ByPlace(Vec::new()),
            Some(Value::Array(values)) => Params::ByPlace(values),
            Some(Value::Object(values)) => Params::ByName(values),
            Some(_) => return Err(malformed(id, modern, "Params must be an array or object")),
        };
        Ok(Self { id, method, params, modern, silent: modern && !has_id })
    }
}

fn malformed(id: Value, modern: bool, message: &str) -> Malformed {
    Malformed { id, modern, error: RpcError::new(INVALID_REQUEST, message) }
}

/// Parameters in the method's own order; what was not said is null.
#[derive(Clone, Debug, Default)]
pub(super) struct Args(Vec<Value>);

impl Args {
    /// Puts parameters in order. A name may have several spellings, `a|b`.
    pub(super) fn new(names: &[&str], params: Params) -> Result<Self, RpcError> {
        let mut named = match params {
            Params::ByPlace(values) if values.len() > names.len() => {
                return Err(RpcError::misc(format!("too many parameters: {}", names.join(" "))));
            }
            Params::ByPlace(values) => return Ok(Self(values)),
            Params::ByName(named) => named,
        };
        // `bitcoin-cli -named` puts those without a name here.
        let mut values = match named.remove("args") {
            Some(Value::Array(values)) if values.len() <= names.len() => values,
            None => Vec::new(),
            Some(_) => return Err(RpcError::new(INVALID_PARAMS, "args must be a short array")),
        };
        for (place, spellings) in names.iter().enumerate() {
            let found = spellings.split('|').find_map(|name| Some((name, named.remove(name)?)));
            match (found, values.get_mut(place)) {
                (None, Some(_)) => {}
                (None, None) => values.push(Value::Null),
                (Some((_, value)), None) => values.push(value),
                (Some((name, _)), Some(_)) => {
                    let words = format!(
                        "Parameter {name} specified twice both as positional and named argument"
                    );
                    return Err(RpcError::parameter(words));
                }
            }
        }
        match named.keys().next() {
            Some(name) => Err(RpcError::parameter(format!("Unknown named parameter {name}"))),
            None => Ok(Self(values)),
        }
    }

    /// The parameter at a place; `None` when it was not said.
    pub(super) fn get(&self, place: usize) -> Option<&Value> {
        self.0.get(place).filter(|value| !value.is_null())
    }

    pub(super) fn need(&self, place: usize, name: &str) -> Result<&Value, RpcError> {
        self.get(place).ok_or_else(|| RpcError::misc(format!("missing parameter: {name}")))
    }

    pub(super) fn text(&self, place: usize, name: &str) -> Result<&str, RpcError> {
        self.need(place, name)?.as_str().ok_or_else(|| wrong_type(name, "string"))
    }

    pub(super) fn number(&self, place: usize, name: &str) -> Result<i64, RpcError> {
        whole(self.need(place, name)?).ok_or_else(|| wrong_type(name, "number"))
    }

    pub(super) fn number_or(&self, place: usize, name: &str, or: i64) -> Result<i64, RpcError> {
        self.get(place)
            .map_or(Ok(or), |value| whole(value).ok_or_else(|| wrong_type(name, "number")))
    }

    pub(super) fn flag_or(&self, place: usize, name: &str, or: bool) -> Result<bool, RpcError> {
        let Some(value) = self.get(place) else { return Ok(or) };
        value.as_bool().ok_or_else(|| wrong_type(name, "bool"))
    }

    /// How much to tell: a number, or true for 1.
    pub(super) fn verbosity(&self, place: usize, or: i64) -> Result<i64, RpcError> {
        match self.get(place) {
            Some(Value::Bool(verbose)) => Ok(i64::from(*verbose)),
            Some(_) | None => self.number_or(place, "verbosity", or),
        }
    }

    pub(super) fn array(&self, place: usize, name: &str) -> Result<&[Value], RpcError> {
        let array = self.need(place, name)?.as_array();
        array.map(Vec::as_slice).ok_or_else(|| wrong_type(name, "array"))
    }

    /// 32 bytes as Bitcoin writes hashes.
    pub(super) fn hash<T: FromStr>(&self, place: usize, name: &str) -> Result<T, RpcError> {
        hash(self.text(place, name)?, name)
    }

    /// Something Bitcoin serialises, in hex.
    pub(super) fn decoded<T: Decodable>(
        &self,
        place: usize,
        name: &str,
        failed: &str,
    ) -> Result<T, RpcError> {
        decoded(self.text(place, name)?, failed)
    }
}

pub(super) fn decoded<T: Decodable>(hex: &str, failed: &str) -> Result<T, RpcError> {
    deserialize_hex(hex).map_err(|_| RpcError::new(super::error::DESERIALIZATION, failed))
}

pub(super) fn hash<T: FromStr>(text: &str, name: &str) -> Result<T, RpcError> {
    text.parse().map_err(|_| {
        let words = if text.len() == 64 {
            format!("{name} must be hexadecimal string (not '{text}')")
        } else {
            format!("{name} must be of length 64 (not {}, for '{text}')", text.len())
        };
        RpcError::parameter(words)
    })
}

pub(super) fn wrong_type(name: &str, expected: &str) -> RpcError {
    RpcError::new(TYPE, format!("{name}: JSON value is not of expected type {expected}"))
}

/// A whole number; text is one too where a command line could not tell.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_dialects_are_told_apart() {
        let modern = Call::read(json!({"jsonrpc": "2.0", "method": "uptime", "id": 1})).unwrap();
        assert!(modern.modern && !modern.silent);
        let told = Call::read(json!({"jsonrpc": "2.0", "method": "uptime"})).unwrap();
        assert!(told.silent);
        let old = Call::read(json!({"version": "1.1", "method": "uptime", "id": 1})).unwrap();
        assert!(!old.modern && !old.silent);
        let error = Call::read(json!({"jsonrpc": "3", "method": "uptime", "id": 7})).unwrap_err();
        assert_eq!((error.id, error.error.code), (json!(7), INVALID_REQUEST));
        for value in
            [json!(1), json!({"id": 1}), json!({"method": 1}), json!({"method": "a", "params": 1})]
        {
            assert_eq!(Call::read(value).unwrap_err().error.code, INVALID_REQUEST);
        }
    }

    #[test]
    fn parameters_come_by_place_by_name_or_both() {
        let names = ["blockhash", "verbosity|verbose"];
        let named = |value: Value| match value {
            Value::Object(map) => Params::ByName(map),
            Value::Array(values) => Params::ByPlace(values),
            _ => panic!("neither"),
        };
        for value in [
            json!(["00", 2]),
            json!({"blockhash": "00", "verbosity": 2}),
            json!({"verbose": 2, "args": ["00"]}),
        ] {
            let args = Args::new(&names, named(value)).unwrap();
            assert_eq!((args.text(0, "blockhash"), args.verbosity(1, 1)), (Ok("00"), Ok(2)));
        }
        for value in
            [json!([1, 2, 3]), json!({"other": 1}), json!({"args": ["00"], "blockhash": "11"})]
        {
            assert!(Args::new(&names, named(value)).is_err());
        }
    }
}
