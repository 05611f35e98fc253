//! From a cohort to a store: division, preparation, pseudonyms, contact sheet.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use synthmr_core::files::Access;
use synthmr_core::records::{Origin, SCHEMA, StoreManifest, SubjectRecord};
use synthmr_core::{Digest, Split, SubjectId};

use crate::cohort::{Cohort, CohortSubject, Contents, Finding, Holder, printable};
use crate::prepare::{Preparation, PrepareError, PreparedSubject};
use crate::sheet::{self, SHEET_ROWS, SheetImage};
use crate::split::{SplitError, SplitRequest};
use crate::store::{StoreError, StoreLayout, StoreWriter};

/// The key to the pseudonyms, for the hospital; it never leaves the store's folder.
pub const PRIVATE_FILE: &str = "subjects.private.json";

/// Most subjects prepared at once. A BraTS subject takes about 250 MB while it is prepared; more at once gain
/// little, because the volumes of one subject are read in parallel already.
const SUBJECTS_AT_ONCE: usize = 4;

/// What is wanted of an import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// How volumes become slices.
    pub preparation: Preparation,
    /// How subjects are divided.
    pub split: SplitRequest,
    /// Seed of the division.
    pub seed: u64,
    /// Key of the pseudonyms. Who knows it can test whether a name is in the store, so a hospital draws its own
    /// and keeps it.
    pub pseudonym_key: u64,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportProgress {
    /// Subjects prepared.
    pub subjects_done: usize,
    /// Subjects in the cohort.
    pub subjects: usize,
    /// Slices kept so far.
    pub slices: usize,
}

/// What an import made.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportSummary {
    /// The store's manifest.
    pub manifest: StoreManifest,
    /// Subjects and slices of every part that has any.
    pub parts: BTreeMap<Split, PartSummary>,
    /// Subjects of which no slice was kept; they are listed in the store and have nothing to train or test on.
    pub without_slices: Vec<SubjectId>,
    /// Share of the kept pixels of each class, background first; sums to 1.
    pub class_share: Vec<f64>,
    /// What a person should know of the volumes and the recipe, by subject in the cohort's order: guessed
    /// orientations, above all. Their number is in the manifest's preparation steps.
    pub warnings: Vec<Finding>,
}

/// One part of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartSummary {
    /// Subjects.
    pub subjects: usize,
    /// Slices.
    pub slices: usize,
}

/// Why a cohort was not imported. Nothing of the store stays then.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The cohort has no subjects.
    #[error(
        "expected at least one subject in the cohort, found none\nhint: `synthmr check` says what it looked for"
    )]
    NoSubjects,
    /// The division is impossible.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// A subject cannot be prepared.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `progress` wished to stop.
    #[error("interrupted; nothing was written\nhint: run the same command again")]
    Interrupted,
}

/// `subjects.private.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrivateSubjects {
    schema: u32,
    note: String,
    pub(crate) subjects: Vec<PrivateSubject>,
}

/// One subject under both of its names.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrivateSubject {
    pub(crate) pseudonym: Digest,
    pub(crate) name: String,
    split: Split,
}

/// Makes the store `out` of a cohort. Runs on rayon's threads; the store's bytes depend on the volumes and
/// the options alone, not on the number of threads. `progress` is told of every subject, and stops the import by
/// breaking.
///
/// # Errors
/// [`ImportError`]: the first faulty subject in the cohort's order, an impossible division, or a store that
/// cannot be written.
pub fn import(
    cohort: &Cohort,
    out: &Path,
    options: &ImportOptions,
    progress: &(dyn Fn(ImportProgress) -> ControlFlow<()> + Sync),
) -> Result<ImportSummary, ImportError> {
    if cohort.subjects.is_empty() {
        return Err(ImportError::NoSubjects);
    }
    let names: Vec<SubjectId> = cohort.subjects.iter().map(|subject| subject.id.clone()).collect();
    let assignment = options.split.assign(&names, options.seed, options.pseudonym_key)?;
    let resolution = options.preparation.resolution();
    let layout = StoreLayout {
        channels: cohort.channels.clone(),
        height: resolution,
        width: resolution,
        labels: cohort.labels.clone(),
    };
    let mut writer = StoreWriter::create(out, layout.clone())?;
    let mut records: Vec<SubjectRecord> = Vec::with_capacity(names.len());
    let mut sheet_picks = SheetPicks::new(&assignment.splits);
    let mut contents = Contents::default();
    let mut warnings: Vec<Finding> = options.preparation.warning(&cohort.channels).into_iter().collect();
    let mut class_pixels = vec![0u64; cohort.labels.class_count()];
    let at_once = rayon::current_num_threads().clamp(1, SUBJECTS_AT_ONCE);
    for group in cohort.subjects.chunks(at_once) {
        let prepared: Vec<Result<PreparedSubject, PrepareError>> =
            group.par_iter().map(|subject| options.preparation.subject(cohort, subject)).collect();
        for (subject, prepared) in group.iter().zip(prepared) {
            let mut prepared = prepared?;
            check_content_is_new(&mut contents, cohort, subject, &prepared)?;
            warnings.append(&mut prepared.warnings);
            let index = records.len();
            push_slices(&mut writer, index as u32, &prepared)?;
            sheet_picks.take(index, &prepared);
            prepared.labels.iter().for_each(|&class| class_pixels[usize::from(class)] += 1);
            records.push(record_of(subject, assignment.splits[index], &prepared, options));
            let done =
                ImportProgress { subjects_done: records.len(), subjects: names.len(), slices: writer.len() };
            if progress(done).is_break() {
                return Err(ImportError::Interrupted);
            }
        }
    }
    write_private(&writer, &names, &records)?;
    sheet::render("Training slices of the cohort", true, &layout, &sheet_picks.images).add_to(&writer)?;
    let mut preparation = options.preparation.record(&cohort.channels);
    if !warnings.is_empty() {
        preparation.steps.push(format!(
            "imported with {} warnings about headers, saturated intensities or the recipe; `synthmr check` lists \
             those of the volumes",
            warnings.len()
        ));
    }
    let origin = Origin::Cohort { preparation, split: assignment.record, subjects: records.clone() };
    let manifest = writer.finish(origin)?;
    Ok(ImportSummary { warnings, ..summarise(manifest, names, &records, &class_pixels) })
}

