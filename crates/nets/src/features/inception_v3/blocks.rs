//! The blocks of Inception-v3; letters are those of torchvision's code and figures those of the paper.
//!
//! A block is some branches beside each other, whose outputs are concatenated.

use tch::Tensor;

use crate::engine::ParameterError;
use crate::features::frozen::{ConvNorm, Form, Weights};

/// Added to variances, as in the TensorFlow network.
const EPSILON: f64 = 0.001;

/// A convolution with batch normalisation and ReLU.
pub(super) struct Conv(ConvNorm);

impl Conv {
    pub(super) fn new(
        weights: &mut Weights,
        name: &str,
        inputs: i64,
        outputs: i64,
        kernel: [i64; 2],
        stride: i64,
        padding: [i64; 2],
    ) -> Result<Self, ParameterError> {
        let form = Form { inputs, outputs, kernel, stride, padding, groups: 1 };
        let (conv, norm) = (format!("{name}.conv"), format!("{name}.bn"));
        Ok(Self(ConvNorm::new(weights, &conv, &norm, form, EPSILON)?))
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        self.0.forward(x).relu_()
    }
}

/// Convolutions one after the other.
struct Branch(Vec<Conv>);

impl Branch {
    /// `layers` are (name, filters, kernel, stride); with stride 1 the size stays, with stride 2 nothing is added around.
    fn new(
        weights: &mut Weights,
        block: &str,
        mut inputs: i64,
        layers: &[(&str, i64, [i64; 2], i64)],
    ) -> Result<Self, ParameterError> {
        let mut convs = Vec::with_capacity(layers.len());
        for &(name, outputs, kernel, stride) in layers {
            let padding = if stride == 1 { kernel.map(|side| side / 2) } else { [0, 0] };
            convs.push(Conv::new(
                weights,
                &format!("{block}.{name}"),
                inputs,
                outputs,
                kernel,
                stride,
                padding,
            )?);
            inputs = outputs;
        }
        Ok(Self(convs))
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.0.iter().fold(x.shallow_clone(), |x, conv| conv.forward(&x))
    }
}

/// 3x3 maxima at every second pixel.
pub(super) fn max_pool(x: &Tensor) -> Tensor {
    x.max_pool2d([3, 3], [2, 2], [0, 0], [1, 1], false)
}

/// 3x3 means of what is inside the image, at every pixel: the FID network's own way.
fn mean_pool(x: &Tensor) -> Tensor {
    x.avg_pool2d([3, 3], [1, 1], [1, 1], false, false, None)
}

/// Figure 5, at 35 x 35.
pub(super) struct BlockA {
    branches: [Branch; 3],
    pool: Branch,
}

