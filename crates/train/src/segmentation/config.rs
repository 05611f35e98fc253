//! Configuration of a segmenter's training. Every value has its place in `presets/*.toml`; nothing is
//! hidden in code.

use std::fmt::Display;

use serde::{Deserialize, Serialize};
use synthmr_core::limits;
use synthmr_nets::segmenters::{Padding, UNetConfig, UNetConfigError};

use super::AugmentationConfig;
use crate::TrainError;
use crate::config::{Preset, preset};

/// The segmenters' presets, in the order in which they are listed.
pub const PRESETS: &[Preset] = &[
    preset!("unet-tiny-64", "U-Net at 64x64 that learns the phantom cohort in a minute on two cores"),
    preset!(
        "unet-paper-256",
        "the study's U-Net of 116 million parameters at 256x256: 32,000 kimg, batch 48, for GPUs"
    ),
];

/// Share of the background that the loss ignores in the first epochs, one value an epoch, as in the study.
const BACKGROUND_IGNORED: [f64; 5] = [1.0, 0.8, 0.6, 0.4, 0.2];

/// Everything that decides what a segmenter's training computes, beside the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmenterConfig {
    /// Side of the images in pixels; must be the stores'.
    pub resolution: i64,
    /// Seed of everything random.
    pub seed: u64,
    /// Length of the training, in thousands of images shown.
    pub kimg: f64,
    /// Images in a step.
    pub batch: i64,
    /// Images between two lines of the log.
    pub tick_images: u64,
    /// Images between two checkpoints.
    pub checkpoint_images: u64,
    /// Images between two looks at the validation part; the best network is kept.
    pub validation_images: u64,
    /// Most validation slices of each source that are looked at, spread evenly over the part.
    pub validation_slices: usize,
    /// Size of the network.
    pub network: NetworkConfig,
    /// Steps along the gradient.
    pub optimiser: OptimiserConfig,
    /// What is minimised.
    pub loss: LossConfig,
    /// How training images are changed.
    pub augmentation: AugmentationConfig,
}

/// Size of the U-Net; see [`UNetConfig`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Filters at the full resolution, doubled at every level.
    pub base_filters: i64,
    /// Levels, the full resolution included.
    pub depth: i64,
    /// `same` or `valid`.
    pub padding: Padding,
}

/// Stochastic gradient descent with Nesterov momentum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimiserConfig {
    /// Learning rate at the start.
    pub rate: f64,
    /// The rate after a share s of the training is `rate * (1 - s)^poly_power`.
    pub poly_power: f64,
    /// Nesterov momentum.
    pub momentum: f64,
    /// L2 penalty added to the gradient.
    pub weight_decay: f64,
    /// Largest Euclidean norm of the gradient; larger ones are scaled down to it.
    pub gradient_norm: f64,
}

/// Batch soft Dice plus cross-entropy, and the warm-up on the background.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossConfig {
    /// Added to numerator and denominator of Dice.
    pub dice_smooth: f64,
    /// Length of an epoch of the background warm-up, in thousands of images; 0 turns it off. In its first five
    /// epochs each background pixel is ignored with probability 1, 0.8, 0.6, 0.4, 0.2.
    pub warmup_epoch_kimg: f64,
}

impl SegmenterConfig {
    /// Images to be shown in all.
    pub fn total_images(&self) -> u64 {
        // Whole batches, so that the last step is like the others.
        let batch = self.batch as u64;
        ((self.kimg * 1000.0).ceil() as u64).div_ceil(batch) * batch
    }

    /// The network for images of `inputs` channels and `classes` classes, background included.
    pub fn network(&self, inputs: usize, classes: usize) -> UNetConfig {
        UNetConfig {
            inputs: inputs as i64,
            classes: classes as i64,
            base_filters: self.network.base_filters,
            depth: self.network.depth,
            padding: self.network.padding,
            side: self.resolution,
        }
    }

    /// The learning rate of the step that begins after `images_seen` images (polynomial schedule).
    pub fn rate(&self, images_seen: u64) -> f64 {
        let done = images_seen as f64 / self.total_images() as f64;
        self.optimiser.rate * (1.0 - done).max(0.0).powf(self.optimiser.poly_power)
    }

    /// The probability with which a background pixel is ignored after `images_seen` images.
    pub fn background_ignored(&self, images_seen: u64) -> f64 {
        if self.loss.warmup_epoch_kimg == 0.0 {
            return 0.0;
        }
        let epoch = (images_seen as f64 / (self.loss.warmup_epoch_kimg * 1000.0)) as usize;
        BACKGROUND_IGNORED.get(epoch).copied().unwrap_or(0.0)
    }

