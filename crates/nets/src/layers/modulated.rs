//! Modulated convolution (Karras et al. 2020, section 2.2, equations 1 and 3).
//!
//! Scaling the weights by the style and normalising each output map is the same as scaling the input maps,
//! convolving with shared weights, and scaling the output maps; the second form needs no grouped convolution.

use tch::Tensor;

use super::{Activation, EqualisedLinear, Fir};
use crate::engine::{Init, Scope};

/// Whether output maps are normalised to unit expected deviation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StyleGains {
    /// Equation 3: used by every layer but those that make images.
    Demodulated,
    /// Styles multiply the equalised weights, no normalisation.
    Plain,
}

/// A convolution whose input maps are scaled by an affine function of `w`:
/// `[n, inputs, h, w] -> [n, outputs, h, w]`, or twice as large.
pub struct ModulatedConv {
    affine: EqualisedLinear,
    weight: Tensor,
    kernel: i64,
    doubling: bool,
    gains: StyleGains,
    fir: Fir,
}

impl ModulatedConv {
    /// A layer of `kernel` 1 or 3; `doubling` doubles the resolution.
    pub fn new(
        scope: &mut Scope<'_>,
        w_dim: i64,
        inputs: i64,
        outputs: i64,
        kernel: i64,
        doubling: bool,
        gains: StyleGains,
    ) -> Self {
        Self {
            affine: EqualisedLinear::new(scope.sub("affine"), w_dim, inputs, Activation::Linear, 1.0, 1.0),
            weight: scope.parameter("weight", &[outputs, inputs, kernel, kernel], Init::Normal(1.0)),
            kernel,
            doubling,
            gains,
            fir: Fir::new(scope.device(), scope.kind()),
        }
    }

    /// Convolves `x` in its own kind under the style of `w` `[n, w_dim]`; the result is multiplied by
    /// `gain`.
    pub fn forward(&self, x: &Tensor, w: &Tensor, gain: f64) -> Tensor {
        let kind = x.kind();
        let style = self.affine.forward(w);
        let fan_in = (self.weight.size()[1] * self.kernel * self.kernel) as f64;
        let (style, output_gain) = match self.gains {
            StyleGains::Plain => (style * (gain / fan_in.sqrt()), None),
            StyleGains::Demodulated => {
                // Equation 3: 1 / sqrt(sum over inputs and taps of (style * weight)^2 + epsilon).
                let taps = [2i64, 3];
                let energy = self.weight.square().sum_dim_intlist(taps.as_slice(), false, self.weight.kind());
                let norm = style.square().matmul(&energy.tr()) + 1e-8;
                (style, Some(norm.rsqrt() * gain))
            }
        };
        let x = x * per_map(&style).to_kind(kind);
        let weight = self.weight.to_kind(kind);
        let y = if self.doubling {
            let (stride, none) = ([2, 2], [0, 0]);
            let large =
                x.conv_transpose2d(&weight.transpose(0, 1), None::<&Tensor>, stride, none, none, 1, [1, 1]);
            self.fir.after_doubling(&large)
        } else {
            let same = self.kernel / 2;
            x.conv2d(&weight, None::<&Tensor>, [1, 1], [same, same], [1, 1], 1)
        };
        match output_gain {
            Some(output_gain) => y * per_map(&output_gain).to_kind(kind),
            None => y,
        }
    }
}

/// `[n, c] -> [n, c, 1, 1]`.
fn per_map(values: &Tensor) -> Tensor {
    values.unsqueeze(-1).unsqueeze(-1)
}
