//! Times of a U-Net's training step and of prediction, as JSON lines; the peer is `tools/bench/unet_torch.py`,
//! the same network (32 filters, depth 5, padded, 7.8 M parameters), batch (16 slices of 4 x 64 x 64) and step.
//!
//! `cargo run --release -p synthmr-train --example bench_unet [RUNS [THREADS [SIDE [BATCH]]]]`

mod common;

use synthmr_core::random::{Draw, Stream, rng};
use synthmr_nets::optimiser::{Sgd, clip_gradient_norm};
use synthmr_nets::segmenters::{Padding, UNet, UNetConfig, halving_weights};
use synthmr_train::segmentation::{DiceForm, Target, deep_loss, normalised};
use tch::{Device, Kind, Tensor};

use common::{Size, precisions, report, seconds};

/// Dice of the study's U-Net.
const FORM: DiceForm = DiceForm { smooth: 1e-5, background: true, squared: false, batch: true };
/// Steps before the clock starts.
const WARM_UP: usize = 3;

fn main() {
    let size = Size::from_arguments(10, 64, 16);
    let Size { runs, side, .. } = size;
    let (images, labels) = batch(size);
    for precision in precisions() {
        let config =
            UNetConfig { inputs: 4, classes: 4, base_filters: 32, depth: 5, padding: Padding::Same, side };
        let network = UNet::new(&config, 0, Device::Cpu, precision);
        let mut optimiser = Sgd::new(&network.parameters, 0.99, 3e-5);
        let weights = halving_weights(4);
        let step = || {
            network.parameters.zero_gradient();
            let target = Target::new(&labels, 4, None, Kind::Float);
            let levels = network.forward_deep(&normalised(&images, config.input_side()), weights.len());
            let loss = deep_loss(&levels, &weights, &target, &FORM);
            loss.backward();
            clip_gradient_norm(&network.parameters, 12.0);
            optimiser.step(&network.parameters, 2e-2);
            std::hint::black_box(loss.double_value(&[]));
        };
        report(&format!("unet-train-step-{side}"), precision, &seconds(runs, WARM_UP, step));
        let predict = || {
            let logits = tch::no_grad(|| network.forward(&normalised(&images, config.input_side())));
            std::hint::black_box(logits.argmax(1, false).int64_value(&[0, 0, 0]));
        };
        report(&format!("unet-predict-{side}"), precision, &seconds(runs, WARM_UP, predict));
    }
}

/// A batch of noise; times do not depend on the values.
fn batch(size: Size) -> (Tensor, Tensor) {
    let mut r = rng(0, Stream::Test, 0);
    let (n, s) = (size.batch, size.side);
    let images: Vec<u8> = (0..n * 4 * s * s).map(|_| r.below(256) as u8).collect();
    let labels: Vec<u8> = (0..n * s * s).map(|_| r.below(4) as u8).collect();
    (Tensor::from_slice(&images).view([n, 4, s, s]), Tensor::from_slice(&labels).view([n, s, s]))
}
