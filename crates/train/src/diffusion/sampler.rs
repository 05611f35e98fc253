//! From noise to images: the ways through the noise levels. All have one form: a denoiser, falling levels, and
//! noise that is a function of the image's number.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use synthmr_core::random::{self, Draw, Rng, Stream};
use tch::{Device, Tensor};

use super::process::{Noising, Process, sigma_of_time};
use super::variance::Bounds;
use crate::TrainError;
use crate::config::require;

/// How a trained model turns noise into images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplerConfig {
    /// The rule for one step.
    pub method: Method,
    /// Steps from noise to image.
    pub steps: u64,
    /// Variance of the noise that ancestral steps add; the other methods add none.
    pub variance: Variance,
    /// Values that a denoised image may have at most: 1 cuts it at [-1, 1] in every step as the study did, 0
    /// leaves it.
    pub clip: f64,
    /// Smallest noise level of EDM (the levels of other processes are their own); published: 0.002.
    pub sigma_min: f64,
    /// Largest noise level of EDM; published: 80.
    pub sigma_max: f64,
    /// How much closer together the small levels of EDM are; published: 7.
    pub rho: f64,
}

/// The rule for one step from a noise level to a lower one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Second order, two network calls (Karras et al. 2022, algorithm 1).
    Heun,
    /// First order, one network call, no new noise (Song, Meng and Ermon 2021, equation 12 with sigma = 0).
    Ddim,
    /// One network call, new noise in every step with the posterior's variance (Ho et al. 2020, equation 7).
    Ancestral,
}

/// What a denoiser says of noisy images.
pub struct Denoised {
    /// The images expected without noise.
    pub image: Tensor,
    /// Where the variance of the next step lies between its bounds (-1 posterior, 1 forward), value by value; only of
    /// networks that learn it.
    pub variance: Option<Tensor>,
}

impl From<Tensor> for Denoised {
    fn from(image: Tensor) -> Self {
        Self { image, variance: None }
    }
}

/// The two choices of Ho et al. 2020, section 3.2, for the noise of an ancestral step, and what a network says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variance {
    /// That of the posterior given the denoised image, the lower bound.
    Posterior,
    /// That of the forward step of a chain that scales its images, beta: the upper bound, and what the study used.
    Forward,
    /// Learnt, between the two; for networks trained with `process.bound_weight`.
    Learned,
}

impl Method {
    /// The name used in configurations and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Method::Heun => "heun",
            Method::Ddim => "ddim",
            Method::Ancestral => "ancestral",
        }
    }
}

impl std::str::FromStr for Method {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Method::Heun, Method::Ddim, Method::Ancestral];
        let found = known.into_iter().find(|method| method.name() == text);
        found.ok_or_else(|| format!("expected {}", known.map(Method::name).join(", ")))
    }
}

impl std::fmt::Display for SamplerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} steps", self.method.name(), self.steps)
    }
}

impl SamplerConfig {
    /// The noise levels, falling, without the final zero.
    pub fn levels(&self, noising: &Noising) -> Vec<f64> {
        let (count, last) = (self.steps, (self.steps - 1).max(1) as f64);
        match noising.process() {
            // Karras et al. 2022, equation 5.
            Process::Edm { .. } => {
                let (high, low) = (self.sigma_max.powf(1.0 / self.rho), self.sigma_min.powf(1.0 / self.rho));
                let level =
                    |i: u64| (high + i as f64 / last * (low - high)).powf(self.rho).max(self.sigma_min);
                (0..count).map(level).collect()
            }
            // Evenly spread over the process's own steps, both ends included.
            Process::Ddpm { .. } => {
                let sigmas = noising.sigmas();
                let top = (sigmas.len() - 1) as f64;
                (0..count).map(|i| sigmas[(top * (1.0 - i as f64 / last)).round() as usize]).collect()
            }
            Process::Flow { .. } => {
                (0..count).map(|i| sigma_of_time(1.0 - i as f64 / count as f64)).collect()
            }
        }
    }

    pub(super) fn validate(&self, process: &Process) -> Result<(), TrainError> {
        let most = match process {
            Process::Ddpm { steps, .. } => *steps,
            _ => 100_000,
        };
        let expected = format!("1 to {most}");
        require((1..=most).contains(&self.steps), "sampler.steps", &expected, self.steps)?;
        let learned = self.variance == Variance::Learned;
        let known = !learned || process.learnt_variance().is_some();
        let expected = "posterior or forward where process.bound_weight is 0";
        require(known, "sampler.variance", expected, "learned")?;
        require((0.0..=100.0).contains(&self.clip), "sampler.clip", "0 to 100", self.clip)?;
        let (low, high) = (self.sigma_min, self.sigma_max);
        require(low >= 1e-5 && low < high, "sampler.sigma_min", "0.00001 to less than sigma_max", low)?;
        require(high <= 1e6, "sampler.sigma_max", "at most 1,000,000", high)?;
        require((1.0..=100.0).contains(&self.rho), "sampler.rho", "1 to 100", self.rho)
    }

