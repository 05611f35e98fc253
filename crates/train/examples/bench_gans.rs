//! Times of a training step and of sampling of Progressive GAN and StyleGAN 1, fully grown, and of StyleGAN 3-t, as
//! JSON lines; the peers are `tools/bench/gans_growing_torch.py` and `tools/bench/gans_stylegan3_torch.py`, the same
//! networks, losses and batch: 8 images of 5 x 64 x 64.
//!
//! `cargo run --release -p synthmr-train --example bench_gans [RUNS [THREADS]]`

mod common;

use std::hint::black_box;

use synthmr_core::{LabelEncoding, LabelScheme};
use synthmr_nets::engine::{Precision, set_threads};
use synthmr_train::config;
use synthmr_train::generator::{DrawOptions, GeneratorConfig, PRESETS, image_source, learner};
use synthmr_train::planes::Planes;
use tch::{Device, Kind, Tensor};

use common::{argument, precisions, report, seconds};

/// Images of a step, and images drawn at once.
const BATCH: u64 = 8;

/// What is measured of one family.
struct Contestant {
    /// Beginning of the rows' names.
    name: &'static str,
    preset: &'static str,
    settings: &'static [&'static str],
    /// Steps from one R1 penalty to the next; 1 where all penalties are part of every step.
    r1_interval: u64,
}

const CONTESTANTS: [Contestant; 3] = [
    Contestant {
        name: "progan",
        preset: "progan-tiny-64",
        settings: &[
            "network.z_dim=512",
            "network.channel_base=8192",
            "network.channel_max=128",
            "loss.gp_weight=10.0",
            "loss.drift=0.001",
        ],
        r1_interval: 1,
    },
    Contestant {
        name: "stylegan1",
        preset: "stylegan1-tiny-64",
        settings: &[
            "network.z_dim=512",
            "network.w_dim=512",
            "network.mapping_layers=8",
            "network.channel_base=8192",
            "network.channel_max=128",
            "loss.r1_gamma=10.0",
            "loss.r1_interval=1",
        ],
        r1_interval: 1,
    },
    Contestant {
        name: "stylegan3-t",
        preset: "stylegan3-t-tiny-64",
        settings: &[
            "network.z_dim=512",
            "network.w_dim=512",
            "network.mapping_layers=2",
            "network.layers=14",
            "network.channel_base=4096",
            "network.channel_max=128",
            "network.discriminator_base=4096",
            "network.discriminator_max=128",
            "loss.r1_gamma=10.0",
            "loss.r1_interval=16",
        ],
        r1_interval: 16,
    },
];

fn main() {
    let runs = argument(1, 5);
    set_threads(argument(2, 2));
    let planes = Planes::new(4, &LabelScheme::brats(), LabelEncoding::Gray, Device::Cpu);
    for contestant in &CONTESTANTS {
        for precision in precisions() {
            let iteration = iteration_seconds(contestant, &planes, precision, runs);
            report(&format!("{}-64-iteration", contestant.name), precision, &iteration);
            let sample = sample_seconds(contestant, &planes, precision, runs);
            report(&format!("{}-64-sample", contestant.name), precision, &sample);
        }
    }
}

impl Contestant {
    /// Its configuration with further settings.
    #[expect(clippy::expect_used, reason = "the preset and the settings are constants")]
    fn config(&self, more: &[&str]) -> GeneratorConfig {
        let batch = format!("batch={BATCH}");
        let common = [batch.as_str(), "loss.style_mixing=0.0", "augment.mode=none"];
        let all = common.iter().chain(self.settings).chain(more);
        let settings: Vec<String> = all.map(|&setting| setting.to_owned()).collect();
        config::resolve(PRESETS, Some(self.preset), None, &settings).expect("the preset resolves")
    }
}

/// Seconds of mean steps: a penalty that is not part of every step counts as often as it comes.
fn iteration_seconds(
    contestant: &Contestant,
    planes: &Planes,
    precision: Precision,
    runs: usize,
) -> Vec<f64> {
    // Every step measured is one with all penalties.
    let with_all = step_seconds(&contestant.config(&[]), planes, precision, runs);
    if contestant.r1_interval == 1 {
        return with_all;
    }
    let plain = step_seconds(&contestant.config(&["loss.r1_gamma=0.0"]), planes, precision, runs);
    let mean = |(plain, with_r1): (&f64, &f64)| plain + (with_r1 - plain) / contestant.r1_interval as f64;
    plain.iter().zip(&with_all).map(mean).collect()
}

fn step_seconds(config: &GeneratorConfig, planes: &Planes, precision: Precision, runs: usize) -> Vec<f64> {
    let images_seen = first_full_size(config);
    let mut learner = learner(config, planes, &[Device::Cpu], precision);
    let side = config.resolution;
    let reals =
        Tensor::rand([config.batch, planes.count(), side, side], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
    let step = || {
        black_box(learner.step(&reals, images_seen)[0].1.double_value(&[]));
    };
    seconds(runs, 1, step)
}

/// Images seen before the first step in which the networks are fully grown; 0 for those that do not grow.
fn first_full_size(config: &GeneratorConfig) -> u64 {
    let schedule = config.schedule();
    let mut images_seen = 0;
    while schedule.at(images_seen).lod > 0.0 {
        images_seen += schedule.at(images_seen).batch;
    }
    images_seen
}

fn sample_seconds(contestant: &Contestant, planes: &Planes, precision: Precision, runs: usize) -> Vec<f64> {
    let source = image_source(&contestant.config(&[]), planes, Device::Cpu, precision);
    let options = DrawOptions::default();
    let draw = || {
        let images = source.draw(0, 0..BATCH, &options, &|| false);
        black_box(images.map(|images| images.double_value(&[0, 0, 0, 0])));
    };
    seconds(runs, 1, draw)
}
