//! Correlation within the head, after the query has been aligned to the real image.
//!
//! The coarse search ([`super::candidates`]) names the subjects' images that are worth an alignment. From their best turnings and
//! flips each query is moved, enlarged and sheared until it is most like them, neighbouring slices are tried in their place, and the
//! aligned images are compared in f32 on the fine grid ([`super::similarity`]). Similarities are those of Lewis, Fast normalized
//! cross-correlation, 1995.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::Detector;
use super::candidates::{Candidate, Prepared};
use super::margin::{Found, SubjectSimilarities};
use super::similarity::{MEASURES, RealImages, similarities};
use crate::AuditError;
use crate::alignment::{AFFINE, Aligned, Pairs, SIMILARITY};
use crate::foreground::foreground;
use crate::pose::{TURNINGS, poses, reduced, sampled};
use crate::slices::{Reference, Slices};

/// Largest side of the grid on which candidates are compared.
const FINE: i64 = 128;
/// Queries that are aligned at once.
const AT_ONCE: usize = 16;
/// Rounds of the alignment from every start, and of the best start's.
const ROUNDS: [usize; 2] = [2, 5];
/// Slices before and after a candidate that are tried in its place, and how often.
const BESIDE: usize = 2;
const STEPS_ASIDE: usize = 2;

/// Correlation within the head; see the module.
pub struct Correlation<'a> {
    reference: &'a Reference<'a>,
    prepared: Prepared,
    side: i64,
}

impl<'a> Correlation<'a> {
    /// Prepares all real images.
    ///
    /// # Errors
    /// [`AuditError::Store`] when the cohort cannot be read.
    pub fn new(reference: &'a Reference<'a>, stop: &dyn Fn() -> bool) -> Result<Self, AuditError> {
        let manifest = reference.store.manifest();
        let side = (manifest.height.max(manifest.width) as i64).min(FINE);
        Ok(Self { reference, prepared: Prepared::new(reference, side, stop)?, side })
    }

    /// Bytes that the real images take while they are searched, for `images` of `channels`.
    pub fn bytes(images: usize, channels: usize) -> u64 {
        Prepared::bytes(images, channels)
    }

    fn search_few(&self, queries: &Tensor, own: &[Option<usize>]) -> Result<Vec<Vec<Found>>, AuditError> {
        let mask = foreground(queries);
        let candidates = self.prepared.candidates(self.reference, (queries, &mask), own);
        let mut similar = vec![vec![SubjectSimilarities::default(); own.len()]; MEASURES.len()];
        if !candidates.is_empty() {
            let (candidates, query) = self.aligned(queries, &mask, candidates);
            let values = similarities(&query, &self.real(&candidates)?);
            for (of_query, values) in similar.iter_mut().zip(values) {
                for (candidate, value) in candidates.iter().zip(values) {
                    of_query[candidate.query].add(candidate.subject, value, candidate.position);
                }
            }
        }
        let subjects = &self.reference.subjects;
        let found =
            similar.into_iter().map(|measure| measure.into_iter().map(|all| all.found(subjects)).collect());
        Ok(found.collect())
    }

    /// The candidates' images.
    fn real(&self, candidates: &[Candidate]) -> Result<RealImages, AuditError> {
        let read = |shift: usize| -> Result<Tensor, AuditError> {
            let positions: Vec<usize> =
                candidates.iter().map(|candidate| self.beside(candidate, shift)).collect();
            Ok(reduced(&self.reference.read(&positions)?.square_images(), self.side))
        };
        let real = read(BESIDE)?;
        let mask = foreground(&real);
        let pose = of_turning(&TURNINGS.map(|turning| poses(&mask, turning)), candidates);
        let mean = |other: Tensor| sampled(&((&real + other) * 0.5), &pose, self.side);
        Ok(RealImages {
            slices: sampled(&real, &pose, self.side),
            between: [mean(read(BESIDE - 1)?), mean(read(BESIDE + 1)?)],
            heads: sampled(&mask, &pose, self.side).gt(0.5).to_kind(Kind::Float),
        })
    }

    /// The position of a slice of a candidate's subject beside its own: `shift` less [`BESIDE`] slices further, or the last one.
    fn beside(&self, candidate: &Candidate, shift: usize) -> usize {
        let own = self.reference.positions(candidate.subject);
        (candidate.position + shift).saturating_sub(BESIDE).clamp(own.start, own.end - 1)
    }

