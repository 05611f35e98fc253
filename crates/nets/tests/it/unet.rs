use synthmr_nets::segmenters::{Padding, UNet, UNetConfig};
use tch::{Device, Kind, Tensor};

use crate::golden::{below, difference, load};

/// Outputs and gradients of a network against those of PyTorch in f64, for both paddings; the largest
/// difference that was found.
fn largest_difference(kind: Kind) -> f64 {
    let golden = load("unet");
    let mut largest = 0f64;
    for (name, padding, side) in [("same", Padding::Same, 16), ("valid", Padding::Valid, 6)] {
        let config = UNetConfig { inputs: 2, classes: 3, base_filters: 4, depth: 3, padding, side };
        config.validate().unwrap();
        let network = UNet::with_kind(&config, 0, Device::Cpu, kind, kind);
        let tensor = |what: &str| golden[&format!("{name}.{what}")].to_kind(kind);
        network.parameters.load(&below(&golden, &format!("{name}.weight."))).unwrap();
        network.parameters.zero_gradient();

        let input = tensor("input").set_requires_grad(true);
        let outputs = network.forward_deep(&input, 2);
        let mut sum = Tensor::zeros([], (kind, Device::Cpu));
        for (i, output) in outputs.iter().enumerate() {
            largest = largest.max(difference(output, &tensor(&format!("output.{i}"))));
            sum += (output * tensor(&format!("cotangent.{i}"))).sum(kind);
        }
        sum.backward();
        assert_eq!(difference(&network.forward(&input), &outputs[0].detach()), 0.0);
        largest = largest.max(difference(&input.grad(), &tensor("input_gradient")));
        for (parameter, value) in network.parameters.trainable() {
            let expected = tensor(&format!("gradient.{parameter}"));
            largest = largest.max(difference(&value.grad(), &expected));
        }
    }
    largest
}

#[test]
fn outputs_and_gradients_equal_pytorch_in_f32() {
    // f32 sums of a few hundred terms in another order, normalised and multiplied up again.
    let found = largest_difference(Kind::Float);
    assert!(found < 1e-5, "{found}");
}

#[test]
fn outputs_and_gradients_equal_pytorch_in_f64() {
    // The golden values themselves are rounded to f32.
    let found = largest_difference(Kind::Double);
    assert!(found < 1e-7, "{found}");
}
