//! The segmentation losses of the study: soft Dice plus cross-entropy, at several levels.
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
    /// Pixels of each class in each image, `[n, classes]`.
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
        let class_pixels = one_hot.sum_dim_intlist(OVER_PIXELS, false, kind);
        let pixels = class_pixels.sum(kind).clamp_min(1);
        Self { one_hot, keep, class_pixels, pixels }
    }
}

const OVER_PIXELS: &[i64] = &[2, 3];

/// Which soft Dice is minimised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiceForm {
    /// Added to numerator and denominator.
    pub smooth: f64,
    /// Whether the background takes part.
    pub background: bool,
    /// Whether probabilities enter the denominator squared (Milletari et al. 2016).
    pub squared: bool,
    /// Whether sums go over the whole batch (nnU-Net's `batch_dice`); else each image has a Dice of its own.
    pub batch: bool,
}

/// Cross-entropy plus one minus the mean soft Dice of the classes, from logits `[n, classes, h, w]`: for a class with
/// probabilities p and truth y it is `(2 sum p y + smooth) / (sum p + sum y + smooth)`.
pub fn dice_cross_entropy(logits: &Tensor, target: &Target, form: &DiceForm) -> Tensor {
    let kind = logits.kind();
    let log_p = logits.log_softmax(1, kind);
    let cross_entropy = -(&log_p * &target.one_hot).sum(kind) / &target.pixels;
    let p = log_p.exp();
    let sums = |x: &Tensor| {
        let of_images = x.sum_dim_intlist(OVER_PIXELS, false, kind);
        if form.batch { of_images.sum_dim_intlist(&[0i64][..], true, kind) } else { of_images }
    };
    let overlap = sums(&(&p * &target.one_hot));
    let p = if form.squared { p.square() } else { p };
    let predicted = match &target.keep {
        Some(keep) => sums(&(p * keep)),
        None => sums(&p),
    };
    let truth = &target.class_pixels;
    let truth =
        if form.batch { truth.sum_dim_intlist(&[0i64][..], true, kind) } else { truth.shallow_clone() };
    let dice = (overlap * 2.0 + form.smooth) / (predicted + truth + form.smooth);
    let first = i64::from(!form.background);
    cross_entropy + 1.0 - dice.narrow(1, first, dice.size()[1] - first).mean(kind)
}

/// The weighted sum of [`dice_cross_entropy`] over levels, all at the full resolution as in the study.
///
/// # Panics
/// Without levels.
pub fn deep_loss(levels: &[Tensor], weights: &[f64], target: &Target, form: &DiceForm) -> Tensor {
    let losses =
        levels.iter().zip(weights).map(|(logits, &weight)| dice_cross_entropy(logits, target, form) * weight);
    #[expect(clippy::expect_used, reason = "a network without an output is a bug")]
    losses.reduce(|sum, loss| sum + loss).expect("there is at least one level")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    const STUDY: DiceForm = DiceForm { smooth: 1e-5, background: true, squared: false, batch: true };

    #[test]
    fn a_perfect_prediction_costs_nothing_and_its_opposite_much() {
        let labels = Tensor::from_slice(&[0i64, 1, 2, 1]).view([1, 2, 2]);
        let target = Target::new(&labels, 3, None, Kind::Float);
        let sure = labels.one_hot(3).permute([0, 3, 1, 2]) * 50.0;
        assert!(dice_cross_entropy(&sure, &target, &STUDY).double_value(&[]).abs() < 1e-6);
        assert!(dice_cross_entropy(&-sure, &target, &STUDY).double_value(&[]) > 50.0);
    }

    #[test]
    fn a_batch_that_is_ignored_as_a_whole_has_a_finite_loss_without_gradient_of_the_cross_entropy() {
        let labels = Tensor::zeros([1, 2, 2], (Kind::Int64, Device::Cpu));
        let target = Target::new(&labels, 3, Some(&labels.eq(0)), Kind::Float);
        let logits = Tensor::ones([1, 3, 2, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let loss = dice_cross_entropy(&logits, &target, &STUDY);
        // Nothing is predicted and nothing is there: Dice is smooth / smooth = 1.
        assert_eq!(loss.double_value(&[]), 0.0);
        loss.backward();
        assert_eq!(logits.grad().abs().sum(Kind::Float).double_value(&[]), 0.0);
    }
}
