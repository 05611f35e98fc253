//! A GAN as one of the families of generators: what it saves, and how its average draws.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use synthmr_core::random::Stream;
use synthmr_nets::engine::{Parameters, Precision};
use synthmr_nets::generators::stylegan2::{Generator, Noise};
use tch::{Device, Tensor};

use super::{GanConfig, GanState, Steps};
use crate::TrainError;
use crate::generator::{AVERAGE, DrawOptions, GeneratorConfig, ImageSource, Learner, Measured, keyed_normal};
use crate::planes::Planes;

/// Prefixes of the networks in a checkpoint.
const GENERATOR: &str = "generator.";
const DISCRIMINATOR: &str = "discriminator.";

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
    /// The state before the first step.
    pub fn new(
        config: &GeneratorConfig,
        gan: &GanConfig,
        planes: &Planes,
        device: Device,
        precision: Precision,
    ) -> Self {
        let steps = Steps {
            config: config.clone(),
            gan: gan.clone(),
            planes: planes.count(),
            contrasts: planes.image_count(),
        };
        Self { steps, state: GanState::new(config, gan, planes.count(), device, precision) }
    }
}

impl Learner for GanLearner {
    fn step(&mut self, reals: &Tensor, images_seen: u64) -> Measured {
        self.steps.run(&mut self.state, reals, images_seen)
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        vec![("augment_strength", self.state.strength)]
    }

    fn networks(&self) -> Vec<(&'static str, &Parameters)> {
        let state = &self.state;
        vec![
            (GENERATOR, &state.generator.parameters),
            (DISCRIMINATOR, &state.discriminator.parameters),
            (AVERAGE, &state.average.parameters),
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

    fn average(&self) -> &dyn ImageSource {
        &self.state.average
    }
}

impl ImageSource for Generator {
    fn draw(
        &self,
        seed: u64,
        numbers: Range<u64>,
        options: &DrawOptions,
        _: &dyn Fn() -> bool,
    ) -> Option<Tensor> {
        let device = self.parameters.flat().device();
        let rows = (numbers.end - numbers.start) as i64;
        let z_dim = self.mapping.z_dim();
        let z = keyed_normal(seed, Stream::SampleLatent, numbers.clone(), z_dim, device);
        let sides = self.synthesis.noise_shapes();
        let pixels: Vec<i64> = sides.iter().map(|side| side * side).collect();
        let noise = keyed_normal(seed, Stream::SampleNoise, numbers, pixels.iter().sum(), device);
        let noise = noise.split_with_sizes(&pixels, 1);
        let maps = noise.iter().zip(sides).map(|(flat, side)| flat.reshape([rows, 1, side, side]));
        let noise = Noise::Given(maps.collect());
        Some(tch::no_grad(|| self.forward(&z, options.truncation.unwrap_or(1.0), &noise)))
    }

    fn check(&self, options: &DrawOptions) -> Result<(), TrainError> {
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
