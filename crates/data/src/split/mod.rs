//! Which subject belongs to which part: by keyed hash of its name, or by a list.
//!
//! The unit is the subject, always: slices of one person never cross parts.

mod fractions;
mod list;

use std::path::PathBuf;

use synthmr_core::files::FileError;
use synthmr_core::random::{Draw, Stream, rng};
use synthmr_core::records::{SplitMethod, SplitRecord};
use synthmr_core::{Digest, Split, SubjectId};

pub use fractions::SplitFractions;
pub use list::SplitList;

/// Below this many subjects the hash decides by rank: with fewer, chance alone would miss the fractions by
/// several subjects (the standard deviation of a part of 10 % of 100 subjects is 3) or leave a part empty.
const RANKED_BELOW: usize = 100;

/// How a cohort is to be divided.
#[derive(Clone, Debug, PartialEq)]
pub enum SplitRequest {
    /// Fractions, by keyed hash.
    Fractions(SplitFractions),
    /// A list of names.
    List(SplitList),
}

/// Why a cohort cannot be divided as asked.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// The list could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The text is neither fractions nor a list.
    #[error(
        "split {text:?}: {message}\nhint: for example train=0.6,val=0.1,control=0.1,test=0.2, paper-brats2021, or a file of lines `SUBJECT train`"
    )]
    Request {
        /// The text.
        text: String,
        /// What was expected and found.
        message: String,
    },
    /// A line of a list is not `NAME SPLIT`.
    #[error(
        "{path}, line {line}: {message}\nhint: a line is a subject's name and one of train, val, control, test"
    )]
    Line {
        /// The list.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What was expected and found.
        message: String,
    },
    /// A subject of the cohort that the list does not name.
    #[error(
        "subject {subject}: expected a part for it in {list}, found none\nhint: every subject of the cohort must be in the list"
    )]
    Unlisted {
        /// The subject.
        subject: SubjectId,
        /// The list.
        list: String,
    },
    /// A part that was asked for would be empty.
    #[error(
        "expected at least one subject in the part `{split}`, found none of {subjects}\nhint: ask for fewer parts, larger fractions, or another seed"
    )]
    EmptyPart {
        /// The part.
        split: Split,
        /// Subjects in the cohort.
        subjects: usize,
    },
}

/// A cohort, divided.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The part of every subject, in the order in which they were given.
    pub splits: Vec<Split>,
    /// How it was made; its digest covers every (pseudonym, part) pair, whatever their order.
    pub record: SplitRecord,
}

impl SplitRequest {
    /// Reads `train=0.6,..`, the name of a built-in list, or the path of a list.
    ///
    /// # Errors
    /// [`SplitError`] naming the text, or the list and its line.
    pub fn parse(text: &str) -> Result<Self, SplitError> {
        if let Some(list) = SplitList::built_in(text) {
            return Ok(Self::List(list));
        }
        let path = std::path::Path::new(text);
        if path.is_file() {
            return Ok(Self::List(SplitList::read(path)?));
        }
        Ok(Self::Fractions(text.parse()?))
    }

    /// Divides the subjects. The same names and seed give the same parts in whatever order they come.
    ///
    /// # Errors
    /// [`SplitError::EmptyPart`] or [`SplitError::Unlisted`].
    pub fn assign(
        &self,
        subjects: &[SubjectId],
        seed: u64,
        pseudonym_key: u64,
    ) -> Result<Assignment, SplitError> {
        let (splits, method, request) = match self {
            Self::Fractions(fractions) if subjects.len() < RANKED_BELOW => {
                (by_rank(fractions, subjects, seed)?, SplitMethod::HashRank, fractions.to_string())
            }
            Self::Fractions(fractions) => {
                (by_hash(fractions, subjects, seed)?, SplitMethod::Hash, fractions.to_string())
            }
            Self::List(list) => (list.assign(subjects)?, SplitMethod::List, list.to_string()),
        };
        let digest = digest_of(subjects, &splits, pseudonym_key);
        Ok(Assignment { splits, record: SplitRecord { method, request, digest } })
    }
}

/// The place of a subject in `[0, 1)`; depends on its name and the seed alone.
fn position(subject: &SubjectId, seed: u64) -> f64 {
    let name = Digest::of(subject.as_str().as_bytes());
    let index = name.as_str().bytes().take(16).fold(0u64, |sum, digit| {
        let value = (digit as char).to_digit(16).unwrap_or(0);
        (sum << 4) | u64::from(value)
    });
    rng(seed, Stream::Split, index).uniform()
}

