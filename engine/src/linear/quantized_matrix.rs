//! A block-quantized matrix on a device.

#[cfg(all(test, feature = "flex"))]
mod kernel_laws;
#[cfg(test)]
mod laws;

use burn::tensor::{DType, Device, Int, Tensor};

use crate::backend;
use crate::backend::weight_memory::{self, WeightMemory};
use crate::device;
use crate::error::EngineError;
use crate::ops::gather::select_rows;
use crate::ops::quantized::{self, Arithmetic};
use crate::quant::formats::nf4;
use crate::quant::{self, Format, Layout, Nf4, TILE, pack};

/// A block-quantized matrix `[rows, cols]`, packed as [`Layout`] describes; `rows` are outputs.
#[derive(Debug, Clone)]
pub struct QuantizedMatrix {
    /// Its rows in order; more than one piece where all would be too large for a tensor of the device.
    pieces: Vec<Piece>,
    shape: [usize; 2],
    format: Format,
    arithmetic: Arithmetic,
}

/// Whole tiles of rows.
#[derive(Debug, Clone)]
struct Piece {
    words: Tensor<1, Int>, // [layout.words()], u32
    layout: Layout,
}

impl Piece {
    fn new(layout: Layout, words: WeightMemory, device: &Device) -> Self {
        assert_eq!(words.len(), layout.words(), "the words of another layout");
        Self { words: Tensor::from_data(weight_memory::into_data(words), (device, DType::U32)), layout }
    }

    fn host_words(&self) -> Vec<u32> {
        // The words were written as u32, and reading a tensor back fails only when its device is gone.
        self.words.to_data().try_into_vec().expect("packed words are u32")
    }
}

impl QuantizedMatrix {
    /// Repacks a matrix stored as GGUF blocks, row after row.
    ///
    /// # Errors
    /// [`EngineError::Shape`] if `bytes` is not exactly `rows * cols / block_len` blocks, or `cols`
    /// is not a multiple of the block length.
    pub fn from_blocks(
        format: Format,
        shape: [usize; 2],
        bytes: &[u8],
        device: &Device,
    ) -> Result<Self, EngineError> {
        Self::in_pieces(format, shape, bytes, backend::largest_tensor(device), device)
    }

    /// As [`QuantizedMatrix::from_blocks`], with tensors of at most `largest` bytes.
    fn in_pieces(
        format: Format,
        shape: [usize; 2],
        bytes: &[u8],
        largest: Option<u64>,
        device: &Device,
    ) -> Result<Self, EngineError> {
        let layout = Layout::new(format, shape)?;
        let wanted = layout.rows() * layout.blocks() * format.block_bytes();
        let refused =
            |reason| EngineError::Shape { what: format!("{} matrix {shape:?}", format.name()), reason };
        let Some(blocks) = &format.spec().blocks else {
            return Err(refused("a file has no blocks of it; use `from_nf4`".into()));
        };
        if bytes.len() != wanted {
            return Err(refused(format!("{} bytes of blocks, {wanted} expected", bytes.len())));
        }
        let row_bytes = layout.blocks() * format.block_bytes();
        let pieces = bytes.chunks(rows_of_a_piece(layout, largest) * row_bytes).map(|bytes| {
            let layout = Layout::new(format, [bytes.len() / row_bytes, layout.cols()])?;
            let mut words = weight_memory::zeros(layout.words());
            pack::pack(layout, blocks, bytes, &mut words);
            Ok(Piece::new(layout, words, device))
        });
        let pieces = pieces.collect::<Result<_, EngineError>>()?;
        Ok(Self { pieces, shape, format, arithmetic: Arithmetic::default() })
    }

    /// Packs an NF4 matrix with double quantization, as bitsandbytes stores it.
    ///
    /// # Errors
    /// [`EngineError::Shape`] if the parts do not belong to a matrix of this shape.
    pub fn from_nf4(shape: [usize; 2], nf4: &Nf4, device: &Device) -> Result<Self, EngineError> {
        let layout = Layout::new(Format::NF4, shape)?;
        if nf4.len() != layout.rows() * layout.cols() {
            return Err(EngineError::Shape {
                what: format!("NF4 matrix {shape:?}"),
                reason: format!("{} values", nf4.len()),
            });
        }
        // Not in pieces: 256 scales share one of their own, wherever rows end.
        device::check_size(&format!("NF4 matrix {shape:?}"), layout.words() * 4, device)?;
        let mut words = weight_memory::zeros(layout.words());
        nf4::pack(layout, nf4, &mut words);
        let pieces = vec![Piece::new(layout, words, device)];
        Ok(Self { pieces, shape, format: Format::NF4, arithmetic: Arithmetic::default() })
    }

    /// Quantizes `values`, a row-major `[rows, cols]` matrix.
    ///
    /// # Errors
    /// [`EngineError::Shape`] if the shape does not fit the values or the format.
    pub fn quantize(
        format: Format,
        shape: [usize; 2],
        values: &[f32],
        device: &Device,
    ) -> Result<Self, EngineError> {
        let [rows, cols] = shape;
        Layout::new(format, shape)?;
        if rows.checked_mul(cols) != Some(values.len()) {
            return Err(EngineError::Shape {
                what: format!("{format:?} matrix {shape:?}"),
                reason: format!("{} values", values.len()),
            });
        }
        match format.spec().blocks {
            None => Self::from_nf4(shape, &Nf4::quantize(values), device),
            Some(_) => Self::from_blocks(format, shape, &quant::quantize(format, values)?, device),
        }
    }

