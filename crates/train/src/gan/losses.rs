//! Losses and penalties of GANs: those of StyleGAN 1 to 3 (Karras et al. 2020; lazy regularisation, section 3.1), the
//! Wasserstein loss of Progressive GAN (Gulrajani et al. 2017, arXiv 1704.00028; Karras et al. 2018, appendix A.1), and
//! the relativistic pairing loss of R3GAN (Huang, Gokaslan, Kuleshov and Tompkin 2024, arXiv 2501.05441).

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::replicas::Parts;

/// What the two networks play for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Game {
    /// Real against generated images, each judged by itself, and a generator that does not saturate
    /// (Goodfellow et al. 2014).
    NonSaturating,
    /// Every generated image against a real one (R3GAN, equation 2): no generated image is good enough while real
    /// ones are better, which keeps modes from being dropped.
    Relativistic,
    /// Mean scores apart from one another (WGAN); needs the discriminator's gradient to be bounded.
    Wasserstein,
}

impl Game {
    /// The discriminator's loss, the mean over logits `[n, 1]` of both kinds.
    pub fn discriminator_loss(self, real_logits: &Tensor, fake_logits: &Tensor) -> Tensor {
        let kind = real_logits.kind();
        match self {
            Game::NonSaturating => (-real_logits).softplus().mean(kind) + fake_logits.softplus().mean(kind),
            Game::Relativistic => (fake_logits - real_logits).softplus().mean(kind),
            Game::Wasserstein => (fake_logits - real_logits).mean(kind),
        }
    }

    /// What is above zero where the discriminator takes a real image for one: its logit, or, where logits have no
    /// origin, its lead over a generated one's. Its mean sign measures overfitting.
    pub fn confidence(self, real_logits: &Tensor, fake_logits: &Tensor) -> Tensor {
        match self {
            Game::NonSaturating => real_logits.shallow_clone(),
            Game::Relativistic | Game::Wasserstein => real_logits - fake_logits,
        }
    }

    /// The generator's loss; `real_logits` are asked for only where they matter, and carry no gradient.
    pub fn generator_loss(self, fake_logits: &Tensor, real_logits: impl FnOnce() -> Tensor) -> Tensor {
        match self {
            Game::NonSaturating => (-fake_logits).softplus().mean(fake_logits.kind()),
            Game::Relativistic => (real_logits() - fake_logits).softplus().mean(fake_logits.kind()),
            Game::Wasserstein => -fake_logits.mean(fake_logits.kind()),
        }
    }
}

/// Gradient penalty centred at zero (Mescheder et al. 2018, equation 9): `gamma / 2` times the mean squared norm of
/// the gradient of the discriminator at images. At real images it is R1, at generated ones R2.
///
/// `judge` maps images `[n, c, h, w]` to logits, as every replica does with its share. The result can be differentiated
/// with respect to the discriminator's parameters: the gradient at the images is itself part of the graph.
pub fn gradient_penalty(images: &Parts, gamma: f64, judge: impl FnOnce(&Parts) -> Parts) -> Tensor {
    let squares = squared_gradient_norms(images, judge);
    squares.mean(squares.kind()) * (gamma / 2.0)
}

/// Gradient penalty centred at one (WGAN-GP, Gulrajani et al. 2017, equation 3): `weight` times the mean squared
/// distance from one of the norm of the discriminator's gradient, at images between real and generated ones:
/// `real + mix * (fake - real)` with `mix` `[n, 1, 1, 1]` uniform in [0, 1). `per_pixel` is the squared norm of the
/// gradient at full-size images as a share of that at these: 1, or 4^-k where images are 2^k times smaller.
pub fn wgan_gp(
    reals: &Parts,
    fakes: &Parts,
    mix: &Tensor,
    weight: f64,
    per_pixel: f64,
    judge: impl FnOnce(&Parts) -> Parts,
) -> Tensor {
    let steps = reals.zip(fakes, |real, fake| fake - real).zip(&reals.alike(mix), |step, mix| step * mix);
    let between = reals.zip(&steps, |real, step| real + step);
    // The root has no derivative at zero, where a discriminator without gradient would be.
    let norms = (squared_gradient_norms(&between, judge) * per_pixel + 1e-16).sqrt();
    (&norms - 1.0).square().mean(norms.kind()) * weight
}

/// Squared norm of the gradient of the discriminator at each image: `[n]`, as part of the graph.
fn squared_gradient_norms(images: &Parts, judge: impl FnOnce(&Parts) -> Parts) -> Tensor {
    let images = images.map(|images| images.detach().set_requires_grad(true));
    let sums = judge(&images).map(|logits| logits.sum(logits.kind()));
    let norms = |gradient: &Tensor| {
        gradient.square().sum_dim_intlist([1i64, 2, 3].as_slice(), false, gradient.kind())
    };
    gradients(&sums, &images).map(norms).gathered()
}

