//! Which changes a segmenter's training images undergo, how often, and how strong.

use serde::{Deserialize, Serialize};

use crate::TrainError;

/// All changes. Probabilities are those of an image, or of a contrast of an image where it says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentationConfig {
    /// Whether anything is changed at all; the study trained every network both ways.
    pub on: bool,
    /// Mirrors left and right; 0 in the study.
    pub mirror_probability: f64,
    /// Turns in the plane, in degrees.
    pub rotation: Change,
    /// Factors of size, one an axis; what no longer fits is cut off.
    pub scaling: Change,
    /// Standard deviation of Gaussian noise, in standard deviations of the foreground.
    pub noise: Change,
    /// Standard deviation of a Gaussian filter in pixels, each contrast by itself.
    pub blur: Change,
    /// Side of a coarser grid as a share of the image's, each contrast by itself.
    pub low_resolution: Change,
    /// Factors of intensity, each contrast by itself.
    pub brightness: Change,
    /// Factors of the distance to the mean, each contrast by itself; the range is kept.
    pub contrast: Change,
    /// Exponents of intensity within the range, each contrast by itself; mean and deviation are kept.
    pub gamma: Change,
    /// The same with bright and dark exchanged.
    pub inverted_gamma: Change,
}

/// How often something is changed, and the range from which the strength is drawn evenly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// From 0 (never) to 1 (always).
    pub probability: f64,
    /// Smallest strength.
    pub low: f64,
    /// Largest strength.
    pub high: f64,
}

impl AugmentationConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// [`TrainError::Config`] with the key, the accepted values and the value found.
    pub fn validate(&self) -> Result<(), TrainError> {
        let mirror = self.mirror_probability;
        if !(0.0..=1.0).contains(&mirror) {
            return Err(refused("augmentation.mirror_probability", "0 to 1", mirror.to_string()));
        }
        // Strengths beyond these are typing errors: they leave nothing to learn from.
        for (key, change, low, high) in [
            ("augmentation.rotation", self.rotation, -180.0, 180.0),
            ("augmentation.scaling", self.scaling, 0.25, 4.0),
            ("augmentation.noise", self.noise, 0.0, 10.0),
            ("augmentation.blur", self.blur, 0.05, 16.0),
            ("augmentation.low_resolution", self.low_resolution, 0.05, 1.0),
            ("augmentation.brightness", self.brightness, 0.05, 20.0),
            ("augmentation.contrast", self.contrast, 0.05, 20.0),
            ("augmentation.gamma", self.gamma, 0.05, 20.0),
            ("augmentation.inverted_gamma", self.inverted_gamma, 0.05, 20.0),
        ] {
            let Change { probability, low: least, high: most } = change;
            let strengths = low <= least && least <= most && most <= high;
            if !((0.0..=1.0).contains(&probability) && strengths) {
                let expected = format!("a probability from 0 to 1, and low <= high from {low} to {high}");
                let found = format!("probability {probability}, low {least}, high {most}");
                return Err(refused(key, &expected, found));
            }
        }
        Ok(())
    }
}

fn refused(key: &'static str, expected: &str, found: String) -> TrainError {
    TrainError::Config { key, expected: expected.to_owned(), found }
}
