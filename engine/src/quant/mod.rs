//! Block quantization: the formats of GGUF and bitsandbytes' NF4.
//!
//! | format | a value is | bits a value | largest error |
//! |---|---|---|---|
//! | Q4_0 | d · (q - 8) | 4.5 | amax / 8 |
//! | Q4_1 | d · q + m | 5 | range / 30 |
//! | Q5_0 | d · (q - 16) | 5.5 | amax / 16 |
//! | Q5_1 | d · q + m | 6 | range / 62 |
//! | Q8_0 | d · q | 8.5 | amax / 254 |
//! | Q4_K | d · scale · q - dmin · min | 4.5 | range / 30 + 7.5 d + dmin / 2, rms |
//! | Q5_K | d · scale · q - dmin · min | 5.5 | range / 62 + 15.5 d + dmin / 2, rms |
//! | Q6_K | d · scale · (q - 32) | 6.5625 | amax / 32 + 32 d, rms |
//! | NF4 | code(q) · (map(absmax) · absmax2 + offset) | 4.127 | 0.152 amax + 0.0071 absmax2 |
//!
//! `amax` and `range` are those of the values that share a scale (amax: the largest magnitude), and the rounding of
//! scales to f16 adds 1/2048 of what they scale. K formats minimize a weighted square, so theirs is the weighted
//! root mean square of a group. `laws` holds them to it.

mod blocks;
#[cfg(feature = "flex")]
pub(crate) mod decode;
mod dynamic_map;
mod format;
pub(crate) mod formats;
mod layout;
pub(crate) mod pack;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod laws;

pub use blocks::{dequantize, has_finite_scales, quantize};
pub(crate) use dynamic_map::DynamicMap;
pub use dynamic_map::dynamic_map;
pub use format::Format;
pub use formats::nf4::{NF4_CODE, Nf4};
pub(crate) use layout::{Layout, TILE};
