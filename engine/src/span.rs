//! Spans of a profile, around a step, a layer and an op.

/// Opens a span that lasts until the end of the enclosing block. Without the feature `profile` it is nothing at all.
macro_rules! span {
    ($name:literal $(, $field:ident = $value:expr)*) => {
        #[cfg(feature = "profile")]
        let _span = tracing::trace_span!($name $(, $field = $value)*).entered();
    };
}
pub(crate) use span;
