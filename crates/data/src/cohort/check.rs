//! Everything that is wrong with a cohort, found in one pass over its volumes.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;
use synthmr_core::Digest;

use super::CohortError;
use super::contents::{self, Context};
use super::discover::{Found, scan};
use super::duplicates::{Contents, Holder};
use super::finding::{Finding, Level, printable};
use super::layout::Role;
use crate::nifti::{self, AxisCodes, Grid};

/// The result of [`check`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Subjects found, complete or not.
    pub subjects: usize,
    /// Volumes read or tried.
    pub volumes: usize,
    /// Everything found, by subject, faults first.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// How many findings keep the cohort from being imported.
    pub fn fault_count(&self) -> usize {
        self.findings.iter().filter(|f| f.level == Level::Fault).count()
    }

    /// How many findings are worth knowing.
    pub fn warning_count(&self) -> usize {
        self.findings.len() - self.fault_count()
    }
}

/// Reads every volume of a cohort and lists all its faults and warnings.
///
/// Subjects are read in parallel; a thread holds one volume at a time. A fault is what the import refuses or
/// what would make the result wrong; a warning is what a person should know.
///
/// # Errors
/// As [`super::discover`], except that faults of subjects are in the report, not errors.
pub fn check(path: &Path) -> Result<CheckReport, CohortError> {
    let scan = scan(path)?;
    let labels = &scan.cohort.labels;
    let context = Context { channels: &scan.cohort.channels, labels };
    let checked: Vec<Checked> =
        scan.found.par_iter().map(|found| check_subject(path, &context, found)).collect();
    let mut findings = scan.findings;
    findings.extend(same_content(&context, &scan.found, &checked));
    findings.extend(similar_names(&scan.found));
    let volumes = scan.found.iter().map(|found| found.volumes.len()).sum();
    findings.extend(checked.into_iter().flat_map(|checked| checked.findings));
    findings.sort();
    findings.dedup();
    Ok(CheckReport { subjects: scan.found.len(), volumes, findings })
}

/// One subject's findings, and what is needed to compare it with others.
struct Checked {
    findings: Vec<Finding>,
    /// For each volume that has content worth comparing.
    digests: Vec<(Digest, usize)>,
}

fn check_subject(root: &Path, context: &Context<'_>, found: &Found) -> Checked {
    let mut findings = Vec::new();
    let mut digests = Vec::new();
    let mut first: Option<(String, Grid)> = None;
    let mut buffer = Vec::new();
    for (index, (role, relative)) in found.volumes.iter().enumerate() {
        let file = printable(relative);
        let mut report = |level, expected: String, found_there: String, hint: &str| {
            findings.push(Finding::new(level, &found.printed, file.clone(), expected, found_there, hint));
        };
        let (header, volume) = match nifti::read_reusing(&root.join(relative), std::mem::take(&mut buffer)) {
            Ok(read) => read,
            Err(error) => {
                match error.refusal() {
                    Some(r) => {
                        report(Level::Fault, format!("{}: {}", r.field, r.expected), r.found.clone(), r.hint)
                    }
                    None => report(
                        Level::Fault,
                        "a readable file".to_owned(),
                        error.to_string(),
                        "make the file readable, or copy it again",
                    ),
                }
                continue;
            }
        };
        contents::check_header(&header, &mut report);
        let comparable = match role {
            Role::Channel(_) => contents::check_image(&header, &volume, &mut report),
            Role::Annotation => contents::check_annotation(context.labels, &volume, &mut report),
        };
        let volume = volume.reorient(AxisCodes::LPS);
        if comparable {
            digests.push((contents::digest(&volume), index));
        }
        let grid = Grid::of(&volume);
        match &first {
            None => first = Some((file.clone(), grid)),
            Some((reference, expected)) => contents::check_grid(expected, reference, &grid, &mut report),
        }
        buffer = volume.voxels;
    }
    Checked { findings, digests }
}

fn same_content(context: &Context<'_>, found: &[Found], checked: &[Checked]) -> Vec<Finding> {
    let mut contents = Contents::default();
    let mut findings = Vec::new();
    for (found, checked) in found.iter().zip(checked) {
        for (digest, volume) in &checked.digests {
            let (role, relative) = &found.volumes[*volume];
            let role = context.role_name(*role).to_owned();
            let holder = Holder { subject: found.printed.clone(), file: printable(relative), role };
            findings.extend(contents.add(digest, holder));
        }
    }
    findings
}

/// Names that differ only in case and punctuation are often one patient entered twice.
fn similar_names(found: &[Found]) -> Vec<Finding> {
    let key = |name: &str| name.to_lowercase().replace(['_', ' ', '.'], "-");
    let mut seen: BTreeMap<String, &Found> = BTreeMap::new();
    let mut findings = Vec::new();
    for subject in found {
        if let Some(other) = seen.insert(key(&subject.name), subject) {
            findings.push(Finding::new(
                Level::Warning,
                &subject.printed,
                "",
                "names that differ in letters or digits",
                format!(
                    "{:?}, which differs from {:?} only in case or punctuation",
                    subject.name, other.name
                ),
                "if they are one patient, remove one of them",
            ));
        }
    }
    findings
}
