//! The audit from its inputs to its record.

use std::collections::BTreeSet;
use std::path::Path;

use synthmr_core::files::{self, FolderLock};
use synthmr_core::records::{
    AuditImages, AuditRecord, AuditSettings, InputRecord, MeasureRecord, Origin, PatientRecord, PlainRecord,
    SCHEMA, StratumRecord, Tier, Tool,
};
use synthmr_core::{Digest, Split};
use synthmr_data::sheet::RenderedSheet;
use synthmr_data::store::SliceStore;
use synthmr_metrics::statistics::clopper_pearson;

use crate::AuditError;
use crate::calibration::{Calibration, NullSubject, Query, STRATA, quantile};
use crate::detectors::{Annotation, Correlation, Detector, FEWEST_SUBJECTS, nearest_plain};
use crate::flagged::{self, Decided};
use crate::gates::{Findings, Gates};
use crate::planted::CELLS;
use crate::searcher::{Progress, Searcher, search_set};
use crate::sensitivity::{dose_response, promised, recalls};
use crate::sets::{Audited, Plan, RealSet};
use crate::slices::Reference;
use crate::statistics::{Count, Resampling};
use crate::verdict::{pooled_recall, verdict};
use crate::work::{Watch, Work};

/// Share of new subjects' images that may be flagged.
const FALSE_ALARM_RATE: f64 = 0.01;
/// Share of confirmed copies that may be none. Small, because the tail of the null is extrapolated.
const DISCOVERY_RATE: f64 = 0.01;
/// Bootstrap resamples.
const RESAMPLES: usize = 4000;
/// Level of the intervals.
const LEVEL: f64 = 0.95;
/// Memory beside the real images, for queries and products.
const BESIDE_BYTES: u64 = 1 << 30;
/// Folder of finished blocks inside the audit's.
const WORK: &str = "work";
/// Control subjects below which intervals over them are too narrow.
const FEW_CONTROL_SUBJECTS: usize = 10;

/// What is audited, and how.
pub struct AuditOptions<'a> {
    /// The cohort, with all its parts.
    pub real: &'a SliceStore,
    /// The set that may hold copies.
    pub synthetic: &'a SliceStore,
    /// Its images.
    pub indices: &'a [u32],
    /// Both, as records name them.
    pub inputs: [InputRecord; 2],
    /// What is asked.
    pub gates: Gates,
    /// Planted copies in every cell.
    pub planted: usize,
    /// Seed of what is random.
    pub seed: u64,
    /// Memory that may be used, about.
    pub memory_bytes: u64,
    /// Folder of the audit: finished blocks are kept in it. It is made once nothing speaks against the audit.
    pub folder: &'a Path,
}

/// A finished audit.
pub struct Audit {
    /// Aggregates.
    pub record: AuditRecord,
    /// Flagged images: for the inside.
    pub images: AuditImages,
    /// Pictures of the worst: for the inside.
    pub pairs: Vec<RenderedSheet>,
    /// Blocks to be removed once everything is written.
    pub work: Work,
    /// The right to write into the folder.
    _lock: FolderLock,
}

/// Everything that was searched.
struct Searched {
    null: Vec<NullSubject>,
    synthetic: Vec<Query>,
    planted: Vec<Vec<Query>>,
    plan: Plan,
    control_set: RealSet,
    control: Vec<Query>,
}

/// Runs an audit, or goes on with one.
///
/// # Errors
/// [`AuditError`]: stores that do not belong together, parts that are missing, files that cannot be read or written, a limit
/// on memory that is too small, and [`AuditError::Interrupted`].
pub fn audit(options: &AuditOptions<'_>, watch: &mut dyn Watch) -> Result<Audit, AuditError> {
    let reference = Reference::new(options.real);
    check(options, &reference)?;
    files::create_folder(options.folder)?;
    let lock = FolderLock::take(options.folder)?;
    let stop = || watch.should_stop();
    let detectors: Vec<Box<dyn Detector>> =
        vec![Box::new(Correlation::new(&reference, &stop)?), Box::new(Annotation::new(&reference)?)];
    let searcher = Searcher::new(detectors);
    let measures = searcher.measures();
    let key = (
        [options.real.digest(), options.synthetic.digest()],
        Digest::of_json(&options.indices),
        (options.planted, options.seed, &measures, Tool::this()),
    );
    let work = Work::open(&options.folder.join(WORK), Digest::of_json(&key))?;
    let searched = search(options, &reference, &searcher, &work, watch)?;
    let calibration = Calibration::new(&searched.null, FALSE_ALARM_RATE);
    let decided = flagged::decide(
        &calibration,
        &reference,
        &measures,
        (options.indices, &searched.synthetic),
        DISCOVERY_RATE,
    );
    let plain = plain(options, &reference, watch)?;
    let record = conclude(options, &reference, &calibration, &searched, &decided, (&measures, plain))?;
    let pairs = flagged::pairs(options.synthetic, &reference, &decided.images)?;
    let images = AuditImages {
        schema: SCHEMA,
        real: options.real.digest().clone(),
        synthetic: options.synthetic.digest().clone(),
        images: decided.images,
    };
    Ok(Audit { record, images, pairs, work, _lock: lock })
}

