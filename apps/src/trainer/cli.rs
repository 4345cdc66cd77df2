//! The command line.

mod data;
mod run;

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use llama::Recipe;
use llama::dataset::{Column, PromptFormat};
use llama::model::checkpoint::WeightForm;
use serde::Serialize;

use crate::devices::device;
pub use data::DataArgs;
pub use run::{LrScheduler, RunArgs};

/// Fine-tunes Llama-family models with QLoRA.
#[derive(Debug, Parser)]
#[command(name = "trainer", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make training data of article templates whose facts are drawn anew for every row: questions that
    /// only the passages answer, refusals, follow-ups and small talk.
    Data(DataArgs),
    /// Train a LoRA adapter on questions and their answers.
    Train(Box<TrainArgs>),
    /// Measure a model's answers to questions against the answers that were wanted.
    Eval(EvalArgs),
    /// Measure how well a model predicts a text.
    Perplexity(PerplexityArgs),
    /// Measure the speed and the memory of training steps on random tokens.
    Bench(BenchArgs),
    /// Merge an adapter into its model: a folder of 16- or 32-bit safetensors.
    Merge(MergeArgs),
    /// Write a model in another format, with an adapter merged into it if one is named.
    #[command(visible_alias = "quantize")]
    Export(ExportArgs),
}

/// `trainer train`. The underscored aliases are the names that the system's first users know.
#[derive(Debug, Args, Serialize)]
pub struct TrainArgs {
    /// Model to train on: a path, a short name, or owner/name on the hub.
    #[arg(long, visible_alias = "model_id", value_name = "REF", default_value = llama::hub::catalog::DEFAULT_MODEL)]
    pub model: String,
    /// CSV, JSONL or JSON file, or a folder of them: questions and answers (instruction, response and
    /// perhaps input, system, context; prompt, completion; instruction, input, output) or
    /// conversations (messages).
    #[arg(long, visible_alias = "train_data", value_name = "FILE")]
    pub data: PathBuf,
    /// Columns with names of their own: instruction, input, response, system, context or messages, an
    /// equals sign, and what the file calls it.
    #[arg(long, value_name = "FIELD=COLUMN", value_delimiter = ',')]
    #[serde(skip)] // the data's fingerprint covers it
    pub columns: Vec<Column>,
    /// Leave out rows that cannot be read or written, and list them, instead of stopping.
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// How prompts are written: plain (### Instruction:, ### Response:), chat (the model's chat
    /// template), a text with {instruction} and perhaps {context} in it, or a Jinja chat template
    /// [default: chat for conversations if the model has a template, else plain]
    #[arg(long, value_name = "FORMAT")]
    #[serde(skip)] // the chat template stands for it
    pub prompt_format: Option<PromptFormat>,
    /// Folder of the run: the adapter, its model card, checkpoints, figures and a report.
    #[arg(long, value_name = "DIR", default_value = "adapter")]
    pub output: PathBuf,

