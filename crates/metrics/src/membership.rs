//! What scores of images say about whether subjects were trained on. The unit is the subject: its score is the mean over
//! its slices, which are not independent.

use synthmr_core::records::AttackRecord;

use crate::pair::MetricsError;
use crate::statistics::{auc, detection};

/// Level of the intervals.
pub const MEMBERSHIP_LEVEL: f64 = 0.95;

/// The normal quantile that belongs to it.
const Z: f64 = 1.959963984540054;

/// Rates of false alarms at which detections are given; the usual ones (Carlini et al., "Membership inference attacks from
/// first principles", 2022). A rate takes as many non-member subjects as its inverse says.
const RATES: [f64; 2] = [0.01, 0.001];

/// One attack by the scores of members and of non-members, a list of its slices' scores for each subject.
///
/// # Errors
/// [`MetricsError::NotFinite`].
///
/// # Panics
/// When a subject has no slice.
pub fn attack(
    name: &str,
    score: &str,
    members: &[Vec<f64>],
    non_members: &[Vec<f64>],
) -> Result<AttackRecord, MetricsError> {
    let means = |subjects: &[Vec<f64>]| -> Vec<f64> {
        let mean = |slices: &Vec<f64>| {
            assert!(!slices.is_empty(), "a subject has slices");
            slices.iter().sum::<f64>() / slices.len() as f64
        };
        subjects.iter().map(mean).collect()
    };
    let (members, non_members) = (means(members), means(non_members));
    let detections = RATES.map(|rate| detection(&members, &non_members, rate, MEMBERSHIP_LEVEL));
    Ok(AttackRecord {
        name: name.to_owned(),
        score: score.to_owned(),
        auc: auc(&members, &non_members, Z)?,
        detections: detections.into_iter().collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use synthmr_core::random::{Draw, Stream, rng};

    /// Subjects whose slices share a part of their scores, members by `gain` above the others.
    fn subjects(count: u64, gain: f64, index: u64) -> Vec<Vec<f64>> {
        let mut random = rng(index, Stream::Test, count);
        (0..count)
            .map(|_| {
                let own = gain + random.normal();
                (0..20).map(|_| own + random.normal()).collect()
            })
            .collect()
    }

    #[test]
    fn members_that_stand_out_are_told_from_others() {
        let found = attack("a", "b", &subjects(30, 8.0, 1), &subjects(120, 0.0, 2)).unwrap();
        assert!(found.auc.mean.unwrap() > 0.99 && found.auc.n == 150, "{found:?}");
        let [at_one_percent, at_one_in_a_thousand] = &found.detections[..] else { panic!("two rates") };
        assert!(at_one_percent.found.as_ref().unwrap().k >= 29);
        assert_eq!((&at_one_in_a_thousand.found, at_one_in_a_thousand.needed), (&None, 1000));
    }

    /// Labels by lot: subjects, not slices, are counted, or slices that share their subject would seem to be evidence.
    #[test]
    fn labels_by_lot_are_chance() {
        let outside = (0..400).filter(|&i| {
            let found = attack("a", "b", &subjects(14, 0.0, 2 * i), &subjects(7, 0.0, 2 * i + 1)).unwrap();
            !(found.auc.low.unwrap()..=found.auc.high.unwrap()).contains(&0.5)
        });
        // 5 % of 400 are 20; more than 40 have a probability below 1e-4.
        let outside = outside.count();
        assert!(outside <= 40, "{outside} of 400");
    }
}
