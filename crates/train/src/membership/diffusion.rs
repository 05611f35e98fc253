//! Membership by the denoising loss: a diffusion model takes noise away more exactly from images that it has seen
//! (Carlini et al., "Extracting training data from diffusion models", USENIX Security 2023, section 5).
//!
//! Images differ in difficulty, which is why the loss alone tells little. It is set beside that of the Gaussian filter
//! which takes most noise away from the same noisy image and has never seen any (difficulty calibration, Watson, Guo,
//! Cormode and Sablayrolles, "On the importance of difficulty calibration in membership inference attacks", ICLR 2022; there
//! with a second model in the place of the filter).

use synthmr_core::random::Draw;
use synthmr_core::random::{Stream, rng};
use synthmr_nets::engine::Precision;
use synthmr_nets::layers::gaussian_blur;
use tch::{Device, Kind, Tensor};

use super::{Attack, MembershipScores, mean_square, values};
use crate::diffusion::{Denoiser, DiffusionConfig};
use crate::generator::GeneratorConfig;

/// Noise levels, relative to images in [-1, 1]: from a tenth, where only fine structure is hidden, to where little but the
/// layout is left.
const SIGMAS: [f64; 6] = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2];
/// Noises at each level, each also with its sign changed. All images get the same ones, so that they differ in nothing else.
const NOISES: u64 = 2;
/// Widths of the filters in pixels, of which the best counts.
const FILTERS: [f64; 6] = [0.0, 0.5, 1.0, 2.0, 4.0, 8.0];

/// The loss of a diffusion model's averaged network.
pub(super) struct DenoisingLoss {
    denoiser: Denoiser,
    /// f32 `[levels, noises, planes, r, r]`.
    noise: Tensor,
}

impl DenoisingLoss {
    /// With initial weights.
    pub(super) fn new(
        config: &GeneratorConfig,
        diffusion: &DiffusionConfig,
        planes: i64,
        seed: u64,
        device: Device,
        precision: Precision,
    ) -> Self {
        let denoiser = Denoiser::new(config, diffusion, planes, device, precision);
        denoiser.network.parameters.set_requires_grad(false);
        let side = config.resolution;
        let shape = [SIGMAS.len() as i64, NOISES as i64, planes, side, side];
        let mut noise = vec![0f32; shape.iter().product::<i64>() as usize];
        for (number, part) in noise.chunks_exact_mut((planes * side * side) as usize).enumerate() {
            rng(seed, Stream::Membership, number as u64).fill_normal(part);
        }
        Self { denoiser, noise: Tensor::from_slice(&noise).view(shape).to_device(device) }
    }

    pub(super) fn denoiser(&self) -> &Denoiser {
        &self.denoiser
    }

    /// Mean squared errors at a level, of the model and of the best filter: `[n]` each.
    fn errors(&self, images: &Tensor, level: usize) -> [Tensor; 2] {
        let sigma = SIGMAS[level];
        let mut model = Tensor::zeros([images.size()[0]], (Kind::Float, images.device()));
        let mut filters: Vec<Tensor> = FILTERS.iter().map(|_| model.zeros_like()).collect();
        for number in 0..NOISES as i64 {
            for sign in [sigma, -sigma] {
                let noisy = images + self.noise.get(level as i64).get(number) * sign;
                model += mean_square(&(self.denoiser.denoise(&noisy, sigma) - images));
                for (sum, &width) in filters.iter_mut().zip(&FILTERS) {
                    *sum += mean_square(&(gaussian_blur(&noisy, width) - images));
                }
            }
        }
        [model, Tensor::stack(&filters, 0).amin([0i64].as_slice(), false)]
    }
}

impl MembershipScores for DenoisingLoss {
    fn attacks(&self) -> Vec<Attack> {
        let mut attacks = vec![
            Attack::new(
                "denoising loss, calibrated",
                "how much better the model denoises an image than the best Gaussian filter: mean over noise levels of \
                 the logarithm of the ratio of their errors",
            ),
            Attack::new(
                "denoising loss",
                "how well the model denoises an image: mean over noise levels of minus the logarithm of its error",
            ),
        ];
        attacks.extend(SIGMAS.map(|sigma| {
            Attack::new(
                &format!("denoising loss at {sigma}, calibrated"),
                &format!("as the first one, at noise of standard deviation {sigma} alone"),
            )
        }));
        attacks
    }

    fn scores(&self, images: &Tensor) -> Vec<Vec<f64>> {
        tch::no_grad(|| {
            let errors: Vec<[Tensor; 2]> =
                (0..SIGMAS.len()).map(|level| self.errors(images, level).map(|e| e.log())).collect();
            let calibrated: Vec<Tensor> = errors.iter().map(|[model, filter]| filter - model).collect();
            let plain: Vec<Tensor> = errors.iter().map(|[model, _]| model.neg()).collect();
            let mean =
                |parts: &[Tensor]| Tensor::stack(parts, 0).mean_dim([0i64].as_slice(), false, Kind::Float);
            let mut scores = vec![values(&mean(&calibrated)), values(&mean(&plain))];
            scores.extend(calibrated.iter().map(values));
            scores
        })
    }
}
