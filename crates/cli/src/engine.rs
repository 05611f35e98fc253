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

/// Devices that share the batches of a training.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReplicaOptions {
    /// Devices that each take an equal share of every batch, in the place of --device: cuda:0,cuda:1. The batch must
    /// divide. What is learnt is what one device learns, up to rounding; tested with cpu,cpu only, never run on GPUs.
    #[arg(long, value_name = "NAME,NAME", conflicts_with = "device")]
    devices: Option<String>,
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
    /// The device, or the first of several.
    pub(crate) device: Device,
    /// All of them.
    pub(crate) devices: Vec<Device>,
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
    /// For work that always runs on the processor.
    pub(crate) fn on_cpu() -> Self {
        Self { device: "cpu".to_owned() }
    }

    /// Sets threads and opens the device.
    pub(crate) fn set_up(&self, common: Common) -> Result<Engine, Failure> {
        self.open(None, common)
    }

    /// Sets threads and opens the devices of `replicas`, or the device where there are none.
    pub(crate) fn set_up_with(&self, replicas: &ReplicaOptions, common: Common) -> Result<Engine, Failure> {
        self.open(replicas.devices.as_deref(), common)
    }

    fn open(&self, several: Option<&str>, common: Common) -> Result<Engine, Failure> {
        let threads = set_up_threads(common);
        // libtorch refuses to change the number of its pools once they work.
        static ENGINE: OnceLock<()> = OnceLock::new();
        ENGINE.get_or_init(|| engine::set_threads(threads));
        let devices = match several {
            Some(names) => engine::devices_from_names(names)?,
            None => vec![engine::device_from_name(&self.device)?],
        };
        Ok(Engine { device: devices[0], devices, threads })
    }
}

impl Engine {
    /// The precision asked for, or the device's best, and the record of everything.
    pub(crate) fn with(&self, options: &PrecisionOptions) -> (Precision, EngineRecord) {
        let precision = options.precision.unwrap_or_else(|| Precision::best_for(self.device));
        let record = EngineRecord {
            libtorch: LIBTORCH_VERSION.to_owned(),
            device: engine::device_names(&self.devices),
            precision: precision.name().to_owned(),
            threads: self.threads,
        };
        (precision, record)
    }
}
