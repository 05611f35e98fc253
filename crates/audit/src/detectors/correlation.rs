//! Correlation inside the head: all contrasts, fine detail, and single contrasts.
//!
//! Coarse to fine. Every query is compared with every real image on grids of 32x32 (all contrasts together) and 16x16 (every
//! contrast with every contrast), in the common frame of [`crate::pose`], upright and turned, in eight flips: matrix
//! products. The best subjects' images are then aligned by rotation, scale and shift, and correlated in f32 on the fine grid.
//! Similarities are those of Lewis, Fast normalized cross-correlation, 1995, within the real image's head.

use synthmr_core::Split;
use synthmr_nets::engine::Precision;
use synthmr_nets::layers::gaussian_blur;
use tch::{Device, IndexOp, Kind, Tensor};

use super::Detector;
use super::margin::{Found, SubjectSimilarities, fisher};
use crate::AuditError;
use crate::alignment::{self, Pairs};
use crate::foreground::{eroded, foreground};
use crate::pose::{DIHEDRAL, TURNINGS, dihedral, poses, reduced, sampled};
use crate::slices::{Reference, Slices};

/// Side of the grid on which all contrasts are searched together.
pub(crate) const COARSE: i64 = 32;
/// Largest side of the grid on which candidates are compared.
const FINE: i64 = 128;
/// Training subjects that are aligned, by all contrasts and by single ones; more are needed for the margin's ranks.
const BY_ALL: usize = 8;
const BY_ONE: usize = 4;
/// The same for held-out subjects.
const HELD_OUT: usize = 1;
/// Queries that are aligned at once.
const AT_ONCE: usize = 16;
/// Real images that are prepared at once.
const READ_AT_ONCE: usize = 128;
/// Standard deviations of the filters, in pixels of the fine grid. The first hides noise, grain and a lost half of the
/// resolution; between the second and the third lies the fine structure that shading leaves alone.
const SMOOTH: f64 = 1.5;
const FINE_FROM: f64 = 1.0;
const FINE_TO: f64 = 3.0;
/// A Gaussian of standard deviation 1 in the form that [`gaussian_blur`] takes: `2^-(x / s)^2`.
const SIGMA: f64 = 1.177_410_022_515_474_7;

/// The measures.
const MEASURES: [&str; 3] = ["brain", "detail", "contrast"];

/// Correlation within the head; see the module.
pub struct Correlation<'a> {
    reference: &'a Reference<'a>,
    /// For each of [`TURNINGS`].
    prepared: Vec<Prepared>,
    kind: Kind,
    side: i64,
}

/// The real images in one turning.
struct Prepared {
    /// All contrasts, each of norm 1: `[m, c * 32 * 32]`.
    joint: Tensor,
    /// Each contrast by itself, norm 1: `[m * c, 16 * 16]`.
    single: Tensor,
}

/// One real image that may be the source of a query.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    query: usize,
    subject: usize,
    position: usize,
    turning: usize,
    code: usize,
    by_one: bool,
}

/// Coarse similarities of queries to subjects.
struct Coarse {
    /// `[n, subjects]`.
    similarity: Tensor,
    /// Position, and turning times eight plus flip, of the best image: `[n, subjects]`.
    position: Tensor,
    code: Tensor,
}

impl<'a> Correlation<'a> {
    /// Prepares all real images.
    ///
    /// # Errors
    /// [`AuditError::Store`] when the cohort cannot be read.
    pub fn new(reference: &'a Reference<'a>, stop: &dyn Fn() -> bool) -> Result<Self, AuditError> {
        let kind = Precision::best_for(Device::Cpu).kind();
        let manifest = reference.store.manifest();
        let side = (manifest.height.max(manifest.width) as i64).min(FINE);
        let mut parts: Vec<(Vec<Tensor>, Vec<Tensor>)> =
            TURNINGS.iter().map(|_| Default::default()).collect();
        let positions: Vec<usize> = (0..reference.indices.len()).collect();
        for chunk in positions.chunks(READ_AT_ONCE) {
            if stop() {
                return Err(AuditError::Interrupted);
            }
            let images = reduced(&reference.read(chunk)?.square_images(), side);
            let mask = foreground(&images);
            for (turning, (joint, single)) in TURNINGS.iter().zip(&mut parts) {
                let z = in_frame(&images, &mask, &poses(&mask, *turning), COARSE);
                single.push(singles(&z).to_kind(kind));
                joint.push(z.flatten(1, -1).to_kind(kind));
            }
        }
        let prepared = parts
            .iter()
            .map(|(joint, single)| Prepared { joint: Tensor::cat(joint, 0), single: Tensor::cat(single, 0) });
        Ok(Self { reference, prepared: prepared.collect(), kind, side })
    }

    /// Bytes that the real images take while they are searched, for `images` of `channels`.
    pub fn bytes(images: usize, channels: usize) -> u64 {
        let value = Precision::best_for(Device::Cpu).kind().elt_size_in_bytes() as u64;
        let coarse = (COARSE * COARSE + COARSE * COARSE / 4) as u64;
        (images * channels * TURNINGS.len()) as u64 * coarse * value
    }