/// The gradient of every replica's value at its own input, as part of the graph.
fn gradients(values: &Parts, inputs: &Parts) -> Parts {
    let [values, inputs] = [values, inputs].map(|parts| parts.iter().collect::<Vec<_>>());
    Tensor::run_backward(&values, &inputs, true, true).into()
}

/// Path-length penalty (Karras et al. 2020, equation 4).
pub struct PathLength {
    /// The penalty: mean squared deviation of the path lengths from their running mean.
    pub penalty: Tensor,
    /// The running mean after this batch; store it in the run's state.
    pub mean: Tensor,
}

/// How fast the running mean of path lengths follows the batches.
const PATH_LENGTH_DECAY: f64 = 0.01;

/// Path lengths `|J_w^T y|` for random images `y` `[n, c, r, r]` with unit variance, at the styles `[n, layers, w_dim]`
/// that `images` `[n, c, r, r]` were made of; the square is averaged over the layers. `mean` is the running mean so far,
/// a scalar.
pub fn path_length(images: &Parts, styles: &Parts, directions: &Tensor, mean: &Tensor) -> PathLength {
    let kind = directions.kind();
    let pixels = (directions.size()[2] * directions.size()[3]) as f64;
    let project = |images: &Tensor, directions: &Tensor| (images * directions).sum(kind) / pixels.sqrt();
    let projected = images.zip(&images.alike(directions), project);
    let length = |gradient: &Tensor| {
        let squares = gradient.square().sum_dim_intlist([2i64].as_slice(), false, kind);
        squares.mean_dim([1i64].as_slice(), false, kind).sqrt()
    };
    let lengths = gradients(&projected, styles).map(length).gathered();
    let mean = mean.lerp(&lengths.mean(kind), PATH_LENGTH_DECAY);
    PathLength { penalty: (lengths - &mean).square().mean(kind), mean: mean.detach() }
}

