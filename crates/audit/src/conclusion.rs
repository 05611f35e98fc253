//! What was searched, in the aggregates of a record.

use std::collections::BTreeSet;

use synthmr_core::records::{
    AuditRecord, AuditSettings, MeasureRecord, Origin, PatientRecord, PlainRecord, SCHEMA, StratumRecord,
    Tier, Tool,
};
use synthmr_core::{Digest, Split};
use synthmr_metrics::statistics::clopper_pearson;

use crate::AuditError;
use crate::audit::{AuditOptions, DISCOVERY_RATE, FALSE_ALARM_RATE, Searched};
use crate::calibration::{Calibration, Query, STRATA};
use crate::flagged::Decided;
use crate::gates::{Findings, Judged};
use crate::sensitivity::{dose_response, promised, recalls};
use crate::sets::RealSet;
use crate::slices::Reference;
use crate::statistics::{Count, Resampling};
use crate::verdict::{pooled_recall, verdict};

/// Bootstrap resamples.
const RESAMPLES: usize = 4000;
/// Level of the intervals.
const LEVEL: f64 = 0.95;
/// Control subjects below which intervals over them are too narrow.
const FEW_CONTROL_SUBJECTS: usize = 10;

/// Flags by subject, in the order of the set.
fn counts(calibration: &Calibration, set: &RealSet, queries: &[Query]) -> Vec<Count> {
    let mut counts: Vec<(usize, Count)> = Vec::new();
    for (query, &subject) in queries.iter().zip(&set.subjects) {
        if counts.last().is_none_or(|last| last.0 != subject) {
            counts.push((subject, Count::default()));
        }
        if let Some((_, count)) = counts.last_mut() {
            count.n += 1;
            count.flagged += usize::from(calibration.flags(query));
        }
    }
    counts.into_iter().map(|(_, count)| count).collect()
}

/// The record of an audit.
///
/// # Errors
/// [`AuditError::Wording`] when a name would bring a forbidden word into the verdict.
pub(crate) fn conclude(
    options: &AuditOptions<'_>,
    reference: &Reference<'_>,
    calibration: &Calibration,
    searched: &Searched,
    decided: &Decided,
    (measures, plain): (&[(&str, &str)], Vec<PlainRecord>),
) -> Result<AuditRecord, AuditError> {
    let resampling = Resampling { resamples: RESAMPLES, seed: options.seed, level: LEVEL };
    let control = counts(calibration, &searched.control_set, &searched.control);
    let images = Count { flagged: decided.flagged, n: searched.synthetic.len() };
    let sensitivity = recalls(calibration, reference, &searched.planted, &searched.plan.source, LEVEL);
    let [real, synthetic] = options.inputs.clone();
    let split_digest = match &options.real.manifest().origin {
        Origin::Cohort { split, .. } => split.digest.clone(),
        Origin::Sampled(_) => Digest::of(b""),
    };
    let false_alarms = resampling.clustered(&control);
    let excess = resampling.excess(images, &control);
    let recall = |tier| pooled_recall(&sensitivity, tier).and_then(|recall| recall.mean);
    let learnt_from = learnt_from(&options.synthetic.manifest().origin, options.real.digest());
    let findings = Findings {
        other_sources: (learnt_from.others.len() + usize::from(learnt_from.unknown)) as f64,
        null_subjects: calibration.subjects as f64,
        control_subjects: control.len() as f64,
        false_alarms: false_alarms.mean,
        false_alarms_upper: false_alarms.high,
        slight_recall: recall(Tier::Slight),
        strong_recall: recall(Tier::Strong),
        confirmed: decided.confirmed as f64,
        excess_lower: excess.low,
        held_out_copies: decided.held_out as f64,
    };
    let Judged { about_the_audit, about_the_set } = options.gates.judge(&findings);
    let unresolved: Vec<String> = about_the_audit
        .iter()
        .filter(|gate| !gate.met)
        .map(|gate| {
            let found = gate.found.map_or_else(
                || "nothing".to_owned(),
                |found| {
                    let decimals = if found.fract() == 0.0 { 0 } else { 3 };
                    format!("{found:.decimals$}")
                },
            );
            format!("{} {} (found {found})", gate.name, gate.limit)
        })
        .collect();
    let gates = [about_the_audit, about_the_set].concat();
    let passed = gates.iter().all(|gate| gate.met);
    let mut record = AuditRecord {
        schema: SCHEMA,
        tool: Tool::this(),
        real,
        split_digest,
        synthetic,
        settings: AuditSettings {
            false_alarm_rate: FALSE_ALARM_RATE,
            discovery_rate: DISCOVERY_RATE,
            threshold: calibration.threshold,
            null_subjects: calibration.subjects,
            null_images: calibration.images,
            planted: options.planted,
            embedding: options.embedding.as_ref().and_then(|config| serde_json::to_value(config).ok()),
            seed: options.seed,
            resamples: RESAMPLES,
            level: LEVEL,
        },
        n: images.n,
        flagged: decided.flagged,
        confirmed: decided.confirmed,
        control_n: searched.control.len(),
        control_flagged: control.iter().map(|count| count.flagged).sum(),
        control_subjects: control.len(),
        strata: strata(calibration, reference, searched),
        estimated_share: resampling.estimated_share(images, &control, promised(&sensitivity)),
        false_alarms,
        excess,
        held_out_copies: decided.held_out,
        duplicates: duplicates(options),
        dose_response: dose_response(&sensitivity, &control, &resampling),
        sensitivity,
        patients: patients(reference, &decided.copied_subjects),
        plain,
        measures: measures
            .iter()
            .map(|(name, description)| MeasureRecord {
                name: (*name).to_owned(),
                description: (*description).to_owned(),
                flagged: decided.images.iter().filter(|image| image.measure == *name).count(),
            })
            .collect(),
        membership: options.membership.clone(),
        gates,
        unresolved,
        warnings: warnings(options, reference, calibration, (control.len(), &learnt_from)),
        verdict: String::new(),
        passed,
    };
    record.verdict = verdict(&record)?;
    Ok(record)
}

