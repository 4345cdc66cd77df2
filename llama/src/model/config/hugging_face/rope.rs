//! Rotary positions in `config.json`: `rope_theta` and `rope_scaling`, or `rope_parameters`.

use std::path::Path;

use engine::RopeScaling;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::ConfigJson;
use crate::error::LlamaError;
use crate::model::config::checks::checked_factor;
use crate::model::config::yarn::yarn_magnitude;

/// `rope_scaling` or `rope_parameters`.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct RopeJson {
    /// `type` before transformers 4.43; files of that time may have both.
    #[serde(rename = "type")]
    old_type: Option<String>,
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    partial_rotary_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    factor: Option<f64>,
    /// Whether the model was trained further with its scaling: nothing that changes an answer.
    #[serde(rename = "finetuned")]
    _finetuned: Option<bool>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    attention_factor: Option<f64>,
    beta_fast: Option<f64>,
    beta_slow: Option<f64>,
    mscale: Option<f64>,
    mscale_all_dim: Option<f64>,
    truncate: Option<bool>,
    short_factor: Option<Vec<f64>>,
    long_factor: Option<Vec<f64>>,
    /// All other fields, which are refused if they are set.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl ConfigJson {
    fn rope(&self, path: &Path) -> Result<Option<(&'static str, &RopeJson)>, LlamaError> {
        match (&self.rope_parameters, &self.rope_scaling) {
            (Some(new), Some(old)) if new != old => {
                Err(LlamaError::config(path, "rope_scaling", "is not what `rope_parameters` says"))
            }
            (Some(rope), _) => Ok(Some(("rope_parameters", rope))),
            (None, Some(rope)) => Ok(Some(("rope_scaling", rope))),
            (None, None) => Ok(None),
        }
    }

    /// The base of the frequencies, which stands in one of two places.
    pub(super) fn rope_theta(&self, path: &Path) -> Result<f64, LlamaError> {
        let inside = self.rope(path)?.and_then(|(_, rope)| rope.rope_theta);
        match (inside, self.rope_theta) {
            (Some(inside), Some(outside)) if inside != outside => {
                let reason = format!("is {outside}, and {inside} among the parameters of the rotation");
                Err(LlamaError::config(path, "rope_theta", reason))
            }
            (inside, outside) => Ok(inside.or(outside).unwrap_or(10_000.0)),
        }
    }

    /// How the frequencies are stretched; `context` is `max_position_embeddings`.
    pub(super) fn rope_scaling(&self, context: usize, path: &Path) -> Result<RopeScaling, LlamaError> {
        let Some((field, rope)) = self.rope(path)? else { return Ok(RopeScaling::None) };
        let original = match (self.original_max_position_embeddings, rope.original_max_position_embeddings) {
            (Some(outside), Some(inside)) if outside != inside => {
                let reason = format!("is {outside}, and {inside} in `{field}`");
                return Err(LlamaError::config(path, "original_max_position_embeddings", reason));
            }
            (outside, inside) => outside.or(inside).unwrap_or(context),
        };
        rope.scaling(ContextLengths { context, original }, Place { path, field })
    }
}

/// The lengths of context that scalings depend on.
#[derive(Clone, Copy)]
struct ContextLengths {
    /// `max_position_embeddings`.
    context: usize,
    /// `original_max_position_embeddings`: before the frequencies were stretched.
    original: usize,
}

impl ContextLengths {
    fn ratio(self) -> f64 {
        self.context as f64 / self.original as f64
    }
}

/// The file and field that errors name.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a Path,
    field: &'static str,
}

impl Place<'_> {
    fn error(self, reason: String) -> LlamaError {
        LlamaError::config(self.path, self.field, reason)
    }

    /// A factor that must be given.
    fn factor(self, value: Option<f64>, name: &str) -> Result<f32, LlamaError> {
        let value = value.ok_or_else(|| self.error(format!("lacks `{name}`")))?;
        checked_factor(value, self.path, self.field)
    }
}

