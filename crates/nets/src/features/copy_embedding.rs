//! A residual network that maps images to unit vectors, in which copies of an image lie near it.
//!
//! The form follows SSCD (Pizzi, Roy, Ravindra, Goyal and Douze, "A self-supervised descriptor for image copy
//! detection", CVPR 2022, arXiv 2202.10261): a residual trunk, one linear layer, vectors of length 1.
//!
//! # Deviations
//! Every image is brought into one pose first ([`canonical`]), so that the trunk need not learn to see through turns and
//! shifts of the whole head. Positions then mean something, and the linear layer sees all of them instead of a pooled
//! mean. The trunk is small and has group normalisation in the place of batch normalisation: an image's vector does not
//! depend on the images beside it. Each contrast is standardised by itself, so that its gain and offset change nothing.

use tch::{Device, Kind, Tensor};

use super::canonical;
use crate::engine::{Init, Parameters, ParametersBuilder, Precision, Scope, channels_last};
use crate::layers::{Conv2d, GroupNorm, Linear};

/// Feature maps a group of the normalisation.
const GROUP: i64 = 8;

/// Side of the images that the trunk sees: what copies lose first, fine structure, is not looked at.
const SIDE: i64 = 32;

/// Added to a contrast's standard deviation, in shares of the full range: a plane without signal stays one.
const CONTRAST_FLOOR: f64 = 0.01;

/// Sizes of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyEmbeddingSizes {
    /// Image channels.
    pub channels: i64,
    /// Feature maps of the first stage, doubled at each next one; a multiple of 8.
    pub width: i64,
    /// Stages; each halves the resolution.
    pub stages: i64,
    /// Length of the vectors.
    pub dimensions: i64,
}

/// The network: images `[n, channels, 64, 64]` in [0, 1] to unit vectors `[n, dimensions]`.
pub struct CopyEmbeddingNet {
    compute: Kind,
    stem: Conv2d,
    stem_norm: GroupNorm,
    stages: Vec<[Block; 2]>,
    head: Linear,
    /// All values.
    pub parameters: Parameters,
}

impl CopyEmbeddingNet {
    /// A network with initial weights that are a function of `seed`.
    pub fn new(sizes: &CopyEmbeddingSizes, seed: u64, device: Device, precision: Precision) -> Self {
        let mut builder = ParametersBuilder::new(seed, device);
        let mut root = builder.root();
        let stem = convolution(root.sub("stem"), sizes.channels, sizes.width, 1);
        let stem_norm = GroupNorm::new(root.sub("stem_norm"), sizes.width, sizes.width / GROUP);
        let mut features = sizes.width;
        let stages = (0..sizes.stages)
            .map(|stage| {
                let (inputs, outputs) = (features, sizes.width << stage);
                features = outputs;
                let mut scope = root.sub(&format!("stage{stage}"));
                [
                    Block::new(scope.sub("0"), inputs, outputs, 2),
                    Block::new(scope.sub("1"), outputs, outputs, 1),
                ]
            })
            .collect();
        let side = SIDE >> sizes.stages;
        let head = Linear::new(root.sub("head"), features * side * side, sizes.dimensions);
        Self { compute: precision.kind(), stem, stem_norm, stages, head, parameters: builder.finish() }
    }

    /// Unit vectors f32 `[n, dimensions]` of images f32 `[n, channels, 64, 64]` in [0, 1], seen by the given look (see
    /// [`canonical`]).
    pub fn forward(&self, images: &Tensor, look: [f64; 2]) -> Tensor {
        let posed = canonical(images, look).adaptive_avg_pool2d([SIDE, SIDE]);
        let x = channels_last(&standardised(&posed).to_kind(self.compute));
        let x = self.stem_norm.forward(&self.stem.forward(&x)).relu();
        let x = self.stages.iter().flatten().fold(x, |x, block| block.forward(&x));
        let vectors = self.head.forward(&x.flatten(1, -1).to_kind(Kind::Float));
        &vectors / vectors.norm_scalaropt_dim(2.0, [1i64].as_slice(), true).clamp_min(1e-6)
    }
}

/// Each contrast of each image with mean 0 and variance 1; one without signal becomes 0.
fn standardised(images: &Tensor) -> Tensor {
    let centred = images - images.mean_dim([2i64, 3].as_slice(), true, Kind::Float);
    let variance = centred.square().mean_dim([2i64, 3].as_slice(), true, Kind::Float);
    centred / (variance.sqrt() + CONTRAST_FLOOR)
}

/// Two 3x3 convolutions around which the signal also passes directly (He et al. 2016).
struct Block {
    first: Conv2d,
    first_norm: GroupNorm,
    second: Conv2d,
    second_norm: GroupNorm,
    /// Where the shape changes: the mean of 2x2 pixels and a 1x1 convolution, as in ResNet-D.
    shortcut: Option<Conv2d>,
}

impl Block {
    fn new(mut scope: Scope<'_>, inputs: i64, outputs: i64, stride: i64) -> Self {
        let groups = outputs / GROUP;
        let init = Init::Normal((1.0 / inputs as f64).sqrt());
        Self {
            first: convolution(scope.sub("conv0"), inputs, outputs, stride),
            first_norm: GroupNorm::new(scope.sub("norm0"), outputs, groups),
            second: convolution(scope.sub("conv1"), outputs, outputs, 1),
            second_norm: GroupNorm::new(scope.sub("norm1"), outputs, groups),
            shortcut: (stride > 1)
                .then(|| Conv2d::same_without_bias(scope.sub("shortcut"), inputs, outputs, 1, init)),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let y = self.first_norm.forward(&self.first.forward(x)).relu();
        let y = self.second_norm.forward(&self.second.forward(&y));
        let direct = match &self.shortcut {
            Some(shortcut) => shortcut.forward(&x.avg_pool2d([2, 2], [2, 2], [0, 0], true, false, None)),
            None => x.shallow_clone(),
        };
        (y + direct).relu()
    }
}

/// A 3x3 convolution without bias, for a normalisation follows; weights as He et al. 2015.
fn convolution(scope: Scope<'_>, inputs: i64, outputs: i64, stride: i64) -> Conv2d {
    let init = Init::Normal((2.0 / (9 * inputs) as f64).sqrt());
    Conv2d::same_without_bias(scope, inputs, outputs, 3, init).with_stride(stride)
}
