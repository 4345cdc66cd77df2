//! A summary of the data, printed before a run.

use std::fmt;

use llama::dataset::{Dataset, Lengths, Listed};

use crate::data::Lists;
use crate::record::RowCounts;

/// Prints as a few lines: rows, what they repeat, what was left out and where, and token lengths.
pub struct DataSummary<'a> {
    pub dataset: &'a Dataset,
    pub rows: &'a RowCounts,
    pub listed: &'a Lists,
    pub lengths: &'a Lengths,
    pub max_length: usize,
}

impl fmt::Display for DataSummary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dataset, rows, listed, .. } = self;
        let total = dataset.rows.len();
        let test = if rows.test > 0 { format!(", {} set aside", rows.test) } else { String::new() };
        writeln!(f, "{} rows to train on, {} held back{test}", rows.train, rows.validation)?;
        let pairs = rows.distinct_pairs;
        if pairs < total {
            writeln!(
                f,
                "  {total} rows hold {pairs} distinct pairs of question and answer, counting as equal what differs in \
                 case, digits and punctuation only; {} rows repeat a question",
                total - rows.distinct_questions
            )?;
        }
        if rows.leaked > 0 {
            let (what, remedy) = match dataset.has_validation_rows() {
                true => ("--validation-data", "they measure memory"),
                false => ("this random split", "--split question keeps them apart"),
            };
            let leaked = rows.leaked;
            writeln!(f, "  {what} leaks: the questions of {leaked} rows held back are trained on; {remedy}")?;
        }
        self.list(f, &dataset.blank, "left out as blank")?;
        for (list, what) in [(&listed.skipped, "cannot be read"), (&listed.refused, "cannot be written")] {
            if list.count > 0 {
                writeln!(f, "  {} left out that {what}:", list.count)?;
                for note in &list.first {
                    writeln!(f, "    {}: {}", note.place(&dataset.files), note.reason)?;
                }
                if list.count > list.first.len() {
                    writeln!(f, "    …")?;
                }
            }
        }
        let max_length = self.max_length;
        self.list(f, &listed.truncated, &format!("cut to {max_length} tokens"))?;
        self.list(f, &listed.dropped, &format!("left out, whose prompts alone fill {max_length} tokens"))?;
        self.histogram(f)
    }
}

impl DataSummary<'_> {
    fn list(&self, f: &mut fmt::Formatter<'_>, list: &Listed, what: &str) -> fmt::Result {
        match list.count {
            0 => Ok(()),
            count => writeln!(f, "  {count} {what} ({})", list.places(&self.dataset.files)),
        }
    }

    fn histogram(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WIDTH: usize = 30;
        let Self { lengths, .. } = self;
        let [shortest, median, long, longest] = [0.0, 0.5, 0.95, 1.0].map(|share| lengths.quantile(share));
        writeln!(
            f,
            "  tokens of a row: {shortest} to {longest}, mean {:.1}, median {median}, 95 % up to {long}",
            lengths.mean()
        )?;
        let buckets = lengths.histogram();
        let most = buckets.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
        for (length, count) in buckets {
            let bar = "█".repeat((count * WIDTH).div_ceil(most));
            writeln!(f, "  {:>7} {bar:WIDTH$} {count}", format!("≤ {length}"))?;
        }
        Ok(())
    }
}
