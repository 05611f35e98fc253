//! Our optimisers on flat parameters beside libtorch's own.

use synthmr_nets::engine::{Init, Parameters, ParametersBuilder};
use synthmr_nets::optimiser::{Adam, AdamW, Sgd, clip_gradient_norm};
use tch::nn::{self, OptimizerConfig};
use tch::{Device, Kind, Tensor};

const STEPS: usize = 7;
const RATE: f64 = 0.03;

/// A weight and a norm of odd sizes, so that the flat tensor has padding between them and its last block is short; f64.
fn network() -> (Parameters, [Tensor; 2]) {
    let mut builder = ParametersBuilder::with_kind(5, Device::Cpu, Kind::Double);
    let mut root = builder.root();
    let weight = root.parameter("weight", &[331, 401], Init::Uniform(1.0));
    let norm = root.parameter("norm", &[7], Init::Uniform(1.0));
    (builder.finish(), [weight, norm])
}

/// A loss whose gradient changes from step to step.
fn loss(weight: &Tensor, norm: &Tensor, step: usize) -> Tensor {
    (weight * (1.0 + step as f64)).sin().sum(Kind::Double) + (norm.square() * norm.cos()).sum(Kind::Double)
}

/// Values after some steps of ours.
fn ours(mut step: impl FnMut(&Parameters)) -> [Tensor; 2] {
    let (parameters, [weight, norm]) = network();
    for number in 0..STEPS {
        parameters.zero_gradient();
        loss(&weight, &norm, number).backward();
        step(&parameters);
    }
    [weight.detach(), norm.detach()]
}

/// Values after as many steps of libtorch's, with a weight decay of its own for each of the two.
fn theirs(optimisers: [&dyn Fn(&nn::VarStore) -> nn::Optimizer; 2]) -> [Tensor; 2] {
    let (_parameters, values) = network();
    let mut stores = [nn::VarStore::new(Device::Cpu), nn::VarStore::new(Device::Cpu)];
    let mut variables = Vec::new();
    for (store, value) in stores.iter_mut().zip(&values) {
        // Stores begin in f32.
        let mut variable = store.root().var_copy("value", &value.detach());
        store.double();
        tch::no_grad(|| variable.copy_(&value.detach()));
        variables.push(variable);
    }
    let mut optimisers = [optimisers[0](&stores[0]), optimisers[1](&stores[1])];
    for number in 0..STEPS {
        optimisers.iter_mut().for_each(nn::Optimizer::zero_grad);
        loss(&variables[0], &variables[1], number).backward();
        optimisers.iter_mut().for_each(nn::Optimizer::step);
    }
    [variables[0].detach(), variables[1].detach()]
}

fn assert_equal(ours: [Tensor; 2], theirs: [Tensor; 2]) {
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let difference = (ours - theirs).abs().max().double_value(&[]);
        assert!(difference < 1e-12, "differs by {difference}");
    }
}

#[test]
fn sgd_is_libtorchs_with_nesterov_momentum() {
    let mut sgd = None;
    let found = ours(|parameters| {
        sgd.get_or_insert_with(|| Sgd::new(parameters, 0.9, 0.01)).step(parameters, RATE);
    });
    let build = |store: &nn::VarStore| nn::sgd(0.9, 0.0, 0.01, true).build(store, RATE).unwrap();
    assert_equal(found, theirs([&build, &build]));
}

#[test]
fn adam_is_libtorchs() {
    let mut adam = None;
    let found = ours(|parameters| {
        adam.get_or_insert_with(|| Adam::new(parameters, 0.8, 0.99, 1e-6)).step(parameters, RATE);
    });
    let build = |store: &nn::VarStore| nn::adam(0.8, 0.99, 0.0).eps(1e-6).build(store, RATE).unwrap();
    assert_equal(found, theirs([&build, &build]));
}

#[test]
fn adamw_is_libtorchs_with_a_decay_for_each_parameter() {
    let decay = |name: &str| if name == "norm" { 0.0 } else { 0.1 };
    let mut adam = None;
    let found = ours(|parameters| {
        adam.get_or_insert_with(|| AdamW::new(parameters, [0.8, 0.99], 1e-6, decay)).step(parameters, RATE);
    });
    let build = |decay: f64| {
        move |store: &nn::VarStore| nn::adamw(0.8, 0.99, decay).eps(1e-6).build(store, RATE).unwrap()
    };
    assert_equal(found, theirs([&build(0.1), &build(0.0)]));
}

#[test]
fn gradients_are_clipped_to_their_common_norm() {
    let (parameters, [weight, norm]) = network();
    parameters.zero_gradient();
    (weight.sum(Kind::Double) * 3.0 + norm.sum(Kind::Double) * 4.0).backward();
    let expected = (weight.numel() as f64 * 9.0 + 7.0 * 16.0).sqrt();
    assert!((clip_gradient_norm(&parameters, 1.0) - expected).abs() < 1e-12);
    assert!((parameters.gradient().norm().double_value(&[]) - 1.0).abs() < 1e-6);
    let before = parameters.gradient().copy();
    clip_gradient_norm(&parameters, 2.0);
    assert_eq!(parameters.gradient(), &before);
}
