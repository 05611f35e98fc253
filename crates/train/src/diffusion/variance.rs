//! Learnt variances of the ancestral steps (Nichol and Dhariwal, "Improved denoising diffusion probabilistic models", ICML
//! 2021, arXiv 2102.09672, section 3.1).
//!
//! The network has as many planes of output again. They say where between its two bounds the logarithm of a step's
//! variance lies: at -1 that of the posterior, at 1 that of the forward step (equation 15). They are learnt by
//! the variational bound, whose mean is held fixed (equation 16 and the stop-gradient below it).
//!
//! Everything is in the variable `x = x0 + sigma * noise` (see [`super::process`]); Kullback-Leibler divergences do not
//! depend on it.

use tch::{Kind, Tensor};

use super::Noising;

/// Half the distance between two grey levels of images in [-1, 1].
const HALF_LEVEL: f64 = 1.0 / 255.0;

/// Probabilities below this count as this: their logarithm would be infinite.
const LEAST_PROBABILITY: f64 = 1e-12;

/// The bounds of the variance of the step from one noise level to a lower one, `next` above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    /// That of the posterior given the image (Ho et al. 2020, equation 7).
    pub(super) posterior: f64,
    /// That of the forward step, beta, in this variable.
    pub(super) forward: f64,
}

impl Bounds {
    pub(super) fn of(sigma: f64, next: f64) -> Self {
        // beta of the step, times 1 / abar of the lower level.
        let kept = (1.0 + next * next) / (1.0 + sigma * sigma);
        Self {
            posterior: next * next * (1.0 - (next / sigma).powi(2)),
            forward: (1.0 - kept) * (1.0 + next * next),
        }
    }

    /// The logarithm of the variance that the network's planes stand for.
    pub(super) fn log_variance(self, planes: &Tensor) -> Tensor {
        let (low, high) = (self.posterior.ln(), self.forward.ln());
        (planes + 1.0) * ((high - low) / 2.0) + low
    }
}

/// The term of the variational bound of one image (equation 4), in bits a value: the divergence of the step that the model
/// makes from the posterior, or at the lowest level the surprise at the image's grey values.
///
/// `planes` and `clean` are the network's variance planes and its image; gradients flow through the former only.
pub(super) fn bound(
    noising: &Noising,
    sigma: f64,
    image: &Tensor,
    clean: &Tensor,
    planes: &Tensor,
) -> Tensor {
    let sigmas = noising.sigmas();
    let step = sigmas.partition_point(|&level| level < sigma);
    let clean = clean.detach();
    let bits = 1.0 / std::f64::consts::LN_2;
    if step == 0 {
        // The bounds of the first step are 0 and beta; guided-diffusion takes the posterior of the second for the lower, with
        // both levels scaled by their own shrinking of the images.
        let second = Bounds::of(sigmas[1], sigmas[0]).posterior / (1.0 + sigmas[0] * sigmas[0]);
        let beta = sigma * sigma / (1.0 + sigma * sigma);
        let log_variance = Bounds { posterior: second, forward: beta }.log_variance(planes);
        return surprise(image, &clean, &(log_variance * 0.5).exp()).mean(Kind::Float) * bits;
    }
    let next = sigmas[step - 1];
    let bounds = Bounds::of(sigma, next);
    let share = (next / sigma).powi(2);
    let apart = (image - clean) * (1.0 - share);
    let log_ratio = bounds.log_variance(planes) - bounds.posterior.ln();
    // Between normal distributions: (ln(v / p) - 1 + p / v + d^2 / v) / 2.
    let inverse = (-&log_ratio).exp();
    let divergence: Tensor =
        (log_ratio - 1.0 + &inverse + apart.square() * (inverse / bounds.posterior)) * 0.5;
    divergence.mean(Kind::Float) * bits
}

/// Minus the logarithm of the probability of a grey level under a normal distribution; the outermost levels reach to infinity
/// (Ho et al. 2020, equation 13).
fn surprise(image: &Tensor, mean: &Tensor, deviation: &Tensor) -> Tensor {
    let below = |x: Tensor| ((x / deviation / std::f64::consts::SQRT_2).erf() + 1.0) * 0.5;
    let (lower, upper) = (below(image - mean - HALF_LEVEL), below(image - mean + HALF_LEVEL));
    let first = upper.where_self(&image.lt(-0.999), &(&upper - &lower));
    let above: Tensor = 1.0 - lower;
    let probability = above.where_self(&image.gt(0.999), &first);
    -probability.clamp_min(LEAST_PROBABILITY).log()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::super::{DdpmPrediction, Process, Schedule};
    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        learned: Vec<Chain>,
    }

    #[derive(Deserialize)]
    struct Chain {
        total: u64,
        steps: Vec<Step>,
    }

    /// One step of guided-diffusion with a constant network.
    #[derive(Deserialize)]
    struct Step {
        level: usize,
        next: Option<usize>,
        image: Vec<f64>,
        x: Vec<f64>,
        eps: Vec<f64>,
        planes: Vec<f64>,
        log_variance: Vec<f64>,
        bound: Option<f64>,
    }

    fn tensor(values: &[f64]) -> Tensor {
        Tensor::from_slice(values)
    }

    /// guided-diffusion computes in f32, and with an approximation of the normal distribution at the lowest level.
    #[test]
    fn variances_and_bounds_are_those_of_guided_diffusion() {
        let golden: Golden = serde_json::from_str(include_str!("../../tests/golden/diffusion.json")).unwrap();
        let mut compared = 0;
        for chain in golden.learned {
            let noising = Noising::new(&Process::Ddpm {
                schedule: Schedule::Linear,
                steps: chain.total,
                prediction: DdpmPrediction::Noise,
                bound_weight: 0.001,
            });
            for step in chain.steps {
                let sigma = noising.sigmas()[step.level];
                let planes = tensor(&step.planes);
                if let Some(next) = step.next.map(|next| noising.sigmas()[next]) {
                    // Their images shrink: the variance is of values 1 / sqrt(1 + next^2) as large.
                    let found = Bounds::of(sigma, next).log_variance(&planes) - (1.0 + next * next).ln();
                    let apart = (found - tensor(&step.log_variance)).abs().max().double_value(&[]);
                    assert!(apart < 1e-4, "level {}: {apart}", step.level);
                    compared += 1;
                }
                if let Some(expected) = step.bound {
                    let clean = tensor(&step.x) * sigma.hypot(1.0) - tensor(&step.eps) * sigma;
                    let found =
                        bound(&noising, sigma, &tensor(&step.image), &clean, &planes).double_value(&[]);
                    let tolerance = if step.level == 0 { 2e-3 } else { 1e-4 };
                    assert!(
                        (found / expected - 1.0).abs() < tolerance,
                        "{}: {found}, {expected}",
                        step.level
                    );
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, 10);
    }

    #[test]
    fn the_bound_teaches_the_variance_alone() {
        let noising = Noising::new(&Process::Ddpm {
            schedule: Schedule::Cosine,
            steps: 20,
            prediction: DdpmPrediction::Noise,
            bound_weight: 0.001,
        });
        for sigma in [noising.sigmas()[0], noising.sigmas()[9]] {
            let [clean, planes] = [0.1, 0.2].map(|value| tensor(&[value, -value]).set_requires_grad(true));
            bound(&noising, sigma, &tensor(&[0.12, -0.13]), &clean, &planes).backward();
            assert!(!clean.grad().defined());
            assert!(planes.grad().abs().min().double_value(&[]) > 0.0);
        }
    }
}
