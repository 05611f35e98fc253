//! The pages of a memorisation audit: one for the inside, with pictures of pairs and their scores, and one that may be shown,
//! with aggregates only. The second is made from the record alone: what it must not show, it does not have.

use askama::Template;
use synthmr_core::records::{
    AuditImages, AuditRecord, ContactSheet, Detection, Interval, SensitivityRecord, Tier,
};

use crate::encode;
use crate::error::ReportError;
use crate::format;
use crate::view::{CSS, Mark, PictureView};

/// What the pages show.
#[derive(Debug)]
pub struct AuditPages<'a> {
    /// `audit.json`.
    pub record: &'a AuditRecord,
    /// `images.json`.
    pub images: &'a AuditImages,
    /// The pictures of pairs with their records.
    pub pairs: Vec<(ContactSheet, Vec<u8>)>,
}

/// One page.
#[derive(Template)]
#[template(path = "audit.html")]
struct Page<'a> {
    css: &'static str,
    style_digest: String,
    version: &'static str,
    record: &'a AuditRecord,
    facts: Vec<(String, &'static str)>,
    tiers: Vec<TierView<'a>>,
    dots: Vec<Dot>,
    inside: Option<Inside<'a>>,
}

/// What only the inside sees.
struct Inside<'a> {
    mark: Mark,
    images: &'a AuditImages,
    pairs: Vec<PairView>,
}

/// A pair: the synthetic image, the nearest real slice, and that one's neighbours.
struct PairView {
    title: String,
    columns: Vec<String>,
    picture: PictureView,
}

/// The planted copies of one tier.
struct TierView<'a> {
    name: &'static str,
    meaning: &'static str,
    cells: Vec<&'a SensitivityRecord>,
}

/// A point of the dose-response figure, in pixels.
struct Dot {
    x: f64,
    y: f64,
    low: f64,
    high: f64,
    text: String,
}

/// Side and margin of the dose-response figure.
const SIDE: f64 = 260.0;
const MARGIN: f64 = 44.0;
/// Share at the end of its axes.
const LARGEST_SHARE: f64 = 0.25;
/// Flagged images that are listed on the page; `images.json` has all.
const LISTED: usize = 200;

impl AuditPages<'_> {
    /// The page for the inside.
    ///
    /// # Errors
    /// [`ReportError::Picture`] when a picture is no PNG.
    pub fn private(&self) -> Result<String, ReportError> {
        let pairs = self.pairs.iter().map(|(record, png)| {
            let alt =
                "four rows: the synthetic image, the nearest real slice, the slices before and after it";
            Ok(PairView {
                title: record.title.clone(),
                columns: record.columns.clone(),
                picture: PictureView::new(&record.png, png, alt.to_owned(), Mark::Inside)?,
            })
        });
        let pairs = pairs.collect::<Result<_, ReportError>>()?;
        page(self.record, Some(Inside { mark: Mark::Inside, images: self.images, pairs }))
    }

    /// The page that may be shown.
    ///
    /// # Errors
    /// [`ReportError::Template`].
    pub fn public(&self) -> Result<String, ReportError> {
        page(self.record, None)
    }
}

fn page(record: &AuditRecord, inside: Option<Inside<'_>>) -> Result<String, ReportError> {
    let tier = |tier, name, meaning| TierView {
        name,
        meaning,
        cells: record.sensitivity.iter().filter(|cell| cell.tier == tier).collect(),
    };
    let page = Page {
        css: CSS,
        style_digest: encode::style_digest(CSS),
        version: env!("CARGO_PKG_VERSION"),
        facts: facts(record),
        tiers: vec![
            tier(
                Tier::Slight,
                "Slightly changed",
                "what any use of an image does to it; nearly all should be found",
            ),
            tier(
                Tier::Strong,
                "Strongly changed",
                "what somebody does who hides a copy; most should be found",
            ),
            tier(Tier::Partial, "Partial copies", "reported, and not promised"),
        ],
        dots: dots(record),
        record,
        inside,
    };
    Ok(page.render()?)
}

