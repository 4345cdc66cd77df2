//! GGUF blocks ↔ the packed [`Layout`], word by word and without loss.

use half::f16;
use rayon::prelude::*;

use super::formats::{GgufBlocks, LONGEST, UnpackedBlock};
use super::layout::{Layout, TILE};

/// Packs a matrix stored as GGUF blocks, row after row, into `words`: zeros, as many as the layout has. `bytes` has the
/// exact length.
pub(crate) fn pack(layout: Layout, blocks: &GgufBlocks, bytes: &[u8], words: &mut [u32]) {
    let [codes, high, sub_scales, scales] = planes(layout, words);
    let row_bytes = layout.blocks() * layout.format().block_bytes();

    // A plane that a format lacks has no words; its tiles are empty slices.
    (0..layout.tiles())
        .into_par_iter()
        .zip(tiles(codes, layout.tile_codes(), layout.tiles()))
        .zip(tiles(high, layout.tile_high(), layout.tiles()))
        .zip(tiles(sub_scales, layout.tile_sub_scales(), layout.tiles()))
        .zip(tiles(scales, layout.tile_scales(), layout.tiles()))
        .for_each(|((((tile, codes), high), sub_scales), scales)| {
            let first = tile * TILE;
            for row in first..layout.rows().min(first + TILE) {
                let row_blocks = &bytes[row * row_bytes..(row + 1) * row_bytes];
                for (index, block) in row_blocks.chunks_exact(layout.format().block_bytes()).enumerate() {
                    let block = (blocks.unpack)(block);
                    let lane = row - first;
                    put_codes(layout, index, lane, &block.codes, codes, high);
                    put_scales(layout, index, lane, &block, sub_scales, scales);
                }
            }
        });
}

/// The inverse of [`pack`].
pub(crate) fn unpack(layout: Layout, blocks: &GgufBlocks, words: &[u32]) -> Vec<u8> {
    let block_bytes = layout.format().block_bytes();
    let row_bytes = layout.blocks() * block_bytes;
    let mut bytes = vec![0u8; layout.rows() * row_bytes];
    bytes.par_chunks_exact_mut(row_bytes).enumerate().for_each(|(row, out)| {
        for (index, out) in out.chunks_exact_mut(block_bytes).enumerate() {
            let mut codes = [0u8; LONGEST];
            get_codes(layout, words, row, index, &mut codes);
            let (d, m) = scales(layout, words, row, index);
            let integers = group_integers(layout, words, row, index);
            (blocks.repack)(&UnpackedBlock { codes, d, m, integers }, out);
        }
    });
    bytes
}

fn planes(layout: Layout, words: &mut [u32]) -> [&mut [u32]; 4] {
    let (codes, rest) = words.split_at_mut(layout.codes().len());
    let (high, rest) = rest.split_at_mut(layout.high().len());
    let (sub_scales, rest) = rest.split_at_mut(layout.sub_scales().len());
    let (scales, _) = rest.split_at_mut(layout.scales().len());
    [codes, high, sub_scales, scales]
}

/// `plane` cut into `count` equal tiles, which may be empty.
fn tiles(plane: &mut [u32], len: usize, count: usize) -> Vec<&mut [u32]> {
    let mut rest = plane;
    (0..count)
        .map(|_| {
            let (tile, tail) = std::mem::take(&mut rest).split_at_mut(len);
            rest = tail;
            tile
        })
        .collect()
}