    /// Passes over the data.
    #[arg(long, default_value_t = 3, value_parser = at_least::<u64>(1))]
    pub epochs: u64,
    /// Optimizer steps, instead of passes over the data.
    #[arg(long, conflicts_with = "epochs", value_parser = at_least::<u64>(1))]
    pub max_steps: Option<u64>,
    /// Examples that are computed at once.
    #[arg(long, visible_alias = "per_device_train_batch_size", default_value = "4", value_parser = at_least::<usize>(1))]
    pub batch_size: usize,
    /// Batches that make one optimizer step.
    #[arg(long, visible_alias = "gradient_accumulation_steps", default_value = "4", value_parser = at_least::<usize>(1))]
    pub grad_accum: usize,
    /// Learning rate; the highest, where it changes.
    #[arg(long, visible_alias = "learning_rate", default_value = "2e-4", value_parser = positive)]
    pub lr: f64,
    /// Optimizer, by the name that transformers gives it.
    #[arg(long, value_enum, default_value_t = Optim::AdamwTorch)]
    pub optim: Optim,
    /// Keep only every layer's input for the backward pass and compute the rest again: the same adapter in
    /// more time and a fraction of the memory.
    #[arg(long, visible_alias = "gradient_checkpointing")]
    pub gradient_checkpointing: bool,
    /// Gradients longer than this are scaled down to it; 0 leaves them.
    #[arg(long, default_value = "1.0", value_parser = not_negative)]
    pub max_grad_norm: f64,
    /// Tokens of an example that are kept.
    #[arg(long, default_value = "512", value_parser = at_least::<usize>(2))]
    pub max_length: usize,
    /// Learn the prompts too, not only what the assistant says.
    #[arg(long)]
    pub train_on_inputs: bool,
    /// Take the rows in the file's order in every epoch.
    #[arg(long)]
    pub no_shuffle: bool,
    /// Share of the rows that is held back to measure perplexity.
    #[arg(long, default_value = "0.1", value_parser = share)]
    pub validation_split: f64,
    /// Rows that measure perplexity instead of a share of the data, in any form that --data takes.
    #[arg(long, visible_alias = "eval_data", value_name = "FILE", conflicts_with = "validation_split")]
    pub validation_data: Option<PathBuf>,
    /// Share of the rows that is set aside in test.jsonl of the output folder.
    #[arg(long, default_value = "0", value_parser = share)]
    pub test_split: f64,
    /// What stays together when rows are held back.
    #[arg(long, value_enum, default_value_t = SplitUnit::Question)]
    pub split: SplitUnit,

    /// Rank of the adapter.
    #[arg(long, default_value = "8", value_parser = at_least::<usize>(1))]
    pub lora_r: usize,
    /// The adapter's scale is this over its rank, or over the root of its rank with --use-rslora.
    #[arg(long, default_value = "32", value_parser = positive)]
    pub lora_alpha: f64,
    /// Dropout before the adapter [default: 0.05, or as the initial adapter has it]
    #[arg(long, value_parser = share)]
    pub lora_dropout: Option<f64>,
    /// Scale the adapter by alpha / sqrt(r), so that higher ranks learn as fast (rank-stabilised LoRA).
    #[arg(long)]
    pub use_rslora: bool,
    /// Learn the magnitudes of the weights' rows too (DoRA).
    #[arg(long)]
    pub use_dora: bool,
    /// Projections that get an adapter: names, or all-linear for every linear layer but the output head.
    #[arg(long, value_delimiter = ',', default_value = "q_proj,v_proj")]
    pub target_modules: Vec<String>,
    /// Adapter to start from; it brings its own rank, scale and projections.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["lora_r", "lora_alpha", "use_rslora", "use_dora", "target_modules"])]
    pub init_adapter: Option<PathBuf>,
    /// Form of the frozen weights [default: keep for a quantized file, else nf4]
    #[arg(long, value_enum)]
    pub base: Option<Base>,

    /// Decides the adapter's start, the order, dropout and which rows are held back.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Where to compute: cpu, ndarray, wgpu[:N], metal[:N] or cuda[:N], as far as this build has them;
    /// `list` shows what this machine has.
    #[arg(long, default_value = engine::device::AVAILABLE[0], value_parser = device)]
    pub device: String,

    /// How it begins, is kept and ends.
    #[command(flatten)]
    #[serde(flatten)]
    pub run: RunArgs,
}

/// AdamW, and how it keeps its moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
pub enum Optim {
    /// In 32 bits.
    #[value(name = "adamw_torch")]
    #[serde(rename = "adamw_torch")]
    AdamwTorch,
    /// In 8 bits, block by block, as bitsandbytes.
    #[value(name = "adamw_8bit", alias = "adamw_bnb_8bit")]
    #[serde(rename = "adamw_8bit")]
    Adamw8bit,
}

