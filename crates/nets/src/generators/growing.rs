//! Progressive growing (Karras et al. 2018, section 2 and figure 2): networks begin with small images, and each next
//! level fades in over the one before.
//!
//! All levels exist from the start, so that growing changes neither parameters nor optimiser; which of them take part
//! is decided by one number, the level of detail.

use tch::Tensor;

use crate::engine::{Init, Scope};

/// Level of detail of a network that grows: 0 at full resolution, k where images are 2^k times smaller, and in
/// between while the next level fades in.
pub struct Growing {
    lod: Tensor,
    levels: usize,
}

/// The levels that take part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grown {
    /// Index of the largest level, from 0.
    pub top: usize,
    /// Share of the level below in the image, in [0, 1): more than 0 while the largest fades in.
    pub below: f64,
}

impl Grown {
    /// Side of the images.
    pub fn side(self) -> i64 {
        4 << self.top
    }
}

impl Growing {
    /// Fully grown, with levels `0..levels`, at least one.
    pub fn new(scope: &mut Scope<'_>, levels: usize) -> Self {
        Self { lod: scope.host_buffer("lod", &[], Init::Constant(0.0)), levels }
    }

    /// Grows or shrinks to a level of detail in `[0, levels - 1]`.
    pub fn set_lod(&self, lod: f64) {
        let _ = self.lod.shallow_clone().fill_(lod);
    }

    /// The levels that take part. Stored values out of range count as the nearest one in it.
    pub fn grown(&self) -> Grown {
        let last = self.levels - 1;
        let lod = self.lod.double_value(&[]).clamp(0.0, last as f64);
        Grown { top: last - lod as usize, below: lod.fract() }
    }

    /// The image of a generator: `block` makes a level's feature maps from those of the level before (none for the
    /// first), `to_image` an image of them.
    pub(super) fn image(
        &self,
        mut block: impl FnMut(usize, Option<&Tensor>) -> Tensor,
        to_image: impl Fn(usize, &Tensor) -> Tensor,
    ) -> Tensor {
        let Grown { top, below } = self.grown();
        let mut before = None;
        let mut x = block(0, None);
        for level in 1..=top {
            let next = block(level, Some(&x));
            before = Some(std::mem::replace(&mut x, next));
        }
        let image = to_image(top, &x);
        match before {
            Some(before) if below > 0.0 => image.lerp(&doubled(&to_image(top - 1, &before)), below),
            _ => image,
        }
    }

    /// The feature maps of a discriminator at the first level: `from_image` makes a level's feature maps from an
    /// image, `block` those of the level before from a level's.
    pub(super) fn features(
        &self,
        images: &Tensor,
        from_image: impl Fn(usize, &Tensor) -> Tensor,
        block: impl Fn(usize, &Tensor) -> Tensor,
    ) -> Tensor {
        let Grown { top, below } = self.grown();
        let mut x = from_image(top, images);
        for level in (1..=top).rev() {
            x = block(level, &x);
            if level == top && below > 0.0 {
                x = x.lerp(&from_image(top - 1, &halved(images)), below);
            }
        }
        x
    }
}

/// Every pixel twice in both directions: `[n, c, h, w] -> [n, c, 2 h, 2 w]`.
pub fn doubled(x: &Tensor) -> Tensor {
    let size = x.size();
    x.upsample_nearest2d([2 * size[2], 2 * size[3]], None, None)
}

/// The mean of every 2x2 pixels: `[n, c, h, w] -> [n, c, h / 2, w / 2]`.
pub fn halved(x: &Tensor) -> Tensor {
    x.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None)
}
