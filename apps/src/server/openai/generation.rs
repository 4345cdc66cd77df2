//! The parameters of generation that OpenAI's two endpoints share.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use llama::{AdapterChoice, Request, Sampling};
use serde::Deserialize;

use super::{ApiSettings, Fields};
use crate::error::ApiError;

/// Most stop strings of a request: each token's text is compared with all of them.
const MAX_STOPS: usize = 16;

/// How answers are generated: OpenAI's parameters, with `top_k`, `min_p`, `repetition_penalty` and `ignore_eos` as
/// vLLM adds them.
#[derive(Debug)]
pub struct Generation {
    /// The most tokens of an answer, where the request or the server says.
    pub max_tokens: Option<usize>,
    /// Answers to each prompt.
    pub choices: usize,
    /// Texts that end an answer.
    pub stop: Vec<String>,
    ignore_eos: bool,
    sampling: Sampling,
}

impl Generation {
    /// Reads the parameters.
    ///
    /// # Errors
    /// If one is not what this server takes.
    pub fn take(fields: &mut Fields, settings: &ApiSettings) -> Result<Self, ApiError> {
        let default = Sampling { temperature: 1.0, ..Sampling::default() }; // OpenAI's
        let choices = fields.take("n")?.unwrap_or(1);
        if choices == 0 || choices > settings.max_choices {
            let why = format!("n is {choices}; it must be from 1 to {}", settings.max_choices);
            return Err(ApiError::bad_request(why).with_param("n"));
        }
        Ok(Self {
            max_tokens: max_tokens(fields, settings)?,
            choices,
            stop: stop_strings(fields)?,
            ignore_eos: fields.take("ignore_eos")?.unwrap_or(false),
            sampling: Sampling {
                temperature: fields.take("temperature")?.unwrap_or(default.temperature),
                top_k: top_k(fields)?.unwrap_or(default.top_k),
                top_p: fields.take("top_p")?.unwrap_or(default.top_p),
                min_p: fields.take("min_p")?.unwrap_or(default.min_p),
                repetition_penalty: fields.take("repetition_penalty")?.unwrap_or(default.repetition_penalty),
                frequency_penalty: fields.take("frequency_penalty")?.unwrap_or(default.frequency_penalty),
                presence_penalty: fields.take("presence_penalty")?.unwrap_or(default.presence_penalty),
                logit_bias: logit_bias(fields)?,
                seed: seed(fields)?,
            },
        })
    }

    /// The requests that continue `prompts`, those of one prompt beside each other: the answers to one prompt have
    /// the seeds `seed`, `seed + 1`, … By `max_tokens` tokens where the parameters do not say.
    pub fn requests(
        &self,
        prompts: &[Vec<u32>],
        max_tokens: usize,
        adapter: &AdapterChoice,
        logprobs: Option<usize>,
    ) -> Vec<Request> {
        let request = |prompt: &Vec<u32>, index: u64| Request {
            max_tokens: self.max_tokens.unwrap_or(max_tokens),
            stop: self.stop.clone(),
            ignore_eos: self.ignore_eos,
            sampling: Sampling { seed: self.sampling.seed.wrapping_add(index), ..self.sampling.clone() },
            adapter: adapter.clone(),
            logprobs,
            ..Request::new(prompt.clone(), max_tokens)
        };
        let of_prompt = |prompt| (0..self.choices as u64).map(move |index| request(prompt, index));
        prompts.iter().flat_map(of_prompt).collect()
    }
}

/// `max_completion_tokens`, which OpenAI renamed, or `max_tokens`; the server's ceiling where neither is given.
fn max_tokens(fields: &mut Fields, settings: &ApiSettings) -> Result<Option<usize>, ApiError> {
    let old: Option<usize> = fields.take("max_tokens")?;
    let new: Option<usize> = fields.take("max_completion_tokens")?;
    if let (Some(old), Some(new)) = (old, new)
        && old != new
    {
        let why = format!("it is {new} and max_tokens is {old}; give one of them");
        return Err(fields.refused("max_completion_tokens", why));
    }
    let name = if new.is_some() { "max_completion_tokens" } else { "max_tokens" };
    match (new.or(old), settings.max_tokens) {
        (Some(asked), Some(most)) if asked > most => {
            Err(fields
                .refused(name, format!("{asked} is more than this server gives at once, which is {most}")))
        }
        (asked, most) => Ok(asked.or(most)),
    }
}

/// `top_k`, of which -1 keeps all tokens, as in vLLM.
fn top_k(fields: &mut Fields) -> Result<Option<usize>, ApiError> {
    match fields.take::<i64>("top_k")? {
        None => Ok(None),
        Some(-1) => Ok(Some(0)),
        Some(k) => match usize::try_from(k) {
            Ok(k) => Ok(Some(k)),
            Err(_) => Err(fields.refused("top_k", format!("{k} is negative; 0 or -1 keeps all tokens"))),
        },
    }
}

/// `logit_bias`: token ids, as JSON's keys, and what is added to their logits.
fn logit_bias(fields: &mut Fields) -> Result<Vec<(u32, f32)>, ApiError> {
    let biases: BTreeMap<String, f32> = fields.take("logit_bias")?.unwrap_or_default();
    let id = |(token, bias): (String, f32)| match token.parse() {
        Ok(id) => Ok((id, bias)),
        Err(_) => Err(fields.refused("logit_bias", format!("`{token}` is no token id"))),
    };
    biases.into_iter().map(id).collect()
}

/// A text or a list of texts.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads `stop`.
///
/// # Errors
/// If a stop string is empty or there are too many.
pub fn stop_strings(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let stops = match fields.take("stop")? {
        None => Vec::new(),
        Some(OneOrMany::One(stop)) => vec![stop],
        Some(OneOrMany::Many(stops)) => stops,
    };
    if stops.len() > MAX_STOPS {
        let message = format!("stop has {} strings; at most {MAX_STOPS} are taken", stops.len());
        return Err(ApiError::bad_request(message).with_param("stop"));
    }
    if stops.iter().any(String::is_empty) {
        return Err(ApiError::bad_request("stop has an empty string").with_param("stop"));
    }
    Ok(stops)
}

/// Reads `seed`; a random one where there is none.
///
/// # Errors
/// If it is no whole number of 64 bits.
pub fn seed(fields: &mut Fields) -> Result<u64, ApiError> {
    Ok(fields.take::<i64>("seed")?.map_or_else(random_seed, i64::cast_unsigned))
}

/// A seed that differs each time.
pub fn random_seed() -> u64 {
    RandomState::new().hash_one(()) // random, because the hasher's keys are
}