impl Optim {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::AdamwTorch => "adamw_torch",
            Self::Adamw8bit => "adamw_8bit",
        }
    }
}

/// What stays together when rows are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitUnit {
    /// Rows that ask the same thing, but for case, digits and punctuation.
    Question,
    /// Nothing: where questions recur, what is measured has been learned.
    Random,
}

/// The form of the frozen weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// 4-bit NormalFloat with double quantization, whatever the file holds.
    Nf4,
    /// As the file has them.
    Keep,
    /// 32-bit floats.
    F32,
}

impl Base {
    /// The form that weights are read in.
    pub fn form(self) -> WeightForm {
        match self {
            Base::Nf4 => WeightForm::Nf4,
            Base::Keep => WeightForm::Stored,
            Base::F32 => WeightForm::F32,
        }
    }
}

/// `trainer eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Model: a path, a short name, or owner/name on the hub.
    #[arg(long, visible_alias = "model_id", value_name = "REF", default_value = llama::hub::catalog::DEFAULT_MODEL)]
    pub model: String,
    /// Adapter to compare with the model alone; its chat_template.jinja says how both are asked.
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// Questions and answers in a form that `train` takes; figures are also given by category where it
    /// has the column category or intent.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Take the first rows only.
    #[arg(long, value_name = "N", value_parser = at_least::<usize>(1))]
    pub limit: Option<usize>,
    /// Most tokens per answer.
    #[arg(long, value_name = "N", default_value = "256", value_parser = at_least::<usize>(1))]
    pub max_tokens: usize,
    /// Print the figures and every answer as JSON.
    #[arg(long)]
    pub json: bool,
    /// Write the figures and every answer to a web page.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Where to compute: cpu, ndarray, wgpu[:N], metal[:N] or cuda[:N], as far as this build has them;
    /// `list` shows what this machine has.
    #[arg(long, default_value = engine::device::AVAILABLE[0], value_parser = device)]
    pub device: String,
}

/// `trainer perplexity`.
#[derive(Debug, Args)]
pub struct PerplexityArgs {
    /// Model: a path, a short name, or owner/name on the hub.
    #[arg(long, visible_alias = "model_id", value_name = "REF", default_value = llama::hub::catalog::DEFAULT_MODEL)]
    pub model: String,
    /// Adapter to put on the model.
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// Text to predict.
    #[arg(long, value_name = "TEXT")]
    pub file: PathBuf,
    /// Tokens of a window; the second half of each is scored.
    #[arg(long, default_value = "512", value_parser = at_least::<usize>(4))]
    pub context: usize,
    /// Compute with the weights as 32-bit floats.
    #[arg(long)]
    pub exact: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Where to compute: cpu, ndarray, wgpu[:N], metal[:N] or cuda[:N], as far as this build has them;
    /// `list` shows what this machine has.
    #[arg(long, default_value = engine::device::AVAILABLE[0], value_parser = device)]
    pub device: String,
}

/// `trainer bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Model: a path, a short name, or owner/name on the hub.
    #[arg(long, visible_alias = "model_id", value_name = "REF", default_value = llama::hub::catalog::DEFAULT_MODEL)]
    pub model: String,
    /// Form of the frozen weights [default: keep for a quantized file, else nf4]
    #[arg(long, value_enum)]
    pub base: Option<Base>,
    /// Tokens of a sequence, all of them learned.
    #[arg(long, value_name = "N", default_value = "128", value_parser = at_least::<usize>(2))]
    pub seq: usize,
    /// Sequences of a step.
    #[arg(long, value_name = "N", default_value = "4", value_parser = at_least::<usize>(1))]
    pub batch_size: usize,
    /// Steps that are measured, after one that is not.
    #[arg(long, value_name = "N", default_value = "10", value_parser = at_least::<usize>(1))]
    pub steps: usize,
    /// Threads [default: all]
    #[arg(short, long, value_name = "N", value_parser = at_least::<usize>(1))]
    pub threads: Option<usize>,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Where to compute: cpu, ndarray, wgpu[:N], metal[:N] or cuda[:N], as far as this build has them;
    /// `list` shows what this machine has.
    #[arg(long, default_value = engine::device::AVAILABLE[0], value_parser = device)]
    pub device: String,
}

