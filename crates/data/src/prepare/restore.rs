//! The way back: from label maps on a store's slices to volumes on the grids of the cohort they came from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use synthmr_core::files::{self, FileError};
use synthmr_core::{Digest, SubjectId};

use super::resample::Square;
use super::{PrepareError, classes_of};
use crate::cohort::{Cohort, CohortSubject, printable};
use crate::import::{PRIVATE_FILE, PrivateSubjects};
use crate::nifti::{self, AxisCodes, Datatype, NiftiError, Volume};
use crate::store::SliceStore;

/// Why a label map cannot become a volume of a cohort.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The list of names beside the store cannot be read.
    #[error(
        "{source}\nhint: only who has the store's private list of names can write volumes of its subjects"
    )]
    Names {
        /// What is wrong with the file.
        source: FileError,
    },
    /// A subject of the store is not in the cohort.
    #[error(
        "{}: expected subject {subject} in the cohort, found no such name\nhint: give the cohort that the store was imported from",
        store.display()
    )]
    Subject {
        /// The store.
        store: PathBuf,
        /// Name of the subject, or its pseudonym where the list of names lacks it.
        subject: String,
    },
    /// The annotation cannot be read, or holds values without a class.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The annotation is not what was imported.
    #[error(
        "subject {subject}: {file}: expected the annotation that the store holds, found another in slice {slice}\n\
         hint: give the cohort that the store was imported from, unchanged"
    )]
    Changed {
        /// The subject.
        subject: SubjectId,
        /// Its annotation.
        file: String,
        /// Number of the first slice that differs.
        slice: i32,
    },
    /// The volume cannot be written.
    #[error(transparent)]
    Write(#[from] NiftiError),
}

/// Label maps on the slices of one subject.
#[derive(Clone, Copy, Debug)]
pub struct SliceLabels<'a> {
    /// Pseudonym of the subject.
    pub subject: &'a Digest,
    /// Numbers of the slices in the volume, rising.
    pub slices: &'a [i32],
    /// What the store holds: class indices u8 `[n, R, R]`.
    pub truth: &'a [u8],
    /// What is written: class indices u8 `[n, R, R]`.
    pub labels: &'a [u8],
}

/// Writes label maps of a store's subjects as volumes on the grids of their annotations.
#[derive(Debug)]
pub struct Restorer {
    cohort: Cohort,
    store: PathBuf,
    resolution: usize,
    /// Where each subject of the store is in the cohort.
    positions: BTreeMap<Digest, usize>,
}

impl Restorer {
    /// Finds the subjects of a store in the cohort that it was imported from, by the list of names beside the store.
    ///
    /// # Errors
    /// [`RestoreError::Names`], [`RestoreError::Subject`] when the cohort lacks one of the store's subjects.
    pub fn new(store: &SliceStore, cohort: Cohort) -> Result<Self, RestoreError> {
        let names: PrivateSubjects = files::read_json(&store.path().join(PRIVATE_FILE))
            .map_err(|source| RestoreError::Names { source })?;
        let known: BTreeMap<&str, usize> =
            cohort.subjects.iter().enumerate().map(|(i, subject)| (subject.id.as_str(), i)).collect();
        let mut positions = BTreeMap::new();
        for subject in names.subjects {
            let missing =
                || RestoreError::Subject { store: store.path().into(), subject: subject.name.clone() };
            positions.insert(subject.pseudonym, *known.get(subject.name.as_str()).ok_or_else(missing)?);
        }
        Ok(Self { resolution: store.manifest().height, store: store.path().into(), positions, cohort })
    }

    /// Writes `folder/NAME.nii.gz`, NAME being the subject's in the cohort: shape and affine are those of its annotation, every voxel has
    /// the class of the pixel that it went into, and slices that were left out are background. A class is
    /// written as the value that the annotation has for it, or as the first of its values where it has none.
    ///
    /// The annotation is prepared once more and must be `truth` again, so that nothing is written to a place it does
    /// not belong to.
    ///
    /// # Errors
    /// [`RestoreError`]; nothing is then written.
    pub fn write(&self, of: &SliceLabels<'_>, folder: &Path) -> Result<PathBuf, RestoreError> {
        let missing = || RestoreError::Subject { store: self.store.clone(), subject: of.subject.to_string() };
        let subject = &self.cohort.subjects[*self.positions.get(of.subject).ok_or_else(missing)?];
        let read = |source| PrepareError::Read { subject: subject.id.clone(), source };
        let annotation = nifti::read(&subject.annotation).map_err(read)?;
        let (shape, affine, codes) = (annotation.shape, annotation.affine, annotation.axis_codes());
        let lps = annotation.reorient(AxisCodes::LPS);
        let classes = classes_of(&lps, &self.cohort.labels, subject)?;
        let values = self.values(&lps.voxels);

        let [columns, rows, depth] = lps.shape;
        let square = Square::fitting(rows, columns, self.resolution);
        let (plane, reduced) = (rows * columns, self.resolution * self.resolution);
        let mut voxels = vec![0f32; lps.voxels.len()];
        let (mut again, mut enlarged) = (vec![0; reduced], vec![0; plane]);
        let maps = of.truth.chunks_exact(reduced).zip(of.labels.chunks_exact(reduced));
        for (&slice, (truth, labels)) in of.slices.iter().zip(maps) {
            let changed = || changed(subject, slice);
            let z = usize::try_from(slice).ok().filter(|&z| z < depth).ok_or_else(changed)?;
            let place = z * plane..(z + 1) * plane;
            square.commonest(&classes[place.clone()], self.cohort.labels.class_count(), &mut again);
            if again != truth {
                return Err(changed());
            }
            square.enlarge(labels, &mut enlarged);
            for (voxel, &class) in voxels[place].iter_mut().zip(&enlarged) {
                *voxel = values[usize::from(class)] as f32;
            }
        }
        let turned = Volume::new(lps.shape, lps.affine, voxels).reorient(codes);
        // The affine as it was read: turning there and back rounds.
        let volume = Volume::new(shape, affine, turned.voxels);
        let path = folder.join(format!("{}.nii.gz", subject.id.as_str()));
        let fits_u8 = values.iter().all(|&value| u8::try_from(value).is_ok());
        nifti::write(&path, &volume, if fits_u8 { Datatype::U8 } else { Datatype::I32 })?;
        Ok(path)
    }

    /// The value of each class.
    fn values(&self, annotation: &[f32]) -> Vec<i32> {
        let used: BTreeSet<i32> = annotation.iter().map(|&value| value as i32).collect();
        let value =
            |values: &Vec<i32>| values.iter().find(|value| used.contains(value)).or(values.first()).copied();
        self.cohort.labels.classes.iter().map(|class| value(&class.source_values).unwrap_or(0)).collect()
    }
}

fn changed(subject: &CohortSubject, slice: i32) -> RestoreError {
    RestoreError::Changed { subject: subject.id.clone(), file: printable(&subject.annotation), slice }
}
