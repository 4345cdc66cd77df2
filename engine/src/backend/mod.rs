//! How each of burn's backends runs the project's ops.

#[cfg(feature = "flex")]
pub(crate) mod cpu;
#[cfg(feature = "ndarray")]
mod ndarray;

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