    /// `[rows, cols]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// The block format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Bytes that the packed matrix takes in memory.
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.layout.words() * 4).sum()
    }

    /// The same matrix (sharing its memory), multiplied with this arithmetic.
    pub fn with_arithmetic(self, arithmetic: Arithmetic) -> Self {
        Self { arithmetic, ..self }
    }

    /// Converts back to GGUF blocks, exactly; `None` for NF4, which is not stored in blocks.
    pub fn to_blocks(&self) -> Option<Vec<u8>> {
        let blocks = self.format.spec().blocks.as_ref()?;
        let bytes = |piece: &Piece| pack::unpack(piece.layout, blocks, &piece.host_words());
        Some(self.pieces.iter().flat_map(bytes).collect())
    }

    /// Converts back to bitsandbytes' parts, exactly; `None` for the other formats.
    pub fn to_nf4(&self) -> Option<Nf4> {
        let [piece] = &self.pieces[..] else { return None };
        (self.format == Format::NF4).then(|| nf4::unpack(piece.layout, &piece.host_words()))
    }

    /// `y = x · Wᵀ`: `x [tokens, cols]` → `[tokens, rows]`.
    pub fn matmul(&self, x: Tensor<2>) -> Tensor<2> {
        let [y] = Self::matmul_each([self], x);
        y
    }

    /// `y = x · Wᵀ` for each of `matrices`, bit for bit as one by one, but faster: `x [tokens, cols]` →
    /// `[tokens, rows]` each.
    ///
    /// # Panics
    /// If a matrix has another number of columns, or is on another device.
    pub fn matmul_each<const N: usize>(matrices: [&Self; N], x: Tensor<2>) -> [Tensor<2>; N] {
        let arithmetic = matrices.first().map_or_else(Arithmetic::default, |first| first.arithmetic);
        if matrices.iter().any(|matrix| matrix.arithmetic != arithmetic) {
            return matrices.map(|matrix| matrix.matmul(x.clone()));
        }
        let pieces = matrices.iter().flat_map(|matrix| &matrix.pieces);
        let parts = pieces.map(|piece| (piece.words.clone(), piece.layout)).collect();
        let mut ys = quantized::matmul(x, parts, arithmetic).into_iter();
        matrices.map(|matrix| joined(ys.by_ref().take(matrix.pieces.len()), 1))
    }

    /// `dx = dy · W`: `dy [tokens, rows]` → `[tokens, cols]`.
    pub fn matmul_transposed(&self, dy: Tensor<2>) -> Tensor<2> {
        let of = |piece: &Piece, dy| {
            quantized::matmul_transposed(dy, piece.words.clone(), piece.layout, self.arithmetic)
        };
        let [piece] = &self.pieces[..] else {
            let parts = self.with_first_rows().map(|(first, piece)| {
                of(piece, dy.clone().narrow(1, first, piece.layout.rows())) // [tokens, cols]
            });
            return parts.reduce(Tensor::add).expect("a matrix has rows");
        };
        of(piece, dy)
    }

    /// The rows named by `ids [n]`, as f32: `[n, cols]`.
    pub fn rows(&self, ids: &[u32]) -> Tensor<2> {
        if let [piece] = &self.pieces[..] {
            return quantized::rows(piece.words.clone(), piece.layout, ids);
        }
        // Piece by piece, and then in the order of `ids`.
        let (mut order, mut found) = (vec![0; ids.len()], 0);
        let parts = self.with_first_rows().filter_map(|(first, piece)| {
            let mut own = Vec::new();
            for (place, id) in ids.iter().enumerate() {
                if (first..first + piece.layout.rows()).contains(&(*id as usize)) {
                    own.push(*id - first as u32);
                    order[place] = found;
                    found += 1;
                }
            }
            (!own.is_empty()).then(|| quantized::rows(piece.words.clone(), piece.layout, &own))
        });
        let rows = joined(parts, 0);
        select_rows(rows, &order)
    }

    /// The whole matrix as f32: `[rows, cols]`.
    pub fn dequantize(&self) -> Tensor<2> {
        joined(self.pieces.iter().map(|piece| quantized::dequantize(piece.words.clone(), piece.layout)), 0)
    }

    /// The pieces, each with the number of its first row.
    fn with_first_rows(&self) -> impl Iterator<Item = (usize, &Piece)> {
        let mut next = 0;
        self.pieces.iter().map(move |piece| {
            next += piece.layout.rows();
            (next - piece.layout.rows(), piece)
        })
    }
}

/// How many rows of a matrix fit a tensor of at most `largest` bytes, in whole tiles; at least one tile.
fn rows_of_a_piece(layout: Layout, largest: Option<u64>) -> usize {
    let tile_bytes = layout.words().div_ceil(layout.tiles()) * 4;
    match largest {
        Some(largest) => (largest as usize / tile_bytes).clamp(1, layout.tiles()) * TILE,
        None => layout.tiles() * TILE,
    }
}

/// The parts as one tensor; one part is it already.
fn joined(mut parts: impl Iterator<Item = Tensor<2>>, axis: usize) -> Tensor<2> {
    let first = parts.next().expect("a matrix has rows");
    match parts.next() {
        None => first,
        Some(second) => Tensor::cat([first, second].into_iter().chain(parts).collect(), axis),
    }
}
