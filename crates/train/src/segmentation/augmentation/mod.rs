//! Augmentation of a segmenter's training images, on the device, a batch at a time.
//!
//! The changes are those of nnU-Net (Isensee et al. 2021, supplement, "data augmentation"), of which the study used a part.
//! What happens to an image is a function of (seed, number of the image in the training), drawn on the host; noise in bulk
//! is drawn on the device from a seed of the step. The order is nnU-Net's: movement, noise, blur, brightness, contrast,
//! low resolution, gamma, where low resolution comes right after blur, because both are linear maps of rows and of columns:
//! the two are one pair of matrices a plane, and two batched matrix products do both.
//!
//! Everything acts on standardised images, as in nnU-Net: edges that a movement blurs would otherwise count as foreground,
//! and change the standardisation of the whole image.

mod config;

use std::f64::consts::PI;

use synthmr_core::random::{self, Draw, Rng, Stream, device_seed};
use tch::{Kind, Tensor};

pub use config::{AugmentationConfig, Change};

use synthmr_nets::affine::{self, Between, IDENTITY, Matrix, Outside};

/// What happens to the images of one batch.
pub struct Augmentation {
    movements: Vec<Matrix>,
    /// Deviation of each image's noise; 0 for none.
    noise: Vec<f64>,
    /// Of each contrast of each image, image by image.
    planes: Vec<PlaneChange>,
    noise_seed: i64,
}

/// What happens to the intensities of one contrast of one image.
#[derive(Clone, Copy, Debug, Default)]
struct PlaneChange {
    blur: Option<f64>,
    low_resolution: Option<f64>,
    brightness: Option<f64>,
    contrast: Option<f64>,
    gamma: Option<f64>,
    inverted_gamma: Option<f64>,
}

impl Change {
    /// A strength, or none. Draws the same numbers either way, so that one change does not move the others.
    fn draw(&self, rng: &mut Rng) -> Option<f64> {
        let happens = rng.chance(self.probability);
        let strength = rng.uniform_in(self.low, self.high);
        happens.then_some(strength)
    }
}

impl Augmentation {
    /// Draws for a batch of `count` images of `contrasts` contrasts, the first of which is the training's image number
    /// `first`.
    pub fn draw(config: &AugmentationConfig, seed: u64, first: u64, count: usize, contrasts: usize) -> Self {
        let mut drawn = Self {
            movements: Vec::with_capacity(count),
            noise: Vec::with_capacity(count),
            planes: Vec::with_capacity(count * contrasts),
            noise_seed: device_seed(seed, Stream::AugmentNoise, first),
        };
        for image in 0..count as u64 {
            let mut rng = random::rng(seed, Stream::Augment, first + image);
            drawn.movements.push(movement(config, &mut rng));
            drawn.noise.push(config.noise.draw(&mut rng).unwrap_or(0.0));
            for _ in 0..contrasts {
                drawn.planes.push(PlaneChange {
                    blur: config.blur.draw(&mut rng),
                    low_resolution: config.low_resolution.draw(&mut rng),
                    brightness: config.brightness.draw(&mut rng),
                    contrast: config.contrast.draw(&mut rng),
                    gamma: config.gamma.draw(&mut rng),
                    inverted_gamma: config.inverted_gamma.draw(&mut rng),
                });
            }
        }
        drawn
    }

    /// Moves standardised images f32 `[n, c, h, w]` and their class maps u8 `[n, h, w]` alike: images bilinearly, classes to
    /// the nearest. Beyond the border lies the least value of each contrast, which background has, and class 0.
    pub fn moved(&self, images: &Tensor, labels: &Tensor) -> (Tensor, Tensor) {
        let Some(rows) = affine::rows(&self.movements) else {
            return (images.shallow_clone(), labels.shallow_clone());
        };
        let rows = rows.to_device(images.device());
        let least = images.amin(&[2i64, 3][..], true);
        let moved = affine::resampled(&(images - &least), &rows, Between::Bilinear, Outside::Zeros) + least;
        let labels = labels.unsqueeze(1).to_kind(Kind::Float);
        let labels = affine::resampled(&labels, &rows, Between::Nearest, Outside::Zeros);
        (moved, labels.squeeze_dim(1).round().to_kind(Kind::Uint8))
    }

