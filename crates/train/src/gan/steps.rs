//! One training step of a GAN: the discriminator, then the generator, then their lazy penalties.
//!
//! # Deviations from the published loop
//! * The images that the discriminator learns to reject are those that the generator is judged by right
//!   afterwards, instead of a second batch. That saves a pass through the generator.
//! * The discriminator judges real and generated images in one pass, with their batch statistics kept apart.
//! * R1 is taken at the augmented images, which are what the discriminator is trained on; the published code
//!   differentiates through the augmentation to the images before it. Without augmentation they are equal.

use synthmr_core::random::{self, Draw, Stream};
use synthmr_nets::generators::stylegan2::Noise;
use tch::{Kind, Tensor};

use super::augment::{Augmentation, Controller};
use super::losses::{gradient_penalty, path_length, sign_mean};
use super::state::{GanState, lazy_ratio};
use super::{AugmentMode, GanConfig};
use crate::generator::{GeneratorConfig, Measured};

/// What all steps of a run share.
pub struct Steps {
    /// The run's configuration.
    pub config: GeneratorConfig,
    /// The part of it that is a GAN's own.
    pub gan: GanConfig,
    /// Planes of an image.
    pub planes: i64,
    /// Planes that carry contrasts.
    pub contrasts: i64,
}

impl Steps {
    /// Shows one batch of real images `[batch, planes, r, r]` in [-1, 1] and moves every part of the state;
    /// `images_seen` were shown before. Measured are the losses without penalties; `real_sign`, the mean sign of
    /// the discriminator's confidence in real images (r_t of ADA); `fake_logit`, the mean logit on generated
    /// ones; and in some steps `r1` and `r2` with their weights and `path_length_penalty` without.
    pub fn run(&self, state: &mut GanState, reals: &Tensor, images_seen: u64) -> Measured {
        let (config, loss) = (&self.config, &self.gan.loss);
        let step = images_seen / config.batch as u64;
        let device = reals.device();
        // Noise inputs and path directions are drawn on the device, from a seed of this step alone.
        tch::manual_seed(random::device_seed(config.seed, Stream::TrainNoise, step));
        let w = state.generator.mapping.forward(&self.latents(step, 0, device));
        state.generator.mapping.track_mean(&w);
        let styles = self.mixed_styles(state, &w, step);
        let fakes = state.generator.synthesis.forward(&styles, &Noise::Random);

        let augmentation = Augmentation { strength: state.strength };
        let augment = |images: &Tensor, part: u64| {
            augmentation.apply(images, self.contrasts, config.seed, 4 * step + part)
        };
        let augmented_reals = augment(reals, 0);
        let augmented_fakes = augment(&fakes.detach(), 1);
        let (discriminator, real_logits, fake_logits) =
            self.discriminator_step(state, &augmented_reals, &augmented_fakes);
        let penalties = [("r1", loss.r1_gamma, &augmented_reals), ("r2", loss.r2_gamma, &augmented_fakes)];
        let penalties =
            penalties.into_iter().filter(|&(_, gamma, _)| self.applies(step, loss.r1_interval, gamma));
        let penalties = self.gradient_penalty_step(state, penalties);
        let generator = self.generator_step(state, &augment(&fakes, 2), &augmented_reals);
        let path_length = self
            .applies(step, loss.path_length_interval, loss.path_length_weight)
            .then(|| self.path_length_step(state, step, device));

        let real_sign = sign_mean(&loss.game.confidence(&real_logits, &fake_logits));
        let decay = config.ema_decay(images_seen + config.batch as u64);
        state.average.parameters.average_towards(&state.generator.parameters, decay);
        self.adjust_augmentation(state, &real_sign, step);
        let mut measured = vec![
            ("loss_generator", generator),
            ("loss_discriminator", discriminator),
            ("real_sign", real_sign),
            ("fake_logit", fake_logits.detach().mean(Kind::Float)),
        ];
        measured.extend(penalties);
        measured.extend(path_length.map(|penalty| ("path_length_penalty", penalty)));
        measured
    }

    fn applies(&self, step: u64, interval: u64, weight: f64) -> bool {
        weight > 0.0 && step.is_multiple_of(interval)
    }

    /// Latents `[batch, z_dim]` of a step; `part` tells apart the uses within it.
    fn latents(&self, step: u64, part: u64, device: tch::Device) -> Tensor {
        let (n, z_dim) = (self.config.batch, self.gan.network.z_dim);
        let mut values = vec![0f32; (n * z_dim) as usize];
        random::rng(self.config.seed, Stream::TrainLatent, 4 * step + part).fill_normal(&mut values);
        Tensor::from_slice(&values).view([n, z_dim]).to_device(device)
    }

