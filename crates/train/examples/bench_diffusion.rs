//! Times of a diffusion model's training step, of a rectified flow's, and of one network call, as JSON lines; the peer is
//! `tools/bench/diffusion_guided.py`, OpenAI's guided-diffusion with the same network, loss, AdamW and average.
//!
//! `cargo run --release -p synthmr-train --example bench_diffusion [RUNS [THREADS [SIDE [BATCH]]]]`

mod common;

use synthmr_nets::engine::Precision;
use synthmr_train::config;
use synthmr_train::diffusion::{Denoiser, DiffusionLearner};
use synthmr_train::generator::{Family, GeneratorConfig, Learner, PRESETS};
use tch::{Device, Kind, Tensor};

use common::{Size, precisions, report, seconds};

const PLANES: i64 = 5;

fn main() {
    let size = Size::from_arguments(5, 64, 8);
    for precision in precisions() {
        for family in ["diffusion", "flow"] {
            bench(family, precision, size);
        }
    }
}

fn bench(family: &str, precision: Precision, size: Size) {
    let Size { runs, side, batch } = size;
    let mut settings = vec![format!("resolution={side}"), format!("batch={batch}")];
    if side == 64 {
        settings.push("network.multipliers=[1, 2, 3, 4]".to_owned());
    }
    let preset = format!("{family}-paper-256");
    #[expect(clippy::expect_used, reason = "the preset and the settings are constants")]
    let config: GeneratorConfig =
        config::resolve(PRESETS, Some(&preset), None, &settings).expect("the preset resolves");
    let Family::Diffusion(diffusion) = &config.family else { unreachable!("the preset is a diffusion's") };
    let reals = Tensor::rand([batch, PLANES, side, side], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;

    let mut learner = DiffusionLearner::new(&config, diffusion, PLANES, &[Device::Cpu], precision);
    let step = || {
        std::hint::black_box(learner.step(&reals, 0)[0].1.double_value(&[]));
    };
    report(&format!("{family}-{side}-step"), precision, &seconds(runs, 1, step));
    if family == "flow" {
        // Its network call is the other's.
        return;
    }

    let denoiser = Denoiser::new(&config, diffusion, PLANES, Device::Cpu, precision);
    denoiser.network.parameters.set_requires_grad(false);
    let call = || {
        let images = tch::no_grad(|| denoiser.denoise(&reals, 1.0));
        std::hint::black_box(images.double_value(&[0, 0, 0, 0]));
    };
    report(&format!("{family}-{side}-call"), precision, &seconds(runs, 1, call));
}
