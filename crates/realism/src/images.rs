//! What is measured without a network: grey levels, spectra, contrasts beside each other, annotations, similar pairs.

use rayon::prelude::*;
use synthmr_core::random::{Draw, Stream, rng};
use synthmr_metrics::realism::annotation::{self, Annotation, ClassShape, total_variation};
use synthmr_metrics::realism::contrast::{BACKGROUND, masked_correlation, pairs};
use synthmr_metrics::realism::histogram::{wasserstein_of_histograms, wasserstein_of_samples};
use synthmr_metrics::realism::ms_ssim::ms_ssim;
use synthmr_metrics::realism::spectrum;
use synthmr_nets::tch::{Kind, Tensor};

use crate::RealismError;
use crate::extract::{Progress, append};
use crate::halves::Rows;
use crate::sets::Set;

/// Grey levels of a bin.
const BIN_WIDTH: usize = 4;
const BINS: usize = 256 / BIN_WIDTH;
/// Images that are described together.
const BATCH: usize = 64;
/// Most pairs of a set for MS-SSIM: the mean of so many varies by less than 0.01.
const MOST_PAIRS: usize = 1000;

/// What the contrasts of every image look like.
#[derive(Clone, Debug)]
pub(crate) struct Profiles {
    channels: usize,
    rings: usize,
    /// Foreground pixels in every bin, `[images, channels, BINS]`.
    histograms: Vec<f32>,
    /// `[images, channels, rings]`.
    spectra: Vec<f32>,
    /// `[images, pairs]`; NaN where there is none.
    correlations: Vec<f32>,
}

impl Rows for Profiles {
    fn gathered(&self, rows: &[u32]) -> Self {
        let pairs = pairs(self.channels).count();
        let take = |values: &[f32], width: usize| {
            let row = |&row: &u32| &values[row as usize * width..(row as usize + 1) * width];
            rows.iter().flat_map(row).copied().collect()
        };
        Self {
            histograms: take(&self.histograms, self.channels * BINS),
            spectra: take(&self.spectra, self.channels * self.rings),
            correlations: take(&self.correlations, pairs),
            ..*self
        }
    }
}

/// Of the sums of two sets; none where it is not defined.
type Distance<'a> = &'a dyn Fn(&[f64], &[f64]) -> Option<f64>;

impl Profiles {
    /// Distances from `self`, the real images, to `other`: grey levels of each contrast and their mean, spectra and their
    /// mean, correlations of each pair and their mean.
    pub(crate) fn distances(&self, other: &Self) -> Vec<Option<f64>> {
        let sums = |values: &[f32], width: usize| {
            let mut sums = vec![0.0; width];
            for row in values.chunks_exact(width) {
                sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
            }
            sums
        };
        let of_channels = |of: fn(&Self) -> &[f32], width: usize, distance: Distance<'_>| {
            let (a, b) = (sums(of(self), self.channels * width), sums(of(other), self.channels * width));
            a.chunks_exact(width).zip(b.chunks_exact(width)).map(|(a, b)| distance(a, b)).collect::<Vec<_>>()
        };
        let histograms =
            of_channels(|p| &p.histograms, BINS, &|a, b| wasserstein_of_histograms(a, b, BIN_WIDTH as f64));
        // Sums become means: sets have different sizes.
        let images = |profiles: &Self| (profiles.histograms.len() / (profiles.channels * BINS)) as f64;
        let (of_self, of_other) = (images(self), images(other));
        let means = |sums: &[f64], images: f64| sums.iter().map(|sum| sum / images).collect::<Vec<f64>>();
        let spectra = of_channels(|p| &p.spectra, self.rings, &|a, b| {
            spectrum::distance_db(&means(a, of_self), &means(b, of_other))
        });
        let count = pairs(self.channels).count();
        let correlation = |profiles: &Self, pair: usize| {
            let values = profiles.correlations.chunks_exact(count).map(|row| f64::from(row[pair]));
            mean(values.filter(|value| !value.is_nan()))
        };
        let correlations: Vec<Option<f64>> = (0..count)
            .map(|pair| Some((correlation(self, pair)? - correlation(other, pair)?).abs()))
            .collect();
        [histograms, spectra, correlations].into_iter().flat_map(with_mean).collect()
    }
}

/// Numbers and their mean, which is none where one of them is.
fn with_mean(mut values: Vec<Option<f64>>) -> Vec<Option<f64>> {
    if values.len() > 1 {
        let all: Option<Vec<f64>> = values.iter().copied().collect();
        values.push(all.and_then(|all| mean(all.into_iter())));
    }
    values
}

