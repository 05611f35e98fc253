//! Preparation: from a subject's volumes to the axial slices that are kept of it.
//!
//! Recipes (Akbar et al. 2024, "Data"):
//! * `paper`: each volume divided by its own maximum, times 255, cut to 8 bit; axial slices kept when more
//!   than 15 % of the padded square's T1 pixels exceed 50.
//! * `robust`: the 99.5th percentile of the voxels inside the brain in place of the maximum, clipped, so that
//!   one bright voxel does not darken a volume; slices kept when the brain covers more than 15 % of the square.
//!
//! Both: volumes are turned to LPS (the order of BraTS's own files), zero-padded to the centred square whose
//! side is the smallest multiple of the resolution that fits (240 -> 256), then reduced by whole blocks: the
//! mean for images, the commonest class for labels. In a slice rows run from anterior to posterior and columns
//! from the patient's right to left, which is how radiologists look at it.
//!
//! Deviations: the study works at 256 only and cannot reduce; its slices come out of `paper` unchanged.

mod error;
mod intensity;
mod resample;
pub mod restore;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use rayon::prelude::*;
use synthmr_core::records::PreparationRecord;
use synthmr_core::{Digest, LabelScheme, limits};

use crate::cohort::{self, Cohort, CohortSubject, Finding, Level, printable};
use crate::nifti::{self, AxisCodes, Grid, Volume};

pub use error::PrepareError;
use resample::Square;

/// T1 intensity above which the study counts a pixel (of 255).
const PAPER_INTENSITY: u8 = 50;

/// A slice is kept when more than this percentage of its padded square counts.
const KEPT_PERCENT: usize = 15;

/// The share of brain voxels that `robust` maps below 255.
const ROBUST_QUANTILE: f64 = 0.995;

/// Smallest training resolution: below it no anatomy is left.
const SMALLEST_RESOLUTION: usize = 16;

/// How volumes become slices; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Recipe {
    /// As published.
    Paper,
    /// Against outliers; the default for new cohorts.
    #[default]
    Robust,
}

/// A recipe and the size of its slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preparation {
    recipe: Recipe,
    resolution: usize,
}

/// The kept slices of one subject, from the feet up.
#[derive(Clone, Debug, PartialEq)]
pub struct PreparedSubject {
    /// u8 `[n, C, R, R]` for resolution R.
    pub images: Vec<u8>,
    /// Class indices, u8 `[n, R, R]`.
    pub labels: Vec<u8>,
    /// Number of each kept slice in the volume, from the feet up.
    pub slices: Vec<i32>,
    /// Distance between the centres of stored pixels: rows, columns, slices; millimetres.
    pub spacing_mm: [f64; 3],
    /// What a person should know of the subject's volumes: orientations that are a guess, lost highlights.
    pub warnings: Vec<Finding>,
    /// Digest of the content of every volume, images first; none for an annotation without foreground, which
    /// many subjects may have.
    pub digests: Vec<Option<Digest>>,
}

/// A volume that has been read and found good.
struct Inspected {
    volume: Volume,
    digest: Option<Digest>,
    warnings: Vec<Finding>,
}

impl Preparation {
    /// A recipe at a resolution.
    ///
    /// # Errors
    /// [`PrepareError::Resolution`] when it is not a power of two from 16 to [`limits::RESOLUTION`].
    pub fn new(recipe: Recipe, resolution: usize) -> Result<Self, PrepareError> {
        if !resolution.is_power_of_two() || !(SMALLEST_RESOLUTION..=limits::RESOLUTION).contains(&resolution)
        {
            return Err(PrepareError::Resolution { found: resolution, smallest: SMALLEST_RESOLUTION });
        }
        Ok(Self { recipe, resolution })
    }

    /// Rows and columns of a slice.
    pub fn resolution(&self) -> usize {
        self.resolution
    }

    /// What is done to a cohort with these contrasts, in words, for the store's manifest.
    pub fn record(&self, channels: &[String]) -> PreparationRecord {
        let (scale, kept) = match self.recipe {
            Recipe::Paper => (
                "each volume divided by its maximum, times 255, cut to 8 bit".to_owned(),
                format!(
                    "slices kept when more than {KEPT_PERCENT} % of the square's {} pixels exceed {PAPER_INTENSITY}",
                    channels[deciding_channel(channels)]
                ),
            ),
            Recipe::Robust => (
                format!(
                    "each volume divided by the {} percentile of its voxels inside the brain (any contrast \
                     not zero), times 255, rounded to 8 bit and clipped",
                    100.0 * ROBUST_QUANTILE
                ),
                format!("slices kept when the brain covers more than {KEPT_PERCENT} % of the square"),
            ),
        };
        let resampled = format!(
            "reduced to {0} x {0} by whole blocks: mean of images, commonest class of labels",
            self.resolution
        );
        let steps = vec![
            "turned to LPS; rows anterior to posterior, columns right to left, slices from the feet up"
                .into(),
            scale,
            format!(
                "zero-padded to the centred square of the smallest multiple of {} that fits",
                self.resolution
            ),
            kept,
            resampled,
        ];
        PreparationRecord { recipe: self.recipe.to_string(), steps }
    }

