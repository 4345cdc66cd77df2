//! bitsandbytes' dynamic 8-bit data type, in which NF4's scales are stored.

use std::sync::LazyLock;

/// The 256 values of a byte, ascending: `create_dynamic_map()` of bitsandbytes, to the bit.
///
/// The type has seven decades, from 1e-6 to 1, each with twice as many steps as the one below it, both signs, and
/// beside them 0 and 1 (but not -1: the least value is -0.993).
///
/// Source: Dettmers et al. 2022, 8-bit Optimizers via Block-wise Quantization, arXiv:2110.02861, section 1.3.
pub fn dynamic_map() -> &'static [f32; 256] {
    static MAP: LazyLock<[f32; 256]> = LazyLock::new(|| {
        let mut map = [0.0; 256];
        map[255] = 1.0;
        let mut filled = 1;
        for (exponent, decade) in [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0].into_iter().enumerate() {
            let intervals = 1 << exponent;
            for i in 0..intervals {
                let mean = (boundary(i, intervals) + boundary(i + 1, intervals)) / 2.0;
                map[filled] = decade * mean;
                map[filled + 1] = -map[filled];
                filled += 2;
            }
        }
        map.sort_by(f32::total_cmp);
        map
    });
    &MAP
}

/// The code whose value is nearest to `x`; of two as near, the lower.
pub(super) fn nearest(x: f32) -> u8 {
    static MIDPOINTS: LazyLock<[f32; 255]> = LazyLock::new(|| {
        let map = dynamic_map();
        std::array::from_fn(|i| (map[i] + map[i + 1]) / 2.0)
    });
    MIDPOINTS.partition_point(|midpoint| *midpoint < x) as u8
}

/// Boundary `i` of `intervals` equal ones between 0.1 and 1, rounded as `torch.linspace` does: the lower half
/// counted from below and the upper from above, with fused multiply-add.
fn boundary(i: usize, intervals: usize) -> f32 {
    let step = (1.0 - 0.1) / intervals as f32;
    if i < intervals.div_ceil(2) {
        step.mul_add(i as f32, 0.1)
    } else {
        step.mul_add(-((intervals - i) as f32), 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_the_map_is_its_own_nearest() {
        for (code, value) in dynamic_map().iter().enumerate() {
            assert_eq!(usize::from(nearest(*value)), code, "{value}");
        }
    }

    #[test]
    fn the_map_is_ascending_from_just_above_minus_one_to_one() {
        let map = dynamic_map();
        assert!(map.is_sorted_by(|a, b| a < b));
        assert_eq!((map[0], map[127], map[255]), (-0.992_968_74, 0.0, 1.0));
    }

    #[test]
    fn beyond_the_map_the_outermost_code_is_nearest() {
        assert_eq!((nearest(-1.0), nearest(f32::INFINITY)), (0, 255));
    }
}
