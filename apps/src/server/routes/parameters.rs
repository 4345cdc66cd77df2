//! Parameters of generation that several routes take.

use std::hash::{BuildHasher, RandomState};

use serde::Deserialize;

use crate::error::ApiError;

/// Most stop strings of a request: each token's text is compared with all of them.
const MAX_STOPS: usize = 16;

/// A text or a list of texts.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Any number.
    Many(Vec<String>),
}

impl OneOrMany {
    /// The texts.
    pub fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// The stop strings of a request.
///
/// # Errors
/// If one is empty or there are too many.
pub fn stop_strings(stop: Option<OneOrMany>) -> Result<Vec<String>, ApiError> {
    let stops = stop.map(OneOrMany::into_vec).unwrap_or_default();
    if stops.len() > MAX_STOPS {
        let message = format!("stop has {} strings; at most {MAX_STOPS} are taken", stops.len());
        return Err(ApiError::bad_request(message).with_param("stop"));
    }
    if stops.iter().any(String::is_empty) {
        return Err(ApiError::bad_request("stop has an empty string").with_param("stop"));
    }
    Ok(stops)
}

/// The seed asked for, else a random one.
pub fn seed(seed: Option<i64>) -> u64 {
    seed.map_or_else(random_seed, i64::cast_unsigned)
}

/// A seed that differs each time.
pub fn random_seed() -> u64 {
    RandomState::new().hash_one(()) // random, because the hasher's keys are
}
