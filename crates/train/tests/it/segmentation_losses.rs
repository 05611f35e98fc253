//! The segmentation loss against MONAI and PyTorch.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use synthmr_nets::segmenters::halving_weights;
use synthmr_train::segmentation::{DiceForm, Target, deep_loss, dice_cross_entropy};
use tch::{Kind, Tensor};

const U_NET: DiceForm = DiceForm { smooth: 1e-5, background: true, squared: false, batch: true };
const SWIN: DiceForm = DiceForm { background: false, squared: true, batch: false, ..U_NET };

fn golden() -> BTreeMap<String, Tensor> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/segmentation_losses.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let tensor = |view: safetensors::tensor::TensorView<'_>| {
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        let kind = match view.dtype() {
            Dtype::F64 => Kind::Double,
            Dtype::I64 => Kind::Int64,
            Dtype::U8 => Kind::Uint8,
            other => panic!("unexpected type {other:?}"),
        };
        Tensor::from_data_size(view.data(), &shape, kind)
    };
    SafeTensors::deserialize(&bytes)
        .unwrap()
        .iter()
        .map(|(name, view)| (name.to_owned(), tensor(view)))
        .collect()
}

fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    (found.detach().to_kind(Kind::Double) - expected).abs().max().double_value(&[])
}

/// The largest difference of losses and gradients, with all pixels and with some ignored.
fn largest_difference(kind: Kind) -> f64 {
    let golden = golden();
    let labels = golden["labels"].to_kind(Kind::Uint8);
    let ignored = golden["ignored"].gt(0);
    let levels = |count: usize| -> Vec<Tensor> {
        let level = |i| golden[&format!("logits.{i}")].to_kind(kind).copy().set_requires_grad(true);
        (0..count).map(level).collect()
    };
    let weights = halving_weights(5);
    let mut largest = 0f64;
    for (name, ignored) in [("all", None), ("kept", Some(&ignored))] {
        let target = Target::new(&labels, 4, ignored, kind);
        let single = levels(1).remove(0);
        let loss = dice_cross_entropy(&single, &target, &U_NET);
        loss.backward();
        largest = largest.max(difference(&loss, &golden[&format!("{name}.loss")]));
        largest = largest.max(difference(&single.grad(), &golden[&format!("{name}.gradient")]));

        let levels = levels(weights.len());
        let loss = deep_loss(&levels, &weights, &target, &U_NET);
        loss.backward();
        largest = largest.max(difference(&loss, &golden[&format!("{name}.deep_loss")]));
        for (i, level) in levels.iter().enumerate() {
            largest = largest.max(difference(&level.grad(), &golden[&format!("{name}.deep_gradient.{i}")]));
        }
        // The lowest level, for which nothing is computed here, has the weight zero there.
        assert_eq!(golden[&format!("{name}.deep_gradient.4")].abs().max().double_value(&[]), 0.0);
    }
    let single = levels(1).remove(0);
    let loss = dice_cross_entropy(&single, &Target::new(&labels, 4, None, kind), &SWIN);
    loss.backward();
    largest = largest.max(difference(&loss, &golden["swin.loss"]));
    largest = largest.max(difference(&single.grad(), &golden["swin.gradient"]));
    for (i, weight) in weights.iter().enumerate() {
        assert_eq!(*weight, golden["level_weights"].double_value(&[i as i64]));
    }
    largest
}

#[test]
fn losses_and_gradients_equal_monai_and_pytorch() {
    // The same formula in f64; f32 sums of 60 terms of size one.
    for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 1e-6)] {
        let found = largest_difference(kind);
        assert!(found < tolerance, "{kind:?}: {found}");
    }
}
