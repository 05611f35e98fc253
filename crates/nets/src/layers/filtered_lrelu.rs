//! The leaky ReLU between an up-sampling and a down-sampling filter, which keeps the harmonics that it makes from
//! folding back (Karras et al. 2021, section 2.1 equation 1 and section 3.2, figure 4b).
//!
//! Measured in PyTorch 2.11 on [8, 128, 86, 86] -> [8, 128, 84, 84], up 2 and down 2 with 12 taps each, forward +
//! backward without clamp, in ms (x86-64 with AMX, tuned allocator):
//!
//! | | f32, 1 thread | f32, 2 | bf16, 1 | bf16, 2 |
//! |---|---|---|---|---|
//! | depthwise convolutions, one for each axis, channels last | 167 | 89 | 1940 | |
//! | depthwise convolutions, both axes at once, channels last | 179 | 95 | | |
//! | banded matrices, one for each axis, channels last | 267 | 146 | 166 | 91 |
//! | banded matrices, one for each axis, default form | 337 | | 150 | 85 |
//! | banded matrices up, radial 12x12 depthwise down, channels last | 215 | 115 | 1557 | |
//!
//! oneDNN's depthwise kernels are fast in f32 only, and in f32 as fast as matrices in bf16: on the CPU all filtering
//! is by depthwise convolutions in f32. Elsewhere it is by matrices in the signal's kind, which tensor cores multiply
//! (not measured). The clamp costs another 135 (f32, 1 thread): on the CPU it is left out where a bound shows that
//! nothing reaches it.

use std::f64::consts::SQRT_2;

use tch::{Device, Kind, Tensor};

use super::leaky_relu;

/// Slope of the leaky ReLU below zero.
const SLOPE: f64 = 0.2;
/// Keeps the variance of the signal.
const GAIN: f64 = SQRT_2;

/// The filter after the leaky ReLU.
#[derive(Clone, Debug)]
pub enum DownFilter {
    /// The same symmetric taps along both axes.
    Separable(Vec<f64>),
    /// A square of taps by rows, symmetric in both axes.
    Radial(Vec<f64>),
}

/// What a [`FilteredLrelu`] does.
#[derive(Clone, Debug)]
pub struct FilteredLreluPlan {
    /// Factor of the up-sampling.
    pub up: i64,
    /// Symmetric taps of its filter, which sum to one.
    pub up_filter: Vec<f64>,
    /// Factor of the down-sampling.
    pub down: i64,
    /// Its filter, which sums to one.
    pub down_filter: DownFilter,
    /// Side of the input.
    pub input_size: i64,
    /// Side of the output; both have the same centre, and what lies beyond the input is zero.
    pub output_size: i64,
    /// Magnitude to which values are cut off after the leaky ReLU.
    pub clamp: f64,
}

/// `[n, c, input_size, input_size] -> [n, c, output_size, output_size]`: up-sampling, leaky ReLU of slope 0.2 and gain
/// sqrt 2, clamp, down-sampling. As often differentiable as one likes.
pub struct FilteredLrelu {
    up: Filter,
    down: Filter,
    clamp: f64,
    /// The up-sampled magnitude, gain included, is at most this times the largest magnitude of the input.
    bound: f64,
}

impl FilteredLrelu {
    /// The function on a device; `kind` is that of the network's parameters.
    ///
    /// # Panics
    /// When the output reaches further than the filters, or not as far to one end as to the other (which an even
    /// number of taps excludes).
    pub fn new(plan: &FilteredLreluPlan, device: Device, kind: Kind) -> Self {
        let form = if device == Device::Cpu { Form::Depthwise } else { Form::Matrices };
        Self::with_form(plan, device, kind, form)
    }