/// `trainer merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Model that the adapter was trained on: a path, a short name, or owner/name on the hub.
    #[arg(long, visible_alias = "model_id", value_name = "REF", default_value = llama::hub::catalog::DEFAULT_MODEL)]
    pub model: String,
    /// Adapter to merge.
    #[arg(long, value_name = "DIR")]
    pub adapter: PathBuf,
    /// New folder for the merged model.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Type of the merged weights [default: the model's, or f16 for a quantized one]
    #[arg(long, value_enum)]
    pub dtype: Option<Dtype>,
}

/// A floating-point type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    /// IEEE half precision.
    F16,
    /// Brain floating point.
    Bf16,
    /// Single precision.
    F32,
}

/// `trainer export`, `trainer quantize`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Model: a path, a short name, or owner/name on the hub.
    #[arg(long, visible_alias = "model_id", value_name = "REF", default_value = llama::hub::catalog::DEFAULT_MODEL)]
    pub model: String,
    /// Adapter to merge before.
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// File for a GGUF, or new folder for NF4.
    #[arg(long, value_name = "FILE.gguf")]
    pub output: PathBuf,
    /// Format: F16, Q8_0, Q4_0, Q4_1, Q4_K_M, Q5_K_M or Q6_K of GGUF, or NF4 in safetensors.
    #[arg(long = "type", value_name = "TYPE", value_parser = format)]
    pub format: ExportFormat,
}

/// What a model is exported to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// A GGUF file.
    Gguf(Recipe),
    /// bitsandbytes' 4-bit NormalFloat in safetensors.
    Nf4,
}

fn format(name: &str) -> Result<ExportFormat, String> {
    if name.eq_ignore_ascii_case("nf4") {
        return Ok(ExportFormat::Nf4);
    }
    name.parse().map(ExportFormat::Gguf).map_err(|error| format!("{error}, NF4"))
}

/// A whole number of at least `least`.
fn at_least<T: TryFrom<u64> + Clone + Send + Sync + 'static>(least: u64) -> RangedU64ValueParser<T> {
    RangedU64ValueParser::new().range(least..)
}

fn positive(text: &str) -> Result<f64, String> {
    number(text, |number| number > 0.0, "a number above 0")
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text, |number| number >= 0.0, "a number of at least 0")
}

fn share(text: &str) -> Result<f64, String> {
    number(text, |number| (0.0..1.0).contains(&number), "a number from 0 to below 1")
}

