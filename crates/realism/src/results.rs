//! Numbers with their names.

use synthmr_core::records::{Better, RealismResult};

use crate::halves::Estimate;

/// What a number is called.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) metric: &'static str,
    pub(crate) channel: String,
    pub(crate) better: Better,
}

/// Where numbers come from and how many images they are of.
#[derive(Clone, Copy)]
pub(crate) struct Basis<'a> {
    pub(crate) features: &'a str,
    pub(crate) n_real: usize,
    pub(crate) n_synthetic: usize,
}

impl Basis<'_> {
    /// One result.
    pub(crate) fn result(&self, name: Name, estimate: &Estimate, held_out: Option<f64>) -> RealismResult {
        let Estimate { value, interval, floor, matched } = *estimate;
        let (least, most) = range(name.metric);
        let interval = interval.map(|(low, high)| (low.clamp(least, most), high.clamp(least, most)));
        RealismResult {
            metric: name.metric.to_owned(),
            features: self.features.to_owned(),
            channel: name.channel,
            n_real: self.n_real,
            n_synthetic: self.n_synthetic,
            value,
            low: interval.map(|(low, _)| low),
            high: interval.map(|(_, high)| high),
            floor: floor.map(|(mean, ..)| mean),
            floor_low: floor.map(|(_, low, _)| low),
            floor_high: floor.map(|(.., high)| high),
            matched,
            held_out,
            deviation: None,
            better: name.better,
            rank_deficient: false,
        }
    }
}

/// The metrics of features, in the order in which they are computed.
pub(crate) const FEATURE_METRICS: [(&str, Better); 6] = [
    ("frechet", Better::Lower),
    ("kid", Better::Lower),
    ("precision", Better::Higher),
    ("recall", Better::Higher),
    ("density", Better::Floor),
    ("coverage", Better::Higher),
];

/// What values of a metric can be; a quantile that was moved may lie outside.
fn range(metric: &str) -> (f64, f64) {
    match metric {
        "kid" => (f64::NEG_INFINITY, f64::INFINITY),
        "precision" | "recall" | "coverage" | "ms_ssim" | "annotation_presence" | "annotation_borders" => {
            (0.0, 1.0)
        }
        _ => (0.0, f64::INFINITY),
    }
}

/// Names of [`crate::images::Profiles::distances`].
pub(crate) fn profile_names(channels: &[String]) -> Vec<Name> {
    let each: Vec<String> = channels.to_vec();
    let pairs: Vec<String> = synthmr_metrics::realism::contrast::pairs(channels.len())
        .map(|(a, b)| format!("{}+{}", channels[a], channels[b]))
        .collect();
    let families =
        [("intensity_histogram", each.clone()), ("power_spectrum", each), ("cross_contrast", pairs)];
    families.into_iter().flat_map(|(metric, channels)| named(metric, channels, Better::Lower)).collect()
}

/// Names of [`crate::images::Similarities::means`].
pub(crate) fn similarity_names(channels: &[String]) -> Vec<Name> {
    named("ms_ssim", channels.to_vec(), Better::Floor)
}

/// A name for each channel, and for their mean where there are several.
fn named(metric: &'static str, mut channels: Vec<String>, better: Better) -> Vec<Name> {
    if channels.len() > 1 {
        channels.push("mean".to_owned());
    }
    channels.into_iter().map(|channel| Name { metric, channel, better }).collect()
}

/// Names of [`crate::images::Annotations::distances`], for the foreground classes.
pub(crate) fn annotation_names(classes: &[String], channels: &[String]) -> Vec<Name> {
    let name = |metric, channel: String| Name { metric, channel, better: Better::Lower };
    let mut names = Vec::new();
    for class in classes {
        let shape =
            ["annotation_presence", "annotation_area", "annotation_components", "annotation_position"];
        names.extend(shape.map(|metric| name(metric, class.clone())));
        names.extend(
            channels.iter().map(|channel| name("annotation_intensity", format!("{class}/{channel}"))),
        );
    }
    names.push(name("annotation_borders", "all".to_owned()));
    names
}
