//! The slices that an embedding learns from, made small.

use std::collections::{BTreeMap, BTreeSet};

use synthmr_core::ids::Digester;
use synthmr_core::{Digest, Split};
use synthmr_data::store::SliceStore;
use tch::{Device, Kind, Tensor};

use super::EmbeddingError;

/// Side of the images that the network sees; others are averaged or enlarged to it.
pub const WORKING_SIDE: i64 = 64;

/// Sides of images that can be embedded.
pub(crate) const SIDES: std::ops::RangeInclusive<usize> = 32..=512;

/// Images read at once: at 512x512 with 4 contrasts they take 134 MB as f32.
const READ_AT_ONCE: usize = 32;

/// Slices of real subjects. 25,000 of them with 4 contrasts take 410 MB.
pub struct TrainingSlices {
    /// u8 `[n, c, side, side]` of [`WORKING_SIDE`].
    pub(super) images: Tensor,
    /// Of each slice.
    pub(super) subjects: Vec<u32>,
    /// Number in its volume of each slice.
    pub(super) numbers: Vec<i32>,
    /// The slice beside each one in its volume, below and above, where there is one.
    neighbours: Vec<[Option<i64>; 2]>,
}

impl TrainingSlices {
    /// The slices of the store's part `train`, and of no other part.
    ///
    /// # Errors
    /// [`EmbeddingError::Store`] without such a part, [`EmbeddingError::Images`] for images of another form than
    /// squares of 32 to 512 pixels a side.
    pub fn from_store(store: &SliceStore) -> Result<Self, EmbeddingError> {
        Self::of_slices(store, &store.select(Some(Split::Train))?)
    }

    /// The slices `indices` of a store.
    pub(crate) fn of_slices(store: &SliceStore, indices: &[u32]) -> Result<Self, EmbeddingError> {
        let manifest = store.manifest();
        let mut small = Vec::new();
        for part in indices.chunks(READ_AT_ONCE) {
            let mut images = vec![0; part.len() * manifest.image_bytes()];
            let mut labels = vec![0; part.len() * manifest.label_bytes()];
            store.gather(part, &mut images, &mut labels)?;
            let (channels, height, width) = (manifest.channels.len(), manifest.height, manifest.width);
            small.push(shrunk(&images, [part.len(), channels, height, width])?);
        }
        let subjects = indices.iter().map(|&i| store.subject(i as usize).unwrap_or(u32::MAX)).collect();
        let numbers: Vec<i32> = indices.iter().map(|&i| store.slice(i as usize)).collect();
        Ok(Self::new(Tensor::cat(&small, 0), subjects, &numbers))
    }

    /// Slices u8 `[n, c, h, w]`, in `shape`, with the subject and the number in its volume of each.
    ///
    /// # Errors
    /// [`EmbeddingError::Images`] for images of another form than squares of 32 to 512 pixels a side.
    ///
    /// # Panics
    /// When `images`, `subjects` or `numbers` have another length than `shape` says.
    pub fn from_images(
        images: &[u8],
        shape: [usize; 4],
        subjects: &[u32],
        numbers: &[i32],
    ) -> Result<Self, EmbeddingError> {
        assert!(shape[0] == subjects.len() && shape[0] == numbers.len(), "a subject and a number a slice");
        Ok(Self::new(shrunk(images, shape)?, subjects.to_vec(), numbers))
    }

    fn new(images: Tensor, subjects: Vec<u32>, numbers: &[i32]) -> Self {
        let place: BTreeMap<(u32, i32), i64> = subjects
            .iter()
            .zip(numbers)
            .enumerate()
            .map(|(i, (&s, &number))| ((s, number), i as i64))
            .collect();
        let beside = |(&subject, &number): (&u32, &i32)| {
            [-1, 1].map(|step| place.get(&(subject, number.saturating_add(step))).copied())
        };
        let neighbours = subjects.iter().zip(numbers).map(beside).collect();
        Self { images, subjects, numbers: numbers.to_vec(), neighbours }
    }

    /// Number of slices.
    pub fn len(&self) -> usize {
        self.subjects.len()
    }

    /// True without slices.
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// Image channels.
    pub fn channels(&self) -> i64 {
        self.images.size()[1]
    }

    /// Different subjects.
    pub fn subject_count(&self) -> usize {
        self.subjects.iter().collect::<BTreeSet<_>>().len()
    }

    /// Digest of everything that is learnt from.
    pub(crate) fn digest(&self) -> Digest {
        let mut digester = Digester::new();
        let pixels = Vec::<u8>::try_from(self.images.flatten(0, -1)).unwrap_or_default();
        digester.add(format!("{:?}", self.images.size()).as_bytes()).add(&pixels);
        for (subject, number) in self.subjects.iter().zip(&self.numbers) {
            digester.add(&subject.to_le_bytes()).add(&number.to_le_bytes());
        }
        digester.finish()
    }

    /// The slices beside slice `i`.
    pub(super) fn beside(&self, i: usize) -> impl Iterator<Item = i64> {
        self.neighbours[i].into_iter().flatten()
    }

    /// Images f32 `[indices, c, side, side]` in [0, 1].
    pub(super) fn gather(&self, indices: &[i64], device: Device) -> Tensor {
        let images = self.images.index_select(0, &Tensor::from_slice(indices));
        images.to_device(device).to_kind(Kind::Float) * (1.0 / 255.0)
    }
}

/// Images u8 `[n, c, h, w]` of a usable form at the working side, u8: means of areas where they are larger.
pub(super) fn shrunk(images: &[u8], shape: [usize; 4]) -> Result<Tensor, EmbeddingError> {
    let [n, channels, height, width] = shape;
    if height != width || !SIDES.contains(&height) {
        return Err(EmbeddingError::Images {
            what: "images for the copy embedding",
            expected: format!("squares of {} to {} pixels a side", SIDES.start(), SIDES.end()),
            found: format!("{height}x{width}"),
        });
    }
    assert_eq!(images.len(), shape.iter().product::<usize>(), "as many bytes as the shape says");
    let side = height as i64;
    let images = Tensor::from_slice(images).view([n as i64, channels as i64, side, side]);
    if side == WORKING_SIDE {
        return Ok(images);
    }
    let images = images.to_kind(Kind::Float);
    let images = if side > WORKING_SIDE {
        images.adaptive_avg_pool2d([WORKING_SIDE, WORKING_SIDE])
    } else {
        images.upsample_bilinear2d([WORKING_SIDE, WORKING_SIDE], false, None, None)
    };
    Ok(images.round().to_kind(Kind::Uint8))
}
