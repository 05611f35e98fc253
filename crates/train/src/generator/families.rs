//! From a configuration to what learns and draws: the one place where families are told apart.

use synthmr_nets::engine::Precision;
use tch::Device;

use super::{FamilyKind, GeneratorConfig, ImageSource, Learner};
use crate::diffusion::{Denoiser, DiffusionLearner};
use crate::gan::{GanLearner, GanSource, Place};
use crate::planes::Planes;

/// A generator before its first step, on `devices`, of which the first is that of the planes.
pub fn learner(
    config: &GeneratorConfig,
    planes: &Planes,
    devices: &[Device],
    precision: Precision,
) -> Box<dyn Learner> {
    match config.family.kind() {
        FamilyKind::Gan(gan) => Box::new(GanLearner::new(config, gan, planes, devices, precision)),
        FamilyKind::Diffusion(diffusion) => {
            Box::new(DiffusionLearner::new(config, diffusion, planes.count(), devices, precision))
        }
    }
}

/// A generator to draw from, with initial weights and without gradients.
pub fn image_source(
    config: &GeneratorConfig,
    planes: &Planes,
    device: Device,
    precision: Precision,
) -> Box<dyn ImageSource> {
    let count = planes.count();
    let source: Box<dyn ImageSource> = match config.family.kind() {
        FamilyKind::Gan(gan) => {
            Box::new(GanSource::new(gan.networks(), &Place::new(config, count, device, precision)))
        }
        FamilyKind::Diffusion(diffusion) => {
            Box::new(Denoiser::new(config, diffusion, count, device, precision))
        }
    };
    source.parameters().set_requires_grad(false);
    source
}
