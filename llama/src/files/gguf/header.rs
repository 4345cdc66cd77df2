//! All of a GGUF file before its tensor data.

use std::collections::BTreeMap;

use super::reader::Reader;
use super::tensor::{TensorInfo, TensorType};
use super::value::Value;

/// The metadata and the directory of tensors.
#[derive(Debug)]
pub(super) struct Header {
    pub metadata: BTreeMap<String, Value>,
    pub tensors: BTreeMap<String, TensorInfo>,
}

/// The format's limit on a tensor's dimensions.
const MAX_DIMENSIONS: u32 = 4;

/// Alignment of tensor data where the file does not say.
pub(super) const DEFAULT_ALIGNMENT: u64 = 32;

impl Header {
    /// Reads and checks the header of a file, given all of it.
    ///
    /// # Errors
    /// The reason, without the file's name.
    pub fn parse(file: &[u8]) -> Result<Self, String> {
        let mut reader = Reader::new(file);
        version(&mut reader)?;
        // The smallest tensor entry has a name, no dimensions, a type and an offset; the smallest
        // metadata entry a key, a type and one byte.
        let tensor_count = reader.count(24)?;
        let metadata_count = reader.count(13)?;

        let mut metadata = BTreeMap::new();
        for _ in 0..metadata_count {
            let key = name(&mut reader, "a metadata key")?;
            let value = reader.value().map_err(|reason| format!("metadata `{key}`: {reason}"))?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(format!("metadata `{key}` appears twice"));
            }
        }

        let mut entries = Vec::new();
        for _ in 0..tensor_count {
            let name = name(&mut reader, "a tensor's name")?;
            let entry =
                DirectoryEntry::read(&mut reader).map_err(|reason| format!("tensor `{name}`: {reason}"))?;
            entries.push((name, entry));
        }

        let alignment = alignment(&metadata)?;
        let data_start =
            reader.position().checked_next_multiple_of(alignment).ok_or("the header is too long")?;
        let mut tensors = BTreeMap::new();
        for (name, entry) in entries {
            let info =
                entry.place(data_start, alignment).map_err(|reason| format!("tensor `{name}` {reason}"))?;
            let end = info.range().end;
            if end > file.len() {
                return Err(format!(
                    "tensor `{name}` ends at byte {end} but the file has {} bytes: truncated download?",
                    file.len()
                ));
            }
            if tensors.insert(name.clone(), info).is_some() {
                return Err(format!("tensor `{name}` appears twice"));
            }
        }
        no_overlap(&tensors)?;
        Ok(Self { metadata, tensors })
    }
}

/// One entry of the directory as the file has it: the offset counts from the start of the data, which
/// is not known yet.
struct DirectoryEntry {
    dimensions: Vec<usize>,
    tensor_type: TensorType,
    offset: u64,
}

impl DirectoryEntry {
    fn read(reader: &mut Reader) -> Result<Self, String> {
        let dimension_count: u32 = reader.scalar()?;
        if dimension_count > MAX_DIMENSIONS {
            return Err(format!("has {dimension_count} dimensions; at most {MAX_DIMENSIONS} are possible"));
        }
        let dimensions = (0..dimension_count)
            .map(|_| {
                let dimension: u64 = reader.scalar()?;
                usize::try_from(dimension).map_err(|_| format!("has a dimension of {dimension}"))
            })
            .collect::<Result<_, String>>()?;
        let id: u32 = reader.scalar()?;
        let tensor_type =
            TensorType::from_id(id).ok_or_else(|| format!("has the unknown tensor type {id}"))?;
        Ok(Self { dimensions, tensor_type, offset: reader.scalar()? })
    }

    fn place(self, data_start: usize, alignment: usize) -> Result<TensorInfo, String> {
        let offset = usize::try_from(self.offset)
            .ok()
            .filter(|offset| offset.is_multiple_of(alignment))
            .ok_or_else(|| format!("has the offset {}, no multiple of {alignment}", self.offset))?;
        let start = data_start.checked_add(offset).ok_or("begins beyond any file's end")?;
        TensorInfo::new(self.dimensions, self.tensor_type, start)
    }
}

fn version(reader: &mut Reader) -> Result<(), String> {
    if reader.scalar::<u32>().ok() != Some(u32::from_le_bytes(*b"GGUF")) {
        return Err("is not a GGUF file (it does not begin with `GGUF`)".into());
    }
    let version: u32 = reader.scalar()?;
    match version {
        2 | 3 => Ok(()),
        1 => Err("is GGUF version 1, which is obsolete; convert the model anew".into()),
        // A version number read in the wrong byte order is small with its bytes swapped.
        _ if version & 0xffff == 0 => {
            Err("is a big-endian GGUF file; only little-endian is supported".into())
        }
        _ => Err(format!("is GGUF version {version}; versions 2 and 3 are supported")),
    }
}

