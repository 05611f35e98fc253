//! How images become noise, and what the network predicts on the way back.
//!
//! Every process is written in the variable of Karras, Aittala, Aila and Laine, "Elucidating the design space of
//! diffusion-based generative models", NeurIPS 2022 (arXiv 2206.00364): `x = x0 + sigma * noise`. A process
//! that scales images as well (`sqrt(abar) x0 + sqrt(1 - abar) noise` of Ho et al. 2020, `(1 - t) x0 + t noise` of a
//! rectified flow) is the same one in this variable, with sigma = sqrt((1 - abar) / abar) and t / (1 - t), and scales
//! what the network sees. Loops and samplers then need to know one form only.

use serde::{Deserialize, Serialize};
use synthmr_core::random::Draw;

use crate::TrainError;
use crate::config::require;

/// The code of a noise level that the network's embedding sees is `CODE_SCALE * ln(sigma)` in continuous
/// processes: the embedding's sinusoids are made for the hundreds to thousands of steps of a DDPM.
const CODE_SCALE: f64 = 40.0;

/// Times of a rectified flow keep this distance from 0 and 1, where sigma is 0 and infinite.
const FLOW_MARGIN: f64 = 1e-4;

/// Noise levels in training stay within this range: beyond it images and noise cannot be told apart in f32.
const SIGMA_RANGE: (f64, f64) = (1e-4, 1e4);

/// How images become noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Process {
    /// Karras et al. 2022: sigma log-normal in training.
    Edm {
        /// What the network predicts.
        prediction: EdmPrediction,
        /// Standard deviation of the images' values.
        sigma_data: f64,
        /// Mean of ln(sigma) in training; published: -1.2.
        noise_mean: f64,
        /// Standard deviation of ln(sigma) in training; published: 1.2.
        noise_deviation: f64,
        /// Levels below this sigma weigh in the loss like it; published: 0.
        weight_floor: f64,
    },
    /// Ho, Jain and Abbeel 2020: a chain of discrete steps.
    Ddpm {
        /// Noise added by each step.
        schedule: Schedule,
        /// Steps from an image to noise; the study used 4,000.
        steps: u64,
        /// What the network predicts.
        prediction: DdpmPrediction,
        /// Weight of the variational bound, which teaches the network the variances of its steps as well; published where
        /// they are learnt (Nichol and Dhariwal 2021): 0.001. 0: they are not, as in the study.
        bound_weight: f64,
    },
    /// Rectified flow (Liu, Gong and Liu 2023): straight lines from images to noise, learnt by the squared error
    /// of their direction, the velocity `noise - image`.
    Flow {
        /// What the network predicts.
        prediction: FlowPrediction,
        /// Mean of logit(t) in training (Esser et al. 2024, section 3.1).
        time_mean: f64,
        /// Standard deviation of logit(t) in training.
        time_deviation: f64,
        /// Times t below this weigh less, as (t / floor)^2: an image's error is 1 / t times as much velocity.
        /// Published for networks that predict the velocity: 0; for those that predict the image: 0.05.
        weight_floor: f64,
    },
}

/// What the network of an [`Process::Edm`] predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EdmPrediction {
    /// A mixture of image and noise that has unit variance at every level (Karras et al. 2022, table 1).
    Preconditioned,
    /// The image itself (Li and He 2025, arXiv 2511.13720): images lie on a low-dimensional manifold, noise does
    /// not, and a small network cannot carry it through.
    Clean,
}

/// What the network of a [`Process::Flow`] predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowPrediction {
    /// The velocity.
    Velocity,
    /// The image, of which the velocity follows (Li and He 2025, arXiv 2511.13720; see [`EdmPrediction::Clean`]).
    Clean,
}

/// What the network of a [`Process::Ddpm`] predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DdpmPrediction {
    /// The noise, epsilon (Ho et al. 2020, equation 14).
    Noise,
    /// `sqrt(abar) noise - sqrt(1 - abar) image` (Salimans and Ho 2022).
    Velocity,
    /// The image.
    Clean,
}

/// The variances of a [`Process::Ddpm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// From 1e-4 to 0.02 for 1,000 steps, in proportion for others (Ho et al. 2020).
    Linear,
    /// abar as a squared cosine (Nichol and Dhariwal 2021, equation 17).
    Cosine,
}

