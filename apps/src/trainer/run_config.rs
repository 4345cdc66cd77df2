//! `run.json`: every setting that a run's result depends on, as resolved. A run is resumed only if its settings are the
//! same.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use engine::{Example, LoraConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::cli::TrainArgs;

/// The file's name in the run's folder. Not `config.json`, by which programs would take the folder for a model.
pub const RUN_FILE: &str = "run.json";

/// Flags that may change when a run is resumed: they only name places and what is kept, or the settings that they
/// resolve to are compared instead.
const FREE: [&str; 16] = [
    "began",
    "model", // its fingerprint is compared, as is that of the data
    "data",
    "validation_data",
    "skip_bad_rows",
    "output",
    "epochs",       // max_steps
    "warmup_ratio", // warmup_steps
    "init_adapter",
    "device",
    "save_steps",
    "save_total_limit",
    "resume",
    "dry_run",
    "gradient_checkpointing",
    "early_stopping_patience",
];

/// The settings of a run, by flag, with underscores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunConfig(Map<String, Value>);

/// Settings that the flags alone do not give.
pub struct Resolved<'a> {
    pub lora: &'a LoraConfig,
    /// Steps of the run.
    pub max_steps: u64,
    pub warmup_steps: u64,
    pub base: crate::cli::Base,
    pub chat_template: &'a str,
    pub model_fingerprint: String,
    pub data_fingerprint: String,
    /// When the run began, in seconds since 1970: the date that its prompts give, where they give one.
    pub began: u64,
}

impl RunConfig {
    /// The settings that the flags resolve to.
    pub fn new(args: &TrainArgs, resolved: &Resolved<'_>) -> Result<Self> {
        let Value::Object(mut fields) = serde_json::to_value(args)? else { bail!("flags are fields") };
        let Resolved { lora, .. } = resolved;
        for (name, value) in [
            ("max_steps", json!(resolved.max_steps)),
            ("warmup_steps", json!(resolved.warmup_steps)),
            ("base", json!(resolved.base)),
            ("lora_r", json!(lora.r)),
            ("lora_alpha", shortest(lora.lora_alpha)),
            ("lora_dropout", shortest(lora.lora_dropout)),
            ("target_modules", json!(lora.target_modules)),
            ("use_rslora", json!(lora.use_rslora)),
            ("use_dora", json!(lora.use_dora)),
            ("prompt_format", json!(resolved.chat_template)),
            ("model_fingerprint", json!(resolved.model_fingerprint)),
            ("data_fingerprint", json!(resolved.data_fingerprint)),
            ("began", json!(resolved.began)),
        ] {
            fields.insert(name.into(), value);
        }
        // Through text, so that numbers compare equal with those that were read from a file.
        Ok(serde_json::from_str(&Value::Object(fields).to_string())?)
    }

    /// When the run began, in seconds since 1970; runs of older builds do not say.
    pub fn began(&self) -> Option<u64> {
        self.0.get("began")?.as_u64()
    }

