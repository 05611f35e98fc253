//! Fully connected and convolutional layers with equalised learning rate: weights are stored with unit
//! variance and multiplied by He's constant when used (Karras et al. 2018, section 4.1).

use tch::{Kind, Tensor};

use super::{Fir, leaky_relu};
use crate::engine::{Init, Scope};

/// What follows the linear part of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Linear,
    /// Leaky ReLU of slope 0.2, multiplied by the square root of 2 to keep the variance.
    LeakyRelu,
}

impl Activation {
    /// The factor that keeps the variance of the signal.
    pub fn gain(self) -> f64 {
        match self {
            Activation::Linear => 1.0,
            Activation::LeakyRelu => std::f64::consts::SQRT_2,
        }
    }

    /// The function without its gain. All activations here satisfy `f(g x) = g f(x)` for positive `g`, so
    /// callers apply the gain to the (small) weights and biases and save a pass over the (large) signal.
    pub fn apply(self, x: Tensor) -> Tensor {
        match self {
            Activation::Linear => x,
            Activation::LeakyRelu => leaky_relu(&x, 0.2),
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
        let gain = self.activation.gain();
        let weight = &self.weight * (self.weight_gain * gain);
        let bias = &self.bias * (self.bias_gain * gain);
        self.activation.apply(x.linear(&weight, Some(&bias)))
    }
}

/// How a convolution changes the resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resampling {
    None,
    Halve,
}

/// A convolution with padding that keeps the size, optionally followed by halving it:
/// `[n, inputs, h, w] -> [n, outputs, h, w]` or `[n, outputs, h / 2, w / 2]`.
pub struct EqualisedConv {
    weight: Tensor,
    bias: Option<Tensor>,
    kernel: i64,
    resampling: Resampling,
    fir: Fir,
    weight_gain: f64,
    gain: f64,
    activation: Activation,
}

impl EqualisedConv {
    /// A layer with bias, `kernel` 1 or 3.
    pub fn new(mut scope: Scope<'_>, inputs: i64, outputs: i64, kernel: i64, activation: Activation) -> Self {
        let fir = Fir::new(scope.device(), scope.kind());
        let weight = scope.parameter("weight", &[outputs, inputs, kernel, kernel], Init::Normal(1.0));
        let bias = Some(scope.parameter("bias", &[outputs], Init::Constant(0.0)));
        let weight_gain = 1.0 / ((inputs * kernel * kernel) as f64).sqrt();
        Self { weight, bias, kernel, resampling: Resampling::None, fir, weight_gain, gain: 1.0, activation }
    }

    /// As [`Self::new`], and the output is half as large in both directions.
    pub fn halving(scope: Scope<'_>, inputs: i64, outputs: i64, kernel: i64, activation: Activation) -> Self {
        Self { resampling: Resampling::Halve, ..Self::new(scope, inputs, outputs, kernel, activation) }
    }

    /// A halving 1x1 convolution without bias: the skip connection of a residual block.
    pub fn halving_skip(mut scope: Scope<'_>, inputs: i64, outputs: i64) -> Self {
        let fir = Fir::new(scope.device(), scope.kind());
        let weight = scope.parameter("weight", &[outputs, inputs, 1, 1], Init::Normal(1.0));
        let weight_gain = 1.0 / (inputs as f64).sqrt();
        Self {
            weight,
            bias: None,
            kernel: 1,
            resampling: Resampling::Halve,
            fir,
            weight_gain,
            gain: 1.0,
            activation: Activation::Linear,
        }
    }

    /// Multiplies the layer's output by `gain`.
    pub fn with_gain(self, gain: f64) -> Self {
        Self { gain, ..self }
    }

    /// Computes in the kind of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let kind = x.kind();
        let gain = self.activation.gain() * self.gain;
        let weight = (&self.weight * (self.weight_gain * gain)).to_kind(kind);
        let bias = self.bias.as_ref().map(|bias| scaled(bias, gain, kind));
        let same = self.kernel / 2;
        let y = match self.resampling {
            Resampling::None => convolve(x, &weight, bias.as_ref(), 1, same),
            // A 1x1 convolution commutes with the filter, so it runs on the smaller image.
            Resampling::Halve if self.kernel == 1 => {
                convolve(&self.fir.halve(x), &weight, bias.as_ref(), 1, 0)
            }
            Resampling::Halve => convolve(&self.fir.before_halving(x), &weight, bias.as_ref(), 2, 0),
        };
        self.activation.apply(y)
    }
}

fn scaled(tensor: &Tensor, gain: f64, kind: Kind) -> Tensor {
    if gain == 1.0 { tensor.to_kind(kind) } else { (tensor * gain).to_kind(kind) }
}

fn convolve(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, stride: i64, padding: i64) -> Tensor {
    x.conv2d(weight, bias, [stride, stride], [padding, padding], [1, 1], 1)
}
