//! bitsandbytes' dynamic 8-bit data type, in which NF4's scales are stored.

use std::sync::LazyLock;

/// The 256 values of a byte, ascending: `create_dynamic_map()` of bitsandbytes, to the bit.
pub fn dynamic_map() -> &'static [f32; 256] {
    DynamicMap::Signed.values()
}

/// The data type's two kinds.
///
/// The signed one has seven decades, from 1e-6 to 1, each with twice as many steps as the one below it, both signs, and
/// beside them 0 and 1 (but not -1: the least value is -0.993). The unsigned one has no signs, and twice as many steps
/// in each decade.
///
/// Source: Dettmers et al. 2022, 8-bit Optimizers via Block-wise Quantization, arXiv:2110.02861, section 1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DynamicMap {
    /// For numbers of both signs.
    Signed,
    /// For what is never negative.
    Unsigned,
}

impl DynamicMap {
    /// The 256 values of a byte, ascending: bitsandbytes' `create_dynamic_map(signed)`, to the bit.
    pub fn values(self) -> &'static [f32; 256] {
        static SIGNED: LazyLock<[f32; 256]> = LazyLock::new(|| created(true));
        static UNSIGNED: LazyLock<[f32; 256]> = LazyLock::new(|| created(false));
        match self {
            Self::Signed => &SIGNED,
            Self::Unsigned => &UNSIGNED,
        }
    }

    /// The code whose value is nearest to `x`; of two as near, the lower.
    pub fn nearest(self, x: f32) -> u8 {
        static SIGNED: LazyLock<[f32; 255]> = LazyLock::new(|| midpoints(DynamicMap::Signed));
        static UNSIGNED: LazyLock<[f32; 255]> = LazyLock::new(|| midpoints(DynamicMap::Unsigned));
        let midpoints = match self {
            Self::Signed => &SIGNED,
            Self::Unsigned => &UNSIGNED,
        };
        midpoints.partition_point(|midpoint| *midpoint < x) as u8
    }
}

fn midpoints(map: DynamicMap) -> [f32; 255] {
    let map = map.values();
    std::array::from_fn(|i| (map[i] + map[i + 1]) / 2.0)
}

fn created(signed: bool) -> [f32; 256] {
    let mut map = vec![0.0, 1.0];
    for (exponent, decade) in [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0].into_iter().enumerate() {
        let intervals = if signed { 1 << exponent } else { 2 << exponent };
        for i in 0..intervals {
            let value = decade * ((boundary(i, intervals) + boundary(i + 1, intervals)) / 2.0);
            map.extend([value, -value].into_iter().take(if signed { 2 } else { 1 }));
        }
    }
    map.sort_by(f32::total_cmp);
    // Two, and twice 1 + 2 + … + 64.
    std::array::from_fn(|code| map[code])
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
        for map in [DynamicMap::Signed, DynamicMap::Unsigned] {
            for (code, value) in map.values().iter().enumerate() {
                assert_eq!(usize::from(map.nearest(*value)), code, "{value}");
            }
        }
    }

    #[test]
    fn the_map_is_ascending_from_just_above_minus_one_or_from_zero_to_one() {
        for (map, least, middle) in
            [(DynamicMap::Signed, -0.992_968_74, 0.0), (DynamicMap::Unsigned, 0.0, 0.101_406_25)]
        {
            let map = map.values();
            assert!(map.is_sorted_by(|a, b| a < b));
            assert_eq!((map[0], map[255]), (least, 1.0));
            assert!((map[127] - middle).abs() < 0.01, "{}", map[127]);
        }
    }

    #[test]
    fn beyond_the_map_the_outermost_code_is_nearest() {
        let nearest = |x| DynamicMap::Signed.nearest(x);
        assert_eq!((nearest(-1.0), nearest(f32::INFINITY)), (0, 255));
    }
}