    /// Changes the intensities of standardised images f32 `[n, c, h, w]`, in place where it can.
    pub fn altered(&self, images: Tensor) -> Tensor {
        let size = images.size();
        let (contrasts, side) = (size[1], size[2]);
        assert_eq!(size[2], size[3], "slices are square");
        self.add_noise(&images);
        // One row of the batch a plane from here on.
        let planes = images.view([-1, side, side]);
        let chosen = |pick: fn(&PlaneChange) -> Option<f64>| Chosen::new(&self.planes, &planes, pick);
        self.filter(&planes, side);
        if let Some(chosen) = chosen(|plane| plane.brightness) {
            chosen.replace(&planes, |x, factor| x * factor);
        }
        if let Some(chosen) = chosen(|plane| plane.contrast) {
            chosen.replace(&planes, |x, factor| {
                let mean = x.mean_dim(OVER_PIXELS, true, Kind::Float);
                ((&x - &mean) * factor + mean)
                    .clamp_tensor(Some(x.amin(OVER_PIXELS, true)), Some(x.amax(OVER_PIXELS, true)))
            });
        }
        if let Some(chosen) = chosen(|plane| plane.inverted_gamma) {
            chosen.replace(&planes, |x, exponent| -with_gamma(&-x, exponent));
        }
        if let Some(chosen) = chosen(|plane| plane.gamma) {
            chosen.replace(&planes, |x, exponent| with_gamma(&x, exponent));
        }
        planes.view([-1, contrasts, side, side])
    }

    fn add_noise(&self, images: &Tensor) {
        let rows: Vec<i64> =
            (0..self.noise.len() as i64).filter(|&row| self.noise[row as usize] > 0.0).collect();
        if rows.is_empty() {
            return;
        }
        let deviations: Vec<f32> = rows.iter().map(|&row| self.noise[row as usize] as f32).collect();
        let device = images.device();
        let rows = Tensor::from_slice(&rows).to_device(device);
        let deviations = Tensor::from_slice(&deviations).view([-1, 1, 1, 1]).to_device(device);
        tch::manual_seed(self.noise_seed);
        let noisy = images.index_select(0, &rows);
        let noise = noisy.randn_like() * deviations;
        let _ = images.shallow_clone().index_copy_(0, &rows, &(noisy + noise));
    }

    /// Blur and low resolution of planes `[n, side, side]`: rows and columns are mapped by one matrix, `A X A^T`.
    fn filter(&self, planes: &Tensor, side: i64) {
        let (mut rows, mut matrices) = (Vec::new(), Vec::new());
        for (row, plane) in self.planes.iter().enumerate() {
            let blur = plane.blur.map(|deviation| blur_matrix(side as usize, deviation));
            let coarse = plane.low_resolution.map(|share| low_resolution_matrix(side as usize, share));
            let matrix = match (blur, coarse) {
                (None, None) => continue,
                (Some(one), None) | (None, Some(one)) => one,
                (Some(blur), Some(coarse)) => coarse.matmul(&blur),
            };
            rows.push(row as i64);
            matrices.push(matrix);
        }
        if rows.is_empty() {
            return;
        }
        let rows = Tensor::from_slice(&rows).to_device(planes.device());
        let maps = Tensor::stack(&matrices, 0).to_device(planes.device());
        let changed = maps.matmul(&planes.index_select(0, &rows)).matmul(&maps.transpose(1, 2));
        let _ = planes.shallow_clone().index_copy_(0, &rows, &changed);
    }
}

const OVER_PIXELS: &[i64] = &[1, 2];

/// The planes that some change acts on, with its strengths.
struct Chosen {
    rows: Tensor,
    /// `[rows, 1, 1]`.
    strengths: Tensor,
}

impl Chosen {
    fn new(changes: &[PlaneChange], planes: &Tensor, pick: fn(&PlaneChange) -> Option<f64>) -> Option<Self> {
        let (mut rows, mut strengths) = (Vec::new(), Vec::new());
        for (row, strength) in changes.iter().enumerate().filter_map(|(row, plane)| Some((row, pick(plane)?)))
        {
            rows.push(row as i64);
            strengths.push(strength as f32);
        }
        (!rows.is_empty()).then(|| Self {
            rows: Tensor::from_slice(&rows).to_device(planes.device()),
            strengths: Tensor::from_slice(&strengths).view([-1, 1, 1]).to_device(planes.device()),
        })
    }

