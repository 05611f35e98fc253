//! Overlap of annotations: a tumour's shape identifies its patient too.
//!
//! Annotations are moved to their centre of mass and scaled to one size, so that a copied annotation is found under another
//! image and at another place, in eight flips. Similarity is Tanimoto's coefficient of the classes' planes, the Jaccard index
//! for shares of pixels, times the ratio of the two areas.

use synthmr_core::Split;
use synthmr_nets::engine::Precision;
use tch::{Device, IndexOp, Kind, Tensor};

use super::Detector;
use super::margin::{Found, SubjectSimilarities};
use crate::AuditError;
use crate::pose::{DIHEDRAL, Turning, dihedral, poses, sampled};
use crate::slices::{Reference, Slices};

/// Side of the grid on which annotations are compared.
const SIDE: i64 = 24;
/// Smallest share of an image that an annotation must cover to have a shape: 25 pixels of 64 x 64.
const SMALLEST: f64 = 0.006;
/// Training subjects whose overlap is kept, for the margin's ranks.
const KEPT: usize = 8;
/// Real annotations that are prepared at once.
const READ_AT_ONCE: usize = 64;

/// Overlap of annotations; see the module.
pub struct Annotation<'a> {
    reference: &'a Reference<'a>,
    classes: i64,
    /// `[m, classes * 24 * 24]`, zero where there is no annotation.
    planes: Tensor,
    /// Squared norms `[m]` and shares of the image `[m]`.
    norms: Tensor,
    areas: Tensor,
    kind: Kind,
}

impl<'a> Annotation<'a> {
    /// Name of its measure.
    pub const MEASURE: &'static str = "annotation";

    /// Prepares all real annotations.
    ///
    /// # Errors
    /// [`AuditError::Store`] when the cohort cannot be read.
    pub fn new(reference: &'a Reference<'a>) -> Result<Self, AuditError> {
        let classes = reference.store.manifest().labels.class_count() as i64;
        let kind = Precision::best_for(Device::Cpu).kind();
        let positions: Vec<usize> = (0..reference.indices.len()).collect();
        let (mut planes, mut norms, mut areas) = (Vec::new(), Vec::new(), Vec::new());
        for chunk in positions.chunks(READ_AT_ONCE) {
            let (plane, area) = in_frame(&reference.read(chunk)?, classes);
            norms.push(plane.square().sum_dim_intlist([1i64, 2, 3].as_slice(), false, Kind::Float));
            planes.push(plane.flatten(1, -1).to_kind(kind));
            areas.push(area);
        }
        let [norms, areas] = [norms, areas].map(|parts| Tensor::cat(&parts, 0));
        Ok(Self { reference, classes, planes: Tensor::cat(&planes, 0), norms, areas, kind })
    }
}

/// Planes of the foreground classes in the common frame `[n, classes - 1, 24, 24]`, and the share of the image that
/// they cover `[n]`. Annotations too small for a shape are zero.
fn in_frame(slices: &Slices, classes: i64) -> (Tensor, Tensor) {
    let labels = slices.square_labels();
    let planes = labels.one_hot(classes).permute([0, 3, 1, 2]).narrow(1, 1, classes - 1).to_kind(Kind::Float);
    let mask = labels.gt(0).to_kind(Kind::Float).unsqueeze(1);
    let area = mask.mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float);
    let shaped = area.ge(SMALLEST).to_kind(Kind::Float).view([-1, 1, 1, 1]);
    (sampled(&planes, &poses(&mask, Turning::Upright), SIDE) * shaped, area)
}

impl Detector for Annotation<'_> {
    fn measures(&self) -> Vec<&'static str> {
        vec![Self::MEASURE]
    }

    fn describe(&self, _: usize) -> &'static str {
        "overlap of the annotation's classes, moved to one centre and size"
    }

    fn search(&self, queries: &Slices, own: &[Option<usize>]) -> Result<Vec<Vec<Found>>, AuditError> {
        let (planes, areas) = in_frame(queries, self.classes);
        let norms = planes.square().sum_dim_intlist([1i64, 2, 3].as_slice(), false, Kind::Float).unsqueeze(1);
        let ratio = areas.unsqueeze(1) / &self.areas;
        let ratio = ratio.minimum(&ratio.reciprocal()).nan_to_num(0.0, 0.0, 0.0);
        let mut best = Tensor::zeros(ratio.size(), (Kind::Float, Device::Cpu));
        for code in 0..DIHEDRAL {
            let turned = dihedral(&planes, code).flatten(1, -1).to_kind(self.kind);
            let product = turned.matmul(&self.planes.tr()).to_kind(Kind::Float);
            let union = &norms + &self.norms - &product;
            best = best.maximum(&(product / union.clamp_min(1e-3)));
        }
        let best = best * ratio;
        let subjects = &self.reference.subjects;
        let found = own.iter().enumerate().map(|(query, own)| {
            if areas.double_value(&[query as i64]) < SMALLEST {
                return Found::default();
            }
            let row = best.i(query as i64);
            let mut ranked: Vec<(f64, usize, usize)> = Vec::with_capacity(subjects.len());
            for (s, subject) in subjects.iter().enumerate().filter(|(s, _)| Some(*s) != *own) {
                let (value, at) = row.narrow(0, subject.start as i64, subject.len as i64).max_dim(0, false);
                ranked.push((value.double_value(&[]), s, subject.start + at.int64_value(&[]) as usize));
            }
            ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
            let mut similar = SubjectSimilarities::default();
            let (train, held_out): (Vec<_>, Vec<_>) =
                ranked.into_iter().partition(|entry| subjects[entry.1].split == Split::Train);
            for (value, subject, position) in train.into_iter().take(KEPT).chain(held_out.into_iter().take(1))
            {
                similar.add(subject, value, position);
            }
            similar.found(subjects)
        });
        Ok(vec![found.collect()])
    }
}
