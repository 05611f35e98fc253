//! Families of segmentation networks, as a configuration names them.

use serde::{Deserialize, Serialize};
use synthmr_nets::engine::Precision;
use synthmr_nets::segmenters::{
    Padding, ResEncConfig, ResEncConfigError, ResEncUNet, Segmenter, SwinUPerNet, SwinUPerNetConfig,
    SwinUPerNetConfigError, UNet, UNetConfig, UNetConfigError,
};
use tch::Device;

use crate::TrainError;

/// Sizes of the networks; the key `architecture` names the family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "lowercase")]
pub enum Family {
    /// The study's U-Net.
    UNet {
        /// Its sizes.
        network: UNetSizes,
    },
    /// nnU-Net's U-Net with a residual encoder.
    ResEnc {
        /// Its sizes.
        network: ResEncSizes,
    },
    /// Swin Transformer with UPerNet heads.
    Swin {
        /// Its sizes.
        network: SwinSizes,
    },
}

/// Sizes of the U-Net; see [`UNetConfig`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UNetSizes {
    /// Filters at the full resolution, doubled at every level.
    pub base_filters: i64,
    /// Levels, the full resolution included.
    pub depth: i64,
    /// `same` or `valid`.
    pub padding: Padding,
}

/// Sizes of the U-Net with a residual encoder; see [`ResEncConfig`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResEncSizes {
    /// Filters at the full resolution, doubled at every stage.
    pub base_filters: i64,
    /// Most filters of a stage.
    pub max_filters: i64,
    /// Residual blocks of each stage, the full resolution first.
    pub blocks: Vec<i64>,
}

/// Sizes of Swin Transformer and UPerNet; see [`SwinUPerNetConfig`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwinSizes {
    /// Features of the first stage.
    pub embedding: i64,
    /// Blocks of each stage.
    pub depths: [i64; 4],
    /// Heads of attention at each stage.
    pub heads: [i64; 4],
    /// Side of a window in patches.
    pub window: i64,
    /// Probability that a branch of the last block is left out in training.
    pub drop_path: f64,
    /// Features of the decoder head.
    pub decoder: i64,
    /// Features of the auxiliary head.
    pub auxiliary: i64,
}

/// A family's sizes with those that the data decide.
enum Sized {
    UNet(UNetConfig),
    ResEnc(ResEncConfig),
    Swin(SwinUPerNetConfig),
}

impl Family {
    fn sized(&self, inputs: i64, classes: i64, side: i64) -> Sized {
        match self {
            Family::UNet { network: UNetSizes { base_filters, depth, padding } } => Sized::UNet(UNetConfig {
                inputs,
                classes,
                base_filters: *base_filters,
                depth: *depth,
                padding: *padding,
                side,
            }),
            Family::ResEnc { network: ResEncSizes { base_filters, max_filters, blocks } } => {
                Sized::ResEnc(ResEncConfig {
                    inputs,
                    classes,
                    side,
                    base_filters: *base_filters,
                    max_filters: *max_filters,
                    blocks: blocks.clone(),
                })
            }
            Family::Swin { network } => {
                let SwinSizes { embedding, depths, heads, window, drop_path, decoder, auxiliary } = *network;
                Sized::Swin(SwinUPerNetConfig {
                    inputs,
                    classes,
                    side,
                    embedding,
                    depths,
                    heads,
                    window,
                    drop_path,
                    decoder,
                    auxiliary,
                })
            }
        }
    }

    /// The network for images of `inputs` channels, `classes` classes (background included) and `side` pixels, with initial
    /// weights that are a function of `seed`; the sizes have been validated.
    pub fn build(
        &self,
        [inputs, classes, side]: [i64; 3],
        seed: u64,
        device: Device,
        precision: Precision,
    ) -> Box<dyn Segmenter> {
        match self.sized(inputs, classes, side) {
            Sized::UNet(config) => Box::new(UNet::new(&config, seed, device, precision)),
            Sized::ResEnc(config) => Box::new(ResEncUNet::new(&config, seed, device, precision)),
            Sized::Swin(config) => Box::new(SwinUPerNet::new(&config, seed, device, precision)),
        }
    }

