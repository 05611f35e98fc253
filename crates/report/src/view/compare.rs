//! The evaluations in the order in which they are shown, and whether they may be compared.

use synthmr_core::records::{EvaluationRecord, InputRecord, SubjectResult};

use super::training::source;
use crate::conditions;
use crate::figures::STYLES;
use crate::format;
use crate::inputs::{EvaluationInput, ReportInputs};

/// Below this number of subjects an interval says little, and the report says so.
const FEW_SUBJECTS: usize = 10;

/// The conditions that every study has, in the order in which they are shown.
pub(crate) const MAIN: [&str; 3] = [conditions::REAL, conditions::SYNTHETIC, conditions::BOTH];

/// The style of a condition in figures: a main one looks the same whichever others are there.
pub(crate) fn style(index: usize, condition: &str) -> usize {
    MAIN.iter().position(|name| *name == condition).unwrap_or(MAIN.len() + index % (STYLES - MAIN.len()))
}

/// The evaluations: real, synthetic, both, then the others in the order in which they were given.
pub(crate) fn ordered(inputs: &ReportInputs) -> Vec<&EvaluationInput> {
    let rank = |evaluation: &&EvaluationInput| {
        MAIN.iter().position(|name| *name == evaluation.condition).unwrap_or(MAIN.len())
    };
    let mut evaluations: Vec<&EvaluationInput> = inputs.evaluations.iter().collect();
    evaluations.sort_by_key(rank);
    evaluations
}

/// The evaluation of a condition.
pub(crate) fn find<'a>(inputs: &'a ReportInputs, condition: &str) -> Option<&'a EvaluationRecord> {
    inputs.evaluations.iter().find(|evaluation| evaluation.condition == condition).map(|e| &e.record)
}

/// True when both were tested on the same images of the same subjects, so that a ratio means something.
pub(crate) fn same_test(a: &EvaluationRecord, b: &EvaluationRecord) -> bool {
    let subjects = |record: &EvaluationRecord| {
        let key = |s: &SubjectResult| (s.subject.clone(), s.slices);
        let mut keys: Vec<_> = record.subjects.iter().map(key).collect();
        keys.sort();
        keys
    };
    a.data.digest == b.data.digest && a.data.split == b.data.split && subjects(a) == subjects(b)
}

/// A value as a share of the real-trained one; nothing when they cannot be compared.
pub(crate) fn ratio(value: Option<f64>, real: Option<f64>) -> Option<f64> {
    let ratio = value? / real.filter(|real| *real > 0.0)?;
    ratio.is_finite().then_some(ratio)
}

/// An input that a network learnt from and was tested on; its figures then show nothing.
pub(crate) fn learnt_and_tested(record: &EvaluationRecord) -> Option<&InputRecord> {
    record.trained_on.iter().find(|input| {
        let whole_store = input.split.is_empty() || record.data.split.is_empty();
        input.digest == record.data.digest && (whole_store || input.split == record.data.split)
    })
}

/// What a reader must know before comparing the columns.
pub(crate) fn warnings(evaluations: &[&EvaluationInput]) -> Vec<String> {
    let mut warnings = Vec::new();
    for EvaluationInput { condition, record } in evaluations {
        if let Some(input) = learnt_and_tested(record) {
            warnings.push(format!(
                "\u{201c}{condition}\u{201d} was tested on images that it learnt from ({}): its figures show nothing.",
                source(input)
            ));
        }
        if record.data.split != "test" {
            warnings.push(format!(
                "\u{201c}{condition}\u{201d} was tested on {}, not on the part \u{201c}test\u{201d}.",
                source(&record.data)
            ));
        }
    }
    let Some((first, others)) = evaluations.split_first() else { return warnings };
    for other in others {
        if !same_test(&first.record, &other.record) {
            warnings.push(format!(
                "\u{201c}{}\u{201d} and \u{201c}{}\u{201d} were not tested on the same images: no ratio between them is shown.",
                first.condition, other.condition
            ));
        }
        let rules = |e: &EvaluationInput| {
            (
                e.record.settings.empty_rule.clone(),
                e.record.settings.hd95_rule.clone(),
                e.record.settings.level,
            )
        };
        if rules(first) != rules(other) {
            warnings.push(format!(
                "\u{201c}{}\u{201d} and \u{201c}{}\u{201d} were evaluated by different rules; see the settings.",
                first.condition, other.condition
            ));
        }
    }
    let fewest = evaluations.iter().map(|evaluation| evaluation.record.subjects.len()).min().unwrap_or(0);
    if fewest < FEW_SUBJECTS {
        warnings.push(format!(
            "Only {}: the intervals are wide, or narrower than they should be. Read differences with care.",
            format::counted(fewest, "test subject")
        ));
    }
    warnings
}