/// False alarms by the share that the head covers, and by the slice's place in the head.
fn strata(calibration: &Calibration, reference: &Reference<'_>, searched: &Searched) -> Vec<StratumRecord> {
    const PLACES: [&str; 3] =
        ["lower third of the slices", "middle third of the slices", "upper third of the slices"];
    const SHARES: [&str; STRATA] = ["small heads", "middle heads", "large heads"];
    let set = &searched.control_set;
    let place = |i: usize| {
        let own = reference.positions(set.subjects[i]);
        3 * (set.positions[i] - own.start) / own.len()
    };
    let part = |name: &str, inside: &dyn Fn(usize) -> bool| {
        let of_part: Vec<&Query> =
            searched.control.iter().enumerate().filter(|(i, _)| inside(*i)).map(|(_, query)| query).collect();
        let flagged = of_part.iter().filter(|query| calibration.flags(query)).count();
        StratumRecord {
            name: name.to_owned(),
            n: of_part.len(),
            flagged,
            rate: clopper_pearson(flagged, of_part.len(), LEVEL),
        }
    };
    let by_place = PLACES.iter().enumerate().map(|(third, name)| part(name, &|i| place(i) == third));
    let by_share = SHARES
        .iter()
        .enumerate()
        .map(|(share, name)| part(name, &|i| calibration.stratum(&searched.control[i]) == share));
    by_place.chain(by_share).collect()
}

fn patients(reference: &Reference<'_>, copied: &BTreeSet<usize>) -> PatientRecord {
    let count = |train: bool| {
        let of_side = |s: &usize| (reference.subjects[*s].split == Split::Train) == train;
        let n = (0..reference.subjects.len()).filter(of_side).count();
        (n, copied.iter().filter(|s| of_side(s)).count())
    };
    let ((train_n, train_copied), (control_n, control_copied)) = (count(true), count(false));
    PatientRecord {
        train_n,
        train_copied,
        train_rate: clopper_pearson(train_copied, train_n, LEVEL),
        control_n,
        control_copied,
        control_rate: clopper_pearson(control_copied, control_n, LEVEL),
    }
}

/// What the generators of a set learnt from.
#[derive(Default)]
struct LearntFrom {
    /// What is not the training part of the cohort, in words.
    others: BTreeSet<String>,
    /// Whether nothing is known of a generator.
    unknown: bool,
}

