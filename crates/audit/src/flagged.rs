//! Flagged images with their reasons, and pictures of the worst beside the real images that they resemble. For the inside.

use std::collections::BTreeSet;

use synthmr_core::Digest;
use synthmr_core::records::{FlaggedImage, Origin};
use synthmr_data::sheet::{self, RenderedSheet, SheetImage};
use synthmr_data::store::{SliceStore, StoreLayout};
use synthmr_metrics::statistics::benjamini_hochberg;
use tch::{Kind, Tensor};

use crate::AuditError;
use crate::calibration::{Calibration, Query, Score};
use crate::detectors::Annotation;
use crate::pose::{DIHEDRAL, dihedral};
use crate::slices::Reference;

/// Pairs that are shown.
const SHOWN: usize = 12;
/// An image is shown as it was drawn unless it is by so much more like the real one in another direction.
const CLEARLY: f64 = 1.02;

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

/// The most suspicious images, each a sheet of four rows: the synthetic image, flipped or turned as the real slice lies, the nearest
/// real slice, and the slices before and after that one. Real pixels: every sheet is marked.
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
        let (drawn, nearest) = (row(store, image.index), row(reference.store, image.nearest));
        let by_label = image.measure == Annotation::MEASURE;
        let (shown, moved) = as_it_lies(drawn, &nearest, (layout.height, layout.width), by_label);
        let mut rows = vec![shown];
        rows.extend([position, before, after].map(|p| row(reference.store, reference.indices[p] as usize)));
        let title = format!("synthetic image {}{moved}: {}", image.index, image.reason);
        let mut sheet = sheet::render(&title, true, &layout, &rows);
        sheet.record.png = format!("pair-{:02}.png", i + 1);
        sheets.push(sheet);
    }
    Ok(sheets)
}

/// An image flipped or turned so that it, or its annotation, is most like another one, and what was done in words. Black and white
/// may be exchanged.
fn as_it_lies(
    image: SheetImage,
    other: &SheetImage,
    (height, width): (usize, usize),
    by_label: bool,
) -> (SheetImage, &'static str) {
    let planes = |bytes: &[u8]| Tensor::from_slice(bytes).view([1, -1, height as i64, width as i64]);
    let centred = |x: &Tensor| {
        let x = x.to_kind(Kind::Float);
        &x - x.mean_dim([2i64, 3].as_slice(), true, Kind::Float)
    };
    let compared = |of: &SheetImage| planes(if by_label { &of.label } else { &of.image });
    let (pixels, target) = (compared(&image), centred(&compared(other)));
    let likeness =
        |code: usize| (centred(&dihedral(&pixels, code)) * &target).sum(Kind::Double).double_value(&[]).abs();
    // Images that are not square have no quarter turns.
    let codes = if height == width { DIHEDRAL } else { DIHEDRAL / 2 };
    let best = (1..codes).max_by(|&a, &b| likeness(a).total_cmp(&likeness(b))).unwrap_or(0);
    if likeness(best) <= CLEARLY * likeness(0) {
        return (image, "");
    }
    let turned =
        |bytes: &[u8]| Vec::<u8>::try_from(dihedral(&planes(bytes), best).flatten(0, -1)).unwrap_or_default();
    let shown = SheetImage { image: turned(&image.image), label: turned(&image.label) };
    (shown, if best < DIHEDRAL / 2 { ", shown flipped" } else { ", shown turned" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirrored_image_is_shown_as_the_real_one_lies() {
        let picture = |f: &dyn Fn(usize, usize) -> u8| -> Vec<u8> {
            (0..2 * 256).map(|i| f(i % 256 / 16, i % 16)).collect()
        };
        let label = |bytes: &[u8]| bytes[..256].to_vec();
        let real = picture(&|y, x| if x < 5 && y > 8 { 200 } else { (3 * x + y) as u8 });
        let of = |image: Vec<u8>| SheetImage { label: label(&image), image };
        let mirrored = picture(&|y, x| real[16 * y + 15 - x]);
        let (shown, words) = as_it_lies(of(mirrored), &of(real.clone()), (16, 16), false);
        assert_eq!((shown.image, shown.label, words), (real.clone(), label(&real), ", shown flipped"));
        let turned = picture(&|y, x| real[16 * x + 15 - y]);
        let (shown, words) = as_it_lies(of(turned), &of(real.clone()), (16, 16), false);
        assert_eq!((shown.image, words), (real.clone(), ", shown turned"));
        let (shown, words) = as_it_lies(of(real.clone()), &of(real.clone()), (16, 16), false);
        assert_eq!((shown.image, words), (real.clone(), ""));
        // Black and white exchanged is no reason to turn.
        let inverted: Vec<u8> = real.iter().map(|pixel| 255 - pixel).collect();
        let (_, words) = as_it_lies(of(inverted), &of(real.clone()), (16, 16), false);
        assert_eq!(words, "");
        // What counts for a copied annotation is how that lies.
        let both = SheetImage { image: real.clone(), label: label(&picture(&|y, x| real[16 * y + 15 - x])) };
        assert_eq!(as_it_lies(both, &of(real), (16, 16), true).1, ", shown flipped");
    }

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
