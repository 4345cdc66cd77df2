//! What a person sees while a run goes on: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use engine::StepReport;
use indicatif::{ProgressBar, ProgressStyle};

/// Lines written over a run where there is no terminal.
const LINES: u64 = 20;

/// What the steps took.
#[derive(Debug, Clone, Copy)]
pub struct Trained {
    /// Tokens that were read.
    pub tokens: usize,
    /// Seconds on the clock.
    pub seconds: f64,
}

/// Shows the loss, the speed and the time left on stderr.
pub struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    total: u64,
    /// Steps that an earlier part of the run made.
    earlier: u64,
    done: u64,
    tokens: usize,
}

impl Progress {
    /// Starts the clock of a run of `total` steps, of which `earlier` were made before.
    pub fn start(earlier: u64, total: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} steps  {msg}  {eta} left");
            ProgressBar::new(total)
                .with_position(earlier)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, started: Instant::now(), total, earlier, done: earlier, tokens: 0 }
    }

    /// One step more, which read `tokens` tokens.
    pub fn step(&mut self, report: &StepReport, tokens: usize) {
        self.done += 1;
        self.tokens += tokens;
        let elapsed = self.started.elapsed();
        let speed = self.tokens as f64 / elapsed.as_secs_f64().max(1e-9);
        let message = format!("loss {:.4}  {speed:.0} tokens/s", report.loss);
        if let Some(bar) = &self.bar {
            bar.set_message(message);
            bar.inc(1);
        } else if self.done == self.earlier + 1
            || self.done == self.total
            || self.done.is_multiple_of(self.total.div_ceil(LINES))
        {
            let left = elapsed
                .mul_f64(self.total.saturating_sub(self.done) as f64 / (self.done - self.earlier) as f64);
            eprintln!("step {}/{}  {message}  {} left", self.done, self.total, clock(left));
        }
    }

    /// Says something between the steps.
    pub fn say(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{message}")),
            None => eprintln!("{message}"),
        }
    }

    /// What the steps since the start took.
    pub fn trained(&self) -> Trained {
        Trained { tokens: self.tokens, seconds: self.started.elapsed().as_secs_f64() }
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
