//! Features of a network that never learnt anything: for tests, and where no weights can be had.
//!
//! Convolutions with random weights see edges and textures at several sizes, and enough of them tell sets of images apart
//! (Naeem et al. 2020, section 4.3, with larger networks). What they weigh is arbitrary: numbers from them say
//! "random-conv" and are compared with their own floor and with nothing else.

use synthmr_core::random::{self, Draw, Stream};
use tch::{Device, Kind, Tensor};

use super::{FeatureBatch, FeatureNetwork};

/// Filters of the levels, each at half the resolution of the one before.
const FILTERS: [i64; 4] = [32, 64, 96, 128];

/// The weights are those of this seed in every version: numbers stay comparable.
const SEED: u64 = 20_231_101;

/// Four 3x3 convolutions of stride 2 with leaky ReLU; the features are the mean of every filter of every level over the
/// image, and its standard deviation.
pub struct RandomConv {
    weights: Vec<Tensor>,
}

impl RandomConv {
    /// Normal weights with the deviation of He et al. 2015, `(2 / fan in)^(1/2)`.
    pub fn new(device: Device) -> Self {
        let mut inputs = 1;
        let level = |&filters: &i64| {
            let mut values = vec![0f32; (filters * inputs * 9) as usize];
            random::named(SEED, Stream::Weights, &format!("random-conv.{filters}")).fill_normal(&mut values);
            let deviation = (2.0 / (inputs * 9) as f64).sqrt();
            let weight = Tensor::from_slice(&values).view([filters, inputs, 3, 3]) * deviation;
            inputs = filters;
            weight.to_device(device)
        };
        Self { weights: FILTERS.iter().map(level).collect() }
    }
}

impl FeatureNetwork for RandomConv {
    fn dims(&self) -> i64 {
        2 * FILTERS.iter().sum::<i64>()
    }

    fn features(&self, images: &Tensor) -> FeatureBatch {
        tch::no_grad(|| {
            let mut x = images.to_kind(Kind::Float) * (1.0 / 127.5) - 1.0;
            let mut parts = Vec::with_capacity(2 * self.weights.len());
            for weight in &self.weights {
                x = x.conv2d(weight, None::<&Tensor>, [2, 2], [1, 1], [1, 1], 1).leaky_relu_();
                let pixels = x.flatten(2, 3);
                parts.push(pixels.mean_dim([2i64].as_slice(), false, Kind::Float));
                parts.push(pixels.std_dim([2i64].as_slice(), false, false));
            }
            FeatureBatch { values: Tensor::cat(&parts, 1), probabilities: None }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_depend_on_the_image_alone() {
        let network = RandomConv::new(Device::Cpu);
        let images = Tensor::arange(4 * 256, (Kind::Int64, Device::Cpu)).remainder(251).to_kind(Kind::Uint8);
        let images = images.view([4, 1, 16, 16]);
        let all = network.features(&images).values;
        assert_eq!(all.size(), [4, network.dims()]);
        let alone = network.features(&images.narrow(0, 2, 1)).values;
        assert!((all.narrow(0, 2, 1) - alone).abs().max().double_value(&[]) < 1e-5);
        assert!((all.get(0) - all.get(1)).abs().max().double_value(&[]) > 1e-3);
    }
}