/// Writes the codes of one block of one row of a tile to the tile's planes.
pub(super) fn put_codes(
    layout: Layout,
    index: usize,
    lane: usize,
    block: &[u8; LONGEST],
    codes: &mut [u32],
    high: &mut [u32],
) {
    let format = layout.format();
    let first = index * format.block_len();
    // Four codes as the bytes of a word.
    let (fours, _) = block[..format.block_len()].as_chunks::<4>();
    let four = |at: usize| u32::from_le_bytes(fours[at]);
    if format.code_bits() == 8 {
        for at in 0..fours.len() {
            codes[(first / 4 + at) * TILE + lane] = four(at);
        }
        return;
    }
    for eight in 0..fours.len() / 2 {
        let (low, high) = (four(2 * eight) & 0x0f0f_0f0f, four(2 * eight + 1) & 0x0f0f_0f0f);
        codes[(first / 8 + eight) * TILE + lane] = low | high << 4;
    }
    let (bits, per_word) = match format.code_bits() {
        5 => (1, 8),
        6 => (2, 4),
        _ => return,
    };
    let mask = 0x0101_0101 * ((1 << bits) - 1);
    for word in 0..fours.len() / per_word {
        let parts = (0..per_word).map(|q| (four(word * per_word + q) >> 4 & mask) << (bits * q));
        high[(first / (4 * per_word) + word) * TILE + lane] = parts.fold(0, |word, part| word | part);
    }
}

/// The codes of one block of one row, as unsigned numbers.
pub(crate) fn get_codes(layout: Layout, words: &[u32], row: usize, index: usize, block: &mut [u8; LONGEST]) {
    let (tile, lane) = (row / TILE, row % TILE);
    let (len, bits) = (layout.format().block_len(), layout.format().code_bits());
    let codes = &words[layout.codes()][tile * layout.tile_codes()..];
    let high = &words[layout.high()][tile * layout.tile_high()..];
    for (offset, code) in block[..len].iter_mut().enumerate() {
        let k = index * len + offset;
        if bits == 8 {
            *code = (codes[k / 4 * TILE + lane] >> (8 * (k % 4))) as u8;
            continue;
        }
        let low = codes[k / 8 * TILE + lane] >> (8 * (k % 4) + 4 * (k / 4 % 2)) & 15;
        let top = match bits {
            5 => high[k / 32 * TILE + lane] >> (8 * (k % 4) + k % 32 / 4) & 1,
            6 => high[k / 16 * TILE + lane] >> (8 * (k % 4) + 2 * (k % 16 / 4)) & 3,
            _ => 0,
        };
        *code = (low | top << 4) as u8;
    }
}

fn put_scales(
    layout: Layout,
    index: usize,
    lane: usize,
    block: &UnpackedBlock,
    sub_scales: &mut [u32],
    scales: &mut [u32],
) {
    let words = layout.format().scale_kind().integer_words();
    for (word, bytes) in block.integers.as_chunks::<4>().0[..words].iter().enumerate() {
        sub_scales[(index * words + word) * TILE + lane] = u32::from_le_bytes(*bytes);
    }
    let (d, m) = (u32::from(block.d.to_bits()), u32::from(block.m.to_bits()));
    if layout.format().has_minimum() {
        scales[index * TILE + lane] = d | m << 16;
    } else {
        scales[index * (TILE / 2) + lane / 2] |= d << (16 * (lane % 2));
    }
}

/// A block's f16 scale and minimum (0 where the format has none).
pub(crate) fn scales(layout: Layout, words: &[u32], row: usize, index: usize) -> (f16, f16) {
    let (tile, lane) = (row / TILE, row % TILE);
    let scales = &words[layout.scales()][tile * layout.tile_scales()..];
    let (d, m) = if layout.format().has_minimum() {
        let word = scales[index * TILE + lane];
        (word as u16, (word >> 16) as u16)
    } else {
        ((scales[index * (TILE / 2) + lane / 2] >> (16 * (lane % 2))) as u16, 0)
    };
    (f16::from_bits(d), f16::from_bits(m))
}

/// The bytes of a block's integers, as [`UnpackedBlock::integers`].
pub(crate) fn group_integers(layout: Layout, words: &[u32], row: usize, index: usize) -> [u8; 16] {
    let (tile, lane) = (row / TILE, row % TILE);
    let count = layout.format().scale_kind().integer_words();
    let sub_scales = &words[layout.sub_scales()][tile * layout.tile_sub_scales()..];
    let mut integers = [0; 16];
    for (word, bytes) in integers.as_chunks_mut::<4>().0[..count].iter_mut().enumerate() {
        *bytes = sub_scales[(index * count + word) * TILE + lane].to_le_bytes();
    }
    integers
}
