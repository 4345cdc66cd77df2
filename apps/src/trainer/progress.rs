//! Progress of a run on stderr: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use engine::StepReport;
use indicatif::{ProgressBar, ProgressStyle};

/// Lines written over a run where there is no terminal.
const LINES: u64 = 20;

/// Tokens and time of the steps.
#[derive(Debug, Clone, Copy)]
pub struct Trained {
    /// Tokens that were read.
    pub tokens: usize,
    /// Seconds on the clock, without evaluations and checkpoints.
    pub seconds: f64,
}

/// Shows the loss, the speed and the time left on stderr.
pub struct Progress {
    bar: Option<ProgressBar>,
    /// When the step under way began.
    begun: Instant,
    /// What the steps took.
    busy: Duration,
    total: u64,
    /// Steps that an earlier part of the run made.
    earlier: u64,
    done: u64,
    tokens: usize,
}

impl Progress {
    /// Shows a run of `total` steps, of which `earlier` were made before.
    pub fn start(earlier: u64, total: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} steps  {msg}");
            ProgressBar::new(total)
                .with_position(earlier)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, begun: Instant::now(), busy: Duration::ZERO, total, earlier, done: earlier, tokens: 0 }
    }

    /// Notes that a step begins.
    pub fn begin(&mut self) {
        self.begun = Instant::now();
    }

    /// Notes that the step has ended after reading `tokens` tokens.
    pub fn step(&mut self, report: &StepReport, tokens: usize) {
        self.done += 1;
        self.tokens += tokens;
        self.busy += self.begun.elapsed();
        let speed = self.tokens as f64 / self.busy.as_secs_f64().max(1e-9);
        let left = self.total.saturating_sub(self.done) as f64 / (self.done - self.earlier) as f64;
        let left = clock(self.busy.mul_f64(left));
        let message = format!("loss {:.4}  {speed:.0} tokens/s  {left} left", report.loss);
        if let Some(bar) = &self.bar {
            bar.set_message(message);
            bar.inc(1);
        } else if self.done == self.earlier + 1
            || self.done == self.total
            || self.done.is_multiple_of(self.total.div_ceil(LINES))
        {
            eprintln!("step {}/{}  {message}", self.done, self.total);
        }
    }

    /// Prints a message between the steps.
    pub fn say(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{message}")),
            None => eprintln!("{message}"),
        }
    }

    /// What the steps took.
    pub fn trained(&self) -> Trained {
        Trained { tokens: self.tokens, seconds: self.busy.as_secs_f64() }
    }

    /// Ends the bar.
    pub fn finish(self) -> Trained {
        if let Some(bar) = &self.bar {
            bar.abandon(); // leaves the last state on the screen
        }
        self.trained()
    }
}

/// `1:02:03`, or `2:03` below an hour.
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_read_as_on_a_clock() {
        assert_eq!(clock(Duration::from_secs(59)), "0:59");
        assert_eq!(clock(Duration::from_secs(3723)), "1:02:03");
    }
}
