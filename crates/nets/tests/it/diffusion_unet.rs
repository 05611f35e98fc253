use synthmr_nets::engine::Precision;
use synthmr_nets::generators::diffusion_unet::{DiffusionUNet, DiffusionUNetConfig, DiffusionUNetSizes};
use tch::{Device, Kind, Tensor};

use crate::golden::{below, difference, load};

/// f32 sums of up to a thousand terms in another order; the promise to users is 1e-4.
const TOLERANCE: f64 = 2e-5;

/// The tiny network of `tools/golden/diffusion_unet.py`.
fn tiny() -> DiffusionUNetConfig {
    DiffusionUNetConfig {
        resolution: 8,
        planes: 3,
        outputs: 3,
        sizes: DiffusionUNetSizes {
            channels: 32,
            multipliers: vec![1, 1],
            blocks: 1,
            attention: vec![4],
            heads: 2,
            norm_groups: 32,
            patch: 1,
            position: false,
        },
    }
}

fn altered(change: impl Fn(&mut DiffusionUNetSizes)) -> DiffusionUNetConfig {
    let mut config = tiny();
    change(&mut config.sizes);
    config
}

#[test]
fn outputs_and_gradients_equal_guided_diffusion_with_the_same_weights() {
    let golden = load("diffusion_unet");
    let network = DiffusionUNet::new(&tiny(), 0, Device::Cpu, Precision::F32);
    network.parameters.load(&below(&golden, "weight.")).unwrap();
    network.parameters.zero_gradient();
    let input = golden["input"].copy().set_requires_grad(true);
    let output = network.forward(&input, &golden["code"]);
    assert!(difference(&output, &golden["output"]) < TOLERANCE);

    (output * &golden["cotangent"]).sum(Kind::Float).backward();
    assert!(difference(&input.grad(), &golden["input_gradient"]) < TOLERANCE);
    let norms = below(&golden, "gradient_norm.");
    assert_eq!(norms.len(), network.parameters.trainable().count());
    let whole = below(&golden, "gradient.");
    assert_eq!(whole.len(), 4);
    for (name, tensor) in network.parameters.trainable() {
        let gradient = tensor.grad();
        let norm = gradient.to_kind(Kind::Double).norm();
        let error = difference(&norm, &norms[name]);
        assert!(error < TOLERANCE, "norm of the gradient of {name}: {error:.1e}");
        if let Some(expected) = whole.get(name) {
            let error = difference(&gradient, expected);
            assert!(error < TOLERANCE, "gradient of {name}: {error:.1e}");
        }
    }
}

/// Counts of guided-diffusion's own networks, printed by `tools/golden/diffusion_unet.py`; the first is the study's.
#[test]
fn parameter_counts_are_those_of_guided_diffusion() {
    for (resolution, multipliers, expected) in
        [(256, vec![1, 1, 2, 2, 4, 4], 41_125_637), (64, vec![1, 2, 3, 4], 30_304_069)]
    {
        let config = DiffusionUNetConfig {
            resolution,
            planes: 5,
            outputs: 5,
            sizes: DiffusionUNetSizes {
                channels: 64,
                multipliers,
                blocks: 3,
                attention: vec![16, 8],
                heads: 4,
                ..tiny().sizes
            },
        };
        let network = DiffusionUNet::new(&config, 0, Device::Cpu, Precision::F32);
        assert_eq!(network.parameters.count(), expected);
    }
}

#[test]
fn an_untrained_network_says_nothing_whatever_its_form() {
    let config = altered(|sizes| (sizes.patch, sizes.position, sizes.attention) = (2, true, vec![2]));
    let x = Tensor::randn([2, 3, 8, 8], (Kind::Float, Device::Cpu));
    let code = Tensor::from_slice(&[3.0f32, 700.0]);
    for precision in [Precision::F32, Precision::Bf16] {
        let network = DiffusionUNet::new(&config, 1, Device::Cpu, precision);
        let output = network.forward(&x, &code);
        assert_eq!((output.size(), output.kind()), (x.size(), Kind::Float));
        assert_eq!(output.abs().max().double_value(&[]), 0.0);
    }
}

#[test]
fn maps_of_position_are_seen_and_bf16_stays_near_f32() {
    let golden = load("diffusion_unet");
    let config = altered(|sizes| sizes.position = true);
    let network = |precision, value: f64| {
        let network = DiffusionUNet::new(&config, 0, Device::Cpu, precision);
        let mut weights = below(&golden, "weight.");
        for (name, side) in [("position.0", 8), ("position.1", 4)] {
            weights.insert(name.into(), Tensor::full([1, 32, side, side], value, (Kind::Float, Device::Cpu)));
        }
        network.parameters.load(&weights).unwrap();
        network.forward(&golden["input"], &golden["code"])
    };
    // Maps of zeros change nothing; others do.
    assert!(difference(&network(Precision::F32, 0.0), &golden["output"]) < TOLERANCE);
    assert!(difference(&network(Precision::F32, 0.5), &golden["output"]) > 100.0 * TOLERANCE);
    // Eight bits of mantissa through a dozen layers: a few per cent of the largest value.
    assert!(difference(&network(Precision::Bf16, 0.0), &golden["output"]) < 0.05);
}

/// The first stage up sees the middle and the last skip connection side by side. When it is made blind to the middle,
/// the map of the lowest level must not come through the skip connection.
#[test]
fn the_map_of_the_lowest_level_goes_to_the_middle_alone() {
    let golden = load("diffusion_unet");
    let network = DiffusionUNet::new(&altered(|sizes| sizes.position = true), 0, Device::Cpu, Precision::F32);
    let output = |value: f64, blind: bool| {
        let mut weights = below(&golden, "weight.");
        let zeros = |side: i64| Tensor::zeros([1, 32, side, side], (Kind::Float, Device::Cpu));
        weights.insert("position.0".into(), zeros(8));
        weights.insert("position.1".into(), zeros(4) + value);
        for name in ["output_blocks.0.0.in_layers.2.weight", "output_blocks.0.0.skip_connection.weight"] {
            let weight = weights[name].copy();
            if blind {
                let _ = weight.narrow(1, 0, 32).zero_();
            }
            weights.insert(name.into(), weight);
        }
        network.parameters.load(&weights).unwrap();
        network.forward(&golden["input"], &golden["code"])
    };
    assert!(difference(&output(0.5, true), &output(0.0, true)) < TOLERANCE);
    assert!(difference(&output(0.5, false), &output(0.0, false)) > 100.0 * TOLERANCE);
}
