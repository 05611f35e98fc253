//! Adaptive discriminator augmentation: Karras, Aittala, Hellsten, Laine, Lehtinen, Aila, "Training generative
//! adversarial networks with limited data", NeurIPS 2020 (arXiv 2006.06676), for any number of planes.
//!
//! Geometric transforms (appendix B, algorithm 1, steps "pixel blitting" and "general geometric") move all
//! planes of an image alike, so that annotation and contrasts stay together. Intensity transforms act on the
//! contrasts only, each contrast by itself: they stand in the place of the paper's colour transforms, which
//! are rotations of three colour channels.
//!
//! Deviations: images are resampled bilinearly with the border repeated, where the paper filters with a
//! wavelet and reflects; MR slices have a black border, which both continue.

use synthmr_core::random::{self, Draw, Stream};
use tch::{Kind, Tensor};

use crate::replicas::Parts;
use synthmr_nets::affine::{
    Between, IDENTITY, Matrix, Outside, product, resampled, rotation, rows, scaling, translation,
};

/// The strength of augmentation and what it follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augmentation {
    /// Probability of each transform, 0 to 1.
    pub strength: f64,
}

impl Augmentation {
    /// Augments `images` `[n, planes, h, w]`, of which the first `contrasts` planes carry intensities.
    /// The transforms are a function of `(seed, index)`; the result is differentiable in `images`.
    pub fn apply(&self, images: &Parts, contrasts: i64, seed: u64, index: u64) -> Parts {
        if self.strength <= 0.0 {
            return images.map(Tensor::shallow_clone);
        }
        let size = images[0].size();
        let n = images.images() as usize;
        let mut rng = random::rng(seed, Stream::Augment, index);
        let mut movements = Vec::with_capacity(n);
        let mut gains = Vec::with_capacity(n * size[1] as usize);
        let mut offsets = Vec::with_capacity(n * size[1] as usize);
        for _ in 0..n {
            movements.push(self.draw_geometry(&mut rng, size[3] as f64));
            for plane in 0..size[1] {
                let (gain, offset) = self.draw_intensity(&mut rng);
                let contrast = plane < contrasts;
                gains.push(if contrast { gain as f32 } else { 1.0 });
                offsets.push(if contrast { offset as f32 } else { 0.0 });
            }
        }
        let per_plane = |values: &[f32]| images.alike(&Tensor::from_slice(values).view([-1, size[1], 1, 1]));
        let (gains, offsets) = (per_plane(&gains), per_plane(&offsets));
        moved(images, &movements).zip(&gains, |x, gain| x * gain).zip(&offsets, |x, offset| x + offset)
    }

    /// The inverse of a random transform: where each output pixel comes from.
    fn draw_geometry(&self, rng: &mut impl Draw, width: f64) -> Matrix {
        let p = self.strength;
        let mut g = IDENTITY;
        // Pixel blitting. All numbers are drawn whether used or not, so that streams do not shift with p.
        let flip = rng.chance(0.5);
        if rng.chance(p) && flip {
            g = product(g, scaling(-1.0, 1.0));
        }
        let quarter_turns = rng.below(4) as f64;
        if rng.chance(p) {
            g = product(g, rotation(-std::f64::consts::FRAC_PI_2 * quarter_turns));
        }
        let shift = [rng.uniform_in(-0.125, 0.125), rng.uniform_in(-0.125, 0.125)];
        if rng.chance(p) {
            let whole = shift.map(|t| (t * width).round() * 2.0 / width);
            g = product(g, translation(-whole[0], -whole[1]));
        }
        // General geometric transforms.
        let scale = (0.2 * rng.normal()).exp2();
        if rng.chance(p) {
            g = product(g, scaling(1.0 / scale, 1.0 / scale));
        }
        // Two rotations, before and after the anisotropic scaling, that together happen with probability p.
        let rotate = 1.0 - (1.0 - p).sqrt();
        let angle = rng.uniform_in(-std::f64::consts::PI, std::f64::consts::PI);
        if rng.chance(rotate) {
            g = product(g, rotation(-angle));
        }
        let stretch = (0.2 * rng.normal()).exp2();
        if rng.chance(p) {
            g = product(g, scaling(1.0 / stretch, stretch));
        }
        let angle = rng.uniform_in(-std::f64::consts::PI, std::f64::consts::PI);
        if rng.chance(rotate) {
            g = product(g, rotation(-angle));
        }
        let shift = [0.125 * rng.normal(), 0.125 * rng.normal()];
        if rng.chance(p) {
            g = product(g, translation(-2.0 * shift[0], -2.0 * shift[1]));
        }
        g
    }

    /// Gain and offset of one contrast (the paper's contrast and brightness).
    fn draw_intensity(&self, rng: &mut impl Draw) -> (f64, f64) {
        let offset = 0.2 * rng.normal();
        let offset = if rng.chance(self.strength) { offset } else { 0.0 };
        let gain = (0.5 * rng.normal()).exp2();
        let gain = if rng.chance(self.strength) { gain } else { 1.0 };
        // The paper scales around zero after shifting.
        (gain, gain * offset)
    }
}

