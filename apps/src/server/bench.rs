//! `server bench`: speed of the engine, measured as llama.cpp's `llama-bench` measures its own.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{bail, ensure};
use engine::device::Device;
use engine::{EngineError, Llama, LlamaConfig, threads};
use llama::{Adapter, CachedLlama, Checkpoint, LanguageModel, LlamaError, SequencePart, hub};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use crate::cli::{BenchArgs, CacheType};
use crate::peak_memory;

/// Most prompt tokens of one forward pass, llama-bench's `n_ubatch`.
const CHUNK: usize = 512;

/// Measures what the command line asks and prints a row for each model, number of threads and test.
///
/// # Errors
/// If a model or the adapter cannot be loaded, or a test does not fit a model's context or the machine.
pub fn run(arguments: &BenchArgs) -> anyhow::Result<()> {
    let device = engine::device::parse(&arguments.device)?;
    let tests = tests(arguments);
    ensure!(!tests.is_empty(), "-p 0 and -n 0 leave nothing to measure");
    let counts = thread_counts(arguments, threads::get())?;
    // Every model is checked before the first is measured.
    for reference in &arguments.model {
        let checkpoint = Checkpoint::open(&hub::resolve(reference)?)?;
        check_context(&tests, checkpoint.config(), checkpoint.path())?;
    }

    let names = arguments.model.iter().map(|name| name.chars().count());
    let width = names.chain([HEADER[0].len()]).max().unwrap_or_default();
    let mut rows = Vec::new();
    for reference in &arguments.model {
        eprintln!("loading model {reference} on {}", arguments.device);
        let path = hub::resolve(reference)?;
        threads::set(0); // undo the last setting of the model before
        let start = Instant::now();
        let llama = load(&path, arguments.adapter.as_deref(), &device)?;
        let positions = tests.iter().map(|test| test.tokens()).max().unwrap_or_default();
        let kept = CacheType::on(arguments.cache_type, llama.device())?;
        let mut model = CachedLlama::new(llama, positions, kept);
        let load_s = start.elapsed().as_secs_f64();
        for &count in &counts {
            threads::set(count);
            // burn's own ops, such as products with unquantized weights, run on rayon's threads instead.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build()?;
            for &test in &tests {
                let samples = pool.install(|| measure(&mut model, test, arguments.repetitions))?;
                let speed = Speed::of(samples);
                let row = BenchRow::new([reference, &arguments.device], test, count, speed, load_s);
                if !arguments.json {
                    if rows.is_empty() {
                        print(&line(width, HEADER))?;
                    }
                    print(&row.line(width))?;
                }
                rows.push(row);
            }
        }
    }
    if arguments.json {
        print(&serde_json::to_string_pretty(&rows)?)?;
    }
    Ok(())
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    /// Reads a prompt of this many tokens, in chunks of at most 512, with logits of its last token only.
    Prompt(usize),
    /// Generates this many tokens one by one, each with its logits.
    Generation(usize),
}

impl Test {
    fn tokens(self) -> usize {
        match self {
            Self::Prompt(tokens) | Self::Generation(tokens) => tokens,
        }
    }
}

/// llama-bench's names: `pp512` (prompt processing), `tg128` (text generation).
impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prompt(tokens) => write!(f, "pp{tokens}"),
            Self::Generation(tokens) => write!(f, "tg{tokens}"),
        }
    }
}

/// The tests that the command line asks for, in llama-bench's order; 0 tokens are no test.
fn tests(arguments: &BenchArgs) -> Vec<Test> {
    let prompts = arguments.n_prompt.iter().map(|&tokens| Test::Prompt(tokens));
    let generations = arguments.n_gen.iter().map(|&tokens| Test::Generation(tokens));
    prompts.chain(generations).filter(|test| test.tokens() > 0).collect()
}

/// The numbers of threads to measure with, on a machine that has `machine`.
fn thread_counts(arguments: &BenchArgs, machine: usize) -> anyhow::Result<Vec<usize>> {
    if arguments.threads.is_empty() {
        return Ok(vec![machine]);
    }
    if let Some(count) = arguments.threads.iter().find(|&&count| count > machine) {
        // The kernels would use fewer threads than the row says.
        bail!("-t {count} is more than the {machine} threads of this machine");
    }
    Ok(arguments.threads.clone())
}

fn check_context(tests: &[Test], config: &LlamaConfig, path: &Path) -> anyhow::Result<()> {
    let context = config.max_position_embeddings;
    if let Some(test) = tests.iter().find(|test| test.tokens() > context) {
        bail!("{}: {test} is longer than the model's context of {context} tokens", path.display());
    }
    Ok(())
}

