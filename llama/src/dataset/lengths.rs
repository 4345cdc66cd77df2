//! How long the examples are.

/// Numbers of tokens, before anything is cut.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lengths {
    sorted: Vec<usize>,
}

impl Lengths {
    /// Collects the lengths of examples.
    pub fn new(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut sorted: Vec<usize> = lengths.into_iter().collect();
        sorted.sort_unstable();
        Self { sorted }
    }

    /// These and those of `other`.
    pub fn and(self, other: &Self) -> Self {
        Self::new(self.sorted.into_iter().chain(other.sorted.iter().copied()))
    }

    /// The length that `share` (0 to 1) of the examples do not exceed; 0 without examples.
    pub fn quantile(&self, share: f64) -> usize {
        let rank = (self.sorted.len() as f64 * share.clamp(0.0, 1.0)).ceil() as usize;
        self.sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    }

    /// The mean length; 0 without examples.
    pub fn mean(&self) -> f64 {
        self.sorted.iter().sum::<usize>() as f64 / self.sorted.len().max(1) as f64
    }

    /// How many examples have up to 16, 32, 64, … tokens and more than the length before: from the
    /// shortest to the longest example.
    pub fn histogram(&self) -> Vec<(usize, usize)> {
        let mut rest = self.sorted.as_slice();
        let mut buckets = Vec::new();
        let mut most: usize = 16;
        while let Some(longest) = rest.last() {
            let count = rest.partition_point(|&length| length <= most);
            if count > 0 || !buckets.is_empty() {
                buckets.push((most, count));
            }
            rest = rest.get(count..).unwrap_or_default();
            // The last bucket may be too wide: a limit beyond usize could never be reached.
            most = if *longest > most { most.saturating_mul(2) } else { most };
        }
        buckets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_fall_into_doubling_buckets() {
        let lengths = Lengths::new([200, 40, 33, 64, 33]);
        assert_eq!(lengths.histogram(), [(64, 4), (128, 0), (256, 1)]);
        assert_eq!((lengths.quantile(0.0), lengths.quantile(0.5), lengths.quantile(1.0)), (33, 40, 200));
        assert_eq!(lengths.mean(), 74.0);
        assert_eq!(Lengths::new([16, 17]).histogram(), [(16, 1), (32, 1)]);
        let none = Lengths::new([]);
        assert_eq!((none.histogram(), none.quantile(0.5), none.mean()), (vec![], 0, 0.0));
    }
}
