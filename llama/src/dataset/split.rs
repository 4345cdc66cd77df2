//! Which rows are held back, and in which order the others are seen.

use std::collections::{HashMap, HashSet};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{Dataset, Row};

/// What stays together when rows are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SplitBy {
    /// Rows that ask the same thing; otherwise validation would measure memory.
    #[default]
    Question,
    /// Nothing. Rows that ask the same thing may be both learned and measured, so validation rows leak.
    Random,
}

/// How much is held back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SplitOptions {
    /// Share of the rows that measures while training.
    pub validation: f64,
    /// Share of the rows that is set aside.
    pub test: f64,
    /// What stays together.
    pub by: SplitBy,
    /// Decides which rows are held back; the same seed gives the same rows.
    pub seed: u64,
}

/// The parts of a data set, each in the files' order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split<'a> {
    /// Rows to learn from.
    pub train: Vec<&'a Row>,
    /// Rows that measure while training.
    pub validation: Vec<&'a Row>,
    /// Rows set aside.
    pub test: Vec<&'a Row>,
    /// Rows held back whose question is also among those to learn from.
    pub leaked: usize,
}

/// How many rows are distinct, regardless of case, digits and punctuation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distinct {
    /// Different questions: first messages of the user.
    pub questions: usize,
    /// Different pairs of that question and the last answer.
    pub pairs: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SplitPart {
    Train,
    Validation,
    Test,
}

impl Dataset {
    /// Holds back about the shares of the rows asked for.
    ///
    /// Groups of rows that ask the same thing are held back whole, in a shuffled order, as long as they
    /// fit in the share asked for. If none does, the smallest group is held back. One row at least is
    /// left to train on, so that a part is empty where all rows ask the same thing.
    pub fn split(&self, options: &SplitOptions) -> Split<'_> {
        // Rows of a validation file of their own are not split.
        let own = self.validation_from.unwrap_or(self.rows.len());
        let validation = if self.validation_from.is_some() { 0.0 } else { options.validation };
        let mut groups = match options.by {
            SplitBy::Question => groups(&self.rows[..own]),
            SplitBy::Random => (0..own).map(|row| vec![row]).collect(),
        };
        groups.shuffle(&mut ChaCha8Rng::seed_from_u64(options.seed));

        let mut parts = vec![SplitPart::Train; self.rows.len()];
        for (part, share) in [(SplitPart::Validation, validation), (SplitPart::Test, options.test)] {
            let target = (own as f64 * share.clamp(0.0, 1.0)).round() as usize;
            for row in hold_back(&mut groups, target).into_iter().flatten() {
                if let Some(place) = parts.get_mut(row) {
                    *place = part;
                }
            }
        }
        parts[own..].fill(SplitPart::Validation);
        let rows = |part| {
            let rows = self.rows.iter().zip(&parts).filter(move |(_, place)| **place == part);
            rows.map(|(row, _)| row).collect::<Vec<_>>()
        };
        let (train, validation, test) =
            (rows(SplitPart::Train), rows(SplitPart::Validation), rows(SplitPart::Test));
        let leaked = match options.by {
            SplitBy::Question if own == self.rows.len() => 0,
            _ => {
                let learned: HashSet<String> =
                    train.iter().map(|row| normalized(row.instruction())).collect();
                let held = validation.iter().chain(&test);
                held.filter(|row| learned.contains(&normalized(row.instruction()))).count()
            }
        };
        Split { train, validation, test, leaked }
    }

    /// Counts the distinct questions and answers.
    pub fn distinct(&self) -> Distinct {
        let (mut questions, mut pairs) = (HashSet::new(), HashSet::new());
        for row in &self.rows {
            let question = normalized(row.instruction());
            pairs.insert((question.clone(), normalized(row.response())));
            questions.insert(question);
        }
        Distinct { questions: questions.len(), pairs: pairs.len() }
    }
}

/// Takes groups of about `target` rows together, and leaves at least one.
fn hold_back(groups: &mut Vec<Vec<usize>>, target: usize) -> Vec<Vec<usize>> {
    let rows: usize = groups.iter().map(Vec::len).sum();
    let mut count = 0;
    let held: Vec<Vec<usize>> = groups
        .extract_if(.., |group| {
            let fits = count + group.len() <= target && count + group.len() < rows;
            count += if fits { group.len() } else { 0 };
            fits
        })
        .collect();
    if !held.is_empty() || target == 0 || groups.len() < 2 {
        return held;
    }
    let smallest = (0..groups.len()).min_by_key(|&group| groups.get(group).map(Vec::len));
    smallest.map(|group| groups.remove(group)).into_iter().collect()
}

/// Row numbers, grouped by what the rows ask, in the order of their first row.
fn groups(rows: &[Row]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut index = HashMap::new();
    for (number, row) in rows.iter().enumerate() {
        let group = *index.entry(normalized(row.instruction())).or_insert(groups.len());
        match groups.get_mut(group) {
            Some(group) => group.push(number),
            None => groups.push(vec![number]),
        }
    }
    groups
}

