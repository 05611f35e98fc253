//! One training step of a GAN: the discriminator, then the generator, then their lazy penalties.
//!
//! # Deviations from the published loop
//! * The images that the discriminator learns to reject are those that the generator is judged by right
//!   afterwards, instead of a second batch. That saves a pass through the generator.
//! * The discriminator judges real and generated images in one pass, with their batch statistics kept apart.
//! * R1 and WGAN-GP are taken at the augmented images, which are what the discriminator is trained on; the published code
//!   differentiates through the augmentation to the images before it. Without augmentation they are equal. The filter of
//!   StyleGAN 3-r is differentiated through, as published, and stands behind the augmentation, not before it.
//!
//! Images stay on the replica that made them; what is drawn at random is drawn for the whole batch, on the host or on the
//! master ([`crate::replicas`]).

use synthmr_core::random::{self, Draw, Stream};
use synthmr_nets::generators::gan::{Generator, Noise, track_mean_w};
use synthmr_nets::layers::gaussian_blur;
use tch::{Kind, Tensor};

use super::augment::{Augmentation, Controller};
use super::growth::shrunk;
use super::losses::{gradient_penalty, path_length, sign_mean, wgan_gp};
use super::state::{GanState, lazy_ratio};
use super::{AugmentMode, GanRules};
use crate::generator::{GeneratorConfig, Measured, Position, Schedule};
use crate::replicas::{Parts, Replicas};

/// What all steps of a run share.
pub struct Steps {
    /// The run's configuration.
    pub config: GeneratorConfig,
    /// How a GAN is trained.
    pub rules: GanRules,
    schedule: Schedule,
    planes: i64,
    contrasts: i64,
}

/// What the discriminator sees in a step.
struct Seen {
    reals: Parts,
    /// Generated images that carry no gradient to the generator.
    fakes: Parts,
    /// Deviation of the filter in front of the discriminator, in pixels.
    blur: f64,
    /// Squared norm of the discriminator's gradient at full-size images, as a share of that at these: published networks
    /// take full-size images at every level and average them inside.
    per_pixel: f64,
}

/// What the discriminator thinks of images behind the filter.
fn judge(state: &GanState, images: &Parts, batches: i64, blur: f64) -> Parts {
    state.discriminator.run(|i, discriminator| discriminator.judge(&gaussian_blur(&images[i], blur), batches))
}

/// Noise inputs of `n` images for the levels that take part, a set for each replica; drawn on the master, whose generator
/// the caller has seeded.
fn drawn_noise(generators: &Replicas<Box<dyn Generator>>, n: i64) -> Vec<Noise> {
    let (generator, flat) = (generators.master(), generators.parameters().flat());
    let largest = generator.growing().map_or(i64::MAX, |growing| growing.grown().side());
    let sides = generator.noise_sides().into_iter().filter(|&side| side <= largest);
    let drawn = |side| generators.split(&Tensor::randn([n, 1, side, side], (flat.kind(), flat.device())));
    let inputs: Vec<Parts> = sides.map(drawn).collect();
    let of = |replica| Noise::Given(inputs.iter().map(|input| input[replica].shallow_clone()).collect());
    (0..generators.iter().len()).map(of).collect()
}

/// Images of a batch that the path-length penalty is computed on: half of them, as in the reference.
pub(crate) fn path_length_images(batch: u64) -> u64 {
    (batch / 2).max(1)
}

impl Steps {
    /// Steps on images of `planes` planes, of which the first `contrasts` carry contrasts.
    pub fn new(config: &GeneratorConfig, rules: GanRules, planes: i64, contrasts: i64) -> Self {
        Self { config: config.clone(), rules, schedule: config.schedule(), planes, contrasts }
    }

