//! What StyleGAN 1, 2 and 3 have in common: a mapping network from z to w, and a synthesis network from styles to images.

use tch::Tensor;

use super::gan::{self, Noise};
use super::growing::Growing;
use super::mapping::Mapping;
use crate::engine::Parameters;

/// The network behind the mapping.
pub trait Synthesis {
    /// How slowly the running mean of w follows the batches.
    const MEAN_W_DECAY: f64 = 0.995;

    /// Number of styles that one image takes.
    fn style_count(&self) -> i64;

    /// Sides of the noise inputs, in order.
    fn noise_sides(&self) -> Vec<i64> {
        Vec::new()
    }

    /// Images `[n, planes, r, r]`, nominally in [-1, 1], in the parameters' kind, of styles `[n, style_count, w_dim]`.
    /// `track` lets statistics of the signal that the network keeps follow these images, as fast as a batch of so many
    /// images moves them.
    fn forward(&self, styles: &Tensor, noise: &Noise, track: Option<i64>) -> Tensor;

    /// The level of detail of a network that grows.
    fn growing(&self) -> Option<&Growing> {
        None
    }
}

/// Mapping and synthesis networks with their parameters.
pub struct Styled<S> {
    /// `z` to `w`.
    pub mapping: Mapping,
    /// `w` to images.
    pub synthesis: S,
    /// All values of both.
    pub parameters: Parameters,
}

impl<S: Synthesis> gan::Generator for Styled<S> {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn z_dim(&self) -> i64 {
        self.mapping.z_dim()
    }

    fn map(&self, z: &Tensor) -> Tensor {
        self.mapping.forward(z)
    }

    fn mean_w(&self) -> Option<&Tensor> {
        Some(self.mapping.mean())
    }

    fn mean_w_decay(&self) -> f64 {
        S::MEAN_W_DECAY
    }

    fn style_count(&self) -> i64 {
        self.synthesis.style_count()
    }

    fn noise_sides(&self) -> Vec<i64> {
        self.synthesis.noise_sides()
    }

    fn synthesise(&self, styles: &Tensor, noise: &Noise) -> Tensor {
        self.synthesis.forward(styles, noise, None)
    }

    fn synthesise_and_track(&self, styles: &Tensor, noise: &Noise, batch: i64) -> Tensor {
        self.synthesis.forward(styles, noise, Some(batch))
    }

    fn growing(&self) -> Option<&Growing> {
        self.synthesis.growing()
    }
}
