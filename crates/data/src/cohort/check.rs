//! Everything that is wrong with a cohort, found in one pass over its volumes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;
use synthmr_core::Digest;

use super::CohortError;
use super::contents::{self, Context};
use super::discover::{Found, scan};
use super::finding::{Finding, Level, printable};
use super::layout::Role;
use crate::nifti::{self, Header};

/// Two voxels count as one place when they are closer than this share of the smallest spacing.
const SAME_PLACE: f64 = 0.1;

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
    let mut first: Option<(&PathBuf, Header)> = None;
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
        if comparable {
            digests.push((contents::digest(&volume), index));
        }
        match &first {
            None => first = Some((relative, header)),
            Some((reference, expected)) => {
                if let Some((what, wanted, got)) = geometry_difference(expected, &header) {
                    let expected = format!("{what} {wanted}, as in {}", printable(reference));
                    let hint = "register and resample the subject's volumes onto one grid";
                    report(Level::Fault, expected, got, hint);
                }
            }
        }
        buffer = volume.voxels;
    }
    Checked { findings, digests }
}

/// The first of shape, spacing and place in which two volumes differ: what, expected, found.
fn geometry_difference(expected: &Header, found: &Header) -> Option<(&'static str, String, String)> {
    if expected.shape != found.shape {
        return Some(("shape", format!("{:?}", expected.shape), format!("{:?}", found.shape)));
    }
    let (wanted, got) = (expected.spacing_mm(), found.spacing_mm());
    if wanted.iter().zip(got).any(|(a, b)| (a - b).abs() > 1e-3 * a) {
        return Some(("spacing in mm", format!("{wanted:?}"), format!("{got:?}")));
    }
    let distance = contents::largest_distance(expected.shape, &expected.affine, &found.affine);
    let smallest = wanted.into_iter().fold(f64::INFINITY, f64::min);
    if distance > SAME_PLACE * smallest {
        let found = format!("{:?}, which moves voxels by up to {distance:.3} mm", found.affine);
        return Some(("affine", format!("{:?}", expected.affine), found));
    }
    None
}

/// Volumes with the same shape and values: one patient under two names, or one contrast under two.
fn same_content(context: &Context<'_>, found: &[Found], checked: &[Checked]) -> Vec<Finding> {
    let mut holders: BTreeMap<&Digest, Vec<(usize, usize)>> = BTreeMap::new();
    for (subject, checked) in checked.iter().enumerate() {
        for (digest, volume) in &checked.digests {
            holders.entry(digest).or_default().push((subject, *volume));
        }
    }
    let mut findings = Vec::new();
    for holders in holders.values() {
        let (original, copies) = (holders[0], &holders[1..]);
        for &(subject, volume) in copies {
            let (role, relative) = &found[subject].volumes[volume];
            let other = printable(&found[original.0].volumes[original.1].1);
            let hint = if subject == original.0 {
                "one contrast under two names: replace one of them"
            } else {
                "one patient under two names would cross the split: remove one of them"
            };
            findings.push(Finding::new(
                Level::Fault,
                &found[subject].printed,
                printable(relative),
                format!("{} values of its own", context.role_name(*role)),
                format!("the content of {other}"),
                hint,
            ));
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
