//! Layers whose weights come from a file and stay as they are.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use crate::engine::{ParameterError, channels_last};

/// Makes a tensor of a name and a shape.
type Rule = Box<dyn Fn(&str, &[i64]) -> Tensor>;

/// Tensors by name, taken one after the other while a network is built.
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
    rule: Option<Rule>,
    device: Device,
}

impl Weights {
    /// Tensors as a state dict names them. Counters of training batches, which nothing needs, are dropped.
    pub fn new(tensors: BTreeMap<String, Tensor>, device: Device) -> Self {
        let is_counter = |name: &str| name.ends_with("num_batches_tracked");
        let tensors = tensors.into_iter().filter(|(name, _)| !is_counter(name)).collect();
        Self { tensors, rule: None, device }
    }

    /// Tensors that `rule` makes of their names and shapes: for tests and benches, which need no file then.
    pub fn by_rule(rule: impl Fn(&str, &[i64]) -> Tensor + 'static, device: Device) -> Self {
        Self { tensors: BTreeMap::new(), rule: Some(Box::new(rule)), device }
    }

    /// The tensor `name` of this shape, as f32 on the network's device.
    ///
    /// # Errors
    /// [`ParameterError`] when it is missing, of another shape, or not finite.
    pub(super) fn take(&mut self, name: &str, shape: &[i64]) -> Result<Tensor, ParameterError> {
        let missing = || ParameterError::Missing { name: name.to_owned() };
        let made = self.rule.as_ref().map(|rule| rule(name, shape));
        let tensor = made.or_else(|| self.tensors.remove(name)).ok_or_else(missing)?;
        if tensor.size() != shape {
            let (expected, found) = (shape.to_vec(), tensor.size());
            return Err(ParameterError::Shape { name: name.to_owned(), expected, found });
        }
        if tensor.isfinite().all().int64_value(&[]) == 0 {
            return Err(ParameterError::NotFinite { name: name.to_owned() });
        }
        Ok(tensor.to_kind(Kind::Float).to_device(self.device))
    }

    /// Refuses tensors that nothing took.
    ///
    /// # Errors
    /// [`ParameterError::Unexpected`].
    pub(super) fn finish(self) -> Result<(), ParameterError> {
        match self.tensors.into_keys().next() {
            Some(name) => Err(ParameterError::Unexpected { name }),
            None => Ok(()),
        }
    }
}

/// A convolution without bias and the batch normalisation behind it, `[n, inputs, h, w] -> [n, outputs, h', w']`.
///
/// The normalisation is a gain and an offset a filter, and goes into the convolution's weights.
pub(super) struct ConvNorm {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    padding: [i64; 2],
    groups: i64,
}

/// Form of a [`ConvNorm`].
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) inputs: i64,
    pub(super) outputs: i64,
    /// Height and width.
    pub(super) kernel: [i64; 2],
    pub(super) stride: i64,
    /// Above and to the left, as below and to the right.
    pub(super) padding: [i64; 2],
    pub(super) groups: i64,
}

impl ConvNorm {
    /// Takes `conv`.weight and `norm`.{weight,bias,running_mean,running_var}.
    pub(super) fn new(
        weights: &mut Weights,
        conv: &str,
        norm: &str,
        form: Form,
        epsilon: f64,
    ) -> Result<Self, ParameterError> {
        let Form { inputs, outputs, kernel, stride, padding, groups } = form;
        let shape = [outputs, inputs / groups, kernel[0], kernel[1]];
        let weight = weights.take(&format!("{conv}.weight"), &shape)?;
        let mut statistic = |name: &str| weights.take(&format!("{norm}.{name}"), &[outputs]);
        let (gain, offset) = (statistic("weight")?, statistic("bias")?);
        let (mean, variance) = (statistic("running_mean")?, statistic("running_var")?);
        // In f64, so that a filter is rounded once.
        let scale = gain.to_kind(Kind::Double) / (variance.to_kind(Kind::Double) + epsilon).sqrt();
        let bias = offset.to_kind(Kind::Double) - mean.to_kind(Kind::Double) * &scale;
        let weight = weight.to_kind(Kind::Double) * scale.view([-1, 1, 1, 1]);
        let bias = bias.to_kind(Kind::Float);
        Ok(Self { weight: channels_last(&weight.to_kind(Kind::Float)), bias, stride, padding, groups })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let stride = [self.stride, self.stride];
        x.conv2d(&self.weight, Some(&self.bias), stride, self.padding, [1, 1], self.groups)
    }
}