    /// Styles `[batch, layers, w_dim]`; with some probability all layers from a random one on take those of
    /// a second latent (Karras et al. 2019, section 3.1).
    fn mixed_styles(&self, state: &GanState, w: &Tensor, step: u64) -> Tensor {
        let layers = state.generator.synthesis.style_count();
        let repeat = |w: &Tensor, count: i64| w.unsqueeze(1).expand([-1, count, -1], false);
        let mut rng = random::rng(self.config.seed, Stream::StyleMixing, step);
        if !rng.chance(self.gan.loss.style_mixing) {
            return repeat(w, layers);
        }
        let first = 1 + rng.below(layers as u64 - 1) as i64;
        let other = state.generator.mapping.forward(&self.latents(step, 1, w.device()));
        Tensor::cat(&[repeat(w, first), repeat(&other, layers - first)], 1)
    }

    /// Returns the loss and the logits of real and generated images, judged in one pass.
    fn discriminator_step(
        &self,
        state: &mut GanState,
        reals: &Tensor,
        fakes: &Tensor,
    ) -> (Tensor, Tensor, Tensor) {
        let d = &state.discriminator;
        d.parameters.zero_gradient();
        let logits = d.forward(&Tensor::cat(&[reals, fakes], 0), 2);
        let halves = logits.chunk(2, 0);
        let loss = self.gan.loss.game.discriminator_loss(&halves[0], &halves[1]);
        loss.backward();
        self.step_discriminator(state);
        (loss.detach(), halves[0].detach(), halves[1].detach())
    }

    /// One step along the sum of the penalties, each with its name, its gamma and the images where it is taken;
    /// none at all when there are none.
    fn gradient_penalty_step<'a>(
        &self,
        state: &mut GanState,
        penalties: impl Iterator<Item = (&'static str, f64, &'a Tensor)>,
    ) -> Measured {
        let d = &state.discriminator;
        d.parameters.zero_gradient();
        let mut measured = Measured::new();
        for (name, gamma, images) in penalties {
            let penalty = gradient_penalty(images, gamma, |images| d.forward(images, 1));
            (&penalty * self.gan.loss.r1_interval as f64).backward();
            measured.push((name, penalty.detach()));
        }
        if !measured.is_empty() {
            self.step_discriminator(state);
        }
        measured
    }

    fn generator_step(&self, state: &mut GanState, fakes: &Tensor, reals: &Tensor) -> Tensor {
        let d = &state.discriminator;
        state.generator.parameters.zero_gradient();
        d.parameters.set_requires_grad(false);
        let real_logits = || tch::no_grad(|| d.forward(reals, 1));
        let loss = self.gan.loss.game.generator_loss(&d.forward(fakes, 1), real_logits);
        loss.backward();
        d.parameters.set_requires_grad(true);
        self.step_generator(state);
        loss.detach()
    }

    /// The penalty is computed on half a batch, as in the reference: its graph is twice as deep.
    fn path_length_step(&self, state: &mut GanState, step: u64, device: tch::Device) -> Tensor {
        let g = &state.generator;
        g.parameters.zero_gradient();
        let n = (self.config.batch / 2).max(1);
        let z = self.latents(step, 2, device).narrow(0, 0, n);
        let layers = g.synthesis.style_count();
        let styles = g.mapping.forward(&z).unsqueeze(1).repeat([1, layers, 1]);
        tch::manual_seed(random::device_seed(self.config.seed, Stream::PathLength, step));
        let r = self.config.resolution;
        let directions = Tensor::randn([n, self.planes, r, r], (Kind::Float, device));
        let path = path_length(&g.synthesis, &styles, &directions, &Noise::Random, &state.path_length_mean);
        let loss = &self.gan.loss;
        (&path.penalty * (loss.path_length_weight * loss.path_length_interval as f64)).backward();
        state.path_length_mean = path.mean;
        self.step_generator(state);
        path.penalty.detach()
    }

    fn step_generator(&self, state: &mut GanState) {
        let rate = self.gan.optimiser.generator_rate * lazy_ratio(self.gan.loss.generator_interval());
        state.generator_adam.step(&state.generator.parameters, rate);
    }

    fn step_discriminator(&self, state: &mut GanState) {
        let rate = self.gan.optimiser.discriminator_rate * lazy_ratio(self.gan.loss.discriminator_interval());
        state.discriminator_adam.step(&state.discriminator.parameters, rate);
    }

    fn adjust_augmentation(&self, state: &mut GanState, real_sign: &Tensor, step: u64) {
        let augment = &self.gan.augment;
        if augment.mode != AugmentMode::Adaptive {
            return;
        }
        let _ = tch::no_grad(|| state.sign_sum.g_add_(real_sign));
        state.sign_count += 1;
        if (step + 1).is_multiple_of(augment.interval) {
            let mean = state.sign_sum.double_value(&[]) / state.sign_count as f64;
            let controller = Controller { target: augment.target, ramp_images: augment.ramp_images };
            let images = augment.interval * self.config.batch as u64;
            state.strength = controller.adjusted(state.strength, mean, images);
            let _ = state.sign_sum.zero_();
            state.sign_count = 0;
        }
    }
}
