//! A learned copy detector: images become unit vectors, copies of an image lie near it whatever was done to them.
//!
//! Correlation finds copies that lie pixel on pixel. This finds those that were turned, enlarged, inverted, mixed with
//! others or reduced to one contrast, as far as its training has shown it such; how far that is must be measured on
//! planted copies, each time. It learns from the training part alone, for that is where copies come from.

mod error;
mod slices;
mod training;
mod views;

pub use error::EmbeddingError;
pub use slices::{TrainingSlices, WORKING_SIDE};

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use synthmr_nets::features::{CopyEmbeddingNet, CopyEmbeddingSizes};
use tch::{Device, Kind, Tensor};

/// Images embedded at once.
const EMBEDDED_AT_ONCE: usize = 64;

/// How an embedding is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Length of the training, in pairs of views.
    pub images: u64,
    /// Pairs in a step.
    pub batch: u64,
    /// Feature maps of the first stage; a multiple of 8.
    pub width: i64,
    /// Stages of the network; each halves the resolution.
    pub stages: i64,
    /// Length of the vectors.
    pub dimensions: i64,
    /// Learning rate.
    pub rate: f64,
    /// Temperature of the similarities: smaller ones let the nearest negatives decide.
    pub temperature: f64,
    /// Weight of the term that spreads vectors.
    pub spread: f64,
}

impl Default for EmbeddingConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            images: 24_000,
            batch: 64,
            width: 32,
            stages: 3,
            dimensions: 128,
            rate: 2e-3,
            temperature: 0.07,
            spread: 0.3,
        }
    }
}

impl EmbeddingConfig {
    fn sizes(&self, channels: i64) -> CopyEmbeddingSizes {
        CopyEmbeddingSizes {
            channels,
            width: self.width,
            stages: self.stages,
            dimensions: self.dimensions,
        }
    }
}

/// A trained embedding.
pub struct Embedding {
    config: EmbeddingConfig,
    channels: i64,
    net: CopyEmbeddingNet,
    device: Device,
}

impl Embedding {
    /// Trains an embedding on slices of real subjects.
    pub fn train(
        config: &EmbeddingConfig,
        slices: &TrainingSlices,
        device: Device,
        progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<Self, EmbeddingError> {
        let net = training::train(config, slices, device, progress)?;
        Ok(Self { config: config.clone(), channels: slices.channels(), net, device })
    }

    /// Unit vectors f32 `[n, dimensions]`, on the host, of images u8 `[n, c, h, w]` in `shape`.
    pub fn embed(&self, images: &[u8], shape: [usize; 4]) -> Result<Tensor, EmbeddingError> {
        let bytes: usize = shape[1..].iter().product();
        let mut parts = Vec::new();
        for part in images.chunks(EMBEDDED_AT_ONCE * bytes) {
            let [_, channels, height, width] = shape;
            let images = slices::shrunk(part, [part.len() / bytes, channels, height, width])?;
            let images = images.to_device(self.device).to_kind(Kind::Float) * (1.0 / 255.0);
            parts.push(tch::no_grad(|| self.net.forward(&images)).to_device(Device::Cpu));
        }
        Ok(Tensor::cat(&parts, 0))
    }

    /// How it was trained.
    pub fn config(&self) -> &EmbeddingConfig {
        &self.config
    }

    /// Image channels.
    pub fn channels(&self) -> i64 {
        self.channels
    }
}
