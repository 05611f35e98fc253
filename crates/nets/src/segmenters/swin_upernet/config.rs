//! Hyper-parameters of Swin Transformer + UPerNet.

/// Sizes of a Swin Transformer with UPerNet heads.
#[derive(Clone, Debug, PartialEq)]
pub struct SwinUPerNetConfig {
    /// Image channels.
    pub inputs: i64,
    /// Classes, background included.
    pub classes: i64,
    /// Side of images and label maps in pixels, divisible by 32.
    pub side: i64,
    /// Features of the first stage, doubled at every stage; Swin-T has 96.
    pub embedding: i64,
    /// Blocks of each stage; Swin-T has 2, 2, 6, 2.
    pub depths: [i64; 4],
    /// Heads of attention at each stage; Swin-T has 3, 6, 12, 24.
    pub heads: [i64; 4],
    /// Side of a window in patches of 4x4 pixels (first stage); published are 7 and 12.
    pub window: i64,
    /// Probability that a branch of the last block is left out for an image in training; it rises linearly from 0 at
    /// the first block. Published with UPerNet are 0.2 (Swin-T) and 0.3.
    pub drop_path: f64,
    /// Features of the decoder head; 512 as published.
    pub decoder: i64,
    /// Features of the auxiliary head; 256 as published.
    pub auxiliary: i64,
}

/// Why a Swin Transformer with UPerNet heads cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SwinUPerNetConfigError {
    /// A size is out of its range.
    #[error("Swin + UPerNet: expected {name} from {low} to {high}, found {found}")]
    Range {
        /// The value.
        name: &'static str,
        /// Smallest that makes sense.
        low: i64,
        /// Largest that makes sense.
        high: i64,
        /// As given.
        found: i64,
    },
    /// The side of the images is no multiple of 32.
    #[error(
        "Swin + UPerNet: expected a side that is a multiple of 32, found {found}\n\
         hint: patches of 4x4 pixels are merged three times, and every stage has half the side of the one before"
    )]
    Side {
        /// As given.
        found: i64,
    },
    /// Features cannot be divided among the heads.
    #[error(
        "Swin + UPerNet: expected heads that divide the {features} features of stage {stage}, found {found}"
    )]
    Heads {
        /// Stage, the first is 1.
        stage: usize,
        /// Features there.
        features: i64,
        /// As given.
        found: i64,
    },
    /// No probability.
    #[error("Swin + UPerNet: expected drop_path from 0 to below 1, found {found}")]
    DropPath {
        /// As given.
        found: f64,
    },
}

impl SwinUPerNetConfig {
    /// Swin-T (Liu et al. 2021, section 3.3): 59.8 million parameters with its heads.
    pub fn swin_t(inputs: i64, classes: i64, side: i64) -> Self {
        Self {
            inputs,
            classes,
            side,
            embedding: 96,
            depths: [2, 2, 6, 2],
            heads: [3, 6, 12, 24],
            window: 7,
            drop_path: 0.2,
            decoder: 512,
            auxiliary: 256,
        }
    }

    /// Swin-S: 81.2 million parameters with its heads.
    pub fn swin_s(inputs: i64, classes: i64, side: i64) -> Self {
        Self { depths: [2, 2, 18, 2], drop_path: 0.3, ..Self::swin_t(inputs, classes, side) }
    }

    /// Swin-B: 121 million parameters with its heads.
    pub fn swin_b(inputs: i64, classes: i64, side: i64) -> Self {
        Self { embedding: 128, heads: [4, 8, 16, 32], ..Self::swin_s(inputs, classes, side) }
    }

    /// A small network for images of 64x64: windows of 4 patches divide its first three stages.
    pub fn tiny(inputs: i64, classes: i64, side: i64) -> Self {
        Self {
            embedding: 32,
            depths: [2, 2, 2, 2],
            heads: [1, 2, 4, 8],
            window: 4,
            drop_path: 0.1,
            decoder: 64,
            auxiliary: 32,
            ..Self::swin_t(inputs, classes, side)
        }
    }

    /// Checks the ranges, and that images of this side can be segmented.
    ///
    /// # Errors
    /// [`SwinUPerNetConfigError`] naming the value.
    pub fn validate(&self) -> Result<(), SwinUPerNetConfigError> {
        let within = |name, low, high, found: i64| {
            if (low..=high).contains(&found) {
                return Ok(());
            }
            Err(SwinUPerNetConfigError::Range { name, low, high, found })
        };
        within("input channels", 1, 256, self.inputs)?;
        within("classes", 2, 256, self.classes)?;
        within("side", 32, 1 << 14, self.side)?;
        within("embedding", 1, 1024, self.embedding)?;
        within("window", 2, 64, self.window)?;
        within("decoder", 1, 4096, self.decoder)?;
        within("auxiliary", 1, 4096, self.auxiliary)?;
        if self.side % 32 != 0 {
            return Err(SwinUPerNetConfigError::Side { found: self.side });
        }
        for (stage, (&depth, &heads)) in self.depths.iter().zip(&self.heads).enumerate() {
            within("depths", 1, 128, depth)?;
            let features = self.features(stage);
            if heads < 1 || features % heads != 0 {
                return Err(SwinUPerNetConfigError::Heads { stage: stage + 1, features, found: heads });
            }
        }
        if !(0.0..1.0).contains(&self.drop_path) {
            return Err(SwinUPerNetConfigError::DropPath { found: self.drop_path });
        }
        Ok(())
    }

    /// Features of a stage; 0 is the first.
    pub(super) fn features(&self, stage: usize) -> i64 {
        self.embedding << stage
    }

    /// Side of a stage's features in positions; 0 is the first.
    pub(super) fn stage_side(&self, stage: usize) -> i64 {
        (self.side / 4) >> stage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_sizes_are_valid() {
        for config in [
            SwinUPerNetConfig::swin_t(3, 150, 512),
            SwinUPerNetConfig::swin_s(4, 4, 256),
            SwinUPerNetConfig::swin_b(1, 2, 32),
            SwinUPerNetConfig::tiny(4, 4, 64),
        ] {
            assert_eq!(config.validate(), Ok(()));
        }
    }

    #[test]
    fn rejects_what_cannot_be_built() {
        let tiny = || SwinUPerNetConfig::tiny(4, 4, 64);
        let found = |config: SwinUPerNetConfig| config.validate().unwrap_err();
        assert_eq!(
            found(SwinUPerNetConfig { side: 80, ..tiny() }),
            SwinUPerNetConfigError::Side { found: 80 }
        );
        assert_eq!(
            found(SwinUPerNetConfig { heads: [1, 2, 3, 8], ..tiny() }),
            SwinUPerNetConfigError::Heads { stage: 3, features: 128, found: 3 }
        );
        assert_eq!(
            found(SwinUPerNetConfig { drop_path: 1.0, ..tiny() }),
            SwinUPerNetConfigError::DropPath { found: 1.0 }
        );
        assert!(matches!(
            found(SwinUPerNetConfig { depths: [2, 0, 2, 2], ..tiny() }),
            SwinUPerNetConfigError::Range { name: "depths", .. }
        ));
    }
}