    /// Coarse similarities by all contrasts and by single ones.
    fn coarse(&self, images: &Tensor, mask: &Tensor, own: &[Option<usize>]) -> [Coarse; 2] {
        let (n, c) = (images.size()[0], images.size()[1]);
        let m = self.reference.indices.len() as i64;
        let floor = || Tensor::full([n, m], -2.0, (Kind::Float, Device::Cpu));
        let codes = || Tensor::zeros([n, m], (Kind::Int64, Device::Cpu));
        let mut best = [(floor(), codes()), (floor(), codes())];
        for (t, prepared) in self.prepared.iter().enumerate() {
            let z = in_frame(images, mask, &poses(mask, TURNINGS[t]), COARSE);
            for flip in 0..DIHEDRAL {
                let z = dihedral(&z, flip).contiguous();
                let joint = z.flatten(1, -1).to_kind(self.kind).matmul(&prepared.joint.tr());
                let joint = joint.to_kind(Kind::Float) / c as f64;
                let single = singles(&z).to_kind(self.kind).matmul(&prepared.single.tr());
                let single = single.view([n, c, m, c]).abs().amax([1i64, 3].as_slice(), false);
                let code = (t * DIHEDRAL + flip) as i64;
                for ((value, codes), found) in best.iter_mut().zip([joint, single.to_kind(Kind::Float)]) {
                    let better = found.gt_tensor(value);
                    *codes = codes.masked_fill(&better, code);
                    *value = value.maximum(&found);
                }
            }
        }
        best.map(|(value, code)| self.by_subject(&value, &code, own))
    }

    /// The best image of every subject; a query's own subject is left out.
    fn by_subject(&self, value: &Tensor, code: &Tensor, own: &[Option<usize>]) -> Coarse {
        let (mut similarity, mut position) = (Vec::new(), Vec::new());
        for subject in &self.reference.subjects {
            let (best, at) = value.narrow(1, subject.start as i64, subject.len as i64).max_dim(1, false);
            similarity.push(best);
            position.push(at + subject.start as i64);
        }
        let (similarity, position) = (Tensor::stack(&similarity, 1), Tensor::stack(&position, 1));
        for (query, own) in own.iter().enumerate() {
            if let Some(subject) = own {
                let _ = similarity.i((query as i64, *subject as i64)).fill_(-2.0);
            }
        }
        let code = code.gather(1, &position, false);
        Coarse { similarity, position, code }
    }

    /// The images that are worth an alignment.
    fn candidates(&self, coarse: &[Coarse; 2]) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let subjects = &self.reference.subjects;
        for (coarse, most, by_one) in [(&coarse[0], BY_ALL, false), (&coarse[1], BY_ONE, true)] {
            let order = coarse.similarity.argsort(1, true);
            for query in 0..order.size()[0] {
                let ranked = Vec::<i64>::try_from(order.i(query)).unwrap_or_default();
                let (mut trained, mut held_out) = (0, 0);
                for &subject in &ranked {
                    if coarse.similarity.double_value(&[query, subject]) < -1.5 {
                        continue;
                    }
                    let (count, most) = match subjects[subject as usize].split {
                        Split::Train => (&mut trained, most),
                        _ => (&mut held_out, HELD_OUT),
                    };
                    if *count == most {
                        continue;
                    }
                    *count += 1;
                    let code = coarse.code.int64_value(&[query, subject]) as usize;
                    candidates.push(Candidate {
                        query: query as usize,
                        subject: subject as usize,
                        position: coarse.position.int64_value(&[query, subject]) as usize,
                        turning: code / DIHEDRAL,
                        code: code % DIHEDRAL,
                        by_one,
                    });
                }
            }
        }
        candidates
    }

    fn search_few(&self, queries: &Tensor, own: &[Option<usize>]) -> Result<Vec<Vec<Found>>, AuditError> {
        let mask = foreground(queries);
        let coarse = self.coarse(queries, &mask, own);
        let candidates = self.candidates(&coarse);
        let positions: Vec<usize> = candidates.iter().map(|candidate| candidate.position).collect();
        let real = reduced(&self.reference.read(&positions)?.square_images(), self.side);
        let real_mask = foreground(&real);
        let rows: Vec<i64> = candidates.iter().map(|candidate| candidate.query as i64).collect();
        let of_query = Tensor::from_slice(&rows);
        let turned: Vec<bool> = candidates.iter().map(|candidate| candidate.turning == 1).collect();
        let turned = Tensor::from_slice(&turned).view([-1, 1, 1]);
        let pose = |mask: &Tensor| {
            let [upright, principal] = TURNINGS.map(|turning| poses(mask, turning));
            (upright, principal)
        };
        let (upright, principal) = pose(&real_mask);
        let real_pose = principal.where_self(&turned, &upright);
        let (upright, principal) = pose(&mask);
        let query_pose =
            principal.index_select(0, &of_query).where_self(&turned, &upright.index_select(0, &of_query));
        let by_one: Vec<bool> = candidates.iter().map(|candidate| candidate.by_one).collect();
        let pairs = Pairs {
            query: queries.index_select(0, &of_query),
            query_pose: alignment::flipped(
                &query_pose,
                &candidates.iter().map(|c| c.code).collect::<Vec<_>>(),
            ),
            real: real.shallow_clone(),
            real_mask: real_mask.shallow_clone(),
            real_pose: real_pose.shallow_clone(),
            by_one: Tensor::from_slice(&by_one),
        };
        let map = alignment::aligned(&pairs);
        let side = self.side;
        let inner = eroded(&sampled(&real_mask, &real_pose, side).gt(0.5).to_kind(Kind::Float), side / 32);
        let both = [sampled(&pairs.query, &map, side), sampled(&real, &real_pose, side)];
        let blurred = |deviation: f64| [0, 1].map(|i| gaussian_blur(&both[i], deviation * SIGMA));
        let table = |[a, b]: &[Tensor; 2]| correlations(a, b, &inner);
        let (from, to) = (blurred(FINE_FROM), blurred(FINE_TO));
        let band = [&from[0] - &to[0], &from[1] - &to[1]];
        Ok(self.collect(&candidates, queries.size()[0] as usize, &table(&blurred(SMOOTH)), &table(&band)))
    }

    /// From correlations `[pairs, c, c]` of every candidate to what each measure found.
    fn collect(
        &self,
        candidates: &[Candidate],
        queries: usize,
        low: &Tensor,
        band: &Tensor,
    ) -> Vec<Vec<Found>> {
        let mut similar = vec![vec![SubjectSimilarities::default(); queries]; MEASURES.len()];
        let largest = low.abs().amax([1i64, 2].as_slice(), false);
        let [low, band] = [low, band].map(|table| table.diagonal(0, 1, 2));
        let channels = low.size()[1];
        // On Fisher's scale: one contrast that is saturated or noisy must not hide what the others show.
        let mean = |table: &Tensor, row: i64| {
            let sum: f64 = (0..channels).map(|c| fisher(table.double_value(&[row, c]))).sum();
            (sum / channels as f64).tanh()
        };
        for (row, candidate) in candidates.iter().enumerate() {
            let row = row as i64;
            let values = [mean(&low, row), mean(&band, row), largest.double_value(&[row])];
            for (measure, value) in similar.iter_mut().zip(values) {
                measure[candidate.query].add(candidate.subject, value, candidate.position);
            }
        }
        let subjects = &self.reference.subjects;
        similar
            .into_iter()
            .map(|measure| measure.into_iter().map(|all| all.found(subjects)).collect())
            .collect()
    }
}

