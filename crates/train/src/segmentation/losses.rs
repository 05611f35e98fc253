//! The segmentation loss of the study: batch soft Dice plus cross-entropy, at several decoder levels.
//!
//! # Deviations
//! The study minimises `-Dice`, here it is `1 - Dice`: the same gradients, and a loss that ends at zero. The
//! study adds a further 1e-8 to the denominator of Dice, which is below the resolution of f32 there. When
//! every pixel of a batch is ignored, the cross-entropy is 0 where the study's would be undefined.

use tch::{Kind, Tensor};

/// The annotation of a batch as the losses need it; made once and used at every decoder level.
pub struct Target {
    /// 1 at the pixel's class, `[n, classes, h, w]`; 0 in all of them where the pixel is ignored.
    one_hot: Tensor,
    /// 1 where the pixel counts, `[n, 1, h, w]`; none when all do.
    keep: Option<Tensor>,
    /// Pixels of each class in the batch, `[classes]`.
    class_pixels: Tensor,
    /// Pixels that count, at least 1, scalar.
    pixels: Tensor,
}

impl Target {
    /// From class indices `labels` `[n, h, w]` of any integer kind, every one below `classes`. Pixels where
    /// `ignored` `[n, h, w]` is true count for nothing. Values have the kind of the logits, f32 or f64.
    pub fn new(labels: &Tensor, classes: i64, ignored: Option<&Tensor>, kind: Kind) -> Self {
        let class = Tensor::arange(classes, (labels.kind(), labels.device())).view([1, classes, 1, 1]);
        let mut one_hot = labels.unsqueeze(1).eq_tensor(&class).to_kind(kind);
        let keep = ignored.map(|ignored| ignored.logical_not().unsqueeze(1).to_kind(kind));
        if let Some(keep) = &keep {
            one_hot *= keep;
        }
        let class_pixels = one_hot.sum_dim_intlist(OVER_BATCH, false, kind);
        let pixels = class_pixels.sum(kind).clamp_min(1);
        Self { one_hot, keep, class_pixels, pixels }
    }
}

/// Everything but the classes.
const OVER_BATCH: &[i64] = &[0, 2, 3];

/// Cross-entropy plus one minus the mean soft Dice of all classes, background included, from logits
/// `[n, classes, h, w]`. Sums for Dice go over the whole batch (nnU-Net's `batch_dice`):
/// `(2 sum p y + smooth) / (sum p + sum y + smooth)` for a class with probabilities p and truth y.
pub fn dice_cross_entropy(logits: &Tensor, target: &Target, smooth: f64) -> Tensor {
    let kind = logits.kind();
    let log_p = logits.log_softmax(1, kind);
    let cross_entropy = -(&log_p * &target.one_hot).sum(kind) / &target.pixels;
    let p = log_p.exp();
    let overlap = (&p * &target.one_hot).sum_dim_intlist(OVER_BATCH, false, kind);
    let p = match &target.keep {
        Some(keep) => p * keep,
        None => p,
    };
    let predicted = p.sum_dim_intlist(OVER_BATCH, false, kind);
    let dice = (overlap * 2.0 + smooth) / (predicted + &target.class_pixels + smooth);
    cross_entropy + 1.0 - dice.mean(kind)
}

/// Weights of the decoder levels from the full resolution down, for a network with `heads` of them: 1, 1/2,
/// 1/4, ..., the lowest 0, divided by their sum. The zero is left out, so that nothing is computed for it; a
/// network with one head keeps it.
pub fn deep_supervision_weights(heads: usize) -> Vec<f64> {
    let weights: Vec<f64> =
        (0..heads.saturating_sub(1).max(1)).map(|level| 0.5f64.powi(level as i32)).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

/// The weighted sum of [`dice_cross_entropy`] over decoder levels, all at the full resolution as in the study.
///
/// # Panics
/// Without levels.
pub fn deep_loss(levels: &[Tensor], weights: &[f64], target: &Target, smooth: f64) -> Tensor {
    let losses = levels
        .iter()
        .zip(weights)
        .map(|(logits, &weight)| dice_cross_entropy(logits, target, smooth) * weight);
    #[expect(clippy::expect_used, reason = "a network without an output is a bug")]
    losses.reduce(|sum, loss| sum + loss).expect("there is at least one decoder level")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn the_studys_weights() {
        let sum = 1.0 + 0.5 + 0.25 + 0.125;
        assert_eq!(deep_supervision_weights(5), [1.0 / sum, 0.5 / sum, 0.25 / sum, 0.125 / sum]);
        assert_eq!(deep_supervision_weights(1), [1.0]);
        assert_eq!(deep_supervision_weights(2), [1.0]);
    }

    #[test]
    fn a_perfect_prediction_costs_nothing_and_its_opposite_much() {
        let labels = Tensor::from_slice(&[0i64, 1, 2, 1]).view([1, 2, 2]);
        let target = Target::new(&labels, 3, None, Kind::Float);
        let sure = labels.one_hot(3).permute([0, 3, 1, 2]) * 50.0;
        assert!(dice_cross_entropy(&sure, &target, 1e-5).double_value(&[]).abs() < 1e-6);
        assert!(dice_cross_entropy(&-sure, &target, 1e-5).double_value(&[]) > 50.0);
    }

    #[test]
    fn a_batch_that_is_ignored_as_a_whole_has_a_finite_loss_without_gradient_of_the_cross_entropy() {
        let labels = Tensor::zeros([1, 2, 2], (Kind::Int64, Device::Cpu));
        let target = Target::new(&labels, 3, Some(&labels.eq(0)), Kind::Float);
        let logits = Tensor::ones([1, 3, 2, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let loss = dice_cross_entropy(&logits, &target, 1e-5);
        // Nothing is predicted and nothing is there: Dice is smooth / smooth = 1.
        assert_eq!(loss.double_value(&[]), 0.0);
        loss.backward();
        assert_eq!(logits.grad().abs().sum(Kind::Float).double_value(&[]), 0.0);
    }
}