/// What happens at one noise level, for `x = x0 + sigma * noise` and the network's output F:
/// its input is `input * x`, the denoised image `skip * x + output * F`, the target of F
/// `clean * x0 + noise * noise`, and `weight` that of its squared error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficients {
    /// Factor of what the network sees.
    pub input: f64,
    /// Share of the noisy image in the denoised one.
    pub skip: f64,
    /// Share of the network's output in the denoised image.
    pub output: f64,
    /// Share of the image in the target.
    pub clean: f64,
    /// Share of the noise in the target.
    pub noise: f64,
    /// Weight of the squared error.
    pub weight: f64,
    /// The noise level as the network's embedding sees it.
    pub code: f64,
}

impl Process {
    /// What the variational bound of all steps weighs in the loss, where the network learns variances.
    pub(super) fn learnt_variance(&self) -> Option<f64> {
        match *self {
            Process::Ddpm { steps, bound_weight, .. } => {
                (bound_weight > 0.0).then_some(bound_weight * steps as f64)
            }
            _ => None,
        }
    }

    /// The noise levels of a DDPM's steps, rising; empty for continuous processes.
    fn sigmas(&self) -> Vec<f64> {
        let Process::Ddpm { schedule, steps, .. } = self else { return Vec::new() };
        let mut kept = 1.0;
        let levels = (0..*steps).map(|step| {
            kept *= 1.0 - schedule.beta(step, *steps);
            ((1.0 - kept) / kept).sqrt()
        });
        levels.collect()
    }

    pub(super) fn validate(&self) -> Result<(), TrainError> {
        match *self {
            Process::Edm { prediction, sigma_data, noise_mean, noise_deviation, weight_floor } => {
                let within = |value: f64, low: f64, high: f64| value >= low && value <= high;
                require(within(sigma_data, 1e-3, 1e3), "process.sigma_data", "0.001 to 1000", sigma_data)?;
                require(within(noise_mean, -20.0, 20.0), "process.noise_mean", "-20 to 20", noise_mean)?;
                let key = "process.noise_deviation";
                require(within(noise_deviation, 0.0, 10.0), key, "0 to 10", noise_deviation)?;
                // The image as the target has a weight of 1 / sigma^2, which nothing else bounds.
                let (least, expected) = match prediction {
                    EdmPrediction::Preconditioned => (0.0, "0 to 1000"),
                    EdmPrediction::Clean => (1e-3, "0.001 to 1000 when the image is predicted"),
                };
                require(within(weight_floor, least, 1e3), "process.weight_floor", expected, weight_floor)
            }
            Process::Ddpm { steps, bound_weight, .. } => {
                require((2..=100_000).contains(&steps), "process.steps", "2 to 100,000", steps)?;
                require((0.0..=1.0).contains(&bound_weight), "process.bound_weight", "0 to 1", bound_weight)
            }
            Process::Flow { prediction, time_mean, time_deviation, weight_floor } => {
                require(time_mean.abs() <= 20.0, "process.time_mean", "-20 to 20", time_mean)?;
                let key = "process.time_deviation";
                require((0.0..=10.0).contains(&time_deviation), key, "0 to 10", time_deviation)?;
                let (least, expected) = match prediction {
                    FlowPrediction::Velocity => (0.0, "0 to 1"),
                    FlowPrediction::Clean => (1e-3, "0.001 to 1 when the image is predicted"),
                };
                require((least..=1.0).contains(&weight_floor), "process.weight_floor", expected, weight_floor)
            }
        }
    }
}

/// A process ready for use: with the noise levels of its steps, which cost a pass over all of them.
#[derive(Clone, Debug)]
pub struct Noising {
    process: Process,
    sigmas: Vec<f64>,
}