/// Refuses a volume that was seen before: a patient under two names would be in two parts of the division.
fn check_content_is_new(
    contents: &mut Contents,
    cohort: &Cohort,
    subject: &CohortSubject,
    prepared: &PreparedSubject,
) -> Result<(), PrepareError> {
    let paths = subject.images.iter().chain([&subject.annotation]);
    let roles = cohort.channels.iter().map(String::as_str).chain(["annotation"]);
    for ((digest, path), role) in prepared.digests.iter().zip(paths).zip(roles) {
        let Some(digest) = digest else { continue };
        let holder =
            Holder { subject: subject.id.as_str().to_owned(), file: printable(path), role: role.to_owned() };
        if let Some(finding) = contents.add(digest, holder) {
            return Err(PrepareError::Fault { finding: Box::new(finding) });
        }
    }
    Ok(())
}

fn push_slices(writer: &mut StoreWriter, subject: u32, prepared: &PreparedSubject) -> Result<(), StoreError> {
    let count = prepared.slices.len().max(1);
    let images = prepared.images.chunks_exact((prepared.images.len() / count).max(1));
    let labels = prepared.labels.chunks_exact((prepared.labels.len() / count).max(1));
    for ((image, label), &slice) in images.zip(labels).zip(&prepared.slices) {
        writer.push(image, label, Some(subject), slice)?;
    }
    Ok(())
}

fn record_of(
    subject: &CohortSubject,
    split: Split,
    prepared: &PreparedSubject,
    options: &ImportOptions,
) -> SubjectRecord {
    SubjectRecord {
        pseudonym: subject.id.pseudonym(options.pseudonym_key),
        split,
        slices: prepared.slices.len(),
        spacing_mm: prepared.spacing_mm,
    }
}

fn write_private(
    writer: &StoreWriter,
    names: &[SubjectId],
    records: &[SubjectRecord],
) -> Result<(), StoreError> {
    let subjects = names.iter().zip(records).map(|(name, record)| PrivateSubject {
        pseudonym: record.pseudonym.clone(),
        name: name.as_str().to_owned(),
        split: record.split,
    });
    let private = PrivateSubjects {
        schema: SCHEMA,
        note: "Names of patients. Never copy this file out of the hospital; only writing volumes of the cohort's own \
               subjects reads it."
            .to_owned(),
        subjects: subjects.collect(),
    };
    writer.add_json(PRIVATE_FILE, Access::Private, &private)
}

fn summarise(
    manifest: StoreManifest,
    names: Vec<SubjectId>,
    records: &[SubjectRecord],
    class_pixels: &[u64],
) -> ImportSummary {
    let mut parts: BTreeMap<Split, PartSummary> = BTreeMap::new();
    for record in records {
        let part = parts.entry(record.split).or_default();
        part.subjects += 1;
        part.slices += record.slices;
    }
    let empty = names.into_iter().zip(records).filter(|(_, record)| record.slices == 0);
    let total = class_pixels.iter().sum::<u64>().max(1) as f64;
    ImportSummary {
        manifest,
        parts,
        without_slices: empty.map(|(name, _)| name).collect(),
        class_share: class_pixels.iter().map(|&pixels| pixels as f64 / total).collect(),
        warnings: Vec::new(),
    }
}

/// The slices of the contact sheet: spread over the training subjects and over the height of the head.
struct SheetPicks {
    /// Subject and height (0 = lowest kept slice, 1 = highest) of every row.
    wanted: Vec<(usize, f64)>,
    images: Vec<SheetImage>,
}

impl SheetPicks {
    fn new(splits: &[Split]) -> Self {
        let train: Vec<usize> = (0..splits.len()).filter(|&i| splits[i] == Split::Train).collect();
        let rows = if train.is_empty() { 0 } else { SHEET_ROWS };
        // Heights go round in steps of three, so that neighbouring rows differ.
        let height = |row: usize| ((3 * row % SHEET_ROWS) as f64 + 0.5) / SHEET_ROWS as f64;
        let wanted = (0..rows).map(|row| (train[row * train.len() / SHEET_ROWS], height(row))).collect();
        Self { wanted, images: Vec::new() }
    }

    fn take(&mut self, subject: usize, prepared: &PreparedSubject) {
        let count = prepared.slices.len();
        if count == 0 {
            return;
        }
        let (image, label) = (prepared.images.len() / count, prepared.labels.len() / count);
        for &(_, height) in self.wanted.iter().filter(|(wanted, _)| *wanted == subject) {
            let i = ((height * count as f64) as usize).min(count - 1);
            self.images.push(SheetImage {
                image: prepared.images[i * image..(i + 1) * image].to_vec(),
                label: prepared.labels[i * label..(i + 1) * label].to_vec(),
            });
        }
    }
}
