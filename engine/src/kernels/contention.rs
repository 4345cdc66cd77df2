//! When to work alone. A helper that another process has pushed off its core in the middle of a task
//! keeps the caller waiting for a whole time slice, some milliseconds, which is thirty times what a section
//! of a decoded token takes. While that goes on, one thread is faster than two.

use std::time::{Duration, Instant};

/// A wait that no imbalance of tasks explains: the shortest time slices are as long.
const LATE: Duration = Duration::from_millis(1);
/// How long the caller works alone after a first late helper, and at most after many.
const PAUSES: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(200)];
/// Sections without a late helper after which the next one counts as the first.
const CALM: u32 = 1000;

/// What a pool knows about the other processes of the machine.
#[derive(Debug)]
pub(super) struct Contention {
    alone_until: Option<Instant>,
    pause: Duration,
    calm: u32,
}

impl Contention {
    pub const fn none() -> Self {
        Self { alone_until: None, pause: PAUSES[0], calm: 0 }
    }

    /// Whether to work alone at the time `now`.
    pub fn alone(&mut self, now: impl FnOnce() -> Instant) -> bool {
        match self.alone_until {
            Some(until) if now() < until => true,
            _ => {
                self.alone_until = None;
                false
            }
        }
    }

    /// Notes a section that ended at `end`, in which the caller worked for `own` and then waited for `waited`.
    pub fn note(&mut self, own: Duration, waited: Duration, end: Instant) {
        if waited > LATE && waited > 2 * own {
            self.alone_until = Some(end + self.pause);
            self.pause = (4 * self.pause).min(PAUSES[1]);
            self.calm = 0;
        } else {
            self.calm += 1;
            if self.calm >= CALM {
                (self.pause, self.calm) = (PAUSES[0], 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_late_helper_is_left_alone_longer_and_longer() {
        let (mut contention, mut now) = (Contention::none(), Instant::now());
        for pause in [10, 40, 160, 200, 200] {
            assert!(!contention.alone(|| now));
            contention.note(MS / 10, 3 * MS, now);
            assert!(contention.alone(|| now + (pause - 1) * MS));
            now += pause * MS;
        }
        assert!(!contention.alone(|| now));
        for _ in 0..CALM {
            contention.note(MS / 10, MS / 100, now);
        }
        contention.note(MS / 10, 3 * MS, now);
        assert!(contention.alone(|| now + 9 * MS) && !contention.alone(|| now + 10 * MS));
    }

    #[test]
    fn long_tasks_and_short_waits_are_no_contention() {
        let (mut contention, now) = (Contention::none(), Instant::now());
        contention.note(20 * MS, 15 * MS, now); // a prompt's last task
        contention.note(MS / 10, MS / 2, now);
        assert!(!contention.alone(|| now));
    }
}
