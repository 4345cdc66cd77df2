//! Which segments to merge: a function of their sizes alone.
//!
//! Segments are of the same tier if their sizes have the same number of digits to the base [`FAN`]. When a
//! tier has that many, they become one of a higher tier: so there are few segments, and a document that is
//! not deleted is copied once a tier.

/// Segments of a tier that become one.
pub(super) const FAN: usize = 8;

/// Fewest deleted documents and chunks for which a segment is written anew.
const MIN_DELETED: usize = 64;

/// What a decision is made from, each in documents and chunks together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentSize {
    /// Those that are not deleted.
    pub live: usize,
    /// All.
    pub all: usize,
}

impl SegmentSize {
    fn tier(self) -> u32 {
        self.live.max(1).ilog(FAN)
    }
}

/// The numbers of the segments that should become one, ascending; none if all is well.
pub(super) fn plan(segments: &[SegmentSize]) -> Vec<usize> {
    // A segment of which most is deleted costs memory and time for nothing.
    let wasted = |size: &SegmentSize| {
        let deleted = size.all - size.live.min(size.all);
        size.live == 0 || (deleted >= MIN_DELETED && deleted >= size.live)
    };
    if let Some(number) = segments.iter().position(wasted) {
        return vec![number];
    }
    let highest = segments.iter().map(|size| size.tier()).max().unwrap_or_default();
    for tier in 0..=highest {
        let of_tier: Vec<usize> =
            (0..).zip(segments).filter(|(_, size)| size.tier() == tier).map(|(n, _)| n).collect();
        if of_tier.len() >= FAN {
            return of_tier;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Segments as lists of documents of one chunk, each with how often it was copied.
    #[derive(Default)]
    struct Model {
        segments: Vec<(usize, Vec<u32>)>, // all chunks, and the live ones' copies
    }

    impl Model {
        fn settle(&mut self) -> Result<(), TestCaseError> {
            for _ in 0..100 {
                let sizes = |(all, live): &(usize, Vec<u32>)| SegmentSize { live: live.len(), all: *all };
                let plan = plan(&self.segments.iter().map(sizes).collect::<Vec<_>>());
                if plan.is_empty() {
                    return Ok(());
                }
                let mut merged = Vec::new();
                for number in plan.into_iter().rev() {
                    merged.extend(self.segments.remove(number).1.into_iter().map(|copies| copies + 1));
                }
                if !merged.is_empty() {
                    self.segments.push((merged.len(), merged));
                }
            }
            Err(TestCaseError::fail("there is always something to merge"))
        }
    }

    proptest! {
        #[test]
        fn segments_are_few_and_documents_are_copied_once_a_tier(
            batches in prop::collection::vec((1usize..40, 0usize..30), 1..200),
        ) {
            let mut model = Model::default();
            let (mut inserted, mut deleted) = (0, 0);
            for (added, gone) in batches {
                model.segments.push((added, vec![0; added]));
                inserted += added;
                for n in 0..gone {
                    let count = model.segments.len();
                    let live = &mut model.segments[n * 7 % count].1;
                    deleted += usize::from(live.pop().is_some());
                }
                model.settle()?;
                let tiers = inserted.ilog(FAN) as usize + 1;
                prop_assert!(model.segments.len() <= tiers * (FAN - 1));
                let live: usize = model.segments.iter().map(|(_, live)| live.len()).sum();
                prop_assert_eq!(live, inserted - deleted);
                // Segments shrink only by deleting, and each tier that one loses must be made up for.
                let copies = model.segments.iter().flat_map(|(_, live)| live).max().copied().unwrap_or_default();
                prop_assert!(deleted > 0 || copies as usize <= tiers, "{copies} of {tiers}");
            }
            let waste: usize = model.segments.iter().map(|(all, live)| all - live.len()).sum();
            let live: usize = model.segments.iter().map(|(_, live)| live.len()).sum();
            prop_assert!(waste <= live + MIN_DELETED * model.segments.len());
        }
    }

    #[test]
    fn what_is_mostly_deleted_is_written_anew() {
        let size = |live, all| SegmentSize { live, all };
        assert_eq!(plan(&[size(1000, 1000), size(400, 1000)]), [1]);
        assert_eq!(plan(&[size(1000, 1000), size(0, 1)]), [1]);
        assert_eq!(plan(&[size(1000, 1000), size(3, 10)]), [0usize; 0]);
        assert_eq!(plan(&[]), [0usize; 0]);
    }
}
