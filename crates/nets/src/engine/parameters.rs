//! Parameters kept flat: every trainable tensor of a network is a view into one contiguous tensor, and its
//! gradient a view into another. Adam, EMA, gradient norm, clipping, all-reduce and zeroing are then one
//! operation each on one tensor.

use std::collections::BTreeMap;

use synthmr_core::random::{self, Draw, Stream};
use tch::{Device, Kind, Tensor};

/// How a parameter begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every element the same.
    Constant(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Uniform in `[-bound, bound)`.
    Uniform(f64),
}

/// Each parameter begins on a multiple of this many elements (a cache line of f32), so that vector loads of
/// a view are aligned as those of a tensor of its own. The gaps are zero and stay zero.
const ALIGNMENT: i64 = 16;

/// Why stored values do not fit a network.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParameterError {
    /// The network needs a tensor that is not there.
    #[error(
        "weights: tensor {name:?} is missing\nhint: these weights belong to another architecture or configuration"
    )]
    Missing {
        /// Name of the parameter.
        name: String,
    },
    /// There is a tensor that the network has no place for.
    #[error(
        "weights: tensor {name:?} is not part of this network\nhint: these weights belong to another architecture or configuration"
    )]
    Unexpected {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor has another shape.
    #[error("weights: tensor {name:?} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Name of the parameter.
        name: String,
        /// Shape in the network.
        expected: Vec<i64>,
        /// Shape in the file.
        found: Vec<i64>,
    },
    /// A tensor holds NaN or infinity.
    #[error("weights: tensor {name:?} holds values that are not finite")]
    NotFinite {
        /// Name of the parameter.
        name: String,
    },
}

struct Entry {
    name: String,
    tensor: Tensor,
}

/// Collects the parameters of a network while it is built.
pub struct ParametersBuilder {
    seed: u64,
    device: Device,
    kind: Kind,
    trainable: Vec<Entry>,
    buffers: Vec<Entry>,
}

impl ParametersBuilder {
    /// Begins an empty set; initial values are a function of `seed` and of each parameter's name.
    pub fn new(seed: u64, device: Device) -> Self {
        Self::with_kind(seed, device, Kind::Float)
    }

    /// As [`Self::new`], with another kind: f64 for tests of gradients.
    pub fn with_kind(seed: u64, device: Device, kind: Kind) -> Self {
        Self { seed, device, kind, trainable: Vec::new(), buffers: Vec::new() }
    }

    /// The outermost scope.
    pub fn root(&mut self) -> Scope<'_> {
        Scope { builder: self, prefix: String::new() }
    }

    /// Moves all parameters into one flat tensor; the network's own handles become views of it.
    pub fn finish(self) -> Parameters {
        Parameters::new(self)
    }

    fn initial(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        let count = shape.iter().product::<i64>() as usize;
        let mut values = vec![0f32; count];
        let mut rng = random::named(self.seed, Stream::Weights, name);
        match init {
            Init::Constant(value) => values.fill(value as f32),
            Init::Normal(deviation) => {
                rng.fill_normal(&mut values);
                values.iter_mut().for_each(|v| *v *= deviation as f32);
            }
            Init::Uniform(bound) => {
                values.iter_mut().for_each(|v| *v = rng.uniform_in(-bound, bound) as f32);
            }
        }
        Tensor::from_slice(&values).view(shape).to_kind(self.kind).to_device(self.device)
    }
}

/// A place in the tree of names, such as `synthesis.b8.conv0`.
pub struct Scope<'a> {
    builder: &'a mut ParametersBuilder,
    prefix: String,
}

impl Scope<'_> {
    /// The scope below, named `name`.
    pub fn sub(&mut self, name: &str) -> Scope<'_> {
        let prefix = self.full_name(name);
        Scope { builder: self.builder, prefix }
    }

    /// A trainable parameter.
    pub fn parameter(&mut self, name: &str, shape: &[i64], init: Init) -> Tensor {
        let name = self.full_name(name);
        let tensor = self.builder.initial(&name, shape, init).set_requires_grad(true);
        let handle = tensor.shallow_clone();
        self.builder.trainable.push(Entry { name, tensor });
        handle
    }

    /// A tensor that is saved with the network but not trained.
    pub fn buffer(&mut self, name: &str, shape: &[i64], init: Init) -> Tensor {
        let device = self.builder.device;
        self.buffer_on(device, name, shape, init)
    }

    /// As [`Self::buffer`], but in the host's memory: a value that decides what is computed, which must not make the
    /// host wait for a GPU.
    pub fn host_buffer(&mut self, name: &str, shape: &[i64], init: Init) -> Tensor {
        self.buffer_on(Device::Cpu, name, shape, init)
    }

    fn buffer_on(&mut self, device: Device, name: &str, shape: &[i64], init: Init) -> Tensor {
        let name = self.full_name(name);
        let tensor = self.builder.initial(&name, shape, init).to_device(device);
        let handle = tensor.shallow_clone();
        self.builder.buffers.push(Entry { name, tensor });
        handle
    }

    /// The device of the network.
    pub fn device(&self) -> Device {
        self.builder.device
    }

    /// The kind of the network's parameters.
    pub fn kind(&self) -> Kind {
        self.builder.kind
    }

    fn full_name(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }
}

