//! The part of yarn that both kinds of file need.

/// Yarn's own magnitude of sine and cosine: `0.1 · mscale · ln(factor) + 1`.
///
/// Source: Peng et al. 2023, arXiv:2309.00071, eq. 22; `get_mscale` of transformers and llama.cpp.
pub(super) fn yarn_magnitude(factor: f64, mscale: f64) -> f64 {
    if factor > 1.0 { 0.1 * mscale * factor.ln() + 1.0 } else { 1.0 }
}