impl RopeJson {
    fn scaling(&self, lengths: ContextLengths, place: Place) -> Result<RopeScaling, LlamaError> {
        if self.partial_rotary_factor.is_some_and(|part| part != 1.0) {
            return Err(place.error("has a `partial_rotary_factor` that is not 1; not supported".into()));
        }
        let kind = match (self.rope_type.as_deref(), self.old_type.as_deref()) {
            (Some(new), Some(old)) if new != old => {
                return Err(place.error(format!("has the `rope_type` {new} and the `type` {old}")));
            }
            (new, old) => new.or(old).unwrap_or("default"),
        };
        let factor = || place.factor(self.factor, "factor");
        let (scaling, used): (_, &[&str]) = match kind {
            "default" => (RopeScaling::None, &[]),
            "linear" => (RopeScaling::Linear { factor: factor()? }, &["factor"]),
            "dynamic" => (RopeScaling::Dynamic { factor: factor()? }, &["factor"]),
            "llama3" => {
                let scaling = RopeScaling::Llama3 {
                    factor: factor()?,
                    low_freq_factor: place.factor(self.low_freq_factor, "low_freq_factor")?,
                    high_freq_factor: place.factor(self.high_freq_factor, "high_freq_factor")?,
                    original_max_position_embeddings: lengths.original,
                };
                (scaling, &["factor", "low_freq_factor", "high_freq_factor"])
            }
            "yarn" => (
                self.yarn(lengths, place)?,
                &[
                    "factor",
                    "attention_factor",
                    "beta_fast",
                    "beta_slow",
                    "mscale",
                    "mscale_all_dim",
                    "truncate",
                ],
            ),
            "longrope" => (
                self.longrope(lengths, place)?,
                &["factor", "attention_factor", "short_factor", "long_factor"],
            ),
            other => {
                return Err(place.error(format!(
                    "has the type {other}; default, linear, dynamic, yarn, longrope and llama3 are supported"
                )));
            }
        };
        self.refuse_unused(used, place)?;
        Ok(scaling)
    }

    /// Source: `_compute_yarn_parameters` of transformers.
    fn yarn(&self, lengths: ContextLengths, place: Place) -> Result<RopeScaling, LlamaError> {
        let factor = place.factor(Some(self.factor.unwrap_or(lengths.ratio())), "factor")?;
        let or = |value: Option<f64>, name, default| {
            place.factor(Some(value.filter(|&value| value != 0.0).unwrap_or(default)), name)
        };
        let magnitude = |mscale| yarn_magnitude(factor.into(), mscale);
        let attention_factor = match (self.attention_factor, self.mscale, self.mscale_all_dim) {
            (Some(stated), ..) => stated,
            (None, Some(mscale), Some(all)) if mscale != 0.0 && all != 0.0 => {
                magnitude(mscale) / magnitude(all)
            }
            _ => magnitude(1.0),
        };
        Ok(RopeScaling::Yarn {
            factor,
            original_max_position_embeddings: lengths.original,
            attention_factor: place.factor(Some(attention_factor), "attention_factor")?,
            beta_fast: or(self.beta_fast, "beta_fast", 32.0)?,
            beta_slow: or(self.beta_slow, "beta_slow", 1.0)?,
            truncate: self.truncate.unwrap_or(true),
        })
    }

    /// Two tables of divisors, one for texts up to the original context and one for longer texts. Which one
    /// holds must not change while a text grows, since its keys are cached.
    ///
    /// Source: `_compute_longrope_parameters` of transformers.
    fn longrope(&self, lengths: ContextLengths, place: Place) -> Result<RopeScaling, LlamaError> {
        let ContextLengths { context, original } = lengths;
        let missing = |name: &str| place.error(format!("lacks `{name}`"));
        let short = self.short_factor.as_ref().ok_or_else(|| missing("short_factor"))?;
        let long = self.long_factor.as_ref().ok_or_else(|| missing("long_factor"))?;
        if short != long && original < context {
            return Err(place.error(format!(
                "rotates texts of more than {original} tokens otherwise than shorter ones; this is not supported"
            )));
        }
        let factor = self.factor.unwrap_or(lengths.ratio());
        let attention_factor = match self.attention_factor {
            Some(stated) => stated,
            None if factor <= 1.0 => 1.0,
            None => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
        };
        let divisors = short.iter().map(|&divisor| place.factor(Some(divisor), "short_factor"));
        Ok(RopeScaling::LongRope {
            factors: divisors.collect::<Result<_, _>>()?,
            attention_factor: place.factor(Some(attention_factor), "attention_factor")?,
        })
    }

    /// Refuses parameters that are set but belong to another kind of scaling, or to none that is known.
    fn refuse_unused(&self, used: &[&str], place: Place) -> Result<(), LlamaError> {
        let set = [
            ("factor", self.factor.is_some()),
            ("low_freq_factor", self.low_freq_factor.is_some()),
            ("high_freq_factor", self.high_freq_factor.is_some()),
            ("attention_factor", self.attention_factor.is_some()),
            ("beta_fast", self.beta_fast.is_some()),
            ("beta_slow", self.beta_slow.is_some()),
            ("mscale", self.mscale.is_some()),
            ("mscale_all_dim", self.mscale_all_dim.is_some()),
            ("truncate", self.truncate.is_some()),
            ("short_factor", self.short_factor.is_some()),
            ("long_factor", self.long_factor.is_some()),
        ];
        let unused = set.into_iter().find(|(name, set)| *set && !used.contains(name)).map(|(name, _)| name);
        let unknown = self.rest.iter().find(|(_, value)| !value.is_null()).map(|(name, _)| name.as_str());
        match unused.or(unknown) {
            Some(name) => Err(place.error(format!("has `{name}`, which its type does not use"))),
            None => Ok(()),
        }
    }
}
