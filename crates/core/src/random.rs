//! Randomness as a pure function of (seed, stream, index). Nothing random is ever stored: what is drawn
//! for image `i` or step `n` is the same whatever was drawn before, on how many threads, in what batch.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What a random number is for. Each use has its own stream, so that adding one never changes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Stream {
    /// Assignment of subjects to splits.
    Split = 1,
    /// Anatomy of phantom subjects.
    PhantomAnatomy = 2,
    /// Noise of phantom images.
    PhantomNoise = 3,
    /// Initial weights of a network.
    Weights = 4,
    /// Order in which training examples are visited.
    Order = 5,
    /// Latents of a generator's training step.
    TrainLatent = 6,
    /// Augmentation of training batches.
    Augment = 7,
    /// Latents of sampled images; the index is the image's number.
    SampleLatent = 8,
    /// Noise inputs of sampled images; the index is the image's number.
    SampleNoise = 9,
    /// Style mixing during training.
    StyleMixing = 10,
    /// Noise inputs inside a training step.
    TrainNoise = 11,
    /// Directions of the path-length penalty.
    PathLength = 12,
    /// Bootstrap resamples.
    Bootstrap = 13,
    /// Division of a synthetic set into training and validation images.
    ImageSplit = 14,
    /// The background warm-up of the segmentation loss.
    BackgroundWarmup = 15,
    /// Examples used in tests and benches.
    Test = 16,
    /// Stochastic layers of a segmenter.
    Dropout = 18,
    /// Mirrored training images.
    Mirror = 19,
    /// Noise levels of a diffusion model's training step.
    NoiseLevel = 20,
    /// Real images that a generator is compared with while it trains.
    Inspection = 21,
    /// Movements of generated pictures when a generator's equivariance is measured.
    Equivariance = 22,
    /// Noise added to a segmenter's training images.
    AugmentNoise = 23,
    /// Halves, subsets and pairs of images in measurements of realism.
    Realism = 24,
    /// Images that an audit copies, changes and hides.
    Planted = 30,
    /// Training subjects that stand for new ones in an audit.
    AuditNull = 31,
    /// Images that the copy embedding learns from in a step.
    CopyOrder = 40,
    /// Views of these images.
    CopyViews = 41,
    /// Noise and latents of membership scores.
    Membership = 42,
}

/// The kind of generator behind all streams.
pub type Rng = ChaCha8Rng;

/// The generator of random numbers for one (seed, stream, index).
pub fn rng(seed: u64, stream: Stream, index: u64) -> Rng {
    let mut material = [0u8; 24];
    material[..8].copy_from_slice(&seed.to_le_bytes());
    material[8..16].copy_from_slice(&(stream as u64).to_le_bytes());
    material[16..].copy_from_slice(&index.to_le_bytes());
    Rng::from_seed(blake3::derive_key("synthmr 2026 random stream", &material))
}

/// The generator of random numbers for something that has a name instead of a number.
pub fn named(seed: u64, stream: Stream, name: &str) -> Rng {
    let mut index = [0u8; 8];
    index.copy_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..8]);
    rng(seed, stream, u64::from_le_bytes(index))
}

/// A seed for a device's own generator, for bulk noise inside a training step. Non-negative.
pub fn device_seed(seed: u64, stream: Stream, index: u64) -> i64 {
    (rng(seed, stream, index).next_u64() >> 1) as i64
}

/// Numbers drawn from any generator; the few distributions that synthmr needs.
pub trait Draw: RngCore {
    /// Uniform in `[0, 1)`, with 53 bits.
    fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `[low, high)`.
    fn uniform_in(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Standard normal, by Box and Muller (the second value is dropped, so draws stay independent of history).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// True with probability `p`.
    fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Uniform in `0..n` without modulo bias (Lemire's multiplication with rejection). `n` must not be 0.
    fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "a range to draw from is not empty");
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(n);
            if (wide as u64) >= n.wrapping_neg() % n {
                return (wide >> 64) as u64;
            }
        }
    }

    /// Shuffles in place (Fisher and Yates).
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// Fills with standard normal numbers, two for each Box-Muller pair.
    fn fill_normal(&mut self, out: &mut [f32]) {
        for pair in out.chunks_mut(2) {
            let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
            let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
            pair[0] = (radius * cos) as f32;
            if let Some(second) = pair.get_mut(1) {
                *second = (radius * sin) as f32;
            }
        }
    }
}

impl<R: RngCore + ?Sized> Draw for R {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_indices_are_independent_and_repeatable() {
        let first = |seed, stream, index| rng(seed, stream, index).next_u64();
        let reference = first(7, Stream::Order, 3);
        assert_eq!(reference, first(7, Stream::Order, 3));
        assert_ne!(reference, first(8, Stream::Order, 3));
        assert_ne!(reference, first(7, Stream::Augment, 3));
        assert_ne!(reference, first(7, Stream::Order, 4));
    }

    #[test]
    fn moments_of_the_distributions() {
        let mut r = rng(1, Stream::Test, 0);
        let n = 200_000;
        let (mut sum, mut squares, mut uniform) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let x = r.normal();
            sum += x;
            squares += x * x;
            uniform += r.uniform();
        }
        // Five standard errors: 5 / sqrt(n) = 0.011, 5 * sqrt(2 / n) = 0.016, 5 * 0.2887 / sqrt(n) = 0.0032.
        assert!((sum / n as f64).abs() < 0.011);
        assert!((squares / n as f64 - 1.0).abs() < 0.016);
        assert!((uniform / n as f64 - 0.5).abs() < 0.0033);
        let mut filled = vec![0f32; n + 1];
        r.fill_normal(&mut filled);
        let mean = filled.iter().map(|&x| f64::from(x)).sum::<f64>() / filled.len() as f64;
        let square = filled.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / filled.len() as f64;
        assert!(mean.abs() < 0.012 && (square - 1.0).abs() < 0.017);
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let mut r = rng(2, Stream::Test, 0);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[r.below(7) as usize] += 1;
        }
        // Five standard deviations of a binomial(70000, 1/7): 5 * 92.6.
        assert!(counts.iter().all(|&c| (i64::from(c) - 10_000).abs() < 463), "{counts:?}");
    }

    #[test]
    fn shuffle_is_a_permutation() {
        let mut items: Vec<u32> = (0..100).collect();
        rng(3, Stream::Test, 0).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
