//! From similarities to subjects to a score: how far the nearest subject stands out.
//!
//! A similarity by itself says little: blurred images are near everybody's, and plain correlation reaches 0.97 between
//! different people. So the nearest subject's similarity is compared with that of the subjects ranked third to eighth for
//! the same query (Carlini et al., Extracting training data from diffusion models, 2023, compare distances in this way). The
//! second is left out, so that blends of two subjects stand out too. Similarities are on Fisher's scale (artanh), on which
//! the spread of a correlation does not depend on its size.

use serde::{Deserialize, Serialize};
use synthmr_core::Split;

use crate::slices::Subject;

/// Ranks of the subjects that a match is compared with.
const LEVEL_FROM: usize = 2;
const LEVEL_TO: usize = 8;

/// Fewest training subjects for a margin: the nearest, the second, and one to compare with.
pub(crate) const FEWEST_SUBJECTS: usize = 4;

/// Similarities beyond this are equal: rounding to 8 bit keeps two images apart by as much.
pub(super) const LARGEST: f64 = 0.99995;

/// The best match of a query in one part of the cohort.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Match {
    /// How far the subject stands out, on Fisher's scale; minus infinity is not representable in JSON, so a query
    /// that cannot be compared has no match instead.
    pub margin: f64,
    /// The similarity itself, -1 to 1.
    pub similarity: f64,
    /// Position of the nearest image.
    pub position: usize,
}

/// What one measure found for one query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Among training subjects; none when the query has nothing to compare.
    pub train: Option<Match>,
    /// Among subjects that were held out.
    pub held_out: Option<Match>,
}

/// The best similarity and position of each subject that was compared with a query.
#[derive(Clone, Debug, Default)]
pub struct SubjectSimilarities(Vec<(usize, f64, usize)>);

impl SubjectSimilarities {
    /// Adds an image of a subject; the subject's best counts.
    pub fn add(&mut self, subject: usize, similarity: f64, position: usize) {
        match self.0.iter_mut().find(|known| known.0 == subject) {
            Some(known) if known.1 < similarity => *known = (subject, similarity, position),
            Some(_) => {}
            None => self.0.push((subject, similarity, position)),
        }
    }

    /// The margins of the best training subject and of the best held-out one.
    pub fn found(mut self, subjects: &[Subject]) -> Found {
        self.0.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.2.cmp(&b.2)));
        let is_train = |entry: &&(usize, f64, usize)| subjects[entry.0].split == Split::Train;
        let train: Vec<&(usize, f64, usize)> = self.0.iter().filter(is_train).collect();
        let others = train.get(LEVEL_FROM..train.len().min(LEVEL_TO)).unwrap_or_default();
        if others.is_empty() {
            return Found::default();
        }
        let level = others.iter().map(|entry| fisher(entry.1)).sum::<f64>() / others.len() as f64;
        let matched = |entry: &(usize, f64, usize)| Match {
            margin: fisher(entry.1) - level,
            similarity: entry.1,
            position: entry.2,
        };
        Found {
            train: train.first().map(|entry| matched(entry)),
            held_out: self.0.iter().find(|entry| !is_train(entry)).map(matched),
        }
    }
}

/// Fisher's scale of a correlation.
pub(super) fn fisher(r: f64) -> f64 {
    r.clamp(-LARGEST, LARGEST).atanh()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(n: usize, held_out: usize) -> Vec<Subject> {
        let part = |i| if i < n { Split::Train } else { Split::Control };
        (0..n + held_out).map(|i| Subject { id: i as u32, split: part(i), start: i, len: 1 }).collect()
    }

    #[test]
    fn one_subject_that_stands_out_has_a_margin_and_a_crowd_has_none() {
        let of = |values: &[f64]| {
            let mut all = SubjectSimilarities::default();
            values.iter().enumerate().for_each(|(i, &r)| all.add(i, r, i));
            all.found(&subjects(6, 1))
        };
        let copy = of(&[0.8, 0.99, 0.81, 0.8, 0.79, 0.8, 0.7]);
        assert_eq!(copy.train.unwrap().position, 1);
        assert!(copy.train.unwrap().margin > 1.4, "{copy:?}");
        let crowd = of(&[0.97, 0.975, 0.97, 0.97, 0.97, 0.97, 0.96]);
        assert!(crowd.train.unwrap().margin < 0.15, "{crowd:?}");
        // A blend of two subjects.
        let blend = of(&[0.95, 0.95, 0.81, 0.8, 0.79, 0.8, 0.7]);
        assert!(blend.train.unwrap().margin > 0.7, "{blend:?}");
        // A copy of somebody who was held out, on the same scale.
        let leak = of(&[0.8, 0.81, 0.81, 0.8, 0.79, 0.8, 0.99]);
        assert!(leak.held_out.unwrap().margin > 1.4 && leak.train.unwrap().margin < 0.1, "{leak:?}");
        assert_eq!(leak.held_out.unwrap().position, 6);
    }

    #[test]
    fn a_subject_counts_once_with_its_best_image() {
        let mut all = SubjectSimilarities::default();
        for (subject, r, position) in [(0, 0.5, 10), (0, 0.9, 11), (0, 0.7, 12), (1, 0.4, 20), (2, 0.4, 30)] {
            all.add(subject, r, position);
        }
        let found = all.clone().found(&subjects(3, 0)).train.unwrap();
        assert_eq!((found.position, found.similarity), (11, 0.9));
        assert_eq!(
            all.found(&subjects(2, 1)),
            Found::default(),
            "two subjects have nobody to be compared with"
        );
    }
}
