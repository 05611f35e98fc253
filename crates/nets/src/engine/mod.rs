//! What networks run on: device, threads, precision, and parameters kept flat.

mod cuda;
mod layout;
mod parameters;
mod precision;

pub use cuda::{CudaError, load_cuda};
pub use layout::channels_last;
pub use parameters::{Init, ParameterError, Parameters, ParametersBuilder, Scope};
pub use precision::{CpuFeatures, Precision};

use std::collections::BTreeSet;

use tch::Device;

/// Limits libtorch to `threads` threads inside one operation and one operation at a time.
/// CPU results depend on the number of threads, so it is set once, before the first tensor, and recorded.
pub fn set_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    tch::set_num_interop_threads(1);
}

/// Version of libtorch that the program was built against.
pub const LIBTORCH_VERSION: &str = "2.11.0";

/// The device of a name as it is written on the command line: `cpu`, `cuda`, `cuda:1`.
///
/// # Errors
/// When the name is none of these, or the device is not there.
pub fn device_from_name(name: &str) -> Result<Device, CudaError> {
    let Device::Cuda(index) = parse_device(name)? else { return Ok(Device::Cpu) };
    load_cuda()?;
    let available = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
    if index < available {
        Ok(Device::Cuda(index))
    } else {
        Err(CudaError::NoSuchDevice { index, available })
    }
}

/// The device of a name, which may not be there.
fn parse_device(name: &str) -> Result<Device, CudaError> {
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let unknown = || CudaError::UnknownDevice { found: name.to_owned() };
    Ok(Device::Cuda(match name.strip_prefix("cuda").ok_or_else(unknown)? {
        "" => 0,
        rest => rest.strip_prefix(':').and_then(|n| n.parse().ok()).ok_or_else(unknown)?,
    }))
}

/// The devices of a list of names with commas between them, `cuda:0,cuda:1`, that are to share work equally.
///
/// # Errors
/// When a name is none, a GPU is named twice or beside the CPU, or a device is not there.
pub fn devices_from_names(names: &str) -> Result<Vec<Device>, CudaError> {
    let list = |reason: &str| CudaError::List { found: names.to_owned(), reason: reason.to_owned() };
    if names.is_empty() {
        return Err(list("it names none"));
    }
    let parsed = names.split(',').map(parse_device).collect::<Result<Vec<Device>, CudaError>>()?;
    let distinct: BTreeSet<String> = parsed.iter().map(|&device| device_name(device)).collect();
    if distinct.contains("cpu") && distinct.len() > 1 {
        return Err(list("equal shares suit devices of one kind only"));
    }
    if !distinct.contains("cpu") && distinct.len() < parsed.len() {
        return Err(list("a GPU takes one share"));
    }
    names.split(',').map(device_from_name).collect()
}

/// The inverse of [`devices_from_names`].
pub fn device_names(devices: &[Device]) -> String {
    devices.iter().map(|&device| device_name(device)).collect::<Vec<_>>().join(",")
}

/// The inverse of [`device_from_name`].
pub fn device_name(device: Device) -> String {
    match device {
        Device::Cpu => "cpu".to_owned(),
        Device::Cuda(index) => format!("cuda:{index}"),
        other => format!("{other:?}").to_lowercase(),
    }
}
