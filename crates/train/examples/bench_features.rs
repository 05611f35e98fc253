//! Times feature networks on a batch of grey images; the peer is `tools/bench/features_torch.py`.
//!
//! `cargo run --release -p synthmr-train --example bench_features [RUNS [THREADS [SIDE [BATCH]]]]`

mod common;

use std::error::Error;

use common::{Size, precisions, report, seconds};
use synthmr_nets::features::{EfficientNetLite0, FeatureNetwork, InceptionV3, Weights};
use tch::{Device, Kind, Tensor};

fn main() -> Result<(), Box<dyn Error>> {
    let size = Size::from_arguments(3, 64, 32);
    // Small weights of both signs: the time does not depend on them, as long as no number is subnormal.
    let rule = |_: &str, shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu)) * 0.05;
    let positive = move |name: &str, shape: &[i64]| {
        let values = rule(name, shape);
        if name.ends_with("running_var") { values.abs() + 0.5 } else { values }
    };
    let inception = InceptionV3::new(Weights::by_rule(positive, Device::Cpu))?;
    let lite = EfficientNetLite0::new(Weights::by_rule(positive, Device::Cpu))?;
    let networks: [(&str, &dyn FeatureNetwork); 2] =
        [("inception", &inception), ("efficientnet-lite0", &lite)];
    let images = Tensor::randint(256, [size.batch, 1, size.side, size.side], (Kind::Uint8, Device::Cpu));
    for (name, network) in networks {
        let times = seconds(size.runs, 1, || drop(network.features(&images)));
        // The first of the precisions is f32, in which feature networks compute.
        report(&format!("{name}-{}", size.batch), precisions()[0], &times);
    }
    Ok(())
}
