//! Times of the phases of a StyleGAN 2 training step and of sampling, as JSON lines; the peer is
//! `tools/bench/stylegan2_torch.py`, the same networks (G 4.10 M, D 1.47 M parameters) and batch.
//!
//! `cargo run --release -p synthmr-train --example bench_stylegan2 [RUNS]`

mod common;

use synthmr_core::{LabelEncoding, LabelScheme};
use synthmr_nets::engine::{Precision, set_threads};
use synthmr_train::config;
use synthmr_train::generator::{GeneratorConfig, PRESETS, learner};
use synthmr_train::planes::Planes;
use tch::{Device, Kind, Tensor};

use common::{argument, precisions, report, seconds};

const SETTINGS: &[&str] = &[
    "batch=8",
    "network.z_dim=512",
    "network.w_dim=512",
    "network.mapping_layers=8",
    "network.channel_base=4096",
    "network.channel_max=128",
    "loss.style_mixing=0.0",
    "augment.mode=none",
];

fn main() {
    set_threads(2);
    let runs = argument(1, 5);
    for precision in precisions() {
        // Both main phases alone, then with the penalties that every 4th and 16th step adds.
        let plain = step_seconds(precision, 0.0, 0.0, runs);
        let with_path = step_seconds(precision, 2.0, 0.0, runs);
        let with_r1 = step_seconds(precision, 0.0, 8.0, runs);
        report("stylegan2-64-main", precision, &plain);
        let iteration: Vec<f64> = plain
            .iter()
            .zip(&with_path)
            .zip(&with_r1)
            .map(|((plain, path), r1)| plain + (path - plain) / 4.0 + (r1 - plain) / 16.0)
            .collect();
        report("stylegan2-64-iteration", precision, &iteration);
    }
}

/// Seconds of steps in which each penalty with a weight is computed every time.
fn step_seconds(precision: Precision, path_weight: f64, r1_gamma: f64, runs: usize) -> Vec<f64> {
    let mut settings: Vec<String> = SETTINGS.iter().map(|&s| s.to_owned()).collect();
    settings.push(format!("loss.path_length_weight={path_weight:?}"));
    settings.push(format!("loss.r1_gamma={r1_gamma:?}"));
    #[expect(clippy::expect_used, reason = "the preset and the settings are constants")]
    let config: GeneratorConfig =
        config::resolve(PRESETS, Some("stylegan2-tiny-64"), None, &settings).expect("the preset resolves");
    let planes = Planes::new(4, &LabelScheme::brats(), LabelEncoding::Gray, Device::Cpu);
    let mut learner = learner(&config, &planes, &[Device::Cpu], precision);
    let reals = Tensor::rand([config.batch, planes.count(), 64, 64], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
    let step = || {
        std::hint::black_box(learner.step(&reals, 0)[0].1.double_value(&[]));
    };
    seconds(runs, 1, step)
}
