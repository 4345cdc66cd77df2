//! Products in f32, 16 lanes wide: the inner loop of attention and of the exact products.

use crate::backend::cpu::instructions::fma;

/// Lanes of a panel.
pub(crate) const LANES: usize = 16;
/// Rows whose sums, two registers of 8 lanes each, fit the registers beside a row of the panel.
pub(crate) const ROWS: usize = 6;

/// Sums of one row.
pub(crate) type Sums = [f32; LANES];

/// A matrix in memory: the element of row `i` and column `j` lies at `i · row + j · column`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub values: &'a [f32],
    pub row: usize,
    pub column: usize,
}

/// `c [rows, cols] += a [rows, inner] · b [inner, cols]`; the columns of `b` and `c` lie side by side.
#[inline(always)]
pub(crate) fn multiply<const FMA: bool>(
    [rows, inner, cols]: [usize; 3],
    a: View,
    b: (&[f32], usize),
    c: (&mut [f32], usize),
) {
    let ((b, b_stride), (c, c_stride)) = (b, c);
    let whole = cols / LANES * LANES;
    let mut first = 0;
    while first < rows && inner > 0 {
        let few = match rows - first {
            ROWS.. => ROWS,
            4.. => 4,
            2.. => 2,
            _ => 1,
        };
        for column in (0..whole).step_by(LANES) {
            let a = View { values: &a.values[first * a.row..], ..a };
            let c = &mut c[first * c_stride + column..];
            match few {
                ROWS => add::<FMA, ROWS>(inner, a, (&b[column..], b_stride), (c, c_stride)),
                4 => add::<FMA, 4>(inner, a, (&b[column..], b_stride), (c, c_stride)),
                2 => add::<FMA, 2>(inner, a, (&b[column..], b_stride), (c, c_stride)),
                _ => add::<FMA, 1>(inner, a, (&b[column..], b_stride), (c, c_stride)),
            }
        }
        first += few;
    }
    for (row, column) in (0..rows).flat_map(|row| (whole..cols).map(move |column| (row, column))) {
        let sum = &mut c[row * c_stride + column];
        for k in 0..inner {
            *sum = fma::<FMA>(a.values[row * a.row + k * a.column], b[k * b_stride + column], *sum);
        }
    }
}

#[inline(always)]
fn add<const FMA: bool, const N: usize>(inner: usize, a: View, b: (&[f32], usize), c: (&mut [f32], usize)) {
    let (c, stride) = c;
    let sums = std::array::from_fn(|n| *c[n * stride..].first_chunk().expect("16 columns"));
    let rows = std::array::from_fn(|n| &a.values[n * a.row..]);
    let sums = product::<FMA, N>(inner, (rows, a.column), b, sums);
    for (n, sums) in sums.iter().enumerate() {
        c[n * stride..][..LANES].copy_from_slice(sums);
    }
}

/// `sums[n] += Σ_k a[n][k · step] · b[k · stride ..][..16]` for `k < len`, in their order, each step in
/// one rounding if `FMA`; which also says that the machine has AVX2 if it is an x86.
///
/// # Panics
/// If `a` or `b` is too short.
#[inline(always)]
pub(crate) fn product<const FMA: bool, const N: usize>(
    len: usize,
    (a, step): ([&[f32]; N], usize),
    (b, stride): (&[f32], usize),
    mut sums: [Sums; N],
) -> [Sums; N] {
    if len == 0 {
        return sums;
    }
    assert!(a.iter().all(|a| a.len() > (len - 1) * step) && b.len() >= (len - 1) * stride + LANES);
    #[cfg(target_arch = "x86_64")]
    if FMA {
        // SAFETY: the caller has the instructions; the assertion gives the bounds.
        return unsafe {
            crate::backend::cpu::x86::product(len, (a.map(<[f32]>::as_ptr), step), (b.as_ptr(), stride), sums)
        };
    }
    for k in 0..len {
        let b: &Sums = b[k * stride..].first_chunk().expect("a row of the panel");
        for n in 0..N {
            for i in 0..LANES {
                sums[n][i] = fma::<FMA>(a[n][k * step], b[i], sums[n][i]);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_product_is_its_sum(rows in 1usize..15, inner in 0usize..20, cols in 1usize..50, transposed: bool) {
            let value = |i: usize| ((i * 37) % 23) as f32 - 11.0;
            let a: Vec<f32> = (0..rows * inner).map(value).collect();
            let (row, column) = if transposed { (1, rows) } else { (inner, 1) };
            let (b_stride, c_stride) = (cols + 3, cols + 5);
            let b: Vec<f32> = (0..inner * b_stride).map(|i| value(i + 5)).collect();
            let c: Vec<f32> = (0..rows * c_stride).map(|i| value(i + 9)).collect();
            let mut expected = c.clone();
            for (i, j, k) in (0..rows).flat_map(|i| (0..cols).flat_map(move |j| (0..inner).map(move |k| (i, j, k)))) {
                expected[i * c_stride + j] += a[i * row + k * column] * b[k * b_stride + j];
            }
            let mut found = vec![c.clone(), c];
            multiply::<false>([rows, inner, cols], View { values: &a, row, column }, (&b, b_stride), (&mut found[0], c_stride));
            multiply_here([rows, inner, cols], View { values: &a, row, column }, (&b, b_stride), (&mut found[1], c_stride));
            for found in found {
                prop_assert_eq!(&found, &expected); // small integers: every sum is exact
            }
        }
    }

    crate::backend::cpu::instructions::for_the_machine!(
        fn multiply_here(shape: [usize; 3], a: View, b: (&[f32], usize), c: (&mut [f32], usize)) = multiply
    );
}
