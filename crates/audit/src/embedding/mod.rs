//! A learned copy detector: images become unit vectors, copies of an image lie near it whatever was done to them.
//!
//! Correlation finds copies that lie pixel on pixel. This finds those that were turned, enlarged, inverted, mixed with
//! others or reduced to one contrast, as far as its training has shown it such; how far that is must be measured on
//! planted copies, each time. It learns from the training part alone, for that is where copies come from.

mod error;
mod file;
mod slices;
mod training;
mod views;

pub use error::EmbeddingError;
pub(crate) use slices::SIDES;
pub use slices::{TrainingSlices, WORKING_SIDE};

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use synthmr_core::Digest;
use synthmr_nets::features::{CopyEmbeddingNet, CopyEmbeddingSizes};
use tch::{Device, Kind, Tensor};

/// Ways to look at an image that may be mirrored; the first is as it is.
const LOOKS: [[f64; 2]; 4] = [[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]];

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
            images: 40_000,
            batch: 128,
            width: 32,
            stages: 3,
            dimensions: 128,
            rate: 4e-3,
            temperature: 0.05,
            spread: 5.0,
        }
    }
}

impl EmbeddingConfig {
    fn sizes(&self, channels: i64) -> CopyEmbeddingSizes {
        let Self { width, stages, dimensions, .. } = *self;
        CopyEmbeddingSizes { channels, width, stages, dimensions }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`EmbeddingError::Setting`] with the key, the accepted values and the value found.
    pub fn validate(&self) -> Result<(), EmbeddingError> {
        let require = |usable: bool, key, expected, found: String| {
            if usable { Ok(()) } else { Err(EmbeddingError::Setting { key, expected, found }) }
        };
        let (width, stages, dimensions) = (self.width, self.stages, self.dimensions);
        require((1..=1 << 40).contains(&self.images), "images", "1 or more", self.images.to_string())?;
        let even = self.batch.is_multiple_of(2);
        require(
            even && (4..=4096).contains(&self.batch),
            "batch",
            "an even number, 4 to 4096",
            self.batch.to_string(),
        )?;
        let whole = width % 8 == 0;
        require(
            whole && (8..=512).contains(&width),
            "width",
            "a multiple of 8, 8 to 512",
            width.to_string(),
        )?;
        require((1..=5).contains(&stages), "stages", "1 to 5", stages.to_string())?;
        require((2..=4096).contains(&dimensions), "dimensions", "2 to 4096", dimensions.to_string())?;
        let rate = self.rate;
        require(rate > 0.0 && rate < 1.0, "rate", "more than 0, less than 1", rate.to_string())?;
        let temperature = self.temperature;
        require((1e-3..=10.0).contains(&temperature), "temperature", "0.001 to 10", temperature.to_string())?;
        require((0.0..=1000.0).contains(&self.spread), "spread", "0 to 1000", self.spread.to_string())
    }
}

/// A trained embedding.
pub struct Embedding {
    config: EmbeddingConfig,
    channels: i64,
    /// Digest of the slices that it learnt from.
    data: Digest,
    net: CopyEmbeddingNet,
    device: Device,
}

impl Embedding {
    /// Trains an embedding on slices of real subjects. It is a function of (configuration, slices, number of threads) on
    /// one kind of processor. `progress` hears of the pairs seen and of all of them, and may stop it; there is nothing
    /// to resume, a training of the default length takes minutes.
    ///
    /// # Errors
    /// [`EmbeddingError::Setting`] for a value out of range, [`EmbeddingError::Subjects`] with slices of less than two
    /// subjects, [`EmbeddingError::Interrupted`], and [`EmbeddingError::NotFinite`] when it diverges.
    pub fn train(
        config: &EmbeddingConfig,
        slices: &TrainingSlices,
        device: Device,
        progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<Self, EmbeddingError> {
        config.validate()?;
        let found = slices.subject_count();
        if found < 2 {
            return Err(EmbeddingError::Subjects { found });
        }
        let net = training::train(config, slices, device, progress)?;
        Ok(Self { config: config.clone(), channels: slices.channels(), data: slices.digest(), net, device })
    }

    /// Unit vectors f32 `[n, dimensions]`, on the host, of images u8 `[n, c, h, w]` in `shape`. The similarity of two
    /// images is their vectors' product, -1 to 1.
    ///
    /// # Errors
    /// [`EmbeddingError::Images`] for other channels than those it was trained on, or images of another form than
    /// squares of 32 to 512 pixels a side.
    ///
    /// # Panics
    /// When `images` has another length than `shape` says.
    pub fn embed(&self, images: &[u8], shape: [usize; 4]) -> Result<Tensor, EmbeddingError> {
        Ok(self.seen(images, shape, &LOOKS[..1])?.squeeze_dim(0))
    }

    /// Vectors f32 `[4, n, dimensions]` of images that are looked at in four ways, mirrored or not. Queries are embedded
    /// so and the images that they may be copies of by [`Self::embed`]; the largest of the four similarities counts.
    ///
    /// # Errors
    /// As [`Self::embed`].
    ///
    /// # Panics
    /// As [`Self::embed`].
    pub fn embed_queries(&self, images: &[u8], shape: [usize; 4]) -> Result<Tensor, EmbeddingError> {
        self.seen(images, shape, &LOOKS)
    }

    /// Vectors `[looks, n, dimensions]`.
    fn seen(&self, images: &[u8], shape: [usize; 4], looks: &[[f64; 2]]) -> Result<Tensor, EmbeddingError> {
        let [n, channels, height, width] = shape;
        if channels as i64 != self.channels {
            return Err(EmbeddingError::Images {
                what: "channels of images for the copy embedding",
                expected: format!("the {} that it was trained on", self.channels),
                found: channels.to_string(),
            });
        }
        let bytes = channels * height * width;
        assert_eq!(images.len(), n * bytes, "as many bytes as the shape says");
        let empty = [looks.len() as i64, 0, self.config.dimensions];
        let mut parts = vec![Tensor::zeros(empty, (Kind::Float, Device::Cpu))];
        for part in images.chunks(EMBEDDED_AT_ONCE * bytes.max(1)) {
            let images = slices::shrunk(part, [part.len() / bytes, channels, height, width])?;
            let images = images.to_device(self.device).to_kind(Kind::Float) * (1.0 / 255.0);
            let seen = looks.iter().map(|&look| tch::no_grad(|| self.net.forward(&images, look)));
            parts.push(Tensor::stack(&seen.collect::<Vec<_>>(), 0).to_device(Device::Cpu));
        }
        Ok(Tensor::cat(&parts, 1))
    }

    /// How it was trained.
    pub fn config(&self) -> &EmbeddingConfig {
        &self.config
    }

    /// Image channels.
    pub fn channels(&self) -> usize {
        self.channels as usize
    }

    /// Digest of the slices that it learnt from.
    pub fn data(&self) -> &Digest {
        &self.data
    }
}
