//! Times of the phases of a StyleGAN 2 training step and of sampling, as JSON lines; the peer is
//! `tools/bench/stylegan2_torch.py`, the same networks (G 4.10 M, D 1.47 M parameters) and batch.
//!
//! `cargo run --release -p synthmr-train --example bench_stylegan2 [RUNS]`

#![expect(clippy::print_stdout, reason = "a bench prints its results")]

use std::time::Instant;

use synthmr_nets::engine::{Precision, set_threads};
use synthmr_train::config;
use synthmr_train::gan::{GanState, Steps};
use synthmr_train::generator::{Family, GeneratorConfig, PRESETS};
use tch::{Device, Kind, Tensor};

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
    let runs = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(5);
    for precision in [Precision::F32, Precision::Bf16] {
        if precision == Precision::Bf16 && Precision::best_for(Device::Cpu) == Precision::F32 {
            continue;
        }
        let system = format!("synthmr {}", precision.name());
        // Both main phases alone, then with the penalties that every 4th and 16th step adds.
        let plain = step_seconds(precision, 0.0, 0.0, runs);
        let with_path = step_seconds(precision, 2.0, 0.0, runs);
        let with_r1 = step_seconds(precision, 0.0, 8.0, runs);
        report("stylegan2-64-main", &system, &plain);
        let iteration: Vec<f64> = plain
            .iter()
            .zip(&with_path)
            .zip(&with_r1)
            .map(|((plain, path), r1)| plain + (path - plain) / 4.0 + (r1 - plain) / 16.0)
            .collect();
        report("stylegan2-64-iteration", &system, &iteration);
    }
}

/// Seconds of steps in which each penalty with a weight is computed every time.
fn step_seconds(precision: Precision, path_weight: f64, r1_gamma: f64, runs: usize) -> Vec<f64> {
    let mut settings: Vec<String> = SETTINGS.iter().map(|&s| s.to_owned()).collect();
    settings.push(format!("loss.path_length_weight={path_weight:?}"));
    settings.push(format!("loss.r1_gamma={r1_gamma:?}"));
    settings.push("loss.path_length_interval=1".into());
    settings.push("loss.r1_interval=1".into());
    #[expect(clippy::expect_used, reason = "the preset and the settings are constants")]
    let config: GeneratorConfig =
        config::resolve(PRESETS, Some("stylegan2-tiny-64"), None, &settings).expect("the preset resolves");
    let planes = 5;
    let Family::StyleGan2(gan) = config.family.clone() else { unreachable!("the preset is a StyleGAN 2's") };
    let mut state = GanState::new(&config, &gan, planes, Device::Cpu, precision);
    let batch = config.batch;
    let steps = Steps { config, gan, planes, contrasts: 4 };
    let reals = Tensor::rand([batch, planes, 64, 64], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
    steps.run(&mut state, &reals, 0);
    (0..runs)
        .map(|_| {
            let start = Instant::now();
            let measured = steps.run(&mut state, &reals, 0);
            std::hint::black_box(measured[0].1.double_value(&[]));
            start.elapsed().as_secs_f64()
        })
        .collect()
}

fn report(bench: &str, system: &str, seconds: &[f64]) {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    println!(
        "{{\"bench\":\"{bench}\",\"system\":\"{system}\",\"seconds_median\":{:.4},\"seconds_min\":{:.4},\"seconds_max\":{:.4},\"runs\":{}}}",
        sorted[sorted.len() / 2],
        sorted[0],
        sorted[sorted.len() - 1],
        sorted.len()
    );
}
