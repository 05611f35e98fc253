//! Times of a training step and of prediction of Swin-T + UPerNet and of the U-Net with a residual encoder, as JSON
//! lines; the peer is `tools/bench/segmenters_torch.py`, the same networks, loss and batches. The study's U-Net has
//! `bench_unet`.
//!
//! `cargo run --release -p synthmr-train --example bench_segmenters [RUNS [THREADS [SIDE [BATCH]]]]`

mod common;

use std::hint::black_box;

use synthmr_nets::optimiser::{Sgd, clip_gradient_norm};
use synthmr_nets::segmenters::{Mode, ResEncConfig, ResEncUNet, Segmenter, SwinUPerNet, SwinUPerNetConfig};
use tch::{Device, Kind, Reduction, Tensor};

use common::{Size, precisions, report, seconds};

fn main() {
    let Size { runs, side, batch } = Size::from_arguments(3, 128, 4);
    for precision in precisions() {
        let swin = SwinUPerNetConfig::swin_t(4, 4, side);
        let swin = SwinUPerNet::new(&swin, 0, Device::Cpu, precision);
        let resenc = ResEncConfig::published(4, 4, side, 6);
        let resenc = ResEncUNet::new(&resenc, 0, Device::Cpu, precision);
        let contestants: [(&str, &dyn Segmenter); 2] = [("swin-t-upernet", &swin), ("resenc-6", &resenc)];
        for (name, network) in contestants {
            let (step, predict) = measured(network, batch, runs);
            report(&format!("{name}-train-step-{side}"), precision, &step);
            report(&format!("{name}-predict-{side}"), precision, &predict);
        }
    }
}

/// Seconds of training steps and of predictions on a batch of noise; times do not depend on the values.
fn measured(network: &dyn Segmenter, batch: i64, runs: usize) -> (Vec<f64>, Vec<f64>) {
    let (side, input_side) = (network.side(), network.input_side());
    tch::manual_seed(0);
    let images = Tensor::randn([batch, network.inputs(), input_side, input_side], (Kind::Float, Device::Cpu));
    let labels = Tensor::randint(network.classes(), [batch, side, side], (Kind::Int64, Device::Cpu));
    let weights = network.level_weights();
    let mut optimiser = Sgd::new(network.parameters(), 0.99, 3e-5);
    let step = || {
        network.parameters().zero_gradient();
        let levels = network.forward_levels(&images, weights.len(), Mode::Train);
        let losses = levels.iter().zip(&weights).map(|(level, weight)| {
            level.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Mean, -100, 0.0) * *weight
        });
        let loss: Tensor = losses.sum();
        loss.backward();
        clip_gradient_norm(network.parameters(), 12.0);
        optimiser.step(network.parameters(), 1e-3);
        black_box(loss.double_value(&[]));
    };
    let steps = seconds(runs, 1, step);
    let predict = || {
        let logits = tch::no_grad(|| network.forward_levels(&images, 1, Mode::Predict));
        black_box(logits[0].argmax(1, false).int64_value(&[0, 0, 0]));
    };
    (steps, seconds(runs, 1, predict))
}
