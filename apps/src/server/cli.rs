//! The command line.

mod http;
mod requests;
mod store;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use engine::device::Device;
use llama::hub::catalog::{DEFAULT_EMBEDDER, DEFAULT_MODEL};
use llama::{Limits, SPECULATED_ROWS};

pub use http::HttpArgs;
pub use requests::RequestArgs;
pub use store::{KeysArgs, KeysCommand, StoreArgs};

use crate::devices::device;

/// A customer-support assistant: answers over HTTP, grounded in a knowledge base.
#[derive(Debug, Parser)]
#[command(name = "server", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; `serve` if it is left out.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The arguments of `serve`, where it is left out.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one a process")]
pub enum Command {
    /// Answer over HTTP (the default)
    Serve(ServeArgs),
    /// Answer one prompt, or a file of them
    Generate(GenerateArgs),
    /// Measure tokens per second and memory, as llama.cpp's llama-bench does
    Bench(BenchArgs),
    /// Measure how well the knowledge base's documents are found, or its questions answered, on questions
    /// with known answers
    Eval(EvalArgs),
    /// Learn which sentences answer a question, and when none does
    Calibrate(CalibrateArgs),
    /// Make, list and revoke the keys that callers need
    Keys(KeysArgs),
}

/// Which model answers.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Model: a folder, a .gguf or .safetensors file, owner/name[@revision] on the hub, or a catalog
    /// name [default: smollm2-135m; for the sample's knowledge with the shipped adapter]
    #[arg(long, value_name = "REF")]
    pub model: Option<String>,
    /// LoRA adapter in PEFT's files, or `none`
    #[arg(long, value_name = "DIR|none")]
    pub adapter: Option<String>,
    /// Where to compute: cpu, ndarray, wgpu[:N], metal[:N] or cuda[:N], as far as this build has them;
    /// `list` shows what this machine has
    #[arg(long, default_value = engine::device::AVAILABLE[0], value_parser = device)]
    pub device: String,
    /// Tokens that the key/value cache holds, over all requests [default: the model's context length,
    /// at most 8192]
    #[arg(long, value_name = "TOKENS", value_parser = positive)]
    pub context: Option<usize>,
    /// Numbers that the key/value cache keeps [default: f16, or f32 where the device has no 16-bit floats]
    #[arg(long, value_name = "TYPE", value_enum)]
    pub cache_type: Option<CacheType>,
    /// Tokens of a step up to which more are guessed from the prompt and checked along, which answers the same in
    /// less time where they copy from it; 0 guesses nothing
    #[arg(long, value_name = "N", default_value_t = SPECULATED_ROWS)]
    pub speculate: usize,
}

impl ModelArgs {
    /// What is to be loaded, as it was named.
    pub fn reference(&self) -> &str {
        self.model.as_deref().unwrap_or(DEFAULT_MODEL)
    }

    /// How much the scheduler takes on.
    pub fn limits(&self) -> Limits {
        Limits { speculated_rows: self.speculate, ..Limits::default() }
    }
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub knowledge: KnowledgeArgs,
    #[command(flatten)]
    pub requests: RequestArgs,
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub http: HttpArgs,
}

/// What answers rest on.
#[derive(Debug, Args)]
pub struct KnowledgeArgs {
    /// Folder or file of documents that answers rest on (Markdown, text, HTML, JSONL, JSON, CSV), or
    /// `none` [default: the shipped sample]
    #[arg(long, value_name = "PATH|none")]
    pub knowledge: Option<String>,
    /// Embedder: all-minilm-l6-v2 (English), multilingual-e5-small, a folder, or owner/name[@revision] on the hub: a
    /// BERT or RoBERTa in sentence-transformers' files [default: all-minilm-l6-v2]
    #[arg(long, value_name = "REF")]
    pub embedder: Option<String>,
    /// Stop if a document cannot be read, instead of leaving it out
    #[arg(long)]
    pub strict: bool,
    /// Answer nothing where the articles hold no answer with a higher probability than this
    /// [default: 0.5]
    #[arg(long, value_name = "0..1", value_parser = share)]
    pub max_doubt: Option<f32>,
    /// The company's name in fixed texts, such as greetings
    #[arg(long, value_name = "NAME")]
    pub company: Option<String>,
    /// More examples of messages that are no questions: a line {"text": …, "intent": …, "language": …} each
    #[arg(long, value_name = "FILE.jsonl")]
    pub intents: Option<PathBuf>,
    /// Fixed texts in place of the shipped ones: {"greeting": {"en": …}, "no_answer": …}
    #[arg(long, value_name = "FILE.json")]
    pub replies: Option<PathBuf>,
    /// Weights of evidence that `calibrate` wrote [default: the shipped ones of the embedder]
    #[arg(long, value_name = "FILE.json")]
    pub evidence: Option<PathBuf>,
    /// Have the likeliest sentences read again by a cross-encoder, which refuses more and takes longer: the folder of
    /// an adapter on all-minilm-l6-v2, such as apps/assets/reranker
    #[arg(long, value_name = "DIR")]
    pub reranker: Option<PathBuf>,
}