pub(crate) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// The annotation of an image, and what lies under it.
#[derive(Clone, Debug)]
pub(crate) struct Marked {
    annotation: Annotation,
    /// Mean grey level of each contrast inside each foreground class, `[classes, channels]`; 0 where there is none.
    levels: Vec<f64>,
}

/// The annotation of every image.
#[derive(Clone, Debug)]
pub(crate) struct Annotations(Vec<Marked>);

impl Rows for Annotations {
    fn gathered(&self, rows: &[u32]) -> Self {
        Self(rows.iter().map(|&row| self.0[row as usize].clone()).collect())
    }
}

impl Annotations {
    /// Distances from `self`, the real annotations, to `other`: for each foreground class the share of images that have it,
    /// and among those its area (in shares of the real mean), its parts, its place (in sides of the image) and the mean grey
    /// level of each contrast inside it; then the borders of all classes.
    pub(crate) fn distances(&self, other: &Self) -> Vec<Option<f64>> {
        let Some(first) = self.0.first() else { return Vec::new() };
        let classes = first.annotation.classes.len();
        let channels = first.levels.len() / classes.max(1);
        let mut distances = Vec::new();
        for class in 0..classes {
            let with = |annotations: &Self, of: &dyn Fn(&Marked, &ClassShape) -> f64| -> Vec<f64> {
                let shapes = annotations.0.iter().map(|marked| (marked, &marked.annotation.classes[class]));
                shapes.filter(|(_, shape)| shape.area > 0).map(|(marked, shape)| of(marked, shape)).collect()
            };
            let distance = |of: &dyn Fn(&Marked, &ClassShape) -> f64| {
                wasserstein_of_samples(&with(self, of), &with(other, of))
            };
            let area = |_: &Marked, shape: &ClassShape| f64::from(shape.area);
            let (a, b) = (with(self, &area), with(other, &area));
            let presence = a.len() as f64 / self.0.len() as f64 - b.len() as f64 / other.0.len() as f64;
            let place = [distance(&|_, shape| shape.row), distance(&|_, shape| shape.column)];
            distances.push(Some(presence.abs()));
            distances.push(distance(&area).zip(mean(a.into_iter())).map(|(moved, area)| moved / area));
            distances.push(distance(&|_, shape| f64::from(shape.components)));
            distances.push(place[0].zip(place[1]).map(|(row, column)| (row + column) / 2.0));
            let level =
                |channel: usize| distance(&move |marked, _| marked.levels[class * channels + channel]);
            distances.extend((0..channels).map(level));
        }
        let borders = |annotations: &Self| {
            let mut sums = vec![0.0; (classes + 1) * (classes + 1)];
            for marked in &annotations.0 {
                sums.iter_mut()
                    .zip(&marked.annotation.borders)
                    .for_each(|(sum, &count)| *sum += f64::from(count));
            }
            sums
        };
        distances.push(total_variation(&borders(self), &borders(other)));
        distances
    }
}

/// Mean grey level of each contrast inside each foreground class.
fn levels(planes: &[&[u8]], label: &[u8], annotation: &Annotation) -> Vec<f64> {
    let mut sums = vec![0.0; annotation.classes.len() * planes.len()];
    for (channel, plane) in planes.iter().enumerate() {
        for (&level, &class) in plane.iter().zip(label).filter(|(_, class)| **class > 0) {
            sums[(usize::from(class) - 1) * planes.len() + channel] += f64::from(level);
        }
    }
    for (class, sums) in annotation.classes.iter().zip(sums.chunks_exact_mut(planes.len())) {
        sums.iter_mut().for_each(|sum| *sum /= f64::from(class.area.max(1)));
    }
    sums
}

