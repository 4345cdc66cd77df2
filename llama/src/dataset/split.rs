//! Which rows are held back, and in which order the others are seen.

use std::collections::HashMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{Dataset, Row};

impl Dataset {
    /// Holds back about `fraction` of the rows for validation; the same rows for the same seed.
    ///
    /// Rows that ask the same thing stay on one side, or validation would measure memory: groups of
    /// rows are held back whole, in a shuffled order, as long as they fit in the share asked for. If
    /// none does, the smallest group is held back. One row at least is left to train on, so that the
    /// validation part is empty where all rows ask the same thing.
    ///
    /// Returns the training rows and the validation rows, each in the files' order.
    pub fn split(&self, fraction: f64, seed: u64) -> (Vec<&Row>, Vec<&Row>) {
        let target = (self.rows.len() as f64 * fraction.clamp(0.0, 1.0)).round() as usize;
        let mut groups = groups(&self.rows);
        groups.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));

        let mut held = vec![false; self.rows.len()];
        let mut count = 0;
        let fits: Vec<&Vec<usize>> = groups
            .iter()
            .filter(|group| {
                let fits = count + group.len() <= target && count + group.len() < self.rows.len();
                count += if fits { group.len() } else { 0 };
                fits
            })
            .collect();
        let smallest =
            groups.iter().min_by_key(|group| group.len()).filter(|_| target > 0 && groups.len() > 1);
        let chosen = if fits.is_empty() { Vec::from_iter(smallest) } else { fits };
        for &row in chosen.into_iter().flatten() {
            if let Some(held) = held.get_mut(row) {
                *held = true;
            }
        }
        let part = |side: bool| {
            self.rows.iter().zip(&held).filter(|(_, held)| **held == side).map(|(row, _)| row).collect()
        };
        (part(false), part(true))
    }
}

/// Row numbers, grouped by what the rows ask, in the order of their first row.
fn groups(rows: &[Row]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut index = HashMap::new();
    for (number, row) in rows.iter().enumerate() {
        let group = *index.entry(asked(&row.instruction)).or_insert(groups.len());
        match groups.get_mut(group) {
            Some(group) => group.push(number),
            None => groups.push(vec![number]),
        }
    }
    groups
}

/// The letters of `instruction` in lower case: "Where is order #12?" asks the same as "where is order
/// 7".
fn asked(instruction: &str) -> String {
    instruction.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect()
}

/// The order in which epoch `epoch` (from 0) sees `rows` examples: another one each epoch, the same
/// for the same seed.
pub fn epoch_order(rows: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(epoch);
    let mut order: Vec<usize> = (0..rows).collect();
    order.shuffle(&mut rng);
    order
}

#[cfg(test)]
mod tests {
    use super::super::Origin;
    use super::*;

    fn dataset(instructions: impl IntoIterator<Item = String>) -> Dataset {
        let row = |(line, instruction)| Row {
            instruction,
            context: None,
            response: "Yes.".into(),
            category: None,
            origin: Origin { file: 0, line: line as u64 },
        };
        let rows = instructions.into_iter().enumerate().map(row).collect();
        Dataset { rows, files: vec!["data.csv".into()], blank: 0 }
    }

    /// `kinds` questions, each asked `times` times with other numbers, case and punctuation.
    fn repeated(kinds: usize, times: usize) -> Dataset {
        let name = |kind: usize| (b'a' + kind as u8) as char;
        dataset((0..kinds * times).map(|i| match i % 2 {
            0 => format!("Where is {} #{i}?", name(i % kinds)),
            _ => format!("where is {}, {i}", name(i % kinds)),
        }))
    }

    #[test]
    fn rows_that_ask_the_same_stay_together() {
        let dataset = repeated(20, 5);
        let (train, validation) = dataset.split(0.1, 42);
        assert_eq!((train.len(), validation.len()), (90, 10));
        let asked_in = |rows: &[&Row]| rows.iter().map(|row| asked(&row.instruction)).collect::<Vec<_>>();
        let (train, validation) = (asked_in(&train), asked_in(&validation));
        assert!(validation.iter().all(|question| !train.contains(question)));
    }

    #[test]
    fn the_seed_decides() {
        let dataset = repeated(20, 5);
        assert_eq!(dataset.split(0.1, 1), dataset.split(0.1, 1));
        assert_ne!(dataset.split(0.1, 1), dataset.split(0.1, 2));
    }

    #[test]
    fn a_share_smaller_than_any_group_is_one_group() {
        assert_eq!(repeated(3, 10).split(0.1, 42).1.len(), 10);
        assert_eq!(repeated(3, 10).split(0.0, 42).1.len(), 0);
        assert_eq!(repeated(1, 10).split(0.5, 42).1.len(), 0, "one question cannot be divided");
        assert!(!repeated(2, 1).split(1.0, 42).0.is_empty(), "something is left to train on");
    }

    #[test]
    fn epochs_differ_and_repeat() {
        let order = epoch_order(50, 42, 0);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        assert_eq!(order, epoch_order(50, 42, 0));
        assert_ne!(order, epoch_order(50, 42, 1));
        assert_ne!(order, epoch_order(50, 43, 0));
    }
}
