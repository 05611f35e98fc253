//! Arithmetic of the heavy layers: f32, or bf16 with f32 master weights.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind};

/// What convolutions compute in. Parameters, their gradients, EMA, losses, norms and every sum over many
/// pixels stay in f32 whatever is chosen here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats throughout.
    F32,
    /// bfloat16 activations and weights inside convolutions.
    Bf16,
}

impl Precision {
    /// The tensor kind of activations inside convolution blocks.
    pub fn kind(self) -> Kind {
        match self {
            Precision::F32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
        }
    }

    /// The name used in records and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }

    /// The faster precision of a device: bf16 on GPUs and on processors with matrix instructions for it.
    pub fn best_for(device: Device) -> Self {
        match device {
            Device::Cpu if !CpuFeatures::detect().bf16 => Precision::F32,
            _ => Precision::Bf16,
        }
    }
}

impl FromStr for Precision {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "f32" => Ok(Precision::F32),
            "bf16" => Ok(Precision::Bf16),
            other => Err(format!("unknown precision {other:?}: expected f32 or bf16")),
        }
    }
}

/// What the processor offers that decides speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuFeatures {
    /// 256-bit vectors.
    pub avx2: bool,
    /// 512-bit vectors.
    pub avx512: bool,
    /// bfloat16 products in hardware (AVX512-BF16 or AMX).
    pub bf16: bool,
    /// Tile matrix instructions.
    pub amx: bool,
}

impl CpuFeatures {
    /// Asks the processor.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let flag = |name: &str| cpu_flags().split_whitespace().any(|found| found == name);
            Self {
                avx2: std::arch::is_x86_feature_detected!("avx2"),
                avx512: std::arch::is_x86_feature_detected!("avx512f"),
                bf16: flag("avx512_bf16") || flag("amx_bf16"),
                amx: flag("amx_bf16") && flag("amx_tile"),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            Self { avx2: false, avx512: false, bf16: false, amx: false }
        }
    }
}

/// The kernel's list of processor flags; detection of AMX in the standard library is not stable.
#[cfg(target_arch = "x86_64")]
fn cpu_flags() -> &'static str {
    use std::sync::OnceLock;
    static FLAGS: OnceLock<String> = OnceLock::new();
    FLAGS.get_or_init(|| {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let line = info.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
        line.to_owned()
    })
}