    /// Puts `change(planes, strengths)` in the place of the chosen planes.
    fn replace(&self, planes: &Tensor, change: impl Fn(Tensor, &Tensor) -> Tensor) {
        let changed = change(planes.index_select(0, &self.rows), &self.strengths);
        let _ = planes.shallow_clone().index_copy_(0, &self.rows, &changed);
    }
}

/// Where each pixel comes from: the inverse of a turn after a change of size, after a reflection.
fn movement(config: &AugmentationConfig, rng: &mut Rng) -> Matrix {
    let mut movement = IDENTITY;
    if rng.chance(config.mirror_probability) {
        movement = affine::scaling(-1.0, 1.0);
    }
    let (x, y) = (config.scaling.draw(rng), rng.uniform_in(config.scaling.low, config.scaling.high));
    if let Some(x) = x {
        movement = affine::product(movement, affine::scaling(1.0 / x, 1.0 / y));
    }
    if let Some(degrees) = config.rotation.draw(rng) {
        movement = affine::product(movement, affine::rotation(-degrees * PI / 180.0));
    }
    movement
}

/// Planes `[n, h, w]` whose place within their range is raised to `exponents` `[n, 1, 1]`, brought back to their mean
/// and deviation (nnU-Net's gamma with statistics retained).
fn with_gamma(x: &Tensor, exponents: &Tensor) -> Tensor {
    // Keeps an empty plane finite; below what a plane that shows anything can deviate by.
    const SMALL: f64 = 1e-7;
    let statistics = |x: &Tensor| {
        let mean = x.mean_dim(OVER_PIXELS, true, Kind::Float);
        let deviation = (x - &mean).square().mean_dim(OVER_PIXELS, true, Kind::Float).sqrt();
        (mean, deviation)
    };
    let (mean, deviation) = statistics(x);
    let low = x.amin(OVER_PIXELS, true);
    let range = x.amax(OVER_PIXELS, true) - &low;
    let bent = ((x - &low) / (&range + SMALL)).pow(exponents) * range + low;
    let (bent_mean, bent_deviation) = statistics(&bent);
    (bent - bent_mean) / (bent_deviation + SMALL) * deviation + mean
}

/// A Gaussian filter of a row of `side` pixels as a matrix `[side, side]`, cut off at four deviations, the border repeated.
fn blur_matrix(side: usize, deviation: f64) -> Tensor {
    let radius = (4.0 * deviation).ceil() as i64;
    let weight = |offset: i64| (-((offset * offset) as f64) / (2.0 * deviation * deviation)).exp();
    let weights: Vec<f64> = (-radius..=radius).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    matrix(side, |to, values| {
        for (offset, weight) in (-radius..=radius).zip(&weights) {
            let from = (to as i64 + offset).clamp(0, side as i64 - 1) as usize;
            values[from] += weight / sum;
        }
    })
}

/// A row of `side` pixels seen through `round(share * side)` of them: the nearest pixel to each place of the coarse grid,
/// then linear interpolation between them, both with pixels as areas.
fn low_resolution_matrix(side: usize, share: f64) -> Tensor {
    let coarse = ((share * side as f64).round() as usize).clamp(1, side);
    let scale = side as f64 / coarse as f64;
    let source = |k: usize| (((k as f64 + 0.5) * scale) as usize).min(side - 1);
    matrix(side, |to, values| {
        let place = ((to as f64 + 0.5) / scale - 0.5).clamp(0.0, coarse as f64 - 1.0);
        let below = place as usize;
        let share_above = place - below as f64;
        values[source(below)] += 1.0 - share_above;
        values[source((below + 1).min(coarse - 1))] += share_above;
    })
}

/// A matrix `[side, side]` whose rows `fill` writes into zeros.
fn matrix(side: usize, fill: impl Fn(usize, &mut [f64])) -> Tensor {
    let mut values = vec![0f64; side * side];
    for (row, values) in values.chunks_mut(side).enumerate() {
        fill(row, values);
    }
    Tensor::from_slice(&values).view([side as i64, side as i64]).to_kind(Kind::Float)
}

#[cfg(test)]
mod tests;
