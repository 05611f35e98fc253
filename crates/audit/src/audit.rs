//! The audit from its inputs to its record.

use std::path::Path;

use synthmr_core::files::{self, FolderLock};
use synthmr_core::records::{
    AuditImages, AuditRecord, InputRecord, MembershipRecord, Origin, PlainRecord, SCHEMA, Tool,
};
use synthmr_core::{Digest, Split};
use synthmr_data::sheet::RenderedSheet;
use synthmr_data::store::SliceStore;

use crate::AuditError;
use crate::calibration::{Calibration, NullSubject, Query, quantile};
use crate::conclusion::conclude;
use crate::detectors::{Annotation, Correlation, Detector, FEWEST_SUBJECTS, Learned, nearest_plain};
use crate::embedding::{EmbeddingConfig, SIDES};
use crate::flagged;
use crate::gates::Gates;
use crate::planted::CELLS;
use crate::searcher::{Progress, Searcher, search_set};
use crate::sets::{Audited, Plan, RealSet};
use crate::slices::Reference;
use crate::work::{Watch, Work};

/// Share of new subjects' images that may be flagged.
pub(crate) const FALSE_ALARM_RATE: f64 = 0.01;
/// Share of confirmed copies that may be none. Small, because the tail of the null is extrapolated.
pub(crate) const DISCOVERY_RATE: f64 = 0.01;
/// Memory beside the real images, for queries and products: at least so much, and so many images in f32 (1.6 GiB were seen at
/// 256 x 256).
const BESIDE_BYTES: u64 = 1 << 30;
const BESIDE_IMAGES: usize = 1700;
/// Folder of finished blocks inside the audit's.
const WORK: &str = "work";

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
    /// What attacks on the generators' weights found.
    pub membership: Vec<MembershipRecord>,
    /// How copy embeddings are learnt from the training part, to be searched with too.
    pub embedding: Option<EmbeddingConfig>,
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
pub(crate) struct Searched {
    pub(crate) null: Vec<NullSubject>,
    pub(crate) synthetic: Vec<Query>,
    pub(crate) planted: Vec<Vec<Query>>,
    pub(crate) plan: Plan,
    pub(crate) control_set: RealSet,
    pub(crate) control: Vec<Query>,
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
    let mut detectors: Vec<Box<dyn Detector>> =
        vec![Box::new(Correlation::new(&reference, &stop)?), Box::new(Annotation::new(&reference)?)];
    let mut weights = None;
    if let Some(config) = &options.embedding {
        let folder = options.folder.join(WORK);
        files::create_folder(&folder)?;
        let learned = Learned::new(&reference, config, &folder, &stop)?;
        weights = Some(learned.digest());
        detectors.push(Box::new(learned));
    }
    let searcher = Searcher::new(detectors);
    let measures = searcher.measures();
    let key = (
        [options.real.digest(), options.synthetic.digest()],
        Digest::of_json(&options.indices),
        (options.planted, options.seed, weights, &measures, Tool::this()),
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
    if options.embedding.is_some() && (real.height != real.width || !SIDES.contains(&real.height)) {
        let expected = format!("squares of {} to {} pixels for --embedding", SIDES.start(), SIDES.end());
        let found = format!("{} x {}", real.height, real.width);
        return Err(mismatch("size", expected, found, "leave out --embedding"));
    }
    for (part, expected) in [(Split::Train, FEWEST_SUBJECTS), (Split::Control, 1)] {
        let found = reference.of_part(part).len();
        if found < expected {
            return Err(AuditError::Part { store: named(options.real), part, expected, found });
        }
    }
    let generators = match &synthetic.origin {
        Origin::Sampled(sampling) => sampling.generators.as_slice(),
        Origin::Cohort { .. } => &[],
    };
    for (i, membership) in options.membership.iter().enumerate() {
        const ITS: &str =
            "measure it: `synthmr membership RUN --real STORE` for each generator of this set, once";
        let model = &membership.model;
        if membership.schema != SCHEMA {
            let (expected, found) = (SCHEMA.to_string(), membership.schema.to_string());
            return Err(mismatch("schema of the membership", expected, found, ITS));
        }
        if options.membership[..i].iter().any(|other| other.model.digest == model.digest) {
            let expected = "one a generator".to_owned();
            return Err(mismatch("memberships", expected, format!("two of {}", model.name), ITS));
        }
        if membership.members.digest != *options.real.digest() {
            let (expected, found) = (options.real.digest().short(), membership.members.digest.short());
            return Err(mismatch("cohort of the membership", expected.to_owned(), found.to_owned(), ITS));
        }
        if generators.iter().all(|generator| generator.digest != model.digest) {
            let names = generators.iter().map(|g| format!("{} ({})", g.name, g.digest.short()));
            let found = format!("{} ({})", model.name, model.digest.short());
            return Err(mismatch(
                "generator of the membership",
                names.collect::<Vec<_>>().join(", "),
                found,
                ITS,
            ));
        }
    }
    memory(options)
}

/// Whether the limit on memory suffices.
fn memory(options: &AuditOptions<'_>) -> Result<(), AuditError> {
    let manifest = options.real.manifest();
    let (images, channels) = (options.real.len(), manifest.channels.len());
    let beside = (BESIDE_IMAGES * channels * manifest.height * manifest.width * size_of::<f32>()) as u64;
    let embedding = if options.embedding.is_some() { Learned::bytes(images, channels) } else { 0 };
    let needed = Correlation::bytes(images, channels) + embedding + beside.max(BESIDE_BYTES);
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
