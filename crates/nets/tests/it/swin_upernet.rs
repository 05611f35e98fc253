use std::collections::BTreeMap;

use synthmr_nets::engine::Precision;
use synthmr_nets::segmenters::{Mode, SwinUPerNet, SwinUPerNetConfig};
use tch::{Device, Kind, Tensor};

use crate::golden::{below, difference, load};

/// The tiny network of `tools/golden/swin_upernet.py`.
fn tiny(side: i64, window: i64) -> SwinUPerNetConfig {
    SwinUPerNetConfig {
        inputs: 2,
        classes: 3,
        side,
        embedding: 8,
        depths: [2, 2, 2, 1],
        heads: [1, 2, 2, 4],
        window,
        drop_path: 0.0,
        decoder: 12,
        auxiliary: 8,
    }
}

/// Outputs, gradients and running statistics of a case against those of transformers in f64; the largest difference.
fn largest_difference(case: &str, side: i64, window: i64, mode: Mode, kind: Kind) -> f64 {
    let golden = load("swin_upernet");
    let config = tiny(side, window);
    config.validate().unwrap();
    let network = SwinUPerNet::with_kind(&config, 0, Device::Cpu, kind, kind);
    let mut weights = below(&golden, "weight.");
    weights.extend(below(&golden, &format!("{case}.weight.")));
    network.parameters.load(&weights).unwrap();
    network.parameters.zero_gradient();

    let tensor = |what: &str| golden[&format!("{case}.{what}")].to_kind(kind);
    let input = tensor("input").set_requires_grad(true);
    let outputs = network.forward_deep(&input, 2, mode);
    let mut largest = 0f64;
    let mut sum = Tensor::zeros([], (kind, Device::Cpu));
    for (i, output) in outputs.iter().enumerate() {
        largest = largest.max(difference(output, &tensor(&format!("output.{i}"))));
        sum += output.square().sum(kind) * 0.5;
    }
    sum.backward();
    largest = largest.max(difference(&input.grad(), &tensor("input_gradient")));

    let norms = below(&golden, &format!("{case}.gradient_norm."));
    let whole = below(&golden, &format!("{case}.gradient."));
    assert_eq!(norms.len(), network.parameters.trainable().count());
    assert_eq!(whole.len(), 12);
    for (name, value) in network.parameters.trainable() {
        let gradient = value.grad();
        let norm = gradient.to_kind(Kind::Double).norm();
        largest = largest.max(difference(&norm, &norms[name]));
        if let Some(expected) = whole.get(name) {
            largest = largest.max(difference(&gradient, expected));
        }
    }
    let after = below(&golden, &format!("{case}.after."));
    let buffers: BTreeMap<&str, &Tensor> = network.parameters.buffers().collect();
    for (name, expected) in &after {
        largest = largest.max(difference(buffers[name.as_str()], expected));
    }
    assert_eq!(after.len(), if mode == Mode::Train { buffers.len() } else { 0 });
    largest
}

const CASES: [(&str, i64, i64, Mode); 3] =
    [("shift", 64, 4, Mode::Train), ("pad", 96, 4, Mode::Predict), ("odd", 32, 7, Mode::Predict)];

#[test]
fn outputs_and_gradients_equal_transformers_in_f32() {
    for (case, side, window, mode) in CASES {
        // f32 sums of a few hundred terms, normalised and multiplied up again some thirty times; the coarsest pooling has
        // five values a channel to normalise in training. 4e-5 to 6e-5 were seen, by the number of threads, which decides
        // the order of sums; the test in f64 is the one of the formulas.
        let found = largest_difference(case, side, window, mode, Kind::Float);
        assert!(found < 1e-4, "{case}: {found}");
    }
}

#[test]
fn outputs_and_gradients_equal_transformers_in_f64() {
    for (case, side, window, mode) in CASES {
        // The golden values themselves are rounded to f32.
        let found = largest_difference(case, side, window, mode, Kind::Double);
        assert!(found < 2e-7, "{case}: {found}");
    }
}

/// Counts of transformers' own networks, printed by `tools/golden/swin_upernet.py`, without the normalisation that
/// nothing uses there.
#[test]
fn parameter_counts_are_those_of_transformers() {
    for (config, expected) in [
        (SwinUPerNetConfig::swin_t(4, 4, 256), 59_830_978),
        (SwinUPerNetConfig::swin_s(4, 4, 256), 81_148_882),
        (SwinUPerNetConfig::swin_b(4, 4, 256), 121_169_344),
    ] {
        let network = SwinUPerNet::new(&config, 0, Device::Cpu, Precision::F32);
        assert_eq!(network.parameters.count(), expected);
    }
}
