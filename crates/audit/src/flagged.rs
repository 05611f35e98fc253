//! Flagged images with their reasons, and pictures of the worst beside the real images that they resemble. For the inside.

use std::collections::BTreeSet;

use synthmr_core::Digest;
use synthmr_core::records::{FlaggedImage, Origin};
use synthmr_data::sheet::{self, RenderedSheet, SheetImage};
use synthmr_data::store::{SliceStore, StoreLayout};
use synthmr_metrics::statistics::benjamini_hochberg;

use crate::AuditError;
use crate::calibration::{Calibration, Query, Score};
use crate::slices::Reference;

/// Pairs that are shown.
const SHOWN: usize = 12;

/// What was decided of a set.
pub(crate) struct Decided {
    /// The flagged images, the most suspicious first; those that copy held-out subjects among them.
    pub(crate) images: Vec<FlaggedImage>,
    /// Flagged as copies of training subjects.
    pub(crate) flagged: usize,
    /// Confirmed among them.
    pub(crate) confirmed: usize,
    /// Confirmed as copies of held-out subjects.
    pub(crate) held_out: usize,
    /// Training and held-out subjects with a confirmed copy.
    pub(crate) copied_subjects: BTreeSet<usize>,
}

/// Flags and confirms the images `indices` of a store.
pub(crate) fn decide(
    calibration: &Calibration,
    reference: &Reference<'_>,
    measures: &[(&str, &str)],
    (indices, queries): (&[u32], &[Query]),
    discovery_rate: f64,
) -> Decided {
    let train: Vec<Option<Score>> = queries.iter().map(|query| calibration.train(query)).collect();
    let held_out: Vec<Option<Score>> = queries.iter().map(|query| calibration.held_out(query)).collect();
    let p = |score: &Option<Score>| score.map_or(1.0, |score| calibration.p_value(score.value));
    let p_values = [&train, &held_out].map(|scores| scores.iter().map(p).collect::<Vec<f64>>());
    let [of_train, of_held_out] = confirmed(&p_values, discovery_rate);
    let mut decided = Decided {
        images: Vec::new(),
        flagged: 0,
        confirmed: 0,
        held_out: 0,
        copied_subjects: BTreeSet::new(),
    };
    for i in 0..queries.len() {
        let flagged = train[i].filter(|_| calibration.flags(&queries[i]));
        decided.flagged += usize::from(flagged.is_some());
        let sides = [
            (flagged, of_train[i], &mut decided.confirmed),
            (held_out[i].filter(|_| of_held_out[i]), true, &mut decided.held_out),
        ];
        for (score, confirmed, count) in sides {
            let Some(score) = score else { continue };
            let subject = reference.subject_of(score.matched.position);
            if confirmed {
                *count += 1;
                decided.copied_subjects.insert(subject);
            }
            decided.images.push(image(
                calibration,
                reference,
                measures,
                indices[i] as usize,
                &score,
                confirmed,
            ));
        }
    }
    decided.images.sort_by(|a, b| b.score.total_cmp(&a.score));
    decided
}

/// Which images are confirmed as copies of training and of held-out subjects, by their p values against each. One family: an image
/// has two chances to be confirmed falsely.
fn confirmed([train, held_out]: &[Vec<f64>; 2], rate: f64) -> [Vec<bool>; 2] {
    let p_values = [train.as_slice(), held_out].concat();
    let mut of_train = benjamini_hochberg(&p_values, rate);
    let of_held_out = of_train.split_off(train.len());
    [of_train, of_held_out]
}

fn image(
    calibration: &Calibration,
    reference: &Reference<'_>,
    measures: &[(&str, &str)],
    index: usize,
    score: &Score,
    confirmed: bool,
) -> FlaggedImage {
    let subject = reference.subjects[reference.subject_of(score.matched.position)];
    let pseudonym = match &reference.store.manifest().origin {
        Origin::Cohort { subjects, .. } => subjects[subject.id as usize].pseudonym.clone(),
        Origin::Sampled(_) => Digest::of(b""),
    };
    let p_value = calibration.p_value(score.value);
    let certainty = if confirmed { "confirmed copy" } else { "possible copy" };
    let measure = measures[score.measure].0;
    FlaggedImage {
        index,
        score: score.value,
        p_value,
        confirmed,
        measure: measure.to_owned(),
        similarity: score.matched.similarity,
        nearest: reference.indices[score.matched.position] as usize,
        subject: pseudonym,
        split: subject.split,
        reason: format!(
            "{certainty} by {measure}: similarity {:.3}, score {:.2} above the threshold {:.2}, p {p_value:.1e}",
            score.matched.similarity, score.value, calibration.threshold
        ),
    }
}

/// The most suspicious images, each a sheet of four rows: the synthetic image, the nearest real slice, and the slices before and
/// after that one. Real pixels: every sheet is marked.
///
/// # Errors
/// [`AuditError::Store`] when a slice cannot be read.
pub(crate) fn pairs(
    store: &SliceStore,
    reference: &Reference<'_>,
    images: &[FlaggedImage],
) -> Result<Vec<RenderedSheet>, AuditError> {
    let manifest = store.manifest();
    let layout = StoreLayout {
        channels: manifest.channels.clone(),
        height: manifest.height,
        width: manifest.width,
        labels: manifest.labels.clone(),
    };
    let row = |store: &SliceStore, index: usize| SheetImage {
        image: store.image(index).to_vec(),
        label: store.label(index).to_vec(),
    };
    let mut sheets = Vec::new();
    for (i, image) in images.iter().take(SHOWN).enumerate() {
        let Some(position) = reference.indices.iter().position(|&index| index as usize == image.nearest)
        else {
            continue;
        };
        let own = reference.positions(reference.subject_of(position));
        let before = position.saturating_sub(1).max(own.start);
        let after = (position + 1).min(own.end - 1);
        let mut rows = vec![row(store, image.index)];
        rows.extend([position, before, after].map(|p| row(reference.store, reference.indices[p] as usize)));
        let title = format!("synthetic image {}: {}", image.index, image.reason);
        let mut sheet = sheet::render(&title, true, &layout, &rows);
        sheet.record.png = format!("pair-{:02}.png", i + 1);
        sheets.push(sheet);
    }
    Ok(sheets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn among_many_images_chance_confirms_none_and_copies_stay() {
        let chance: Vec<f64> = (1..=1000).map(|i| f64::from(i) / 1001.0).collect();
        let [train, held_out] = confirmed(&[chance.clone(), chance.clone()], 0.01);
        assert!(!train.contains(&true) && !held_out.contains(&true));
        let copies = [&chance[5..], &[1e-7; 5]].concat();
        let [train, held_out] = confirmed(&[copies, chance], 0.01);
        assert_eq!(train.iter().filter(|&&is| is).count(), 5);
        assert!(train[995..].iter().all(|&is| is) && !held_out.contains(&true));
        // Half as rare as what one image by itself would be confirmed with: two chances to be wrong.
        let alone = |p: f64| confirmed(&[vec![p], vec![1.0]], 0.01)[0][0];
        assert!(alone(0.005) && !alone(0.0051));
    }
}
