use synthmr_nets::engine::Precision;
use synthmr_nets::generators::gan::{Discriminator as _, Generator as _, Noise};
use synthmr_nets::generators::stylegan2::{Discriminator, Generator, StyleGan2Config};
use tch::{Device, Kind, Tensor};

use crate::golden::{below, difference, load};

/// f32 sums of a few hundred terms in another order: about 1e-6; the promise to users is 1e-4.
const TOLERANCE: f64 = 1e-5;

fn tiny() -> StyleGan2Config {
    StyleGan2Config {
        resolution: 16,
        planes: 3,
        z_dim: 6,
        w_dim: 8,
        mapping_layers: 2,
        channel_base: 64,
        channel_max: 6,
        mbstd_group: 4,
    }
}

#[test]
fn outputs_and_gradients_equal_pytorch_with_the_same_weights() {
    let golden = load("stylegan2");
    let g = Generator::new(&tiny(), 0, Device::Cpu, Precision::F32);
    let d = Discriminator::new(&tiny(), 0, Device::Cpu, Precision::F32);
    g.parameters.load(&below(&golden, "g.")).unwrap();
    d.parameters.load(&below(&golden, "d.")).unwrap();
    g.parameters.zero_gradient();
    d.parameters.zero_gradient();

    let images = g.images(&golden["z"], 1.0, &Noise::Constant);
    assert!(difference(&images, &golden["images"]) < TOLERANCE);
    let logits = d.judge(&images, 1);
    assert!(difference(&logits, &golden["logits"]) < TOLERANCE);
    let truncated = g.images(&golden["z"], 0.7, &Noise::Constant);
    assert!(difference(&truncated, &golden["images_truncated"]) < TOLERANCE);

    logits.square().mean(Kind::Float).backward();
    for (network, parameters) in [("g", &g.parameters), ("d", &d.parameters)] {
        let expected = below(&golden, &format!("grad.{network}."));
        assert_eq!(expected.len(), parameters.trainable().count());
        for (name, tensor) in parameters.trainable() {
            let difference = difference(&tensor.grad(), &expected[name]);
            assert!(difference < TOLERANCE, "gradient of {network}.{name}: {difference:.1e}");
        }
    }
}

#[test]
fn parts_of_a_batch_are_judged_as_if_alone() {
    let d = Discriminator::new(&tiny(), 3, Device::Cpu, Precision::F32);
    tch::manual_seed(1);
    let images = Tensor::randn([8, 3, 16, 16], (Kind::Float, Device::Cpu));
    let together = d.judge(&images, 2);
    let apart = Tensor::cat(&images.chunk(2, 0).iter().map(|part| d.judge(part, 1)).collect::<Vec<_>>(), 0);
    assert!(difference(&together, &apart) < TOLERANCE);
}

#[test]
fn bf16_stays_near_f32() {
    let golden = load("stylegan2");
    let g = Generator::new(&tiny(), 0, Device::Cpu, Precision::Bf16);
    g.parameters.load(&below(&golden, "g.")).unwrap();
    let images = g.images(&golden["z"], 1.0, &Noise::Constant);
    assert_eq!(images.kind(), Kind::Float);
    // Eight bits of mantissa through six layers: a few per cent of the largest value.
    assert!(difference(&images, &golden["images"]) < 0.05);
}

/// Counts of the configurations in the project's notes on other people's runs: channel base 4096 / max 128 has
/// 4.10 M and 1.47 M, base 16384 / max 512 has 23.8 M and 23.4 M parameters at 64x64 with 5 planes; the exact
/// numbers are those of the PyTorch networks built by `tools/golden/stylegan2.py`.
#[test]
fn parameter_counts_are_the_published_ones() {
    for (resolution, base, largest, generator, discriminator) in [
        (64, 4096, 128, 4_103_650, 1_465_153),
        (64, 16384, 512, 23_824_162, 23_407_873),
        (256, 32768, 512, 30_040_240, 28_864_385),
    ] {
        let config = StyleGan2Config {
            resolution,
            planes: 5,
            z_dim: 512,
            w_dim: 512,
            mapping_layers: 8,
            channel_base: base,
            channel_max: largest,
            mbstd_group: 4,
        };
        let g = Generator::new(&config, 0, Device::Cpu, Precision::F32);
        let d = Discriminator::new(&config, 0, Device::Cpu, Precision::F32);
        assert_eq!((g.parameters.count(), d.parameters.count()), (generator, discriminator));
    }
}
