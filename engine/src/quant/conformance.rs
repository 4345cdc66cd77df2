//! Every format against ggml's and bitsandbytes' own bytes: see `tests/fixtures/gguf_blocks.py`.

use serde_json::Value;

use super::{Format, Nf4, dequantize, dynamic_map, quantize};

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../../tests/fixtures/gguf_blocks.json")).unwrap()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let (pairs, _) = hex.as_str().unwrap().as_bytes().as_chunks::<2>();
    pairs.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn floats(hex: &Value) -> Vec<f32> {
    bytes(hex).as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn quantizes_to_the_bytes_of_ggml() {
    let fixture = fixture();
    for format in Format::GGUF {
        let inputs = floats(&fixture["inputs"][format.block_len().to_string()]);
        let expected = bytes(&fixture[format.name()]["blocks"]);
        let found = quantize(format, &inputs).unwrap();
        assert_eq!(found.len(), inputs.len() / format.block_len() * format.block_bytes());
        for (i, (found, expected)) in
            found.chunks(format.block_bytes()).zip(expected.chunks(format.block_bytes())).enumerate()
        {
            assert_eq!(found, expected, "{format:?}, block {i}");
        }
    }
}

#[test]
fn dequantizes_to_the_bits_of_ggml() {
    let fixture = fixture();
    for format in Format::GGUF {
        let blocks = bytes(&fixture[format.name()]["blocks"]);
        let expected = floats(&fixture[format.name()]["values"]);
        assert_eq!(bits(&dequantize(format, &blocks).unwrap()), bits(&expected), "{format:?}");
    }
}

#[test]
fn nf4_has_the_parts_and_the_values_of_bitsandbytes() {
    let fixture = &fixture()["NF4"];
    let inputs = floats(&fixture["inputs"]);
    let expected = Nf4::new(
        bytes(&fixture["codes"]),
        bytes(&fixture["absmax"]),
        floats(&fixture["absmax2"]),
        floats(&fixture["offset"])[0],
        inputs.len(),
    )
    .unwrap();
    assert_eq!(Nf4::quantize(&inputs), expected);
    assert_eq!(bits(&expected.dequantize()), bits(&floats(&fixture["values"])));
}

#[test]
fn the_dynamic_map_is_that_of_bitsandbytes() {
    assert_eq!(bits(dynamic_map()), bits(&floats(&fixture()["NF4"]["dynamic_map"])));
}

#[test]
fn part_of_a_block_is_an_error_that_names_the_format() {
    assert_eq!(
        quantize(Format::Q4_K, &[0.0; 300]).unwrap_err().to_string(),
        "Q4_K blocks: 300 values are not a multiple of the 256 in a block"
    );
    assert_eq!(
        dequantize(Format::Q5_0, &[0; 23]).unwrap_err().to_string(),
        "Q5_0 blocks: 23 bytes are not a multiple of the 22 in a block"
    );
    assert_eq!(
        Nf4::new(vec![0; 50], vec![0; 2], vec![0.0; 2], 0.0, 100).unwrap_err().to_string(),
        "NF4 nested absmax: 2 elements, but 100 values need 1"
    );
}

#[test]
fn nf4_has_no_gguf_blocks() {
    assert!(quantize(Format::NF4, &[0.0; 64]).is_err());
    assert!(dequantize(Format::NF4, &[0; 32]).is_err());
}

#[test]
fn nothing_is_quantized_to_nothing() {
    for format in Format::GGUF {
        assert!(quantize(format, &[]).unwrap().is_empty());
        assert!(dequantize(format, &[]).unwrap().is_empty());
    }
    assert!(Nf4::quantize(&[]).dequantize().is_empty());
}
