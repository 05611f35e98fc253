//! One subject: anatomy, tumour and scanner drawn from its own random stream, then every voxel computed.

use rayon::prelude::*;
use synthmr_core::random::{Draw, Stream, rng};

use super::anatomy::Anatomy;
use super::lesion::Lesion;
use super::noise::{Field, Point};
use super::signal::{CONTRASTS, Signals, TISSUES, Tissue, draw_protocol};
use crate::nifti::Volume;

/// Extent of the imaged box, mm: that of BraTS.
const BOX_MM: [f64; 3] = [240.0, 240.0, 155.0];

/// Standard deviation of the displacement between two people along each axis, mm.
const DEFORMATION_MM: f64 = 0.4;

/// How far the phases of the folding field differ between people, radians.
const FOLD_RADIANS: f64 = 0.1;

/// Every how many subjects one has a tumour without enhancement.
const WITHOUT_ENHANCEMENT_EVERY: u64 = 5;

/// Strongest brightening or darkening of the bias field, as a share (two standard deviations).
const BIAS_SHARE: f64 = 0.07;

/// Standard deviation of the noise, as a share of white matter's signal in the same contrast.
const NOISE_SHARE: [f64; 2] = [0.012, 0.025];

/// Half the width that a scanner gives to an edge, mm.
const SCANNER_BLUR_MM: f64 = 0.4;

/// Intensity of white matter in the T1 file, in a scanner's arbitrary units.
const SCANNER_UNITS: [f64; 2] = [300.0, 900.0];

/// Labels of BraTS in the annotation.
const NCR: f32 = 1.0;
const ED: f32 = 2.0;
const ET: f32 = 4.0;

/// The volumes of one phantom subject.
#[derive(Clone, Debug, PartialEq)]
pub struct PhantomSubject {
    /// T1, T1ce, T2, FLAIR; 0 outside the brain.
    pub images: Vec<Volume>,
    /// 0, 1 (NCR), 2 (ED), 4 (ET).
    pub annotation: Volume,
}

/// Everything that is drawn for a subject before any voxel.
struct Person {
    anatomy: Anatomy,
    deformation: [Field; 3],
    scale: Point,
    lesion: Lesion,
    signals: Signals,
    bias: [Field; CONTRASTS],
    noise: f64,
    units: [f64; CONTRASTS],
}

impl Person {
    fn draw(seed: u64, index: u64) -> Self {
        let random = &mut rng(seed, Stream::PhantomAnatomy, index);
        let deformation = [0; 3].map(|_: i32| Field::draw(random, 12, 55.0, 130.0));
        let scale = [0.0; 3].map(|_: f64| 1.0 + 0.006 * random.normal().clamp(-2.0, 2.0));
        let anatomy = Anatomy::draw(random, FOLD_RADIANS);
        // By turns and not by chance, so that small cohorts have some of each.
        let enhancing = !(index.wrapping_add(seed)).is_multiple_of(WITHOUT_ENHANCEMENT_EVERY);
        let lesion = Lesion::draw(random, enhancing);
        let signals = draw_protocol(random);
        let bias = [0; CONTRASTS].map(|_: i32| Field::draw(random, 5, 180.0, 320.0));
        let noise = random.uniform_in(NOISE_SHARE[0], NOISE_SHARE[1]);
        let units = [0.0; CONTRASTS].map(|_: f64| random.uniform_in(SCANNER_UNITS[0], SCANNER_UNITS[1]));
        Self { anatomy, deformation, scale, lesion, signals, bias, noise, units }
    }