/// Whether the inputs can be audited at all.
fn check(options: &AuditOptions<'_>, reference: &Reference<'_>) -> Result<(), AuditError> {
    let (real, synthetic) = (options.real.manifest(), options.synthetic.manifest());
    let named = |store: &SliceStore| store.path().display().to_string();
    let mismatch = |what: &str, expected: String, found: String, hint| AuditError::Mismatch {
        what: format!("{}: {what}", named(options.synthetic)),
        expected,
        found,
        hint,
    };
    if !reference.is_cohort() {
        return Err(AuditError::Mismatch {
            what: named(options.real),
            expected: "the store of a cohort".into(),
            found: "a synthetic set".into(),
            hint: "--real takes the store that `synthmr import` made, with the subjects that the generator learnt from",
        });
    }
    const SAME: &str =
        "prepare both in the same way: the generator must have learnt from this cohort's slices";
    if real.channels != synthetic.channels {
        return Err(mismatch("channels", real.channels.join(", "), synthetic.channels.join(", "), SAME));
    }
    if (real.height, real.width) != (synthetic.height, synthetic.width) {
        let size = |h: usize, w: usize| format!("{h} x {w} pixels");
        let sizes = (size(real.height, real.width), size(synthetic.height, synthetic.width));
        return Err(mismatch("size", sizes.0, sizes.1, SAME));
    }
    if real.labels != synthetic.labels {
        let names = |labels: &synthmr_core::LabelScheme| labels.class_names().join(", ");
        return Err(mismatch("classes", names(&real.labels), names(&synthetic.labels), SAME));
    }
    for (part, expected) in [(Split::Train, FEWEST_SUBJECTS), (Split::Control, 1)] {
        let found = reference.of_part(part).len();
        if found < expected {
            return Err(AuditError::Part { store: named(options.real), part, expected, found });
        }
    }
    let images = options.real.len();
    let needed = Correlation::bytes(images, real.channels.len()) + BESIDE_BYTES;
    if needed > options.memory_bytes {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        let (needed_gib, limit_gib) = (gib(needed), gib(options.memory_bytes));
        return Err(AuditError::Memory { needed_gib, images, limit_gib });
    }
    Ok(())
}

fn search(
    options: &AuditOptions<'_>,
    reference: &Reference<'_>,
    searcher: &Searcher<'_>,
    work: &Work,
    watch: &mut dyn Watch,
) -> Result<Searched, AuditError> {
    let null_set = RealSet::null(reference);
    let control_set = RealSet::of(reference, &reference.of_part(Split::Control));
    let plan = Plan::new(reference, options.planted, options.seed);
    let audited = Audited { store: options.synthetic, indices: options.indices };
    let count = audited.indices.len();
    let total = null_set.len() + control_set.len() + count + plan.len() * CELLS.len();
    let mut progress = Progress { watch, done: 0, total: total as u64 };
    let real = |name: &str, set: &RealSet, progress: &mut Progress<'_>| {
        search_set(searcher, work, progress, (name, set.len()), &|range| set.read(reference, range))
    };
    let mut null: Vec<NullSubject> = Vec::new();
    let queries = real("null", &null_set, &mut progress)?;
    for (query, &subject) in queries.into_iter().zip(&null_set.subjects) {
        match null.last_mut() {
            Some(last) if last.subject == subject => last.queries.push(query),
            _ => null.push(NullSubject { subject, queries: vec![query] }),
        }
    }
    let mut planted = Vec::new();
    for (cell, (_, _, change)) in CELLS.iter().enumerate() {
        let name = format!("planted-{cell:02}");
        planted.push(search_set(searcher, work, &mut progress, (&name, plan.len()), &|range| {
            plan.read(reference, *change, options.seed, range)
        })?);
    }
    let read = |range| audited.read(reference, range);
    let synthetic = search_set(searcher, work, &mut progress, ("synthetic", count), &read)?;
    // The control subjects last: nothing above can have been chosen by them.
    let control = real("control", &control_set, &mut progress)?;
    Ok(Searched { null, synthetic, planted, plan, control_set, control })
}

/// Plain correlation of the synthetic, `val` and `control` images, first contrast.
fn plain(
    options: &AuditOptions<'_>,
    reference: &Reference<'_>,
    watch: &mut dyn Watch,
) -> Result<Vec<PlainRecord>, AuditError> {
    let train = options.real.indices(Split::Train);
    let own = |split| (split, options.real, options.real.indices(split));
    let [(_, _, val), (_, _, control)] = [own(Split::Val), own(Split::Control)];
    let sets = [
        ("synthetic", options.synthetic, options.indices.to_vec()),
        ("val", options.real, val),
        ("control", options.real, control),
    ];
    let mut records = Vec::new();
    for (set, store, indices) in sets.iter().filter(|set| !set.2.is_empty()) {
        let mut step = |_| !watch.should_stop();
        let real = (reference.store, train.as_slice());
        let nearest = nearest_plain((store, indices), real, 0, options.memory_bytes / 2, &mut step)?;
        let Some(nearest) = nearest else { return Err(AuditError::Interrupted) };
        let mut values: Vec<f64> = nearest.iter().map(|(r, _)| f64::from(*r)).collect();
        records.push(PlainRecord {
            set: (*set).to_owned(),
            channel: options.real.manifest().channels[0].clone(),
            n: values.len(),
            median: quantile(&mut values, 0.5),
            q99: quantile(&mut values, 0.99),
            largest: quantile(&mut values, 1.0),
        });
    }
    Ok(records)
}

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

fn conclude(
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
    let findings = Findings {
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
    let gates = options.gates.judge(&findings);
    let unresolved: Vec<String> = gates
        .iter()
        .take(6)
        .filter(|gate| !gate.met)
        .map(|gate| {
            let found = gate.found.map_or_else(|| "nothing".to_owned(), |found| format!("{found:.3}"));
            format!("{} {} (found {found})", gate.name, gate.limit)
        })
        .collect();
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
        membership: None,
        gates,
        unresolved,
        warnings: warnings(options, reference, calibration, control.len()),
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
    control_subjects: usize,
) -> Vec<String> {
    let mut warnings = Vec::new();
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