    /// Checks every value that could break a run hours later.
    ///
    /// # Errors
    /// [`TrainError::Config`] with the key, the accepted values and the value found.
    pub fn validate(&self) -> Result<(), TrainError> {
        let largest = limits::RESOLUTION as i64;
        require((8..=largest).contains(&self.resolution), "resolution", "8 to 1024", self.resolution)?;
        require(self.kimg > 0.0 && self.kimg <= 1e7, "kimg", "more than 0, at most 10,000,000", self.kimg)?;
        require((1..=4096).contains(&self.batch), "batch", "1 to 4096", self.batch)?;
        for (key, value) in [
            ("tick_images", self.tick_images),
            ("checkpoint_images", self.checkpoint_images),
            ("validation_images", self.validation_images),
            ("validation_slices", self.validation_slices as u64),
        ] {
            require(value > 0, key, "more than 0", value)?;
        }
        let optimiser = &self.optimiser;
        require(
            optimiser.rate > 0.0 && optimiser.rate <= 10.0,
            "optimiser.rate",
            "more than 0, at most 10",
            optimiser.rate,
        )?;
        require(
            (0.0..=10.0).contains(&optimiser.poly_power),
            "optimiser.poly_power",
            "0 to 10",
            optimiser.poly_power,
        )?;
        require(
            (0.0..1.0).contains(&optimiser.momentum),
            "optimiser.momentum",
            "0 to less than 1",
            optimiser.momentum,
        )?;
        require(
            (0.0..1.0).contains(&optimiser.weight_decay),
            "optimiser.weight_decay",
            "0 to less than 1",
            optimiser.weight_decay,
        )?;
        require(
            optimiser.gradient_norm > 0.0,
            "optimiser.gradient_norm",
            "more than 0",
            optimiser.gradient_norm,
        )?;
        let loss = &self.loss;
        require(
            loss.dice_smooth > 0.0 && loss.dice_smooth <= 1.0,
            "loss.dice_smooth",
            "more than 0, at most 1",
            loss.dice_smooth,
        )?;
        let epoch = loss.warmup_epoch_kimg;
        require((0.0..=1e7).contains(&epoch), "loss.warmup_epoch_kimg", "0 or more", epoch)?;
        self.augmentation.validate()?;
        // Channels and classes come from the data, which is checked where it is read.
        self.network(1, 2).validate().map_err(|error| match error {
            UNetConfigError::Range { name, low, high, found } => TrainError::Config {
                key: if name == "depth" { "network.depth" } else { "network.base_filters" },
                expected: format!("{low} to {high}"),
                found: found.to_string(),
            },
            UNetConfigError::Side { multiple, found, .. } => TrainError::Config {
                key: "resolution",
                expected: format!(
                    "a multiple of {multiple}, at least {}, for a depth of {} with padding",
                    2 * multiple,
                    self.network.depth
                ),
                found: found.to_string(),
            },
        })
    }
}

/// An error that names the key unless `valid`. NaN fails every comparison, so it is refused everywhere.
fn require(valid: bool, key: &'static str, expected: &str, found: impl Display) -> Result<(), TrainError> {
    if valid {
        return Ok(());
    }
    Err(TrainError::Config { key, expected: expected.to_owned(), found: found.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preset(name: &str) -> SegmenterConfig {
        let preset = PRESETS.iter().find(|preset| preset.name == name).unwrap();
        toml::from_str(preset.toml).unwrap()
    }

    #[test]
    fn the_presets_are_valid_and_the_papers_is_the_papers() {
        preset("unet-tiny-64").validate().unwrap();
        let paper = preset("unet-paper-256");
        paper.validate().unwrap();
        assert_eq!(paper.network(4, 4).input_side(), 636);
        assert_eq!(paper.total_images(), 32_000_016, "3.2e7 samples in whole batches of 48");
    }

    #[test]
    fn schedules_follow_the_images() {
        let config = preset("unet-paper-256");
        let total = config.total_images();
        assert_eq!(config.rate(0), 2e-2);
        assert!((config.rate(total / 2) - 2e-2 * 0.5f64.powf(0.9)).abs() < 1e-15);
        assert_eq!(config.rate(total), 0.0);
        let ignored = [0, 79_999, 80_000, 399_999, 400_000].map(|images| config.background_ignored(images));
        assert_eq!(ignored, [1.0, 1.0, 0.8, 0.2, 0.0]);
    }

    #[test]
    fn unusable_values_are_named() {
        let fails = |change: fn(&mut SegmenterConfig)| {
            let mut config = preset("unet-tiny-64");
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(fails(|c| c.network.depth = 1).contains("network.depth: expected 2 to 8, found 1"));
        assert!(fails(|c| c.network.depth = 7).contains("resolution: expected a multiple of 64"));
        assert!(fails(|c| c.kimg = f64::NAN).contains("kimg"));
        assert!(fails(|c| c.optimiser.rate = f64::NAN).contains("optimiser.rate"));
        assert!(fails(|c| c.tick_images = 0).contains("tick_images"));
    }
}