impl KnowledgeArgs {
    /// Whether documents other than the sample's are named.
    pub fn is_own(&self) -> bool {
        self.knowledge.as_deref().is_some_and(|knowledge| knowledge != "none")
    }
}

/// Arguments of `calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Questions with passages and the sentences that answer them, as `trainer data --evidence` writes them
    #[arg(long, value_name = "FILE.jsonl")]
    pub data: PathBuf,
    /// Where the weights go
    #[arg(long, value_name = "FILE.json", required_unless_present = "reranker")]
    pub output: Option<PathBuf>,
    /// Keep the embedder's weights, and learn how much the scores of this cross-encoder weigh, on questions that it did
    /// not learn from: writes DIR/reranking.json
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    pub reranker: Option<PathBuf>,
    /// Weights of evidence that the cross-encoder is used with [default: the shipped ones of the embedder]
    #[arg(long, value_name = "FILE.json", requires = "reranker")]
    pub evidence: Option<PathBuf>,
    /// Embedder: all-minilm-l6-v2 (English), multilingual-e5-small, a folder, or owner/name[@revision] on the hub: a
    /// BERT or RoBERTa in sentence-transformers' files
    #[arg(long, value_name = "REF", default_value = DEFAULT_EMBEDDER)]
    pub embedder: String,
    /// Questions of each article that are learned from, at most; each is asked in a knowledge base of its own
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = positive)]
    pub rounds: usize,
    /// Write every question with the sentences that were read for it, and which of them answer it, as
    /// rag/assets/reranker_train.py is measured on
    #[arg(long, value_name = "FILE.jsonl")]
    pub found: Option<PathBuf>,
    /// Where to compute: cpu, ndarray, wgpu[:N], metal[:N] or cuda[:N], as far as this build has them;
    /// `list` shows what this machine has
    #[arg(long, default_value = engine::device::AVAILABLE[0], value_parser = device)]
    pub device: String,
}

/// Arguments of `generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub input: Input,
    /// Treat each prompt as a user's message, in the model's chat template, not as raw text
    #[arg(long)]
    pub chat: bool,
    /// Most tokens per answer
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = positive)]
    pub max_tokens: usize,
    /// 0 takes the most likely token each time; higher values vary more
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub temperature: f32,
    /// Print a line of JSON per answer: prompt, text, tokens, finish_reason
    #[arg(long)]
    pub json: bool,
}

/// What to answer.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Input {
    /// One prompt
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// A file with a line {"prompt": …} or {"messages": […]} for each answer
    #[arg(long, value_name = "FILE.jsonl")]
    pub input: Option<PathBuf>,
}

