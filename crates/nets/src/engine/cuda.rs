//! CUDA by `dlopen`: one binary serves machines with and without a GPU.
//!
//! The program links libtorch's CPU library only. With a CUDA device asked for, `libtorch_cuda.so` is opened
//! with global symbols before the first CUDA query; its static initialisers register the CUDA kernels.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Why a device cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CudaError {
    /// Not a device name.
    #[error("unknown device {found:?}\nhint: expected cpu, cuda or cuda:N")]
    UnknownDevice {
        /// The name as given.
        found: String,
    },
    /// A list of devices that cannot share work.
    #[error(
        "devices {found:?}: expected one or more devices to share every batch equally, found that {reason}\n\
         hint: GPUs by their numbers, each once: cuda:0,cuda:1; or cpu,cpu to try it out"
    )]
    List {
        /// The list as given.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The CUDA part of libtorch was not found or cannot be opened.
    #[error(
        "cannot open libtorch_cuda.so: {reason}\nhint: `cargo xtask libtorch --cuda`, or set SYNTHMR_LIBTORCH \
         to the `torch/lib` folder of an installed PyTorch {version}",
        version = super::LIBTORCH_VERSION
    )]
    Library {
        /// What the system said, or where it was looked for.
        reason: String,
    },
    /// Fewer devices than the index needs.
    #[error(
        "no CUDA device {index}: {available} available\nhint: `synthmr doctor` lists them; check the driver"
    )]
    NoSuchDevice {
        /// Index asked for.
        index: usize,
        /// Devices that the driver reports.
        available: usize,
    },
}

/// Where the CUDA library may be, in the order in which it is looked for.
fn candidates() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    folders.extend(std::env::var_os("SYNTHMR_LIBTORCH").map(PathBuf::from));
    if let Some(linked) = linked_folder() {
        folders.push(linked);
    }
    folders.into_iter().map(|folder| folder.join("libtorch_cuda.so")).collect()
}

/// The folder of the `libtorch_cpu.so` that this process has mapped.
fn linked_folder() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so"))?;
    let path = &line[line.find('/')?..];
    Path::new(path).parent().map(Path::to_owned)
}

/// Opens libtorch's CUDA library, once a process.
///
/// # Errors
/// [`CudaError::Library`] when it is not found or the system refuses to open it.
pub fn load_cuda() -> Result<(), CudaError> {
    static OUTCOME: OnceLock<Result<(), CudaError>> = OnceLock::new();
    OUTCOME.get_or_init(open_library).clone()
}

fn open_library() -> Result<(), CudaError> {
    let candidates = candidates();
    let Some(path) = candidates.iter().find(|path| path.is_file()) else {
        let places: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
        return Err(CudaError::Library { reason: format!("not found; looked for {}", places.join(", ")) });
    };
    open_global(path)
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "opening a shared library runs its initialisers")]
fn open_global(path: &Path) -> Result<(), CudaError> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: libtorch's own library, of the version we link, opened as PyTorch opens it; its initialisers
    // register kernels and touch nothing of ours.
    match unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) } {
        Ok(library) => {
            // Registered kernels must outlive every tensor, so it is never closed.
            std::mem::forget(library);
            Ok(())
        }
        Err(e) => Err(CudaError::Library { reason: e.to_string() }),
    }
}

#[cfg(not(unix))]
fn open_global(path: &Path) -> Result<(), CudaError> {
    Err(CudaError::Library { reason: format!("{}: CUDA is supported on Linux only", path.display()) })
}