/// The letters of `text` in lower case: "Where is order #12?" asks the same as "where is order 7". A
/// text without letters is what it is.
fn normalized(text: &str) -> String {
    let letters: String = text.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect();
    if letters.is_empty() { text.into() } else { letters }
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
    use super::*;

    fn dataset(instructions: impl IntoIterator<Item = String>) -> Dataset {
        let rows = instructions.into_iter().map(|asked| Row::of(&[("user", &asked), ("assistant", "Yes.")]));
        Dataset { rows: rows.collect(), ..Dataset::default() }
    }

    /// `kinds` questions, each asked `times` times with other numbers, case and punctuation.
    fn repeated(kinds: usize, times: usize) -> Dataset {
        let name = |kind: usize| (b'a' + kind as u8) as char;
        dataset((0..kinds * times).map(|i| match i % 2 {
            0 => format!("Where is {} #{i}?", name(i % kinds)),
            _ => format!("where is {}, {i}", name(i % kinds)),
        }))
    }

    fn options(validation: f64, seed: u64) -> SplitOptions {
        SplitOptions { validation, test: 0.0, by: SplitBy::Question, seed }
    }

    fn sizes(split: &Split<'_>) -> (usize, usize, usize) {
        (split.train.len(), split.validation.len(), split.test.len())
    }

    #[test]
    fn a_validation_file_is_the_validation_part_and_its_leaks_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, rows: &[&str]| {
            let lines = rows.iter().map(|row| format!("{row},answer\n")).collect::<String>();
            let path = dir.path().join(name);
            std::fs::write(&path, format!("instruction,response\n{lines}")).unwrap();
            path
        };
        let options = crate::dataset::ReadOptions::default();
        let mut dataset =
            Dataset::open(&file("train.csv", &["a one", "b two", "c three"]), &options).unwrap();
        dataset.read_validation(&file("validation.csv", &["B. Two!", "d four"]), &options).unwrap();
        let split = dataset.split(&self::options(0.5, 1));
        let asked = |rows: &[&Row]| rows.iter().map(|row| row.instruction().to_owned()).collect::<Vec<_>>();
        assert_eq!(asked(&split.train), ["a one", "b two", "c three"]);
        assert_eq!(asked(&split.validation), ["B. Two!", "d four"]);
        assert_eq!((split.test.len(), split.leaked), (0, 1));
        let error = dataset.read_validation(&file("empty.csv", &[]), &options).unwrap_err().to_string();
        assert!(error.contains("empty.csv") && error.contains("no row"), "{error}");
    }

    #[test]
    fn rows_that_ask_the_same_stay_together() {
        let dataset = repeated(20, 5);
        let split = dataset.split(&SplitOptions { test: 0.2, ..options(0.1, 42) });
        assert_eq!((sizes(&split), split.leaked), ((70, 10, 20), 0));
        let asked = |rows: &[&Row]| -> HashSet<String> {
            rows.iter().map(|row| normalized(row.instruction())).collect()
        };
        let parts = [asked(&split.train), asked(&split.validation), asked(&split.test)];
        assert_eq!(parts.iter().map(HashSet::len).sum::<usize>(), 20, "each question is in one part");
        let alone = dataset.split(&options(0.1, 42));
        assert_eq!(alone.validation, split.validation, "a test part changes nothing else");
    }

    #[test]
    fn a_random_split_leaks_and_says_so() {
        let dataset = repeated(20, 5);
        let split = dataset.split(&SplitOptions { by: SplitBy::Random, test: 0.1, ..options(0.1, 42) });
        assert_eq!((sizes(&split), split.leaked), ((80, 10, 10), 20));
        let lines: Vec<_> = split.train.iter().map(|row| row.instruction()).collect();
        let all: Vec<_> =
            dataset.rows.iter().map(Row::instruction).filter(|row| lines.contains(row)).collect();
        assert_eq!(lines, all, "the files' order");
    }

    #[test]
    fn the_seed_decides() {
        let dataset = repeated(20, 5);
        assert_eq!(dataset.split(&options(0.1, 1)), dataset.split(&options(0.1, 1)));
        assert_ne!(dataset.split(&options(0.1, 1)), dataset.split(&options(0.1, 2)));
    }

    #[test]
    fn a_share_smaller_than_any_group_is_one_group() {
        let held = |dataset: &Dataset, share| dataset.split(&options(share, 42)).validation.len();
        assert_eq!(held(&repeated(3, 10), 0.1), 10);
        assert_eq!(held(&repeated(3, 10), 0.0), 0);
        assert_eq!(held(&repeated(1, 10), 0.5), 0, "one question cannot be divided");
        let two = repeated(2, 1);
        let all = two.split(&SplitOptions { test: 1.0, ..options(1.0, 42) });
        assert_eq!(sizes(&all), (1, 1, 0), "something is left to train on");
    }

    #[test]
    fn repetitions_are_counted() {
        let mut dataset = repeated(3, 5);
        assert_eq!(dataset.distinct(), Distinct { questions: 3, pairs: 3 });
        dataset.rows.push(Row::of(&[("user", "where is a"), ("assistant", "No.")]));
        assert_eq!(dataset.distinct(), Distinct { questions: 3, pairs: 4 });
        let numbers = self::dataset(["1?", "2?", "2?"].map(String::from));
        assert_eq!(numbers.distinct().questions, 2, "without letters, the characters count");
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
