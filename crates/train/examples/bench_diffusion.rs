//! Times of a diffusion model's training step and of one network call, as JSON lines; the peer is
//! `tools/bench/diffusion_guided.py`, OpenAI's guided-diffusion with the same network (30.3 M parameters), batch (8
//! images of 5 x 64 x 64), loss, AdamW and average.
//!
//! `cargo run --release -p synthmr-train --example bench_diffusion [RUNS [THREADS]]`

mod common;

use synthmr_nets::engine::{Precision, set_threads};
use synthmr_train::config;
use synthmr_train::diffusion::{Denoiser, DiffusionLearner};
use synthmr_train::generator::{Family, GeneratorConfig, Learner, PRESETS};
use tch::{Device, Kind, Tensor};

use common::{argument, precisions, report, seconds};

const SETTINGS: [&str; 3] = ["resolution=64", "batch=8", "network.multipliers=[1, 2, 3, 4]"];
const PLANES: i64 = 5;

fn main() {
    let runs = argument(1, 5);
    set_threads(argument(2, 2));
    for precision in precisions() {
        bench(precision, runs);
    }
}

fn bench(precision: Precision, runs: usize) {
    let settings = SETTINGS.map(str::to_owned);
    #[expect(clippy::expect_used, reason = "the preset and the settings are constants")]
    let config: GeneratorConfig =
        config::resolve(PRESETS, Some("diffusion-paper-256"), None, &settings).expect("the preset resolves");
    let Family::Diffusion(diffusion) = &config.family else { unreachable!("the preset is a diffusion's") };
    let options = (Kind::Float, Device::Cpu);
    let reals = Tensor::rand([config.batch, PLANES, 64, 64], options) * 2.0 - 1.0;

    let mut learner = DiffusionLearner::new(&config, diffusion, PLANES, &[Device::Cpu], precision);
    let step = || {
        std::hint::black_box(learner.step(&reals, 0)[0].1.double_value(&[]));
    };
    report("diffusion-64-step", precision, &seconds(runs, 1, step));

    let denoiser = Denoiser::new(&config, diffusion, PLANES, Device::Cpu, precision);
    denoiser.network.parameters.set_requires_grad(false);
    let call = || {
        let images = tch::no_grad(|| denoiser.denoise(&reals, 1.0));
        std::hint::black_box(images.double_value(&[0, 0, 0, 0]));
    };
    report("diffusion-64-call", precision, &seconds(runs, 1, call));
}
