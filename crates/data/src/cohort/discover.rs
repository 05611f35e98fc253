//! From file names to subjects.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use synthmr_core::files::{self, FileError};
use synthmr_core::{SubjectId, limits};

use super::brats::Brats;
use super::description::{self, Description};
use super::finding::{Finding, Level, printable};
use super::layout::{Layout, Match, Role, nifti_stem};
use super::walk;
use super::{Cohort, CohortError, CohortSubject};

/// Finds the subjects of a cohort: by its `cohort.toml` when there is one, else by the names that BraTS
/// 2018 to 2024 uses. Opens no volume.
///
/// # Errors
/// [`CohortError::File`] when the folder cannot be listed, [`CohortError::Empty`] when no file has a known
/// name, and [`CohortError::Faults`] with all of them when a contrast or the annotation of a subject is
/// missing or there twice, a name is not usable, or a file is not a regular file.
pub fn discover(path: &Path) -> Result<Cohort, CohortError> {
    let Scan { cohort, mut findings, .. } = scan(path)?;
    findings.retain(|finding| finding.level == Level::Fault);
    if findings.is_empty() {
        Ok(cohort)
    } else {
        Err(CohortError::Faults { path: path.to_owned(), findings })
    }
}

/// A subject's known files, complete or not.
pub(super) struct Found {
    pub(super) name: String,
    /// The name with control characters escaped.
    pub(super) printed: String,
    /// Paths relative to the cohort.
    pub(super) volumes: Vec<(Role, PathBuf)>,
}

/// The complete subjects, all subjects, and everything that is wrong with their names.
pub(super) struct Scan {
    pub(super) cohort: Cohort,
    pub(super) found: Vec<Found>,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn scan(path: &Path) -> Result<Scan, CohortError> {
    let metadata = std::fs::metadata(path).map_err(files::at("read", path))?;
    if !metadata.is_dir() {
        let message =
            "expected a folder of subjects, found a file\nhint: give the folder it is in".to_owned();
        return Err(FileError::Document { path: path.to_owned(), message }.into());
    }
    let description = path.join(description::FILE_NAME);
    let layout: Box<dyn Layout> =
        if description.exists() { Box::new(Description::read(&description)?) } else { Box::new(Brats) };
    let walk::Tree { files, mut findings } = walk::walk(path)?;
    let subjects = group(&*layout, &files, &mut findings);
    if subjects.is_empty() {
        return Err(CohortError::Empty { path: path.to_owned(), example: example(&*layout) });
    }
    check_count(path, subjects.len(), limits::COHORT_SUBJECTS)?;
    let channels = layout.channels();
    let mut complete = Vec::new();
    let mut found = Vec::new();
    for (name, mut files) in subjects {
        complete.extend(subject(path, &*layout, &channels, &name, &files, &mut findings));
        files.known.sort();
        let printed = name.escape_debug().to_string();
        found.push(Found { name, printed, volumes: files.known });
    }
    let warnings = findings.iter().filter(|f| f.level == Level::Warning).cloned().collect();
    let cohort = Cohort { channels, labels: layout.labels(), subjects: complete, warnings };
    Ok(Scan { cohort, found, findings })
}

fn example(layout: &dyn Layout) -> String {
    format!("SUBJECT/{}", layout.example(Role::Channel(0), "SUBJECT"))
}

fn check_count(path: &Path, count: usize, limit: usize) -> Result<(), FileError> {
    if count <= limit {
        return Ok(());
    }
    let message = format!("holds {count} subjects, more than the limit of {limit}");
    Err(FileError::Document { path: path.to_owned(), message })
}

/// The files of one subject: which part each plays, and the volumes in its folder that play none.
#[derive(Default)]
struct Files {
    known: Vec<(Role, PathBuf)>,
    unknown: Vec<PathBuf>,
}

fn group(layout: &dyn Layout, paths: &[PathBuf], findings: &mut Vec<Finding>) -> BTreeMap<String, Files> {
    let mut subjects: BTreeMap<String, Files> = BTreeMap::new();
    let mut unknown = Vec::new();
    for path in paths {
        match layout.find(path) {
            Some(Match { role, subject, name_in_file }) => {
                if name_in_file != subject {
                    findings.push(Finding::new(
                        Level::Fault,
                        &subject.escape_debug().to_string(),
                        printable(path),
                        format!("a file of subject {subject:?}"),
                        format!("the name of subject {name_in_file:?}"),
                        "one subject under two names, or a file in the wrong folder: rename one of them",
                    ));
                }
                subjects.entry(subject).or_default().known.push((role, path.clone()));
            }
            None if nifti_stem(&path.to_string_lossy()).is_some() => unknown.push(path),
            None => {}
        }
    }
    // A volume of unknown name is worth knowing where a subject lacks one.
    let mut folders: BTreeMap<&Path, &mut Files> = BTreeMap::new();
    let homes: Vec<PathBuf> =
        subjects.values().filter_map(|f| Some(f.known.first()?.1.parent()?.to_owned())).collect();
    for (home, files) in homes.iter().zip(subjects.values_mut()) {
        folders.insert(home, files);
    }
    for path in unknown {
        if let Some(files) = path.parent().and_then(|home| folders.get_mut(home)) {
            files.unknown.push(path.clone());
        }
    }
    subjects
}

fn subject(
    root: &Path,
    layout: &dyn Layout,
    channels: &[String],
    name: &str,
    files: &Files,
    findings: &mut Vec<Finding>,
) -> Option<CohortSubject> {
    let printed = name.escape_debug().to_string();
    let id = match SubjectId::new(name) {
        Ok(id) => Some(id),
        Err(error) => {
            let expected = "a usable subject name";
            let hint = "rename the subject's folder and files";
            findings.push(Finding::new(Level::Fault, &printed, "", expected, error.to_string(), hint));
            None
        }
    };
    let mut one = |role: Role, what: &str| {
        let found: Vec<&PathBuf> = files.known.iter().filter(|(r, _)| *r == role).map(|(_, p)| p).collect();
        if let [path] = found[..] {
            return Some(root.join(path));
        }
        let (found, hint) = if found.is_empty() {
            let hint = match &files.unknown[..] {
                [] => "add the file, or take the subject out of the cohort".to_owned(),
                others => {
                    let names: Vec<String> = others.iter().map(|p| printable(p)).collect();
                    format!("the folder also holds {}: rename it if it is this volume", names.join(", "))
                }
            };
            ("none".to_owned(), hint)
        } else {
            let names: Vec<String> = found.iter().map(|p| printable(p)).collect();
            (names.join(" and "), "keep one of them".to_owned())
        };
        let expected = format!("one {what}, such as {}", layout.example(role, &printed));
        findings.push(Finding::new(Level::Fault, &printed, "", expected, found, hint));
        None
    };
    let images: Vec<Option<PathBuf>> =
        channels.iter().enumerate().map(|(i, c)| one(Role::Channel(i), &format!("{c} volume"))).collect();
    let annotation = one(Role::Annotation, "annotation");
    Some(CohortSubject {
        id: id?,
        images: images.into_iter().collect::<Option<_>>()?,
        annotation: annotation?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_more_subjects_than_the_limit() {
        let limit = limits::COHORT_SUBJECTS;
        assert!(check_count(Path::new("cohort"), limit, limit).is_ok());
        let message = check_count(Path::new("cohort"), limit + 1, limit).unwrap_err().to_string();
        assert!(message.contains("1000001 subjects, more than the limit of 1000000"), "{message}");
    }
}
