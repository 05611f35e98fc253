//! How alike aligned images are: the measures of [`super::Correlation`]. All are correlations within the real image's head,
//! on Fisher's scale averaged over contrasts: one contrast that is saturated or noisy must not hide what the others show.

use synthmr_nets::layers::smoothed;
use tch::{Device, Kind, Tensor};

use super::candidates::standardised;
use super::margin::LARGEST;
use crate::foreground::eroded;

/// Name of every measure, and what it compares.
pub(super) const MEASURES: [(&str, &str); 5] = [
    (
        "brain",
        "correlation inside the head over all contrasts, at the sharpness that the two share, after alignment",
    ),
    ("detail", "correlation of fine structure inside the head over all contrasts, after alignment"),
    (
        "contrast",
        "largest correlation of any contrast with any contrast inside the head, whatever its sign, after alignment",
    ),
    ("broad", "correlation of broad structure inside the head over all contrasts, after alignment"),
    ("parts", "correlation in the most similar third of the head, window by window, after alignment"),
];

/// Standard deviations of filters, in pixels of the fine grid. Queries are smoothed by the first, so that noise and grain do
/// not count; real images by each of them, because a copy may be blurred or have lost half of its resolution.
const SHARPNESS: [f64; 3] = [1.0, 1.4, 1.8];
/// Beyond it lies what shading changes.
const COARSER: f64 = 3.0;
/// For single contrasts, and for broad structure, which strong noise and a lost resolution leave alone.
const SMOOTH: f64 = 1.5;
const BROAD: f64 = 3.0;
/// Side of a window and the distance of two, in 64ths of the image.
const WINDOW: i64 = 13;
const WINDOW_STEP: i64 = 3;
/// Share of the windows that are less alike than what counts.
const PART: f64 = 0.7;
/// Share of a window that the head must fill.
const FILLED: f64 = 0.5;
/// Variance, in squared grey levels, below which a window has no structure.
const FLAT: f64 = 9.0;

/// Real images `[p, c, s, s]` with grey levels of 0 to 255 in the common frame.
pub(super) struct RealImages {
    pub(super) slices: Tensor,
    /// Their means with the slices before and after them: copies may lie between two.
    pub(super) between: [Tensor; 2],
    /// Their heads, `[p, 1, s, s]`.
    pub(super) heads: Tensor,
}

/// Similarities of queries `[p, c, s, s]` to real images, in the same frame and grey levels: one value a pair, -1 to 1, for each
/// of [`MEASURES`].
pub(super) fn similarities(query: &Tensor, real: &RealImages) -> Vec<Vec<f64>> {
    let RealImages { slices, between, heads } = real;
    let inner = eroded(heads, query.size()[2] / 32);
    let smooth = smoothed(query, SHARPNESS[0]);
    let standard = standardised(&smooth, &inner);
    let fine = standardised(&(&smooth - smoothed(&smooth, COARSER)), &inner);
    let same = |a: &Tensor, b: &Tensor| over_contrasts(&with_standard(a, b, &inner));
    let sharpnesses = SHARPNESS.map(|deviation| smoothed(slices, deviation));
    let beside = between.iter().flat_map(|between| SHARPNESS.map(|deviation| smoothed(between, deviation)));
    let mut brain: Vec<Tensor> = sharpnesses.iter().map(|real| same(&standard, real)).collect();
    brain.extend(beside.map(|real| same(&standard, &real)));
    let detail = sharpnesses.each_ref().map(|real| same(&fine, &(real - smoothed(real, COARSER))));
    let both = |deviation: f64| {
        let [a, b] = [query, slices].map(|x| smoothed(x, deviation));
        with_standard(&standardised(&a, &inner), &b, &inner)
    };
    [
        largest(&brain),
        largest(&detail),
        both(SMOOTH).abs().amax([1i64, 2].as_slice(), false),
        over_contrasts(&both(BROAD)),
        most_similar_part(&smooth, &sharpnesses[0], &inner),
    ]
    .into_iter()
    .map(|values| Vec::<f64>::try_from(values.to_kind(Kind::Double)).unwrap_or_default())
    .collect()
}

/// The largest of values `[n]` for every row.
fn largest(values: &[Tensor]) -> Tensor {
    Tensor::stack(values, 0).amax([0i64].as_slice(), false)
}

/// Correlations of every contrast of `a` with every contrast of `b` inside a mask, `[n, c, c]`. `a` has mean 0 and norm 1 inside and
/// is 0 outside, as [`standardised`] makes it: so neither the mean of `b` nor what lies outside has to be taken away.
pub(crate) fn with_standard(a: &Tensor, b: &Tensor, mask: &Tensor) -> Tensor {
    let (a, b, mask) = (a.flatten(2, -1), b.flatten(2, -1), mask.flatten(2, -1).transpose(1, 2));
    let area = mask.sum_dim_intlist([1i64].as_slice(), true, Kind::Float).clamp_min(1.0);
    let squares = b.square().bmm(&mask) - b.bmm(&mask).square() / area;
    let norm = squares.clamp_min(1e-6).sqrt().transpose(1, 2);
    a.bmm(&b.transpose(1, 2)) / norm
}

/// The mean of equal contrasts' correlations, from a table `[n, c, c]`.
fn over_contrasts(table: &Tensor) -> Tensor {
    fisher(&table.diagonal(0, 1, 2)).mean_dim([1i64].as_slice(), false, Kind::Float).tanh()
}

