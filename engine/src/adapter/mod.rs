//! Low-rank adapters of projections.

pub(crate) mod dora;
pub(crate) mod lora;
pub(crate) mod row_adapters;

/// An adapter that a model has loaded. A number is never used again, so it stands for a version as well: what was
/// computed under one adapter is not taken for another's that was loaded in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AdapterId(pub(crate) u64);
