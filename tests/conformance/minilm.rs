//! Twelve sentences against sentence-transformers 6.2, and the shipped cross-encoder against PyTorch.

use std::fs;
use std::path::Path;

use rag::{CrossEncoder, Embedder, Precision, SentenceEncoder};

use super::{json, reference, variable};

/// Two f32 implementations of the same sums in another order.
const TOLERANCE: f32 = 1e-4;

#[test]
fn embeddings_are_those_of_sentence_transformers() {
    let (Some(data), Some(model)) = (reference("minilm"), variable("MINILM_DIR")) else { return };
    let sentences: Vec<String> = json(&data.join("minilm_sentences.json"));
    let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
    let expected = read_npy(&data.join("minilm_embeddings.npy"));

    for device in engine::device::AVAILABLE {
        let embedder =
            SentenceEncoder::open(&model, Precision::F32, &engine::device::parse(device).unwrap()).unwrap();
        check(device, &embedder, &embedder.embed(&sentences).unwrap(), &expected);
    }
}

/// The scores that rag/assets/reranker_train.py's model gives in 32 bits; here its matrices have 8.
#[test]
fn the_shipped_cross_encoder_reads_as_it_was_trained() {
    let Some(model) = variable("MINILM_DIR") else { return };
    let adapter = Path::new(env!("CARGO_MANIFEST_DIR")).join("apps/assets/reranker");
    let device = engine::device::parse(engine::device::AVAILABLE[0]).unwrap();
    let cross_encoder = CrossEncoder::open(&model, &adapter, &device).unwrap();
    let delivery = [
        ("Delivery › Express\nExpress delivery costs £8.90 per order.", 2.853),
        ("Delivery › Express\nIt arrives on the next working day.", -1.984),
        ("Returns\nThe return label is free.", -3.410),
        ("Delivery\nStandard: Price: £3.50; Time: 3 days", -1.478),
    ];
    let recall = [
        ("Recall › Glow lanterns\nStop using the lantern at once and keep it away from children.", 1.071),
        ("Gift cards\nA card is valid for two years.", -1.308),
    ];
    let mut largest = 0f32;
    for (question, texts) in
        [("what do I pay for express", &delivery[..]), ("my lantern gets hot, is it dangerous", &recall)]
    {
        let (texts, expected): (Vec<&str>, Vec<f32>) = texts.iter().copied().unzip();
        let scores = cross_encoder.scores(question, &texts).unwrap();
        for (score, expected) in scores.iter().zip(expected) {
            largest = largest.max((score - expected).abs());
        }
    }
    println!("cross-encoder: six pairs, largest difference {largest:.3}");
    assert!(largest < 0.1, "{largest}"); // rounding to 8 bits; the scores lie up to 6 apart
}

fn check(device: &str, embedder: &SentenceEncoder, actual: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert_eq!((actual.len(), embedder.dim()), (expected.len(), expected[0].len()));
    let (mut largest, mut worst) = (0f32, 1f32);
    for (actual, expected) in actual.iter().zip(expected) {
        let difference = actual.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let cosine = actual.iter().zip(expected).map(|(a, b)| a * b).sum::<f32>();
        largest = largest.max(difference);
        worst = worst.min(cosine);
    }
    println!(
        "minilm on {device}: {} sentences, largest difference {largest:.1e}, least cosine {worst:.7}",
        actual.len()
    );
    assert!(largest <= TOLERANCE, "largest difference {largest}");
    assert!(worst > 0.9999, "least cosine {worst}");
}

/// A two-dimensional little-endian f32 array in NumPy's format: magic, version, header, numbers.
fn read_npy(path: &Path) -> Vec<Vec<f32>> {
    let bytes = fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "version 1.0");
    let header_len = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let (header, numbers) = bytes[10..].split_at(header_len);
    let header = std::str::from_utf8(header).unwrap();
    assert!(header.contains("'descr': '<f4'") && header.contains("'fortran_order': False"), "{header}");
    let (_, shape) = header.split_once("'shape': (").unwrap();
    let (shape, _) = shape.split_once(')').unwrap();
    let shape: Vec<usize> = shape.split(',').map(|n| n.trim().parse().unwrap()).collect();
    let [rows, columns] = shape[..] else { panic!("two dimensions: {shape:?}") };
    assert_eq!(numbers.len(), rows * columns * 4);
    let numbers: Vec<f32> =
        numbers.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    numbers.chunks(columns).map(<[f32]>::to_vec).collect()
}
