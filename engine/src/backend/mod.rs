//! How each of burn's backends runs the project's ops.

#[cfg(feature = "flex")]
pub(crate) mod cpu;
#[cfg(feature = "cube")]
pub(crate) mod cube;
#[cfg(feature = "ndarray")]
mod ndarray;

use burn::tensor::Device;

#[cfg(feature = "flex")]
pub use cpu::instructions::instruction_set;
#[cfg(feature = "flex")]
pub use cpu::memory::heap::keep_freed_memory;
#[cfg(feature = "flex")]
pub(crate) use cpu::memory::weight_memory;

/// The instruction set of the project's own kernels: there are none in this build.
#[cfg(not(feature = "flex"))]
pub fn instruction_set() -> &'static str {
    "scalar"
}

/// Settings of the heap for the kernels of the CPU: there are none in this build.
#[cfg(not(feature = "flex"))]
pub fn keep_freed_memory() {}

/// Memory of packed weights until a device takes them.
#[cfg(not(feature = "flex"))]
pub(crate) mod weight_memory {
    pub(crate) type WeightMemory = Vec<u32>;

    pub(crate) fn zeros(len: usize) -> WeightMemory {
        vec![0; len]
    }

    pub(crate) fn into_data(words: WeightMemory) -> burn::tensor::TensorData {
        let shape = [words.len()];
        burn::tensor::TensorData::new(words, shape)
    }
}

/// What is known of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// What it is, a GPU in its driver's words.
    pub description: String,
    /// Bytes of its memory, where the driver tells.
    pub memory: Option<u64>,
    /// Bytes of the largest tensor, where there is a limit.
    pub largest_tensor: Option<u64>,
}

/// What is known of a device, which this opens.
pub(crate) fn info(device: &Device) -> DeviceInfo {
    #[cfg(feature = "cube")]
    if let Some(info) = cube::info::info(device) {
        return info;
    }
    let _ = device;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let description = format!("{cores} cores, {}", instruction_set());
    DeviceInfo { description, memory: physical_memory(), largest_tensor: None }
}

/// Opens a device, or says why it cannot be used.
pub(crate) fn open(device: &Device) -> Result<(), String> {
    #[cfg(feature = "cube")]
    cube::info::open(device)?;
    let _ = device;
    Ok(())
}

/// Bytes of the largest tensor that the device takes, where there is a limit.
pub(crate) fn largest_tensor(device: &Device) -> Option<u64> {
    #[cfg(feature = "cube")]
    if let Some(largest) = cube::info::largest_tensor(device) {
        return Some(largest);
    }
    let _ = device;
    None
}

#[cfg(target_os = "linux")]
fn physical_memory() -> Option<u64> {
    // SAFETY: it only reads a number.
    let of = |name| u64::try_from(unsafe { libc::sysconf(name) }).ok();
    Some(of(libc::_SC_PHYS_PAGES)? * of(libc::_SC_PAGESIZE)?)
}

#[cfg(not(target_os = "linux"))]
fn physical_memory() -> Option<u64> {
    None
}
