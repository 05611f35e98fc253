//! Self-attention within windows (Liu et al. 2021, section 3.2).

use tch::{Device, Kind, Tensor};

use crate::engine::{Init, Scope};
use crate::layers::Linear;

use super::windows::Windows;

/// Standard deviation of initial weights, as in the authors' code.
const DEVIATION: f64 = 0.02;

/// `[n, positions, c] -> ` the same: attention with several heads among the positions of a window, with a learnt bias
/// for each relative position (equation 4).
pub(super) struct WindowAttention {
    query: Projection,
    key: Projection,
    value: Projection,
    output: Projection,
    /// `[(2 window - 1)^2, heads]`.
    bias_table: Tensor,
    heads: i64,
}

struct Projection {
    weight: Tensor,
    bias: Tensor,
}

impl Projection {
    fn new(mut scope: Scope<'_>, features: i64) -> Self {
        Self {
            weight: scope.parameter("weight", &[features, features], Init::Normal(DEVIATION)),
            bias: scope.parameter("bias", &[features], Init::Constant(0.0)),
        }
    }
}

impl WindowAttention {
    /// `heads` divides `features`.
    pub(super) fn new(mut scope: Scope<'_>, features: i64, heads: i64, window: i64) -> Self {
        let mut projection = |name: &str| Projection::new(scope.sub(name), features);
        let (query, key) = (projection("q_proj"), projection("k_proj"));
        let (value, output) = (projection("v_proj"), projection("o_proj"));
        let rows = (2 * window - 1) * (2 * window - 1);
        let bias_table = scope.sub("relative_position_bias").parameter(
            "relative_position_bias_table",
            &[rows, heads],
            Init::Normal(DEVIATION),
        );
        Self { query, key, value, output, bias_table, heads }
    }

    /// Computes in the kind of `x`; `relative` is [`super::windows::relative_positions`].
    ///
    /// Queries, keys and values are projected before windows are made, so nothing is computed for positions of zeros.
    /// There the reference has the bias of keys and values. That of the keys adds the same to all scores of a query,
    /// which softmax does not see; that of the values comes back whole, as weights sum to one, and is added behind.
    pub(super) fn forward(&self, x: &Tensor, windows: &Windows, relative: &Tensor) -> Tensor {
        let (n, c, kind) = (x.size()[0], x.size()[2], x.kind());
        let (heads, area, count) = (self.heads, windows.area, windows.count);
        let scale = ((c / heads) as f64).powf(-0.5);

        let weight = Tensor::cat(
            &[&self.query.weight * scale, self.key.weight.shallow_clone(), self.value.weight.shallow_clone()],
            0,
        );
        let bias = (&self.query.bias * scale).constant_pad_nd([0, 2 * c]);
        // Keys and values of a position of zeros are zeros; its query is not used.
        let padded = if windows.padded() { x.constant_pad_nd([0, 0, 0, 1]) } else { x.shallow_clone() };
        let projected = padded.linear(&weight.to_kind(kind), Some(&bias.to_kind(kind)));
        let parts = windows.gather(&projected).view([n * count, area, 3, heads, c / heads]);
        let parts = parts.permute([2, 0, 3, 1, 4]).contiguous().view([3, -1, area, c / heads]).unbind(0);

        let scores = parts[0].bmm(&parts[1].transpose(1, 2)).view([n, -1, heads, area, area]);
        let scores = scores + self.bias(windows, relative).to_kind(kind);
        let weights = scores.softmax(-1, kind).view([-1, area, area]);
        let attended = weights.bmm(&parts[2]).view([n * count, heads, area, c / heads]);
        let attended = windows.scatter(&attended.transpose(1, 2).reshape([n * count, area, c]));
        let bias = self.output.weight.mv(&self.value.bias) + &self.output.bias;
        attended.linear(&self.output.weight.to_kind(kind), Some(&bias.to_kind(kind)))
    }

    /// What is added to the scores: `[count or 1, heads, area, area]` in the kind of the parameters.
    fn bias(&self, windows: &Windows, relative: &Tensor) -> Tensor {
        let pairs = self.bias_table.index_select(0, relative);
        let bias = pairs.transpose(0, 1).reshape([1, self.heads, windows.area, windows.area]);
        match &windows.mask {
            Some(mask) => bias + mask,
            None => bias,
        }
    }
}

/// Two layers on each position alone, four times as wide between them.
pub(super) struct Mlp {
    first: Linear,
    second: Linear,
}

impl Mlp {
    pub(super) fn new(mut scope: Scope<'_>, features: i64) -> Self {
        Self {
            first: Linear::transformer(scope.sub("fc1"), features, 4 * features),
            second: Linear::transformer(scope.sub("fc2"), 4 * features, features),
        }
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        self.second.forward(&self.first.forward(x).gelu("none"))
    }
}

/// Stochastic depth (Huang et al. 2016): which images keep which residual branch in one pass, and by how much it is
/// multiplied to keep its mean.
pub(super) struct DropPath {
    /// `[branches, n, 1, 1]`, zero or one over the branch's probability to be kept.
    factors: Tensor,
}

impl DropPath {
    /// Drawn by libtorch's generator of the device; `dropped` has a branch's probability to be left out.
    pub(super) fn draw(dropped: &[f64], n: i64, kind: Kind, device: Device) -> Self {
        let kept: Vec<f64> = dropped.iter().map(|p| 1.0 - p).collect();
        let options = (Kind::Float, device);
        let kept = Tensor::from_slice(&kept).to_kind(Kind::Float).to_device(device).view([-1, 1, 1, 1]);
        let uniform = Tensor::rand([dropped.len() as i64, n, 1, 1], options);
        Self { factors: (uniform.less_tensor(&kept).to_kind(Kind::Float) / kept).to_kind(kind) }
    }

    /// `x` plus what is kept of a branch, both `[n, positions, c]`.
    pub(super) fn add(&self, x: &Tensor, branch: &Tensor, number: i64) -> Tensor {
        x.addcmul(branch, &self.factors.get(number))
    }
}