    /// Shows one batch of real images `[batch, planes, r, r]` in [-1, 1] and moves every part of the state;
    /// `images_seen` were shown before. Measured are the losses without penalties; `real_sign`, the mean sign of
    /// the discriminator's confidence in real images (r_t of ADA); `fake_logit`, the mean logit on generated
    /// ones; and in some steps `r1` and `r2` with their weights, `gp` (WGAN-GP) with its weight and
    /// `path_length_penalty` without.
    pub fn run(&self, state: &mut GanState, reals: &Tensor, images_seen: u64) -> Measured {
        let position = self.schedule.at(images_seen);
        let Position { step, batch, lod, changes, .. } = position;
        state.grow(lod);
        if changes && self.rules.growth.as_ref().is_some_and(|growth| growth.reset_optimiser) {
            state.forget_moments();
        }
        // Noise inputs and path directions are drawn on the device, from a seed of this step alone.
        tch::manual_seed(random::device_seed(self.config.seed, Stream::TrainNoise, step));
        let z = self.latents(state, position, 0, batch);
        let w = state.generator.run(|i, generator| generator.map(&z[i]));
        state.generator.iter().zip(w.iter()).for_each(|(generator, w)| track_mean_w(generator.as_ref(), w));
        let styles = self.mixed_styles(state, &w, position);
        let noise = drawn_noise(&state.generator, batch as i64);
        let fakes = state
            .generator
            .run(|i, generator| generator.synthesise_and_track(&styles[i], &noise[i], batch as i64));

        let augmentation = Augmentation { strength: state.strength };
        let blur = self.rules.loss.blur_at(images_seen);
        let augment = |images: &Parts, part: u64| {
            augmentation.apply(images, self.contrasts, self.config.seed, 4 * step + part)
        };
        let seen = Seen {
            reals: augment(&state.discriminator.split(&shrunk(reals, lod)), 0),
            fakes: augment(&fakes.map(Tensor::detach), 1),
            blur,
            per_pixel: 0.25f64.powi(lod as i32),
        };
        let (discriminator, real_logits, fake_logits, penalties) =
            self.discriminator_step(state, &seen, position);
        let generator = self.generator_step(state, &augment(&fakes, 2), &seen, position);
        let lengths = self.applies(position, self.rules.loss.path_length_interval);
        let path_length = (lengths && self.rules.loss.path_length_weight > 0.0)
            .then(|| self.path_length_step(state, position));

        let real_sign = sign_mean(&self.rules.loss.game.confidence(&real_logits, &fake_logits));
        let decay = self.config.ema_decay(images_seen + batch, batch);
        state.average.generator.parameters().average_towards(state.generator.parameters(), decay);
        self.adjust_augmentation(state, &real_sign, position);
        let mut measured = vec![
            ("loss_generator", generator),
            ("loss_discriminator", discriminator),
            ("real_sign", real_sign),
            ("fake_logit", fake_logits.mean(Kind::Float)),
        ];
        measured.extend(penalties);
        measured.extend(path_length.map(|penalty| ("path_length_penalty", penalty)));
        measured
    }

    fn applies(&self, position: Position, interval: u64) -> bool {
        position.step.is_multiple_of(interval)
    }

    /// The first `n` latents `[n, z_dim]` of a step; `part` tells apart the uses within it.
    fn latents(&self, state: &GanState, position: Position, part: u64, n: u64) -> Parts {
        let z_dim = state.generator.master().z_dim();
        let mut values = vec![0f32; position.batch as usize * z_dim as usize];
        random::rng(self.config.seed, Stream::TrainLatent, 4 * position.step + part).fill_normal(&mut values);
        state.generator.split(&Tensor::from_slice(&values).view([-1, z_dim]).narrow(0, 0, n as i64))
    }

    /// Styles `[batch, layers, w_dim]`; with some probability all layers from a random one on take those of
    /// a second latent (Karras et al. 2019, section 3.1). Levels that have not grown yet do not count.
    fn mixed_styles(&self, state: &GanState, w: &Parts, position: Position) -> Parts {
        let layers = state.generator.master().style_count();
        let repeat = |w: &Tensor, count: i64| w.unsqueeze(1).expand([-1, count, -1], false);
        let mut rng = random::rng(self.config.seed, Stream::StyleMixing, position.step);
        if !rng.chance(self.rules.loss.style_mixing) {
            return w.map(|w| repeat(w, layers));
        }
        let used = layers - 2 * position.lod as i64;
        let first = 1 + rng.below(used as u64 - 1) as i64;
        let z = self.latents(state, position, 1, position.batch);
        let other = state.generator.run(|i, generator| generator.map(&z[i]));
        w.zip(&other, |w, other| Tensor::cat(&[repeat(w, first), repeat(other, layers - first)], 1))
    }

    /// Returns the loss, the logits of real and generated images, judged in one pass, and the penalties.
    fn discriminator_step(
        &self,
        state: &mut GanState,
        seen: &Seen,
        position: Position,
    ) -> (Tensor, Tensor, Tensor, Measured) {
        let loss_config = &self.rules.loss;
        state.discriminator.zero_gradient();
        let both = seen.reals.zip(&seen.fakes, |reals, fakes| Tensor::cat(&[reals, fakes], 0));
        let logits = judge(state, &both, 2, seen.blur);
        let halves = [0, 1].map(|half| logits.map(|logits| logits.chunk(2, 0).swap_remove(half)).gathered());
        let loss = loss_config.game.discriminator_loss(&halves[0], &halves[1]);
        // Not added to in place: the loss is logged without penalties.
        let mut total = loss.shallow_clone();
        let mut measured = Measured::new();
        if loss_config.drift > 0.0 {
            total = &total + halves[0].square().mean(halves[0].kind()) * loss_config.drift;
        }
        if loss_config.gp_weight > 0.0 {
            let mix = Tensor::rand([position.batch as i64, 1, 1, 1], (Kind::Float, loss.device()));
            let weight = loss_config.gp_weight;
            let penalty = wgan_gp(&seen.reals, &seen.fakes, &mix, weight, seen.per_pixel, |images| {
                judge(state, images, 1, seen.blur)
            });
            measured.push(("gp", penalty.detach()));
            total = &total + penalty;
        }
        total.backward();
        // A penalty in every step is part of it; a lazy one has a step of its own.
        if loss_config.r1_interval == 1 {
            measured.extend(self.zero_centred_penalties(state, seen));
        }
        self.step_discriminator(state, position);
        if loss_config.discriminator_interval() > 0 && self.applies(position, loss_config.r1_interval) {
            state.discriminator.zero_gradient();
            measured.extend(self.zero_centred_penalties(state, seen));
            self.step_discriminator(state, position);
        }
        (loss.detach(), halves[0].detach(), halves[1].detach(), measured)
    }

