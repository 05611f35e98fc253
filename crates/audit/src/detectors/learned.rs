//! Similarity of learned embeddings: what correlation does not describe, a network may have learnt to see through.
//!
//! A network knows the subjects that it learnt from better than new ones, so subjects that it learnt from cannot stand for new
//! ones. Hence two networks, each of which learns from one half of the training subjects: null queries of a training subject are
//! compared by the network that has never seen it (cross-fitting), all others by both, each with a measure of its own.

use std::ops::ControlFlow;
use std::path::Path;

use synthmr_core::Split;
use tch::{Device, Tensor};

use super::Detector;
use super::margin::{Found, SubjectSimilarities};
use crate::AuditError;
use crate::embedding::{Embedding, EmbeddingConfig, EmbeddingError, TrainingSlices};
use crate::slices::{Reference, Slices};

/// Names of the measures, a half each.
const MEASURES: [&str; 2] = ["learned, first half", "learned, second half"];
/// Real images that are embedded at once.
const READ_AT_ONCE: usize = 512;

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
    /// [`AuditError::Embedding`] for images that are no squares of 32 to 512 pixels, or a cohort with fewer than four training
    /// subjects; [`AuditError::Interrupted`].
    pub fn new(
        reference: &'a Reference<'a>,
        config: &EmbeddingConfig,
        folder: &Path,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, AuditError> {
        let half = |half: usize| -> Result<Half, AuditError> {
            let path = folder.join(format!("embedding-{half}.safetensors"));
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

impl Detector for Learned<'_> {
    fn measures(&self) -> Vec<&'static str> {
        MEASURES.to_vec()
    }

    fn describe(&self, _: usize) -> &'static str {
        "product of the vectors of a network that learnt from half of the training subjects to see through changes of an image"
    }

    fn search(&self, queries: &Slices, own: &[Option<usize>]) -> Result<Vec<Vec<Found>>, AuditError> {
        let subjects = &self.reference.subjects;
        let (images, shape) = bytes(queries);
        let mut all = Vec::new();
        for (number, half) in self.halves.iter().enumerate() {
            let looks = half.embedding.embed_queries(&images, shape)?;
            // `[n, m]`: the most alike of the four ways to look at a query.
            let similarity = looks.matmul(&half.vectors.tr()).amax([0i64].as_slice(), false);
            let by_subject: Vec<(Vec<f64>, Vec<i64>)> = subjects
                .iter()
                .map(|subject| {
                    let (best, at) =
                        similarity.narrow(1, subject.start as i64, subject.len as i64).max_dim(1, false);
                    let best = Vec::<f64>::try_from(best.to_kind(tch::Kind::Double)).unwrap_or_default();
                    (best, Vec::<i64>::try_from(at).unwrap_or_default())
                })
                .collect();
            let found = own.iter().enumerate().map(|(query, &own)| {
                if own.is_some_and(|own| half_of(self.reference, own) == Some(number)) {
                    return Found::default();
                }
                let mut similarities = SubjectSimilarities::default();
                for (subject, (best, at)) in by_subject.iter().enumerate() {
                    if own != Some(subject) {
                        similarities.add(subject, best[query], subjects[subject].start + at[query] as usize);
                    }
                }
                similarities.found(subjects)
            });
            all.push(found.collect());
        }
        Ok(all)
    }
}

impl From<EmbeddingError> for AuditError {
    fn from(error: EmbeddingError) -> Self {
        match error {
            EmbeddingError::Interrupted => Self::Interrupted,
            error => Self::Embedding(error),
        }
    }
}
