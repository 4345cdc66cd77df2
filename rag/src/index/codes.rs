//! Vectors in 8 bits with a scale each, and the exact ones beside them.
//!
//! `x ≈ scale · code`, `scale = max |x| / 127`: a fourth of the memory, and many times the speed. What they
//! find is compared again by the exact vectors, of which only those are read.

use std::ops::Range;
use std::sync::Arc;

use super::UnitVector;
use super::bytes::SegmentBytes;
use super::dot::Kernel;
use crate::bits::Bits;

/// Rows that are multiplied at a time: their products stay in the innermost cache.
const BLOCK: usize = 256;

/// A vector in 8 bits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Code {
    pub scale: f32,
    pub codes: Vec<i8>,
}

impl Code {
    pub fn new(vector: &[f32]) -> Code {
        let largest = vector.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        let scale = largest / 127.0;
        let code = |x: &f32| if scale > 0.0 { (x / scale).round().clamp(-127.0, 127.0) as i8 } else { 0 };
        Code { scale, codes: vector.iter().map(code).collect() }
    }
}

/// The vectors of a segment.
#[derive(Debug, Clone)]
pub(super) struct Codes {
    bytes: Arc<SegmentBytes>,
    scales: Range<usize>,
    codes: Range<usize>,
    vectors: Range<usize>,
    dim: usize,
    rows: usize,
    kernel: Kernel,
}

impl Codes {
    /// `rows` vectors of length `dim` in those ranges of `bytes`.
    ///
    /// # Errors
    /// If a range has another length.
    pub fn new(
        bytes: Arc<SegmentBytes>,
        [scales, codes, vectors]: [Range<usize>; 3],
        rows: usize,
        dim: usize,
    ) -> Result<Self, String> {
        let expected =
            rows.checked_mul(dim).and_then(|all| Some((rows.checked_mul(4)?, all, all.checked_mul(4)?)));
        let found = (scales.len(), codes.len(), vectors.len());
        if expected != Some(found) || [&scales, &codes, &vectors].iter().any(|part| part.end > bytes.len()) {
            return Err(format!(
                "{rows} vectors of {dim} do not fit {} bytes of scales, {} of codes and {} of vectors",
                found.0, found.1, found.2
            ));
        }
        Ok(Codes { bytes, scales, codes, vectors, dim, rows, kernel: Kernel::best() })
    }

    /// The same without exact vectors, for what compares codes alone.
    ///
    /// # Errors
    /// If a range has another length.
    pub fn without_vectors(
        bytes: Arc<SegmentBytes>,
        [scales, codes]: [Range<usize>; 2],
        rows: usize,
        dim: usize,
    ) -> Result<Self, String> {
        if Some(codes.len()) != rows.checked_mul(dim) || Some(scales.len()) != rows.checked_mul(4) {
            return Err(format!("{rows} codes of {dim} do not fit {} bytes", codes.len()));
        }
        Ok(Codes { bytes, scales, codes, vectors: 0..0, dim, rows, kernel: Kernel::best() })
    }

    /// Number of vectors.
    pub fn rows(&self) -> usize {
        self.rows
    }

    fn code_bytes(&self) -> &[i8] {
        as_signed(self.bytes.get(self.codes.clone()).unwrap_or_default())
    }

    fn scales(&self) -> &[[u8; 4]] {
        self.bytes.get(self.scales.clone()).unwrap_or_default().as_chunks().0
    }

    fn row(&self, row: usize) -> (&[i8], f32) {
        let codes = self.code_bytes().get(row * self.dim..(row + 1) * self.dim).unwrap_or_default();
        (codes, self.scales().get(row).map_or(0.0, |bytes| f32::from_le_bytes(*bytes)))
    }

    /// About the cosine of two rows.
    pub fn between(&self, a: usize, b: usize) -> f32 {
        let ((a, a_scale), (b, b_scale)) = (self.row(a), self.row(b));
        (self.kernel.dot)(a, b) as f32 * (a_scale * b_scale)
    }

    /// About the cosine of a query and a row.
    pub fn near(&self, query: &Code, row: usize) -> f32 {
        let (codes, scale) = self.row(row);
        (self.kernel.dot)(&query.codes, codes) as f32 * (query.scale * scale)
    }

    /// The exact vector of a row, as bytes.
    pub fn vector_bytes(&self, row: usize) -> &[u8] {
        let vectors = self.bytes.get(self.vectors.clone()).unwrap_or_default();
        vectors.get(row * self.dim * 4..(row + 1) * self.dim * 4).unwrap_or_default()
    }

    /// The exact vector of a row.
    pub fn vector(&self, row: usize) -> UnitVector {
        let (values, _) = self.vector_bytes(row).as_chunks::<4>();
        values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect::<Vec<f32>>().into()
    }

    /// The exact cosine of a query and a row.
    pub fn cosine(&self, query: &UnitVector, row: usize) -> f32 {
        query.cosine_of_bytes(self.vector_bytes(row).as_chunks().0)
    }

