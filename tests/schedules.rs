//! The promise of the scheduler: a request gives the same tokens whoever shares the batch, the cache and the threads,
//! under whatever adapter, guessed or not, set back or not.

use burn::tensor::{Device, Tensor, TensorData};
use engine::quant::Format;
use engine::{
    AdapterId, AttentionBias, CacheType, EngineError, Llama, LlamaConfig, LoraConfig, LoraWeights,
    QuantizedMatrix, RopeScaling, SequenceId, Weight, WeightSource, threads,
};
use llama::{
    Adapter, AdapterChoice, CachedLlama, FinishReason, Generate, LanguageModel, Limits, Request, Sampling,
    Scheduler, SequencePart, Tokenizer, generate,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const SCHEDULES: u64 = 200;
const VOCAB: usize = 258; // of the fixture's tokenizer

fn device() -> Device {
    engine::device::parse(engine::device::AVAILABLE[0]).expect("a backend")
}

/// Numbers in ±scale, by a name.
fn random(name: &str, len: usize, scale: f32) -> Vec<f32> {
    let seed = name.bytes().fold(17, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| (rng.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0) * scale).collect()
}

struct RandomWeights(Option<Format>);

impl WeightSource for RandomWeights {
    type Error = EngineError;

    fn contains(&self, _name: &str) -> bool {
        true
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, EngineError> {
        let values = random(name, shape[0] * shape[1], 0.4);
        Ok(match self.0 {
            Some(format) => Weight::Quantized(QuantizedMatrix::quantize(format, shape, &values, &device())?),
            None => Weight::Dense(Tensor::from_data(TensorData::new(values, shape), &device())),
        })
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, EngineError> {
        let values = random(name, len, 0.2).into_iter().map(|value| 1.0 + value).collect();
        Ok(Tensor::from_data(TensorData::new(values, [len]), &device()))
    }
}

fn model(format: Option<Format>) -> Llama {
    let config = LlamaConfig {
        vocab_size: VOCAB,
        hidden_size: 64,
        intermediate_size: 128,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 16,
        max_position_embeddings: 256,
        rms_norm_eps: 1e-5,
        rope_theta: 10000.0,
        rope_scaling: RopeScaling::None,
        sliding_window: None,
        tie_word_embeddings: true,
        attention_bias: AttentionBias::None,
        mlp_bias: false,
    };
    Llama::load(config, &mut RandomWeights(format), &device()).expect("a model")
}

/// Adapter number `number`, which changes what the model says; with DoRA or without.
fn adapter(llama: &Llama, number: usize, use_dora: bool) -> Adapter {
    let config = LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        target_modules: ["q_proj", "v_proj", "down_proj"].map(String::from).into(),
        use_dora,
        ..LoraConfig::default()
    };
    let mut fresh = llama.clone();
    fresh.init_lora(&config, number as u64).expect("an adapter");
    let (config, weights) = fresh.lora().expect("the adapter");
    let with_b = |weights: LoraWeights| {
        let [out, r] = weights.b.dims();
        let values = random(&format!("{number} {}", weights.module), out * r, 0.3);
        LoraWeights { b: Tensor::from_data(TensorData::new(values, [out, r]), &device()), ..weights }
    };
    Adapter {
        config: config.clone(),
        weights: weights.into_iter().map(with_b).collect(),
        base_model: None,
        chat_template: None,
    }
}

fn tokenizer() -> Tokenizer {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/letters");
    Tokenizer::from_dir(folder.as_ref()).expect("the fixture's tokenizer")
}

/// What is asked, apart from the adapter.
#[derive(Debug, Clone)]
struct Question {
    /// 0: the base; 1, 2: an adapter.
    under: usize,
    request: Request,
}

/// A prompt of its own, or one that begins as others do and says some of it twice.
fn question(rng: &mut ChaCha8Rng) -> Question {
    let mut below = |n: u32| (rng.next_u32() % n) as usize;
    let shared = below(4);
    let mut prompt: Vec<u32> = match shared {
        3 => Vec::new(),
        _ => random(&format!("prefix {shared}"), 40 + 30 * shared, 1.0)
            .into_iter()
            .map(|value| (value.abs() * 9.0) as u32 + 97)
            .collect(),
    };
    prompt.extend((0..1 + below(20)).map(|_| 97 + below(9) as u32));
    let sampling = match below(2) {
        0 => Sampling::default(),
        _ => Sampling { temperature: 0.7, top_p: 0.9, seed: below(50) as u64, ..Sampling::default() },
    };
    let speculate = below(4) > 0;
    let under = below(3);
    let request = Request { sampling, speculate, ignore_eos: true, ..Request::new(prompt, 2 + below(14)) };
    Question { under, request }
}

type Said = Vec<(u32, String, Option<FinishReason>)>;

/// The answer alone, in an empty cache, without guesses, on one thread.
fn alone(model: &Llama, adapters: &[Adapter; 2], question: &Question) -> Said {
    threads::set(1);
    let mut llama = model.clone();
    if let Some(adapter) = question.under.checked_sub(1).map(|number| &adapters[number]) {
        llama.attach_lora(&adapter.config, adapter.weights.clone()).expect("its own adapter");
    }
    let mut cached = CachedLlama::new(llama, 256, CacheType::F16);
    let request = Request { speculate: false, ..question.request.clone() };
    let tokens: Generate<_> = generate(&mut cached, &tokenizer(), request).expect("a good request");
    tokens.map(|token| token.expect("a token")).map(|token| (token.id, token.text, token.finish)).collect()
}

/// Schedules drawn at random, all answers compared.
fn schedules(format: Option<Format>, use_dora: bool, seeds: std::ops::Range<u64>) {
    let llama = model(format);
    let adapters = [1, 2].map(|number| adapter(&llama, number, use_dora));
    let mut known = std::collections::HashMap::new();
    for seed in seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut below = |n: u32| (rng.next_u32() % n) as usize;
        let limits = Limits {
            running: 1 + below(7),
            queue: 64,
            prefill_tokens: [5, 16, 33, 256][below(4)],
            speculated_rows: [0, 4, 12][below(3)],
        };
        // From hardly more than one sequence, so that answers are set back, to plenty.
        let positions = [160, 256, 1024][below(3)];
        let (thread_count, wave) = (1 + below(2), 1 + below(6));
        let questions: Vec<Question> = (0..4 + below(6)).map(|_| question(&mut rng)).collect();
        let expected: Vec<Said> = questions
            .iter()
            .map(|question| {
                let key = format!("{question:?}");
                known.entry(key).or_insert_with(|| alone(&llama, &adapters, question)).clone()
            })
            .collect();

        threads::set(thread_count);
        let cached = CachedLlama::new(llama.clone(), positions, CacheType::F16);
        let scheduler = Scheduler::start(cached, tokenizer(), limits).expect("a thread");
        let [a, b] = adapters.clone().map(|adapter| scheduler.load_adapter(adapter).expect("it fits"));
        let choice = |under| match under {
            0 => AdapterChoice::Base,
            1 => AdapterChoice::Loaded(a.clone()),
            _ => AdapterChoice::Loaded(b.clone()),
        };
        // Waves: the first answers are under way when the next requests come.
        let mut said: Vec<Said> = vec![Vec::new(); questions.len()];
        let mut streams = Vec::new();
        for (index, question) in questions.iter().enumerate() {
            let request = Request { adapter: choice(question.under), ..question.request.clone() };
            streams.push((index, scheduler.stream(request).expect("room in the queue")));
            if (index + 1) % wave == 0 {
                for (index, stream) in &mut streams {
                    let next = stream.next().map(|token| token.expect("a token"));
                    said[*index].extend(next.map(|token| (token.id, token.text, token.finish)));
                }
            }
        }
        for (index, stream) in streams {
            let rest = stream.map(|token| token.expect("a token"));
            said[index].extend(rest.map(|token| (token.id, token.text, token.finish)));
        }
        for (index, (said, expected)) in said.iter().zip(&expected).enumerate() {
            assert_eq!(
                said, expected,
                "schedule {seed}, {limits:?}, request {index}: {:?}",
                questions[index]
            );
        }
    }
    threads::set(0);
}

/// One after the other, since the number of threads is the process's: quantized, dense, and DoRA on both.
#[test]
fn the_same_request_gives_the_same_tokens_in_any_schedule() {
    let quarter = SCHEDULES / 4;
    schedules(Some(Format::Q8_0), false, 0..quarter);
    schedules(None, false, quarter..2 * quarter);
    schedules(Some(Format::NF4), true, 2 * quarter..3 * quarter);
    schedules(None, true, 3 * quarter..SCHEDULES);
}

/// A model that notes which adapters are unloaded.
struct Watched(CachedLlama, std::sync::mpsc::Sender<AdapterId>);

impl LanguageModel for Watched {
    type Sequence = SequenceId;

    fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }

    fn context_length(&self) -> usize {
        self.0.context_length()
    }

    fn block_len(&self) -> usize {
        self.0.block_len()
    }

    fn free_blocks(&self) -> usize {
        self.0.free_blocks()
    }

    fn open(&mut self, adapter: Option<AdapterId>, tokens: &[u32]) -> (SequenceId, usize) {
        self.0.open(adapter, tokens)
    }

    fn close(&mut self, sequence: SequenceId) {
        self.0.close(sequence);
    }

    fn truncate(&mut self, sequence: SequenceId, len: usize) -> Result<(), EngineError> {
        self.0.truncate(sequence, len)
    }

    fn step(&mut self, parts: &[SequencePart<'_, SequenceId>]) -> Result<Vec<f32>, EngineError> {
        self.0.step(parts)
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn load_adapter(&mut self, adapter: Adapter) -> Result<AdapterId, EngineError> {
        self.0.load_adapter(adapter)
    }

    fn unload_adapter(&mut self, adapter: AdapterId) {
        self.0.unload_adapter(adapter);
        self.1.send(adapter).expect("the test listens");
    }
}

#[test]
fn an_adapter_is_unloaded_when_its_last_user_is_done() {
    let llama = model(Some(Format::Q8_0));
    let (sender, unloaded) = std::sync::mpsc::channel();
    let watched = Watched(CachedLlama::new(llama.clone(), 256, CacheType::F16), sender);
    let scheduler = Scheduler::start(watched, tokenizer(), Limits::default()).expect("a thread");
    let a = scheduler.load_adapter(adapter(&llama, 1, false)).expect("it fits");
    let request = Request { ignore_eos: true, ..Request::new(vec![97; 40], 60) };
    let mut stream =
        scheduler.stream(Request { adapter: AdapterChoice::Loaded(a), ..request.clone() }).expect("room");
    stream.next().expect("a first token").expect("no error");
    assert!(unloaded.try_recv().is_err(), "a request is under way");
    stream.for_each(drop);
    let next = scheduler.stream(request).expect("room"); // the model looks when it is busy again
    next.for_each(drop);
    unloaded.recv().expect("the adapter");
    let unfit = Adapter { weights: Vec::new(), ..adapter(&llama, 2, false) };
    let error = scheduler.load_adapter(unfit).expect_err("no weights");
    assert!(error.to_string().contains("no projection of this model"), "{error}");
}
