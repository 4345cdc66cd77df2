//! The one place that knows which backends this build has.

use crate::error::EngineError;
pub use burn::tensor::Device;

/// Names accepted by [`parse`] in this build.
pub const AVAILABLE: &[&str] = &[
    #[cfg(feature = "flex")]
    "cpu",
    #[cfg(feature = "ndarray")]
    "ndarray",
];

/// The device that `name` stands for: `cpu` (burn's flex backend) or `ndarray`.
///
/// # Errors
/// [`EngineError::Device`] if the build has no such backend.
pub fn parse(name: &str) -> Result<Device, EngineError> {
    match name {
        #[cfg(feature = "flex")]
        "cpu" | "flex" => Ok(Device::flex()),
        #[cfg(feature = "ndarray")]
        #[allow(deprecated)] // burn retires ndarray in favour of flex; we keep it as a comparison
        "ndarray" => Ok(Device::ndarray()),
        _ => Err(EngineError::Device {
            name: name.into(),
            reason: format!("this build has {}", AVAILABLE.join(", ")),
        }),
    }
}