/// Mean sign of logits, the overfitting measure r_t of ADA (Karras et al. 2020b, equation 1), as a tensor so
/// that asking for it does not wait for the device.
pub(super) fn sign_mean(logits: &Tensor) -> Tensor {
    logits.detach().sign().mean(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use synthmr_nets::engine::Parameters;
    use synthmr_nets::generators::gan::{Discriminator as _, Generator as _, Noise};
    use synthmr_nets::generators::progan::{self, ProGanConfig};
    use synthmr_nets::generators::stylegan2::{self, StyleGan2Config};
    use tch::Device;

    const DOUBLE: (Kind, Device) = (Kind::Double, Device::Cpu);

    fn tiny() -> StyleGan2Config {
        StyleGan2Config {
            resolution: 8,
            planes: 2,
            z_dim: 4,
            w_dim: 5,
            mapping_layers: 2,
            channel_base: 32,
            channel_max: 4,
            mbstd_group: 2,
        }
    }

    /// The whole batch on one device.
    fn whole(x: &Tensor) -> Parts {
        vec![x.shallow_clone()].into()
    }

    /// Moves every parameter away from zero (noise strengths and biases begin there).
    fn disturb(parameters: &Parameters) {
        let noise = Tensor::randn([parameters.flat().numel() as i64], DOUBLE) * 0.1;
        let _ = tch::no_grad(|| parameters.flat().shallow_clone().g_add_(&noise));
    }

    /// The analytic gradient against central differences along random directions and along single parameters.
    fn check_gradient(parameters: &Parameters, value: impl Fn() -> Tensor) {
        parameters.zero_gradient();
        value().backward();
        let gradient = parameters.gradient().copy();
        let mut flat = parameters.flat().shallow_clone();
        let original = flat.copy();
        // Padding between parameters has no gradient and no effect.
        let mut directions: Vec<Tensor> = (0..6).map(|_| flat.randn_like()).collect();
        for position in [0, 17, 40] {
            let one = flat.zeros_like();
            let _ = one.narrow(0, position, 1).fill_(1.0);
            directions.push(one);
        }
        let h = 1e-6;
        for direction in directions {
            let at = |step: f64| {
                let moved = &original + &direction * step;
                tch::no_grad(|| flat.shallow_clone().copy_(&moved));
                value().double_value(&[])
            };
            let numeric = (at(h) - at(-h)) / (2.0 * h);
            let analytic = (&gradient * &direction).sum(Kind::Double).double_value(&[]);
            let scale = numeric.abs().max(analytic.abs()).max(1e-3);
            assert!(((numeric - analytic) / scale).abs() < 1e-5, "{numeric} against {analytic}");
        }
        tch::no_grad(|| flat.copy_(&original));
    }

    #[test]
    fn gradient_of_r1_equals_numerical_derivatives() {
        tch::manual_seed(5);
        let d = stylegan2::Discriminator::with_kind(&tiny(), 1, Device::Cpu, Kind::Double, Kind::Double);
        disturb(&d.parameters);
        let images = Tensor::randn([4, 2, 8, 8], DOUBLE);
        let judge = |images: &Parts| images.map(|x| d.judge(x, 1));
        check_gradient(&d.parameters, || gradient_penalty(&whole(&images), 8.0, judge));
    }

    #[test]
    fn gradient_of_wgan_gp_equals_numerical_derivatives_while_a_level_fades_in() {
        // A seed with which no unit of the network changes sign within the differences' step.
        tch::manual_seed(8);
        let config = ProGanConfig {
            resolution: 8,
            planes: 2,
            z_dim: 4,
            channel_base: 32,
            channel_max: 4,
            mbstd_group: 2,
        };
        let d = progan::Discriminator::with_kind(&config, false, 1, Device::Cpu, Kind::Double, Kind::Double);
        disturb(&d.parameters);
        d.growing().unwrap().set_lod(0.4);
        let (reals, fakes) = (Tensor::randn([4, 2, 8, 8], DOUBLE), Tensor::randn([4, 2, 8, 8], DOUBLE));
        let mix = Tensor::rand([4, 1, 1, 1], DOUBLE);
        let judge = |images: &Parts| images.map(|x| d.judge(x, 1));
        check_gradient(&d.parameters, || wgan_gp(&whole(&reals), &whole(&fakes), &mix, 10.0, 0.25, judge));
    }

    #[test]
    fn wgan_gp_of_a_linear_discriminator_is_the_distance_of_its_norm_from_one() {
        let weight = Tensor::randn([1, 2, 4, 4], DOUBLE);
        let images = Tensor::randn([3, 2, 4, 4], DOUBLE);
        let mix = Tensor::rand([3, 1, 1, 1], DOUBLE);
        let judge = |x: &Tensor| (x * &weight).sum_dim_intlist([1i64, 2, 3].as_slice(), false, Kind::Double);
        let (reals, fakes) = (whole(&images), whole(&images.zeros_like()));
        let found = wgan_gp(&reals, &fakes, &mix, 10.0, 0.25, |x| x.map(judge)).double_value(&[]);
        let norm = 0.5 * weight.norm().double_value(&[]);
        assert!((found - 10.0 * (norm - 1.0).powi(2)).abs() < 1e-9);
    }

    #[test]
    fn gradient_of_path_length_equals_numerical_derivatives() {
        tch::manual_seed(6);
        let g = stylegan2::Generator::with_kind(&tiny(), 2, Device::Cpu, Kind::Double, Kind::Double);
        disturb(&g.parameters);
        let z = Tensor::randn([3, 4], DOUBLE);
        let directions = Tensor::randn([3, 2, 8, 8], DOUBLE);
        let layers = g.style_count();
        let mean = Tensor::from(0.3f64);
        check_gradient(&g.parameters, || {
            let styles = g.map(&z).unsqueeze(1).repeat([1, layers, 1]);
            let images = g.synthesise(&styles, &Noise::Constant);
            path_length(&whole(&images), &whole(&styles), &directions, &mean).penalty
        });
    }

    #[test]
    fn r1_of_a_linear_discriminator_is_its_squared_weight() {
        let weight = Tensor::randn([1, 2, 4, 4], DOUBLE);
        let images = Tensor::randn([3, 2, 4, 4], DOUBLE);
        let judge = |x: &Tensor| (x * &weight).sum_dim_intlist([1i64, 2, 3].as_slice(), false, Kind::Double);
        let penalty = gradient_penalty(&whole(&images), 4.0, |x| x.map(judge));
        let expected = 2.0 * weight.square().sum(Kind::Double).double_value(&[]);
        assert!((penalty.double_value(&[]) - expected).abs() < 1e-12);
    }

    #[test]
    fn losses_of_known_logits() {
        let (real, fake) = (Tensor::from_slice(&[0.3f64, -1.0]), Tensor::from_slice(&[0.8f64, 0.0]));
        let softplus = |x: f64| (1.0 + x.exp()).ln();
        let mean = |a: f64, b: f64| (softplus(a) + softplus(b)) / 2.0;
        for (game, discriminator, generator) in [
            (Game::NonSaturating, mean(-0.3, 1.0) + mean(0.8, 0.0), mean(-0.8, 0.0)),
            (Game::Relativistic, mean(0.5, 1.0), mean(-0.5, -1.0)),
            (Game::Wasserstein, 0.75, -0.4),
        ] {
            let found = game.discriminator_loss(&real, &fake).double_value(&[]);
            assert!((found - discriminator).abs() < 1e-15, "{game:?}");
            let found = game.generator_loss(&fake, || real.shallow_clone()).double_value(&[]);
            assert!((found - generator).abs() < 1e-15, "{game:?}");
        }
    }
}
