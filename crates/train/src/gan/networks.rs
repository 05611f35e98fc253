//! Sizes of the networks of every kind of GAN, as they stand in a configuration.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use synthmr_nets::engine::Precision;
use synthmr_nets::generators::gan::{Discriminator, Generator};
use synthmr_nets::generators::progan::{self, ProGanConfig};
use synthmr_nets::generators::stylegan1::{self, StyleGan1Config};
use synthmr_nets::generators::stylegan2::{self, StyleGan2Config};
use synthmr_nets::generators::stylegan3::{self, StyleGan3Config, Variant};
use tch::Device;

use crate::generator::GeneratorConfig;

/// What networks are built for.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Side of the images.
    pub resolution: i64,
    /// Planes of an image.
    pub planes: i64,
    /// Seed of the initial weights.
    pub seed: u64,
    /// Device of the weights.
    pub device: Device,
    /// Arithmetic of the convolutions.
    pub precision: Precision,
}

impl Place {
    /// The place of a configuration's networks.
    pub(crate) fn new(config: &GeneratorConfig, planes: i64, device: Device, precision: Precision) -> Self {
        Self { resolution: config.resolution, planes, seed: config.seed, device, precision }
    }
}

/// A size with its key and what is accepted.
pub type Size = (&'static str, i64, RangeInclusive<i64>);

/// The networks of a kind of GAN.
pub trait Networks {
    /// The generator with its initial weights.
    fn generator(&self, place: &Place) -> Box<dyn Generator>;

    /// The discriminator with its initial weights.
    fn discriminator(&self, place: &Place) -> Box<dyn Discriminator>;

    /// Every size with its key and what is accepted.
    fn sizes(&self) -> Vec<Size>;

    /// Samples a group of the minibatch standard deviation.
    fn minibatch_group(&self) -> i64;

    /// The smallest images they can make.
    fn least_resolution(&self) -> i64 {
        8
    }

    /// Whether they can grow.
    fn grows(&self) -> bool {
        false
    }

    /// Whether images have several styles.
    fn has_styles(&self) -> bool {
        true
    }

    /// Whether the path-length penalty is defined for them: it was made for StyleGAN 2.
    fn has_path_lengths(&self) -> bool {
        false
    }
}

/// Sizes of networks without styles: Progressive GAN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProGanSizes {
    /// Length of the latent z.
    pub z_dim: i64,
    /// Feature maps at resolution r are min(channel_base / r, channel_max).
    pub channel_base: i64,
    /// Most feature maps.
    pub channel_max: i64,
    /// Samples a group of the minibatch standard deviation.
    pub mbstd_group: i64,
}

/// Sizes of networks with styles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StyleGanSizes {
    /// Length of the latent z.
    pub z_dim: i64,
    /// Length of the intermediate latent w.
    pub w_dim: i64,
    /// Layers from z to w.
    pub mapping_layers: i64,
    /// Feature maps at resolution r are min(channel_base / r, channel_max).
    pub channel_base: i64,
    /// Most feature maps.
    pub channel_max: i64,
    /// Samples a group of the minibatch standard deviation.
    pub mbstd_group: i64,
}

/// Sizes of StyleGAN 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StyleGan1Sizes(pub StyleGanSizes);

/// Sizes of StyleGAN 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StyleGan2Sizes(pub StyleGanSizes);

/// Sizes of StyleGAN 3; its discriminator is StyleGAN 2's, with feature maps of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StyleGan3Sizes {
    /// What the generator follows: translations (`"t"`), or rotations too (`"r"`).
    pub variant: Variant,
    /// Length of the latent z.
    pub z_dim: i64,
    /// Length of the intermediate latent w.
    pub w_dim: i64,
    /// Layers from z to w.
    pub mapping_layers: i64,
    /// Layers from the Fourier features to the image layer.
    pub layers: i64,
    /// Feature maps of a layer with cut-off f are min(channel_base / 2 f, channel_max).
    pub channel_base: i64,
    /// Most feature maps of the generator.
    pub channel_max: i64,
    /// The discriminator's feature maps at resolution r are min(discriminator_base / r, discriminator_max).
    pub discriminator_base: i64,
    /// Most feature maps of the discriminator.
    pub discriminator_max: i64,
    /// Samples a group of the minibatch standard deviation.
    pub mbstd_group: i64,
}

impl ProGanSizes {
    fn config(&self, place: &Place) -> ProGanConfig {
        ProGanConfig {
            resolution: place.resolution,
            planes: place.planes,
            z_dim: self.z_dim,
            channel_base: self.channel_base,
            channel_max: self.channel_max,
            mbstd_group: self.mbstd_group,
        }
    }

    fn sizes(&self) -> Vec<Size> {
        vec![
            ("network.z_dim", self.z_dim, 1..=8192),
            ("network.channel_base", self.channel_base, 1..=1 << 20),
            ("network.channel_max", self.channel_max, 1..=8192),
            ("network.mbstd_group", self.mbstd_group, 1..=4096),
        ]
    }
}

