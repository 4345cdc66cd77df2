//! The one place that knows which backends this build has.

use crate::backend;
pub use crate::backend::DeviceInfo;
use crate::error::EngineError;
pub use burn::tensor::Device;
#[cfg(feature = "cube")]
use burn::tensor::DeviceType;

/// Names accepted by [`parse`] in this build; the first is the default.
pub const AVAILABLE: &[&str] = &[
    #[cfg(feature = "flex")]
    "cpu",
    #[cfg(feature = "ndarray")]
    "ndarray",
    #[cfg(feature = "wgpu")]
    "wgpu",
    #[cfg(feature = "metal")]
    "metal",
    #[cfg(feature = "cuda")]
    "cuda",
];

/// Every name that some build accepts; each is that of the cargo feature that brings it, but for `cpu`, whose is `flex`.
pub const NAMES: [&str; 5] = ["cpu", "ndarray", "wgpu", "metal", "cuda"];

/// Whether a name is that of GPUs, of which there may be several, told apart by `:N`.
pub fn is_gpu(name: &str) -> bool {
    let backend = name.split(':').next().unwrap_or(name);
    ["wgpu", "metal", "cuda"].contains(&backend)
}

/// A device of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What [`parse`] takes.
    pub name: String,
    /// What is known of it.
    pub info: DeviceInfo,
}

/// The device that `name` stands for: `cpu` (burn's flex backend), `ndarray`, or a GPU, `wgpu`, `metal` or `cuda`, of
/// which `:1` is the second of [`list`].
///
/// # Errors
/// [`EngineError::Device`] if the build has no such backend, or the machine no such device.
pub fn parse(name: &str) -> Result<Device, EngineError> {
    let refused = |reason| EngineError::Device { name: name.into(), reason };
    let (backend, index) = match name.split_once(':') {
        Some((backend, index)) if is_gpu(backend) => (
            backend,
            index
                .parse()
                .map_err(|_| refused(format!("`{index}` is no number; the first one is {backend}:0")))?,
        ),
        Some((backend, _)) if NAMES.contains(&backend) => {
            return Err(refused(format!("there is only one {backend}")));
        }
        _ => (name, 0),
    };
    if !AVAILABLE.contains(&backend) {
        let has = format!("this build has {}", AVAILABLE.join(", "));
        return Err(refused(match NAMES.contains(&backend) {
            true => format!("{has}; `cargo build --release --features {}` adds it", feature(backend)),
            false => has,
        }));
    }
    let device = devices(backend).into_iter().nth(index).ok_or_else(|| refused(absent(backend)))?;
    backend::open(&device).map_err(refused)?;
    Ok(device)
}

/// Whether a tensor of so many bytes is one that the device takes.
///
/// # Errors
/// [`EngineError::Shape`] if it is too large; `what` names it there.
pub fn check_size(what: &str, bytes: usize, device: &Device) -> Result<(), EngineError> {
    match backend::largest_tensor(device) {
        Some(largest) if bytes as u64 > largest => Err(EngineError::Shape {
            what: what.into(),
            reason: format!(
                "takes {} MiB, and this device's tensors at most {}; a quantized file is smaller, and is cut to fit",
                bytes >> 20,
                largest >> 20
            ),
        }),
        _ => Ok(()),
    }
}

/// Every device that this build finds on this machine.
pub fn list() -> Vec<Found> {
    let of = |&backend: &&'static str| {
        let devices = devices(backend);
        devices.into_iter().enumerate().map(move |(index, device)| {
            let name = if is_gpu(backend) { format!("{backend}:{index}") } else { backend.into() };
            Found { name, info: backend::info(&device) }
        })
    };
    AVAILABLE.iter().flat_map(of).collect()
}

fn feature(name: &str) -> &str {
    if name == "cpu" { "flex" } else { name }
}

fn devices(backend: &str) -> Vec<Device> {
    match backend {
        #[cfg(feature = "flex")]
        "cpu" => vec![Device::flex()],
        #[cfg(feature = "ndarray")]
        #[allow(deprecated)] // burn retires ndarray in favour of flex; we keep it as a comparison
        "ndarray" => vec![Device::ndarray()],
        #[cfg(feature = "wgpu")]
        "wgpu" => backend::cube::info::hardware_first(Device::enumerate(DeviceType::Wgpu)),
        #[cfg(feature = "metal")]
        "metal" => backend::cube::info::hardware_first(Device::enumerate(DeviceType::Metal)),
        #[cfg(feature = "cuda")]
        "cuda" => Device::enumerate(DeviceType::Cuda).into_vec(),
        _ => Vec::new(),
    }
}

/// Why a machine lacks a device of a backend that the build has.
fn absent(backend: &str) -> String {
    let found: Vec<String> = list().into_iter().map(|found| found.name).collect();
    let needs = match backend {
        "cuda" => "no such NVIDIA card; it needs NVIDIA's driver (libcuda)",
        "metal" => "no such Metal device",
        _ => "no such GPU; on Linux it needs a Vulkan driver (for example mesa-vulkan-drivers)",
    };
    format!("{needs}. This machine has {}", found.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str) -> String {
        parse(name).map(|_| ()).expect_err(name).to_string()
    }

    #[test]
    fn every_name_of_the_build_is_listed() {
        let listed = list();
        for name in AVAILABLE.iter().filter(|name| !is_gpu(name)) {
            assert!(listed.iter().any(|found| found.name == **name), "{listed:?}");
            parse(name).unwrap();
        }
    }

    #[test]
    fn what_is_not_there_says_how_to_get_it() {
        assert!(refusal("tpu").ends_with(&format!("this build has {}", AVAILABLE.join(", "))));
        for name in NAMES.iter().filter(|name| !AVAILABLE.contains(name)) {
            let refusal = refusal(name);
            assert!(refusal.contains(&format!("--features {}` adds it", feature(name))), "{refusal}");
        }
        for name in AVAILABLE.iter().filter(|name| is_gpu(name)) {
            assert!(refusal(&format!("{name}:99")).contains("This machine has"));
            assert!(refusal(&format!("{name}:x")).contains("`x` is no number"));
        }
        assert!(refusal("cpu:1").contains("there is only one cpu"));
    }
}
