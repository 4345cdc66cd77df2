//! 4-bit NormalFloat in bitsandbytes' layout: a matrix is several tensors.
//!
//! | tensor | type | |
//! |---|---|---|
//! | `weight` | U8 `[⌈n/2⌉, 1]` | two codes a byte |
//! | `weight.absmax` | U8 `[n/64]` | the blocks' scales as codes |
//! | `weight.quant_map` | F32 `[16]` | what the codes stand for |
//! | `weight.nested_absmax` | F32 `[n/64/256]` | the scales' scales |
//! | `weight.nested_quant_map` | F32 `[256]` | what the scales' codes stand for |
//! | `weight.quant_state.bitsandbytes__nf4` | U8 | JSON: shape, block sizes, the scales' offset |

use ::safetensors::tensor::Dtype;
use engine::quant::{NF4_CODE, Nf4, dynamic_map};
use serde::{Deserialize, Serialize};

use crate::error::LlamaError;
use crate::files::float::Float;
use crate::files::safetensors::Safetensors;

const QUANT_STATE: &str = ".quant_state.bitsandbytes__nf4";
const ABSMAX: &str = ".absmax";
const QUANT_MAP: &str = ".quant_map";
const NESTED_ABSMAX: &str = ".nested_absmax";
const NESTED_QUANT_MAP: &str = ".nested_quant_map";

const BLOCK: usize = 64;
const NESTED_BLOCK: usize = 256;

/// Bytes reserved for a written quantization state, more than any needs, so that its place in the file is known before
/// the matrix is quantized. It is padded with spaces, which JSON allows.
const STATE_BYTES: usize = 256;

/// bitsandbytes' `QuantState.as_dict(packed=True)`.
#[derive(Debug, Serialize, Deserialize)]
struct QuantState {
    quant_type: String,
    blocksize: usize,
    dtype: String,
    shape: Vec<usize>,
    nested_blocksize: Option<usize>,
    nested_dtype: Option<String>,
    nested_offset: Option<f64>,
}

/// Whether the matrix `name` of a file is stored in this layout.
pub(super) fn is_stored(file: &Safetensors, name: &str) -> bool {
    file.contains(&format!("{name}{QUANT_STATE}"))
}

/// Whether any matrix of a file is stored in this layout.
pub(super) fn is_any_stored(file: &Safetensors) -> bool {
    file.names().any(|name| name.ends_with(QUANT_STATE))
}

/// Checks that the matrix `name` has codes for this shape, without reading them.
pub(super) fn check(file: &Safetensors, name: &str, shape: [usize; 2]) -> Result<(), LlamaError> {
    let codes = [shape[0].saturating_mul(shape[1]).div_ceil(2), 1];
    file.bytes(name, Dtype::U8, &codes).map(|_| ())
}

/// Reads the matrix `name`.
pub(super) fn read(file: &Safetensors, name: &str, shape: [usize; 2]) -> Result<Nf4, LlamaError> {
    let part = |suffix: &str| format!("{name}{suffix}");
    let state = part(QUANT_STATE);
    let error = |name: &str, reason: String| LlamaError::tensor(file.path(), name, reason);
    let len = file.shape(&state).unwrap_or_default().iter().product();
    let json = file.bytes(&state, Dtype::U8, &[len])?;
    let QuantState { quant_type, blocksize, shape: stated, nested_blocksize, nested_offset, .. } =
        serde_json::from_slice(&json).map_err(|cause| error(&state, cause.to_string()))?;
    if stated != shape {
        return Err(error(&state, format!("has the shape {stated:?}, expected {shape:?}")));
    }
    let (Some(nested_blocksize), Some(offset)) = (nested_blocksize, nested_offset) else {
        return Err(error(&state, "lacks double quantization, without which NF4 is not supported".into()));
    };
    if (quant_type.as_str(), blocksize, nested_blocksize) != ("nf4", BLOCK, NESTED_BLOCK) {
        let reason = format!(
            "is {quant_type} in blocks of {blocksize} and {nested_blocksize}; nf4 in blocks of {BLOCK} and \
             {NESTED_BLOCK} is supported"
        );
        return Err(error(&state, reason));
    }
    for (suffix, map) in [(QUANT_MAP, NF4_CODE.as_slice()), (NESTED_QUANT_MAP, dynamic_map())] {
        // All versions of bitsandbytes write this table, up to the last bits.
        let found = file.read(&part(suffix), &[map.len()])?;
        if !found.iter().zip(map).all(|(found, known)| (found - known).abs() <= 1e-6) {
            return Err(error(&part(suffix), "is not bitsandbytes' map".into()));
        }
    }
    let len = shape[0] * shape[1];
    let blocks = len.div_ceil(BLOCK);
    let codes = file.bytes(name, Dtype::U8, &[len.div_ceil(2), 1])?.to_vec();
    let absmax = file.bytes(&part(ABSMAX), Dtype::U8, &[blocks])?.to_vec();
    let absmax2 = file.read(&part(NESTED_ABSMAX), &[blocks.div_ceil(NESTED_BLOCK)])?;
    Ok(Nf4::new(codes, absmax, absmax2, offset as f32, len)?)
}

