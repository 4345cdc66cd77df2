//! Tests across crates: one binary.

mod conformance;
