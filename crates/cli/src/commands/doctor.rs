//! `synthmr doctor`: what this machine offers.

use std::path::PathBuf;

use serde::Serialize;
use synthmr_core::records::Tool;
use synthmr_nets::engine::{CpuFeatures, LIBTORCH_VERSION, Precision, load_cuda};
use synthmr_nets::tch::{Cuda, Device};

use crate::arguments::Common;
use crate::console;
use crate::engine::set_up_threads;
use crate::failure::Failure;
use crate::system;

/// Say what this machine offers: engine, processor, devices, memory, disk.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Folder whose disk is looked at.
    #[arg(long, value_name = "DIR", default_value = ".")]
    disk: PathBuf,
}

/// The findings, as `--json` prints them.
#[derive(Debug, Serialize)]
struct Diagnosis {
    tool: Tool,
    libtorch: &'static str,
    processor: Option<String>,
    avx2: bool,
    avx512: bool,
    bf16: bool,
    amx: bool,
    threads: usize,
    precision: &'static str,
    cuda_devices: usize,
    /// Why there is no CUDA device.
    cuda_problem: Option<String>,
    memory_total_bytes: Option<u64>,
    memory_available_bytes: Option<u64>,
    disk_free_bytes: Option<u64>,
}

impl Doctor {
    /// Looks and prints.
    pub(crate) fn run(&self, common: Common) -> Result<(), Failure> {
        let features = CpuFeatures::detect();
        let memory = system::memory();
        let (cuda_devices, cuda_problem) = match load_cuda() {
            Ok(()) => match usize::try_from(Cuda::device_count()).unwrap_or(0) {
                0 => (0, Some("the driver reports no device".to_owned())),
                count => (count, None),
            },
            Err(e) => (0, Some(e.to_string().lines().next().unwrap_or_default().to_owned())),
        };
        let diagnosis = Diagnosis {
            tool: Tool::this(),
            libtorch: LIBTORCH_VERSION,
            processor: system::processor_name(),
            avx2: features.avx2,
            avx512: features.avx512,
            bf16: features.bf16,
            amx: features.amx,
            threads: set_up_threads(common),
            precision: Precision::best_for(Device::Cpu).name(),
            cuda_devices,
            cuda_problem,
            memory_total_bytes: memory.map(|(total, _)| total),
            memory_available_bytes: memory.map(|(_, available)| available),
            disk_free_bytes: system::free_disk_bytes(&self.disk),
        };
        if common.json { console::json(&diagnosis) } else { Self::print(&diagnosis) }
    }

    fn print(d: &Diagnosis) -> Result<(), Failure> {
        let features = [("AVX2", d.avx2), ("AVX-512", d.avx512), ("bf16", d.bf16), ("AMX", d.amx)];
        let features: Vec<&str> = features.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
        let unknown = || "unknown".to_owned();
        let size = |bytes: Option<u64>| bytes.map_or_else(unknown, console::bytes);
        let cuda = match &d.cuda_problem {
            Some(problem) => format!("none: {problem}"),
            None => format!("{} (--device cuda:0 and on)", d.cuda_devices),
        };
        let lines = [
            ("synthmr", d.tool.version.clone()),
            ("libtorch", d.libtorch.to_owned()),
            ("processor", d.processor.clone().unwrap_or_else(unknown)),
            ("features", if features.is_empty() { "none".to_owned() } else { features.join(", ") }),
            ("threads", format!("{} (--threads)", d.threads)),
            ("precision", format!("{} on the processor (--precision)", d.precision)),
            ("CUDA", cuda),
            ("memory", format!("{} of {} free", size(d.memory_available_bytes), size(d.memory_total_bytes))),
            ("disk", format!("{} free", size(d.disk_free_bytes))),
        ];
        lines.iter().for_each(|(name, value)| console::result(&format!("{name:<10} {value}")));
        Ok(())
    }
}
