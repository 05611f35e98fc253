use synthmr_nets::engine::Precision;
use synthmr_nets::segmenters::{ResEncConfig, ResEncUNet};
use tch::{Device, Kind, Tensor};

use crate::golden::{below, difference, load};

/// Outputs and gradients of the network of `tools/golden/resenc.py` against nnU-Net's own in f64; the largest difference.
fn largest_difference(kind: Kind) -> f64 {
    let golden = load("resenc");
    let config = ResEncConfig {
        inputs: 2,
        classes: 3,
        side: 32,
        base_filters: 4,
        max_filters: 12,
        blocks: vec![1, 2, 2, 1],
    };
    config.validate().unwrap();
    let network = ResEncUNet::with_kind(&config, 0, Device::Cpu, kind, kind);
    network.parameters.load(&below(&golden, "weight.")).unwrap();
    network.parameters.zero_gradient();
    let input = golden["input"].to_kind(kind).copy().set_requires_grad(true);
    let outputs = network.forward_deep(&input, 3);
    let mut largest = 0f64;
    let mut sum = Tensor::zeros([], (kind, Device::Cpu));
    for (i, output) in outputs.iter().enumerate() {
        largest = largest.max(difference(output, &golden[&format!("output.{i}")].to_kind(kind)));
        sum += output.square().sum(kind) / 64.0;
    }
    sum.backward();
    assert_eq!(difference(&network.forward(&input), &outputs[0].detach()), 0.0);
    largest = largest.max(difference(&input.grad(), &golden["input_gradient"].to_kind(kind)));
    for (name, value) in network.parameters.trainable() {
        let expected = golden[&format!("gradient.{name}")].to_kind(kind);
        largest = largest.max(difference(&value.grad(), &expected));
    }
    largest
}

#[test]
fn outputs_and_gradients_equal_nnunet_in_f32() {
    // f32 sums of a few hundred terms in another order, normalised and multiplied up again.
    let found = largest_difference(Kind::Float);
    assert!(found < 1e-5, "{found}");
}

#[test]
fn outputs_and_gradients_equal_nnunet_in_f64() {
    // The golden values themselves are rounded to f32.
    let found = largest_difference(Kind::Double);
    assert!(found < 1e-7, "{found}");
}

/// Counts of nnU-Net's own networks, printed by `tools/golden/resenc.py`.
#[test]
fn parameter_counts_are_those_of_nnunet() {
    for (stages, expected) in [(6, 71_819_444), (7, 105_920_696)] {
        let network =
            ResEncUNet::new(&ResEncConfig::published(4, 4, 256, stages), 0, Device::Cpu, Precision::F32);
        assert_eq!(network.parameters.count(), expected);
    }
}
