//! Summaries over subjects: means with bootstrap intervals, and counts of empty masks.

use std::collections::BTreeMap;

use rayon::prelude::*;
use synthmr_core::LabelScheme;
use synthmr_core::records::{
    EmptyCounts, EvaluationSettings, Interval, MetricSummary, MetricValues, SubjectResult,
};

use crate::pair::MetricsError;
use crate::statistics::Bootstrap;

/// What `eval.json` says about all subjects together.
#[derive(Clone, Debug, PartialEq)]
pub struct Summaries {
    /// For each foreground class, over subjects.
    pub classes: BTreeMap<String, MetricSummary>,
    /// For each region, over subjects.
    pub regions: BTreeMap<String, MetricSummary>,
    /// Over subjects, of each subject's mean over those foreground classes that have a value. Its counts of
    /// empty masks are the sums of the classes'.
    pub mean: MetricSummary,
}

pub(crate) type Metric = fn(&MetricValues) -> Option<f64>;

/// Names of the metrics in `eval.json`, in one order with their values.
pub const METRIC_NAMES: [&str; 7] = ["dice", "precision", "recall", "hd", "hd95", "assd", "lesion_dice"];

pub(crate) const METRICS: [Metric; METRIC_NAMES.len()] =
    [|v| v.dice, |v| v.precision, |v| v.recall, |v| v.hd, |v| v.hd95, |v| v.assd, |v| v.lesion_dice];

/// Summarises the subjects' values. For each metric the mean is over the subjects that have a value (their
/// number is `n`), and the interval is the percentile bootstrap over those subjects ([`Bootstrap`]) with the
/// settings' resamples, seed and level. Subjects are weighted alike, whatever their size.
///
/// # Errors
/// [`MetricsError::MissingEntry`] when a subject lacks a class or region of the scheme,
/// [`MetricsError::Bootstrap`] when the settings make no sense, [`MetricsError::NotFinite`] for a value that
/// is not finite, [`MetricsError::Scheme`].
pub fn summarise(
    subjects: &[SubjectResult],
    scheme: &LabelScheme,
    settings: &EvaluationSettings,
) -> Result<Summaries, MetricsError> {
    scheme.validate()?;
    let bootstrap = Bootstrap::new(settings.resamples, settings.seed, settings.level)?;
    let class_names: Vec<&str> = scheme.foreground().map(|(_, class)| class.name.as_str()).collect();
    let region_names: Vec<&str> = scheme.regions.iter().map(|region| region.name.as_str()).collect();
    let classes = summaries(&class_names, |subject| &subject.classes, subjects, &bootstrap)?;
    let regions = summaries(&region_names, |subject| &subject.regions, subjects, &bootstrap)?;

    // `summaries` has established that every subject has every class.
    let means = METRICS.map(|metric| -> Vec<f64> {
        let of_subject =
            |subject: &SubjectResult| mean(class_names.iter().filter_map(|&c| metric(&subject.classes[c])));
        subjects.iter().filter_map(of_subject).collect()
    });
    let empty = classes.values().fold(EmptyCounts::default(), |sum, class| EmptyCounts {
        both: sum.both + class.empty.both,
        truth_only: sum.truth_only + class.empty.truth_only,
        prediction_only: sum.prediction_only + class.empty.prediction_only,
    });
    let mean = summary(&means, empty, &bootstrap)?;
    Ok(Summaries { classes, regions, mean })
}

fn summaries(
    names: &[&str],
    entries: fn(&SubjectResult) -> &BTreeMap<String, MetricValues>,
    subjects: &[SubjectResult],
    bootstrap: &Bootstrap,
) -> Result<BTreeMap<String, MetricSummary>, MetricsError> {
    let one = |&name: &&str| {
        let entry = |subject: &SubjectResult| {
            let missing =
                || MetricsError::MissingEntry { subject: subject.subject.to_string(), name: name.to_owned() };
            entries(subject).get(name).copied().ok_or_else(missing)
        };
        let values: Vec<MetricValues> = subjects.iter().map(entry).collect::<Result<_, _>>()?;
        let samples = METRICS.map(|metric| values.iter().filter_map(metric).collect());
        Ok((name.to_owned(), summary(&samples, count_empty(&values), bootstrap)?))
    };
    names.par_iter().map(one).collect()
}

/// The mean of the values, if there are any.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

fn count_empty(values: &[MetricValues]) -> EmptyCounts {
    let count = |truth_empty: bool, prediction_empty: bool| {
        let matches = |v: &&MetricValues| {
            ((v.truth_voxels == 0), (v.prediction_voxels == 0)) == (truth_empty, prediction_empty)
        };
        values.iter().filter(matches).count()
    };
    EmptyCounts {
        both: count(true, true),
        truth_only: count(true, false),
        prediction_only: count(false, true),
    }
}

