//! Which images are searched: the synthetic set, subjects that stand for new ones, control subjects, planted copies.

use std::ops::Range;

use synthmr_core::Split;
use synthmr_core::random::{Draw, Stream, rng};
use synthmr_data::store::SliceStore;

use crate::planted::{Change, Sources};
use crate::searcher::Read;
use crate::slices::{Reference, Slices};

/// Most null images: more make the threshold no sharper than their subjects do.
const MOST_NULL_IMAGES: usize = 4096;

/// Real images that are searched, with the subject of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct RealSet {
    /// Positions in the reference.
    pub(crate) positions: Vec<usize>,
    /// Their subjects.
    pub(crate) subjects: Vec<usize>,
}

impl RealSet {
    /// All slices of some subjects.
    pub(crate) fn of(reference: &Reference<'_>, subjects: &[usize]) -> Self {
        Self::of_some(reference, subjects, usize::MAX)
    }

    /// At most `most` slices a subject, evenly spaced.
    fn of_some(reference: &Reference<'_>, subjects: &[usize], most: usize) -> Self {
        let mut set = Self::default();
        for &subject in subjects {
            let positions = reference.positions(subject);
            let n = positions.len().min(most);
            for i in 0..n {
                set.positions.push(positions.start + i * positions.len() / n);
                set.subjects.push(subject);
            }
        }
        set
    }

    /// The subjects that stand for new ones: `val`, and the training subjects, each of them searched without itself.
    pub(crate) fn null(reference: &Reference<'_>) -> Self {
        let subjects = [reference.of_part(Split::Val), reference.of_part(Split::Train)].concat();
        Self::of_some(reference, &subjects, (MOST_NULL_IMAGES / subjects.len().max(1)).max(4))
    }

    pub(crate) fn len(&self) -> usize {
        self.positions.len()
    }

    /// Slices of a range with the subject that each is searched without.
    pub(crate) fn read(&self, reference: &Reference<'_>, range: Range<usize>) -> Read {
        let own = self.subjects[range.clone()].iter().map(|&subject| Some(subject)).collect();
        Ok((reference.read(&self.positions[range])?, own))
    }
}

/// The set that is audited.
pub(crate) struct Audited<'a> {
    pub(crate) store: &'a SliceStore,
    pub(crate) indices: &'a [u32],
}

impl Audited<'_> {
    /// Slices of a range. A held-out part of the cohort itself is searched without its own subjects, because it stands for new
    /// images; its training part is not, because it stands for copies.
    pub(crate) fn read(&self, reference: &Reference<'_>, range: Range<usize>) -> Read {
        let indices = &self.indices[range];
        let itself = self.store.digest() == reference.store.digest();
        let own = indices.iter().map(|&index| {
            let id = self.store.subject(index as usize).filter(|_| itself)?;
            let subject = reference.subjects.iter().position(|subject| subject.id == id)?;
            (reference.subjects[subject].split != Split::Train).then_some(subject)
        });
        Ok((Slices::read(self.store, indices)?, own.collect()))
    }
}

/// The training images that are copied in every cell, and what else copies are made of: positions in the reference.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) source: Vec<usize>,
    neighbour: Vec<usize>,
    other: Vec<usize>,
    fresh: Vec<usize>,
}

impl Plan {
    /// `n` training images, of as many subjects as there are, in an order that the seed decides.
    pub(crate) fn new(reference: &Reference<'_>, n: usize, seed: u64) -> Self {
        let mut random = rng(seed, Stream::Planted, 0);
        let mut train = reference.of_part(Split::Train);
        random.shuffle(&mut train);
        // New subjects of whom nothing is left to learn after the threshold: control is for the end.
        let fresh: Vec<usize> =
            reference.of_part(Split::Val).into_iter().flat_map(|s| reference.positions(s)).collect();
        let mut plan = Self::default();
        for i in 0..n {
            let positions = reference.positions(train[i % train.len()]);
            let at = random.below(positions.len() as u64) as usize;
            plan.source.push(positions.start + at);
            let beside = if at + 1 < positions.len() { at + 1 } else { at.saturating_sub(1) };
            plan.neighbour.push(positions.start + beside);
            let others = reference.positions(train[(i + 1) % train.len()]);
            plan.other.push(others.start + at * others.len() / positions.len());
            let spare = others.start;
            plan.fresh.push(match fresh.len() {
                0 => spare,
                len => fresh[random.below(len as u64) as usize],
            });
        }
        plan
    }

    pub(crate) fn len(&self) -> usize {
        self.source.len()
    }

    /// The copies of a range, changed. Their sources stay among the images that are searched.
    pub(crate) fn read(
        &self,
        reference: &Reference<'_>,
        change: Change,
        seed: u64,
        range: Range<usize>,
    ) -> Read {
        let read = |positions: &[usize]| reference.read(&positions[range.clone()]);
        let sources = Sources {
            source: read(&self.source)?,
            neighbour: read(&self.neighbour)?,
            other: read(&self.other)?,
            fresh: read(&self.fresh)?,
        };
        Ok((change.apply(&sources, seed.wrapping_add(range.start as u64)), vec![None; range.len()]))
    }
}