    /// The `count` rows whose codes are nearest to the query's, of those `allowed`; not in order. Among
    /// equals the earlier rows.
    pub fn scan(&self, query: &Code, allowed: Option<&Bits>, count: usize) -> Vec<usize> {
        if query.codes.len() != self.dim || count == 0 {
            return Vec::new();
        }
        let order = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        let mut best: Vec<(f32, usize)> = Vec::with_capacity(2 * count);
        let mut least = f32::NEG_INFINITY;
        let mut dots = [0i32; BLOCK];
        let blocks = self.code_bytes().chunks((BLOCK * self.dim).max(1)).zip(self.scales().chunks(BLOCK));
        for (number, (codes, scales)) in blocks.enumerate() {
            (self.kernel.dots)(&query.codes, codes, &mut dots);
            for (at, (dot, scale)) in dots.iter().zip(scales).enumerate() {
                let score = *dot as f32 * (query.scale * f32::from_le_bytes(*scale));
                // Rows ascend, so that one that only equals the least so far comes after it.
                if score <= least {
                    continue;
                }
                let row = number * BLOCK + at;
                if allowed.is_some_and(|allowed| !allowed.has(row)) {
                    continue;
                }
                best.push((score, row));
                if best.len() == 2 * count {
                    best.select_nth_unstable_by(count - 1, order);
                    best.truncate(count);
                    least = best.iter().map(|(score, _)| *score).fold(f32::INFINITY, f32::min);
                }
            }
        }
        if best.len() > count {
            best.select_nth_unstable_by(count - 1, order);
            best.truncate(count);
        }
        best.into_iter().map(|(_, row)| row).collect()
    }
}

/// Bytes as the signed numbers that they are.
fn as_signed(bytes: &[u8]) -> &[i8] {
    // SAFETY: `i8` and `u8` have the same size and alignment, every bit pattern of both is valid, and the
    // result borrows `bytes`.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}

/// `codes` as the bytes that they are.
pub(super) fn as_bytes(codes: &[i8]) -> Vec<u8> {
    codes.iter().map(|code| *code as u8).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub fn codes_of(vectors: &[UnitVector], dim: usize) -> Codes {
        let coded: Vec<Code> = vectors.iter().map(|vector| Code::new(vector.as_slice())).collect();
        let mut bytes: Vec<u8> = coded.iter().flat_map(|code| code.scale.to_le_bytes()).collect();
        let scales = 0..bytes.len();
        bytes.extend(coded.iter().flat_map(|code| as_bytes(&code.codes)));
        let codes = scales.end..bytes.len();
        bytes.extend(vectors.iter().flat_map(|vector| vector.as_slice()).flat_map(|x| x.to_le_bytes()));
        let vectors = codes.end..bytes.len();
        let rows = coded.len();
        Codes::new(Arc::new(SegmentBytes::Owned(bytes)), [scales, codes, vectors], rows, dim).unwrap()
    }

    fn vectors(dim: usize, rows: usize) -> impl Strategy<Value = Vec<UnitVector>> {
        let vector = prop::collection::vec(-1.0f32..1.0, dim).prop_map(|v| UnitVector::new(v).unwrap());
        prop::collection::vec(vector, 1..rows)
    }

    proptest! {
        #[test]
        fn codes_are_near_the_vectors(vectors in vectors(48, 20)) {
            let codes = codes_of(&vectors, 48);
            for (row, vector) in vectors.iter().enumerate() {
                prop_assert_eq!(&codes.vector(row), vector);
                prop_assert_eq!(codes.cosine(vector, row), vector.cosine(vector));
                let exact = vectors[0].cosine(vector);
                prop_assert!((codes.between(0, row) - exact).abs() < 0.02);
                prop_assert_eq!(codes.near(&Code::new(vectors[0].as_slice()), row), codes.between(0, row));
            }
        }

        #[test]
        fn a_scan_gives_the_nearest_codes_that_are_allowed(
            vectors in vectors(8, 700), count in 0usize..40, modulus in 1usize..5,
        ) {
            let codes = codes_of(&vectors, 8);
            let query = Code::new(vectors[0].as_slice());
            let mut allowed = Bits::new(vectors.len(), false);
            (0..vectors.len()).step_by(modulus).for_each(|row| { allowed.set(row, true); });
            let mut found = codes.scan(&query, Some(&allowed), count);
            let mut expected: Vec<usize> = allowed.iter().collect();
            expected.sort_by(|a, b| codes.near(&query, *b).total_cmp(&codes.near(&query, *a)).then(a.cmp(b)));
            expected.truncate(count);
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_vector_like_nothing_is_like_nothing() {
        let nothing = UnitVector::new(vec![0.0; 4]).unwrap();
        let codes = codes_of(std::slice::from_ref(&nothing), 4);
        assert_eq!((codes.between(0, 0), codes.cosine(&nothing, 0)), (0.0, 0.0));
        assert_eq!(codes.scan(&Code::new(&[]), None, 3), [0usize; 0]);
    }

    #[test]
    fn ranges_that_do_not_fit_are_refused() {
        let bytes = Arc::new(SegmentBytes::Owned(vec![0; 100]));
        assert!(Codes::new(bytes.clone(), [0..4, 4..12, 12..44], 1, 8).is_ok());
        for (ranges, rows, dim) in [
            ([0..4, 4..12, 12..44], 2, 8),
            ([0..4, 4..12, 80..112], 1, 8),
            ([0..4, 4..12, 12..44], usize::MAX, 8),
        ] {
            assert!(Codes::new(bytes.clone(), ranges, rows, dim).is_err());
        }
    }
}
