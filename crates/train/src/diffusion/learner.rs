//! A diffusion model that learns, and the denoiser that it is.

use std::ops::Range;

use serde_json::{Value, json};
use synthmr_core::random::{self, Stream};
use synthmr_nets::engine::{Parameters, Precision};
use synthmr_nets::generators::diffusion_unet::DiffusionUNet;
use tch::{Device, Kind, Tensor};

use super::process::Coefficients;
use super::sampler::{Denoised, KeyedNoise};
use super::{DiffusionConfig, Noising, SamplerConfig, variance};
use crate::TrainError;
use crate::generator::{AVERAGE, DrawOptions, GeneratorConfig, ImageSource, Learner, Measured};
use crate::replicas::Replicas;
use synthmr_nets::optimiser::{Adam, clip_gradient_norm};

/// A network with what its output means.
pub struct Denoiser {
    /// The network.
    pub network: DiffusionUNet,
    noising: Noising,
    sampler: SamplerConfig,
}

impl Denoiser {
    /// A denoiser with initial weights.
    pub fn new(
        config: &GeneratorConfig,
        diffusion: &DiffusionConfig,
        planes: i64,
        device: Device,
        precision: Precision,
    ) -> Self {
        let network = diffusion.network(config.resolution, planes);
        Self {
            network: DiffusionUNet::new(&network, config.seed, device, precision),
            noising: Noising::new(&diffusion.process),
            sampler: diffusion.sampler.clone(),
        }
    }

    /// The expected images `[n, planes, r, r]` from ones with noise of level `sigma`.
    pub fn denoise(&self, x: &Tensor, sigma: f64) -> Tensor {
        self.denoised(x, sigma).image
    }

    /// As [`Self::denoise`], with the variance of the next step where the network learns it.
    fn denoised(&self, x: &Tensor, sigma: f64) -> Denoised {
        let c = self.noising.coefficients(sigma);
        let code = Tensor::full(x.size()[0], c.code, (x.kind(), x.device()));
        let (output, variance) = self.outputs(&(x * c.input), &code);
        let image = if c.skip == 0.0 { output * c.output } else { x * c.skip + output * c.output };
        Denoised { image, variance }
    }

    /// The network's prediction, and its variance planes where it has some.
    fn outputs(&self, x: &Tensor, code: &Tensor) -> (Tensor, Option<Tensor>) {
        let output = self.network.forward(x, code);
        let planes = self.network.config().planes;
        let more = output.size()[1] - planes;
        (output.narrow(1, 0, planes), (more > 0).then(|| output.narrow(1, planes, more)))
    }

    /// Weighted squared error of the network's output at noise levels `sigmas`, one an image; a scalar.
    fn loss(&self, images: &Tensor, noise: &Tensor, sigmas: &[f64]) -> Tensor {
        let coefficients: Vec<Coefficients> =
            sigmas.iter().map(|&sigma| self.noising.coefficients(sigma)).collect();
        let of = |pick: fn(&Coefficients) -> f64| column(coefficients.iter().map(pick), images);
        // All values from the host go first: a replica that waits for one keeps the next from beginning.
        let (levels, input, code) = (column(sigmas.iter().copied(), images), of(|c| c.input), of(|c| c.code));
        let (skip, output) = (of(|c| c.skip), of(|c| c.output));
        let (clean, weight) = (images * of(|c| c.clean), of(|c| c.weight));
        let target = clean + noise * of(|c| c.noise);
        let noisy = images + noise * levels;
        let (found, variance) = self.outputs(&(&noisy * input), &code.flatten(0, -1));
        let simple = ((&found - target).square() * weight).mean(Kind::Float);
        let (Some(variance), Some(bound_weight)) = (variance, self.noising.process().learnt_variance())
        else {
            return simple;
        };
        let clean = noisy * skip + found * output;
        let bounds = sigmas.iter().enumerate().map(|(i, &sigma)| {
            let [image, clean, variance] = [images, &clean, &variance].map(|x| x.get(i as i64));
            variance::bound(&self.noising, sigma, &image, &clean, &variance)
        });
        simple + Tensor::stack(&bounds.collect::<Vec<_>>(), 0).mean(Kind::Float) * bound_weight
    }

    /// The sampler with what the options change.
    fn sampler(&self, options: &DrawOptions) -> SamplerConfig {
        let DrawOptions { method, steps, .. } = *options;
        let own = self.sampler.clone();
        SamplerConfig { method: method.unwrap_or(own.method), steps: steps.unwrap_or(own.steps), ..own }
    }
}

/// Values `[n, 1, 1, 1]` of the kind and device of `like`.
fn column(values: impl Iterator<Item = f64>, like: &Tensor) -> Tensor {
    let values: Vec<f64> = values.collect();
    Tensor::from_slice(&values).view([-1, 1, 1, 1]).to_kind(like.kind()).to_device(like.device())
}