    /// Images that a training step needs at least.
    pub(super) fn least_batch(&self) -> i64 {
        match self {
            Family::UNet { .. } | Family::ResEnc { .. } => 1,
            // The coarsest pooling of UPerNet leaves one value an image and channel, which has no variance.
            Family::Swin { .. } => 2,
        }
    }

    /// Checks that images of `side` pixels can be segmented by networks of these sizes.
    ///
    /// # Errors
    /// [`TrainError::Config`] with the key, the accepted values and the value found.
    pub(super) fn validate(&self, side: i64) -> Result<(), TrainError> {
        // Channels and classes come from the data, which is checked where it is read.
        match self.sized(1, 2, side) {
            Sized::UNet(config) => config.validate().map_err(|error| match error {
                UNetConfigError::Range { name, low, high, found } => out_of_range(name, low, high, found),
                UNetConfigError::Side { multiple, found, depth } => {
                    bad_side(multiple, &format!("a depth of {depth} with padding"), found)
                }
            }),
            Sized::ResEnc(config) => config.validate().map_err(|error| match error {
                ResEncConfigError::Range { name, low, high, found } => out_of_range(name, low, high, found),
                ResEncConfigError::Side { multiple, found, stages } => {
                    bad_side(multiple, &format!("{stages} stages"), found)
                }
            }),
            Sized::Swin(config) => config.validate().map_err(|error| match error {
                SwinUPerNetConfigError::Range { name, low, high, found } => {
                    out_of_range(name, low, high, found)
                }
                SwinUPerNetConfigError::Side { found } => TrainError::Config {
                    key: "resolution",
                    expected: "a multiple of 32 for Swin Transformer".into(),
                    found: found.to_string(),
                },
                SwinUPerNetConfigError::Heads { stage, features, found } => TrainError::Config {
                    key: "network.heads",
                    expected: format!("a divisor of the {features} features of stage {stage}"),
                    found: found.to_string(),
                },
                SwinUPerNetConfigError::DropPath { found } => TrainError::Config {
                    key: "network.drop_path",
                    expected: "0 to below 1".into(),
                    found: found.to_string(),
                },
            }),
        }
    }
}

fn out_of_range(name: &str, low: i64, high: i64, found: i64) -> TrainError {
    let key = match name {
        "base_filters" => "network.base_filters",
        "max_filters" => "network.max_filters",
        "depth" => "network.depth",
        "blocks" => "network.blocks",
        "stages" => {
            return TrainError::Config {
                key: "network.blocks",
                expected: format!("a list of {low} to {high} numbers"),
                found: format!("{found} numbers"),
            };
        }
        "embedding" => "network.embedding",
        "window" => "network.window",
        "decoder" => "network.decoder",
        "auxiliary" => "network.auxiliary",
        "depths" => "network.depths",
        "heads" => "network.heads",
        _ => "resolution",
    };
    TrainError::Config { key, expected: format!("{low} to {high}"), found: found.to_string() }
}

fn bad_side(multiple: i64, with: &str, found: i64) -> TrainError {
    TrainError::Config {
        key: "resolution",
        expected: format!("a multiple of {multiple}, at least {}, for {with}", 2 * multiple),
        found: found.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::segmentation::{PRESETS, SegmenterConfig};

    fn sized(preset: &str) -> Sized {
        let config: SegmenterConfig = config::resolve(PRESETS, Some(preset), None, &[]).unwrap();
        config.family.sized(4, 4, config.resolution)
    }

    /// The published sizes are those whose parameters were counted by other people's programs.
    #[test]
    fn presets_have_the_published_sizes() {
        for (preset, published) in [
            ("swin-t-256", SwinUPerNetConfig::swin_t(4, 4, 256)),
            ("swin-s-256", SwinUPerNetConfig::swin_s(4, 4, 256)),
            ("swin-b-256", SwinUPerNetConfig::swin_b(4, 4, 256)),
        ] {
            let Sized::Swin(found) = sized(preset) else { panic!("{preset} is a Swin Transformer") };
            assert_eq!(found, published, "{preset}");
        }
        let Sized::ResEnc(found) = sized("resenc-256") else { panic!("a residual encoder") };
        assert_eq!(found, ResEncConfig::published(4, 4, 256, 7));
        let Sized::UNet(found) = sized("unet-paper-256") else { panic!("a U-Net") };
        assert_eq!((found.base_filters, found.depth, found.padding), (64, 6, Padding::Valid));
    }
}
