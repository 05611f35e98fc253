//! What the networks of all GANs have in common, so that one training loop and one sampler serve every family.

use tch::Tensor;

use super::growing::Growing;
use crate::engine::Parameters;

/// Where noise inputs come from.
#[derive(Debug)]
pub enum Noise {
    /// The tensors saved with the network: the same for every image.
    Constant,
    /// One tensor `[n, 1, r, r]` for each noise input, in the order of [`Generator::noise_sides`]; those of levels that
    /// have not grown yet, the last ones, may be left out.
    Given(Vec<Tensor>),
    /// No noise.
    None,
}

/// The generator of a GAN, from latents z by way of intermediate latents w to images.
///
/// A network that grows keeps its level of detail as a buffer ([`Growing`]), which is saved and averaged with the
/// rest: its images are as large as the levels it has grown to.
pub trait Generator {
    /// All values.
    fn parameters(&self) -> &Parameters;

    /// Length of the latent z.
    fn z_dim(&self) -> i64;

    /// `[n, z_dim] -> [n, w_dim]`. A network without a mapping only scales z.
    fn map(&self, z: &Tensor) -> Tensor;

    /// The running mean of w `[w_dim]`, which truncation moves towards; none where there is no mapping.
    fn mean_w(&self) -> Option<&Tensor>;

    /// How slowly that mean follows the batches.
    fn mean_w_decay(&self) -> f64 {
        0.995
    }

    /// Number of styles `w` that one image takes.
    fn style_count(&self) -> i64;

    /// Sides of the noise inputs, in order.
    fn noise_sides(&self) -> Vec<i64>;

    /// Images `[n, planes, r, r]`, nominally in [-1, 1], in the parameters' kind, of styles
    /// `[n, style_count, w_dim]`.
    fn synthesise(&self, styles: &Tensor, noise: &Noise) -> Tensor;

    /// As [`Self::synthesise`] in a training step: statistics of the signal that the network keeps follow these images,
    /// as fast as a batch of so many images moves them, of which these are all or a share that stands for all.
    fn synthesise_and_track(&self, styles: &Tensor, noise: &Noise, _: i64) -> Tensor {
        self.synthesise(styles, noise)
    }

    /// The level of detail of a network that grows.
    fn growing(&self) -> Option<&Growing> {
        None
    }

    /// Images of latents `z` `[n, z_dim]` with one style throughout. `truncation` 1 is none; smaller values move w
    /// towards its mean (Karras et al. 2019, appendix B).
    fn images(&self, z: &Tensor, truncation: f64, noise: &Noise) -> Tensor {
        let w = self.map(z);
        let w = match self.mean_w() {
            Some(mean) if truncation != 1.0 => mean.lerp(&w, truncation),
            _ => w,
        };
        self.synthesise(&w.unsqueeze(1).expand([-1, self.style_count(), -1], false), noise)
    }
}

/// The discriminator of a GAN.
pub trait Discriminator {
    /// All values.
    fn parameters(&self) -> &Parameters;

    /// Logits or scores `[n, 1]` of images `[n, planes, r, r]`; larger means more like real ones. The batch is made
    /// of `batches` equal parts whose statistics are kept apart: 2 when real and generated images are judged in one
    /// pass. A network that grows takes images as large as the levels it has grown to.
    fn judge(&self, images: &Tensor, batches: i64) -> Tensor;

    /// The level of detail of a network that grows.
    fn growing(&self) -> Option<&Growing> {
        None
    }
}

/// Lets the running mean of w follow a batch `[n, w_dim]`.
pub fn track_mean_w(generator: &dyn Generator, w: &Tensor) {
    let Some(mean) = generator.mean_w() else { return };
    tch::no_grad(|| {
        let batch = w.detach().mean_dim([0i64].as_slice(), false, w.kind());
        let _ = mean.shallow_clone().lerp_(&batch, 1.0 - generator.mean_w_decay());
    });
}

/// The `index`-th noise input `[n or 1, 1, side, side]`; `constant` `[side, side]` is the one saved with the network.
pub(super) fn noise_input(noise: &Noise, index: usize, side: i64, constant: &Tensor) -> Option<Tensor> {
    match noise {
        Noise::None => None,
        Noise::Constant => Some(constant.view([1, 1, side, side])),
        Noise::Given(tensors) => Some(tensors[index].shallow_clone()),
    }
}

/// Feature maps at a resolution: `base / resolution`, at least 1 and at most `largest`.
pub(super) fn feature_maps(base: i64, largest: i64, resolution: i64) -> i64 {
    (base / resolution).clamp(1, largest)
}

/// Resolutions of a network's levels: powers of two from 4 to the full one.
pub(super) fn resolutions(full: i64) -> impl DoubleEndedIterator<Item = i64> {
    (2..=full.ilog2()).map(|log| 1i64 << log)
}