/// The tensors that a matrix becomes: name, type and shape.
pub(crate) fn layout(name: &str, shape: [usize; 2]) -> [(String, Dtype, Vec<usize>); 6] {
    let len = shape[0] * shape[1];
    let blocks = len.div_ceil(BLOCK);
    [
        ("", Dtype::U8, vec![len.div_ceil(2), 1]),
        (ABSMAX, Dtype::U8, vec![blocks]),
        (QUANT_MAP, Dtype::F32, vec![NF4_CODE.len()]),
        (NESTED_ABSMAX, Dtype::F32, vec![blocks.div_ceil(NESTED_BLOCK)]),
        (NESTED_QUANT_MAP, Dtype::F32, vec![dynamic_map().len()]),
        (QUANT_STATE, Dtype::U8, vec![STATE_BYTES]),
    ]
    .map(|(suffix, dtype, shape)| (format!("{name}{suffix}"), dtype, shape))
}

/// The bytes of the tensors of [`layout`]. `dtype` is what the matrix is computed in: the type of the
/// model's other tensors.
pub(crate) fn parts(nf4: &Nf4, shape: [usize; 2], dtype: Float) -> [Vec<u8>; 6] {
    let state = QuantState {
        quant_type: "nf4".into(),
        blocksize: BLOCK,
        dtype: dtype.torch_name().into(),
        shape: shape.to_vec(),
        nested_blocksize: Some(NESTED_BLOCK),
        nested_dtype: Some("float32".into()),
        nested_offset: Some(nf4.offset().into()),
    };
    // Cannot fail: strings and numbers have a JSON form.
    let mut json = serde_json::to_vec(&state).unwrap_or_default();
    json.resize(STATE_BYTES, b' ');
    [
        nf4.codes().to_vec(),
        nf4.absmax().to_vec(),
        Float::F32.encode(&NF4_CODE),
        Float::F32.encode(nf4.absmax2()),
        Float::F32.encode(dynamic_map()),
        json,
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::files::safetensors::SafetensorsWriter;

    const NAME: &str = "model.layers.0.mlp.up_proj.weight";
    const SHAPE: [usize; 2] = [150, 128]; // 300 blocks: two nested ones

    fn quantized() -> Nf4 {
        let values: Vec<f32> =
            (0..150 * 128).map(|i| ((i * 37 % 101) as f32 - 50.0) / (1 + i / 64) as f32).collect();
        Nf4::quantize(&values)
    }

    /// Writes the matrix with one part changed.
    fn write(path: &Path, change: impl Fn(usize, &mut Vec<u8>)) -> Safetensors {
        let layout = layout(NAME, SHAPE);
        let mut writer = SafetensorsWriter::create(path, layout.to_vec()).unwrap();
        let parts = parts(&quantized(), SHAPE, Float::BF16);
        for (index, ((name, ..), mut bytes)) in layout.into_iter().zip(parts).enumerate() {
            change(index, &mut bytes);
            writer.write(&name, &bytes).unwrap();
        }
        writer.finish().unwrap();
        Safetensors::open(path).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = write(&dir.path().join("model.safetensors"), |_, _| {});
        assert!(is_stored(&file, NAME) && is_any_stored(&file) && !is_stored(&file, "other"));
        assert_eq!(read(&file, NAME, SHAPE).unwrap(), quantized());
        let error = read(&file, NAME, [128, 150]).unwrap_err().to_string();
        assert!(error.contains("has the shape [150, 128], expected [128, 150]"), "{error}");
    }

    #[test]
    fn another_layout_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let replaced = |from: &'static str, to: &'static str| {
            move |index, bytes: &mut Vec<u8>| {
                if index == 5 {
                    let text = String::from_utf8(bytes.clone()).unwrap().replace(from, to);
                    *bytes = text.into_bytes();
                    bytes.resize(STATE_BYTES, b' ');
                }
            }
        };
        for (from, to, reason) in [
            ("nf4", "fp4", "is fp4 in blocks of 64 and 256"),
            ("\"blocksize\":64", "\"blocksize\":128", "is nf4 in blocks of 128"),
            ("nested_offset", "offset", "lacks double quantization"),
            ("{", "", "expected"),
        ] {
            let file = write(&dir.path().join("model.safetensors"), replaced(from, to));
            let error = read(&file, NAME, SHAPE).unwrap_err().to_string();
            assert!(error.contains("quant_state.bitsandbytes__nf4") && error.contains(reason), "{error}");
        }
        for (part, name) in [(2, ".quant_map"), (4, ".nested_quant_map")] {
            let file = write(&dir.path().join("model.safetensors"), |index, bytes| {
                if index == part {
                    bytes[7] ^= 1;
                }
            });
            let error = read(&file, NAME, SHAPE).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("is not bitsandbytes' map"), "{error}");
        }
    }
}
