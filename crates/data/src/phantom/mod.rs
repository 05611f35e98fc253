//! Phantom cohorts: procedural subjects in BraTS's layout, for the demo, the tests and the benches.
//!
//! A subject is a shared template (skull-stripped brain: folded cortex, white matter, deep nuclei, ventricles,
//! cerebellum, brainstem), deformed, with a tumour that pushes tissue aside, imaged in the four contrasts by
//! the equations of the sequences, with a bias field and Rician noise. It is drawn so that different subjects
//! correlate about as registered patients do (0.8-0.9 inside the brain), or an audit would be too easy.
//!
//! Default size: 120 x 120 x 78 voxels of 2 mm, the same field of view as BraTS's 240 x 240 x 155 of 1 mm at an
//! eighth of the voxels: at a training resolution of 64 both come to 4 mm.

mod anatomy;
mod lesion;
mod noise;
mod render;
mod shapes;
mod signal;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use synthmr_core::files::{self, FileError, FolderWriter};

use crate::nifti::{self, Datatype, NiftiError};
pub use render::PhantomSubject;

/// Voxels along x and y when nothing else is asked for.
pub const DEFAULT_SIZE: usize = 120;

/// Sizes that make sense: below, no fold is left; above, voxels are smaller than any scanner's.
const SIZES: std::ops::RangeInclusive<usize> = 32..=480;

/// Most subjects of one cohort: their names have four digits.
const MOST_SUBJECTS: usize = 9999;

/// Suffixes of the files, in the order of [`PhantomSubject::images`].
const CONTRASTS: [&str; 4] = ["t1", "t1ce", "t2", "flair"];

/// What cohort to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhantomOptions {
    /// Number of subjects.
    pub subjects: usize,
    /// Seed; subject i depends on it and on i alone, so a larger cohort begins with the smaller one.
    pub seed: u64,
    /// Voxels along x and y; [`DEFAULT_SIZE`]. The field of view is always 240 x 240 x 155 mm.
    pub size: usize,
}

/// Why a phantom cohort was not made.
#[derive(Debug, thiserror::Error)]
pub enum PhantomError {
    /// A number of subjects that is not possible.
    #[error(
        "expected 1 to {MOST_SUBJECTS} phantom subjects, found {found}\nhint: 12 are enough for the demo"
    )]
    Subjects {
        /// What was asked for.
        found: usize,
    },
    /// A size that is not possible.
    #[error("expected a phantom size from {} to {} voxels, found {found}\nhint: {DEFAULT_SIZE} is the default, 240 that of BraTS", SIZES.start(), SIZES.end())]
    Size {
        /// What was asked for.
        found: usize,
    },
    /// The folder could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A volume could not be written.
    #[error("{path}: {source}")]
    Volume {
        /// The volume.
        path: PathBuf,
        /// Why.
        source: NiftiError,
    },
    /// `progress` wished to stop.
    #[error("interrupted; nothing was written\nhint: run the same command again")]
    Interrupted,
}

/// Writes `dir/Phantom_0001/Phantom_0001_t1.nii.gz` and so on; the folder appears when it is complete. Calls
/// `progress` with the number of subjects done, which stops by breaking. Runs on rayon's threads.
///
/// # Errors
/// [`PhantomError`]: impossible options, a folder that exists, or one that cannot be written.
pub fn generate(
    dir: &Path,
    options: &PhantomOptions,
    progress: &(dyn Fn(usize) -> ControlFlow<()> + Sync),
) -> Result<(), PhantomError> {
    if !(1..=MOST_SUBJECTS).contains(&options.subjects) {
        return Err(PhantomError::Subjects { found: options.subjects });
    }
    check_size(options.size)?;
    let folder = FolderWriter::create(dir)?;
    let done = AtomicUsize::new(0);
    (0..options.subjects).into_par_iter().try_for_each(|index| {
        let subject = render::subject(options.seed, index as u64, options.size);
        write(folder.path(), &format!("Phantom_{:04}", index + 1), &subject)?;
        match progress(done.fetch_add(1, Ordering::Relaxed) + 1) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(PhantomError::Interrupted),
        }
    })?;
    folder.commit()?;
    Ok(())
}

/// One subject (`index` from 0) without any file; what [`generate`] writes.
///
/// # Errors
/// [`PhantomError::Size`].
pub fn subject(seed: u64, index: u64, size: usize) -> Result<PhantomSubject, PhantomError> {
    check_size(size)?;
    Ok(render::subject(seed, index, size))
}

fn check_size(size: usize) -> Result<(), PhantomError> {
    if SIZES.contains(&size) { Ok(()) } else { Err(PhantomError::Size { found: size }) }
}

fn write(folder: &Path, name: &str, subject: &PhantomSubject) -> Result<(), PhantomError> {
    let folder = folder.join(name);
    files::create_folder(&folder)?;
    let volumes =
        CONTRASTS.iter().zip(&subject.images).map(|(suffix, volume)| (*suffix, volume, Datatype::I16));
    volumes.chain([("seg", &subject.annotation, Datatype::U8)]).try_for_each(|(suffix, volume, datatype)| {
        let path = folder.join(format!("{name}_{suffix}.nii.gz"));
        nifti::write(&path, volume, datatype).map_err(|source| PhantomError::Volume { path, source })
    })
}