    /// Writes the file.
    pub fn write(&self, output: &Path) -> Result<()> {
        let path = output.join(RUN_FILE);
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    /// Refuses to resume a run whose settings differ.
    pub fn check_same(&self, earlier: &RunConfig, output: &Path) -> Result<()> {
        let output = output.display();
        let get = |fields: &Map<String, Value>, name: &str| fields.get(name).cloned().unwrap_or_default();
        let differs = |name: &str| get(&self.0, name) != get(&earlier.0, name);
        if differs("model_fingerprint") {
            let (model, was) = (get(&self.0, "model"), get(&earlier.0, "model"));
            bail!("--resume: --model {model} is not the model that {output} was begun with ({was})");
        }
        let constant = get(&self.0, "lr_scheduler") == "constant";
        // A longer run is the same run so far, unless the learning rate depends on its end.
        let free = |name: &str| {
            FREE.contains(&name) || name.ends_with("fingerprint") || name == "max_steps" && constant
        };
        for name in self.0.keys().chain(earlier.0.keys()).filter(|name| !free(name)) {
            if differs(name) {
                let told = |fields, without: &str| match get(fields, name) {
                    Value::Null => without.to_owned(),
                    value => value.to_string(),
                };
                let (now, was) = (told(&self.0, "not given"), told(&earlier.0, "none"));
                let flag = name.replace('_', "-");
                bail!(
                    "--resume: --{flag} is {now}, but {output} was begun with {was}; give that, or name another \
                     --output for a new run"
                );
            }
        }
        if differs("data_fingerprint") {
            let data = get(&self.0, "data");
            bail!("--resume: the rows of --data {data} are not those that {output} was begun with");
        }
        Ok(())
    }
}

/// The number as a person wrote it: 0.05, not the f64 that is nearest to the f32 that is nearest to it.
fn shortest(number: f32) -> Value {
    json!(number.to_string().parse::<f64>().unwrap_or(f64::from(number)))
}

/// A digest of what is learned and measured, to the token.
pub fn data_fingerprint(train: &[Example], validation: &[Example]) -> String {
    let mut digest = Sha256::new();
    for part in [train, validation] {
        digest.update((part.len() as u64).to_le_bytes());
        for Example { tokens, learned } in part {
            digest.update((tokens.len() as u64).to_le_bytes());
            tokens.iter().for_each(|token| digest.update(token.to_le_bytes()));
            learned.iter().for_each(|&learned| digest.update([u8::from(learned)]));
        }
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Base, Cli, Command};

    fn config(flags: &str, model: &str, data: &str) -> RunConfig {
        let words = "trainer train --data d.csv".split(' ').chain(flags.split_whitespace());
        let Command::Train(args) = Cli::parse_from(words).command else { unreachable!() };
        let lora = LoraConfig {
            r: args.lora_r,
            lora_alpha: args.lora_alpha as f32,
            lora_dropout: 0.05,
            target_modules: args.target_modules.clone(),
            ..LoraConfig::default()
        };
        let resolved = Resolved {
            lora: &lora,
            max_steps: args.max_steps.unwrap_or(30),
            warmup_steps: args.run.warmup(30),
            base: Base::Keep,
            chat_template: "{{ messages }}",
            model_fingerprint: model.into(),
            data_fingerprint: data.into(),
            began: 0,
        };
        RunConfig::new(&args, &resolved).unwrap()
    }

    #[test]
    fn a_run_goes_on_as_the_same_run_only() {
        let output = Path::new("out");
        let earlier = config("--lr 0.1", "m", "d");
        for same in ["--lr 1e-1", "--lr 0.1 --save-steps 3 --resume --output b", "--lr 0.1 --max-steps 99"] {
            config(same, "m", "d").check_same(&earlier, output).unwrap();
        }
        for (flags, model, data, reason) in [
            ("--lr 0.1", "other", "d", "--model \"smollm2-135m\" is not the model"),
            ("--lr 0.1", "m", "other", "the rows of --data \"d.csv\" are not those"),
            ("--lr 0.2", "m", "d", "--lr is 0.2, but out was begun with 0.1"),
            ("--lr 0.1 --lora-r 4", "m", "other", "--lora-r is 4, but out was begun with 8"),
            ("--lr 0.1 --eval-steps 4", "m", "d", "--eval-steps is 4, but out was begun with none"),
            ("--lr 0.1 --lr-scheduler linear", "m", "d", "--lr-scheduler is \"linear\", but"),
        ] {
            let error = config(flags, model, data).check_same(&earlier, output).unwrap_err().to_string();
            assert!(error.starts_with("--resume: ") && error.contains(reason), "{error}");
        }
        let linear = config("--lr-scheduler linear", "m", "d");
        let error = config("--lr-scheduler linear --max-steps 99", "m", "d").check_same(&linear, output);
        assert!(error.unwrap_err().to_string().contains("--max-steps is 99, but out was begun with 30"));
    }

    #[test]
    fn the_data_fingerprint_sees_every_token() {
        let example =
            |tokens: &[u32], learned: &[bool]| Example { tokens: tokens.into(), learned: learned.into() };
        let (a, b) = (example(&[1, 2], &[false, true]), example(&[3], &[true]));
        let whole = data_fingerprint(std::slice::from_ref(&a), std::slice::from_ref(&b));
        assert_eq!(whole, data_fingerprint(std::slice::from_ref(&a), std::slice::from_ref(&b)));
        assert_ne!(whole, data_fingerprint(std::slice::from_ref(&b), std::slice::from_ref(&a)));
        assert_ne!(whole, data_fingerprint(&[a.clone(), b.clone()], &[]));
        assert_ne!(whole, data_fingerprint(&[example(&[1, 2], &[true, true])], &[b]));
    }
}
