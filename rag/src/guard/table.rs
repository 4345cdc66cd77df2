//! Small dictionaries: lists of words, each with a value.

use std::collections::HashMap;
use std::hash::Hash;

/// Values by word, made once from lists whose words are set apart by white space.
pub(super) struct Table<V>(HashMap<&'static str, V>);

impl<V: Copy + Eq + Hash> Table<V> {
    /// Of a word in two lists the first counts.
    pub fn new(lists: &[(V, &'static str)]) -> Self {
        let mut values = HashMap::new();
        for (value, words) in lists {
            for word in words.split_ascii_whitespace() {
                values.entry(word).or_insert(*value);
            }
        }
        Table(values)
    }

    pub fn get(&self, word: &str) -> Option<V> {
        self.0.get(word).copied()
    }

    pub fn has(&self, word: &str) -> bool {
        self.0.contains_key(word)
    }

    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }
}
