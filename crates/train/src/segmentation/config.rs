//! Configuration of a segmenter's training. Every value has its place in `presets/*.toml`; nothing is
//! hidden in code.

use serde::{Deserialize, Serialize};
use synthmr_core::limits;
use synthmr_nets::engine::Precision;
use synthmr_nets::segmenters::Segmenter;
use tch::{Device, Tensor};

use super::{AugmentationConfig, DiceForm, Family, OptimiserConfig, as_they_are, normalised};
use crate::TrainError;
use crate::config::{Preset, preset, require};

/// The segmenters' presets, in the order in which they are listed.
pub const PRESETS: &[Preset] = &[
    preset!("unet-tiny-64", "U-Net at 64x64 that learns the phantom cohort in a minute on two cores"),
    preset!("unet-same-256", "the study's U-Net with padded convolutions at 256x256, for GPUs"),
    preset!(
        "unet-paper-256",
        "the study's U-Net of 116 million parameters at 256x256: 32,000 kimg, batch 48, for GPUs"
    ),
    preset!("resenc-256", "nnU-Net's U-Net with a residual encoder at 256x256, for GPUs"),
    preset!(
        "swin-tiny-64",
        "Swin Transformer + UPerNet at 64x64, small: learns the phantom cohort in two minutes on two cores"
    ),
    preset!("swin-t-256", "Swin-T + UPerNet at 256x256, 59.8 million parameters, for GPUs"),
    preset!("swin-s-256", "Swin-S + UPerNet at 256x256, 81.2 million parameters, for GPUs"),
    preset!("swin-b-256", "the study's Swin-B + UPerNet at 256x256, 121 million parameters, for GPUs"),
];

/// Share of the background that the loss ignores in the first epochs, one value an epoch, as in the study.
const BACKGROUND_IGNORED: [f64; 5] = [1.0, 0.8, 0.6, 0.4, 0.2];

/// Everything that decides what a segmenter's training computes, beside the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmenterConfig {
    /// Side of the images in pixels; must be the stores'.
    pub resolution: i64,
    /// Seed of everything random.
    pub seed: u64,
    /// Length of the training, in thousands of images shown.
    pub kimg: f64,
    /// Images in a step.
    pub batch: i64,
    /// Parts of a batch that go through the network one after the other, for memory: the step is along the mean of
    /// their gradients. Dice over the batch is then over a part, and so is what batch normalisation sees.
    pub accumulation: i64,
    /// Images between two lines of the log.
    pub tick_images: u64,
    /// Images between two checkpoints.
    pub checkpoint_images: u64,
    /// Images between two looks at the validation part; the best network is kept.
    pub validation_images: u64,
    /// Looks at the validation part in a row without an improvement after which training ends; 0 turns the rule off. The
    /// schedule of the rate does not know of it.
    #[serde(default)]
    pub validation_patience: u64,
    /// Most validation slices of each source that are looked at, spread evenly over the part.
    pub validation_slices: usize,
    /// Whether images are standardised over their foreground, contrast by contrast, or given as they are, 0 to 255; the
    /// study did the one for its U-Net and the other for Swin.
    pub standardise: bool,
    /// Steps along the gradient.
    pub optimiser: OptimiserConfig,
    /// What is minimised.
    pub loss: LossConfig,
    /// How training images are changed.
    pub augmentation: AugmentationConfig,
    /// The network; the key `architecture` names the family.
    #[serde(flatten)]
    pub family: Family,
}

/// Soft Dice plus cross-entropy, and the warm-up on the background.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossConfig {
    /// Added to numerator and denominator of Dice.
    pub dice_smooth: f64,
    /// Whether the background takes part in Dice.
    pub dice_background: bool,
    /// Whether probabilities enter the denominator of Dice squared.
    pub dice_squared: bool,
    /// Whether Dice is of all images of a batch together; else it is the mean over images.
    pub dice_batch: bool,
    /// Length of an epoch of the background warm-up, in thousands of images; 0 turns it off. In its first five
    /// epochs each background pixel is ignored with probability 1, 0.8, 0.6, 0.4, 0.2.
    pub warmup_epoch_kimg: f64,
}

impl LossConfig {
    /// The form of Dice.
    pub fn dice(&self) -> DiceForm {
        let Self { dice_smooth, dice_background, dice_squared, dice_batch, .. } = *self;
        DiceForm {
            smooth: dice_smooth,
            background: dice_background,
            squared: dice_squared,
            batch: dice_batch,
        }
    }
}

impl SegmenterConfig {
    /// Images to be shown in all.
    pub fn total_images(&self) -> u64 {
        // Whole batches, so that the last step is like the others.
        let batch = self.batch as u64;
        ((self.kimg * 1000.0).ceil() as u64).div_ceil(batch) * batch
    }

    /// The network for images of `inputs` channels and `classes` classes, background included.
    pub fn network(
        &self,
        inputs: usize,
        classes: usize,
        device: Device,
        precision: Precision,
    ) -> Box<dyn Segmenter> {
        self.family.build([inputs as i64, classes as i64, self.resolution], self.seed, device, precision)
    }

    /// What the network sees of images u8 `[n, c, h, w]`: f32 `[n, c, side, side]`.
    pub fn prepared(&self, images: &Tensor, side: i64) -> Tensor {
        if self.standardise { normalised(images, side) } else { as_they_are(images, side) }
    }

    /// The learning rate of the step that begins after `images_seen` images.
    pub fn rate(&self, images_seen: u64) -> f64 {
        self.optimiser.rate_at(images_seen, self.batch, self.total_images())
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
        let least = self.family.least_batch();
        let expected = format!("{least} to 4096");
        require((least..=4096).contains(&self.batch), "batch", &expected, self.batch)?;
        let parts = self.accumulation;
        let divides = parts >= 1 && self.batch % parts == 0 && self.batch / parts >= least;
        let expected =
            format!("a number that divides the batch of {} into parts of at least {least}", self.batch);
        require(divides, "accumulation", &expected, parts)?;
        for (key, value) in [
            ("tick_images", self.tick_images),
            ("checkpoint_images", self.checkpoint_images),
            ("validation_images", self.validation_images),
            ("validation_slices", self.validation_slices as u64),
        ] {
            require(value > 0, key, "more than 0", value)?;
        }
        self.optimiser.validate()?;
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
        if self.augmentation.on && !self.standardise {
            return Err(TrainError::Config {
                key: "augmentation.on",
                expected: "false where standardise is false: strengths are in deviations of the foreground"
                    .into(),
                found: "true".into(),
            });
        }
        self.family.validate(self.resolution)
    }
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
        for preset in PRESETS {
            toml::from_str::<SegmenterConfig>(preset.toml).unwrap().validate().unwrap();
        }
        let paper = preset("unet-paper-256");
        paper.validate().unwrap();
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

    fn depth(config: &mut SegmenterConfig, value: i64) {
        let Family::UNet { network } = &mut config.family else { panic!("a U-Net") };
        network.depth = value;
    }

    #[test]
    fn unusable_values_are_named() {
        let fails = |change: fn(&mut SegmenterConfig)| {
            let mut config = preset("unet-tiny-64");
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(fails(|c| depth(c, 1)).contains("network.depth: expected 2 to 8, found 1"));
        assert!(fails(|c| depth(c, 7)).contains("resolution: expected a multiple of 64"));
        assert!(fails(|c| c.kimg = f64::NAN).contains("kimg"));
        assert!(fails(|c| c.optimiser.rate = f64::NAN).contains("optimiser.rate"));
        assert!(fails(|c| c.tick_images = 0).contains("tick_images"));
    }
}
