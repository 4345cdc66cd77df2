//! Tests across crates, in one binary.

mod conformance;
mod schedules;
