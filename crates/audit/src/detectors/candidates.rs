//! The coarse search: which real images are worth an alignment with a query.
//!
//! Every query is compared with every real image on grids of 32x32 (all contrasts together) and 16x16 (every contrast with
//! every contrast), in the common frame of [`crate::pose`], upright and turned, in eight flips: matrix products.

use synthmr_core::Split;
use synthmr_nets::engine::Precision;
use tch::{Device, IndexOp, Kind, Tensor};

use crate::AuditError;
use crate::alignment::Targets;
use crate::foreground::foreground;
use crate::pose::{DIHEDRAL, TURNINGS, dihedral, poses, reduced, sampled};
use crate::slices::Reference;

/// Side of the grid on which all contrasts are searched together.
pub(crate) const COARSE: i64 = 32;
/// Training subjects that are aligned, by all contrasts and by single ones; more are needed for the margin's ranks.
const BY_ALL: usize = 8;
const BY_ONE: usize = 4;
/// The same for held-out subjects.
const HELD_OUT: usize = 1;
/// Turnings and flips from which the alignment of a subject's image begins.
const STARTS: i64 = 2;
/// Real images that are prepared at once.
const READ_AT_ONCE: usize = 64;

/// One real image that may be the source of a query, and how the query is turned to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) query: usize,
    pub(super) subject: usize,
    pub(super) position: usize,
    /// Its place in [`TURNINGS`].
    pub(super) turning: usize,
    /// Its flip or quarter turn.
    pub(super) code: usize,
    /// Whether single contrasts are compared.
    pub(super) by_one: bool,
}

/// All real images in the common frame.
pub(super) struct Prepared {
    /// For each of [`TURNINGS`].
    frames: Vec<Frame>,
    kind: Kind,
    channels: i64,
}

/// The real images in one turning.
struct Frame {
    /// All contrasts, each of mean 0 and norm 1 in the head, 0 outside: `[m, c * 32 * 32]`.
    joint: Tensor,
    /// Each contrast by itself, norm 1: `[m * c, 16 * 16]`.
    single: Tensor,
}

/// Coarse similarities of queries to subjects.
struct Coarse {
    /// `[n, subjects]`.
    similarity: Tensor,
    /// Position of the best image: `[n, subjects]`.
    position: Tensor,
    /// Turning times eight plus flip, the best first: `[n, subjects, STARTS]`.
    codes: Tensor,
}

