//! Times of a training step and of sampling of every GAN, fully grown, as JSON lines; the peers are
//! `tools/bench/gans_*_torch.py`, the same networks, losses and batches of images with 5 planes.
//!
//! `cargo run --release -p synthmr-train --example bench_gans [RUNS [THREADS [SIDE [BATCH [NAME]]]]]`; NAME is that of one GAN.
//!
//! Times of an iteration with lazy penalties are put together from steps with and without them, run by run: minimum and
//! maximum are those of the sums.

mod common;

use std::hint::black_box;

use synthmr_core::{LabelEncoding, LabelScheme};
use synthmr_nets::engine::Precision;
use synthmr_train::config;
use synthmr_train::generator::{DrawOptions, GeneratorConfig, PRESETS, image_source, learner};
use synthmr_train::planes::Planes;
use tch::{Device, Kind, Tensor};

use common::{Size, precisions, report, seconds};

/// What is measured of one family.
struct Contestant {
    /// Beginning of the rows' names.
    name: &'static str,
    preset: &'static str,
    settings: &'static [&'static str],
    /// Settings of feature maps times side; 64 maps at the full resolution.
    bases: &'static [&'static str],
    /// Penalties that are not part of every step.
    lazy: &'static [Lazy],
}

/// A penalty that comes every so many steps, by the setting with it and the setting without.
struct Lazy {
    with: &'static [&'static str],
    without: &'static [&'static str],
    interval: f64,
}

const R1_EVERY_16: Lazy =
    Lazy { with: &["loss.r1_gamma=10.0"], without: &["loss.r1_gamma=0.0"], interval: 16.0 };

/// The mapping network and the latents of the published StyleGANs.
const STYLES: [&str; 2] = ["network.z_dim=512", "network.w_dim=512"];

const CONTESTANTS: [Contestant; 6] = [
    Contestant {
        name: "progan",
        preset: "progan-tiny-64",
        settings: &[
            "network.z_dim=512",
            "network.channel_base=16384",
            "network.channel_max=128",
            "loss.gp_weight=10.0",
            "loss.drift=0.001",
        ],
        bases: &[],
        lazy: &[],
    },
    Contestant {
        name: "stylegan1",
        preset: "stylegan1-tiny-64",
        settings: &[
            STYLES[0],
            STYLES[1],
            "network.mapping_layers=8",
            "network.channel_base=16384",
            "network.channel_max=128",
            "loss.r1_gamma=10.0",
            "loss.r1_interval=1",
        ],
        bases: &[],
        lazy: &[],
    },
    Contestant {
        name: "stylegan2",
        preset: "stylegan2-tiny-64",
        settings: &[
            STYLES[0],
            STYLES[1],
            "network.mapping_layers=8",
            "network.channel_max=128",
            "loss.r1_interval=1",
            "loss.path_length_interval=1",
        ],
        bases: &["network.channel_base"],
        lazy: &[
            R1_EVERY_16,
            Lazy {
                with: &["loss.path_length_weight=2.0"],
                without: &["loss.path_length_weight=0.0"],
                interval: 4.0,
            },
        ],
    },
    Contestant {
        name: "r3gan",
        preset: "r3gan-tiny-64",
        settings: &[
            STYLES[0],
            STYLES[1],
            "network.mapping_layers=8",
            "network.channel_max=128",
            "loss.r1_interval=1",
        ],
        bases: &["network.channel_base"],
        lazy: &[Lazy {
            with: &["loss.r1_gamma=0.05", "loss.r2_gamma=0.05"],
            without: &["loss.r1_gamma=0.0", "loss.r2_gamma=0.0"],
            interval: 4.0,
        }],
    },
    Contestant {
        name: "stylegan3-t",
        preset: "stylegan3-t-tiny-64",
        settings: &STYLEGAN3,
        bases: &["network.channel_base", "network.discriminator_base"],
        lazy: &[R1_EVERY_16],
    },
    Contestant {
        name: "stylegan3-r",
        preset: "stylegan3-r-tiny-64",
        settings: &STYLEGAN3,
        bases: &["network.channel_base", "network.discriminator_base"],
        lazy: &[R1_EVERY_16],
    },
];

const STYLEGAN3: [&str; 8] = [
    STYLES[0],
    STYLES[1],
    "network.mapping_layers=2",
    "network.layers=14",
    "network.channel_max=128",
    "network.discriminator_max=128",
    "loss.r1_interval=1",
    "loss.blur_sigma=0.0",
];

fn main() {
    let size = Size::from_arguments(5, 64, 8);
    let only = std::env::args().nth(5);
    let planes = Planes::new(4, &LabelScheme::brats(), LabelEncoding::Gray, Device::Cpu);
    for contestant in CONTESTANTS.iter().filter(|c| only.as_ref().is_none_or(|only| c.name == only)) {
        for precision in precisions() {
            let iteration = iteration_seconds(contestant, &planes, precision, size);
            report(&format!("{}-{}-iteration", contestant.name, size.side), precision, &iteration);
            let sample = sample_seconds(contestant, &planes, precision, size);
            report(&format!("{}-{}-sample", contestant.name, size.side), precision, &sample);
        }
    }
}

impl Contestant {
    /// Its configuration at a size with further settings.
    #[expect(clippy::expect_used, reason = "the preset and the settings are constants")]
    fn config(&self, size: Size, more: &[&str]) -> GeneratorConfig {
        let mut settings = vec![
            format!("resolution={}", size.side),
            format!("batch={}", size.batch),
            "loss.style_mixing=0.0".to_owned(),
            "augment.mode=none".to_owned(),
        ];
        // StyleGAN 3-r has twice the feature maps in its generator.
        let rotates = self.name == "stylegan3-r";
        for &base in self.bases {
            let factor = if rotates && base == "network.channel_base" { 2 } else { 1 };
            settings.push(format!("{base}={}", factor * 64 * size.side));
        }
        settings.extend(self.settings.iter().chain(more).map(|&setting| setting.to_owned()));
        if rotates {
            settings.push("network.channel_max=256".to_owned());
        }
        config::resolve(PRESETS, Some(self.preset), None, &settings).expect("the preset resolves")
    }
}

/// Seconds of mean steps: a penalty that is not part of every step counts as often as it comes.
fn iteration_seconds(contestant: &Contestant, planes: &Planes, precision: Precision, size: Size) -> Vec<f64> {
    let without: Vec<&str> = contestant.lazy.iter().flat_map(|lazy| lazy.without).copied().collect();
    let seconds =
        |settings: &[&str]| step_seconds(&contestant.config(size, settings), planes, precision, size.runs);
    let plain = seconds(&without);
    let mut mean = plain.clone();
    for lazy in contestant.lazy {
        // Every step measured is one with this penalty; the last value of a setting counts.
        let settings = [&without, lazy.with].concat();
        for ((mean, with), plain) in mean.iter_mut().zip(seconds(&settings)).zip(&plain) {
            *mean += (with - plain) / lazy.interval;
        }
    }
    mean
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

fn sample_seconds(contestant: &Contestant, planes: &Planes, precision: Precision, size: Size) -> Vec<f64> {
    let source = image_source(&contestant.config(size, &[]), planes, Device::Cpu, precision);
    let options = DrawOptions::default();
    let draw = || {
        let images = source.draw(0, 0..size.batch as u64, &options, &|| false);
        black_box(images.map(|images| images.double_value(&[0, 0, 0, 0])));
    };
    seconds(size.runs, 1, draw)
}
