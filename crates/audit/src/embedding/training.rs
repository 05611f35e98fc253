//! How the embedding learns: two views of one slice are to lie near each other, slices of other subjects far away.
//!
//! The loss is that of SSCD (Pizzi et al. 2022, equations 1 to 4): cross-entropy of which image a view belongs to
//! (InfoNCE, van den Oord et al. 2018), where a view that shows two images belongs to both by their shares, and a term
//! that spreads vectors evenly (Sablayrolles et al. 2019, "Spreading vectors for similarity search"), so that one
//! threshold serves all images.
//!
//! # Deviations
//! Slices of one subject are never told apart: those side by side hardly differ, and a copy of either is a copy of the
//! patient. The first view of a pair is hardly changed, as the images are in which copies are searched.

use std::f64::consts::PI;
use std::ops::ControlFlow;

use synthmr_core::random::{Draw, Rng, Stream, rng};
use synthmr_nets::engine::Precision;
use synthmr_nets::features::CopyEmbeddingNet;
use synthmr_nets::optimiser::{AdamW, clip_gradient_norm};
use tch::{Device, Kind, Tensor};

use super::{EmbeddingConfig, EmbeddingError, LOOKS, TrainingSlices, views};

/// Probability that the second view of a pair is of the slice beside.
const BESIDE: f64 = 0.3;
/// Share of the training in which the rate rises.
const WARM_UP: f64 = 0.05;
/// Largest norm of a gradient.
const GRADIENT_NORM: f64 = 1.0;
/// Decay of the weights.
const DECAY: f64 = 1e-3;
/// Stands for "minus infinity" where a pair is not compared.
const NEVER: f64 = -1e9;