    /// The best start of every subject's image or of one beside it, and the queries as they then look in the common frame on the
    /// fine grid.
    fn aligned(
        &self,
        queries: &Tensor,
        mask: &Tensor,
        candidates: Vec<Candidate>,
    ) -> (Vec<Candidate>, Tensor) {
        let of_query: Vec<i64> = candidates.iter().map(|candidate| candidate.query as i64).collect();
        let of_query = Tensor::from_slice(&of_query);
        let poses = TURNINGS.map(|turning| poses(mask, turning).index_select(0, &of_query));
        let codes: Vec<usize> = candidates.iter().map(|candidate| candidate.code).collect();
        let by_one: Vec<bool> = candidates.iter().map(|candidate| candidate.by_one).collect();
        let pairs =
            Pairs::new(queries.index_select(0, &of_query), &of_turning(&poses, &candidates), &codes, &by_one);
        let targets = self.prepared.targets(&places(&candidates));
        let started = pairs.align(&targets, pairs.start(&targets), SIMILARITY, ROUNDS[0], 1.0);
        let (mut candidates, rows) = best_starts(candidates, &started.likeness);
        let pairs = pairs.select(&rows);
        let mut aligned = Aligned {
            movements: started.movements.index_select(0, &rows),
            likeness: started.likeness.index_select(0, &rows),
        };
        for _ in 0..STEPS_ASIDE {
            if !self.step_aside(&pairs, &mut candidates, &mut aligned) {
                break;
            }
        }
        let targets = self.prepared.targets(&places(&candidates));
        let aligned = pairs.align(&targets, aligned, AFFINE, ROUNDS[1], 1.0);
        (candidates, pairs.moved(&aligned.movements, self.side))
    }

    /// Puts a slice beside in the place of each candidate that it is less like. False when none was.
    fn step_aside(&self, pairs: &Pairs, candidates: &mut [Candidate], aligned: &mut Aligned) -> bool {
        let mut best: Vec<usize> = candidates.iter().map(|candidate| candidate.position).collect();
        for shift in (0..=2 * BESIDE).filter(|&shift| shift != BESIDE) {
            let positions: Vec<usize> =
                candidates.iter().map(|candidate| self.beside(candidate, shift)).collect();
            let places: Vec<(usize, usize)> = candidates
                .iter()
                .zip(&positions)
                .map(|(candidate, &position)| (position, candidate.turning))
                .collect();
            let value = pairs.likeness(&self.prepared.targets(&places), &aligned.movements);
            let better = Vec::<bool>::try_from(value.gt_tensor(&aligned.likeness)).unwrap_or_default();
            for ((best, position), _) in best.iter_mut().zip(positions).zip(better).filter(|pair| pair.1) {
                *best = position;
            }
            aligned.likeness = aligned.likeness.maximum(&value);
        }
        let mut moved = false;
        for (candidate, best) in candidates.iter_mut().zip(best) {
            moved |= candidate.position != best;
            candidate.position = best;
        }
        moved
    }
}

/// Positions and turnings of candidates.
fn places(candidates: &[Candidate]) -> Vec<(usize, usize)> {
    candidates.iter().map(|candidate| (candidate.position, candidate.turning)).collect()
}

/// Of poses `[p, 2, 3]` in both turnings, those of the candidates' turnings.
fn of_turning([upright, principal]: &[Tensor; 2], candidates: &[Candidate]) -> Tensor {
    let turned: Vec<bool> = candidates.iter().map(|candidate| candidate.turning == 1).collect();
    principal.where_self(&Tensor::from_slice(&turned).view([-1, 1, 1]), upright)
}

/// For every query, subject and way to compare, the start with the largest likeness; and the rows of those.
fn best_starts(candidates: Vec<Candidate>, likeness: &Tensor) -> (Vec<Candidate>, Tensor) {
    let likeness = Vec::<f32>::try_from(likeness).unwrap_or_default();
    let mut best: BTreeMap<(usize, usize, bool), usize> = BTreeMap::new();
    for (row, candidate) in candidates.iter().enumerate() {
        let key = (candidate.query, candidate.subject, candidate.by_one);
        let known = best.entry(key).or_insert(row);
        if likeness[row] > likeness[*known] {
            *known = row;
        }
    }
    let rows: Vec<i64> = best.values().map(|&row| row as i64).collect();
    (best.values().map(|&row| candidates[row]).collect(), Tensor::from_slice(&rows))
}

impl Detector for Correlation<'_> {
    fn measures(&self) -> Vec<&'static str> {
        MEASURES.map(|(name, _)| name).to_vec()
    }

    fn describe(&self, measure: usize) -> &'static str {
        MEASURES[measure].1
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
