//! The backends: the only place, with the kernels, that names one.
//!
//! A backend is a value here, not a type: Burn 0.22 carries the choice in each tensor's device.

#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub(crate) mod launch;
mod memory;

use std::fmt;

#[cfg(feature = "wgpu")]
use burn::tensor::DeviceKind;
use burn::tensor::{DType, Device, Tensor};
use serde::Serialize;

use crate::error::{Error, Result};
#[cfg(feature = "cuda")]
use crate::group::Place;
use crate::named::named;

pub(crate) use memory::{InMemory, with_numbers};

named! {
    /// Where tensors live and who computes.
    #[derive(Default)]
    pub enum Backend: "backend" {
        /// The CPU, Burn's own plain backend: always compiled in.
        #[default]
        Flex = "flex",
        /// The CPU, on the `ndarray` crate.
        Ndarray = "ndarray",
        /// Any GPU, through wgpu (Vulkan, Metal, DirectX 12).
        Wgpu = "wgpu",
        /// A GPU through Vulkan, with SPIR-V kernels.
        Vulkan = "vulkan",
        /// An Apple GPU.
        Metal = "metal",
        /// An NVIDIA GPU through CUDA.
        Cuda = "cuda",
    }
}

impl Backend {
    /// Whether this program was built with it.
    pub fn compiled_in(self) -> bool {
        match self {
            Self::Flex => true,
            Self::Ndarray => cfg!(feature = "ndarray"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Vulkan => cfg!(feature = "vulkan"),
            Self::Metal => cfg!(feature = "metal"),
            Self::Cuda => cfg!(feature = "cuda"),
        }
    }

    /// Opens its best device and has it add two numbers, so that a missing or broken driver is
    /// found before any work starts.
    ///
    /// # Errors
    /// [`Error::NotCompiledIn`] and [`Error::NoDevice`].
    pub fn device(self) -> Result<Device> {
        if !self.compiled_in() {
            return Err(Error::NotCompiledIn(self.name()));
        }
        // A driver that is missing or broken is reported by a panic.
        let found = std::panic::catch_unwind(|| {
            let device = self.open();
            let two: f32 = Tensor::<1>::ones([2], &device).sum().into_scalar();
            (two == 2.0).then_some(device)
        });
        found.ok().flatten().ok_or(Error::NoDevice(self.name()))
    }

    fn open(self) -> Device {
        match self {
            #[cfg(feature = "ndarray")]
            #[allow(deprecated)]
            Self::Ndarray => Device::ndarray(),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Device::wgpu(DeviceKind::DefaultDevice),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Device::vulkan(DeviceKind::DefaultDevice),
            #[cfg(feature = "metal")]
            Self::Metal => Device::metal(DeviceKind::DefaultDevice),
            #[cfg(feature = "cuda")]
            Self::Cuda => Device::cuda(Place::here().device()),
            _ => Device::flex(),
        }
    }
}

/// Whether tensors of this device lie in the processor's own memory, with or without autodiff.
pub fn is_cpu(device: &Device) -> bool {
    use burn::backend::DispatchDevice;
    match device.clone().without_autodiff().as_dispatch() {
        DispatchDevice::Flex(_) => true,
        #[cfg(feature = "ndarray")]
        DispatchDevice::NdArray(_) => true,
        _ => false,
    }
}

/// Whose kernels of [`crate::conv`] take a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// Those for the processor.
    Cpu,
    /// Those for GPUs.
    Gpu,
}

/// The kernels for tensors of a device, with or without autodiff, and a type. `None` where there are
/// none: plain Burn operations do the work then. Few GPUs compute in double precision, so theirs are
/// single.
pub fn kernels(device: &Device, dtype: DType) -> Option<Kernels> {
    use burn::backend::DispatchDevice;
    match (device.clone().without_autodiff().as_dispatch(), dtype) {
        (DispatchDevice::Flex(_), DType::F32 | DType::F64) => Some(Kernels::Cpu),
        #[cfg(feature = "ndarray")]
        (DispatchDevice::NdArray(_), DType::F32 | DType::F64) => Some(Kernels::Cpu),
        #[cfg(any(feature = "wgpu", feature = "cuda"))]
        (DispatchDevice::Cube(_), DType::F32) => Some(Kernels::Gpu),
        _ => None,
    }
}

/// Waits until the device has done all that it was told to.
///
/// # Errors
/// [`Error::Backend`] where the device was lost or ran out of memory.
pub fn sync(device: &Device) -> Result<()> {
    device
        .sync()
        .map_err(|error| Error::Backend(format!("the device failed: {error}")))
}

/// The numbers of a tensor in single precision, row-major.
///
/// # Errors
/// [`Error::Backend`] where the device cannot hand them over.
pub(crate) fn read<const D: usize>(tensor: &Tensor<D>) -> Result<Vec<f32>> {
    tensor
        .clone()
        .try_into_vec_as()
        .map_err(|error| Error::Backend(format!("cannot read from the device: {error}")))
}

/// Which backends there are and which devices answer.
#[derive(Clone, Debug, Serialize)]
pub struct Survey {
    /// An entry for each backend.
    pub backends: Vec<Surveyed>,
}

/// What was found out about one backend.
#[derive(Clone, Debug, Serialize)]
pub struct Surveyed {
    /// Its name.
    pub backend: Backend,
    /// Whether this program was built with it.
    pub compiled_in: bool,
    /// Whether a device added two numbers right.
    pub answers: bool,
    /// The device, by the name that it gives itself.
    pub device: Option<String>,
}

/// Tries every backend that is compiled in.
pub fn survey() -> Survey {
    let backends = Backend::ALL.map(|backend| {
        let device = backend.device().ok();
        Surveyed {
            backend,
            compiled_in: backend.compiled_in(),
            answers: device.is_some(),
            device: device.as_ref().map(name_of),
        }
    });
    Survey {
        backends: backends.to_vec(),
    }
}

/// A graphics device by its own name, and whether it is a program on the processor instead.
fn name_of(device: &Device) -> String {
    if is_cpu(device) {
        return format!("the processor, threads: {}", rayon::current_num_threads());
    }
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    if let Some(identity) = device.identity() {
        return match identity.physical {
            Some(_) => identity.name,
            None => format!("{}, in software", identity.name),
        };
    }
    format!("{device:?}")
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in &self.backends {
            let found = match (&one.device, one.compiled_in) {
                (Some(device), _) => device.clone(),
                (None, true) => "compiled in, but no device answers".into(),
                (None, false) => format!("not compiled in; it is the feature '{}'", one.backend),
            };
            writeln!(f, "{:<8} {found}", one.backend.name())?;
        }
        Ok(())
    }
}
