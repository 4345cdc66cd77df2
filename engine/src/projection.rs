//! The slot.
/// A projection.
#[derive(Debug, Clone)]
pub struct Projection {}