    fn with_form(plan: &FilteredLreluPlan, device: Device, kind: Kind, form: Form) -> Self {
        let FilteredLreluPlan { up, down, input_size, output_size, clamp, .. } = *plan;
        // Each sample is followed by up - 1 zeros, for which the filter's gain makes up; that of the leaky ReLU may be
        // applied here too, because it is positive.
        let gain = up as f64 * GAIN.sqrt();
        let taps: Vec<f64> = plan.up_filter.iter().map(|tap| tap * gain).collect();
        let phase =
            |first: i64| taps[first as usize..].iter().step_by(up as usize).map(|tap| tap.abs()).sum();
        let bound = (0..up).map(phase).fold(0.0, f64::max).powi(2);

        let down_taps = match &plan.down_filter {
            DownFilter::Separable(taps) => taps.len(),
            DownFilter::Radial(taps) => taps.len().isqrt(),
        } as i64;
        let inner_size = (output_size - 1) * down + down_taps;
        let excess = (input_size - 1) * up + taps.len() as i64 - inner_size;
        assert!(excess >= 0 && excess % 2 == 0, "{excess} samples beyond the filters' reach: {plan:?}");
        let crop = excess / 2;

        let tensor = |taps: &[f64], shape: &[i64]| {
            Tensor::from_slice(taps).view(shape).to_kind(kind).to_device(device)
        };
        let matrix = |taps: &[f64], rows: i64, columns: i64, tap: &dyn Fn(i64, i64) -> i64| {
            let entries = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
            let value = |k: i64| usize::try_from(k).ok().and_then(|k| taps.get(k)).copied().unwrap_or(0.0);
            let values: Vec<f64> = entries.map(|(row, column)| value(tap(row, column))).collect();
            Filter::Matrix(tensor(&values, &[rows, columns]))
        };
        let up_filter = match form {
            Form::Depthwise => Filter::Up { taps: tensor(&taps, &[-1]), factor: up, crop },
            Form::Matrices => matrix(&taps, inner_size, input_size, &|row, column| row + crop - up * column),
        };
        let down_filter = match (&plan.down_filter, form) {
            (DownFilter::Radial(taps), _) => {
                Filter::Radial { taps: tensor(taps, &[1, 1, down_taps, down_taps]), factor: down }
            }
            (DownFilter::Separable(taps), Form::Depthwise) => {
                Filter::Down { taps: tensor(taps, &[-1]), factor: down }
            }
            (DownFilter::Separable(taps), Form::Matrices) => {
                matrix(taps, output_size, inner_size, &|row, column| column - down * row)
            }
        };
        Self { up: up_filter, down: down_filter, clamp, bound }
    }

    /// On the CPU in f32 (f64 where `x` is), which is the result's kind; elsewhere in the kind of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let on_cpu = x.device() == Device::Cpu;
        let x = if on_cpu && x.kind() == Kind::BFloat16 { x.to_kind(Kind::Float) } else { x.shallow_clone() };
        let y = leaky_relu(&self.up.apply(&x), SLOPE);
        // Asking makes the host wait for a GPU.
        let y = if on_cpu && self.stays_below_clamp(&x) { y } else { y.clamp(-self.clamp, self.clamp) };
        self.down.apply(&y)
    }

    /// True when no value can reach the clamp; the hundredth is for rounding.
    fn stays_below_clamp(&self, x: &Tensor) -> bool {
        let (least, greatest) = x.detach().aminmax(None, false);
        let largest = greatest.double_value(&[]).max(-least.double_value(&[]));
        largest * self.bound <= 0.99 * self.clamp
    }
}

/// How separable filters are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Depthwise,
    Matrices,
}

/// A linear map of each feature map by itself.
enum Filter {
    /// Zero insertion, the taps `[t]` along both axes, and `crop` samples off each end.
    Up { taps: Tensor, factor: i64, crop: i64 },
    /// The taps `[t]` along both axes at every `factor`-th sample.
    Down { taps: Tensor, factor: i64 },
    /// The taps `[1, 1, t, t]` at every `factor`-th sample of both axes.
    Radial { taps: Tensor, factor: i64 },
    /// A matrix `[outputs, inputs]` along both axes.
    Matrix(Tensor),
}