fn name(reader: &mut Reader, what: &str) -> Result<String, String> {
    let name = reader.string().map_err(|reason| format!("{what}: {reason}"))?;
    if name.contains('\0') {
        return Err(format!("{what} contains a NUL: {name:?}"));
    }
    Ok(name.into())
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Result<usize, String> {
    let alignment = match metadata.get("general.alignment") {
        None => Some(DEFAULT_ALIGNMENT),
        Some(value) => value.as_u64(),
    };
    alignment
        .and_then(|alignment| usize::try_from(alignment).ok())
        .filter(|alignment| alignment.is_power_of_two())
        .ok_or_else(|| "metadata `general.alignment` is not a power of two".into())
}

fn no_overlap(tensors: &BTreeMap<String, TensorInfo>) -> Result<(), String> {
    let mut placed: Vec<_> = tensors.iter().map(|(name, info)| (info.range(), name)).collect();
    placed.sort_by_key(|(range, _)| (range.start, range.end));
    for pair in placed.windows(2) {
        if let [(first, first_name), (second, second_name)] = pair
            && second.start < first.end
        {
            return Err(format!(
                "tensors `{first_name}` and `{second_name}` overlap at byte {}",
                second.start
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sample::GgufSample;
    use super::super::value::Array;
    use super::*;

    fn small() -> GgufSample {
        GgufSample::new()
            .with("general.architecture", Value::String("llama".into()))
            .with("general.alignment", Value::U32(32))
            .with("llama.rope.freq_base", Value::F32(10000.0))
            .with("tokenizer.ggml.tokens", Value::Array(Array::String(vec!["<s>".into(), "é".into()])))
            .with("tokenizer.ggml.scores", Value::Array(Array::F32(vec![0.0, -1.0])))
            .with("tokenizer.ggml.add_bos_token", Value::Bool(true))
            .tensor("token_embd.weight", TensorType::F32, &[4, 2], &[1; 32])
            .tensor("output_norm.weight", TensorType::F16, &[4], &[2; 8])
    }

    fn error(sample: GgufSample) -> String {
        Header::parse(&sample.bytes()).unwrap_err()
    }

    #[test]
    fn versions_two_and_three_are_read_and_others_named() {
        assert!(Header::parse(&small().version(2).bytes()).is_ok());
        assert!(error(small().version(1)).contains("version 1, which is obsolete"));
        assert!(error(small().version(4)).contains("version 4; versions 2 and 3"));
        assert!(error(small().version(3u32.swap_bytes())).contains("big-endian"));
        assert!(Header::parse(b"GG").unwrap_err().contains("not a GGUF file"));
    }

    #[test]
    fn contradictions_are_refused() {
        let f32 = TensorType::F32;
        let cases = [
            (
                small().with("general.architecture", Value::U8(0)),
                "metadata `general.architecture` appears twice",
            ),
            (small().with("a\0b", Value::U8(0)), "contains a NUL"),
            (GgufSample::new().with("general.alignment", Value::U32(24)), "not a power of two"),
            (small().tensor("output_norm.weight", f32, &[1], &[0; 4]), "`output_norm.weight` appears twice"),
            (small().entry("t", 0, &[8], 0), "overlap at byte"),
            (small().entry("t", 0, &[1], 3), "tensor `t` has the offset 3, no multiple of 32"),
            (small().entry("t", 0, &[u64::MAX, 2], 64), "impossible shape"),
            (small().entry("t", 0, &[1], u64::MAX - 31), "tensor `t` begins beyond"),
            (small().entry("t", 2, &[33], 64), "impossible shape [33] for type Q4_0"),
            (small().entry("t", 4, &[32], 64), "tensor `t`: has the unknown tensor type 4"),
            (small().entry("t", 0, &[1; 5], 64), "has 5 dimensions"),
            (small().entry("t", 0, &[4096], 64), "but the file has"),
        ];
        for (sample, reason) in cases {
            let error = error(sample);
            assert!(error.contains(reason), "{error:?} does not contain {reason:?}");
        }
    }

    #[test]
    fn nested_arrays_are_refused() {
        let mut bytes = GgufSample::new().with("nest", Value::U32(0)).bytes();
        let at = bytes.windows(4).position(|window| window == b"nest").unwrap() + 4;
        bytes.truncate(at);
        for _ in 0..1000 {
            bytes.extend(9u32.to_le_bytes());
        }
        assert!(Header::parse(&bytes).unwrap_err().contains("array of arrays"));
    }

    proptest! {
        /// Whatever the bytes say, the answer is a header or a reason.
        #[test]
        fn a_damaged_file_is_an_error_and_never_a_panic(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            wide in prop::option::of((any::<prop::sample::Index>(), prop::sample::select(vec![
                u64::MAX, u64::MAX / 2, 1 << 63, 1 << 32, u32::MAX as u64, 0,
            ]))),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut bytes = small().bytes();
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some((at, value)) = wide {
                let at = at.index(bytes.len() - 8);
                bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Ok(header) = Header::parse(&bytes) {
                for info in header.tensors.values() {
                    prop_assert!(bytes.get(info.range()).is_some());
                }
            }
        }

        /// Cutting the file anywhere is always noticed.
        #[test]
        fn a_truncated_file_is_an_error(cut in any::<prop::sample::Index>()) {
            let bytes = small().bytes();
            prop_assert!(Header::parse(&bytes[..cut.index(bytes.len())]).is_err());
        }
    }
}