impl ImageSource for Denoiser {
    fn parameters(&self) -> &Parameters {
        &self.network.parameters
    }

    fn draw(
        &self,
        seed: u64,
        numbers: Range<u64>,
        options: &DrawOptions,
        stop: &dyn Fn() -> bool,
    ) -> Option<Tensor> {
        let config = self.network.config();
        let shape = [config.planes, config.resolution, config.resolution];
        let mut noise = KeyedNoise::new(seed, numbers, shape, self.network.parameters.flat().device());
        let denoise = |x: &Tensor, sigma: f64| self.denoised(x, sigma);
        tch::no_grad(|| self.sampler(options).run(&self.noising, &mut noise, stop, denoise))
    }

    fn check(&self, options: &DrawOptions) -> Result<(), TrainError> {
        if let Some(truncation) = options.truncation {
            return Err(TrainError::Mismatch {
                what: "truncation".into(),
                expected: "none for a diffusion model".into(),
                found: truncation.to_string(),
                hint: "it has no distribution of latents that could be truncated".into(),
            });
        }
        self.sampler(options).validate(self.noising.process())
    }

    fn steps(&self) -> u64 {
        self.sampler.steps
    }

    fn method(&self, options: &DrawOptions) -> Option<String> {
        Some(self.sampler(options).to_string())
    }
}

/// A diffusion model that learns.
pub struct DiffusionLearner {
    config: GeneratorConfig,
    diffusion: DiffusionConfig,
    current: Replicas<Denoiser>,
    average: Denoiser,
    adam: Adam,
    total_images: u64,
}

impl DiffusionLearner {
    /// The state before the first step, on `devices`, the master first.
    pub fn new(
        config: &GeneratorConfig,
        diffusion: &DiffusionConfig,
        planes: i64,
        devices: &[Device],
        precision: Precision,
    ) -> Self {
        let denoiser = |device| Denoiser::new(config, diffusion, planes, device, precision);
        let current = Replicas::new(devices, denoiser, |denoiser| &denoiser.network.parameters);
        let average = denoiser(devices[0]);
        average.network.parameters.set_requires_grad(false);
        let optimiser = &diffusion.optimiser;
        let adam = Adam::new(current.parameters(), optimiser.beta1, optimiser.beta2, optimiser.epsilon);
        Self {
            config: config.clone(),
            diffusion: diffusion.clone(),
            current,
            average,
            adam,
            total_images: config.schedule().total_images(),
        }
    }
}

impl Learner for DiffusionLearner {
    fn step(&mut self, reals: &Tensor, images_seen: u64) -> Measured {
        let (config, replicas) = (&self.config, &self.current);
        let step = images_seen / config.batch as u64;
        let mut rng = random::rng(config.seed, Stream::NoiseLevel, step);
        let noising = &replicas.master().noising;
        let sigmas: Vec<f64> = (0..config.batch).map(|_| noising.draw_sigma(&mut rng)).collect();
        // Noise in bulk is drawn on the device, from a seed of this step alone.
        tch::manual_seed(random::device_seed(config.seed, Stream::TrainNoise, step));
        let (noise, reals) = (replicas.split(&reals.randn_like()), replicas.split(reals));

        replicas.zero_gradient();
        let count = replicas.iter().len();
        let losses = replicas.run(|i, denoiser| {
            let sigmas: Vec<f64> = sigmas.iter().copied().skip(i).step_by(count).collect();
            denoiser.loss(&reals[i], &noise[i], &sigmas)
        });
        let loss = losses.mean();
        loss.backward();
        let limit = self.diffusion.optimiser.gradient_norm;
        let rate = self.diffusion.rate(images_seen, config.batch, self.total_images);
        let norm = replicas.update(|parameters| {
            let norm = clip_gradient_norm(parameters, if limit > 0.0 { limit } else { f64::INFINITY });
            self.adam.step(parameters, rate);
            norm
        });
        let decay = config.ema_decay(images_seen + config.batch as u64, config.batch as u64);
        self.average.network.parameters.average_towards(replicas.parameters(), decay);
        vec![("loss", loss.detach()), ("gradient_norm", Tensor::from(norm as f32))]
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    fn networks(&self) -> Vec<(&'static str, &Parameters)> {
        vec![("network.", self.current.parameters()), (AVERAGE, &self.average.network.parameters)]
    }

    fn tensors(&self) -> Vec<(String, &Tensor)> {
        self.adam.state().map(|(name, tensor)| (format!("adam.{name}"), tensor)).into()
    }

    fn counters(&self) -> Value {
        json!({ "steps": self.adam.steps() })
    }

    fn set_counters(&mut self, counters: Value) -> Result<(), serde_json::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Counters {
            steps: u64,
        }
        self.adam.set_steps(serde_json::from_value::<Counters>(counters)?.steps);
        Ok(())
    }

    fn align(&self) {
        self.current.align();
    }

    fn average(&self) -> &dyn ImageSource {
        &self.average
    }
}