/// Arguments of `bench`, under llama-bench's names.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Model, as `serve` takes it; give it several times to compare models
    #[arg(short, long, value_name = "REF", default_value = DEFAULT_MODEL)]
    pub model: Vec<String>,
    /// LoRA adapter in PEFT's files, for every model [default: none]
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// Where to compute: cpu, ndarray, wgpu[:N], metal[:N] or cuda[:N], as far as this build has them;
    /// `list` shows what this machine has
    #[arg(long, default_value = engine::device::AVAILABLE[0], value_parser = device)]
    pub device: String,
    /// Numbers that the key/value cache keeps [default: f16, or f32 where the device has no 16-bit floats]
    #[arg(long, value_name = "TYPE", value_enum)]
    pub cache_type: Option<CacheType>,
    /// Lengths of the prompts to compute; 0 for none
    #[arg(short = 'p', long, value_name = "N", value_delimiter = ',', default_value = "512")]
    pub n_prompt: Vec<usize>,
    /// Numbers of tokens to generate, one by one; 0 for none
    #[arg(short = 'n', long, value_name = "N", value_delimiter = ',', default_value = "128")]
    pub n_gen: Vec<usize>,
    /// Numbers of threads [default: all cores]
    #[arg(short, long, value_name = "N", value_delimiter = ',', value_parser = positive)]
    pub threads: Vec<usize>,
    /// Times that each test is repeated, after a warm-up
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = positive)]
    pub repetitions: usize,
    /// Print an array of JSON: model, device, test, threads, tok_s_median, tok_s_min, tok_s_max, peak_rss_mib (of
    /// the whole process so far), load_s
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Folder or file of the documents, as `serve` takes it
    #[arg(long, value_name = "PATH")]
    pub knowledge: PathBuf,
    /// Embedder: all-minilm-l6-v2 (English), multilingual-e5-small, a folder, or owner/name[@revision] on the hub: a
    /// BERT or RoBERTa in sentence-transformers' files
    #[arg(long, value_name = "REF", default_value = DEFAULT_EMBEDDER)]
    pub embedder: String,
    /// Questions: a line {"_id": …, "text": …} each, and either "documents": [ids] or a file of judgements
    #[arg(long, value_name = "FILE.jsonl", required_unless_present = "answers")]
    pub questions: Option<PathBuf>,
    /// Measure answers instead: a line {"question": …, "kind": …, "must": […], "must_not": […], "expect":
    /// "answer", "refuse", "talk" or "handoff", "history"?: […], "source"?: [files], "id"?, "language"?} each
    #[arg(long, value_name = "FILE.jsonl", conflicts_with_all = ["questions", "qrels", "only", "ablation"])]
    pub answers: Option<PathBuf>,
    /// A cross-encoder that reads the likeliest sentences again, for --answers: the folder of an adapter on
    /// all-minilm-l6-v2
    #[arg(long, value_name = "DIR", requires = "answers")]
    pub reranker: Option<PathBuf>,
    /// Weights of evidence that `calibrate` wrote, for --answers [default: the shipped ones]
    #[arg(long, value_name = "FILE.json", requires = "answers")]
    pub evidence: Option<PathBuf>,
    /// Write each question with its answer here, for --answers
    #[arg(long, value_name = "FILE.jsonl", requires = "answers")]
    pub transcript: Option<PathBuf>,
    /// Judgements: query-id, corpus-id and score a line, after a header [default: qrels.tsv beside the
    /// questions, if it is there]
    #[arg(long, value_name = "FILE.tsv")]
    pub qrels: Option<PathBuf>,
    /// Only the questions that are held out ("held_out": true), or only the others
    #[arg(long, value_enum)]
    pub only: Option<Half>,
    /// Compare ways to rank: rankings alone and fused, their weights, titles in and out of what is
    /// embedded, the mean of a document's vectors mixed in, novelty
    #[arg(long)]
    pub ablation: bool,
    /// Where to compute: cpu, ndarray, wgpu[:N], metal[:N] or cuda[:N], as far as this build has them;
    /// `list` shows what this machine has
    #[arg(long, default_value = engine::device::AVAILABLE[0], value_parser = device)]
    pub device: String,
    /// Print JSON: an array with an object for each row; for --answers {"rows": […], "median_ms": …}
    #[arg(long)]
    pub json: bool,
}

/// One part of the questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Half {
    /// Those to choose settings by
    Chosen,
    /// Those to report on
    HeldOut,
}

/// Numbers that keys and values are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CacheType {
    /// 32-bit floats
    F32,
    /// 16-bit floats: half the memory, faster over long contexts
    F16,
}

impl CacheType {
    /// What was asked for, or the default of the device.
    ///
    /// # Errors
    /// If the device has no such numbers.
    pub fn on(asked: Option<Self>, device: &Device) -> anyhow::Result<engine::CacheType> {
        let kept = match asked {
            Some(Self::F32) => engine::CacheType::F32,
            Some(Self::F16) => engine::CacheType::F16,
            None if engine::CacheType::F16.is_supported(device) => engine::CacheType::F16,
            None => engine::CacheType::F32,
        };
        anyhow::ensure!(
            kept.is_supported(device),
            "--cache-type f16: this device has no 16-bit floats; leave it out, or give f32"
        );
        Ok(kept)
    }
}