    /// Adds the gradients of R1 and R2, as strong as their interval is long.
    fn zero_centred_penalties(&self, state: &GanState, seen: &Seen) -> Measured {
        let loss = &self.rules.loss;
        let penalties = [("r1", loss.r1_gamma, &seen.reals), ("r2", loss.r2_gamma, &seen.fakes)];
        let penalise = |(name, gamma, images): (&'static str, f64, &Parts)| {
            let gamma = gamma * seen.per_pixel;
            let penalty = gradient_penalty(images, gamma, |images| judge(state, images, 1, seen.blur));
            (&penalty * loss.r1_interval as f64).backward();
            (name, penalty.detach())
        };
        penalties.into_iter().filter(|&(_, gamma, _)| gamma > 0.0).map(penalise).collect()
    }

    fn generator_step(&self, state: &mut GanState, fakes: &Parts, seen: &Seen, position: Position) -> Tensor {
        state.generator.zero_gradient();
        state.discriminator.set_requires_grad(false);
        let real_logits = || tch::no_grad(|| judge(state, &seen.reals, 1, seen.blur).gathered());
        let fake_logits = judge(state, fakes, 1, seen.blur).gathered();
        let loss = self.rules.loss.game.generator_loss(&fake_logits, real_logits);
        loss.backward();
        state.discriminator.set_requires_grad(true);
        self.step_generator(state, position);
        loss.detach()
    }

    /// The penalty is computed on half a batch: its graph is twice as deep.
    fn path_length_step(&self, state: &mut GanState, position: Position) -> Tensor {
        let generators = &state.generator;
        generators.zero_gradient();
        let n = path_length_images(position.batch);
        let z = self.latents(state, position, 2, n);
        let styles = generators.run(|i, g| g.map(&z[i]).unsqueeze(1).repeat([1, g.style_count(), 1]));
        tch::manual_seed(random::device_seed(self.config.seed, Stream::PathLength, position.step));
        let r = self.config.resolution;
        let device = state.path_length_mean.device();
        let directions = Tensor::randn([n as i64, self.planes, r, r], (Kind::Float, device));
        let noise = drawn_noise(generators, n as i64);
        let images = generators.run(|i, g| g.synthesise(&styles[i], &noise[i]));
        let path = path_length(&images, &styles, &directions, &state.path_length_mean);
        let loss = &self.rules.loss;
        (&path.penalty * (loss.path_length_weight * loss.path_length_interval as f64)).backward();
        state.path_length_mean = path.mean;
        self.step_generator(state, position);
        path.penalty.detach()
    }

    fn step_generator(&self, state: &mut GanState, position: Position) {
        let rate = self.rules.optimiser.generator_rate * lazy_ratio(self.rules.loss.generator_interval());
        let adam = &mut state.generator_adam;
        state.generator.update(|parameters| adam.step(parameters, rate * position.rate_share));
    }

    fn step_discriminator(&self, state: &mut GanState, position: Position) {
        let interval = self.rules.loss.discriminator_interval();
        let rate = self.rules.optimiser.discriminator_rate * lazy_ratio(interval);
        let adam = &mut state.discriminator_adam;
        state.discriminator.update(|parameters| adam.step(parameters, rate * position.rate_share));
    }

    fn adjust_augmentation(&self, state: &mut GanState, real_sign: &Tensor, position: Position) {
        let augment = &self.rules.augment;
        if augment.mode != AugmentMode::Adaptive {
            return;
        }
        let _ = tch::no_grad(|| state.sign_sum.g_add_(real_sign));
        state.sign_count += 1;
        if (position.step + 1).is_multiple_of(augment.interval) {
            let mean = state.sign_sum.double_value(&[]) / state.sign_count as f64;
            let controller = Controller { target: augment.target, ramp_images: augment.ramp_images };
            let images = augment.interval * position.batch;
            state.strength = controller.adjusted(state.strength, mean, images);
            let _ = state.sign_sum.zero_();
            state.sign_count = 0;
        }
    }
}
