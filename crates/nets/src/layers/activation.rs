//! Leaky ReLU with any slope.

use tch::Tensor;

/// `x` where positive, `slope * x` elsewhere; any shape. Twice differentiable.
///
/// The bindings fix the slope of libtorch's own `leaky_relu` at 0.01. Its backward function, `gradient`
/// times one or `slope` by the sign of its second argument, is the same function when both are `x`, takes
/// one pass over memory like the original, and is linear in the argument that is differentiated.
pub fn leaky_relu(x: &Tensor, slope: f64) -> Tensor {
    x.detach().leaky_relu_backward(x, slope, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn values_and_derivatives() {
        let x = Tensor::from_slice(&[-2.0f64, -0.5, 0.5, 3.0]).set_requires_grad(true);
        let y = leaky_relu(&x, 0.2);
        let expected = Tensor::from_slice(&[-0.4f64, -0.1, 0.5, 3.0]);
        assert!((&y.detach() - expected).abs().max().double_value(&[]) < 1e-15);
        let g = Tensor::run_backward(&[y.square().sum(Kind::Double)], &[&x], true, true);
        // d(y^2)/dx = 2 slope^2 x below zero, and its derivative is 2 slope^2.
        assert!((g[0].double_value(&[0]) - 2.0 * 0.04 * -2.0).abs() < 1e-15);
        let second = Tensor::run_backward(&[g[0].sum(Kind::Double)], &[&x], false, false);
        let expected = Tensor::from_slice(&[0.08f64, 0.08, 2.0, 2.0]).to_device(Device::Cpu);
        assert!((&second[0] - expected).abs().max().double_value(&[]) < 1e-15);
    }
}
