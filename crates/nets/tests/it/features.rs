//! Feature networks beside pytorch-fid and efficientnet-lite-pytorch, as `tools/golden/features.py` ran them, on weights
//! that both sides make from names and indices.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use synthmr_nets::engine::ParameterError;
use synthmr_nets::features::{EfficientNetLite0, FeatureNetwork, InceptionV3, Weights};
use tch::{Device, Kind, Tensor};

use crate::golden::{difference, load};

/// `uniform` of the script.
fn uniform(start: u64, count: u64) -> Vec<f64> {
    let one = |i: u64| {
        let z = i.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
    };
    (start..start + count).map(one).collect()
}

/// The checksum of zip files, by its definition.
fn crc32(text: &str) -> u32 {
    let step = |crc: u32, byte: u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    };
    !text.bytes().fold(!0, step)
}

/// `fill` of the script.
fn value(name: &str, shape: &[i64]) -> Tensor {
    let count: i64 = shape.iter().product();
    let u = uniform(u64::from(crc32(name)) << 32, count as u64);
    let fan_in = (count / shape[0]) as f64;
    let scaled = |u: &f64| {
        let value = if shape.len() > 1 {
            (2.0 * u - 1.0) * (6.0 / fan_in).sqrt()
        } else if name.ends_with("running_var") || name.ends_with("weight") {
            0.5 + u
        } else {
            0.2 * u - 0.05
        };
        value as f32
    };
    Tensor::from_slice(&u.iter().map(scaled).collect::<Vec<f32>>()).view(shape)
}

fn check(name: &str, network: &dyn FeatureNetwork) {
    let golden = load("features");
    let found = network.features(&golden["images"]);
    let expected = &golden[&format!("{name}.features")];
    assert!(expected.std(true).double_value(&[]) > 1e-3, "features that say something");
    // f32 sums in another order through a hundred layers, with the normalisation in the weights.
    let error = difference(&found.values, expected);
    assert!(error < 1e-4, "{name}: {error}");
    let error = difference(&found.probabilities.unwrap(), &golden[&format!("{name}.probabilities")]);
    assert!(error < 1e-4, "{name}: {error}");
    assert_eq!(found.values.size()[1], network.dims());
}

#[test]
fn inception_equals_pytorch_fid() {
    check("inception", &InceptionV3::new(Weights::by_rule(value, Device::Cpu)).unwrap());
}

#[test]
fn efficientnet_lite_equals_its_port() {
    check("lite", &EfficientNetLite0::new(Weights::by_rule(value, Device::Cpu)).unwrap());
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let made = Rc::new(RefCell::new(BTreeMap::new()));
    let list = Rc::clone(&made);
    let rule = move |name: &str, shape: &[i64]| {
        let tensor = Tensor::ones(shape, (Kind::Float, Device::Cpu));
        list.borrow_mut().insert(name.to_owned(), tensor.shallow_clone());
        tensor
    };
    EfficientNetLite0::new(Weights::by_rule(rule, Device::Cpu)).unwrap();
    let tensors = made.borrow();
    let refused = |name: &str, tensor: Option<Tensor>| {
        let mut tensors: BTreeMap<String, Tensor> =
            tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        match tensor {
            Some(tensor) => tensors.insert(name.to_owned(), tensor),
            None => tensors.remove(name),
        };
        EfficientNetLite0::new(Weights::new(tensors, Device::Cpu)).err()
    };
    assert_eq!(
        refused("_bn0.num_batches_tracked", Some(Tensor::from(3i64))),
        None,
        "counters are passed over"
    );
    let name = || "_bn1.bias".to_owned();
    assert_eq!(refused("_bn1.bias", None), Some(ParameterError::Missing { name: name() }));
    let broken = Tensor::full([1280], f64::NAN, (Kind::Float, Device::Cpu));
    assert_eq!(refused("_bn1.bias", Some(broken)), Some(ParameterError::NotFinite { name: name() }));
    let shape = ParameterError::Shape { name: name(), expected: vec![1280], found: vec![] };
    assert_eq!(refused("_bn1.bias", Some(Tensor::from(1f32))), Some(shape));
    let other = ParameterError::Unexpected { name: "other".into() };
    assert_eq!(refused("other", Some(Tensor::from(1f32))), Some(other));
}
