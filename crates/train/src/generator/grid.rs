//! What a generator makes while it trains: the same images' numbers at every checkpoint, as a picture and to inspect.

use synthmr_data::sheet::{self, SheetImage};
use synthmr_data::store::StoreLayout;
use tch::{Device, Tensor};

use super::inspection::{Health, Inspector, averaged, inspected_side};
use super::learner::DrawOptions;
use super::state::Training;
use super::trainer::GeneratorJob;
use crate::TrainError;
use crate::diffusion::Method;
use crate::planes::Planes;

/// Images of a sample grid; drawn at once.
const GRID_IMAGES: u64 = 8;

/// A diffusion model whose sampler takes more steps than this draws its grids with this many instead, the quickest way.
const GRID_STEPS: u64 = 50;

/// Images drawn at a checkpoint, as planes in [-1, 1].
pub(super) struct Drawn {
    /// The first ones in full: `[8, planes, r, r]`.
    first: Tensor,
    /// All of them, averaged for inspection.
    averages: Tensor,
}

/// Draws, shows and inspects.
pub(super) struct Gallery<'a> {
    planes: &'a Planes,
    layout: StoreLayout,
    seed: u64,
    images: u64,
    inspector: Option<Inspector>,
}

impl<'a> Gallery<'a> {
    /// A gallery for the training on the slices `indices`.
    pub(super) fn new(
        job: &GeneratorJob<'_>,
        indices: &[u32],
        planes: &'a Planes,
    ) -> Result<Self, TrainError> {
        let manifest = job.store.manifest();
        let layout = StoreLayout {
            channels: manifest.channels.clone(),
            height: manifest.height,
            width: manifest.width,
            labels: manifest.labels.clone(),
        };
        let (seed, images) = (job.config.seed, job.config.inspection.images);
        let inspector =
            if images == 0 { None } else { Some(Inspector::new(job.store, indices, planes, seed)?) };
        Ok(Self { planes, layout, seed, images: images.max(GRID_IMAGES), inspector })
    }

    /// The images with the numbers from 0 on, from the averaged generator. None when `stop` says so meanwhile.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`] when one of them is not.
    pub(super) fn draw(
        &self,
        training: &Training,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Drawn>, TrainError> {
        let source = training.learner.average();
        let quick = DrawOptions { method: Some(Method::Ddim), steps: Some(GRID_STEPS), truncation: None };
        let options = if source.steps() > GRID_STEPS { quick } else { DrawOptions::default() };
        let draw = |block: u64| {
            let numbers = block * GRID_IMAGES..(block + 1) * GRID_IMAGES;
            if stop() { None } else { source.draw(self.seed, numbers, &options, stop) }
        };
        let mut first = None;
        let mut averages = Vec::new();
        for block in 0..self.images.div_ceil(GRID_IMAGES) {
            let Some(images) = draw(block) else { return Ok(None) };
            if images.isfinite().all().int64_value(&[]) == 0 {
                let what = "an image drawn for inspection".into();
                return Err(TrainError::NotFinite { what, images_seen: training.images_seen });
            }
            averages.push(averaged(&images, inspected_side()).to_device(Device::Cpu));
            first.get_or_insert(images);
        }
        let averages = Tensor::cat(&averages, 0).narrow(0, 0, self.images as i64);
        Ok(first.map(|first| Drawn { first, averages }))
    }

    /// What an inspection of drawn images finds; none when the configuration wants none.
    pub(super) fn health(&self, drawn: &Drawn) -> Option<Health> {
        self.inspector.as_ref().map(|inspector| inspector.inspect(&drawn.averages))
    }

    /// A PNG of the first images drawn: a row an image, a column a contrast, the annotation last.
    pub(super) fn picture(&self, drawn: &Drawn) -> Vec<u8> {
        let decoded = self.planes.decode(&drawn.first);
        let images: Vec<SheetImage> = (0..GRID_IMAGES as i64)
            .map(|i| SheetImage {
                image: bytes(&decoded.images.get(i)),
                label: bytes(&decoded.labels.get(i)),
            })
            .collect();
        sheet::render("generated during training", false, &self.layout, &images).png
    }
}

/// The values of a u8 tensor, on the host.
pub(crate) fn bytes(tensor: &Tensor) -> Vec<u8> {
    let mut out = vec![0u8; tensor.numel()];
    tensor.to_device(Device::Cpu).contiguous().copy_data(&mut out, tensor.numel());
    out
}
