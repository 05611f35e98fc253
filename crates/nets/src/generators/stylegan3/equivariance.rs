//! How exactly the picture follows its input: EQ-T and EQ-R (Karras et al. 2021, section 2.2 and appendix E), as peak
//! signal-to-noise ratios in dB between "move, then generate" and "generate, then move".
//!
//! Whole-pixel translations need no interpolation, and [`translation`] is the paper's EQ-T (equations 23 and 24).
//! Rotations and fractions of a pixel do: here both pictures pass through one radially symmetric low-pass filter of
//! 12 x 12 pixels with its cut-off at three quarters of the highest frequency. The paper reads fractions by Lanczos
//! filters and compares rotations within the intersection of two squares of frequencies (equations 25 and 29 to 34),
//! which limits it to about 50 and 40 dB. [`fractional_translation`] and [`rotation`] therefore compare networks with
//! one another; their values are not the paper's.

use std::f64::consts::TAU;

use synthmr_core::random::{self, Draw, Rng, Stream};
use tch::{Device, Kind, Tensor};

use super::filters::LowPass;
use super::{Generator, Placement};
use crate::generators::gan::{Generator as _, Noise};

/// Translations are uniform within this fraction of the image side in each direction (appendix E).
const LARGEST_TRANSLATION: f64 = 0.125;
/// The range of values in an image, [-1, 1].
const RANGE: f64 = 2.0;
/// Reach of the comparison's low-pass filter, in pixels.
const REACH: i64 = 6;
/// Its cut-off and the width of its transition band, in cycles per pixel: it stops what lies beyond 0.5.
const CUTOFF: f64 = 0.375;
const WIDTH: f64 = 0.25;
/// Values of the filter that are kept for each pixel of distance; those between are interpolated (to 1e-6).
const STEPS: usize = 1024;

/// EQ-T in dB for translations by whole pixels, over one image for each latent `[n, z_dim]`; image i is moved by what
/// `seed` and i say. Infinite when the pictures are equal.
pub fn translation(generator: &Generator, latents: &Tensor, seed: u64) -> f64 {
    let mut error = Error::default();
    compare(generator, latents, seed, |rng, original, generate| {
        let side = original.size()[2];
        let pixels = |rng: &mut Rng| (offset(rng) * side as f64).round() as i64;
        let (right, down) = (pixels(rng), pixels(rng));
        let fraction = |pixels: i64| pixels as f64 / side as f64;
        let moved = generate(Placement { right: fraction(right), down: fraction(down), angle: 0.0 });
        // What was inside before and after.
        let inside = |image: &Tensor, right: i64, down: i64| {
            let (height, width) = (side - down.abs(), side - right.abs());
            image.narrow(2, down.max(0), height).narrow(3, right.max(0), width)
        };
        error.add(&inside(&moved, right, down), &inside(original, -right, -down));
    });
    error.decibels()
}

/// As [`translation`] for translations by any fraction of a pixel; see the module's documentation for how it differs
/// from the paper's.
pub fn fractional_translation(generator: &Generator, latents: &Tensor, seed: u64) -> f64 {
    placed(generator, latents, seed, |rng| Placement { right: offset(rng), down: offset(rng), angle: 0.0 })
}

/// EQ-R in dB for rotations by any angle about the image's centre; see the module's documentation for how it differs
/// from the paper's.
pub fn rotation(generator: &Generator, latents: &Tensor, seed: u64) -> f64 {
    placed(generator, latents, seed, |rng| Placement {
        angle: rng.uniform_in(0.0, TAU),
        ..Placement::default()
    })
}

fn offset(rng: &mut Rng) -> f64 {
    rng.uniform_in(-LARGEST_TRANSLATION, LARGEST_TRANSLATION)
}

/// The comparison for placements that need interpolation.
fn placed(generator: &Generator, latents: &Tensor, seed: u64, draw: impl Fn(&mut Rng) -> Placement) -> f64 {
    let mut error = Error::default();
    let filter = Interpolation::new();
    compare(generator, latents, seed, |rng, original, generate| {
        let placement = draw(rng);
        let expected = filter.apply(original, placement);
        let found = filter.apply(&generate(placement), Placement::default());
        for (expected, found) in expected.iter().zip(&found) {
            if let (Some(expected), Some(found)) = (expected, found) {
                error.squares += (expected - found).powi(2);
                error.count += 1;
            }
        }
    });
    error.decibels()
}

