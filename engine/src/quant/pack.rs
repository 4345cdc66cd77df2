//! GGUF blocks ↔ the packed [`Layout`], word by word and without loss.

use rayon::prelude::*;

use super::layout::{Layout, TILE};
use super::{Format, Nf4};

/// One block, taken apart: codes as unsigned numbers, scales as the bytes they are.
struct UnpackedBlock<'a> {
    codes: [u8; 256],
    /// f16 bits of the scale, and of the minimum where there is one.
    d: u16,
    m: u16,
    sub_scales: &'a [u8],
}

/// Packs a matrix stored as GGUF blocks, row after row, into `words`: zeros, as many as the layout has. `bytes` has the
/// exact length.
pub(crate) fn pack(layout: Layout, bytes: &[u8], words: &mut [u32]) {
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
                    let block = read_block(layout.format(), block);
                    let lane = row - first;
                    put_codes(layout, index, lane, &block.codes, codes, high);
                    put_scales(layout.format(), index, lane, &block, sub_scales, scales);
                }
            }
        });
}

/// Packs an NF4 matrix into `words`: zeros, as many as the layout has.
pub(crate) fn pack_nf4(layout: Layout, nf4: &Nf4, words: &mut [u32]) {
    let blocks = layout.blocks();
    for row in 0..layout.rows() {
        let (tile, lane) = (row / TILE, row % TILE);
        for index in 0..blocks {
            let flat = row * blocks + index;
            let mut block = [0u8; 256];
            for (pair, byte) in nf4.codes()[flat * 32..(flat + 1) * 32].iter().enumerate() {
                block[2 * pair] = byte >> 4;
                block[2 * pair + 1] = byte & 15;
            }
            let start = tile * layout.tile_codes();
            let codes = &mut words[start..start + layout.tile_codes()];
            put_codes(layout, index, lane, &block, codes, &mut []);
            let word = layout.sub_scales().start + (tile * blocks + index) * 4 + lane / 4;
            words[word] |= u32::from(nf4.absmax()[flat]) << (8 * (lane % 4));
        }
    }
    let second = layout.absmax2();
    for (word, scale) in words[second].iter_mut().zip(nf4.absmax2().iter().chain([&nf4.offset()])) {
        *word = scale.to_bits();
    }
}

/// The inverse of [`pack`].
pub(crate) fn unpack(layout: Layout, words: &[u32]) -> Vec<u8> {
    let block_bytes = layout.format().block_bytes();
    let row_bytes = layout.blocks() * block_bytes;
    let mut bytes = vec![0u8; layout.rows() * row_bytes];
    if row_bytes == 0 {
        return bytes;
    }
    bytes.par_chunks_exact_mut(row_bytes).enumerate().for_each(|(row, out)| {
        for (index, out) in out.chunks_exact_mut(block_bytes).enumerate() {
            let mut codes = [0u8; 256];
            get_codes(layout, words, row, index, &mut codes);
            write_block(layout, words, row, index, &codes, out);
        }
    });
    bytes
}