/// The main counts, each with what it counts.
pub(crate) fn facts(record: &AuditRecord) -> Vec<(String, &'static str)> {
    let of = |part: usize, all: usize| format!("{} of {}", format::count(part), format::count(all));
    let patients = &record.patients;
    let mut facts = vec![
        (
            of(record.flagged, record.n),
            format::noun(record.n, "synthetic image flagged", "synthetic images flagged"),
        ),
        (
            of(record.control_flagged, record.control_n),
            format::noun(
                record.control_n,
                "control image flagged, by chance",
                "control images flagged, by chance",
            ),
        ),
        (
            format::count(record.confirmed),
            format::noun(
                record.confirmed,
                "copy of a training subject confirmed",
                "copies of training subjects confirmed",
            ),
        ),
        (
            of(patients.train_copied, patients.train_n),
            format::noun(
                patients.train_n,
                "training subject with a confirmed copy",
                "training subjects with a confirmed copy",
            ),
        ),
        (
            of(patients.control_copied, patients.control_n),
            format::noun(
                patients.control_n,
                "held-out subject with a confirmed copy",
                "held-out subjects with a confirmed copy",
            ),
        ),
    ];
    if record.duplicates > 0 {
        let what = format::noun(
            record.duplicates,
            "synthetic image that equals another one",
            "synthetic images that equal another one",
        );
        facts.push((format::count(record.duplicates), what));
    }
    facts
}

fn dots(record: &AuditRecord) -> Vec<Dot> {
    let at = |share: f64| (SIDE - MARGIN) * (share / LARGEST_SHARE).clamp(0.0, 1.0);
    let (x, y) = (|share| MARGIN + at(share), |share| SIDE - MARGIN - at(share) + 8.0);
    let dot = |dose: &synthmr_core::records::DoseRecord| {
        let Interval { mean, low, high, .. } = dose.estimated;
        let mean = mean?;
        Some(Dot {
            x: x(dose.planted),
            y: y(mean),
            low: y(low.unwrap_or(mean)),
            high: y(high.unwrap_or(mean)),
            text: format!("planted {}, estimated {}", format::percent(dose.planted), share(&dose.estimated)),
        })
    };
    record.dose_response.iter().filter_map(dot).collect()
}

/// A share with its interval, in per cent.
pub(crate) fn share(value: &Interval) -> String {
    let percent = |value: Option<f64>| value.map_or_else(|| format::NONE.to_owned(), format::percent);
    match (value.low, value.high) {
        (Some(_), Some(_)) => {
            format!("{} [{} to {}]", percent(value.mean), percent(value.low), percent(value.high))
        }
        _ => percent(value.mean),
    }
}

fn percent(share: &f64) -> String {
    format::percent(*share)
}

fn level(record: &AuditRecord) -> String {
    format::percent(record.settings.level)
}

fn counted(n: &usize, noun: &str) -> String {
    format::counted(*n, noun)
}

fn three(value: &f64) -> String {
    format::fixed(Some(*value), 3)
}

/// `0.625 [0.400 to 0.800]`.
fn auc(value: &Interval) -> String {
    let [mean, low, high] = [value.mean, value.low, value.high].map(|value| format::fixed(value, 3));
    format!("{mean} [{low} to {high}]")
}

fn detected(detection: &Detection) -> String {
    let rate = format::percent(detection.false_alarms);
    match &detection.found {
        Some(found) => {
            let (low, high) = (format::percent(found.low), format::percent(found.high));
            format!("at {rate}: {} of {} [{low} to {high}]", found.k, found.n)
        }
        None => format!("at {rate}: not resolvable, needs {}", counted(&detection.needed, "other subject")),
    }
}

fn measured(value: &f64) -> String {
    format::measured(*value)
}

fn tiny(value: &f64) -> String {
    format!("{value:.1e}")
}
