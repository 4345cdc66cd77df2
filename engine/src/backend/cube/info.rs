//! What a GPU is.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::backend::DispatchDevice;
use burn::tensor::Device;
#[cfg(feature = "wgpu")]
use burn::tensor::Devices;
use burn_cubecl::CubeDevice;

use crate::backend::DeviceInfo;

/// burn's handle of a GPU; `None` for another device.
fn cube(device: &Device) -> Option<CubeDevice> {
    match device.as_dispatch() {
        DispatchDevice::Cube(device) => Some(device.clone()),
        DispatchDevice::Autodiff(device) => match &**device {
            DispatchDevice::Cube(device) => Some(device.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// What the driver says of a GPU; `None` for another device.
pub(crate) fn info(device: &Device) -> Option<DeviceInfo> {
    let client = cube(device)?.client();
    let properties = client.properties();
    Some(DeviceInfo {
        description: properties.identity.name.clone(),
        memory: properties.memory.max_memory(),
        largest_tensor: Some(properties.memory.max_page_size),
    })
}

/// Bytes of the largest tensor on a GPU; `None` for another device.
pub(crate) fn largest_tensor(device: &Device) -> Option<u64> {
    Some(cube(device)?.client().properties().memory.max_page_size)
}

/// Opens a GPU, or says why it cannot be used.
pub(crate) fn open(device: &Device) -> Result<(), String> {
    let Some(cube) = cube(device) else { return Ok(()) };
    #[cfg(feature = "cuda")]
    if matches!(cube, CubeDevice::Cuda(_)) && cubecl::cuda::install::cuda_path().is_none() {
        return Err(
            "kernels are compiled by NVRTC, of a CUDA toolkit that is not found; install one (NVRTC and its \
                    headers are enough) and set CUDA_PATH to its folder"
                .into(),
        );
    }
    let opened = catch_unwind(AssertUnwindSafe(|| drop(cube.client())));
    opened.map_err(|panic| match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(_) => "its driver failed".into(),
    })
}

/// The devices that are hardware before those that a driver emulates on the CPU.
#[cfg(feature = "wgpu")]
pub(crate) fn hardware_first(devices: Devices) -> Vec<Device> {
    use burn::backend::WgpuDeviceKind;

    let emulated = |device: &Device| match cube(device) {
        Some(CubeDevice::Wgpu(device)) => matches!(device.kind, WgpuDeviceKind::Cpu),
        _ => false,
    };
    let mut devices = devices.into_vec();
    devices.sort_by_key(emulated);
    devices
}
