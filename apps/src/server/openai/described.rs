//! Fields that only describe a request.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Fields;
use crate::error::ApiError;

/// OpenAI's limits of `metadata`: pairs, letters of a key, letters of a value.
const METADATA: (usize, usize, usize) = (16, 64, 512);

/// What a request says of itself, under OpenAI's names. It changes no answer and is kept with the
/// turn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described(pub Map<String, Value>);

/// Whether a request is urgent; here all are alike.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ServiceTier {
    Auto,
    Default,
    Flex,
    Scale,
    Priority,
}

impl Described {
    /// Reads the fields that describe.
    ///
    /// # Errors
    /// If one is not what OpenAI takes.
    pub fn take(fields: &mut Fields) -> Result<Self, ApiError> {
        let mut described = Map::new();
        for name in ["user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"] {
            if let Some(text) = fields.take::<String>(name)? {
                described.insert(name.into(), text.into());
            }
        }
        if let Some(store) = fields.take::<bool>("store")? {
            described.insert("store".into(), store.into());
        }
        if let Some(tier) = fields.take::<ServiceTier>("service_tier")? {
            let name = match tier {
                ServiceTier::Auto => "auto",
                ServiceTier::Default => "default",
                ServiceTier::Flex => "flex",
                ServiceTier::Scale => "scale",
                ServiceTier::Priority => "priority",
            };
            described.insert("service_tier".into(), name.into());
        }
        if let Some(metadata) = fields.take::<BTreeMap<String, String>>("metadata")? {
            let (pairs, key, value) = METADATA;
            if metadata.len() > pairs {
                let why = format!("it has {} pairs; {pairs} is the most", metadata.len());
                return Err(fields.refused("metadata", why));
            }
            let is_long = |(k, v): &(&String, &String)| k.chars().count() > key || v.chars().count() > value;
            if let Some((name, _)) = metadata.iter().find(is_long) {
                let why = format!("`{name}` is too long: a key has {key} letters at most, a value {value}");
                return Err(fields.refused("metadata", why));
            }
            let pairs: Map<String, Value> = metadata.into_iter().map(|(k, v)| (k, v.into())).collect();
            described.insert("metadata".into(), pairs.into());
        }
        Ok(Self(described))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn take(body: &Value) -> Result<Described, ApiError> {
        Described::take(&mut serde_json::from_value(body.clone()).unwrap())
    }

    #[test]
    fn what_describes_is_given_back() {
        let body = json!({"user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "store": true,
            "service_tier": "flex", "metadata": {"a": "b"}});
        assert_eq!(Value::from(take(&body).unwrap().0), body);
        assert_eq!(take(&json!({"user": null, "metadata": null})).unwrap(), Described::default());
    }

    #[test]
    fn what_openai_would_refuse_is_refused() {
        let many: Map<String, Value> = (0..17).map(|i| (i.to_string(), "".into())).collect();
        for (body, param) in [
            (json!({"user": 3}), "user"),
            (json!({"store": "yes"}), "store"),
            (json!({"service_tier": "gold"}), "service_tier"),
            (json!({"metadata": {"a": 3}}), "metadata"),
            (json!({"metadata": {"a": "x".repeat(513)}}), "metadata"),
            (json!({"metadata": many}), "metadata"),
        ] {
            assert_eq!(take(&body).unwrap_err().body()["error"]["param"], param, "{body}");
        }
    }
}