impl Detector for Correlation<'_> {
    fn measures(&self) -> &[&'static str] {
        &MEASURES
    }

    fn describe(&self, measure: usize) -> &'static str {
        [
            "correlation inside the head over all contrasts, smoothed, after alignment",
            "correlation of fine structure inside the head over all contrasts, after alignment",
            "largest correlation of any contrast with any contrast inside the head, whatever its sign, after alignment",
        ][measure]
    }

    fn search(&self, queries: &Slices, own: &[Option<usize>]) -> Result<Vec<Vec<Found>>, AuditError> {
        let images = reduced(&queries.square_images(), self.side);
        let mut all = vec![Vec::new(); MEASURES.len()];
        for (i, own) in own.chunks(AT_ONCE).enumerate() {
            let few = images.narrow(0, (i * AT_ONCE) as i64, own.len() as i64);
            for (all, found) in all.iter_mut().zip(self.search_few(&few, own)?) {
                all.extend(found);
            }
        }
        Ok(all)
    }
}

/// Images in the common frame with mean 0 and norm 1 inside the head, 0 outside: `[n, c, side, side]`.
fn in_frame(images: &Tensor, mask: &Tensor, pose: &Tensor, side: i64) -> Tensor {
    let inside = sampled(mask, pose, side).gt(0.5).to_kind(Kind::Float);
    standardised(&sampled(images, pose, side), &inside)
}

/// Mean 0 and norm 1 where `mask` `[n, 1, s, s]` is 1, 0 elsewhere.
pub(crate) fn standardised(x: &Tensor, mask: &Tensor) -> Tensor {
    let area = mask.sum_dim_intlist([2i64, 3].as_slice(), true, Kind::Float).clamp_min(1.0);
    let mean = (x * mask).sum_dim_intlist([2i64, 3].as_slice(), true, Kind::Float) / area;
    unit(&((x - mean) * mask))
}

fn unit(x: &Tensor) -> Tensor {
    let norm = x.square().sum_dim_intlist([2i64, 3].as_slice(), true, Kind::Float).sqrt();
    x / norm.clamp_min(1e-3)
}

/// Every contrast by itself on half the grid, norm 1: `[n * c, s * s / 4]`.
fn singles(z: &Tensor) -> Tensor {
    let half = unit(&z.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None));
    half.flatten(0, 1).flatten(1, -1)
}

/// Correlations of every contrast with every contrast inside a mask: `[n, c, c]`.
pub(crate) fn correlations(a: &Tensor, b: &Tensor, mask: &Tensor) -> Tensor {
    let [a, b] = [a, b].map(|x| standardised(x, mask).flatten(2, -1));
    a.bmm(&b.transpose(1, 2))
}
