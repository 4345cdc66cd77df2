//! Which adapter each row of a step is computed under.

use burn::tensor::{Device, Tensor};

use super::AdapterId;
use super::lora::Dropout;
use crate::ops::lora::PartRows;

/// The adapters of a step's rows: the base product of a projection runs once for all rows, an adapter's for its rows,
/// wherever they lie.
#[derive(Debug, Clone)]
pub(crate) struct RowAdapters {
    rows: Vec<Option<AdapterId>>,
    /// The rows of each adapter, `None` where they are all; those in none have no adapter.
    groups: Vec<(AdapterId, Option<PartRows<Tensor<2>>>)>,
    device: Device,
    /// Only in training.
    pub dropout: Option<Dropout>,
}

impl RowAdapters {
    /// Row counts with their adapters, in the order of the rows.
    pub fn new(parts: impl IntoIterator<Item = (usize, Option<AdapterId>)>, device: &Device) -> Self {
        let rows: Vec<_> =
            parts.into_iter().flat_map(|(len, adapter)| std::iter::repeat_n(adapter, len)).collect();
        let mut groups: Vec<(AdapterId, Vec<usize>)> = Vec::new();
        for (row, adapter) in rows.iter().enumerate() {
            let Some(adapter) = adapter else { continue };
            match groups.iter_mut().find(|(other, _)| other == adapter) {
                Some((_, rows)) => rows.push(row),
                None => groups.push((*adapter, vec![row])),
            }
        }
        let all = rows.len();
        let groups = groups.into_iter().map(|(adapter, rows)| {
            let some = (rows.len() < all).then(|| PartRows::new(rows, all, device));
            (adapter, some)
        });
        Self { groups: groups.collect(), rows, device: device.clone(), dropout: None }
    }

    /// All of `rows` rows under one adapter.
    pub fn all(rows: usize, adapter: Option<AdapterId>, device: &Device) -> Self {
        Self::new([(rows, adapter)], device)
    }

    /// Each adapter that has rows, with them; `None` stands for all.
    pub fn groups(&self) -> impl Iterator<Item = (AdapterId, Option<&PartRows<Tensor<2>>>)> {
        self.groups.iter().map(|(adapter, rows)| (*adapter, rows.as_ref()))
    }

    /// Those of some rows.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self { dropout: self.dropout, ..Self::new(rows.iter().map(|row| (1, self.rows[*row])), &self.device) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::every_backend::{device, on_every_backend};

    fn groups(adapters: &RowAdapters) -> Vec<(u64, Option<Vec<usize>>)> {
        adapters.groups().map(|(adapter, rows)| (adapter.0, rows.map(|rows| rows.indices.to_vec()))).collect()
    }

    on_every_backend!(the_rows_of_an_adapter_are_one_group);

    fn the_rows_of_an_adapter_are_one_group() {
        let (a, b) = (Some(AdapterId(1)), Some(AdapterId(2)));
        let all = RowAdapters::new([(2, None), (2, a), (0, b), (1, a), (1, None), (1, a), (2, b)], &device());
        assert_eq!(groups(&all), [(1, Some(vec![2, 3, 4, 6])), (2, Some(vec![7, 8]))]);
        assert_eq!(groups(&all.select(&[0, 8, 3, 6])), [(2, Some(vec![1])), (1, Some(vec![2, 3]))]);
        assert_eq!(groups(&all.select(&[2, 6])), [(1, None)]);
        assert_eq!(groups(&RowAdapters::all(4, None, &device())), []);
    }
}