/// The inverse of [`pack_nf4`].
pub(crate) fn unpack_nf4(layout: Layout, words: &[u32]) -> Nf4 {
    let blocks = layout.blocks();
    let mut codes = Vec::with_capacity(layout.rows() * layout.cols() / 2);
    let mut absmax = Vec::with_capacity(layout.rows() * blocks);
    for row in 0..layout.rows() {
        for index in 0..blocks {
            let mut block = [0u8; 256];
            get_codes(layout, words, row, index, &mut block);
            codes.extend(block[..64].chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
            absmax.push(nf4_absmax(layout, words, row, index));
        }
    }
    let mut absmax2: Vec<f32> = words[layout.absmax2()].iter().map(|word| f32::from_bits(*word)).collect();
    let offset = absmax2.pop().unwrap_or_default();
    Nf4::new(codes, absmax, absmax2, offset, layout.rows() * layout.cols())
        .expect("the layout counts the parts")
}

/// NF4's first-level scale code of a block.
pub(crate) fn nf4_absmax(layout: Layout, words: &[u32], row: usize, index: usize) -> u8 {
    let (tile, lane) = (row / TILE, row % TILE);
    let word = words[layout.sub_scales().start + (tile * layout.blocks() + index) * 4 + lane / 4];
    (word >> (8 * (lane % 4))) as u8
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

/// Takes one on-disk block apart.
fn read_block(format: Format, bytes: &[u8]) -> UnpackedBlock<'_> {
    let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let mut block = UnpackedBlock { codes: [0; 256], d: half(0), m: 0, sub_scales: &[] };
    let codes = &mut block.codes;
    let nibbles = |codes: &mut [u8; 256], qs: &[u8]| {
        for (j, byte) in qs.iter().enumerate() {
            codes[j] = byte & 15;
            codes[j + 16] = byte >> 4;
        }
    };
    let fifth_bit = |codes: &mut [u8; 256], qh: &[u8]| {
        for (j, code) in codes[..32].iter_mut().enumerate() {
            *code |= (qh[j / 8] >> (j % 8) & 1) << 4;
        }
    };
    match format {
        Format::Q4_0 => nibbles(codes, &bytes[2..18]),
        Format::Q4_1 => {
            block.m = half(2);
            nibbles(codes, &bytes[4..20]);
        }
        Format::Q5_0 => {
            nibbles(codes, &bytes[6..22]);
            fifth_bit(codes, &bytes[2..6]);
        }
        Format::Q5_1 => {
            block.m = half(2);
            nibbles(codes, &bytes[8..24]);
            fifth_bit(codes, &bytes[4..8]);
        }
        Format::Q8_0 => {
            for (code, byte) in codes.iter_mut().zip(&bytes[2..34]) {
                *code = byte ^ 0x80; // signed to offset by 128
            }
        }
        Format::Q4_K | Format::Q5_K => {
            block.m = half(2);
            block.sub_scales = &bytes[4..16];
            let (qh, qs) = match format {
                Format::Q4_K => (&[][..], &bytes[16..144]),
                _ => (&bytes[16..48], &bytes[48..176]),
            };
            // Sub-block pairs share 32 bytes: the even one in the low nibbles.
            for (codes, qs) in codes.chunks_exact_mut(64).zip(qs.chunks_exact(32)) {
                for (j, byte) in qs.iter().enumerate() {
                    codes[j] = byte & 15;
                    codes[j + 32] = byte >> 4;
                }
            }
            for (sub, codes) in codes.chunks_exact_mut(32).enumerate() {
                for (code, high) in codes.iter_mut().zip(qh) {
                    *code |= (high >> sub & 1) << 4;
                }
            }
        }
        Format::Q6_K => {
            block.d = half(208);
            block.sub_scales = &bytes[192..208];
            for (index, codes) in codes.chunks_exact_mut(32).enumerate() {
                let (low, low_shift, high, high_shift) = q6_k_place(32 * index);
                for (code, (low, high)) in codes.iter_mut().zip(bytes[low..].iter().zip(&bytes[128 + high..]))
                {
                    *code = (low >> low_shift & 15) | (high >> high_shift & 3) << 4;
                }
            }
        }
        Format::NF4 => {} // not stored in blocks
    }
    block
}

/// Where Q6_K keeps element `k`: byte and shift of its low nibble in `ql`, of its high bits in `qh`.
fn q6_k_place(k: usize) -> (usize, usize, usize, usize) {
    let (half, quarter, l) = (k / 128, k % 128 / 32, k % 32);
    (half * 64 + quarter % 2 * 32 + l, quarter / 2 * 4, half * 32 + l, quarter * 2)
}

fn write_block(layout: Layout, words: &[u32], row: usize, index: usize, codes: &[u8; 256], out: &mut [u8]) {
    let (d, m) = scale_bits(layout, words, row, index);
    let mut put_half = |at: usize, bits: u16| out[at..at + 2].copy_from_slice(&bits.to_le_bytes());
    let format = layout.format();
    match format {
        Format::Q6_K => put_half(208, d),
        Format::Q4_0 | Format::Q5_0 | Format::Q8_0 => put_half(0, d),
        _ => {
            put_half(0, d);
            put_half(2, m);
        }
    }
    let nibbles = |out: &mut [u8]| {
        for (j, byte) in out.iter_mut().enumerate() {
            *byte = (codes[j] & 15) | (codes[j + 16] & 15) << 4;
        }
    };
    let fifth_bit = |out: &mut [u8]| {
        for (j, code) in codes[..32].iter().enumerate() {
            out[j / 8] |= (code >> 4) << (j % 8);
        }
    };
    match format {
        Format::Q4_0 => nibbles(&mut out[2..18]),
        Format::Q4_1 => nibbles(&mut out[4..20]),
        Format::Q5_0 => {
            fifth_bit(&mut out[2..6]);
            nibbles(&mut out[6..22]);
        }
        Format::Q5_1 => {
            fifth_bit(&mut out[4..8]);
            nibbles(&mut out[8..24]);
        }
        Format::Q8_0 => {
            for (byte, code) in out[2..34].iter_mut().zip(codes) {
                *byte = code ^ 0x80;
            }
        }
        Format::Q4_K | Format::Q5_K => {
            out[4..16].copy_from_slice(&sub_scale_bytes(layout, words, row, index)[..12]);
            let (qh, qs) = if format == Format::Q4_K { (0, 16) } else { (16, 48) };
            for (k, code) in codes.iter().enumerate() {
                let (sub, j) = (k / 32, k % 32);
                out[qs + sub / 2 * 32 + j] |= (code & 15) << (4 * (sub % 2));
                if format == Format::Q5_K {
                    out[qh + j] |= (code >> 4) << sub;
                }
            }
        }
        Format::Q6_K => {
            out[192..208].copy_from_slice(&sub_scale_bytes(layout, words, row, index));
            for (k, code) in codes.iter().enumerate() {
                let (low, low_shift, high, high_shift) = q6_k_place(k);
                out[low] |= (code & 15) << low_shift;
                out[128 + high] |= (code >> 4) << high_shift;
            }
        }
        Format::NF4 => {}
    }
}

fn put_codes(
    layout: Layout,
    index: usize,
    lane: usize,
    block: &[u8; 256],
    codes: &mut [u32],
    high: &mut [u32],
) {
    let first = index * layout.format().block_len();
    // Four codes as the bytes of a word.
    let (fours, _) = block[..layout.format().block_len()].as_chunks::<4>();
    let four = |at: usize| u32::from_le_bytes(fours[at]);
    if layout.format() == Format::Q8_0 {
        for at in 0..fours.len() {
            codes[(first / 4 + at) * TILE + lane] = four(at);
        }
        return;
    }
    for eight in 0..fours.len() / 2 {
        let (low, high) = (four(2 * eight) & 0x0f0f_0f0f, four(2 * eight + 1) & 0x0f0f_0f0f);
        codes[(first / 8 + eight) * TILE + lane] = low | high << 4;
    }
    let (bits, per_word) = match layout.format() {
        Format::Q5_0 | Format::Q5_1 | Format::Q5_K => (1, 8),
        Format::Q6_K => (2, 4),
        _ => return,
    };
    let mask = 0x0101_0101 * ((1 << bits) - 1);
    for word in 0..fours.len() / per_word {
        let parts = (0..per_word).map(|q| (four(word * per_word + q) >> 4 & mask) << (bits * q));
        high[(first / (4 * per_word) + word) * TILE + lane] = parts.fold(0, |word, part| word | part);
    }
}

/// The codes of one block of one row, as unsigned numbers.
pub(crate) fn get_codes(layout: Layout, words: &[u32], row: usize, index: usize, block: &mut [u8; 256]) {
    let (tile, lane) = (row / TILE, row % TILE);
    let len = layout.format().block_len();
    let codes = &words[layout.codes()][tile * layout.tile_codes()..];
    let high = &words[layout.high()][tile * layout.tile_high()..];
    for (offset, code) in block[..len].iter_mut().enumerate() {
        let k = index * len + offset;
        if layout.format() == Format::Q8_0 {
            *code = (codes[k / 4 * TILE + lane] >> (8 * (k % 4))) as u8;
            continue;
        }
        let low = codes[k / 8 * TILE + lane] >> (8 * (k % 4) + 4 * (k / 4 % 2)) & 15;
        let top = match layout.format() {
            Format::Q5_0 | Format::Q5_1 | Format::Q5_K => {
                high[k / 32 * TILE + lane] >> (8 * (k % 4) + k % 32 / 4) & 1
            }
            Format::Q6_K => high[k / 16 * TILE + lane] >> (8 * (k % 4) + 2 * (k % 16 / 4)) & 3,
            _ => 0,
        };
        *code = (low | top << 4) as u8;
    }
}

fn put_scales(
    format: Format,
    index: usize,
    lane: usize,
    block: &UnpackedBlock,
    sub_scales: &mut [u32],
    scales: &mut [u32],
) {
    let words = block.sub_scales.len() / 4;
    for (word, bytes) in block.sub_scales.chunks_exact(4).enumerate() {
        sub_scales[(index * words + word) * TILE + lane] =
            u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    if format.has_minimum() {
        scales[index * TILE + lane] = u32::from(block.d) | u32::from(block.m) << 16;
    } else {
        scales[index * (TILE / 2) + lane / 2] |= u32::from(block.d) << (16 * (lane % 2));
    }
}

/// The f16 bits of a block's scale and minimum (0 where the format has none).
pub(crate) fn scale_bits(layout: Layout, words: &[u32], row: usize, index: usize) -> (u16, u16) {
    let (tile, lane) = (row / TILE, row % TILE);
    let scales = &words[layout.scales()][tile * layout.tile_scales()..];
    if layout.format().has_minimum() {
        let word = scales[index * TILE + lane];
        (word as u16, (word >> 16) as u16)
    } else {
        ((scales[index * (TILE / 2) + lane / 2] >> (16 * (lane % 2))) as u16, 0)
    }
}

/// The packed sub-scale bytes of a K-quant block: 12 of Q4_K and Q5_K, 16 of Q6_K.
pub(crate) fn sub_scale_bytes(layout: Layout, words: &[u32], row: usize, index: usize) -> [u8; 16] {
    let (tile, lane) = (row / TILE, row % TILE);
    let count = if layout.format() == Format::Q6_K { 4 } else { 3 };
    let sub_scales = &words[layout.sub_scales()][tile * layout.tile_sub_scales()..];
    let mut bytes = [0; 16];
    for word in 0..count {
        let value = sub_scales[(index * count + word) * TILE + lane];
        bytes[4 * word..4 * word + 4].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}
