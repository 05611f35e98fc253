//! Batch normalisation (Ioffe and Szegedy 2015).

use tch::Tensor;

use crate::engine::{Init, Scope};

/// Added to the variance before its root, as in PyTorch.
const EPSILON: f64 = 1e-5;

/// How far the running statistics move towards those of a batch, as in PyTorch.
const MOMENTUM: f64 = 0.1;

/// `[n, channels, h, w] -> ` the same, each channel with mean 0 and variance 1, then a gain and an offset a channel.
/// Statistics are in f32 (or f64) whatever the kind of the input.
pub struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl BatchNorm {
    /// Gains of 1 and offsets of 0; running means of 0 and variances of 1, which are buffers of the network.
    pub fn new(mut scope: Scope<'_>, channels: i64) -> Self {
        Self {
            weight: scope.parameter("weight", &[channels], Init::Constant(1.0)),
            bias: scope.parameter("bias", &[channels], Init::Constant(0.0)),
            running_mean: scope.buffer("running_mean", &[channels], Init::Constant(0.0)),
            running_var: scope.buffer("running_var", &[channels], Init::Constant(1.0)),
        }
    }

    /// In the kind of `x`. With `training` the statistics are those of the batch, and the running ones move towards
    /// them; without it they are the running ones.
    ///
    /// # Panics
    /// With `training`, when a channel has one value in the whole batch: it has no variance.
    pub fn forward(&self, x: &Tensor, training: bool) -> Tensor {
        let values = x.numel() as i64 / x.size()[1];
        assert!(
            !training || values > 1,
            "batch normalisation needs two values a channel, found {:?}",
            x.size()
        );
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        let running = (Some(&self.running_mean), Some(&self.running_var));
        x.batch_norm(weight, bias, running.0, running.1, training, MOMENTUM, EPSILON, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ParametersBuilder;
    use tch::{Device, Kind};

    #[test]
    fn running_statistics_move_a_tenth_of_the_way_and_serve_when_nothing_is_trained() {
        let mut builder = ParametersBuilder::with_kind(1, Device::Cpu, Kind::Double);
        let norm = BatchNorm::new(builder.root(), 1);
        let parameters = builder.finish();
        let x = Tensor::from_slice(&[1.0f64, 3.0, 5.0, 7.0]).view([2, 1, 2, 1]);
        let y = tch::no_grad(|| norm.forward(&x, true));
        // Mean 4 and variance 5 normalise, the unbiased variance 20/3 is remembered.
        assert!((y.double_value(&[0, 0, 0, 0]) - -3.0 / (5.0 + EPSILON).sqrt()).abs() < 1e-12);
        let buffers: Vec<(&str, f64)> =
            parameters.buffers().map(|(n, t)| (n, t.double_value(&[0]))).collect();
        assert_eq!(buffers[0], ("running_mean", 0.4));
        assert_eq!(buffers[1].0, "running_var");
        assert!((buffers[1].1 - (0.9 + 0.1 * 20.0 / 3.0)).abs() < 1e-12);
        let y = tch::no_grad(|| norm.forward(&x, false));
        let expected = (1.0 - 0.4) / (buffers[1].1 + EPSILON).sqrt();
        assert!((y.double_value(&[0, 0, 0, 0]) - expected).abs() < 1e-12);
    }

    #[test]
    #[should_panic(expected = "two values a channel")]
    fn rejects_a_batch_without_variance() {
        let mut builder = ParametersBuilder::new(1, Device::Cpu);
        let norm = BatchNorm::new(builder.root(), 2);
        let _ = norm.forward(&Tensor::zeros([1, 2, 1, 1], (Kind::Float, Device::Cpu)), true);
    }
}
