//! Slices as tensors, and the real slices in the order of their subjects.

use synthmr_core::Split;
use synthmr_core::records::Origin;
use synthmr_data::store::{SliceStore, StoreError};
use tch::{Kind, Tensor};

/// A few images with their annotation.
#[derive(Debug)]
pub struct Slices {
    /// u8 `[n, c, h, w]`.
    pub images: Tensor,
    /// Class indices, u8 `[n, h, w]`.
    pub labels: Tensor,
}

impl Slices {
    /// Reads slices of a store, in the order of `indices`.
    ///
    /// # Errors
    /// [`StoreError::Label`] when a label is no class.
    pub fn read(store: &SliceStore, indices: &[u32]) -> Result<Self, StoreError> {
        let manifest = store.manifest();
        let mut images = vec![0u8; indices.len() * manifest.image_bytes()];
        let mut labels = vec![0u8; indices.len() * manifest.label_bytes()];
        store.gather(indices, &mut images, &mut labels)?;
        let [n, c] = [indices.len(), manifest.channels.len()].map(|size| size as i64);
        let [h, w] = [manifest.height, manifest.width].map(|size| size as i64);
        Ok(Self {
            images: Tensor::from_slice(&images).view([n, c, h, w]),
            labels: Tensor::from_slice(&labels).view([n, h, w]),
        })
    }

    /// Number of slices.
    pub fn len(&self) -> usize {
        self.images.size()[0] as usize
    }

    /// True without slices.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Images as f32 `[n, c, s, s]`, 0 to 255, padded to a square with zeros.
    pub fn square_images(&self) -> Tensor {
        squared(&self.images.to_kind(Kind::Float))
    }

    /// Labels as i64 `[n, s, s]`, padded to a square with background.
    pub fn square_labels(&self) -> Tensor {
        squared(&self.labels.unsqueeze(1).to_kind(Kind::Int64)).squeeze_dim(1)
    }
}

/// `[n, c, h, w] -> [n, c, s, s]` with `s = max(h, w)`, the image in the middle.
fn squared(x: &Tensor) -> Tensor {
    let (h, w) = (x.size()[2], x.size()[3]);
    let side = h.max(w);
    let (rows, columns) = (side - h, side - w);
    x.constant_pad_nd([columns / 2, columns - columns / 2, rows / 2, rows - rows / 2])
}

/// One real subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its index in the store's manifest.
    pub id: u32,
    /// Its part.
    pub split: Split,
    /// Position of its first slice in [`Reference::indices`].
    pub start: usize,
    /// Number of its slices.
    pub len: usize,
}

/// All real slices, subject by subject: what queries are compared with. Positions are places in `indices`.
pub struct Reference<'a> {
    /// The cohort.
    pub store: &'a SliceStore,
    /// Indices of the slices in the store.
    pub indices: Vec<u32>,
    /// The subjects that have slices.
    pub subjects: Vec<Subject>,
}

impl<'a> Reference<'a> {
    /// Sorts a cohort's slices by subject; within one by their number.
    pub fn new(store: &'a SliceStore) -> Self {
        let mut indices: Vec<u32> = (0..store.len() as u32).collect();
        indices.sort_by_key(|&i| (store.subject(i as usize), store.slice(i as usize)));
        let mut subjects: Vec<Subject> = Vec::new();
        for (position, &index) in indices.iter().enumerate() {
            let Some(id) = store.subject(index as usize) else { continue };
            match subjects.last_mut() {
                Some(last) if last.id == id => last.len += 1,
                _ => subjects.push(Subject {
                    id,
                    split: store.split_of(index as usize),
                    start: position,
                    len: 1,
                }),
            }
        }
        Self { store, indices, subjects }
    }

    /// The subjects of one part: their places in [`Self::subjects`].
    pub fn of_part(&self, split: Split) -> Vec<usize> {
        (0..self.subjects.len()).filter(|&s| self.subjects[s].split == split).collect()
    }

    /// The subject of a position.
    pub fn subject_of(&self, position: usize) -> usize {
        self.subjects.partition_point(|subject| subject.start <= position) - 1
    }

    /// Positions of a subject's slices.
    pub fn positions(&self, subject: usize) -> std::ops::Range<usize> {
        let Subject { start, len, .. } = self.subjects[subject];
        start..start + len
    }

    /// Reads the slices at positions.
    ///
    /// # Errors
    /// As [`Slices::read`].
    pub fn read(&self, positions: &[usize]) -> Result<Slices, StoreError> {
        let indices: Vec<u32> = positions.iter().map(|&position| self.indices[position]).collect();
        Slices::read(self.store, &indices)
    }

    /// Whether the store is a cohort's.
    pub fn is_cohort(&self) -> bool {
        matches!(self.store.manifest().origin, Origin::Cohort { .. })
    }
}
