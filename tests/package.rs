//! Cross-crate tests and benches live in this package.