impl Noising {
    /// Computes the noise levels.
    pub fn new(process: &Process) -> Self {
        Self { process: process.clone(), sigmas: process.sigmas() }
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The noise levels of a DDPM's steps, rising; empty for continuous processes.
    pub fn sigmas(&self) -> &[f64] {
        &self.sigmas
    }

    /// The coefficients at a noise level.
    pub fn coefficients(&self, sigma: f64) -> Coefficients {
        match self.process {
            Process::Edm { prediction, sigma_data, weight_floor, .. } => {
                let total = sigma.hypot(sigma_data);
                // Equation 8 and its last line: lambda = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2.
                let floored = sigma.max(weight_floor);
                let lambda = (floored.hypot(sigma_data) / (floored * sigma_data)).powi(2);
                let code = CODE_SCALE * sigma.ln();
                let input = 1.0 / total;
                match prediction {
                    EdmPrediction::Preconditioned => {
                        let output = sigma * sigma_data / total;
                        Coefficients {
                            input,
                            skip: (sigma_data / total).powi(2),
                            output,
                            // (x0 - skip * x) / output, in terms of x0 and noise.
                            clean: sigma / (sigma_data * total),
                            noise: -sigma_data / total,
                            weight: lambda * output * output,
                            code,
                        }
                    }
                    EdmPrediction::Clean => Coefficients { input, code, weight: lambda, ..CLEAN },
                }
            }
            Process::Ddpm { prediction, .. } => {
                let input = 1.0 / sigma.hypot(1.0);
                // sqrt(abar) is `input`, sqrt(1 - abar) is `spread`.
                let (spread, code) = (sigma * input, self.step_of(sigma));
                match prediction {
                    DdpmPrediction::Noise => Coefficients {
                        input,
                        skip: 1.0,
                        output: -sigma,
                        clean: 0.0,
                        noise: 1.0,
                        weight: 1.0,
                        code,
                    },
                    DdpmPrediction::Velocity => Coefficients {
                        input,
                        skip: input * input,
                        output: -spread,
                        clean: -spread,
                        noise: input,
                        weight: 1.0,
                        code,
                    },
                    DdpmPrediction::Clean => Coefficients { input, code, ..CLEAN },
                }
            }
            Process::Flow { prediction, weight_floor, .. } => {
                let time = sigma / (1.0 + sigma);
                let (input, code, floored) = (1.0 - time, CODE_SCALE * sigma.ln(), time.max(weight_floor));
                match prediction {
                    FlowPrediction::Velocity => Coefficients {
                        input,
                        skip: input,
                        output: -time,
                        clean: -1.0,
                        noise: 1.0,
                        weight: (time / floored).powi(2),
                        code,
                    },
                    FlowPrediction::Clean => Coefficients { input, code, weight: floored.powi(-2), ..CLEAN },
                }
            }
        }
    }

    /// A noise level for one image of a training batch.
    pub fn draw_sigma(&self, rng: &mut impl Draw) -> f64 {
        match self.process {
            Process::Edm { noise_mean, noise_deviation, .. } => {
                let (low, high) = SIGMA_RANGE;
                (noise_mean + noise_deviation * rng.normal()).exp().clamp(low, high)
            }
            Process::Ddpm { steps, .. } => {
                let step = rng.below(steps);
                self.sigmas[step as usize]
            }
            Process::Flow { time_mean, time_deviation, .. } => {
                let logit = time_mean + time_deviation * rng.normal();
                let time = 1.0 / (1.0 + (-logit).exp());
                sigma_of_time(time)
            }
        }
    }

    /// The step of a DDPM at a noise level; between two levels by interpolation in ln(sigma).
    fn step_of(&self, sigma: f64) -> f64 {
        let sigmas = &self.sigmas;
        let above = sigmas.partition_point(|&level| level < sigma);
        if above == 0 || above == sigmas.len() {
            return above.min(sigmas.len().saturating_sub(1)) as f64;
        }
        let (low, high) = (sigmas[above - 1].ln(), sigmas[above].ln());
        (above - 1) as f64 + (sigma.ln() - low) / (high - low)
    }
}

/// The network's output is the image.
const CLEAN: Coefficients =
    Coefficients { input: 1.0, skip: 0.0, output: 1.0, clean: 1.0, noise: 0.0, weight: 1.0, code: 0.0 };

/// The noise level at a time of a rectified flow.
pub(super) fn sigma_of_time(time: f64) -> f64 {
    let time = time.clamp(FLOW_MARGIN, 1.0 - FLOW_MARGIN);
    time / (1.0 - time)
}

impl Schedule {
    /// Variance of the noise that a step adds.
    fn beta(self, step: u64, steps: u64) -> f64 {
        match self {
            Schedule::Linear => {
                let scale = 1000.0 / steps as f64;
                let share = step as f64 / (steps - 1) as f64;
                (scale * (1e-4 + (0.02 - 1e-4) * share)).min(0.999)
            }
            Schedule::Cosine => {
                let kept = |step: u64| {
                    let time = step as f64 / steps as f64;
                    ((time + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2)
                };
                (1.0 - kept(step + 1) / kept(step)).min(0.999)
            }
        }
    }
}
