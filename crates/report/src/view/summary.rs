//! The top of the page, in plain words.

use synthmr_core::Split;
use synthmr_core::records::{EvaluationRecord, Origin, SamplingRecord};

use super::compare;
use super::training::source;
use crate::conditions;
use crate::format;
use crate::inputs::{ReportInputs, StoreInput};

/// A number with what it counts.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) number: String,
    pub(crate) what: &'static str,
}

/// Synthetic Dice as a share of the real one, with what it was computed from.
#[derive(Clone, Debug)]
pub(crate) struct MainFigure {
    pub(crate) ratio: String,
    pub(crate) synthetic: String,
    pub(crate) real: String,
    pub(crate) basis: String,
}

/// The summary.
#[derive(Clone, Debug)]
pub(crate) struct SummaryView {
    pub(crate) sentences: Vec<String>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) main: Option<MainFigure>,
    /// Why there is no main figure.
    pub(crate) missing: &'static str,
}

impl SummaryView {
    pub(crate) fn new(inputs: &ReportInputs) -> Self {
        let real = compare::find(inputs, conditions::REAL);
        let synthetic = compare::find(inputs, conditions::SYNTHETIC);
        let (main, missing) = match (real, synthetic) {
            (Some(real), Some(synthetic)) if !compare::same_test(real, synthetic) => {
                (None, "The two networks were not tested on the same images, so no ratio is shown.")
            }
            (Some(real), Some(synthetic)) if [real, synthetic].into_iter().any(learnt_and_tested) => {
                (None, "A network was tested on images that it learnt from, so no ratio is shown.")
            }
            (Some(real), Some(synthetic)) => (
                main_figure(real, synthetic),
                "One of the two networks has no mean Dice above zero, so no ratio is defined.",
            ),
            (None, None) => (None, "No segmentation network has been evaluated."),
            (None, _) => (None, "The network trained on real images has not been evaluated."),
            (_, None) => (None, "The network trained on synthetic images has not been evaluated."),
        };
        Self { sentences: sentences(inputs), facts: facts(inputs), main, missing }
    }
}

fn main_figure(real: &EvaluationRecord, synthetic: &EvaluationRecord) -> Option<MainFigure> {
    let (ours, theirs) = (&synthetic.mean.dice, &real.mean.dice);
    Some(MainFigure {
        ratio: format::percent(compare::ratio(ours.mean, theirs.mean)?),
        synthetic: format::interval(ours, 3),
        real: format::interval(theirs, 3),
        basis: format!(
            "{}, mean over the classes, {} intervals",
            format::counted(real.subjects.len(), "test subject"),
            format::percent(real.settings.level)
        ),
    })
}

fn facts(inputs: &ReportInputs) -> Vec<Fact> {
    let fact = |number: usize, one, several| Fact {
        number: format::count(number),
        what: format::noun(number, one, several),
    };
    let mut facts = Vec::new();
    if let Some(real) = &inputs.real
        && let Origin::Cohort { subjects, .. } = &real.manifest.origin
    {
        facts.push(fact(subjects.len(), "subject in the cohort", "subjects in the cohort"));
        let learnt_from = subjects.iter().filter(|s| s.split == Split::Train).count();
        facts.push(fact(learnt_from, "of them to learn from", "of them to learn from"));
        facts.push(fact(real.manifest.slices, "slice of the cohort", "slices of the cohort"));
    }
    if let Some(synthetic) = &inputs.synthetic {
        facts.push(fact(synthetic.manifest.slices, "synthetic image", "synthetic images"));
    }
    if let Some(evaluation) = inputs.evaluations.first() {
        facts.push(fact(
            evaluation.record.subjects.len(),
            "test subject evaluated",
            "test subjects evaluated",
        ));
    }
    facts
}

fn sentences(inputs: &ReportInputs) -> Vec<String> {
    let purpose = match &inputs.synthetic {
        Some(_) => {
            "This report describes a set of computer-made MR images, each with its annotation, and how useful \
             they are for teaching a network to find the annotated structures in images of real subjects."
        }
        None => {
            "This report has no set of synthetic images to describe yet; it shows the steps taken so far."
        }
    };
    let mut sentences = vec![purpose.to_owned()];
    sentences.extend(inputs.synthetic.as_ref().and_then(set));
    sentences.extend(comparison(inputs));
    sentences
}

fn learnt_and_tested(record: &EvaluationRecord) -> bool {
    compare::learnt_and_tested(record).is_some()
}

/// What the synthetic set is.
fn set(synthetic: &StoreInput) -> Option<String> {
    let manifest = &synthetic.manifest;
    let Origin::Sampled(sampling) = &manifest.origin else { return None };
    Some(format!(
        "The set holds {} of {} x {} pixels with {}, drawn from {}.",
        format::counted(manifest.slices, "synthetic image"),
        manifest.height,
        manifest.width,
        listed(&manifest.channels),
        generators(sampling),
    ))
}

/// The result in words, with the numbers that the words rest on elsewhere on the page.
fn comparison(inputs: &ReportInputs) -> Option<String> {
    let real = compare::find(inputs, conditions::REAL)?;
    let comparable = |other: &&EvaluationRecord| compare::same_test(real, other) && !learnt_and_tested(other);
    let synthetic = compare::find(inputs, conditions::SYNTHETIC).filter(comparable)?;
    let ratio = compare::ratio(synthetic.mean.dice.mean, real.mean.dice.mean)?;
    if learnt_and_tested(real) {
        return None;
    }
    let both = compare::find(inputs, conditions::BOTH).filter(comparable);
    let both = both.and_then(|both| compare::ratio(both.mean.dice.mean, real.mean.dice.mean));
    let both = both.map_or_else(String::new, |both| {
        format!(" Real and synthetic images together gave {} of it.", format::percent(both))
    });
    Some(format!(
        "A network that learnt from synthetic images only reached {} of the overlap (Dice) of one that learnt \
         from the real images, both tested on the {} of {}.{both}",
        format::percent(ratio),
        format::counted(real.subjects.len(), "subject"),
        source(&real.data),
    ))
}

fn generators(sampling: &SamplingRecord) -> String {
    let names: Vec<String> = sampling.generators.iter().map(|generator| generator.name.clone()).collect();
    match names.len() {
        0 => "a generator that the record does not name".to_owned(),
        1 => format!("the generator {}", names[0]),
        n => format!("{n} generators ({})", names.join(", ")),
    }
}

/// Names in a sentence: `T1, T2 and FLAIR`.
fn listed(names: &[String]) -> String {
    match names {
        [] => "no channel".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
