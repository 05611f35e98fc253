//! Sets that are worse than the real one in one known way: for the tests, and for the page of degradations.

mod annotations;

use std::collections::BTreeSet;
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
    /// T1 of another image in a third, two thirds, all of the images.
    ForeignContrast,
    /// All images of a half, a quarter, an eighth of the subjects, and no other: none is repeated.
    FewSubjects,
    /// As many images as [`Self::FewSubjects`] leaves, the lowest slices of all subjects: subjects look alike to many
    /// features, the bottom and the top of a head do not.
    LowSlices,
    /// As many images as [`Self::FewSubjects`] leaves, any of all subjects. Not a fault, but what the two above are
    /// compared with: many numbers depend on how many images there are.
    FewImages,
    /// One half, a quarter, a sixteenth of the images, repeated to as many as before.
    Duplicates,
    /// A third, two thirds, all of the annotations exchanged between images.
    ForeignLabels,
    /// Annotations magnified about their middle, to 1.2, 1.4, 1.6 times their width.
    LargeLabels,
    /// Annotations moved down and to the right by a 32nd, a 16th, an eighth of the image.
    MovedLabels,
    /// Annotations cut along one, two, three rows, with an empty row in every cut.
    CutLabels,
    /// The last class missing from a quarter, a half, three quarters of the images that have it.
    MissingClass,
    /// A third, two thirds, all of the neighbours of two different foreground classes exchanged.
    MixedBorders,
}

/// What can be wrong with images.
pub(crate) const OF_IMAGES: [Degradation; 8] = [
    Degradation::Blur,
    Degradation::Noise,
    Degradation::Shift,
    Degradation::ForeignContrast,
    Degradation::FewSubjects,
    Degradation::LowSlices,
    Degradation::FewImages,
    Degradation::Duplicates,
];

/// What can be wrong with annotations.
pub(crate) const OF_ANNOTATIONS: [Degradation; 6] = [
    Degradation::ForeignLabels,
    Degradation::LargeLabels,
    Degradation::MovedLabels,
    Degradation::CutLabels,
    Degradation::MissingClass,
    Degradation::MixedBorders,
];

#[derive(Clone)]
struct Slice {
    image: Vec<u8>,
    label: Vec<u8>,
    subject: Option<u32>,
    /// Number in its volume, from the feet up.
    height: i32,
}

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
    let slice = |&i: &u32| Slice {
        image: store.image(i as usize).to_vec(),
        label: store.label(i as usize).to_vec(),
        subject: store.subject(i as usize),
        height: store.slice(i as usize),
    };
    let mut slices: Vec<Slice> = indices.iter().map(slice).collect();
    let size = [manifest.height, manifest.width];
    if level > 0 {
        degrade(&mut slices, size, degradation, level);
    }
    let layout = StoreLayout {
        channels: manifest.channels.clone(),
        height: manifest.height,
        width: manifest.width,
        labels: manifest.labels.clone(),
    };
    let mut writer = StoreWriter::create(out, layout)?;
    for (number, slice) in slices.iter().enumerate() {
        writer.push(&slice.image, &slice.label, None, number as i32)?;
    }
    writer.finish(Origin::Sampled(Box::new(SamplingRecord::without_generators())))?;
    Ok(())
}

fn degrade(slices: &mut Vec<Slice>, [height, width]: [usize; 2], degradation: Degradation, level: usize) {
    let mut random = rng(level as u64, Stream::Test, degradation as u64);
    let plane = height * width;
    match degradation {
        Degradation::Blur => {
            for contrast in slices.iter_mut().flat_map(|slice| slice.image.chunks_exact_mut(plane)) {
                (0..level).for_each(|_| blur(contrast, height, width));
            }
        }
        Degradation::Noise => {
            let deviation = [5.0, 10.0, 20.0][level - 1];
            for pixel in slices.iter_mut().flat_map(|slice| &mut slice.image) {
                *pixel = (f64::from(*pixel) + deviation * random.normal()).round().clamp(0.0, 255.0) as u8;
            }
        }
        Degradation::Shift => {
            let shift = 4 << level;
            let foreground =
                slices.iter_mut().flat_map(|slice| &mut slice.image).filter(|pixel| **pixel > 12);
            foreground.for_each(|pixel| *pixel = pixel.saturating_add(shift));
        }
        Degradation::ForeignContrast => {
            let first: Vec<Vec<u8>> = slices.iter().map(|slice| slice.image[..plane].to_vec()).collect();
            for (place, other) in exchanged(slices.len(), level, &mut random) {
                slices[place].image[..plane].copy_from_slice(&first[other]);
            }
        }
        Degradation::FewSubjects => *slices = of_few_subjects(slices, level),
        Degradation::LowSlices => {
            let count = of_few_subjects(slices, level).len();
            slices.sort_by_key(|slice| slice.height);
            slices.truncate(count);
        }
        Degradation::FewImages => {
            let count = of_few_subjects(slices, level).len();
            random.shuffle(slices);
            slices.truncate(count);
        }
        Degradation::Duplicates => {
            let n = slices.len();
            random.shuffle(slices);
            slices.truncate((n / [2, 4, 16][level - 1]).max(1));
            *slices = slices.iter().cycle().take(n).cloned().collect();
        }
        Degradation::ForeignLabels
        | Degradation::LargeLabels
        | Degradation::MovedLabels
        | Degradation::CutLabels
        | Degradation::MissingClass
        | Degradation::MixedBorders => {
            let mut labels: Vec<&mut Vec<u8>> = slices.iter_mut().map(|slice| &mut slice.label).collect();
            annotations::degrade(&mut labels, [height, width], degradation, level, &mut random);
        }
    }
}

/// Levels of a degradation that make different sets of images of `subjects` subjects: a quarter of five of them is the
/// one that an eighth is.
pub(crate) fn levels(degradation: Degradation, subjects: usize) -> Vec<usize> {
    let mut levels = vec![0, 1, 2, 3];
    if matches!(degradation, Degradation::FewSubjects | Degradation::LowSlices | Degradation::FewImages) {
        levels.dedup_by_key(|level| kept_subjects(subjects, *level));
    }
    levels
}

fn kept_subjects(subjects: usize, level: usize) -> usize {
    (subjects >> level).max(1)
}

/// Number of subjects that `indices` belong to.
pub(crate) fn subjects(store: &SliceStore, indices: &[u32]) -> usize {
    indices.iter().map(|&i| store.subject(i as usize)).collect::<BTreeSet<_>>().len()
}

/// The images of some of the subjects; those of a level are among those of the level below.
fn of_few_subjects(slices: &[Slice], level: usize) -> Vec<Slice> {
    let mut subjects: Vec<Option<u32>> =
        slices.iter().map(|slice| slice.subject).collect::<BTreeSet<_>>().into_iter().collect();
    rng(0, Stream::Test, Degradation::FewSubjects as u64).shuffle(&mut subjects);
    subjects.truncate(kept_subjects(subjects.len(), level));
    slices.iter().filter(|slice| subjects.contains(&slice.subject)).cloned().collect()
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
