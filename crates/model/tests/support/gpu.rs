//! The GPU that tests run on, one at a time.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use candle_core::Device;

/// Which GPU.
const VARIABLE: &str = "VDVAE_GPU";

/// A GPU that no other test uses meanwhile: what it finds wrong with a kernel shows in whatever is
/// called next.
pub(crate) struct Gpu {
    pub(crate) device: Device,
    _alone: MutexGuard<'static, ()>,
}

/// The GPU whose number is in `VDVAE_GPU`, the first where it is not set.
///
/// # Panics
/// Where there is none: these tests are built only where they are asked for, and must not pass by
/// doing nothing.
pub(crate) fn gpu() -> Gpu {
    static ALONE: Mutex<()> = Mutex::new(());
    static DEVICE: OnceLock<Result<Device, String>> = OnceLock::new();
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let number = std::env::var(VARIABLE).unwrap_or_else(|_| "0".to_owned());
    let open = || {
        let number = number.parse().map_err(|_| "expected the number of a GPU".to_owned())?;
        vdvae_model::cuda_device(number).map_err(|error| error.to_string())
    };
    match DEVICE.get_or_init(open) {
        Ok(device) => Gpu { device: device.clone(), _alone: alone },
        Err(error) => panic!("this test needs a GPU: {VARIABLE}={number}: {error}"),
    }
}