fn fisher(r: &Tensor) -> Tensor {
    r.clamp(-LARGEST, LARGEST).atanh()
}

/// The similarity that a third of the windows reach: copies of which a part is covered, cut off or replaced.
fn most_similar_part(a: &Tensor, b: &Tensor, mask: &Tensor) -> Tensor {
    let side = a.size()[2];
    let (window, step) = ((side * WINDOW / 64).max(3), (side * WINDOW_STEP / 64).max(1));
    let means = window_means(side, window, step);
    let mean = |x: &Tensor| means.matmul(&x.matmul(&means.tr()));
    let filled = mean(mask);
    let area = filled.clamp_min(1e-3);
    let within = |x: &Tensor| mean(&(x * mask)) / &area;
    let (of_a, of_b) = (within(a), within(b));
    let variance = |x: &Tensor, mean: &Tensor| (within(&x.square()) - mean.square()).clamp_min(0.0) + FLAT;
    let covariance = within(&(a * b)) - &of_a * &of_b;
    let r = covariance / (variance(a, &of_a) * variance(b, &of_b)).sqrt();
    let r = fisher(&r).mean_dim([1i64].as_slice(), true, Kind::Float);
    let r = r.masked_fill(&filled.lt(FILLED), f64::NAN).flatten(1, -1);
    r.nanquantile_scalar(PART, 1, false, "linear").nan_to_num(0.0, 0.0, 0.0).tanh()
}

/// A matrix `[windows, side]` whose rows average over one window each. Twice as fast as pooling.
fn window_means(side: i64, window: i64, step: i64) -> Tensor {
    let starts = Tensor::arange((side - window) / step + 1, (Kind::Int64, Device::Cpu)).unsqueeze(1) * step;
    let pixels = Tensor::arange(side, (Kind::Int64, Device::Cpu)).unsqueeze(0);
    let inside = pixels.ge_tensor(&starts).logical_and(&pixels.lt_tensor(&(starts + window)));
    inside.to_kind(Kind::Float) / window as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Structure at several scales inside a disc; `phase` makes another head.
    fn head(phase: f64) -> Tensor {
        let line = Tensor::arange(64, (Kind::Float, Device::Cpu));
        let (x, y) = (line.view([1, -1]), line.view([-1, 1]));
        let wave = |k: f64, l: f64| (&x * k + &y * l + phase).sin();
        let planes = [wave(0.3, 0.2) + wave(-0.5, 0.4) * 0.7, wave(0.15, -0.4) + wave(0.6, 0.3) * 0.5];
        Tensor::stack(&planes, 0).unsqueeze(0) * 40.0 + 120.0
    }

    fn disc() -> Tensor {
        let line = Tensor::arange(64, (Kind::Float, Device::Cpu)) - 31.5;
        let distance = (line.view([1, -1]).square() + line.view([-1, 1]).square()).sqrt();
        distance.lt(26.0).to_kind(Kind::Float).view([1, 1, 64, 64])
    }

    #[test]
    fn each_measure_sees_what_it_is_for() {
        let (x, mask) = (head(0.0), disc());
        let beside = head(0.4);
        let means = || (&x + &beside) * 0.5;
        let real =
            RealImages { slices: x.shallow_clone(), between: [means(), x.shallow_clone()], heads: mask };
        let of = |query: &Tensor| -> Vec<f64> {
            similarities(query, &real).into_iter().map(|values| values[0]).collect()
        };
        let itself = of(&x);
        // Windows are damped where there is little structure.
        assert!(itself[..4].iter().all(|&r| r > 0.999) && itself[4] > 0.98, "{itself:?}");
        let other = of(&head(1.7));
        assert!(other.iter().all(|&r| r < 0.9), "{other:?}");
        // Blurred: the sharpness that both share.
        assert!(of(&smoothed(&x, 1.2))[0] > 0.995);
        // Half of it another head: only the parts stay.
        let half = x.copy();
        half.narrow(3, 36, 28).copy_(&head(1.7).narrow(3, 36, 28));
        let half = of(&half);
        assert!(half[4] > 0.95 && half[0] < 0.9, "{half:?}");
        // Between two slices.
        let between = of(&means());
        assert!(between[0] > 0.999 && between[1] < 0.999, "{between:?}");
        // Contrasts exchanged and black for white.
        let exchanged = of(&(255.0 - x.roll([1], [1])));
        assert!(exchanged[2] > 0.99 && exchanged[0] < 0.5, "{exchanged:?}");
        // Shading leaves the fine structure alone.
        let slope = (Tensor::arange(64, (Kind::Float, Device::Cpu)) / 32.0).view([1, 1, 1, -1]);
        let shaded = of(&(&x + slope * 60.0));
        assert!(shaded[1] > shaded[0] + 0.1 && shaded[1] > 0.95, "{shaded:?}");
    }

    #[test]
    fn an_image_without_a_head_is_like_nobody() {
        let (x, none) = (head(0.0), disc() * 0.0);
        let between = [x.shallow_clone(), x.shallow_clone()];
        let real = RealImages { slices: x.shallow_clone(), between, heads: none };
        for values in similarities(&x, &real) {
            assert!(values[0].abs() < 1e-6, "{values:?}");
        }
    }
}