/// Calls `judge` with the random numbers, the unplaced image `[1, planes, r, r]` and a way to generate placed ones, for
/// each latent; the network's own transform is put back afterwards.
fn compare(
    generator: &Generator,
    latents: &Tensor,
    seed: u64,
    mut judge: impl FnMut(&mut Rng, &Tensor, &dyn Fn(Placement) -> Tensor),
) {
    let input = &generator.synthesis.input;
    let before = input.transform().copy();
    tch::no_grad(|| {
        for i in 0..latents.size()[0] {
            let mut rng = random::rng(seed, Stream::Equivariance, i as u64);
            let latent = latents.narrow(0, i, 1);
            let generate = |placement: Placement| {
                input.place(placement);
                generator.images(&latent, 1.0, &Noise::None).to_kind(Kind::Double).to_device(Device::Cpu)
            };
            let original = generate(Placement::default());
            judge(&mut rng, &original, &generate);
        }
        input.transform().copy_(&before);
    });
}

/// The radially symmetric filter by which both pictures are low-passed and read between their pixels.
struct Interpolation {
    /// Its values from the centre to [`REACH`] pixels, in steps of 1 / [`STEPS`] of a pixel.
    profile: Vec<f64>,
}

impl Interpolation {
    fn new() -> Self {
        let low_pass = LowPass { taps: 2 * REACH as usize, cutoff: CUTOFF, width: WIDTH, rate: 1.0 };
        let count = REACH as usize * STEPS + 2;
        Self { profile: (0..count).map(|i| low_pass.at(i as f64 / STEPS as f64)).collect() }
    }

    fn at(&self, distance: f64) -> f64 {
        let position = distance * STEPS as f64;
        let index = position as usize;
        match self.profile.get(index..index + 2) {
            Some(ends) => ends[0] + (ends[1] - ends[0]) * position.fract(),
            None => 0.0,
        }
    }

    /// The filtered picture of `image` `[1, planes, r, r]` (f64, on the CPU) under a placement: plane by plane, row by
    /// row; nothing where the filter would see what is outside the image.
    fn apply(&self, image: &Tensor, placement: Placement) -> Vec<Option<f64>> {
        let size = image.size();
        let (planes, side) = (size[1] as usize, size[2]);
        let mut pixels = vec![0f64; image.numel()];
        image.contiguous().copy_data(&mut pixels, image.numel());
        let inverse = placement.inverse();
        let area = (side * side) as usize;
        let centre = (side as f64 - 1.0) / 2.0;
        let mut result = vec![None; planes * area];
        for pixel in 0..area {
            // The pixel's place in the image that is filtered, counted in pixels from the centre of the first.
            let (x, y) = ((pixel as i64 % side) as f64 - centre, (pixel as i64 / side) as f64 - centre);
            let place = |row: [f64; 3]| row[0] * x + row[1] * y + row[2] * side as f64 + centre;
            let (x, y) = (place(inverse[0]), place(inverse[1]));
            let (left, top) = (x.floor() as i64 - REACH + 1, y.floor() as i64 - REACH + 1);
            if left < 0 || top < 0 || left.max(top) + 2 * REACH > side {
                continue;
            }
            let mut sums = vec![0.0; planes];
            let mut total = 0.0;
            for row in top..top + 2 * REACH {
                for column in left..left + 2 * REACH {
                    let weight = self.at((column as f64 - x).hypot(row as f64 - y));
                    total += weight;
                    for (sum, plane) in sums.iter_mut().zip(pixels.chunks_exact(area)) {
                        *sum += weight * plane[(row * side + column) as usize];
                    }
                }
            }
            for (plane, sum) in sums.iter().enumerate() {
                result[plane * area + pixel] = Some(sum / total);
            }
        }
        result
    }
}

/// Sum and number of squared differences.
#[derive(Default)]
struct Error {
    squares: f64,
    count: usize,
}

impl Error {
    fn add(&mut self, found: &Tensor, expected: &Tensor) {
        self.squares += (found - expected).square().sum(Kind::Double).double_value(&[]);
        self.count += found.numel();
    }

    fn decibels(&self) -> f64 {
        10.0 * (RANGE * RANGE * self.count as f64 / self.squares).log10()
    }
}