    /// What a person should know of the recipe's work on a cohort with these contrasts: `paper` looks at T1, and
    /// takes the first contrast where there is no T1.
    pub fn warning(&self, channels: &[String]) -> Option<Finding> {
        let decides = &channels[deciding_channel(channels)];
        if self.recipe != Recipe::Paper || is_t1(decides) {
            return None;
        }
        Some(Finding::new(
            Level::Warning,
            "",
            "",
            "a contrast named T1, by which the recipe `paper` keeps or drops slices",
            format!("{}; {decides} was used instead", channels.join(", ")),
            "name the contrast T1 in cohort.toml, or use the recipe `robust`, which looks at all contrasts",
        ))
    }

    /// Reads and prepares one subject of a cohort. Runs on rayon's threads; the result does not depend on
    /// their number. Memory: the subject's volumes as f32 and u8.
    ///
    /// # Errors
    /// [`PrepareError`] with the subject and the file: unreadable, or what `synthmr check` calls a fault of one
    /// subject (NaN, constant, a voxel that outshines all others, another grid), an image without positive
    /// intensities, annotation values without a class.
    pub fn subject(&self, cohort: &Cohort, subject: &CohortSubject) -> Result<PreparedSubject, PrepareError> {
        let id = &subject.id;
        let paths: Vec<&Path> =
            subject.images.iter().chain([&subject.annotation]).map(|path| path.as_path()).collect();
        let inspected: Vec<Result<Inspected, PrepareError>> = paths
            .par_iter()
            .enumerate()
            .map(|(index, path)| {
                let (header, volume) = nifti::read_with_header(path)
                    .map_err(|source| PrepareError::Read { subject: id.clone(), source })?;
                let mut digest = None;
                let (volume, warnings) = findings_of(subject, path, volume, |mut volume, report| {
                    cohort::check_header(&header, report);
                    let is_image = index < subject.images.len();
                    let good = if is_image {
                        cohort::check_image(&header, &volume, report)
                    } else {
                        cohort::check_finite(&volume, report)
                    };
                    if good {
                        volume = volume.reorient(AxisCodes::LPS);
                        let comparable = is_image || volume.voxels.iter().any(|&v| v != 0.0);
                        digest = comparable.then(|| cohort::digest(&volume));
                    }
                    volume
                })?;
                Ok(Inspected { volume, digest, warnings })
            })
            .collect();
        let inspected = inspected.into_iter().collect::<Result<Vec<_>, _>>()?;
        let grid = Grid::of(&inspected[0].volume);
        for (other, path) in inspected.iter().zip(&paths).skip(1) {
            findings_of(subject, path, (), |(), report| {
                cohort::check_grid(&grid, &printable(paths[0]), &Grid::of(&other.volume), report);
            })?;
        }
        let (mut volumes, mut digests, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
        for inspected in inspected {
            volumes.push(inspected.volume);
            digests.push(inspected.digest);
            warnings.extend(inspected.warnings);
        }
        // The annotation is the last of the paths, so there is always one.
        let Some(annotation) = volumes.pop() else { unreachable!("a subject has an annotation") };
        let classes = classes_of(&annotation, &cohort.labels, subject)?;
        drop(annotation);
        let prepared = self.slices(cohort, subject, &volumes, &classes)?;
        Ok(PreparedSubject { warnings, digests, ..prepared })
    }

    /// Scales, selects and reduces.
    fn slices(
        &self,
        cohort: &Cohort,
        subject: &CohortSubject,
        volumes: &[Volume],
        classes: &[u8],
    ) -> Result<PreparedSubject, PrepareError> {
        let [columns, rows, _] = volumes[0].shape;
        let plane = columns * rows;
        let square = Square::fitting(rows, columns, self.resolution);
        let mask = match self.recipe {
            Recipe::Robust => intensity::brain_mask(volumes),
            Recipe::Paper => Vec::new(),
        };
        let scaled: Vec<Result<Vec<u8>, PrepareError>> = volumes
            .par_iter()
            .zip(&subject.images)
            .map(|(volume, path)| {
                let level = match self.recipe {
                    Recipe::Paper => intensity::maximum(&volume.voxels),
                    Recipe::Robust => intensity::quantile(&volume.voxels, &mask, ROBUST_QUANTILE),
                };
                let Some(level) = level.filter(|&level| level > 0.0) else {
                    return Err(PrepareError::NoSignal { subject: subject.id.clone(), path: path.clone() });
                };
                Ok(match self.recipe {
                    Recipe::Paper => intensity::cut_to_8_bit(&volume.voxels, level),
                    Recipe::Robust => intensity::round_to_8_bit(&volume.voxels, level),
                })
            })
            .collect();
        let scaled = scaled.into_iter().collect::<Result<Vec<_>, _>>()?;
        let t1 = deciding_channel(&cohort.channels);
        let counted = |z: usize| {
            let slice = z * plane..(z + 1) * plane;
            match self.recipe {
                Recipe::Paper => scaled[t1][slice].iter().filter(|&&v| v > PAPER_INTENSITY).count(),
                Recipe::Robust => mask[slice].iter().map(|&inside| usize::from(inside)).sum(),
            }
        };
        let threshold = KEPT_PERCENT * square.side * square.side;
        let kept: Vec<usize> = (0..volumes[0].shape[2]).filter(|&z| 100 * counted(z) > threshold).collect();

        let pixels = self.resolution * self.resolution;
        let mut images = vec![0; kept.len() * scaled.len() * pixels];
        images.par_chunks_exact_mut(pixels).enumerate().for_each(|(i, out)| {
            let (z, channel) = (kept[i / scaled.len()], i % scaled.len());
            square.mean(&scaled[channel][z * plane..(z + 1) * plane], out);
        });
        let mut labels = vec![0; kept.len() * pixels];
        labels.par_chunks_exact_mut(pixels).zip(&kept).for_each(|(out, &z)| {
            square.commonest(&classes[z * plane..(z + 1) * plane], cohort.labels.class_count(), out);
        });
        let [x, y, z] = volumes[0].spacing_mm;
        let factor = square.factor as f64;
        Ok(PreparedSubject {
            images,
            labels,
            slices: kept.into_iter().map(|z| z as i32).collect(),
            spacing_mm: [y * factor, x * factor, z],
            warnings: Vec::new(),
            digests: Vec::new(),
        })
    }
}

/// The contrast whose intensities decide which slices `paper` keeps.
fn deciding_channel(channels: &[String]) -> usize {
    channels.iter().position(|name| is_t1(name)).unwrap_or(0)
}

fn is_t1(name: &str) -> bool {
    name.eq_ignore_ascii_case("T1")
}

/// Runs a check of [`cohort`] on `input`: its first fault is an error, its warnings come with the result.
fn findings_of<I, O>(
    subject: &CohortSubject,
    path: &Path,
    input: I,
    check: impl FnOnce(I, &mut dyn FnMut(Level, String, String, &str)) -> O,
) -> Result<(O, Vec<Finding>), PrepareError> {
    let mut findings = Vec::new();
    let output = check(input, &mut |level, expected, found, hint| {
        let file = printable(path);
        findings.push(Finding::new(level, subject.id.as_str(), file, expected, found, hint));
    });
    match findings.iter().position(|finding| finding.level == Level::Fault) {
        Some(first) => Err(PrepareError::Fault { finding: Box::new(findings.swap_remove(first)) }),
        None => Ok((output, findings)),
    }
}

/// The class of every voxel of an annotation.
fn classes_of(
    annotation: &Volume,
    scheme: &LabelScheme,
    subject: &CohortSubject,
) -> Result<Vec<u8>, PrepareError> {
    let mut table = [None; 256];
    let mut others = Vec::new();
    for (index, class) in scheme.classes.iter().enumerate() {
        for &value in &class.source_values {
            match usize::try_from(value).ok().and_then(|value| table.get_mut(value)) {
                Some(entry) => *entry = Some(index as u8),
                None => others.push((value as f32, index as u8)),
            }
        }
    }
    let class_of = |value: f32| {
        // Casts saturate, so a value that is no small integer does not equal its cast.
        let small = value as u8;
        if f32::from(small) == value {
            return table[usize::from(small)];
        }
        others.iter().find(|(other, _)| *other == value).map(|(_, class)| *class)
    };
    // A valid scheme has the value 0 in class 0, the background.
    intensity::map_occupied(&annotation.voxels, |value| class_of(value).ok_or(())).map_err(|()| {
        let mut found: Vec<f32> =
            annotation.voxels.iter().copied().filter(|&value| class_of(value).is_none()).collect();
        found.sort_unstable_by(f32::total_cmp);
        let voxels = found.len();
        found.dedup();
        found.truncate(5);
        let mut expected: Vec<i32> =
            scheme.classes.iter().flat_map(|class| class.source_values.clone()).collect();
        expected.sort_unstable();
        PrepareError::UnknownLabel {
            subject: subject.id.clone(),
            path: subject.annotation.clone(),
            expected,
            found,
            voxels,
        }
    })
}

impl Recipe {
    /// The name on the command line and in records.
    pub fn name(self) -> &'static str {
        match self {
            Recipe::Paper => "paper",
            Recipe::Robust => "robust",
        }
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Recipe {
    type Err = PrepareError;
    fn from_str(text: &str) -> Result<Self, PrepareError> {
        let known = [Recipe::Paper, Recipe::Robust].into_iter().find(|recipe| recipe.name() == text);
        known.ok_or_else(|| PrepareError::Recipe { found: text.chars().take(40).collect() })
    }
}