/// Loads the weights alone: random tokens need neither tokenizer nor chat template.
fn load(path: &Path, adapter: Option<&Path>, device: &Device) -> Result<Llama, LlamaError> {
    let checkpoint = Checkpoint::open(path)?;
    let mut llama = Llama::load(checkpoint.config().clone(), &mut checkpoint.weights(device), device)?;
    if let Some(folder) = adapter {
        Adapter::load_onto(folder, &mut llama, path)?;
    }
    Ok(llama)
}

/// Tokens per second of each repetition, after llama-bench's warm-up: the whole prompt, or one token.
fn measure<M: LanguageModel>(model: &mut M, test: Test, repetitions: usize) -> Result<Vec<f64>, EngineError> {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let vocab_size = model.vocab_size() as u32;
    let tokens: Vec<u32> = (0..test.tokens()).map(|_| random.next_u32() % vocab_size).collect();
    let warm_up = match test {
        Test::Prompt(_) => tokens.as_slice(),
        Test::Generation(_) => &tokens[..1],
    };
    compute(model, test, warm_up)?;
    let repetition = |_| {
        let start = Instant::now();
        compute(model, test, &tokens)?;
        Ok(tokens.len() as f64 / start.elapsed().as_secs_f64())
    };
    (0..repetitions).map(repetition).collect()
}

/// Computes a sequence of `tokens` from its start.
fn compute<M: LanguageModel>(model: &mut M, test: Test, tokens: &[u32]) -> Result<(), EngineError> {
    let (chunk, every) = match test {
        Test::Prompt(_) => (CHUNK, false),
        Test::Generation(_) => (1, true),
    };
    let chunks = tokens.len().div_ceil(chunk);
    let (sequence, _) = model.open(model.default_adapter(), &[]); // no tokens, so that no prefix of an earlier repetition is reused
    let done = tokens.chunks(chunk).zip(1..).try_for_each(|(tokens, number)| {
        let outputs = usize::from(every || number == chunks);
        model.step(&[SequencePart { sequence, tokens, outputs }]).map(drop)
    });
    model.close(sequence);
    done
}

/// Tokens per second over the repetitions of a test.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Speed {
    median: f64,
    min: f64,
    max: f64,
}

impl Speed {
    /// Needs at least one repetition.
    fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let (middle, last) = (samples.len() / 2, samples.len() - 1);
        Self { median: (samples[middle] + samples[last - middle]) / 2.0, min: samples[0], max: samples[last] }
    }
}

/// A line of the report.
#[derive(Debug, Serialize)]
struct BenchRow {
    /// The reference that the command line gave.
    model: String,
    device: String,
    test: String,
    threads: usize,
    tok_s_median: f64,
    tok_s_min: f64,
    tok_s_max: f64,
    /// Peak of the process so far, which includes earlier models; `None` if the system does not tell.
    peak_rss_mib: Option<f64>,
    /// Seconds from the start of loading until the model is usable.
    load_s: f64,
}

impl BenchRow {
    fn new([model, device]: [&str; 2], test: Test, threads: usize, speed: Speed, load_s: f64) -> Self {
        Self {
            model: model.into(),
            device: device.into(),
            test: test.to_string(),
            threads,
            tok_s_median: speed.median,
            tok_s_min: speed.min,
            tok_s_max: speed.max,
            peak_rss_mib: peak_memory::mib(),
            load_s,
        }
    }

    fn line(&self, width: usize) -> String {
        let number = |value: f64| format!("{value:.2}");
        line(
            width,
            [
                &self.model,
                &self.test,
                &self.threads.to_string(),
                &number(self.tok_s_median),
                &number(self.tok_s_min),
                &number(self.tok_s_max),
                &self.peak_rss_mib.map_or("-".into(), number),
                &number(self.load_s),
            ],
        )
    }
}

const HEADER: [&str; 8] = ["model", "test", "threads", "tok/s", "min", "max", "peak MiB", "load s"];

/// Pads cells to columns; the first is `width` wide.
fn line(width: usize, [model, test, threads, median, min, max, peak, load]: [&str; 8]) -> String {
    format!("{model:width$}  {test:8} {threads:>7} {median:>10} {min:>10} {max:>10} {peak:>9} {load:>7}")
}

