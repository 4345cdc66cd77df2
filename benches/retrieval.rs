//! Retrieval without a model: building an index, searching it by vectors and by both, changing it, and
//! fusing rankings. A text names its vector, so that embedding costs little.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use rag::{Document, Embedder, Index, IndexOptions, RagError, Retriever, UnitVector, fuse};

const DIM: usize = 384;
/// Topics that the vectors lie around.
const TOPICS: usize = 100;
/// Dimensions that topics and their variations differ in; the rest is noise, as in real embeddings.
const LATENT: usize = 64;
/// Words that texts are made of.
const WORDS: u64 = 5000;

fn random(seed: u64) -> u64 {
    let mut state = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

/// About normally distributed.
fn normal(seed: u64) -> f32 {
    let uniform = |n| random(seed * 4 + n) as f32 / u64::MAX as f32 - 0.5;
    (0..4).map(uniform).sum::<f32>() * 3.0_f32.sqrt()
}

/// A vector near one of the topics.
fn vector(number: u64) -> Vec<f32> {
    let topic = random(number) % TOPICS as u64;
    let value = |i: usize| match i < LATENT {
        true => 0.5 * normal(topic * 1000 + i as u64) + normal(number * 1000 + 500_000 + i as u64),
        false => 0.02 * normal(number * 1000 + 500_000 + i as u64),
    };
    (0..DIM).map(value).collect()
}

/// Embeds `17 …` as the vector of that number.
struct Numbered;

impl Embedder for Numbered {
    fn id(&self) -> &str {
        "numbered"
    }

    fn dim(&self) -> usize {
        DIM
    }

    fn max_tokens(&self) -> usize {
        256
    }

    fn count_tokens(&self, text: &str) -> Result<usize, RagError> {
        Ok(text.split_whitespace().count())
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, RagError> {
        let number = |text: &str| text.split(' ').next().and_then(|number| number.parse().ok());
        Ok(texts.iter().map(|text| vector(number(text).unwrap_or_default())).collect())
    }
}

fn document(number: u64) -> Document {
    // Some words are common and most are rare.
    let word = |n: u64| (random(number * 100 + n) % WORDS).min(random(number * 100 + n + 50) % WORDS);
    let words: Vec<String> = (0..40).map(|n| format!("word{}", word(n))).collect();
    let text = format!("{number} {}", words.join(" "));
    Document { id: format!("{number:06}"), title: "article".into(), text, ..Document::default() }
}

fn documents(count: u64) -> Vec<Document> {
    (0..count).map(document).collect()
}

/// Its text alone, which begins with the number.
const OPTIONS: IndexOptions = IndexOptions { embed_titles: false };

fn index(count: u64) -> Index {
    Index::build(&documents(count), &Numbered, OPTIONS).expect("no input is bad")
}

fn queries() -> Vec<UnitVector> {
    (0..200).filter_map(|n| UnitVector::new(vector(1_000_000 + n))).collect()
}

/// What indexing costs beside embedding.
fn build(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build");
    group.sample_size(10);
    for count in [700, 5000] {
        let documents = documents(count);
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher
                .iter(|| Index::build(black_box(&documents), &Numbered, OPTIONS).expect("no input is bad"));
        });
    }
    group.bench_function("graph of 5000", |bencher| {
        let prepare = || {
            let index = index(5000);
            index.set_graph_from(1);
            index
        };
        bencher.iter_batched(
            prepare,
            |index| index.compact().expect("no file is written"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// The ten nearest of so many vectors, by a scan and by a graph.
fn search(criterion: &mut Criterion) {
    let queries = queries();
    let mut group = criterion.benchmark_group("search");
    for count in [700, 20_000] {
        let snapshot = index(count).snapshot();
        let mut next = queries.iter().cycle();
        group.bench_function(BenchmarkId::new("scan", count), |bencher| {
            bencher.iter(|| next.next().map(|query| snapshot.search(black_box(query), 10, None)));
        });
    }
    let index = index(20_000);
    index.set_graph_from(1);
    index.compact().expect("no file is written");
    let (snapshot, mut next) = (index.snapshot(), queries.iter().cycle());
    group.bench_function(BenchmarkId::new("graph", 20_000), |bencher| {
        bencher.iter(|| next.next().map(|query| snapshot.search(black_box(query), 10, None)));
    });
    let english: rag::Filter = &|document| document.metadata.language.is_none();
    group.bench_function(BenchmarkId::new("filtered", 20_000), |bencher| {
        bencher.iter(|| next.next().map(|query| snapshot.search(black_box(query), 10, Some(english))));
    });
    group.finish();
}

/// One document more, of 5000.
fn upsert(criterion: &mut Criterion) {
    let mut next = 0;
    let mut group = criterion.benchmark_group("upsert");
    let in_memory = index(5000);
    group.bench_function("memory", |bencher| {
        bencher.iter(|| {
            next += 1;
            in_memory.upsert(&document(next % 6000), &Numbered)
        });
    });
    let folder = tempfile::tempdir().expect("a folder");
    let (on_disk, _) = Index::open_or_build(&documents(5000), &Numbered, OPTIONS, Some(folder.path()))
        .expect("a folder of its own");
    group.bench_function("disk", |bencher| {
        bencher.iter(|| {
            next += 1;
            on_disk.upsert(&document(next % 6000), &Numbered)
        });
    });
    group.finish();
}

/// Three rankings of fifty, and a whole search by vectors and words.
fn fusion(criterion: &mut Criterion) {
    let ranking = |seed: u64| (0..50).map(|n| (random(seed * 50 + n) % 90) as usize).collect::<Vec<usize>>();
    let rankings = [(1.0, ranking(1)), (0.5, ranking(2)), (0.5, ranking(3))];
    let mut group = criterion.benchmark_group("fusion");
    group.bench_function("three rankings of 50", |bencher| {
        bencher.iter(|| fuse(black_box(&rankings), |a, b| a.cmp(&b)));
    });
    group.sample_size(20);
    for count in [700, 20_000] {
        let retriever =
            Retriever::of(&documents(count), Box::new(Numbered), OPTIONS, None).expect("no input is bad");
        let mut next = 0;
        group.bench_function(BenchmarkId::new("question to hits", count), |bencher| {
            bencher.iter(|| {
                next += 1;
                retriever.search(&format!("{next} word{} word{} word7", next % 5000, next * 7 % 5000), 5)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, build, search, upsert, fusion);
criterion_main!(benches);
