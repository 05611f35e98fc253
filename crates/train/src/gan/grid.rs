//! The picture of what a generator makes: the same latents at every tick.

use synthmr_core::random::{self, Draw, Stream};
use synthmr_data::sheet::{self, SheetImage};
use synthmr_data::store::StoreLayout;
use synthmr_nets::generators::stylegan2::{Generator, Noise};
use tch::{Device, Tensor};

use crate::planes::Planes;

/// Images of a sample grid.
const GRID_IMAGES: i64 = 8;

/// A PNG of images from fixed latents: a row an image, a column a contrast, the annotation last.
pub(super) fn sample_grid(
    generator: &Generator,
    z_dim: i64,
    seed: u64,
    planes: &Planes,
    layout: &StoreLayout,
    device: Device,
) -> Vec<u8> {
    let mut values = vec![0f32; (GRID_IMAGES * z_dim) as usize];
    random::rng(seed, Stream::Grid, 0).fill_normal(&mut values);
    let z = Tensor::from_slice(&values).view([GRID_IMAGES, z_dim]).to_device(device);
    let decoded = tch::no_grad(|| planes.decode(&generator.forward(&z, 1.0, &Noise::Constant)));
    let images: Vec<SheetImage> = (0..GRID_IMAGES)
        .map(|i| SheetImage { image: bytes(&decoded.images.get(i)), label: bytes(&decoded.labels.get(i)) })
        .collect();
    sheet::render("generated during training", false, layout, &images).png
}

/// The values of a u8 tensor, on the host.
pub(crate) fn bytes(tensor: &Tensor) -> Vec<u8> {
    let mut out = vec![0u8; tensor.numel()];
    tensor.to_device(Device::Cpu).contiguous().copy_data(&mut out, tensor.numel());
    out
}