fn by_hash(fractions: &SplitFractions, subjects: &[SubjectId], seed: u64) -> Result<Vec<Split>, SplitError> {
    let splits: Vec<Split> = subjects.iter().map(|s| fractions.part_at(position(s, seed))).collect();
    match fractions.parts().find(|(part, _)| !splits.contains(part)) {
        Some((split, _)) => Err(SplitError::EmptyPart { split, subjects: subjects.len() }),
        None => Ok(splits),
    }
}

fn by_rank(fractions: &SplitFractions, subjects: &[SubjectId], seed: u64) -> Result<Vec<Split>, SplitError> {
    let counts = fractions.counts(subjects.len())?;
    let mut order: Vec<usize> = (0..subjects.len()).collect();
    order.sort_by(|&a, &b| {
        let positions = position(&subjects[a], seed).total_cmp(&position(&subjects[b], seed));
        positions.then_with(|| subjects[a].as_str().cmp(subjects[b].as_str()))
    });
    let parts = counts.into_iter().flat_map(|(part, count)| std::iter::repeat_n(part, count));
    let mut splits = vec![Split::Train; subjects.len()];
    for (subject, part) in order.into_iter().zip(parts) {
        splits[subject] = part;
    }
    Ok(splits)
}

fn digest_of(subjects: &[SubjectId], splits: &[Split], pseudonym_key: u64) -> Digest {
    let mut pairs: Vec<(Digest, Split)> =
        subjects.iter().map(|s| s.pseudonym(pseudonym_key)).zip(splits.iter().copied()).collect();
    pairs.sort();
    Digest::of_json(&pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<SubjectId> {
        (0..count).map(|i| SubjectId::new(format!("subject {i:04}")).unwrap()).collect()
    }

    fn count(splits: &[Split], part: Split) -> usize {
        splits.iter().filter(|&&split| split == part).count()
    }

    fn assign(text: &str, subjects: &[SubjectId], seed: u64) -> Assignment {
        SplitRequest::parse(text).unwrap().assign(subjects, seed, 1).unwrap()
    }

    const FOUR: &str = "train=0.6,val=0.1,control=0.1,test=0.2";

    #[test]
    fn small_cohorts_meet_the_fractions_and_fill_every_part() {
        for subjects in 4..100 {
            let splits = assign(FOUR, &names(subjects), 7).splits;
            for (part, fraction) in Split::ALL.into_iter().zip([0.6, 0.1, 0.1, 0.2]) {
                let found = count(&splits, part);
                assert!(found >= 1, "{subjects} subjects, {part}");
                // Largest remainders miss by less than one; a part raised to one subject takes from others.
                let slack = if subjects < 20 { 2.0 } else { 1.0 };
                assert!(
                    (found as f64 - fraction * subjects as f64).abs() < slack,
                    "{subjects}, {part}: {found}"
                );
            }
        }
        let twelve = assign(FOUR, &names(12), 7);
        assert_eq!(Split::ALL.map(|part| count(&twelve.splits, part)), [7, 1, 1, 3]);
        assert_eq!(twelve.record.method, SplitMethod::HashRank);
        let error = SplitRequest::parse(FOUR).unwrap().assign(&names(3), 7, 1).unwrap_err();
        assert!(matches!(error, SplitError::EmptyPart { subjects: 3, .. }), "{error}");
    }

    #[test]
    fn adding_subjects_never_moves_others() {
        let (fewer, more) = (assign(FOUR, &names(400), 7), assign(FOUR, &names(900), 7));
        assert_eq!(fewer.splits, more.splits[..400]);
        assert_eq!(more.record.method, SplitMethod::Hash);
        // Five standard deviations of a binomial(900, 0.6): 5 * 14.7.
        assert!(count(&more.splits, Split::Train).abs_diff(540) < 74);
        assert_ne!(fewer.record.digest, more.record.digest);
    }

    #[test]
    fn the_parts_depend_on_names_and_seed_and_not_on_order() {
        for size in [20, 200] {
            let forward = names(size);
            let backward: Vec<SubjectId> = forward.iter().rev().cloned().collect();
            let (a, b) = (assign(FOUR, &forward, 7), assign(FOUR, &backward, 7));
            assert_eq!(a.record, b.record);
            assert_eq!(a.splits, b.splits.into_iter().rev().collect::<Vec<_>>());
            assert_ne!(a.splits, assign(FOUR, &forward, 8).splits);
        }
    }

    #[test]
    fn large_cohorts_never_lose_a_part_silently() {
        let request = SplitRequest::parse("train=0.9999999,test=0.0000001").unwrap();
        let error = request.assign(&names(150), 7, 1).unwrap_err();
        assert!(matches!(error, SplitError::EmptyPart { split: Split::Test, .. }), "{error}");
    }
}