/// Trains a network of the configuration; `progress` hears of images seen and of all of them, and may stop it.
pub(super) fn train(
    config: &EmbeddingConfig,
    slices: &TrainingSlices,
    device: Device,
    progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<CopyEmbeddingNet, EmbeddingError> {
    let sizes = config.sizes(slices.channels());
    let net = CopyEmbeddingNet::new(&sizes, config.seed, device, Precision::best_for(device));
    let mut optimiser = AdamW::new(&net.parameters, [0.9, 0.99], 1e-8, |name| {
        if name.ends_with("weight") && !name.contains("norm") { DECAY } else { 0.0 }
    });
    let batch = (config.batch as usize).min(2 * slices.len());
    let steps = config.images.div_ceil(batch as u64);
    for step in 0..steps {
        if progress(step * batch as u64, steps * batch as u64).is_break() {
            return Err(EmbeddingError::Interrupted);
        }
        let pairs = Pairs::draw(config.seed, step, slices, batch, device);
        net.parameters.zero_gradient();
        let vectors = net.forward(&pairs.images, LOOKS[0]);
        let loss = pairs.loss(&vectors, config);
        loss.backward();
        if !loss.double_value(&[]).is_finite() {
            return Err(EmbeddingError::NotFinite { images_seen: step * batch as u64 });
        }
        clip_gradient_norm(&net.parameters, GRADIENT_NORM);
        let done = step as f64 / steps as f64;
        let rise = ((done + 1.0 / steps as f64) / WARM_UP).min(1.0);
        optimiser.step(&net.parameters, config.rate * rise * 0.5 * (1.0 + (PI * done).cos()));
    }
    // What is learnt in bf16 is used in f32: near 1, where copies are, similarities need the digits.
    let exact = CopyEmbeddingNet::new(&sizes, config.seed, device, Precision::F32);
    exact.parameters.copy_from(&net.parameters);
    exact.parameters.set_requires_grad(false);
    Ok(exact)
}

/// A batch: the first views of its slices, then their second views.
struct Pairs {
    /// f32 `[2 b, c, side, side]`.
    images: Tensor,
    /// Share of each other view that is the same image, symmetric: f32 `[2 b, 2 b]`.
    same: Tensor,
    /// Views that are not compared: bool `[2 b, 2 b]`.
    apart: Tensor,
}

impl Pairs {
    fn draw(seed: u64, step: u64, slices: &TrainingSlices, batch: usize, device: Device) -> Self {
        let mut random = rng(seed, Stream::CopyOrder, step);
        let first = chosen(&mut random, slices, batch / 2);
        let second: Vec<i64> = first
            .iter()
            .map(|&i| {
                let beside: Vec<i64> = slices.beside(i as usize).collect();
                let moves = random.chance(BESIDE) && !beside.is_empty();
                if moves { beside[random.below(beside.len() as u64) as usize] } else { i }
            })
            .collect();
        let mut subjects: Vec<u32> = first.iter().map(|&i| slices.subjects[i as usize]).collect();
        // The same slices bent are of subjects of their own.
        subjects.extend((0..first.len() as u32).map(|i| u32::MAX - i));
        let b = subjects.len();
        let partners: Vec<i64> = (0..b)
            .map(|i| {
                // Another subject's, where a few tries find one.
                let tries = (0..8).map(|_| random.below(b as u64) as usize);
                tries.fold(i, |found, other| if subjects[found] == subjects[i] { other } else { found })
                    as i64
            })
            .collect();

        let mut random = rng(seed, Stream::CopyViews, step);
        let originals = slices.gather(&[first, second].concat(), device);
        let bent = views::other_subjects(&originals, &mut random);
        let of = |half: i64| {
            let part = |x: &Tensor| x.narrow(0, half * (b / 2) as i64, (b / 2) as i64);
            Tensor::cat(&[part(&originals), part(&bent)], 0)
        };
        let mild = views::mild(&of(0), &mut random);
        let strong = views::strong(&of(1), &partners, &mut random);
        let (same, apart) = relations(&subjects, &partners, &strong.shares);
        Self {
            images: Tensor::cat(&[mild, strong.images], 0),
            same: same.to_device(device),
            apart: apart.to_device(device),
        }
    }

    /// The loss of vectors `[2 b, d]`; a scalar.
    fn loss(&self, vectors: &Tensor, config: &EmbeddingConfig) -> Tensor {
        let similarity = vectors.matmul(&vectors.tr());
        let logits = (&similarity / config.temperature).masked_fill(&self.apart, NEVER);
        let target = &self.same / self.same.sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
        let contrast = -(logits.log_softmax(1, Kind::Float) * target)
            .sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
            .mean(Kind::Float);
        // The nearest vector of another subject; a distance has no finite derivative at 0.
        let others = self.apart.logical_or(&self.same.gt(0.0));
        let nearest = similarity.masked_fill(&others, -1.0).amax([1i64].as_slice(), false);
        let distance: Tensor = 2.0 - nearest * 2.0;
        let distance = distance.clamp_min(1e-4).sqrt();
        contrast - distance.log().mean(Kind::Float) * config.spread
    }
}

/// The slices of a batch: a half of about one level in the head, which are the hardest to tell apart, the rest of any.
fn chosen(random: &mut Rng, slices: &TrainingSlices, batch: usize) -> Vec<i64> {
    let mut order: Vec<usize> = (0..slices.len()).collect();
    random.shuffle(&mut order);
    let level = slices.numbers[order[0]];
    let half = batch / 2;
    order.select_nth_unstable_by_key(half, |&i| slices.numbers[i].abs_diff(level));
    random.shuffle(&mut order[half..]);
    order[..batch].iter().map(|&i| i as i64).collect()
}

/// Which views show the same image, by what share, and which are not compared. Views `0..b` are the first ones, `b..2 b`
/// the second ones, of which the `i`-th shows `shares[i]` of its own slice and the rest of its partner's.
fn relations(subjects: &[u32], partners: &[i64], shares: &[f64]) -> (Tensor, Tensor) {
    let b = subjects.len();
    let mut same = vec![0f32; 4 * b * b];
    let mut apart = vec![false; 4 * b * b];
    for i in 0..2 * b {
        for j in 0..2 * b {
            apart[i * 2 * b + j] = subjects[i % b] == subjects[j % b];
        }
    }
    // One entry and its mirror image.
    let both = |i: usize, j: usize| [i * 2 * b + j, j * 2 * b + i];
    for (i, (&partner, &share)) in partners.iter().zip(shares).enumerate() {
        let partner = partner as usize;
        if share < 1.0 && subjects[partner] != subjects[i] {
            for at in both(b + i, partner) {
                (same[at], apart[at]) = ((1.0 - share) as f32, false);
            }
            // The partner's second view is like this one in part, and like the rest of it not: it is left out.
            both(b + i, b + partner).into_iter().for_each(|at| apart[at] = true);
        }
        for at in both(i, b + i) {
            (same[at], apart[at]) = (share as f32, false);
        }
    }
    let shape = [2 * b as i64, 2 * b as i64];
    (Tensor::from_slice(&same).view(shape), Tensor::from_slice(&apart).view(shape))
}