impl BlockA {
    pub(super) fn new(w: &mut Weights, name: &str, inputs: i64, pooled: i64) -> Result<Self, ParameterError> {
        Ok(Self {
            branches: [
                Branch::new(w, name, inputs, &[("branch1x1", 64, [1, 1], 1)])?,
                Branch::new(
                    w,
                    name,
                    inputs,
                    &[("branch5x5_1", 48, [1, 1], 1), ("branch5x5_2", 64, [5, 5], 1)],
                )?,
                Branch::new(
                    w,
                    name,
                    inputs,
                    &[
                        ("branch3x3dbl_1", 64, [1, 1], 1),
                        ("branch3x3dbl_2", 96, [3, 3], 1),
                        ("branch3x3dbl_3", 96, [3, 3], 1),
                    ],
                )?,
            ],
            pool: Branch::new(w, name, inputs, &[("branch_pool", pooled, [1, 1], 1)])?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let mut parts: Vec<Tensor> = self.branches.iter().map(|branch| branch.forward(x)).collect();
        parts.push(self.pool.forward(&mean_pool(x)));
        Tensor::cat(&parts, 1)
    }
}

/// Figure 10 without its first convolution: 35 x 35 to 17 x 17.
pub(super) struct BlockB {
    branches: [Branch; 2],
}

impl BlockB {
    pub(super) fn new(w: &mut Weights, name: &str, inputs: i64) -> Result<Self, ParameterError> {
        let double = [
            ("branch3x3dbl_1", 64, [1, 1], 1),
            ("branch3x3dbl_2", 96, [3, 3], 1),
            ("branch3x3dbl_3", 96, [3, 3], 2),
        ];
        Ok(Self {
            branches: [
                Branch::new(w, name, inputs, &[("branch3x3", 384, [3, 3], 2)])?,
                Branch::new(w, name, inputs, &double)?,
            ],
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let [first, second] = &self.branches;
        Tensor::cat(&[first.forward(x), second.forward(x), max_pool(x)], 1)
    }
}

/// Figure 6 with n = 7, at 17 x 17.
pub(super) struct BlockC {
    branches: [Branch; 3],
    pool: Branch,
}

impl BlockC {
    pub(super) fn new(w: &mut Weights, name: &str, inner: i64) -> Result<Self, ParameterError> {
        let (row, column) = ([1, 7], [7, 1]);
        let single = [
            ("branch7x7_1", inner, [1, 1], 1),
            ("branch7x7_2", inner, row, 1),
            ("branch7x7_3", 192, column, 1),
        ];
        let double = [
            ("branch7x7dbl_1", inner, [1, 1], 1),
            ("branch7x7dbl_2", inner, column, 1),
            ("branch7x7dbl_3", inner, row, 1),
            ("branch7x7dbl_4", inner, column, 1),
            ("branch7x7dbl_5", 192, row, 1),
        ];
        Ok(Self {
            branches: [
                Branch::new(w, name, 768, &[("branch1x1", 192, [1, 1], 1)])?,
                Branch::new(w, name, 768, &single)?,
                Branch::new(w, name, 768, &double)?,
            ],
            pool: Branch::new(w, name, 768, &[("branch_pool", 192, [1, 1], 1)])?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let mut parts: Vec<Tensor> = self.branches.iter().map(|branch| branch.forward(x)).collect();
        parts.push(self.pool.forward(&mean_pool(x)));
        Tensor::cat(&parts, 1)
    }
}

/// 17 x 17 to 8 x 8.
pub(super) struct BlockD {
    branches: [Branch; 2],
}

impl BlockD {
    pub(super) fn new(w: &mut Weights, name: &str) -> Result<Self, ParameterError> {
        let single = [("branch3x3_1", 192, [1, 1], 1), ("branch3x3_2", 320, [3, 3], 2)];
        let seven = [
            ("branch7x7x3_1", 192, [1, 1], 1),
            ("branch7x7x3_2", 192, [1, 7], 1),
            ("branch7x7x3_3", 192, [7, 1], 1),
            ("branch7x7x3_4", 192, [3, 3], 2),
        ];
        Ok(Self { branches: [Branch::new(w, name, 768, &single)?, Branch::new(w, name, 768, &seven)?] })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let [first, second] = &self.branches;
        Tensor::cat(&[first.forward(x), second.forward(x), max_pool(x)], 1)
    }
}

/// Figure 7, at 8 x 8: branches that part once more at their end.
pub(super) struct BlockE {
    single: Branch,
    /// What comes before the parting, and both parts.
    parting: [(Branch, [Branch; 2]); 2],
    pool: Branch,
    /// The last block of the FID network pools by the maximum.
    by_maximum: bool,
}

impl BlockE {
    pub(super) fn new(
        w: &mut Weights,
        name: &str,
        inputs: i64,
        by_maximum: bool,
    ) -> Result<Self, ParameterError> {
        let (row, column) = ([1, 3], [3, 1]);
        let three = Branch::new(w, name, inputs, &[("branch3x3_1", 384, [1, 1], 1)])?;
        let double = [("branch3x3dbl_1", 448, [1, 1], 1), ("branch3x3dbl_2", 384, [3, 3], 1)];
        let double = Branch::new(w, name, inputs, &double)?;
        let mut parts = |stem: &str, ends: [&str; 2]| -> Result<[Branch; 2], ParameterError> {
            let mut end = |letter: &str, kernel| {
                Branch::new(w, name, 384, &[(&format!("{stem}_{letter}"), 384, kernel, 1)])
            };
            Ok([end(ends[0], row)?, end(ends[1], column)?])
        };
        Ok(Self {
            parting: [
                (three, parts("branch3x3", ["2a", "2b"])?),
                (double, parts("branch3x3dbl", ["3a", "3b"])?),
            ],
            single: Branch::new(w, name, inputs, &[("branch1x1", 320, [1, 1], 1)])?,
            pool: Branch::new(w, name, inputs, &[("branch_pool", 192, [1, 1], 1)])?,
            by_maximum,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let mut parts = vec![self.single.forward(x)];
        for (stem, ends) in &self.parting {
            let x = stem.forward(x);
            parts.extend(ends.iter().map(|end| end.forward(&x)));
        }
        let pooled =
            if self.by_maximum { x.max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false) } else { mean_pool(x) };
        parts.push(self.pool.forward(&pooled));
        Tensor::cat(&parts, 1)
    }
}