fn number(text: &str, fits: fn(f64) -> bool, wanted: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if f64::is_finite(number) && fits(number) => Ok(number),
        _ => Err(format!("{wanted} is wanted")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn train(flags: &str) -> Result<TrainArgs, clap::Error> {
        let words = "trainer train --data d.csv".split(' ').chain(flags.split_whitespace());
        match Cli::try_parse_from(words)?.command {
            Command::Train(args) => Ok(*args),
            _ => unreachable!(),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_the_first_users() {
        let args = train("").unwrap();
        assert_eq!((args.lora_r, args.lora_alpha, args.lora_dropout), (8, 32.0, None));
        assert_eq!(args.target_modules, ["q_proj", "v_proj"]);
        assert_eq!((args.lr, args.batch_size, args.grad_accum, args.epochs, args.seed), (2e-4, 4, 4, 3, 42));
        assert_eq!((args.max_length, args.base, args.output), (512, None, PathBuf::from("adapter")));
    }

    #[test]
    fn the_first_users_names_work() {
        let args = Cli::try_parse_from(
            "trainer train --model_id m --train_data t --epochs 1 --per_device_train_batch_size 2 --lr 1e-4"
                .split(' '),
        );
        let Command::Train(args) = args.unwrap().command else { unreachable!() };
        assert_eq!((args.model.as_str(), args.data, args.batch_size), ("m", PathBuf::from("t"), 2));
    }

    #[test]
    fn optimizers_have_transformers_names() {
        assert_eq!(train("").unwrap().optim, Optim::AdamwTorch);
        for (name, optim) in [
            ("adamw_torch", Optim::AdamwTorch),
            ("adamw_8bit", Optim::Adamw8bit),
            ("adamw_bnb_8bit", Optim::Adamw8bit),
        ] {
            assert_eq!(train(&format!("--optim {name}")).unwrap().optim, optim);
        }
        assert_eq!(
            Optim::value_variants().iter().map(|optim| optim.name()).collect::<Vec<_>>(),
            Optim::value_variants()
                .iter()
                .map(|optim| optim.to_possible_value().unwrap().get_name().to_owned())
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn transformers_names_work() {
        let args = train("--lr_scheduler_type cosine --warmup_ratio 0.1 --eval_steps 5 --save_total_limit 1");
        let run = args.unwrap().run;
        assert_eq!(
            (run.lr_scheduler, run.eval_steps, run.save_total_limit),
            (LrScheduler::Cosine, Some(5), 1)
        );
        assert_eq!([1, 10, 11].map(|total| run.warmup(total)), [1, 1, 2], "rounded up");
        let plain = train("").unwrap().run;
        assert_eq!((plain.lr_scheduler, plain.warmup(100)), (LrScheduler::Constant, 0));
    }

    #[test]
    fn quantize_is_export() {
        for command in ["export", "quantize"] {
            let line = format!("trainer {command} --model m --output o --type q4_k_m");
            let Command::Export(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
                unreachable!()
            };
            assert_eq!((args.adapter, args.format), (None, ExportFormat::Gguf(Recipe::Q4_K_M)));
        }
        let error = Cli::try_parse_from("trainer export --output o --type Q3".split(' ')).unwrap_err();
        assert!(error.to_string().contains("is none of F16, Q8_0, Q4_0, Q4_1, Q4_K_M, Q5_K_M, Q6_K, NF4"));
    }

    #[test]
    fn data_is_made_for_a_file_or_a_check() {
        let data =
            |flags: &str| Cli::try_parse_from("trainer data".split(' ').chain(flags.split_whitespace()));
        let Command::Data(args) = data("--output o --articles a b").unwrap().command else { unreachable!() };
        assert_eq!(
            (args.articles.len(), args.rows, args.refusals, args.language_share),
            (2, 5000, 0.13, 0.06)
        );
        assert!(data("--check").is_ok() && data("--evidence e").is_ok());
        for flags in
            ["", "--output o --refusals 1", "--output o --rows 0", "--output o --held-out-articles -1"]
        {
            assert!(data(flags).is_err(), "{flags}");
        }
    }

    #[test]
    fn numbers_out_of_range_and_contradictions_are_refused() {
        for flags in [
            "--epochs 0",
            "--epochs 1 --max-steps 1",
            "--batch-size 0",
            "--lr -1",
            "--lr nan",
            "--validation-split 1",
            "--lora-dropout 1",
            "--max-length 1",
            "--base f16",
            "--init-adapter a --lora-r 4",
            "--optim sgd",
            "--columns question",
            "--prompt-format chatml",
            "--split none",
            "--warmup-steps 1 --warmup-ratio 0.1",
            "--early-stopping-patience 1",
            "--lr-scheduler step",
            "--save-total-limit 0",
        ] {
            assert!(train(flags).is_err(), "{flags}");
        }
        let args = train("--init-adapter a --lora-dropout 0 --max-steps 16 --max-grad-norm 0").unwrap();
        assert_eq!((args.lora_dropout, args.max_steps, args.max_grad_norm), (Some(0.0), Some(16), 0.0));
    }
}
