//! Similarity of learned embeddings: what correlation does not describe, a network may have learnt to see through.
//!
//! A network knows the subjects that it learnt from better than new ones, so subjects that it learnt from cannot stand for new
//! ones. Hence two networks, each of which learns from one half of the training subjects: null queries of a training subject are
//! compared by the network that has never seen it (cross-fitting), all others by both, whose similarities are averaged on Fisher's
//! scale. A mean of two varies less than one, so that the threshold, which comes from single ones, is rather too high.

use std::ops::ControlFlow;
use std::path::Path;

use synthmr_core::ids::Digester;
use synthmr_core::records::Tool;
use synthmr_core::{Digest, Split};
use tch::{Device, Kind, Tensor};

use super::Detector;
use super::margin::{Found, SubjectSimilarities, fisher};
use crate::AuditError;
use crate::embedding::{Embedding, EmbeddingConfig, EmbeddingError, TrainingSlices, WORKING_SIDE};
use crate::slices::{Reference, Slices, Subject};

/// Real images that are embedded at once.
const READ_AT_ONCE: usize = 64;

/// Similarity of learned embeddings; see the module.
pub struct Learned<'a> {
    reference: &'a Reference<'a>,
    halves: [Half; 2],
}

struct Half {
    embedding: Embedding,
    /// Of all real images, `[m, dimensions]`.
    vectors: Tensor,
}

impl<'a> Learned<'a> {
    /// Trains both networks, or takes those that an earlier run of the same audit has left in `folder`. `stop` is asked in
    /// between.
    ///
    /// # Errors
    /// [`AuditError::Embedding`] for images that are no squares of 32 to 512 pixels, or halves of fewer than two training
    /// subjects; [`AuditError::Interrupted`].
    pub fn new(
        reference: &'a Reference<'a>,
        config: &EmbeddingConfig,
        folder: &Path,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, AuditError> {
        let half = |half: usize| -> Result<Half, AuditError> {
            let path = folder.join(format!("embedding-{half}-{}.safetensors", Tool::this().version));
            let slices = training_slices(reference, half)?;
            let is_this = |known: &Embedding| known.config() == config && *known.data() == slices.digest();
            let embedding = match Embedding::load(&path, Device::Cpu) {
                Ok(embedding) if is_this(&embedding) => embedding,
                // One that cannot be read, whatever the reason, is trained again.
                _ => {
                    let mut progress =
                        |_, _| if stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
                    let embedding = Embedding::train(config, &slices, Device::Cpu, &mut progress)?;
                    embedding.save(&path)?;
                    embedding
                }
            };
            let positions: Vec<usize> = (0..reference.indices.len()).collect();
            let mut vectors = Vec::new();
            for some in positions.chunks(READ_AT_ONCE) {
                let (images, shape) = bytes(&reference.read(some)?);
                vectors.push(embedding.embed(&images, shape)?);
            }
            Ok(Half { embedding, vectors: Tensor::cat(&vectors, 0) })
        };
        Ok(Self { reference, halves: [half(0)?, half(1)?] })
    }

    /// Bytes that it takes for `images` of `channels`, its training included.
    pub fn bytes(images: usize, channels: usize) -> u64 {
        let pixels = (WORKING_SIDE * WORKING_SIDE) as usize * channels;
        let vectors = 2 * EmbeddingConfig::default().dimensions as usize * size_of::<f32>();
        (images * (2 * pixels + vectors)) as u64
    }

    /// Digest of what the networks make of the real images.
    pub fn digest(&self) -> Digest {
        let mut digester = Digester::new();
        for half in &self.halves {
            let values = Vec::<f32>::try_from(half.vectors.flatten(0, -1)).unwrap_or_default();
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            digester.add(&bytes);
        }
        digester.finish()
    }

    /// Which networks may compare queries of a subject.
    fn fair(&self, own: Option<usize>) -> impl Iterator<Item = usize> {
        let known = own.and_then(|own| half_of(self.reference, own));
        (0..self.halves.len()).filter(move |&half| known != Some(half))
    }
}

/// The half that a training subject belongs to: they alternate.
fn half_of(reference: &Reference<'_>, subject: usize) -> Option<usize> {
    reference.of_part(Split::Train).iter().position(|&train| train == subject).map(|place| place % 2)
}

fn training_slices(reference: &Reference<'_>, half: usize) -> Result<TrainingSlices, AuditError> {
    let of_half = reference.of_part(Split::Train).into_iter().skip(half).step_by(2);
    let positions = of_half.flat_map(|subject| reference.positions(subject));
    let indices: Vec<u32> = positions.map(|position| reference.indices[position]).collect();
    Ok(TrainingSlices::of_slices(reference.store, &indices)?)
}

/// Pixels `[n, c, h, w]` and their shape.
fn bytes(slices: &Slices) -> (Vec<u8>, [usize; 4]) {
    let size: Vec<usize> = slices.images.size().iter().map(|&n| n as usize).collect();
    let pixels = Vec::<u8>::try_from(slices.images.flatten(0, -1)).unwrap_or_default();
    (pixels, [size[0], size[1], size[2], size[3]])
}

/// The best similarity and position of every subject `[subjects][n]`, by one network.
type BySubject = Vec<(Vec<f64>, Vec<i64>)>;

impl Detector for Learned<'_> {
    fn measures(&self) -> Vec<&'static str> {
        vec!["learned"]
    }

    fn describe(&self, _: usize) -> &'static str {
        "product of the vectors of networks that learnt from training subjects to see through changes of an image"
    }

    fn search(&self, queries: &Slices, own: &[Option<usize>]) -> Result<Vec<Vec<Found>>, AuditError> {
        let subjects = &self.reference.subjects;
        let (images, shape) = bytes(queries);
        let mut by_half: Vec<BySubject> = Vec::new();
        for half in &self.halves {
            let looks = half.embedding.embed_queries(&images, shape)?;
            // `[n, m]`: the most alike of the four ways to look at a query.
            let similarity = looks.matmul(&half.vectors.tr()).amax([0i64].as_slice(), false);
            let best = |subject: &Subject| {
                let (start, len) = (subject.start as i64, subject.len as i64);
                let (best, at) = similarity.narrow(1, start, len).max_dim(1, false);
                let best = Vec::<f64>::try_from(best.to_kind(Kind::Double)).unwrap_or_default();
                (best, Vec::<i64>::try_from(at + start).unwrap_or_default())
            };
            by_half.push(subjects.iter().map(best).collect());
        }
        let found = own.iter().enumerate().map(|(query, &own)| {
            let mut similarities = SubjectSimilarities::default();
            for subject in (0..subjects.len()).filter(|&subject| own != Some(subject)) {
                let of_halves: Vec<(f64, i64)> = self
                    .fair(own)
                    .map(|half| (by_half[half][subject].0[query], by_half[half][subject].1[query]))
                    .collect();
                let mean = of_halves.iter().map(|(r, _)| fisher(*r)).sum::<f64>() / of_halves.len() as f64;
                let best = of_halves.iter().max_by(|a, b| a.0.total_cmp(&b.0));
                similarities.add(
                    subject,
                    mean.tanh(),
                    best.map_or(subjects[subject].start, |best| best.1 as usize),
                );
            }
            similarities.found(subjects)
        });
        Ok(vec![found.collect()])
    }
}

impl From<EmbeddingError> for AuditError {
    fn from(error: EmbeddingError) -> Self {
        match error {
            EmbeddingError::Interrupted => Self::Interrupted,
            EmbeddingError::Store(error) => Self::Store(error),
            EmbeddingError::File(error) => Self::File(error),
            error => Self::Embedding(error),
        }
    }
}