impl StyleGanSizes {
    /// Without what styles need.
    fn base(&self) -> ProGanSizes {
        ProGanSizes {
            z_dim: self.z_dim,
            channel_base: self.channel_base,
            channel_max: self.channel_max,
            mbstd_group: self.mbstd_group,
        }
    }

    fn sizes(&self) -> Vec<Size> {
        let mut sizes = self.base().sizes();
        sizes.extend([
            ("network.w_dim", self.w_dim, 1..=8192),
            ("network.mapping_layers", self.mapping_layers, 1..=64),
        ]);
        sizes
    }

    fn stylegan2(&self, place: &Place) -> StyleGan2Config {
        StyleGan2Config {
            resolution: place.resolution,
            planes: place.planes,
            z_dim: self.z_dim,
            w_dim: self.w_dim,
            mapping_layers: self.mapping_layers,
            channel_base: self.channel_base,
            channel_max: self.channel_max,
            mbstd_group: self.mbstd_group,
        }
    }
}

impl Networks for ProGanSizes {
    fn generator(&self, place: &Place) -> Box<dyn Generator> {
        let config = self.config(place);
        Box::new(progan::Generator::new(&config, place.seed, place.device, place.precision))
    }

    fn discriminator(&self, place: &Place) -> Box<dyn Discriminator> {
        let config = self.config(place);
        Box::new(progan::Discriminator::new(&config, false, place.seed, place.device, place.precision))
    }

    fn sizes(&self) -> Vec<Size> {
        self.sizes()
    }

    fn minibatch_group(&self) -> i64 {
        self.mbstd_group
    }

    fn grows(&self) -> bool {
        true
    }

    fn has_styles(&self) -> bool {
        false
    }
}

impl Networks for StyleGan1Sizes {
    fn generator(&self, place: &Place) -> Box<dyn Generator> {
        let Self(sizes) = self;
        let (w_dim, mapping_layers) = (sizes.w_dim, sizes.mapping_layers);
        let config = StyleGan1Config { base: sizes.base().config(place), w_dim, mapping_layers };
        Box::new(stylegan1::Generator::new(&config, place.seed, place.device, place.precision))
    }

    fn discriminator(&self, place: &Place) -> Box<dyn Discriminator> {
        let config = self.0.base().config(place);
        Box::new(progan::Discriminator::new(&config, true, place.seed, place.device, place.precision))
    }

    fn sizes(&self) -> Vec<Size> {
        self.0.sizes()
    }

    fn minibatch_group(&self) -> i64 {
        self.0.mbstd_group
    }

    fn grows(&self) -> bool {
        true
    }
}

impl Networks for StyleGan2Sizes {
    fn generator(&self, place: &Place) -> Box<dyn Generator> {
        let config = self.0.stylegan2(place);
        Box::new(stylegan2::Generator::new(&config, place.seed, place.device, place.precision))
    }

    fn discriminator(&self, place: &Place) -> Box<dyn Discriminator> {
        let config = self.0.stylegan2(place);
        Box::new(stylegan2::Discriminator::new(&config, place.seed, place.device, place.precision))
    }

    fn sizes(&self) -> Vec<Size> {
        self.0.sizes()
    }

    fn minibatch_group(&self) -> i64 {
        self.0.mbstd_group
    }

    fn has_path_lengths(&self) -> bool {
        true
    }
}

impl Networks for StyleGan3Sizes {
    fn generator(&self, place: &Place) -> Box<dyn Generator> {
        let config = StyleGan3Config {
            variant: self.variant,
            resolution: place.resolution,
            planes: place.planes,
            z_dim: self.z_dim,
            w_dim: self.w_dim,
            mapping_layers: self.mapping_layers,
            channel_base: self.channel_base,
            channel_max: self.channel_max,
            layers: self.layers as usize,
        };
        Box::new(stylegan3::Generator::new(&config, place.seed, place.device, place.precision))
    }

    fn discriminator(&self, place: &Place) -> Box<dyn Discriminator> {
        let sizes = StyleGanSizes {
            z_dim: self.z_dim,
            w_dim: self.w_dim,
            mapping_layers: self.mapping_layers,
            channel_base: self.discriminator_base,
            channel_max: self.discriminator_max,
            mbstd_group: self.mbstd_group,
        };
        StyleGan2Sizes(sizes).discriminator(place)
    }

    fn sizes(&self) -> Vec<Size> {
        vec![
            ("network.z_dim", self.z_dim, 1..=8192),
            ("network.w_dim", self.w_dim, 1..=8192),
            ("network.mapping_layers", self.mapping_layers, 1..=64),
            ("network.layers", self.layers, 3..=64),
            ("network.channel_base", self.channel_base, 1..=1 << 20),
            ("network.channel_max", self.channel_max, 1..=8192),
            ("network.discriminator_base", self.discriminator_base, 1..=1 << 20),
            ("network.discriminator_max", self.discriminator_max, 1..=8192),
            ("network.mbstd_group", self.mbstd_group, 1..=4096),
        ]
    }

    fn minibatch_group(&self) -> i64 {
        self.mbstd_group
    }

    fn least_resolution(&self) -> i64 {
        16
    }
}