impl Filter {
    fn apply(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let (n, c, h, w) = (size[0], size[1], size[2], size[3]);
        let along = |taps: &Tensor, axis: usize| {
            let mut shape = [c, 1, 1, 1];
            shape[2 + axis] = -1;
            let taps = taps.to_kind(x.kind()).view([1, 1, shape[2], shape[3]]);
            taps.expand([c, 1, taps.size()[2], taps.size()[3]], false)
        };
        let none = None::<&Tensor>;
        match self {
            Filter::Up { taps, factor, crop } => {
                let (f, c0) = (*factor, *crop);
                let rows = x.conv_transpose2d(&along(taps, 0), none, [f, 1], [c0, 0], [0, 0], c, [1, 1]);
                rows.conv_transpose2d(&along(taps, 1), none, [1, f], [0, c0], [0, 0], c, [1, 1])
            }
            Filter::Down { taps, factor } => {
                let rows = x.conv2d(&along(taps, 0), none, [*factor, 1], [0, 0], [1, 1], c);
                rows.conv2d(&along(taps, 1), none, [1, *factor], [0, 0], [1, 1], c)
            }
            Filter::Radial { taps, factor } => {
                let t = taps.size()[2];
                let taps = taps.to_kind(x.kind()).expand([c, 1, t, t], false);
                x.conv2d(&taps, none, [*factor, *factor], [0, 0], [1, 1], c)
            }
            Filter::Matrix(matrix) => {
                let matrix = matrix.to_kind(x.kind());
                let outputs = matrix.size()[0];
                let columns = x.reshape([n * c * h, w]).mm(&matrix.tr()).view([n * c, h, outputs]);
                let matrix = matrix.unsqueeze(0).expand([n * c, outputs, h], false);
                matrix.bmm(&columns).view([n, c, outputs, outputs])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: [f64; 8] = [0.01, -0.03, 0.12, 0.4, 0.4, 0.12, -0.03, 0.01];
    const DOWN: [f64; 4] = [0.1, 0.4, 0.4, 0.1];

    fn plan(clamp: f64, output_size: i64, radial: bool) -> FilteredLreluPlan {
        let square = DOWN.iter().flat_map(|a| DOWN.map(|b| a * b)).collect();
        let down_filter =
            if radial { DownFilter::Radial(square) } else { DownFilter::Separable(DOWN.to_vec()) };
        FilteredLreluPlan {
            up: 2,
            up_filter: UP.to_vec(),
            down: 2,
            down_filter,
            input_size: 9,
            output_size,
            clamp,
        }
    }

    fn input() -> Tensor {
        tch::manual_seed(5);
        Tensor::randn([2, 3, 9, 9], (Kind::Double, Device::Cpu))
    }

    fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
        assert_eq!(a.size(), b.size());
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn all_forms_are_the_same_function() {
        for (clamp, output_size) in [(256.0, 10), (256.0, 5), (0.4, 8)] {
            let x = input();
            let function = |form, radial| {
                let plan = plan(clamp, output_size, radial);
                FilteredLrelu::with_form(&plan, Device::Cpu, Kind::Double, form).forward(&x)
            };
            let expected = function(Form::Depthwise, false);
            assert_eq!(expected.size(), [2, 3, output_size, output_size]);
            assert!(largest_difference(&function(Form::Matrices, false), &expected) < 1e-12);
            assert!(largest_difference(&function(Form::Depthwise, true), &expected) < 1e-12);
        }
    }

    #[test]
    fn the_bound_is_reached_and_never_passed() {
        let function = FilteredLrelu::new(&plan(1.0, 8, false), Device::Cpu, Kind::Double);
        // The signs of the taps of one phase make the worst input.
        let signs = Tensor::from_slice(&[1.0, 1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0]);
        let worst = [signs.shallow_clone(), signs.flip([0i64])].map(|line| {
            let x = line.outer(&line).view([1, 1, 9, 9]);
            function.up.apply(&x).max().double_value(&[])
        });
        let largest = worst[0].max(worst[1]);
        assert!((largest - function.bound).abs() < 1e-12, "{largest} against {}", function.bound);
        assert!(function.stays_below_clamp(&(input().sign() * 0.98 / function.bound)));
        assert!(!function.stays_below_clamp(&(input().sign() / function.bound)));
        assert!(!function.stays_below_clamp(&(input() * f64::NAN)));
    }

    #[test]
    fn second_derivatives_equal_differences() {
        let function = FilteredLrelu::new(&plan(1.5, 8, true), Device::Cpu, Kind::Double);
        let direction = Tensor::randn([2, 3, 9, 9], (Kind::Double, Device::Cpu));
        let gradient = |x: &Tensor, create: bool| {
            let value = function.forward(x).square().sum(Kind::Double);
            Tensor::run_backward(&[value], &[x], create, create)[0].shallow_clone()
        };
        let x = input().set_requires_grad(true);
        let along = (gradient(&x, true) * &direction).sum(Kind::Double);
        let second = Tensor::run_backward(&[along], &[&x], false, false)[0].shallow_clone();
        let step = 1e-6;
        let shifted = |sign: f64| {
            let x = (x.detach() + &direction * (sign * step)).set_requires_grad(true);
            gradient(&x, false)
        };
        let expected = (shifted(1.0) - shifted(-1.0)) / (2.0 * step);
        // Differences at the kinks of the function are rare at this step.
        assert!(largest_difference(&second, &expected) < 1e-5 * expected.abs().max().double_value(&[]));
    }
}
