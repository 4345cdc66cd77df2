//! The order of rows in GGUF's query and key projections.
//!
//! Rotary embeddings turn pairs of channels. Hugging Face pairs channel `i` of a head with channel
//! `i + head_dim / 2`; GGUF's Llama pairs `2i` with `2i + 1`, and its converter moves the rows of
//! `q_proj` and `k_proj` accordingly. Here they are moved back and forth:
//!
//! ```text
//! GGUF:          0 h 1 h+1 2 h+2 …       (h = head_dim / 2)
//! Hugging Face:  0 1 2 … h h+1 h+2 …
//! ```
//!
//! A row of a block format is a whole number of blocks, so rows move as bytes and stay quantized.

/// The rows of a projection whose output is `rows / head_dim` heads, in Hugging Face's order, from GGUF's.
/// A bias is a matrix of one column.
///
/// # Errors
/// If they are not whole rows of whole heads.
pub(super) fn undo(bytes: &[u8], rows: usize, head_dim: usize) -> Result<Vec<u8>, String> {
    reordered(bytes, rows, head_dim, |place, half| (place % half) * 2 + place / half)
}

/// The inverse of [`undo`]: GGUF's order from Hugging Face's.
///
/// # Errors
/// As [`undo`].
pub(super) fn apply(bytes: &[u8], rows: usize, head_dim: usize) -> Result<Vec<u8>, String> {
    reordered(bytes, rows, head_dim, |place, half| (place % 2) * half + place / 2)
}

/// Reorders the rows of each head: row `place` of the result is row `source(place, half)` of the input.
fn reordered(
    bytes: &[u8],
    rows: usize,
    head_dim: usize,
    source: fn(usize, usize) -> usize,
) -> Result<Vec<u8>, String> {
    let row_bytes = bytes.len().checked_div(rows).unwrap_or(0);
    let is_whole = rows.checked_mul(row_bytes) == Some(bytes.len());
    let heads = rows.checked_div(head_dim).unwrap_or(0);
    if row_bytes == 0 || !is_whole || heads * head_dim != rows || !head_dim.is_multiple_of(2) {
        return Err(format!(
            "has {} bytes in {rows} rows, which are no whole heads of {head_dim} rows",
            bytes.len()
        ));
    }
    let mut out = Vec::with_capacity(bytes.len());
    for head in bytes.chunks_exact(row_bytes * head_dim) {
        for place in 0..head_dim {
            let start = source(place, head_dim / 2) * row_bytes;
            out.extend_from_slice(&head[start..start + row_bytes]);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What llama.cpp's converter does to a projection: `[heads, 2, half, cols]` with the two middle
    /// axes swapped.
    fn permute(bytes: &[u8], rows: usize, head_dim: usize) -> Vec<u8> {
        let row_bytes = bytes.len() / rows;
        let half = head_dim / 2;
        (0..rows)
            .flat_map(|row| {
                let (head, within) = (row / head_dim, row % head_dim);
                let source = head * head_dim + (within % 2) * half + within / 2;
                bytes[source * row_bytes..][..row_bytes].to_vec()
            })
            .collect()
    }

    #[test]
    fn interleaved_rows_become_two_halves() {
        let rows = undo(&[0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11], 12, 6).unwrap();
        assert_eq!(rows, (0..12).collect::<Vec<u8>>());
    }

    #[test]
    fn what_is_no_whole_heads_is_an_error() {
        let cases: [(&[u8], usize, usize); 6] = [
            (&[1, 2, 3], 3, 2),
            (&[1, 2, 3], 0, 2),
            (&[], 4, 2),
            (&[1, 2, 3], 2, 2),
            (&[1; 6], 6, 3),
            (&[1; 4], 4, 0),
        ];
        for (bytes, rows, head_dim) in cases {
            for reorder in [undo, apply] {
                let error = reorder(bytes, rows, head_dim).unwrap_err();
                assert!(error.contains(&format!("no whole heads of {head_dim} rows")), "{error}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_converter_is_undone(heads in 1usize..4, half in 1usize..5, row_bytes in 1usize..4) {
            let rows = heads * half * 2;
            let bytes: Vec<u8> = (0..rows * row_bytes).map(|byte| byte as u8).collect();
            let permuted = permute(&bytes, rows, half * 2);
            prop_assert_eq!(undo(&permuted, rows, half * 2).unwrap(), bytes.as_slice());
            prop_assert_eq!(apply(&bytes, rows, half * 2).unwrap(), permuted);
        }
    }
}
