//! The picture of what a generator makes: the same images' numbers at every tick.

use synthmr_data::sheet::{self, SheetImage};
use synthmr_data::store::StoreLayout;
use tch::{Device, Tensor};

use super::learner::{DrawOptions, ImageSource};
use crate::diffusion::Method;
use crate::planes::Planes;

/// Images of a sample grid.
const GRID_IMAGES: u64 = 8;

/// A diffusion model whose sampler takes more steps than this draws its grids with this many instead, the quickest way.
const GRID_STEPS: u64 = 50;

/// A PNG of images with fixed numbers: a row an image, a column a contrast, the annotation last. None when `stop`
/// says so meanwhile.
pub(super) fn sample_grid(
    source: &dyn ImageSource,
    seed: u64,
    planes: &Planes,
    layout: &StoreLayout,
    stop: &dyn Fn() -> bool,
) -> Option<Vec<u8>> {
    let quick = DrawOptions { method: Some(Method::Ddim), steps: Some(GRID_STEPS), truncation: None };
    let options = if source.steps() > GRID_STEPS { quick } else { DrawOptions::default() };
    let decoded = planes.decode(&source.draw(seed, 0..GRID_IMAGES, &options, stop)?);
    let images: Vec<SheetImage> = (0..GRID_IMAGES as i64)
        .map(|i| SheetImage { image: bytes(&decoded.images.get(i)), label: bytes(&decoded.labels.get(i)) })
        .collect();
    Some(sheet::render("generated during training", false, layout, &images).png)
}

/// The values of a u8 tensor, on the host.
pub(crate) fn bytes(tensor: &Tensor) -> Vec<u8> {
    let mut out = vec![0u8; tensor.numel()];
    tensor.to_device(Device::Cpu).contiguous().copy_data(&mut out, tensor.numel());
    out
}
