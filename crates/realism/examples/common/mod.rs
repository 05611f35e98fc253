//! Sets that are worse than the real one in one known way: for the tests, and for the page of degradations.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;

use synthmr_core::random::{Draw, Rng, Stream, rng};
use synthmr_core::records::{Origin, RealismRecord, SamplingRecord};
use synthmr_data::cohort;
use synthmr_data::import::{ImportOptions, import};
use synthmr_data::phantom::{self, PhantomOptions};
use synthmr_data::prepare::{Preparation, Recipe};
use synthmr_data::split::SplitRequest;
use synthmr_data::store::{SliceStore, StoreLayout, StoreWriter};
use synthmr_realism::Observer;

/// One way in which a set is worse, at levels 1 to 3; at level 0 it is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Degradation {
    /// Every contrast blurred by boxes of 3 x 3 pixels, as often as the level says.
    Blur,
    /// Normal noise of 5, 10, 20 grey levels everywhere.
    Noise,
    /// The foreground brighter by 8, 16, 32 grey levels.
    Shift,
    /// A third, two thirds, all of the annotations exchanged between images.
    ForeignLabels,
    /// T1 of another image in a third, two thirds, all of the images.
    ForeignContrast,
    /// Images of a half, a quarter, an eighth of the subjects alone, as many as before.
    FewSubjects,
    /// One half, a quarter, a sixteenth of the images, repeated to as many as before.
    Duplicates,
}

pub(crate) const ALL: [Degradation; 7] = [
    Degradation::Blur,
    Degradation::Noise,
    Degradation::Shift,
    Degradation::ForeignLabels,
    Degradation::ForeignContrast,
    Degradation::FewSubjects,
    Degradation::Duplicates,
];

/// Image, annotation and subject of a slice.
type Slice = (Vec<u8>, Vec<u8>, Option<u32>);

/// Writes a phantom cohort's store with half of the subjects to train and half to test.
pub(crate) fn phantom_store(
    folder: &Path,
    subjects: usize,
    side: usize,
) -> Result<SliceStore, Box<dyn Error>> {
    let options = PhantomOptions { subjects, seed: 7, size: side.max(32) };
    phantom::generate(&folder.join("ph"), &options, &|_| ControlFlow::Continue(()))?;
    let options = ImportOptions {
        preparation: Preparation::new(Recipe::Robust, side)?,
        split: SplitRequest::parse("train=0.5,test=0.5")?,
        seed: 7,
        pseudonym_key: 1,
    };
    import(&cohort::discover(&folder.join("ph"))?, &folder.join("ph.store"), &options, &|_| {
        ControlFlow::Continue(())
    })?;
    Ok(SliceStore::open(&folder.join("ph.store"))?)
}

/// Writes the images `indices` of `store`, degraded, as a synthetic set.
pub(crate) fn write_degraded(
    store: &SliceStore,
    indices: &[u32],
    degradation: Degradation,
    level: usize,
    out: &Path,
) -> Result<(), Box<dyn Error>> {
    let manifest = store.manifest();
    let slice = |&i: &u32| {
        (store.image(i as usize).to_vec(), store.label(i as usize).to_vec(), store.subject(i as usize))
    };
    let mut slices: Vec<Slice> = indices.iter().map(slice).collect();
    if level > 0 {
        degrade(&mut slices, manifest.height, manifest.width, degradation, level);
    }
    let layout = StoreLayout {
        channels: manifest.channels.clone(),
        height: manifest.height,
        width: manifest.width,
        labels: manifest.labels.clone(),
    };
    let mut writer = StoreWriter::create(out, layout)?;
    for (number, (image, label, _)) in slices.iter().enumerate() {
        writer.push(image, label, None, number as i32)?;
    }
    writer.finish(Origin::Sampled(Box::new(SamplingRecord::without_generators())))?;
    Ok(())
}

fn degrade(slices: &mut Vec<Slice>, height: usize, width: usize, degradation: Degradation, level: usize) {
    let mut random = rng(level as u64, Stream::Test, degradation as u64);
    let plane = height * width;
    match degradation {
        Degradation::Blur => {
            for contrast in slices.iter_mut().flat_map(|(image, ..)| image.chunks_exact_mut(plane)) {
                (0..level).for_each(|_| blur(contrast, height, width));
            }
        }
        Degradation::Noise => {
            let deviation = [5.0, 10.0, 20.0][level - 1];
            for pixel in slices.iter_mut().flat_map(|(image, ..)| image) {
                *pixel = (f64::from(*pixel) + deviation * random.normal()).round().clamp(0.0, 255.0) as u8;
            }
        }
        Degradation::Shift => {
            let shift = 4 << level;
            let foreground = slices.iter_mut().flat_map(|(image, ..)| image).filter(|pixel| **pixel > 12);
            foreground.for_each(|pixel| *pixel = pixel.saturating_add(shift));
        }
        Degradation::ForeignLabels => {
            let labels: Vec<Vec<u8>> = slices.iter().map(|(_, label, _)| label.clone()).collect();
            for (place, other) in exchanged(slices.len(), level, &mut random) {
                slices[place].1.clone_from(&labels[other]);
            }
        }
        Degradation::ForeignContrast => {
            let first: Vec<Vec<u8>> = slices.iter().map(|(image, ..)| image[..plane].to_vec()).collect();
            for (place, other) in exchanged(slices.len(), level, &mut random) {
                slices[place].0[..plane].copy_from_slice(&first[other]);
            }
        }
        Degradation::FewSubjects => {
            let mut subjects: Vec<Option<u32>> = slices.iter().map(|slice| slice.2).collect();
            subjects.dedup();
            subjects.truncate((subjects.len() >> level).max(1));
            let n = slices.len();
            slices.retain(|slice| subjects.contains(&slice.2));
            *slices = slices.iter().cycle().take(n).cloned().collect();
        }
        Degradation::Duplicates => {
            let n = slices.len();
            random.shuffle(slices);
            slices.truncate((n / [2, 4, 16][level - 1]).max(1));
            *slices = slices.iter().cycle().take(n).cloned().collect();
        }
    }
}

/// Pairs (place, other place) for a third, two thirds or all of the places: a rotation of shuffled places.
fn exchanged(count: usize, level: usize, random: &mut Rng) -> Vec<(usize, usize)> {
    let mut places: Vec<usize> = (0..count).collect();
    random.shuffle(&mut places);
    places.truncate(count * level / 3);
    let mut others = places.clone();
    others.rotate_left(1.min(count));
    places.into_iter().zip(others).collect()
}

fn blur(plane: &mut [u8], height: usize, width: usize) {
    let before = plane.to_vec();
    for y in 0..height {
        for x in 0..width {
            let (mut sum, mut count) = (0u32, 0);
            for v in y.saturating_sub(1)..(y + 2).min(height) {
                for u in x.saturating_sub(1)..(x + 2).min(width) {
                    sum += u32::from(before[v * width + u]);
                    count += 1;
                }
            }
            plane[y * width + x] = ((sum + count / 2) / count) as u8;
        }
    }
}

/// Says nothing and never stops.
pub(crate) struct Silent;

impl Observer for Silent {
    fn progress(&mut self, _: u64, _: u64) {}

    fn note(&mut self, _: &str) {}

    fn should_stop(&self) -> bool {
        false
    }
}

/// The value of a metric for a channel.
pub(crate) fn value(record: &RealismRecord, metric: &str, channel: &str) -> f64 {
    let result = record.results.iter().find(|result| result.metric == metric && result.channel == channel);
    result.and_then(|result| result.value).unwrap_or(f64::NAN)
}
