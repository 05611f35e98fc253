//! Fully connected and convolutional layers with equalised learning rate: weights are stored with unit
//! variance and multiplied by He's constant when used (Karras et al. 2018, section 4.1).

use std::f64::consts::SQRT_2;

use tch::{Kind, Tensor};

use super::{Fir, leaky_relu};
use crate::engine::{Init, Scope};

/// What follows the linear part of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Linear,
    /// Leaky ReLU of slope 0.2, multiplied by the square root of 2 to keep the variance (StyleGAN 2 and later).
    LeakyRelu,
    /// Leaky ReLU of slope 0.2 behind weights with He's constant: the square root of 2 multiplies the weights, not
    /// the bias (Progressive GAN, StyleGAN 1).
    HeLeakyRelu,
}

impl Activation {
    /// The factor of the weights that keeps the variance of the signal.
    pub fn weight_gain(self) -> f64 {
        match self {
            Activation::Linear => 1.0,
            Activation::LeakyRelu | Activation::HeLeakyRelu => SQRT_2,
        }
    }

    /// The factor of the bias.
    pub fn bias_gain(self) -> f64 {
        match self {
            Activation::Linear | Activation::HeLeakyRelu => 1.0,
            Activation::LeakyRelu => SQRT_2,
        }
    }

    /// The function without its gain. All activations here satisfy `f(g x) = g f(x)` for positive `g`, so
    /// callers apply the gain to the (small) weights and biases and save a pass over the (large) signal.
    pub fn apply(self, x: Tensor) -> Tensor {
        match self {
            Activation::Linear => x,
            Activation::LeakyRelu | Activation::HeLeakyRelu => leaky_relu(&x, 0.2),
        }
    }
}

/// A fully connected layer `[n, inputs] -> [n, outputs]` in the parameters' own precision.
pub struct EqualisedLinear {
    weight: Tensor,
    bias: Tensor,
    weight_gain: f64,
    bias_gain: f64,
    activation: Activation,
}

impl EqualisedLinear {
    /// A layer whose effective learning rate is multiplied by `lr_multiplier` (1 for none).
    pub fn new(
        mut scope: Scope<'_>,
        inputs: i64,
        outputs: i64,
        activation: Activation,
        lr_multiplier: f64,
        bias_init: f64,
    ) -> Self {
        let weight = scope.parameter("weight", &[outputs, inputs], Init::Normal(1.0 / lr_multiplier));
        let bias = scope.parameter("bias", &[outputs], Init::Constant(bias_init / lr_multiplier));
        let weight_gain = lr_multiplier / (inputs as f64).sqrt();
        Self { weight, bias, weight_gain, bias_gain: lr_multiplier, activation }
    }

    /// `[n, inputs] -> [n, outputs]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let weight = &self.weight * (self.weight_gain * self.activation.weight_gain());
        let bias = &self.bias * (self.bias_gain * self.activation.bias_gain());
        self.activation.apply(x.linear(&weight, Some(&bias)))
    }
}

/// How a convolution changes the resolution.
enum Resampling {
    None,
    /// Filtered and halved.
    Halve(Fir),
    /// Halved, each pixel the mean of 2x2.
    BoxHalve,
    /// Every pixel twice in both directions.
    NearestDouble,
}

/// A convolution with padding that keeps the size, or doubles it before, or halves it afterwards:
/// `[n, inputs, h, w] -> [n, outputs, h, w]`, `[n, outputs, 2 h, 2 w]` or `[n, outputs, h / 2, w / 2]`.
pub struct EqualisedConv {
    weight: Tensor,
    bias: Option<Tensor>,
    resampling: Resampling,
    weight_gain: f64,
    gain: f64,
    activation: Activation,
}

