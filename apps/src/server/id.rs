//! Identifiers of requests, conversations, turns and keys.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The time of the last identifier: milliseconds since 1970 and, in the low 16 bits, a count.
static LAST: AtomicU64 = AtomicU64::new(0);

/// A new identifier: 36 hexadecimal digits, of which 20 are random, so that nobody guesses one. Later ones of a
/// process sort after earlier ones. (UUIDs of version 7 would do too; but burn uses that crate, and a feature more
/// of it would have every build compile burn anew.)
///
/// # Panics
/// If the operating system gives no random numbers, as that crate does.
pub fn new_id() -> String {
    let mut random = [0; 10];
    if let Err(error) = getrandom::fill(&mut random) {
        panic!("the operating system gives no random numbers: {error}");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let later = |last: u64| (now << 16).max(last + 1);
    // The time goes on whatever the clock does.
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(later(last)));
    let time = later(last.unwrap_or_else(|last| last));
    let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{time:016x}{random}")
}

#[cfg(test)]
mod tests {
    use super::new_id;

    #[test]
    fn later_ones_sort_after_earlier_ones() {
        let ids: Vec<String> = (0..100_000).map(|_| new_id()).collect();
        assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(ids.iter().all(|id| id.len() == 36));
    }
}
