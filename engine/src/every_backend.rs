//! Laws hold on every backend: each runs once for every one that this build has, as a test of its own.

use std::cell::RefCell;

use burn::tensor::Device;

thread_local! {
    /// The backend that the law on this thread is about.
    static DEVICE: RefCell<Option<Device>> = const { RefCell::new(None) };
}

/// The device of the law that runs on this thread.
///
/// # Panics
/// In a test that no [`on_every_backend`] declares.
pub(crate) fn device() -> Device {
    DEVICE.with_borrow(|device| device.clone().expect("a law declared by on_every_backend!"))
}

/// How many random cases a law tries that tries `count` on a CPU: on a GPU every new shape costs the compilation of its
/// kernels.
pub(crate) fn cases(count: u32) -> u32 {
    match crate::backend::largest_tensor(&device()) {
        Some(_) => (count / 8).max(1),
        None => count,
    }
}

/// Runs a law on one backend.
pub(crate) fn on(device: Device, law: fn()) {
    DEVICE.replace(Some(device));
    law();
}

/// Declares functions of the module as tests: `flex::NAME`, `ndarray::NAME`, `wgpu::NAME`, `cuda::NAME`, as far as the
/// build has the backend;
/// after `only flex:` those that are about the CPU's kernels.
macro_rules! on_every_backend {
    ($($law:ident),* $(,)? $(; only flex: $($own:ident),+ $(,)?)?) => {
        #[cfg(feature = "flex")]
        mod flex {
            $crate::every_backend::on_backend!(burn::tensor::Device::flex(); $($law,)* $($($own,)+)?);
        }

        #[cfg(not(feature = "flex"))]
        const _: &[fn()] = &[$($($own),+)?]; // they run elsewhere

        #[cfg(feature = "ndarray")]
        mod ndarray {
            $crate::every_backend::on_backend!($crate::device::parse("ndarray").unwrap(); $($law,)*);
        }

        #[cfg(feature = "wgpu")]
        mod wgpu {
            $crate::every_backend::on_backend!($crate::device::parse("wgpu").unwrap(); $($law,)*);
        }

        #[cfg(feature = "cuda")]
        mod cuda {
            $crate::every_backend::on_backend!($crate::device::parse("cuda").unwrap(); $($law,)*);
        }
    };
}
macro_rules! on_backend {
    ($device:expr; $($law:ident,)*) => {
        $(#[test]
        fn $law() {
            $crate::every_backend::on($device, super::$law);
        })*
    };
}
pub(crate) use on_backend;
pub(crate) use on_every_backend;
