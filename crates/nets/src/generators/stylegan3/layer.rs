//! A layer of the synthesis network: modulated convolution, then the filtered leaky ReLU
//! (Karras et al. 2021, figure 4b, section 3.2 and appendix F.1).

use tch::Tensor;

use super::filters::LowPass;
use super::schedule::Band;
use super::{StyleGan3Config, Variant};
use crate::engine::{Init, Scope};
use crate::layers::{Activation, DownFilter, EqualisedLinear, FilteredLrelu, FilteredLreluPlan};

/// Taps of a filter for each unit of its factor (n of equation 9).
const FILTER_SIZE: usize = 6;
/// The leaky ReLU works at this multiple of the higher of both rates (m of section 3.2).
const LRELU_UPSAMPLING: i64 = 2;
/// Values beyond it are cut off (appendix D.1; the bound is that of Karras et al. 2020, arXiv 2006.06676).
const CLAMP: f64 = 256.0;
/// Images after which half of a tracked magnitude is forgotten.
const MAGNITUDE_HALF_LIFE: f64 = 20_000.0;

/// What follows the convolution.
enum Tail {
    Filtered(FilteredLrelu),
    Image,
}

/// `[n, inputs, size, size] -> [n, outputs, size', size']`.
pub struct Layer {
    affine: EqualisedLinear,
    weight: Tensor,
    bias: Tensor,
    /// Tracked mean square of the input.
    magnitude: Tensor,
    kernel: i64,
    tail: Tail,
}

impl Layer {
    /// The layer between two bands under `scope`.
    pub fn filtered(mut scope: Scope<'_>, config: &StyleGan3Config, input: &Band, output: &Band) -> Self {
        let kernel = config.variant.kernel();
        let rate = input.rate.max(output.rate) * LRELU_UPSAMPLING;
        let (up, down) = (rate / input.rate, rate / output.rate);
        let low_pass = |band: &Band, factor: i64| LowPass {
            taps: FILTER_SIZE * factor as usize,
            cutoff: band.cutoff,
            width: 2.0 * band.half_width,
            rate: rate as f64,
        };
        let radial = config.variant == Variant::Rotation && !output.critical;
        let plan = FilteredLreluPlan {
            up,
            up_filter: low_pass(input, up).line(),
            down,
            down_filter: if radial {
                DownFilter::Radial(low_pass(output, down).disc())
            } else {
                DownFilter::Separable(low_pass(output, down).line())
            },
            // The convolution is padded so that nothing near the border is lost.
            input_size: input.size + kernel - 1,
            output_size: output.size,
            clamp: CLAMP,
        };
        let tail = Tail::Filtered(FilteredLrelu::new(&plan, scope.device(), scope.kind()));
        Self::new(&mut scope, config.w_dim, input.channels, output.channels, kernel, tail)
    }

    /// The layer that makes the image: 1x1, without demodulation and filters.
    pub fn image(mut scope: Scope<'_>, config: &StyleGan3Config, input: &Band, output: &Band) -> Self {
        Self::new(&mut scope, config.w_dim, input.channels, output.channels, 1, Tail::Image)
    }

    fn new(scope: &mut Scope<'_>, w_dim: i64, inputs: i64, outputs: i64, kernel: i64, tail: Tail) -> Self {
        Self {
            affine: EqualisedLinear::new(scope.sub("affine"), w_dim, inputs, Activation::Linear, 1.0, 1.0),
            weight: scope.parameter("weight", &[outputs, inputs, kernel, kernel], Init::Normal(1.0)),
            bias: scope.parameter("bias", &[outputs], Init::Constant(0.0)),
            magnitude: scope.buffer("magnitude_ema", &[], Init::Constant(1.0)),
            kernel,
            tail,
        }
    }

    /// Convolves in the kind of `x` under the style of `w` `[n, w_dim]`; the image layer's result is in the
    /// parameters' kind. `track` lets the magnitude follow `x` first, as fast as a batch of so many images moves it.
    pub fn forward(&self, x: &Tensor, w: &Tensor, track: Option<i64>) -> Tensor {
        let kind = x.kind();
        if let Some(batch) = track {
            self.track_magnitude(x, batch);
        }
        let style = self.affine.forward(w);
        // Input maps are scaled, the convolution's weights shared and the output maps scaled, as in
        // `layers::ModulatedConv`. The magnitude's gain is applied after demodulation.
        let input_gain = self.magnitude.rsqrt();
        let same = self.kernel - 1;
        let convolve = |style: &Tensor| {
            let x = x * per_map(&(style * &input_gain)).to_kind(kind);
            let weight = self.weight.to_kind(kind);
            x.conv2d(&weight, None::<&Tensor>, [1, 1], [same, same], [1, 1], 1)
        };
        let bias = self.bias.view([1, -1, 1, 1]);
        match &self.tail {
            Tail::Filtered(activation) => {
                // The reference also brings weights and styles to unit mean square before this, which changes nothing
                // but the weight of the 1e-8: it is for the range of f16, and ties the images of a batch together.
                let taps = [2i64, 3];
                let energy = self.weight.square().sum_dim_intlist(taps.as_slice(), false, self.weight.kind());
                let norm = style.square().matmul(&energy.tr()) + 1e-8;
                let y = convolve(&style).to_kind(bias.kind());
                let y = bias.addcmul(&y, &per_map(&norm.rsqrt()));
                activation.forward(&y).to_kind(kind)
            }
            Tail::Image => {
                let weight_gain = 1.0 / (self.weight.size()[1] as f64).sqrt();
                let y = convolve(&(style * weight_gain)).to_kind(bias.kind());
                (y + bias).clamp(-CLAMP, CLAMP)
            }
        }
    }

    /// The exponential moving average of the input's mean square (appendix F.1, "Normalization").
    fn track_magnitude(&self, x: &Tensor, batch: i64) {
        let decay = 0.5f64.powf(batch as f64 / MAGNITUDE_HALF_LIFE);
        tch::no_grad(|| {
            let kind = self.magnitude.kind();
            let square = x.detach().to_kind(kind).square().mean(kind);
            let _ = self.magnitude.shallow_clone().lerp_(&square, 1.0 - decay);
        });
    }
}

/// `[n, c] -> [n, c, 1, 1]`.
fn per_map(values: &Tensor) -> Tensor {
    values.unsqueeze(-1).unsqueeze(-1)
}
