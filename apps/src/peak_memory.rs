//! The most memory that the process has held, for the two `bench` commands and for training.

use std::fs;

/// The largest resident size in MiB, where the system tells (Linux's `VmHWM`).
pub fn mib() -> Option<f64> {
    fs::read_to_string("/proc/self/status").ok().and_then(|status| high_water_mark(&status))
}

fn high_water_mark(status: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_the_status_of_the_process() {
        let status = "Name:\tserver\nVmPeak:\t 4096 kB\nVmHWM:\t    1536 kB\n";
        assert_eq!(high_water_mark(status), Some(1.5));
        assert_eq!(high_water_mark("Name:\tserver\nVmHWM:\tmany kB\n"), None);
        assert_eq!(high_water_mark(""), None);
    }
}