    /// Images `[n, planes, r, r]` from their noise. `denoise` maps images with noise of a level to the images
    /// expected without it; `stop` is asked before every step, and none are made when it says so.
    pub fn run<D: Into<Denoised>>(
        &self,
        noising: &Noising,
        noise: &mut KeyedNoise,
        stop: &dyn Fn() -> bool,
        denoise: impl Fn(&Tensor, f64) -> D,
    ) -> Option<Tensor> {
        let levels = self.levels(noising);
        let mut x = noise.next() * levels[0];
        for (i, &sigma) in levels.iter().enumerate() {
            if stop() {
                return None;
            }
            let next = levels.get(i + 1).copied().unwrap_or(0.0);
            x = self.step(noising.process(), &x, sigma, next, || noise.next(), &denoise);
        }
        Some(x)
    }

    /// Images with noise of level `next` from ones of level `sigma`; `noise` gives standard normal values of
    /// their shape to the methods that add some.
    pub fn step<D: Into<Denoised>>(
        &self,
        process: &Process,
        x: &Tensor,
        sigma: f64,
        next: f64,
        noise: impl FnOnce() -> Tensor,
        denoise: impl Fn(&Tensor, f64) -> D,
    ) -> Tensor {
        let clipped = |x: &Tensor, sigma: f64| {
            let Denoised { image, variance } = denoise(x, sigma).into();
            (if self.clip > 0.0 { image.clamp(-self.clip, self.clip) } else { image }, variance)
        };
        let (clean, learnt) = clipped(x, sigma);
        match self.method {
            _ if next == 0.0 => clean,
            Method::Ddim => clean.lerp(x, next / sigma),
            Method::Heun => {
                let euler = clean.lerp(x, next / sigma);
                let change = clipped(&euler, next).0 - clean;
                // The mean of the slopes at both ends, where the slope is that of x in sigma (EDM, algorithm 1), or
                // that of the scaled images in t = sigma / (1 + sigma): levels that are even in t are too far
                // apart in sigma for a straight line.
                let in_sigma = (sigma - next) / (2.0 * next);
                let share = match process {
                    Process::Edm { .. } => in_sigma,
                    Process::Ddpm { .. } | Process::Flow { .. } => in_sigma * (1.0 + next) / (1.0 + sigma),
                };
                euler + change * share
            }
            Method::Ancestral => {
                // The posterior of x at the lower level given x and x0 is normal (equations 6 and 7, in the
                // variable whose images are not scaled).
                let share = (next / sigma).powi(2);
                let bounds = Bounds::of(sigma, next);
                let noise = match (self.variance, learnt) {
                    (Variance::Learned, Some(planes)) => noise() * (bounds.log_variance(&planes) * 0.5).exp(),
                    (Variance::Forward, _) => noise() * bounds.forward.sqrt(),
                    // A configuration that asks a network for what it did not learn was refused.
                    (Variance::Posterior | Variance::Learned, _) => noise() * bounds.posterior.sqrt(),
                };
                clean.lerp(x, share) + noise
            }
        }
    }
}

/// Normal values for images with certain numbers; what an image gets depends on its number and on nothing else.
pub struct KeyedNoise {
    rows: Vec<Rng>,
    shape: [i64; 3],
    device: Device,
}

impl KeyedNoise {
    /// For images of `shape` `[planes, r, r]`.
    pub fn new(seed: u64, numbers: Range<u64>, shape: [i64; 3], device: Device) -> Self {
        let row = |number| random::rng(seed, Stream::SampleNoise, number);
        Self { rows: numbers.map(row).collect(), shape, device }
    }

    /// The next values of every image: `[n, planes, r, r]`.
    fn next(&mut self) -> Tensor {
        let [planes, height, width] = self.shape;
        let count = (planes * height * width) as usize;
        let mut values = vec![0f32; self.rows.len() * count];
        for (rng, row) in self.rows.iter_mut().zip(values.chunks_exact_mut(count)) {
            rng.fill_normal(row);
        }
        Tensor::from_slice(&values).view([-1, planes, height, width]).to_device(self.device)
    }
}