/// Moves all planes of an image by one matrix; the border is repeated.
fn moved(images: &Parts, movements: &[Matrix]) -> Parts {
    let Some(rows) = rows(movements) else { return images.map(Tensor::shallow_clone) };
    images.zip(&images.alike(&rows), |images, rows| {
        resampled(&images.to_kind(Kind::Float), rows, Between::Bilinear, Outside::Border)
    })
}

/// Moves the strength so that the discriminator's mean sign on real images stays at a target (section 3.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Controller {
    /// Mean sign of D's logits on real images to hold; 0.6 in the paper.
    pub target: f64,
    /// Images in which the strength may go from 0 to 1; 500,000 in the paper.
    pub ramp_images: f64,
}

impl Controller {
    /// The strength after `images` more images on which the mean sign was `sign_mean`. The paper allows up
    /// to 1; beyond 0.8 augmentations begin to leak into the images (its figure 4), so that is the bound.
    pub fn adjusted(&self, strength: f64, sign_mean: f64, images: u64) -> f64 {
        let direction = (sign_mean - self.target).signum();
        (strength + direction * images as f64 / self.ramp_images).clamp(0.0, 0.8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// As on one device.
    fn applied(strength: f64, x: &Tensor, index: u64) -> Tensor {
        Augmentation { strength }.apply(&vec![x.shallow_clone()].into(), 2, 7, index).gathered()
    }

    fn example() -> Tensor {
        tch::manual_seed(1);
        let smooth = Tensor::randn([4, 3, 4, 4], (Kind::Float, Device::Cpu));
        smooth.upsample_bilinear2d([32, 32], false, None, None)
    }

    #[test]
    fn strength_zero_changes_nothing() {
        let x = example();
        assert_eq!(applied(0.0, &x, 0), x);
    }

    #[test]
    fn transforms_are_a_function_of_seed_and_index() {
        let x = example();
        assert_eq!(applied(0.9, &x, 3), applied(0.9, &x, 3));
        assert_ne!(applied(0.9, &x, 3), applied(0.9, &x, 4));
    }

    #[test]
    fn an_image_is_transformed_alike_on_every_replica() {
        let x = example();
        let parts = Parts::split(&x, [Device::Cpu; 2].into_iter());
        let shared = Augmentation { strength: 0.9 }.apply(&parts, 2, 7, 3).gathered();
        assert!((shared - applied(0.9, &x, 3)).abs().max().double_value(&[]) < 1e-6);
    }

    #[test]
    fn all_planes_move_alike_and_annotation_keeps_its_values() {
        let plane = example().narrow(1, 0, 1);
        let x = plane.repeat([1, 3, 1, 1]);
        let y = applied(1.0, &x, 11);
        for image in 0..4 {
            let annotation = y.get(image).get(2);
            for contrast in 0..2 {
                let other = y.get(image).get(contrast);
                let stacked = Tensor::stack(&[annotation.flatten(0, -1), other.flatten(0, -1)], 0);
                let correlation = stacked.corrcoef().double_value(&[0, 1]);
                assert!(correlation > 0.9999, "planes moved apart: {correlation}");
            }
            assert!(annotation.max().double_value(&[]) <= x.get(image).max().double_value(&[]) + 1e-5);
        }
        assert_ne!(y.narrow(1, 2, 1), plane);
    }

    #[test]
    fn the_matrices_do_what_their_names_say() {
        // A marked pixel in the upper left; a quarter turn, a flip and a shift put it where they should.
        let x = Tensor::zeros([1, 1, 8, 8], (Kind::Float, Device::Cpu));
        let _ = x.narrow(2, 1, 1).narrow(3, 2, 1).fill_(1.0);
        let place = |m: Matrix| {
            let y = moved(&vec![x.shallow_clone()].into(), &[m]).gathered().view([64]);
            let index = y.argmax(0, false).int64_value(&[]);
            (index / 8, index % 8)
        };
        assert_eq!(place(scaling(-1.0, 1.0)), (1, 5));
        assert_eq!(place(translation(-2.0 * 3.0 / 8.0, 0.0)), (1, 5));
        assert_eq!(place(rotation(-std::f64::consts::FRAC_PI_2)), (2, 6));
    }

    #[test]
    fn the_controller_moves_towards_its_target() {
        let controller = Controller { target: 0.6, ramp_images: 1000.0 };
        assert!((controller.adjusted(0.2, 0.9, 100) - 0.3).abs() < 1e-12);
        assert!((controller.adjusted(0.2, 0.1, 100) - 0.1).abs() < 1e-12);
        assert_eq!(controller.adjusted(0.75, 0.9, 100), 0.8);
        assert_eq!(controller.adjusted(0.05, 0.1, 100), 0.0);
    }
}