impl EqualisedConv {
    /// A layer with bias, `kernel` 1 or 3.
    pub fn new(mut scope: Scope<'_>, inputs: i64, outputs: i64, kernel: i64, activation: Activation) -> Self {
        let conv = Self::bare(&mut scope, inputs, outputs, kernel);
        let bias = Some(scope.parameter("bias", &[outputs], Init::Constant(0.0)));
        Self { bias, activation, ..conv }
    }

    /// A layer of weights alone.
    pub fn bare(scope: &mut Scope<'_>, inputs: i64, outputs: i64, kernel: i64) -> Self {
        Self {
            weight: scope.parameter("weight", &[outputs, inputs, kernel, kernel], Init::Normal(1.0)),
            bias: None,
            resampling: Resampling::None,
            weight_gain: 1.0 / ((inputs * kernel * kernel) as f64).sqrt(),
            gain: 1.0,
            activation: Activation::Linear,
        }
    }

    /// The output is half as large in both directions, filtered by [`Fir`].
    pub fn halved(self) -> Self {
        let fir = Fir::new(self.weight.device(), self.weight.kind());
        Self { resampling: Resampling::Halve(fir), ..self }
    }

    /// The output is half as large in both directions, each pixel the mean of 2x2; `kernel` 3 only.
    pub fn box_halved(self) -> Self {
        Self { resampling: Resampling::BoxHalve, ..self }
    }

    /// The input is first made twice as large in both directions by repeating pixels; `kernel` 3 only.
    pub fn doubled(self) -> Self {
        Self { resampling: Resampling::NearestDouble, ..self }
    }

    /// Multiplies the layer's output by `gain`.
    pub fn with_gain(self, gain: f64) -> Self {
        Self { gain, ..self }
    }

    /// Computes in the kind of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let kind = x.kind();
        let weight = &self.weight * (self.weight_gain * self.activation.weight_gain() * self.gain);
        let bias_gain = self.activation.bias_gain() * self.gain;
        let bias = self.bias.as_ref().map(|bias| scaled(bias, bias_gain, kind));
        let bias = bias.as_ref();
        let kernel = weight.size()[2];
        let y = match &self.resampling {
            Resampling::None => convolve(x, &weight.to_kind(kind), bias, 1, kernel / 2),
            // A 1x1 convolution commutes with the filter, so it runs on the smaller image.
            Resampling::Halve(fir) if kernel == 1 => {
                convolve(&fir.halve(x), &weight.to_kind(kind), bias, 1, 0)
            }
            Resampling::Halve(fir) => convolve(&fir.before_halving(x), &weight.to_kind(kind), bias, 2, 0),
            Resampling::BoxHalve => {
                convolve(x, &summed_over_shifts(&(weight * 0.25)).to_kind(kind), bias, 2, 1)
            }
            Resampling::NearestDouble => {
                let weight = summed_over_shifts(&weight.flip([2, 3])).transpose(0, 1).to_kind(kind);
                x.conv_transpose2d(&weight, bias, [2, 2], [1, 1], [0, 0], 1, [1, 1])
            }
        };
        self.activation.apply(y)
    }
}

/// The sum of a 3x3 kernel's four places in 4x4: `[o, i, 3, 3] -> [o, i, 4, 4]`. With stride 2 it convolves and takes
/// the mean of 2x2 (a quarter of it), or repeats pixels and convolves (transposed), in 16 instead of 36 products.
fn summed_over_shifts(weight: &Tensor) -> Tensor {
    let wide = weight.constant_pad_nd([0, 1, 0, 0]) + weight.constant_pad_nd([1, 0, 0, 0]);
    wide.constant_pad_nd([0, 0, 0, 1]) + wide.constant_pad_nd([0, 0, 1, 0])
}

fn scaled(tensor: &Tensor, gain: f64, kind: Kind) -> Tensor {
    if gain == 1.0 { tensor.to_kind(kind) } else { (tensor * gain).to_kind(kind) }
}

fn convolve(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, stride: i64, padding: i64) -> Tensor {
    x.conv2d(weight, bias, [stride, stride], [padding, padding], [1, 1], 1)
}
