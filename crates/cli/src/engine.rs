//! Threads, device and precision of one process.

use std::sync::OnceLock;

use synthmr_core::records::EngineRecord;
use synthmr_nets::engine::{self, LIBTORCH_VERSION, Precision};
use synthmr_nets::tch::Device;

use crate::arguments::Common;
use crate::failure::Failure;
use crate::system;

/// What networks run on.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct EngineOptions {
    /// Device of the networks: cpu, cuda or cuda:N.
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    device: String,
}

/// Arithmetic of a training; what is trained in one is used in the same.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PrecisionOptions {
    /// Arithmetic of convolutions: f32 or bf16 [default: bf16 where the device computes it in hardware].
    #[arg(long, value_name = "KIND")]
    precision: Option<Precision>,
}

/// The engine, ready.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) device: Device,
    threads: usize,
}

/// Sets the threads of the parts that need no network. Once a process; the first call wins.
pub(crate) fn set_up_threads(common: Common) -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| {
        let threads = common.threads.map_or_else(system::physical_cores, usize::from);
        // Fails only when the pool exists, which this `OnceLock` rules out.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
        threads
    })
}

impl EngineOptions {
    /// Sets threads and opens the device.
    pub(crate) fn set_up(&self, common: Common) -> Result<Engine, Failure> {
        let threads = set_up_threads(common);
        // libtorch refuses to change the number of its pools once they work.
        static ENGINE: OnceLock<()> = OnceLock::new();
        ENGINE.get_or_init(|| engine::set_threads(threads));
        Ok(Engine { device: engine::device_from_name(&self.device)?, threads })
    }
}

impl Engine {
    /// The precision asked for, or the device's best, and the record of everything.
    pub(crate) fn with(&self, options: &PrecisionOptions) -> (Precision, EngineRecord) {
        let precision = options.precision.unwrap_or_else(|| Precision::best_for(self.device));
        let record = EngineRecord {
            libtorch: LIBTORCH_VERSION.to_owned(),
            device: engine::device_name(self.device),
            precision: precision.name().to_owned(),
            threads: self.threads,
        };
        (precision, record)
    }
}
