//! Which examples each step learns from.

use llama::dataset::epoch_order;

/// The steps of a run, as numbers of examples.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Examples there are.
    pub examples: usize,
    /// Examples of a micro-batch.
    pub batch_size: usize,
    /// Micro-batches of a step.
    pub grad_accum: usize,
    /// Decides the order; `None` keeps the examples' own.
    pub shuffle: Option<u64>,
}

impl Schedule {
    /// Steps of one epoch; its last may be smaller than the others.
    pub fn steps_per_epoch(&self) -> u64 {
        self.examples.div_ceil(self.batch_size).div_ceil(self.grad_accum) as u64
    }

    /// The micro-batches of each step, epoch after epoch without end.
    pub fn steps(&self) -> impl Iterator<Item = Vec<Vec<usize>>> {
        (0..).flat_map(|epoch| self.epoch(epoch))
    }

    fn epoch(&self, epoch: u64) -> Vec<Vec<Vec<usize>>> {
        let order = match self.shuffle {
            Some(seed) => epoch_order(self.examples, seed, epoch),
            None => (0..self.examples).collect(),
        };
        let batches: Vec<Vec<usize>> = order.chunks(self.batch_size).map(<[usize]>::to_vec).collect();
        batches.chunks(self.grad_accum).map(<[Vec<usize>]>::to_vec).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_sees_every_example_once() {
        let schedule = Schedule { examples: 11, batch_size: 2, grad_accum: 2, shuffle: Some(42) };
        assert_eq!(schedule.steps_per_epoch(), 3);
        let steps: Vec<_> = schedule.steps().take(6).collect();
        for epoch in steps.chunks(3) {
            let mut seen: Vec<usize> = epoch.iter().flatten().flatten().copied().collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..11).collect::<Vec<_>>());
        }
        assert_ne!(steps[..3], steps[3..], "epochs differ in their order");
    }

    #[test]
    fn unshuffled_is_the_files_order() {
        let schedule = Schedule { examples: 5, batch_size: 2, grad_accum: 2, shuffle: None };
        let steps: Vec<_> = schedule.steps().take(3).collect();
        assert_eq!(steps, [vec![vec![0, 1], vec![2, 3]], vec![vec![4]], vec![vec![0, 1], vec![2, 3]]]);
    }
}
