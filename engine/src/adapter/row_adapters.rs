//! Which adapter each row of a step is computed under.

use std::ops::Range;

use super::AdapterId;
use super::lora::Dropout;

/// The adapters of a step's rows: the base product of a projection runs once for all rows, an adapter's for each of
/// its groups of neighbouring rows.
#[derive(Debug, Clone)]
pub(crate) struct RowAdapters {
    rows: usize,
    /// Ascending and disjoint; rows in none have no adapter.
    groups: Vec<(Range<usize>, AdapterId)>,
    /// Only in training.
    pub dropout: Option<Dropout>,
}

impl RowAdapters {
    /// Row counts with their adapters, in the order of the rows.
    pub fn new(parts: impl IntoIterator<Item = (usize, Option<AdapterId>)>) -> Self {
        let mut all = Self { rows: 0, groups: Vec::new(), dropout: None };
        for (len, adapter) in parts {
            let rows = all.rows..all.rows + len;
            all.rows = rows.end;
            let Some(adapter) = adapter.filter(|_| len > 0) else { continue };
            match all.groups.last_mut() {
                Some((last, same)) if *same == adapter && last.end == rows.start => last.end = rows.end,
                _ => all.groups.push((rows, adapter)),
            }
        }
        all
    }

    /// All of `rows` rows under one adapter.
    pub fn all(rows: usize, adapter: Option<AdapterId>) -> Self {
        Self::new([(rows, adapter)])
    }

    /// The groups of neighbouring rows that have an adapter.
    pub fn groups(&self) -> &[(Range<usize>, AdapterId)] {
        &self.groups
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Those of some rows, in ascending order.
    pub fn select(&self, rows: &[usize]) -> Self {
        let of = |row: usize| {
            let at = self.groups.partition_point(|(group, _)| group.end <= row);
            self.groups.get(at).filter(|(group, _)| group.contains(&row)).map(|(_, adapter)| *adapter)
        };
        Self { dropout: self.dropout, ..Self::new(rows.iter().map(|row| (1, of(*row)))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_adapter_are_one_group() {
        let (a, b) = (Some(AdapterId(1)), Some(AdapterId(2)));
        let all = RowAdapters::new([(2, None), (3, a), (0, b), (1, a), (1, None), (2, a), (4, b)]);
        let groups = [(2..6, AdapterId(1)), (7..9, AdapterId(1)), (9..13, AdapterId(2))];
        assert_eq!((all.rows(), all.groups()), (13, &groups[..]));
        let some = all.select(&[0, 3, 5, 7, 12]);
        assert_eq!((some.rows(), some.groups()), (5, &[(1..4, AdapterId(1)), (4..5, AdapterId(2))][..]));
        assert_eq!(RowAdapters::all(4, None).groups(), []);
    }
}
