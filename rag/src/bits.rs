//! A set of small numbers, one bit each.

/// A set of numbers below a fixed length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    /// All numbers below `len`, or none of them.
    pub fn new(len: usize, all: bool) -> Self {
        let mut bits = Bits { words: vec![if all { !0 } else { 0 }; len.div_ceil(64)], len };
        if let (true, Some(last)) = (all && !len.is_multiple_of(64), bits.words.last_mut()) {
            *last = (1 << (len % 64)) - 1; // so that `count` counts members alone
        }
        bits
    }

    /// Whether `number` is in the set.
    pub fn has(&self, number: usize) -> bool {
        self.words.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Puts `number` in or out; says whether that changed anything. Numbers from the length on are ignored.
    pub fn set(&mut self, number: usize, present: bool) -> bool {
        let Some(word) = self.words.get_mut(number / 64).filter(|_| number < self.len) else { return false };
        let before = *word;
        let mask = 1 << (number % 64);
        *word = if present { before | mask } else { before & !mask };
        *word != before
    }

    /// Numbers in the set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The numbers in the set, ascending.
    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len).filter(|number| self.has(*number))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_a_set(len in 0usize..200, changes in prop::collection::vec((0usize..220, any::<bool>()), 0..50), all: bool) {
            let mut bits = Bits::new(len, all);
            let mut set: BTreeSet<usize> = (0..if all { len } else { 0 }).collect();
            for (number, present) in changes {
                let changed = match present && number < len {
                    true => set.insert(number),
                    false => set.remove(&number),
                };
                prop_assert_eq!(bits.set(number, present), changed);
            }
            prop_assert_eq!(bits.count(), set.len());
            prop_assert!(bits.iter().eq(set.iter().copied()));
            prop_assert!((0..220).all(|number| bits.has(number) == set.contains(&number)));
        }
    }
}
