//! The cohort, and the annotations of the synthetic set beside it.

use synthmr_core::Split;
use synthmr_core::records::{LabelQuality, Origin, SplitMethod, SubjectRecord};

use super::pictures::LegendEntry;
use crate::format;
use crate::inputs::StoreInput;

/// The subjects of one part.
#[derive(Clone, Debug)]
pub(crate) struct SplitRow {
    pub(crate) name: &'static str,
    pub(crate) purpose: &'static str,
    pub(crate) subjects: String,
    pub(crate) slices: String,
    pub(crate) per_subject: String,
}

/// The cohort's store.
#[derive(Clone, Debug)]
pub(crate) struct CohortView {
    pub(crate) name: String,
    pub(crate) subjects: String,
    pub(crate) slices: String,
    pub(crate) rows: Vec<SplitRow>,
    pub(crate) channels: String,
    pub(crate) size: String,
    pub(crate) spacing: String,
    pub(crate) classes: Vec<(LegendEntry, String)>,
    pub(crate) regions: String,
    pub(crate) recipe: String,
    pub(crate) steps: Vec<String>,
    pub(crate) split_method: &'static str,
    pub(crate) split_request: String,
    pub(crate) split_digest: String,
}

impl CohortView {
    /// Nothing for a store that is no cohort's.
    pub(crate) fn new(store: &StoreInput) -> Option<Self> {
        let manifest = &store.manifest;
        let Origin::Cohort { preparation, split, subjects } = &manifest.origin else { return None };
        let regions = manifest.labels.regions.iter().map(|region| {
            let name = |&class: &u8| manifest.labels.classes.get(usize::from(class)).map(|c| c.name.as_str());
            let parts: Vec<&str> = region.classes.iter().filter_map(name).collect();
            format!("{} = {}", region.name, parts.join(" + "))
        });
        Some(Self {
            name: store.name.clone(),
            subjects: format::counted(subjects.len(), "subject"),
            slices: format::counted(manifest.slices, "slice"),
            rows: Split::ALL.iter().map(|&part| split_row(part, subjects)).collect(),
            channels: manifest.channels.join(", "),
            size: format!("{} x {} pixels", manifest.height, manifest.width),
            spacing: spacing(subjects),
            classes: manifest
                .labels
                .classes
                .iter()
                .map(|class| {
                    let values: Vec<String> = class.source_values.iter().map(i32::to_string).collect();
                    (LegendEntry::new(class), values.join(", "))
                })
                .collect(),
            regions: regions.collect::<Vec<_>>().join("; "),
            recipe: preparation.recipe.clone(),
            steps: preparation.steps.clone(),
            split_method: match split.method {
                SplitMethod::Hash => "by a keyed hash of each subject against the fractions",
                SplitMethod::HashRank => {
                    "by the rank of each subject's keyed hash, so that a small cohort meets the fractions"
                }
                SplitMethod::List => "by a list of subjects",
            },
            split_request: split.request.clone(),
            split_digest: split.digest.short().to_owned(),
        })
    }
}

fn split_row(part: Split, subjects: &[SubjectRecord]) -> SplitRow {
    let slices: Vec<usize> = subjects.iter().filter(|s| s.split == part).map(|s| s.slices).collect();
    let per_subject = match (slices.iter().min(), slices.iter().max()) {
        (Some(low), Some(high)) if low == high => format::count(*low),
        (Some(low), Some(high)) => format!("{} to {}", format::count(*low), format::count(*high)),
        _ => format::NONE.to_owned(),
    };
    SplitRow {
        name: part.name(),
        purpose: match part {
            Split::Train => "generators and segmenters learn from these",
            Split::Val => "checkpoints are chosen on these",
            Split::Control => "kept for the memorisation audit, nothing learns from these",
            Split::Test => "segmenters are tested on these",
        },
        subjects: format::count(slices.len()),
        slices: format::count(slices.iter().sum::<usize>()),
        per_subject,
    }
}

/// Voxel spacing of the store, as a range over the subjects where they differ.
fn spacing(subjects: &[SubjectRecord]) -> String {
    let axis = |index: usize| {
        let values = subjects.iter().map(|subject| subject.spacing_mm[index]);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if high - low < 0.005 { format!("{low:.2}") } else { format!("{low:.2}-{high:.2}") }
    };
    if subjects.is_empty() {
        return format::NONE.to_owned();
    }
    format!("{} x {} x {} mm (rows, columns, slices)", axis(0), axis(1), axis(2))
}

/// One class of the synthetic annotations beside the real ones.
#[derive(Clone, Debug)]
pub(crate) struct ShareRow {
    pub(crate) name: String,
    pub(crate) colour: Option<String>,
    pub(crate) synthetic: String,
    pub(crate) training: String,
}

/// What the synthetic annotations look like.
#[derive(Clone, Debug)]
pub(crate) struct LabelView {
    pub(crate) encoding: &'static str,
    pub(crate) unclean: String,
    pub(crate) empty: String,
    /// Of the images that the generator was trained on, where its record says so.
    pub(crate) training_empty: Option<String>,
    pub(crate) rows: Vec<ShareRow>,
}

impl LabelView {
    /// Nothing for a store that was not sampled.
    pub(crate) fn new(store: &StoreInput) -> Option<Self> {
        let Origin::Sampled(sampling) = &store.manifest.origin else { return None };
        let quality = &sampling.label_quality;
        let classes = &store.manifest.labels.classes;
        let order = classes.iter().map(|class| class.name.as_str());
        let unknown = quality.class_share.keys().map(String::as_str);
        let unknown = unknown.filter(|name| classes.iter().all(|class| class.name != *name));
        // Several generators of one set learnt from one store, or each from its own; the first one stands for them.
        let training = sampling.generators.iter().find_map(|generator| generator.training_labels.as_ref());
        let share = |quality: Option<&LabelQuality>, name: &str| {
            let share = quality.and_then(|quality| quality.class_share.get(name));
            share.map_or_else(|| format::NONE.to_owned(), |&share| format::percent(share))
        };
        let rows = order.chain(unknown).map(|name| ShareRow {
            name: name.to_owned(),
            colour: classes.iter().find(|class| class.name == name).map(|c| LegendEntry::new(c).colour),
            synthetic: share(Some(quality), name),
            training: share(training, name),
        });
        Some(Self {
            encoding: match sampling.label_encoding {
                synthmr_core::LabelEncoding::Gray => "one channel, a grey level a class",
                synthmr_core::LabelEncoding::Onehot => "one channel a class",
            },
            unclean: format::percent(quality.unclean_share),
            empty: format::percent(quality.empty_share),
            training_empty: training.map(|training| format::percent(training.empty_share)),
            rows: rows.collect(),
        })
    }
}