impl Prepared {
    /// Prepares all real images, averaged to a side of about `side`.
    pub(super) fn new(
        reference: &Reference<'_>,
        side: i64,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, AuditError> {
        let kind = Precision::best_for(Device::Cpu).kind();
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
        let frames = parts
            .iter()
            .map(|(joint, single)| Frame { joint: Tensor::cat(joint, 0), single: Tensor::cat(single, 0) });
        let channels = reference.store.manifest().channels.len() as i64;
        Ok(Self { frames: frames.collect(), kind, channels })
    }

    /// Bytes of `images` of `channels` in all turnings.
    pub(super) fn bytes(images: usize, channels: usize) -> u64 {
        let value = Precision::best_for(Device::Cpu).kind().elt_size_in_bytes() as u64;
        let coarse = (COARSE * COARSE + COARSE * COARSE / 4) as u64;
        (images * channels * TURNINGS.len()) as u64 * coarse * value
    }

    /// The real images at positions, each in its turning, for an alignment.
    pub(super) fn targets(&self, places: &[(usize, usize)]) -> Targets {
        let of_turning = |turning: usize| {
            let rows: Vec<i64> = places.iter().map(|place| place.0 as i64).collect();
            self.frames[turning].joint.index_select(0, &Tensor::from_slice(&rows))
        };
        let turned: Vec<bool> = places.iter().map(|place| place.1 == 1).collect();
        let turned = Tensor::from_slice(&turned).unsqueeze(1);
        let images = of_turning(1).where_self(&turned, &of_turning(0)).to_kind(Kind::Float);
        let images = images.view([-1, self.channels, COARSE, COARSE]);
        // Outside of the head they are zero.
        let masks = images.abs().sum_dim_intlist([1i64].as_slice(), true, Kind::Float).gt(0.0);
        let masks = masks.to_kind(Kind::Float);
        Targets { images: standardised(&images, &masks), masks }
    }

    /// The images of the subjects that are most like each query, in the best few turnings and flips. A query's `own` subject is
    /// left out.
    pub(super) fn candidates(
        &self,
        reference: &Reference<'_>,
        (images, mask): (&Tensor, &Tensor),
        own: &[Option<usize>],
    ) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let subjects = &reference.subjects;
        let coarse = self.coarse(reference, images, mask, own);
        for (coarse, most, by_one) in [(&coarse[0], BY_ALL, false), (&coarse[1], BY_ONE, true)] {
            let order = coarse.similarity.argsort(1, true);
            for query in 0..own.len() {
                let ranked = Vec::<i64>::try_from(order.i(query as i64)).unwrap_or_default();
                let (mut trained, mut held_out) = (0, 0);
                for &subject in &ranked {
                    let at = [query as i64, subject];
                    if coarse.similarity.double_value(&at) < -1.5 {
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
                    candidates.extend((0..STARTS).map(|start| {
                        let code = coarse.codes.int64_value(&[query as i64, subject, start]) as usize;
                        Candidate {
                            query,
                            subject: subject as usize,
                            position: coarse.position.int64_value(&at) as usize,
                            turning: code / DIHEDRAL,
                            code: code % DIHEDRAL,
                            by_one,
                        }
                    }));
                }
            }
        }
        candidates
    }

    /// Coarse similarities by all contrasts and by single ones.
    fn coarse(
        &self,
        reference: &Reference<'_>,
        images: &Tensor,
        mask: &Tensor,
        own: &[Option<usize>],
    ) -> [Coarse; 2] {
        let (n, c) = (images.size()[0], images.size()[1]);
        let m = reference.indices.len() as i64;
        let mut found: [Vec<Tensor>; 2] = Default::default();
        for (frame, turning) in self.frames.iter().zip(TURNINGS) {
            let z = in_frame(images, mask, &poses(mask, turning), COARSE);
            for flip in 0..DIHEDRAL {
                let z = dihedral(&z, flip).contiguous();
                let joint = z.flatten(1, -1).to_kind(self.kind).matmul(&frame.joint.tr());
                found[0].push(joint.to_kind(Kind::Float) / c as f64);
                let single = singles(&z).to_kind(self.kind).matmul(&frame.single.tr());
                let single = single.view([n, c, m, c]).abs().amax([1i64, 3].as_slice(), false);
                found[1].push(single.to_kind(Kind::Float));
            }
        }
        found.map(|by_code| by_subject(reference, &Tensor::stack(&by_code, 2), own))
    }
}

/// The best image of every subject, from similarities `[n, m, codes]`.
fn by_subject(reference: &Reference<'_>, by_code: &Tensor, own: &[Option<usize>]) -> Coarse {
    let value = by_code.amax([2i64].as_slice(), false);
    let (mut similarity, mut position) = (Vec::new(), Vec::new());
    for subject in &reference.subjects {
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
    let at = position.unsqueeze(2).expand([-1, -1, by_code.size()[2]], false);
    let (_, codes) = by_code.gather(1, &at, false).topk(STARTS, 2, true, true);
    Coarse { similarity, position, codes }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_background_does_not_count() {
        let mask = Tensor::zeros([1, 1, 64, 64], (Kind::Float, Device::Cpu));
        let _ = mask.narrow(2, 16, 32).narrow(3, 20, 24).fill_(1.0);
        tch::manual_seed(3);
        let head = Tensor::rand([1, 2, 64, 64], (Kind::Float, Device::Cpu)) * 100.0;
        let pose = poses(&mask, TURNINGS[0]);
        let frame =
            |background: f64| in_frame(&(&head * &mask + (1.0 - &mask) * background), &mask, &pose, 64);
        let (black, grey) = (frame(0.0), frame(90.0));
        let outside = sampled(&mask, &pose, 64).le(0.5).to_kind(Kind::Float);
        for x in [&black, &grey] {
            assert!((x * &outside).abs().max().double_value(&[]) < 1e-9);
            assert!(
                x.sum_dim_intlist([2i64, 3].as_slice(), false, Kind::Float).abs().max().double_value(&[])
                    < 1e-4
            );
        }
        // Only the rim, where pixels are interpolated with what lies outside, differs.
        let alike = (&black * &grey).sum(Kind::Float).double_value(&[]) / 2.0;
        assert!(alike > 0.9, "{alike}");
    }
}