fn learnt_from(origin: &Origin, cohort: &Digest) -> LearntFrom {
    let mut found = LearntFrom::default();
    let Origin::Sampled(sampling) = origin else { return found };
    let train = Split::Train.to_string();
    found.unknown = sampling.generators.is_empty();
    for generator in &sampling.generators {
        found.unknown |= generator.trained_on.is_empty();
        for input in &generator.trained_on {
            if input.digest != *cohort || input.split != train {
                found.others.insert(format!("{}:{} ({})", input.name, input.split, input.digest.short()));
            }
        }
    }
    found
}

/// Images that equal an earlier one.
fn duplicates(options: &AuditOptions<'_>) -> usize {
    let mut seen = BTreeSet::new();
    let equal = |&&index: &&u32| !seen.insert(Digest::of(options.synthetic.image(index as usize)));
    options.indices.iter().filter(equal).count()
}

fn warnings(
    options: &AuditOptions<'_>,
    reference: &Reference<'_>,
    calibration: &Calibration,
    (control_subjects, learnt_from): (usize, &LearntFrom),
) -> Vec<String> {
    let mut warnings = Vec::new();
    if !learnt_from.others.is_empty() {
        let others: Vec<&str> = learnt_from.others.iter().map(String::as_str).collect();
        warnings.push(format!(
            "the generator learnt from {}, which is not the training part of this cohort: copies of that are not looked for",
            others.join(", ")
        ));
    }
    if let Origin::Sampled(sampling) = &options.synthetic.manifest().origin
        && (1..sampling.generators.len()).contains(&options.membership.len())
    {
        warnings.push(format!(
            "the weights of {} of the {} generators were attacked",
            options.membership.len(),
            sampling.generators.len()
        ));
    }
    if learnt_from.unknown {
        warnings.push(
            "it is not recorded what a generator learnt from: its owner has to know that it was the training part of this cohort alone".into(),
        );
    }
    if control_subjects < FEW_CONTROL_SUBJECTS {
        warnings.push(format!(
            "{control_subjects} control subjects: the rate of false alarms is known roughly; intervals over fewer than \
             {FEW_CONTROL_SUBJECTS} subjects are too narrow"
        ));
    }
    if reference.of_part(Split::Val).is_empty() {
        warnings.push(
            "no part `val`: the threshold rests on training subjects alone, each compared with the others"
                .into(),
        );
    }
    if !calibration.twins.is_empty() {
        warnings.push(format!(
            "{} subjects resemble another one more than new subjects do: one patient may be there twice, or be on both sides of \
             the split; they were left out of the threshold",
            calibration.twins.len()
        ));
    }
    if options.synthetic.manifest().is_real() {
        warnings.push(
            "the set that was audited is a cohort's: this is a test of the audit, not of a generator".into(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use synthmr_core::records::SamplingRecord;

    #[test]
    fn everything_but_the_training_part_of_the_cohort_is_other_data() {
        let [cohort, other] = [Digest::of(b"cohort"), Digest::of(b"other")];
        let learnt = |inputs: &[(&Digest, &str)]| {
            let trained_on: Vec<serde_json::Value> = inputs
                .iter()
                .map(|(digest, split)| {
                    serde_json::json!({ "name": "s.store", "digest": digest, "split": split, "images": 3 })
                })
                .collect();
            let generator = serde_json::json!({
                "name": "gen", "digest": other, "images": 2, "trained_on": trained_on, "training_labels": null
            });
            let sampling = serde_json::json!({
                "generators": [generator], "block": 8, "seed": 1, "truncation": 1.0, "label_encoding": "gray",
                "label_quality": { "unclean_share": 0.0, "empty_share": 0.0, "class_share": {} }
            });
            let origin = Origin::Sampled(serde_json::from_value(sampling).unwrap());
            let found = learnt_from(&origin, &cohort);
            (found.others.len(), found.unknown)
        };
        let nothing = Origin::Sampled(Box::new(SamplingRecord::without_generators()));
        assert!(learnt_from(&nothing, &cohort).unknown);
        assert_eq!(learnt(&[(&cohort, "train")]), (0, false));
        assert_eq!(learnt(&[]), (0, true));
        assert_eq!(learnt(&[(&other, "train")]), (1, false));
        assert_eq!(learnt(&[(&cohort, "train"), (&cohort, "control"), (&other, "train")]), (2, false));
    }
}
