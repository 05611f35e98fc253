//! Membership by reconstruction: a generator that has learnt images by heart has latents whose images lie near them (Chen,
//! Yu, Zhang and Fritz, "GAN-Leaks: a taxonomy of membership inference attacks against generative models", CCS 2020,
//! section 4: the white-box attack, and its calibration, there with a second generator).

use synthmr_core::random::Stream;
use synthmr_nets::engine::{Init, ParametersBuilder};
use synthmr_nets::generators::gan::Noise;
use synthmr_nets::generators::growing::doubled;
use synthmr_nets::optimiser::Adam;
use tch::{Kind, Tensor};

use super::{Attack, MembershipScores, mean_square, values};
use crate::gan::GanSource;
use crate::generator::keyed_normal;

/// Latents drawn at random; the search begins at the one whose image is nearest.
const CANDIDATES: u64 = 256;
/// Candidates whose images are made at once.
const AT_ONCE: u64 = 16;
/// Length of a step, where latents have a standard deviation of about 1.
const RATE: f64 = 0.05;

/// A search among the images that a generator can make.
pub(super) struct NearestLatent {
    source: GanSource,
    steps: u64,
    /// Intermediate latents `[candidates, w_dim]` and their images.
    latents: Tensor,
    images: Tensor,
}

impl NearestLatent {
    /// `steps` steps towards an image from the nearest of the candidates that `seed` draws; `source` has its weights.
    pub(super) fn new(source: GanSource, seed: u64, steps: u64) -> Self {
        let generator = source.generator.as_ref();
        let device = generator.parameters().flat().device();
        let (mut latents, mut images) = (Vec::new(), Vec::new());
        for first in (0..CANDIDATES).step_by(AT_ONCE as usize) {
            let numbers = first..first + AT_ONCE;
            let z = keyed_normal(seed, Stream::Membership, numbers, generator.z_dim(), device);
            let w = tch::no_grad(|| generator.map(&z));
            images.push(tch::no_grad(|| made(&source, &w)));
            latents.push(w);
        }
        Self { latents: Tensor::cat(&latents, 0), images: Tensor::cat(&images, 0), source, steps }
    }

    /// The nearest candidate of each image: its place and its distance, `[n]` each.
    fn candidates(&self, images: &Tensor) -> (Tensor, Tensor) {
        let distances: Vec<Tensor> = (0..images.size()[0])
            .map(|i| mean_square(&(&self.images - images.get(i).unsqueeze(0))))
            .collect();
        let (distance, place) = Tensor::stack(&distances, 0).min_dim(1, false);
        (place, distance)
    }

    /// Squared distances `[n]` of images to the nearest ones that steps along the gradient find.
    fn search(&self, images: &Tensor, start: &Tensor) -> Tensor {
        let mut builder = ParametersBuilder::new(0, images.device());
        let latents = builder.root().parameter("w", &start.size(), Init::Constant(0.0));
        let parameters = builder.finish();
        tch::no_grad(|| latents.shallow_clone().copy_(start));
        let mut adam = Adam::new(&parameters, 0.9, 0.99, 1e-8);
        let mut best = Tensor::full(images.size()[0], f64::INFINITY, (Kind::Float, images.device()));
        for step in 0..=self.steps {
            parameters.zero_gradient();
            let distance = mean_square(&(made(&self.source, &latents) - images));
            best = best.minimum(&distance.detach());
            if step < self.steps {
                distance.sum(Kind::Float).backward();
                adam.step(&parameters, RATE);
            }
        }
        best
    }
}

/// Images of intermediate latents `[n, w_dim]`, of the full size.
fn made(source: &GanSource, w: &Tensor) -> Tensor {
    let generator = source.generator.as_ref();
    let styles = w.unsqueeze(1).expand([-1, generator.style_count(), -1], false);
    let mut images = generator.synthesise(&styles, &Noise::Constant);
    while images.size()[2] < source.resolution() {
        images = doubled(&images);
    }
    images
}

impl MembershipScores for NearestLatent {
    fn attacks(&self) -> Vec<Attack> {
        vec![
            Attack::new(
                "nearest latent, calibrated",
                "how much nearer to an image a search through the latents comes than the nearest of 256 random ones: \
                 logarithm of the ratio of squared distances",
            ),
            Attack::new(
                "nearest latent",
                "how near to an image a search through the latents comes: minus the logarithm of the squared distance",
            ),
        ]
    }

    fn scores(&self, images: &Tensor) -> Vec<Vec<f64>> {
        let (place, first) = self.candidates(images);
        let found = self.search(images, &self.latents.index_select(0, &place)).log();
        vec![values(&(first.log() - &found)), values(&found.neg())]
    }
}