/// Values that a parameter takes up in the flat tensor.
fn padded(tensor: &Tensor) -> i64 {
    (tensor.numel() as i64 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT
}

/// All parameters and buffers of one network.
pub struct Parameters {
    flat: Tensor,
    gradient: Tensor,
    trainable: Vec<Entry>,
    buffers: Vec<Entry>,
}

impl Parameters {
    fn new(builder: ParametersBuilder) -> Self {
        let ParametersBuilder { device, kind, mut trainable, buffers, .. } = builder;
        let total: i64 = trainable.iter().map(|entry| padded(&entry.tensor)).sum();
        let flat = Tensor::zeros([total], (kind, device));
        let gradient = Tensor::zeros([total], (kind, device));

        // One backward pass makes libtorch create the gradient tensors, whose storage is then replaced.
        let sum = trainable.iter().fold(Tensor::zeros([], (kind, device)), |sum, e| sum + e.tensor.sum(kind));
        sum.backward();
        let mut offset = 0;
        for entry in &mut trainable {
            let count = entry.tensor.numel() as i64;
            let shape = entry.tensor.size();
            let mut view = flat.narrow(0, offset, count).view(shape.as_slice());
            view.copy_(&entry.tensor.detach());
            entry.tensor.set_data(&view);
            entry.tensor.grad().set_data(&gradient.narrow(0, offset, count).view(shape.as_slice()));
            offset += padded(&entry.tensor);
        }
        Self { flat, gradient, trainable, buffers }
    }

    /// All trainable values in one tensor `[padded count]`; writing to it changes the network.
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// A tensor of the same layout as [`Self::flat`] with one value a parameter, by its name; the padding is 0.
    pub fn spread(&self, value: impl Fn(&str) -> f64) -> Tensor {
        let spread = self.flat.zeros_like();
        let mut offset = 0;
        for (name, tensor) in self.trainable() {
            let _ = spread.narrow(0, offset, tensor.numel() as i64).fill_(value(name));
            offset += padded(tensor);
        }
        spread
    }

    /// All gradients in one tensor of the same layout as [`Self::flat`]; backward passes add to it.
    pub fn gradient(&self) -> &Tensor {
        &self.gradient
    }

    /// Sets every gradient to zero.
    pub fn zero_gradient(&self) {
        let _ = self.gradient.shallow_clone().zero_();
    }

    /// Number of trainable values, padding not counted.
    pub fn count(&self) -> usize {
        self.trainable.iter().map(|entry| entry.tensor.numel()).sum()
    }

    /// Trainable tensors by name, in the order of construction.
    pub fn trainable(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.trainable.iter().map(|entry| (entry.name.as_str(), &entry.tensor))
    }

    /// Buffers by name, in the order of construction.
    pub fn buffers(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.buffers.iter().map(|entry| (entry.name.as_str(), &entry.tensor))
    }

    /// Everything that has to be saved: trainable tensors and buffers.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.trainable().chain(self.buffers())
    }

    /// Turns gradients on or off for the whole network: off while the other network of a GAN learns.
    pub fn set_requires_grad(&self, on: bool) {
        for entry in &self.trainable {
            let _ = entry.tensor.set_requires_grad(on);
        }
    }

    /// True unless gradients were turned off.
    pub fn requires_grad(&self) -> bool {
        self.trainable.iter().any(|entry| entry.tensor.requires_grad())
    }

    /// Replaces every value by the tensor of the same name.
    ///
    /// # Errors
    /// [`ParameterError`] when a tensor is missing, superfluous, of another shape or not finite; nothing
    /// is changed then.
    pub fn load(&self, values: &BTreeMap<String, Tensor>) -> Result<(), ParameterError> {
        for (name, tensor) in self.all() {
            let value = values.get(name).ok_or_else(|| ParameterError::Missing { name: name.to_owned() })?;
            if value.size() != tensor.size() {
                return Err(ParameterError::Shape {
                    name: name.to_owned(),
                    expected: tensor.size(),
                    found: value.size(),
                });
            }
            if value.isfinite().all().int64_value(&[]) == 0 {
                return Err(ParameterError::NotFinite { name: name.to_owned() });
            }
        }
        if let Some(name) = values.keys().find(|name| self.all().all(|(known, _)| known != name.as_str())) {
            return Err(ParameterError::Unexpected { name: name.clone() });
        }
        tch::no_grad(|| {
            for (name, tensor) in self.all() {
                tensor.shallow_clone().copy_(&values[name]);
            }
        });
        Ok(())
    }

    /// Makes this network equal to `other`, which has the same architecture.
    pub fn copy_from(&self, other: &Parameters) {
        tch::no_grad(|| {
            self.flat.shallow_clone().copy_(&other.flat);
            self.copy_buffers_from(other);
        });
    }

    /// Copies the buffers of `other`, which has the same architecture.
    pub fn copy_buffers_from(&self, other: &Parameters) {
        tch::no_grad(|| {
            for (mine, theirs) in self.buffers.iter().zip(&other.buffers) {
                mine.tensor.shallow_clone().copy_(&theirs.tensor);
            }
        });
    }

    /// Moves every value towards `other`'s: `self = other + decay * (self - other)`; buffers are copied.
    /// The exponential moving average of the weights.
    pub fn average_towards(&self, other: &Parameters, decay: f64) {
        tch::no_grad(|| {
            let _ = self.flat.shallow_clone().lerp_(&other.flat, 1.0 - decay);
        });
        self.copy_buffers_from(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> (Tensor, Tensor, Parameters) {
        let mut builder = ParametersBuilder::new(1, Device::Cpu);
        let weight = builder.root().sub("layer").parameter("weight", &[3, 5], Init::Normal(1.0));
        let bias = builder.root().sub("layer").parameter("bias", &[3], Init::Constant(2.0));
        (weight, bias, builder.finish())
    }

    #[test]
    fn handles_are_views_of_the_flat_tensor() {
        let (weight, bias, parameters) = small();
        assert_eq!(parameters.count(), 18);
        assert_eq!(parameters.flat().numel(), 32);
        assert_eq!(bias.double_value(&[1]), 2.0);
        let _ = tch::no_grad(|| parameters.flat().shallow_clone().fill_(7.0));
        assert_eq!(weight.double_value(&[2, 4]), 7.0);
        assert_eq!(bias.double_value(&[2]), 7.0);
    }

    #[test]
    fn gradients_accumulate_in_the_flat_gradient() {
        let (weight, bias, parameters) = small();
        assert_eq!(parameters.gradient().abs().sum(Kind::Float).double_value(&[]), 0.0);
        for expected in [1.0, 2.0] {
            ((&weight * 2.0).sum(Kind::Float) + bias.sum(Kind::Float) * 3.0).backward();
            assert_eq!(parameters.gradient().double_value(&[0]), 2.0 * expected);
            assert_eq!(parameters.gradient().double_value(&[16]), 3.0 * expected);
            assert_eq!(weight.grad().double_value(&[2, 4]), 2.0 * expected);
        }
    }

    #[test]
    fn initial_values_depend_on_seed_and_name_only() {
        let value = |seed, first: &str| {
            let mut builder = ParametersBuilder::new(seed, Device::Cpu);
            let _ = builder.root().parameter(first, &[2], Init::Normal(1.0));
            builder.root().parameter("w", &[4], Init::Normal(1.0)).double_value(&[3])
        };
        assert_eq!(value(1, "a"), value(1, "b"));
        assert_ne!(value(1, "a"), value(2, "a"));
    }

    #[test]
    fn loading_refuses_what_does_not_fit_and_changes_nothing() {
        let (weight, _, parameters) = small();
        let before = weight.detach().copy();
        let tensors = |weight: Tensor| {
            BTreeMap::from([
                ("layer.weight".to_owned(), weight),
                ("layer.bias".to_owned(), Tensor::zeros([3], (Kind::Float, Device::Cpu))),
            ])
        };
        let ones = Tensor::ones([3, 5], (Kind::Float, Device::Cpu));
        assert!(matches!(parameters.load(&tensors(ones.view([5, 3]))), Err(ParameterError::Shape { .. })));
        assert!(matches!(parameters.load(&tensors(&ones / 0.0)), Err(ParameterError::NotFinite { .. })));
        let mut extra = tensors(ones.copy());
        extra.insert("other".into(), ones.copy());
        assert!(matches!(parameters.load(&extra), Err(ParameterError::Unexpected { .. })));
        assert!(matches!(parameters.load(&BTreeMap::new()), Err(ParameterError::Missing { .. })));
        assert_eq!(weight.detach(), before);
        parameters.load(&tensors(ones.copy())).unwrap();
        assert_eq!(weight.double_value(&[0, 0]), 1.0);
    }

    #[test]
    fn the_average_moves_by_one_minus_decay() {
        let (a, _, ema) = small();
        let (_, _, network) = small();
        let start = a.double_value(&[0, 0]);
        let _ = tch::no_grad(|| network.flat().shallow_clone().fill_(1.0));
        ema.average_towards(&network, 0.75);
        assert!((a.double_value(&[0, 0]) - (1.0 + 0.75 * (start - 1.0))).abs() < 1e-6);
    }
}
