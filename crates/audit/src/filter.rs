//! A synthetic set without the images that an audit flagged.

use std::collections::BTreeMap;
use std::path::Path;

use synthmr_core::files::Access;
use synthmr_core::records::{AuditImages, FlaggedImage, Origin, SamplingRecord};
use synthmr_data::sheet::{self, SHEET_ROWS, SheetImage};
use synthmr_data::store::{SliceStore, StoreLayout, StoreWriter};

use crate::AuditError;

/// How a set was sampled: images can be taken out of such a set only.
///
/// # Errors
/// [`AuditError::Mismatch`] for the store of a cohort.
pub fn sampled(store: &SliceStore) -> Result<&SamplingRecord, AuditError> {
    match &store.manifest().origin {
        Origin::Sampled(sampling) => Ok(sampling),
        Origin::Cohort { .. } => {
            let hint = "--filter removes images of synthetic sets";
            Err(mismatch(store, "a synthetic set", "the store of a cohort", hint))
        }
    }
}

fn mismatch(store: &SliceStore, expected: &str, found: &str, hint: &'static str) -> AuditError {
    AuditError::Mismatch {
        what: store.path().display().to_string(),
        expected: expected.to_owned(),
        found: found.to_owned(),
        hint,
    }
}

/// The record of what is missing, in the filtered store; for the owner only.
const REMOVED: &str = "removed.json";

/// Writes the store `out`: the images `indices` of a sampled set without those flagged, whose reasons go into `removed.json`.
/// Gives the number of images kept; where it is 0, nothing is written.
///
/// # Errors
/// [`AuditError::Mismatch`] when the set was not sampled, [`AuditError::Store`] when a store cannot
/// be read or written.
pub fn filter(
    store: &SliceStore,
    indices: &[u32],
    images: &AuditImages,
    out: &Path,
) -> Result<usize, AuditError> {
    let manifest = store.manifest();
    let mut sampling = sampled(store)?.clone();
    let mut flagged: BTreeMap<usize, &FlaggedImage> = BTreeMap::new();
    // An image may be flagged twice, for a training and a held-out subject; the more suspicious reason comes first.
    images.images.iter().for_each(|image| {
        flagged.entry(image.index).or_insert(image);
    });
    let kept: Vec<u32> =
        indices.iter().copied().filter(|index| !flagged.contains_key(&(*index as usize))).collect();
    if kept.is_empty() {
        return Ok(0);
    }
    let layout = StoreLayout {
        channels: manifest.channels.clone(),
        height: manifest.height,
        width: manifest.width,
        labels: manifest.labels.clone(),
    };
    let mut writer = StoreWriter::create(out, layout.clone())?;
    sampling.generators.iter_mut().for_each(|generator| generator.images = 0);
    let generators = sampling.generators.len().max(1);
    let mut shown = Vec::new();
    for &index in &kept {
        let index = index as usize;
        let (image, label, number) = (store.image(index), store.label(index), store.slice(index));
        writer.push(image, label, None, number)?;
        let turn = (number.unsigned_abs() as u64 / sampling.block.max(1)) as usize % generators;
        if let Some(generator) = sampling.generators.get_mut(turn) {
            generator.images += 1;
        }
        if shown.len() < SHEET_ROWS {
            shown.push(SheetImage { image: image.to_vec(), label: label.to_vec() });
        }
    }
    sheet::render("synthetic images that an audit did not flag", false, &layout, &shown).add_to(&writer)?;
    let removed: Vec<&&FlaggedImage> = flagged.values().collect();
    writer.add_json(REMOVED, Access::Private, &removed)?;
    writer.finish(Origin::Sampled(Box::new(sampling)))?;
    Ok(kept.len())
}
