//! Optimisers on flat parameters: each step is a handful of operations on all values together, and the whole state
//! is in the open, so that a checkpoint can hold it and a resumed run continues to the same bits.

use tch::{Device, Tensor};

use crate::engine::Parameters;

/// Values of a block: what a step computes between its first and its last operation stays in the second-level cache.
const BLOCK: i64 = 1 << 17;

/// Updates flat tensors of one length side by side, block by block on the CPU, where a step is bound by memory: a dozen
/// operations on 72 million values took a third of a training step as whole tensors. Results do not depend on blocks.
fn by_blocks<const N: usize>(tensors: [&Tensor; N], mut update: impl FnMut([Tensor; N])) {
    let length = tensors[0].numel() as i64;
    let block = if tensors[0].device() == Device::Cpu { BLOCK } else { length.max(1) };
    tch::no_grad(|| {
        for start in (0..length).step_by(block as usize) {
            update(tensors.map(|tensor| tensor.narrow(0, start, block.min(length - start))));
        }
    });
}

/// Adam (Kingma and Ba 2015) on one network's flat parameters.
pub struct Adam {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    first_moment: Tensor,
    second_moment: Tensor,
    steps: u64,
}

impl Adam {
    /// A state of zeros for `parameters`.
    pub fn new(parameters: &Parameters, beta1: f64, beta2: f64, epsilon: f64) -> Self {
        Self {
            beta1,
            beta2,
            epsilon,
            first_moment: parameters.flat().zeros_like(),
            second_moment: parameters.flat().zeros_like(),
            steps: 0,
        }
    }

    /// One step along the current gradient with learning rate `rate` (Algorithm 1, bias corrections folded
    /// into the step size).
    pub fn step(&mut self, parameters: &Parameters, rate: f64) {
        self.steps += 1;
        let exponent = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let correction1 = 1.0 - self.beta1.powi(exponent);
        let correction2 = (1.0 - self.beta2.powi(exponent)).sqrt();
        // p -= rate / c1 * m / (sqrt(v) / c2 + eps) = rate * c2 / c1 * m / (sqrt(v) + c2 * eps)
        let scale = -rate * correction2 / correction1;
        let tensors = [parameters.flat(), parameters.gradient(), &self.first_moment, &self.second_moment];
        by_blocks(tensors, |[mut values, gradient, mut first_moment, mut second_moment]| {
            let _ = first_moment.lerp_(&gradient, 1.0 - self.beta1);
            let square = &gradient * &gradient;
            let _ = second_moment.lerp_(&square, 1.0 - self.beta2);
            let root = second_moment.sqrt() + self.epsilon * correction2;
            let _ = values.addcdiv_(&(first_moment * scale), &root);
        });
    }

    /// Begins anew, as if no step had been taken.
    pub fn reset(&mut self) {
        let _ = self.first_moment.zero_();
        let _ = self.second_moment.zero_();
        self.steps = 0;
    }

    /// The tensors of the state with their names, for a checkpoint.
    pub fn state(&self) -> [(&'static str, &Tensor); 2] {
        [("first_moment", &self.first_moment), ("second_moment", &self.second_moment)]
    }

    /// Steps taken so far, for a checkpoint.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Sets the number of steps when resuming; the tensors of [`Self::state`] are copied into by the caller.
    pub fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }
}

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019, Algorithm 2, decay times learning rate as in PyTorch).
pub struct AdamW {
    adam: Adam,
    /// Decay of every value, in the layout of the flat parameters.
    decay: Tensor,
}

impl AdamW {
    /// A state of zeros for `parameters`, each of which decays by `decay` of its name.
    pub fn new(parameters: &Parameters, betas: [f64; 2], epsilon: f64, decay: impl Fn(&str) -> f64) -> Self {
        let [beta1, beta2] = betas;
        Self { adam: Adam::new(parameters, beta1, beta2, epsilon), decay: parameters.spread(decay) }
    }

    /// One step: `p -= rate * decay * p`, then a step of [`Adam`].
    pub fn step(&mut self, parameters: &Parameters, rate: f64) {
        by_blocks([parameters.flat(), &self.decay], |[mut values, decay]| {
            let change = &values * decay * rate;
            let _ = values.g_sub_(&change);
        });
        self.adam.step(parameters, rate);
    }

    /// The tensors of the state with their names, for a checkpoint.
    pub fn state(&self) -> [(&'static str, &Tensor); 2] {
        self.adam.state()
    }

    /// Steps taken so far, for a checkpoint.
    pub fn steps(&self) -> u64 {
        self.adam.steps()
    }

    /// Sets the number of steps when resuming; the tensors of [`Self::state`] are copied into by the caller.
    pub fn set_steps(&mut self, steps: u64) {
        self.adam.set_steps(steps);
    }
}

/// Stochastic gradient descent with Nesterov momentum and weight decay, as PyTorch defines it
/// (Sutskever et al. 2013, with the learning rate outside the momentum).
pub struct Sgd {
    /// Momentum.
    pub momentum: f64,
    /// L2 penalty added to the gradient.
    pub weight_decay: f64,
    velocity: Tensor,
}

impl Sgd {
    /// A state of zeros for `parameters`.
    pub fn new(parameters: &Parameters, momentum: f64, weight_decay: f64) -> Self {
        Self { momentum, weight_decay, velocity: parameters.flat().zeros_like() }
    }

    /// One step: `g += decay * p; v = momentum * v + g; p -= rate * (g + momentum * v)`.
    /// Starting from a velocity of zero this equals PyTorch's first step too.
    pub fn step(&mut self, parameters: &Parameters, rate: f64) {
        let tensors = [parameters.flat(), parameters.gradient(), &self.velocity];
        by_blocks(tensors, |[mut values, gradient, mut velocity]| {
            let gradient = gradient + &values * self.weight_decay;
            let _ = velocity.g_mul_scalar_(self.momentum);
            let _ = velocity.g_add_(&gradient);
            let _ = values.g_add_(&((gradient + velocity * self.momentum) * -rate));
        });
    }

    /// The tensors of the state with their names, for a checkpoint.
    pub fn state(&self) -> [(&'static str, &Tensor); 1] {
        [("velocity", &self.velocity)]
    }
}

/// Scales the gradient so that its Euclidean norm is at most `limit`; returns the norm before.
/// The same formula as PyTorch's `clip_grad_norm_`.
pub fn clip_gradient_norm(parameters: &Parameters, limit: f64) -> f64 {
    let norm = parameters.gradient().norm().double_value(&[]);
    let scale = limit / (norm + 1e-6);
    if scale < 1.0 {
        let _ = tch::no_grad(|| parameters.gradient().shallow_clone().g_mul_scalar_(scale));
    }
    norm
}