    /// Signals and label at a point of the image (mm from its centre), or none outside the brain.
    fn voxel(&self, p: Point, softness: f64) -> Option<([f64; CONTRASTS], f32)> {
        if Anatomy::is_outside(p) {
            return None;
        }
        let before = self.lesion.before(p, Anatomy::freedom(p));
        let q = std::array::from_fn(|axis| {
            before[axis] * self.scale[axis] + DEFORMATION_MM * self.deformation[axis].at(before)
        });
        let site = self.anatomy.site(q, softness)?;
        if site.depth_mm < 0.0 {
            return None;
        }
        let healthy = site.shares;
        let ill = self.lesion.shares(p, site.depth_mm, healthy.csf, healthy.cortex, softness);
        let rest = (1.0 - ill.necrosis - ill.solid - ill.enhancing - ill.oedema).max(0.0);
        let mut shares = [0.0; TISSUES];
        let mut put = |tissue: Tissue, share: f64| shares[tissue as usize] = share;
        put(Tissue::Csf, rest * healthy.csf);
        put(Tissue::Cortex, rest * healthy.cortex);
        put(Tissue::White, rest * healthy.white);
        put(Tissue::DeepGrey, rest * healthy.deep_grey);
        put(Tissue::Vessel, rest * healthy.vessel);
        put(Tissue::Oedema, ill.oedema);
        put(Tissue::Necrosis, ill.necrosis);
        put(Tissue::Enhancing, ill.enhancing);
        put(Tissue::Solid, ill.solid);
        let core = ill.necrosis + ill.solid;
        let label = if core + ill.enhancing + ill.oedema < 0.5 {
            0.0
        } else if ill.oedema >= core && ill.oedema >= ill.enhancing {
            ED
        } else if ill.enhancing > core {
            ET
        } else {
            NCR
        };
        let signal = |contrast: usize| -> f64 {
            let clean: f64 = self.signals[contrast].iter().zip(&shares).map(|(s, share)| s * share).sum();
            clean * (0.5 * BIAS_SHARE * self.bias[contrast].at(p)).exp()
        };
        Some((std::array::from_fn(signal), label))
    }
}

/// Extents of a phantom of `size` voxels along x and y.
pub(super) fn shape(size: usize) -> [usize; 3] {
    let slices = (BOX_MM[2] * size as f64 / BOX_MM[0]).round() as usize;
    [size, size, slices]
}

/// Computes subject `index` (from 0) of the cohort with this seed; `size` voxels along x and y. Depends on
/// nothing else.
pub(super) fn subject(seed: u64, index: u64, size: usize) -> PhantomSubject {
    let person = Person::draw(seed, index);
    let [nx, ny, nz] = shape(size);
    let spacing = BOX_MM[0] / size as f64;
    // Half a voxel, and the blur of any scanner.
    let softness = 0.5 * spacing + SCANNER_BLUR_MM;
    let middle = [nx, ny, nz].map(|n| (n as f64 - 1.0) / 2.0);
    let slices: Vec<Vec<[f32; CONTRASTS + 1]>> = (0..nz)
        .into_par_iter()
        .map(|z| {
            let noise = &mut rng(seed, Stream::PhantomNoise, index << 16 | z as u64);
            let mut slice = Vec::with_capacity(nx * ny);
            for i in 0..nx * ny {
                let voxel = [i % nx, i / nx, z];
                let p = std::array::from_fn(|axis| (voxel[axis] as f64 - middle[axis]) * spacing);
                let Some((signals, label)) = person.voxel(p, softness) else {
                    slice.push([0.0; CONTRASTS + 1]);
                    continue;
                };
                let mut out = [label; CONTRASTS + 1];
                for contrast in 0..CONTRASTS {
                    // Rician: the magnitude of a signal with noise in both of its parts. At least 1, because
                    // 0 means outside the brain.
                    let deviation = person.noise * person.signals[contrast][Tissue::White as usize];
                    let (real, imaginary) = (noise.normal() * deviation, noise.normal() * deviation);
                    let magnitude = (signals[contrast] + real).hypot(imaginary);
                    out[contrast] = (magnitude * person.units[contrast]).round().max(1.0) as f32;
                }
                slice.push(out);
            }
            slice
        })
        .collect();
    // As BraTS's files: the voxel axes run left, posterior, up.
    let affine = [
        [-spacing, 0.0, 0.0, 0.0],
        [0.0, -spacing, 0.0, (ny as f64 - 1.0) * spacing],
        [0.0, 0.0, spacing, 0.0],
    ];
    let volume = |plane: usize| {
        let voxels = slices.iter().flatten().map(|voxel| voxel[plane]).collect();
        Volume::new([nx, ny, nz], affine, voxels)
    };
    PhantomSubject { images: (0..CONTRASTS).map(volume).collect(), annotation: volume(CONTRASTS) }
}
