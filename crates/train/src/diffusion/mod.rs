//! Diffusion models: processes that turn images into noise, their training, and the ways back.

mod config;
mod learner;
mod process;
mod sampler;
mod variance;

pub use config::{DiffusionConfig, OptimiserConfig};
pub use learner::{Denoiser, DiffusionLearner};
pub use process::{Coefficients, DdpmPrediction, EdmPrediction, FlowPrediction, Noising, Process, Schedule};
pub use sampler::{Denoised, KeyedNoise, Method, SamplerConfig, Variance};
