//! A GAN as one of the families of generators: what it saves, and how its average draws.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use synthmr_core::random::Stream;
use synthmr_nets::engine::{Parameters, Precision};
use synthmr_nets::generators::gan::{Generator, Noise};
use synthmr_nets::generators::growing::doubled;
use tch::{Device, Tensor};

use super::{GanSettings, GanState, Networks, Place, Steps};
use crate::TrainError;
use crate::generator::{AVERAGE, DrawOptions, GeneratorConfig, ImageSource, Learner, Measured, keyed_normal};
use crate::planes::Planes;

/// Prefixes of the networks in a checkpoint.
const GENERATOR: &str = "generator.";
pub(crate) const DISCRIMINATOR: &str = "discriminator.";

/// The part of the state that is not tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counters {
    generator_steps: u64,
    discriminator_steps: u64,
    strength: f64,
    sign_count: u64,
}

/// A GAN that learns.
pub struct GanLearner {
    steps: Steps,
    state: GanState,
}

impl GanLearner {
    /// The state before the first step, on `devices`, the master first.
    pub fn new(
        config: &GeneratorConfig,
        gan: &dyn GanSettings,
        planes: &Planes,
        devices: &[Device],
        precision: Precision,
    ) -> Self {
        let place = Place::new(config, planes.count(), devices[0], precision);
        let steps = Steps::new(config, gan.rules(), planes.count(), planes.image_count());
        let state = GanState::new(&steps.rules, gan.networks(), &place, devices);
        Self { steps, state }
    }
}

impl Learner for GanLearner {
    fn step(&mut self, reals: &Tensor, images_seen: u64) -> Measured {
        self.steps.run(&mut self.state, reals, images_seen)
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        let mut gauges = vec![("augment_strength", self.state.strength)];
        let grown = self.state.generator.master().growing().map(|growing| growing.grown());
        gauges.extend(grown.map(|grown| ("resolution", grown.side() as f64)));
        gauges
    }

    fn networks(&self) -> Vec<(&'static str, &Parameters)> {
        let state = &self.state;
        vec![
            (GENERATOR, state.generator.parameters()),
            (DISCRIMINATOR, state.discriminator.parameters()),
            (AVERAGE, state.average.generator.parameters()),
        ]
    }

    fn tensors(&self) -> Vec<(String, &Tensor)> {
        let state = &self.state;
        let mut all: Vec<(String, &Tensor)> =
            vec![("path_length_mean".into(), &state.path_length_mean), ("sign_sum".into(), &state.sign_sum)];
        for (prefix, adam) in
            [("generator_adam", &state.generator_adam), ("discriminator_adam", &state.discriminator_adam)]
        {
            all.extend(adam.state().map(|(name, tensor)| (format!("{prefix}.{name}"), tensor)));
        }
        all
    }

    fn counters(&self) -> Value {
        let state = &self.state;
        let counters = Counters {
            generator_steps: state.generator_adam.steps(),
            discriminator_steps: state.discriminator_adam.steps(),
            strength: state.strength,
            sign_count: state.sign_count,
        };
        #[expect(clippy::expect_used, reason = "a struct of numbers has a JSON form")]
        serde_json::to_value(counters).expect("counters serialise")
    }

    fn set_counters(&mut self, counters: Value) -> Result<(), serde_json::Error> {
        let counters: Counters = serde_json::from_value(counters)?;
        let state = &mut self.state;
        state.generator_adam.set_steps(counters.generator_steps);
        state.discriminator_adam.set_steps(counters.discriminator_steps);
        state.strength = counters.strength;
        state.sign_count = counters.sign_count;
        Ok(())
    }

    fn align(&self) {
        self.state.generator.align();
        self.state.discriminator.align();
    }

    fn average(&self) -> &dyn ImageSource {
        &self.state.average
    }
}

/// A generator as a source of images of one size, however far it has grown.
pub struct GanSource {
    /// The network.
    pub generator: Box<dyn Generator>,
    resolution: i64,
}

impl GanSource {
    /// A source with initial weights.
    pub fn new(networks: &dyn Networks, place: &Place) -> Self {
        Self { generator: networks.generator(place), resolution: place.resolution }
    }

    /// Side of the images.
    pub(crate) fn resolution(&self) -> i64 {
        self.resolution
    }
}

impl ImageSource for GanSource {
    fn parameters(&self) -> &Parameters {
        self.generator.parameters()
    }

    fn is_grown(&self) -> bool {
        let grown = self.generator.growing().map(|growing| growing.grown());
        grown.is_none_or(|grown| grown.side() == self.resolution && grown.below == 0.0)
    }

    fn draw(
        &self,
        seed: u64,
        numbers: Range<u64>,
        options: &DrawOptions,
        _: &dyn Fn() -> bool,
    ) -> Option<Tensor> {
        let generator = self.generator.as_ref();
        let device = generator.parameters().flat().device();
        let z = keyed_normal(seed, Stream::SampleLatent, numbers.clone(), generator.z_dim(), device);
        let noise = keyed_noise(seed, numbers, &generator.noise_sides(), device);
        let mut images = tch::no_grad(|| generator.images(&z, options.truncation.unwrap_or(1.0), &noise));
        while images.size()[2] < self.resolution {
            images = doubled(&images);
        }
        Some(images)
    }

    fn check(&self, options: &DrawOptions) -> Result<(), TrainError> {
        if let (Some(truncation), None) = (options.truncation, self.generator.mean_w()) {
            return Err(TrainError::Mismatch {
                what: "truncation".into(),
                expected: "none for a GAN without a mapping network".into(),
                found: truncation.to_string(),
                hint: "it has no distribution of intermediate latents that could be truncated".into(),
            });
        }
        let given = options.steps.map(|steps| ("steps", steps.to_string()));
        match given.or(options.method.map(|method| ("method", method.name().to_owned()))) {
            Some((what, found)) => Err(TrainError::Mismatch {
                what: what.into(),
                expected: "none for a GAN".into(),
                found,
                hint: "it draws an image in one pass".into(),
            }),
            None => Ok(()),
        }
    }

    fn steps(&self) -> u64 {
        1
    }

    fn method(&self, _: &DrawOptions) -> Option<String> {
        None
    }
}

/// Noise inputs of images, one a side, each a function of the image's number.
fn keyed_noise(seed: u64, numbers: Range<u64>, sides: &[i64], device: Device) -> Noise {
    if sides.is_empty() {
        return Noise::None;
    }
    let rows = (numbers.end - numbers.start) as i64;
    let pixels: Vec<i64> = sides.iter().map(|side| side * side).collect();
    let noise = keyed_normal(seed, Stream::SampleNoise, numbers, pixels.iter().sum(), device);
    let noise = noise.split_with_sizes(&pixels, 1);
    let maps = noise.iter().zip(sides).map(|(flat, &side)| flat.reshape([rows, 1, side, side]));
    Noise::Given(maps.collect())
}