/// Describes all images of a set.
pub(crate) fn describe(
    set: &Set<'_>,
    progress: &mut Progress<'_>,
) -> Result<(Profiles, Annotations), RealismError> {
    let manifest = set.store.manifest();
    let (height, width, channels) = (manifest.height, manifest.width, manifest.channels.len());
    let classes = manifest.labels.class_count();
    let rings = spectrum::rings(height, width);
    let mut profiles =
        Profiles { channels, rings, histograms: Vec::new(), spectra: Vec::new(), correlations: Vec::new() };
    let mut annotations = Vec::with_capacity(set.len());
    for start in (0..set.len()).step_by(BATCH) {
        let end = (start + BATCH).min(set.len());
        let power = power(set, start, end);
        let one = |place: usize| {
            let planes: Vec<&[u8]> = (0..channels).map(|channel| set.plane(place, channel)).collect();
            let histograms: Vec<f32> = planes.iter().flat_map(|plane| histogram(plane)).collect();
            let size = height * (width / 2 + 1);
            let powers = &power[(place - start) * channels * size..(place - start + 1) * channels * size];
            let spectra: Vec<f32> = powers
                .chunks_exact(size)
                .flat_map(|power| spectrum::profile(power, height, width))
                .map(|value| value as f32)
                .collect();
            let correlation = |(a, b): (usize, usize)| {
                masked_correlation(planes[a], planes[b]).map_or(f32::NAN, |r| r as f32)
            };
            let correlations: Vec<f32> = pairs(channels).map(correlation).collect();
            let annotation = annotation::describe(set.label(place), height, width, classes);
            let levels = levels(&planes, set.label(place), &annotation);
            (histograms, spectra, correlations, Marked { annotation, levels })
        };
        let described: Vec<_> = (start..end).into_par_iter().map(one).collect();
        for (histograms, spectra, correlations, marked) in described {
            profiles.histograms.extend(histograms);
            profiles.spectra.extend(spectra);
            profiles.correlations.extend(correlations);
            annotations.push(marked);
        }
        progress.add(end - start)?;
    }
    Ok((profiles, Annotations(annotations)))
}

/// Grey levels of the foreground.
fn histogram(plane: &[u8]) -> [f32; BINS] {
    let mut counts = [0f32; BINS];
    plane
        .iter()
        .filter(|&&pixel| pixel > BACKGROUND)
        .for_each(|&pixel| counts[usize::from(pixel) / BIN_WIDTH] += 1.0);
    counts
}

/// Squared magnitudes of the real Fourier transforms of all contrasts, `[images, channels, height, width / 2 + 1]`.
fn power(set: &Set<'_>, start: usize, end: usize) -> Vec<f32> {
    let manifest = set.store.manifest();
    let channels = manifest.channels.len();
    let mut pixels = Vec::with_capacity((end - start) * manifest.image_bytes());
    for place in start..end {
        (0..channels).for_each(|channel| pixels.extend_from_slice(set.plane(place, channel)));
    }
    let planes = Tensor::from_slice(&pixels).view([-1, manifest.height as i64, manifest.width as i64]);
    let transform = planes.to_kind(Kind::Float).fft_rfft2(None::<&[i64]>, [-2i64, -1].as_slice(), "backward");
    let mut power = Vec::new();
    append(&transform.abs().square(), &mut power);
    power
}

/// Similarities of pairs of images of one set, contrast by contrast, `[channels][pairs]`.
#[derive(Clone, Debug)]
pub(crate) struct Similarities(pub(crate) Vec<Vec<f64>>);

impl Rows for Similarities {
    fn gathered(&self, rows: &[u32]) -> Self {
        let of_channel = |values: &Vec<f64>| rows.iter().map(|&row| values[row as usize]).collect();
        Self(self.0.iter().map(of_channel).collect())
    }
}

impl Similarities {
    /// Number of pairs.
    pub(crate) fn pairs(&self) -> usize {
        self.0.first().map_or(0, Vec::len)
    }

    /// Mean of each contrast, and their mean.
    pub(crate) fn means(&self) -> Vec<Option<f64>> {
        with_mean(self.0.iter().map(|values| mean(values.iter().copied())).collect())
    }
}

/// MS-SSIM of pairs of a set, every image in one pair at most, and never two images of one subject. Empty for images that
/// are smaller than its window.
pub(crate) fn similarities(set: &Set<'_>, seed: u64, index: u64) -> Similarities {
    let manifest = set.store.manifest();
    let (height, width, channels) = (manifest.height, manifest.width, manifest.channels.len());
    let mut order: Vec<usize> = (0..set.len()).collect();
    rng(seed, Stream::Realism, (2 << 32) + index).shuffle(&mut order);
    let subject = |place: usize| set.store.subject(set.indices[place] as usize);
    let differ = |pair: &(usize, usize)| subject(pair.0).is_none() || subject(pair.0) != subject(pair.1);
    let chosen: Vec<(usize, usize)> =
        order.chunks_exact(2).map(|pair| (pair[0], pair[1])).filter(differ).take(MOST_PAIRS).collect();
    let of_channel = |channel: usize| {
        let one =
            |&(a, b): &(usize, usize)| ms_ssim(set.plane(a, channel), set.plane(b, channel), height, width);
        chosen.par_iter().filter_map(one).collect::<Vec<f64>>()
    };
    Similarities((0..channels).map(of_channel).collect())
}
