//! Realism from outside: every metric moves as its definition says, and what cannot be compared is refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../examples/common/mod.rs"]
mod common;
mod degradations;
mod refusals;

use std::path::Path;

use synthmr_core::records::RealismRecord;
use synthmr_data::store::StoreSelection;
use synthmr_nets::tch::Device;
use synthmr_realism::{Cache, FeatureSource, Options, RealismError, Sets, measure};

use common::Silent;

/// A measurement with random convolutions, its features kept beside the stores.
fn measured(folder: &Path, real: &str, synthetic: &str, draws: usize) -> Result<RealismRecord, RealismError> {
    measured_by(folder, real, synthetic, draws, "as always")
}

fn measured_by(
    folder: &Path,
    real: &str,
    synthetic: &str,
    draws: usize,
    protocol: &str,
) -> Result<RealismRecord, RealismError> {
    let selection = |text: &str| folder.join(text).to_str().unwrap().parse::<StoreSelection>().unwrap();
    let sets = Sets::open(&selection(real), &selection(synthetic))?;
    let mut source = FeatureSource::random_conv(Device::Cpu);
    source.record.protocol = protocol.to_owned();
    let options = Options { draws, seed: 0 };
    measure(&sets, &source, &Cache::new(&folder.join("features")), &options, &mut Silent)
}