fn share(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("it must be a number from 0 to 1".into()),
    }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be 1 or more".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("it must be a whole number".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::ApiSettings;

    fn parse(line: &str) -> Result<Cli, String> {
        Cli::try_parse_from(std::iter::once("server").chain(line.split_whitespace()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default() {
        let cli = parse("").unwrap();
        assert!(cli.command.is_none());
        assert_eq!((cli.serve.http.host.to_string(), cli.serve.http.port), ("127.0.0.1".into(), 8080));
        assert!(!cli.serve.knowledge.strict && parse("--strict").unwrap().serve.knowledge.strict);
        assert_eq!(parse("--max-doubt 0.3").unwrap().serve.knowledge.max_doubt, Some(0.3));
        assert!(parse("--max-doubt 3").unwrap_err().contains("from 0 to 1"));
        assert_eq!(parse("--port 0 --model m").unwrap().serve.http.port, 0);
        let requests =
            parse("--strict-requests --any-model --max-tokens 9").unwrap().serve.requests.settings();
        assert_eq!(
            requests,
            ApiSettings { strict: true, any_model: true, max_tokens: Some(9), ..ApiSettings::default() }
        );
        let Some(Command::Serve(serve)) = parse("serve --model m --host 0.0.0.0 --port 9").unwrap().command
        else {
            panic!("not serve")
        };
        assert_eq!((serve.model.model.as_deref(), serve.http.port), (Some("m"), 9));
    }

    #[test]
    fn generate_takes_a_prompt_or_a_file() {
        let line =
            "generate --model m --adapter none --prompt hello --chat --max-tokens 5 --temperature 0.5 --json";
        let Some(Command::Generate(arguments)) = parse(line).unwrap().command else { panic!("not generate") };
        assert_eq!(arguments.input.prompt.as_deref(), Some("hello"));
        assert_eq!((arguments.chat, arguments.max_tokens, arguments.temperature), (true, 5, 0.5));
        assert!(parse("generate").unwrap_err().contains("--prompt"));
        assert!(parse("generate --prompt a --input b").unwrap_err().contains("cannot be used with"));
        assert!(parse("generate --prompt a --max-tokens 0").unwrap_err().contains("1 or more"));
    }

    #[test]
    fn eval_needs_documents_and_questions() {
        let line = "eval --knowledge kb --questions q.jsonl --only held-out --ablation --json";
        let Some(Command::Eval(arguments)) = parse(line).unwrap().command else { panic!("not eval") };
        assert_eq!((arguments.only, arguments.ablation, arguments.json), (Some(Half::HeldOut), true, true));
        assert_eq!(arguments.embedder, DEFAULT_EMBEDDER);
        assert!(parse("eval --knowledge kb").unwrap_err().contains("--questions"));
        assert!(parse("eval --knowledge kb --answers a --transcript t").is_ok());
        assert!(
            parse("eval --knowledge kb --answers a --questions q")
                .unwrap_err()
                .contains("cannot be used with")
        );
    }

    #[test]
    fn bench_takes_lists_and_several_models() {
        let bench = |line: &str| match parse(line)?.command {
            Some(Command::Bench(arguments)) => Ok(arguments),
            other => Err(format!("{other:?}")),
        };
        let arguments = bench("bench -m a --model b,c -p 128,512 -n 0 -t 1,2 -r 3 --json").unwrap();
        assert_eq!((arguments.model, arguments.n_prompt), (vec!["a".into(), "b,c".into()], vec![128, 512]));
        assert_eq!((arguments.n_gen, arguments.threads), (vec![0], vec![1, 2]));
        assert_eq!((arguments.repetitions, arguments.json), (3, true));
        let arguments = bench("bench").unwrap();
        assert_eq!((arguments.model, arguments.repetitions), (vec![DEFAULT_MODEL.into()], 5));
        for line in ["bench -t 0", "bench -t 1,0", "bench -r 0"] {
            assert!(bench(line).unwrap_err().contains("it must be 1 or more"), "{line}");
        }
        assert!(bench("bench -p many").unwrap_err().contains("'many'"));
    }
}
