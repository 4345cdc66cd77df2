//! Training data that can only be answered by reading: `trainer data`.
//!
//! Templates of articles leave their facts open; every row draws them anew, so that no fact can be learned by
//! heart, and the answers are made of the same draws. Rows show numbered passages as the server shows them,
//! among them passages that do not answer; every sentence of an answer cites its passage, and a row whose
//! answer has a figure that its passage does not have is an error.
//!
//! # The language of templates
//!
//! A file holds the articles of one kind of business. Lines that begin with `//` are comments.
//!
//! ```text
//! = returns | Returning [an item|things]   an article: topic and title
//! You have {limit:days 14 40} to decide.    a sentence; an empty line ends the paragraph
//! ## Heading                                a section
//! *a Returns cost {fee:money 3 9}.          a sentence that holds the fact a (`*a*b` holds two)
//! | Size | Price |                          a table: its head, then rows, which may hold facts
//! *b| Small | {small:money 3 9} |
//! - an item                                 a list (also `1. an item`); *c - an item with a fact
//! ? a wording | wording                     questions about the fact a
//! ? a+b wording                             a question about two facts
//! ?de a Wortlaut | Wortlaut                 a question in another language
//! > a > b wording | wording                 asked about b after a was answered
//! ! a Answer. | Other wording.              the answer, with the figures as the article has them
//! x question | question                     near the topic, but not answered by the article
//! ~a Until 2020 it cost {old:money 3 9}.    a decoy: put in beside the fact a in some rows
//! ```
//!
//! `[this|that|]` chooses; `{name:kind bounds}` draws a slot and `{name}` repeats it. Kinds: `money`, `int`,
//! `dec`, `pct`, `age`, `gb`, `kg`, `cm`, `km`, `days`, `wdays` (working days), `hours`, `weeks`, `months`,
//! `mins` and `time` (of day) take the lowest and the highest value; `date`, `weekday`, `phone`, `person`,
//! `place`, `street`, `company` and `product` take nothing; `mail`, `url` and `code` may take what they begin or end with;
//! `pick this;that` takes its values, which may have parts: with `{ok:pick Yes~may;No~may not}`, `{ok.0}` is
//! the part before `~`, and `{ok}` the last one.

mod answer;
mod article;
mod cite;
mod complete;
mod compose;
mod draw;
mod figures;
mod fill;
mod generate;
mod library;
mod lint;
mod names;
mod parse;
mod passage;
mod plan;
mod row;
mod scene;
mod slot;
mod talk;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod typos;
mod world;

pub use generate::run;