fn print(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use engine::AdapterId;

    use super::*;
    use crate::cli::{Cli, Command};

    fn arguments(line: &str) -> BenchArgs {
        match Cli::parse_from(["server", "bench"].into_iter().chain(line.split_whitespace())).command {
            Some(Command::Bench(arguments)) => arguments,
            other => panic!("{other:?}"),
        }
    }

    /// Lengths of the chunks of every sequence, and which of them gave logits.
    #[derive(Default)]
    struct Recorder {
        sequences: Vec<Vec<(usize, bool)>>,
        open: bool,
        tokens: Vec<u32>,
    }

    impl LanguageModel for Recorder {
        type Sequence = usize;

        fn vocab_size(&self) -> usize {
            7
        }

        fn context_length(&self) -> usize {
            2048
        }

        fn block_len(&self) -> usize {
            1
        }

        fn free_blocks(&self) -> usize {
            2048
        }

        fn open(&mut self, _adapter: Option<AdapterId>, _tokens: &[u32]) -> (usize, usize) {
            assert!(!self.open, "the sequence before this one was not closed");
            self.open = true;
            self.sequences.push(Vec::new());
            (self.sequences.len() - 1, 0)
        }

        fn truncate(&mut self, _sequence: usize, _len: usize) -> Result<(), EngineError> {
            unreachable!("a bench guesses nothing")
        }

        fn reset(&mut self) {}

        fn load_adapter(&mut self, _adapter: Adapter) -> Result<AdapterId, EngineError> {
            unreachable!("a bench loads none")
        }

        fn unload_adapter(&mut self, _adapter: AdapterId) {}

        fn close(&mut self, _sequence: usize) {
            self.open = false;
        }

        fn step(&mut self, parts: &[SequencePart<'_, usize>]) -> Result<Vec<f32>, EngineError> {
            for part in parts {
                self.sequences[part.sequence].push((part.tokens.len(), part.outputs > 0));
                self.tokens.extend(part.tokens);
            }
            Ok(Vec::new())
        }
    }

    fn recorded(test: Test, repetitions: usize) -> (Vec<Vec<(usize, bool)>>, Vec<u32>) {
        let mut model = Recorder::default();
        assert_eq!(measure(&mut model, test, repetitions).unwrap().len(), repetitions);
        assert!(!model.open);
        (model.sequences, model.tokens)
    }

    #[test]
    fn a_prompt_goes_through_in_chunks_and_a_generation_token_by_token() {
        let prompt = vec![(512, false), (512, false), (6, true)];
        let (sequences, tokens) = recorded(Test::Prompt(1030), 2);
        assert_eq!(sequences, [prompt.clone(), prompt.clone(), prompt]);
        assert!((0..7).all(|token| tokens.contains(&token)) && tokens.iter().all(|&token| token < 7));

        let (sequences, _) = recorded(Test::Generation(3), 1);
        assert_eq!(sequences, [vec![(1, true)], vec![(1, true); 3]]);
    }

    #[test]
    fn the_tests_are_those_of_llama_bench() {
        let names = |line: &str| tests(&arguments(line)).iter().map(Test::to_string).collect::<Vec<_>>();
        assert_eq!(names(""), ["pp512", "tg128"]);
        assert_eq!(names("-p 128,0,512 -n 64 -n 32"), ["pp128", "pp512", "tg64", "tg32"]);
        assert_eq!(names("-p 0"), ["tg128"]);
        assert_eq!(names("-p 0 -n 0"), Vec::<String>::new());
    }

    #[test]
    fn threads_are_all_or_those_asked_for() {
        assert_eq!(thread_counts(&arguments(""), 4).unwrap(), [4]);
        assert_eq!(thread_counts(&arguments("-t 1,4"), 4).unwrap(), [1, 4]);
        let error = thread_counts(&arguments("-t 1,5"), 4).unwrap_err().to_string();
        assert_eq!(error, "-t 5 is more than the 4 threads of this machine");
    }

    #[test]
    fn the_median_lies_in_the_middle() {
        let speed = |samples: &[f64]| Speed::of(samples.to_vec());
        assert_eq!(speed(&[7.0]), Speed { median: 7.0, min: 7.0, max: 7.0 });
        assert_eq!(speed(&[9.0, 1.0, 2.0]), Speed { median: 2.0, min: 1.0, max: 9.0 });
        assert_eq!(speed(&[9.0, 1.0, 2.0, 4.0]), Speed { median: 3.0, min: 1.0, max: 9.0 });
    }

    #[test]
    fn a_row_is_json_or_a_line_under_the_header() {
        let speed = Speed { median: 20.5, min: 19.0, max: 1234.5 };
        let mut row = BenchRow::new(["m.gguf", "cpu"], Test::Prompt(512), 2, speed, 0.25);
        row.peak_rss_mib = None;
        assert_eq!(
            serde_json::to_value(&row).unwrap(),
            json!({
                "model": "m.gguf", "device": "cpu", "test": "pp512", "threads": 2, "tok_s_median": 20.5, "tok_s_min": 19.0,
                "tok_s_max": 1234.5, "peak_rss_mib": null, "load_s": 0.25,
            })
        );
        let (header, line) = (line(8, HEADER), row.line(8));
        assert_eq!(line.split_whitespace().collect::<Vec<_>>().join(" "), {
            "m.gguf pp512 2 20.50 19.00 1234.50 - 0.25"
        });
        assert_eq!(header.len(), line.len());
        assert_eq!(header.find("tok/s"), line.find("20.50"));
    }
}