fn summary(
    samples: &[Vec<f64>; METRICS.len()],
    empty: EmptyCounts,
    bootstrap: &Bootstrap,
) -> Result<MetricSummary, MetricsError> {
    let intervals: Vec<Interval> =
        samples.par_iter().map(|sample| bootstrap.mean(sample)).collect::<Result<_, _>>()?;
    // In the order of METRICS.
    let [dice, precision, recall, hd, hd95, assd, lesion_dice] = std::array::from_fn(|i| intervals[i]);
    Ok(MetricSummary { dice, precision, recall, hd, hd95, assd, lesion_dice, empty })
}

#[cfg(test)]
mod tests {
    use synthmr_core::SubjectId;

    use super::*;

    fn settings() -> EvaluationSettings {
        EvaluationSettings {
            mirrored: false,
            empty_rule: crate::EMPTY_RULE.to_owned(),
            hd95_rule: crate::Hd95Convention::Medpy.rule().to_owned(),
            resamples: 500,
            seed: 3,
            level: 0.95,
        }
    }

    fn subject(name: &str, dice: [Option<f64>; 3], voxels: [(u64, u64); 3]) -> SubjectResult {
        let values = |i: usize| MetricValues {
            dice: dice[i],
            truth_voxels: voxels[i].0,
            prediction_voxels: voxels[i].1,
            ..MetricValues::default()
        };
        let named =
            |names: [&str; 3]| names.iter().enumerate().map(|(i, n)| (n.to_string(), values(i))).collect();
        SubjectResult {
            subject: SubjectId::new(name).unwrap().pseudonym(1),
            slices: 1,
            diagonal_mm: 12.0,
            classes: named(["NCR", "ED", "ET"]),
            regions: named(["WT", "TC", "ET"]),
        }
    }

    fn subjects() -> Vec<SubjectResult> {
        vec![
            subject("a", [Some(0.5), Some(0.7), None], [(9, 9), (9, 9), (0, 0)]),
            subject("b", [Some(0.9), Some(0.0), Some(0.0)], [(9, 9), (9, 0), (0, 9)]),
            subject("c", [None, None, None], [(0, 0), (0, 0), (0, 0)]),
        ]
    }

    #[test]
    fn means_skip_what_has_no_value_and_count_it() {
        let found = summarise(&subjects(), &LabelScheme::brats(), &settings()).unwrap();
        let ncr = found.classes["NCR"];
        assert_eq!((ncr.dice.n, ncr.empty.both), (2, 1));
        assert!((ncr.dice.mean.unwrap() - 0.7).abs() < 1e-15);
        assert_eq!(found.classes["ED"].empty, EmptyCounts { both: 1, truth_only: 0, prediction_only: 1 });
        assert_eq!(found.classes["ET"].empty, EmptyCounts { both: 2, truth_only: 1, prediction_only: 0 });
        assert_eq!(found.classes["ET"].dice.n, 1);
        // Subject means: (0.5 + 0.7) / 2 and (0.9 + 0 + 0) / 3; the third has none.
        assert_eq!(found.mean.dice.n, 2);
        assert!((found.mean.dice.mean.unwrap() - 0.45).abs() < 1e-15);
        assert_eq!(found.mean.empty, EmptyCounts { both: 4, truth_only: 1, prediction_only: 1 });
        assert_eq!(found.mean.hd95, Interval::default());
        assert_eq!(found.regions.len(), 3);
    }

    #[test]
    fn a_summary_is_a_function_of_its_input() {
        let scheme = LabelScheme::brats();
        let first = summarise(&subjects(), &scheme, &settings()).unwrap();
        assert_eq!(first, summarise(&subjects(), &scheme, &settings()).unwrap());
        let none = summarise(&[], &scheme, &settings()).unwrap();
        assert_eq!(none.mean.dice, Interval::default());
    }

    #[test]
    fn incomplete_subjects_and_senseless_settings_are_refused() {
        let mut lacking = subjects();
        lacking[1].regions.remove("TC");
        let error = summarise(&lacking, &LabelScheme::brats(), &settings()).unwrap_err();
        assert!(error.to_string().ends_with("has no entry for \"TC\""), "{error}");
        for (resamples, level) in [(0, 0.95), (10, 0.0), (10, 1.0), (10, f64::NAN)] {
            let broken = EvaluationSettings { resamples, level, ..settings() };
            let error = summarise(&subjects(), &LabelScheme::brats(), &broken).unwrap_err();
            assert!(matches!(error, MetricsError::Bootstrap { .. }));
        }
    }
}
