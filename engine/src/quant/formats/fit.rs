//! How K-quants choose a scale: several are tried, and the one with the least weighted squared error wins.
//!
//! The order of every sum, product and comparison is that of ggml's `make_qkx2_quants` and `make_qx_quants`:
//! a changed order changes last bits, and then the file.

/// ggml's `nearest_int`: rounds to the nearest integer, ties to even, by adding 1.5 · 2²³ and reading the mantissa.
///
/// Beyond ±2²² the result is arbitrary, but it is the one in everybody else's files.
pub(super) fn nearest_int(x: f32) -> i32 {
    let bits = (x + 12_582_912.0).to_bits() as i32;
    (bits & 0x007f_ffff) - 0x0040_0000
}

/// The candidate scales of [`affine`]: `max_code + first + 0.1 · step` codes over the range, for step in `0..=steps`.
pub(super) struct Search {
    pub(super) max_code: u8,
    pub(super) first: f32,
    pub(super) steps: u8,
}

impl Search {
    /// The code nearest to `x`.
    pub(super) fn code(&self, x: f32) -> u8 {
        nearest_int(x).clamp(0, i32::from(self.max_code)) as u8
    }
}

/// Scale, minimum and codes of `x ≈ scale · code - minimum`, where the minimum is not below 0.
///
/// From the plain fit to the values' range, each candidate scale gives codes, and these give the scale and
/// minimum with the least squared error, by linear regression.
pub(super) fn affine(values: &[f32; 32], search: &Search) -> (f32, f32, [u8; 32]) {
    // Large values count for more.
    let rms = (values.iter().fold(0.0, |sum, x| sum + x * x) / 32.0).sqrt();
    let weights = values.map(|x| rms + x.abs());
    let (mut sum_w, mut sum_x) = (0.0, 0.0);
    for (x, w) in values.iter().zip(weights) {
        sum_w += w;
        sum_x += w * x;
    }
    // Not below 0 as a minimum of codes means: not above 0 as a value.
    let mut min = values.iter().fold(0.0, |min: f32, x| min.min(*x));
    let max = values.iter().fold(f32::NEG_INFINITY, |max, x| max.max(*x));
    if max == min {
        return (0.0, -min, [0; 32]);
    }

    let error = |scale: f32, min: f32, codes: &[u8; 32]| {
        let mut sum = 0.0;
        for ((x, w), q) in values.iter().zip(weights).zip(codes) {
            let difference = scale * f32::from(*q) + min - x;
            sum += w * (difference * difference);
        }
        sum
    };
    let codes_per_unit = f32::from(search.max_code) / (max - min);
    let mut scale = 1.0 / codes_per_unit;
    let mut codes = values.map(|x| search.code(codes_per_unit * (x - min)));
    let mut least = error(scale, min, &codes);

    for step in 0..=search.steps {
        let wanted = search.first + 0.1 * f32::from(step) + f32::from(search.max_code);
        // `min` is the best so far, not the values' own.
        let codes_per_unit = wanted / (max - min);
        let candidate = values.map(|x| search.code(codes_per_unit * (x - min)));
        let (mut sum_q, mut sum_qq, mut sum_qx) = (0.0, 0.0, 0.0);
        for ((x, w), q) in values.iter().zip(weights).zip(candidate.map(f32::from)) {
            sum_q += w * q;
            sum_qq += w * q * q;
            sum_qx += w * q * x;
        }
        let determinant = sum_w * sum_qq - sum_q * sum_q;
        if determinant > 0.0 {
            let mut fitted_scale = (sum_w * sum_qx - sum_x * sum_q) / determinant;
            let mut fitted_min = (sum_qq * sum_x - sum_q * sum_qx) / determinant;
            if fitted_min > 0.0 {
                fitted_min = 0.0;
                fitted_scale = sum_qx / sum_qq;
            }
            let fitted = error(fitted_scale, fitted_min, &candidate);
            if fitted < least {
                (least, scale, min, codes) = (fitted, fitted_scale, fitted_min, candidate);
            }
        }
    }
    (scale, -min, codes)
}

/// Below this a group counts as zeros.
pub(super) const NEGLIGIBLE: f32 = 1e-15;

/// Scale and codes of `x ≈ scale · (code - 32)`, codes in 0..64.
///
/// The value farthest from 0 is put near code 0, and each candidate scale's codes give the scale with the
/// least squared error, each value weighted by its square.
pub(super) fn symmetric(values: &[f32; 16]) -> (f32, [u8; 16]) {
    let extreme = values.iter().fold(0.0, |max: f32, &x| if x.abs() > max.abs() { x } else { max });
    if extreme.abs() < NEGLIGIBLE {
        return (0.0, [0; 16]);
    }
    let steps = |codes_per_unit: f32| values.map(|x| nearest_int(codes_per_unit * x).clamp(-32, 31));
    let sums = |steps: &[i32; 16]| {
        let (mut sum_qx, mut sum_qq) = (0.0, 0.0);
        for (x, q) in values.iter().zip(steps.map(|q| q as f32)) {
            let w = x * x;
            sum_qx += w * x * q;
            sum_qq += w * q * q;
        }
        (sum_qx, sum_qq)
    };

    let mut chosen = steps(-32.0 / extreme);
    let (sum_qx, sum_qq) = sums(&chosen);
    let mut scale = if sum_qq == 0.0 { 0.0 } else { sum_qx / sum_qq };
    let mut best = scale * sum_qx;
    for step in (-9..=9).filter(|step| *step != 0) {
        let candidate = steps(-(32.0 + 0.1 * step as f32) / extreme);
        let (sum_qx, sum_qq) = sums(&candidate);
        if sum_qq > 0.0 && sum_qx * sum_qx > best * sum_qq {
            chosen = candidate;
            scale = sum_qx / sum_qq;
            best = scale * sum_qx;
        }
    }
    (scale, chosen.map(|q| (q + 32) as u8))
}
