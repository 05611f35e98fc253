//! The picture of docs/augmentation.md: a slice, and the same slice under every change of a preset at its strongest, a row
//! each.
//!
//! `cargo run --release -p synthmr-train --example augmentation_page STORE OUT.png`, with a store of phantoms.

use std::error::Error;
use std::fs;

use synthmr_core::Split;
use synthmr_data::sheet::{self, SheetImage};
use synthmr_data::store::{SliceStore, StoreLayout};
use synthmr_train::config;
use synthmr_train::segmentation::{
    Augmentation, AugmentationConfig, Change, PRESETS, SegmenterConfig, normalised,
};
use tch::{Kind, Tensor};

/// Seed of the movements, whose strengths are fixed.
const SEED: u64 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(store), Some(out)) = (words.next(), words.next()) else {
        return Err("expected STORE and OUT.png".into());
    };
    let store = SliceStore::open(store.as_ref())?;
    let manifest = store.manifest();
    // The slice with the largest tumour shows best what happens to the annotation.
    let tumour = |&index: &u32| store.label(index as usize).iter().filter(|&&class| class > 0).count();
    let index = store.indices(Split::Train).into_iter().max_by_key(tumour).ok_or("an empty store")? as usize;
    let (height, width) = (manifest.height as i64, manifest.width as i64);
    let images = Tensor::from_slice(store.image(index)).view([1, -1, height, width]);
    let labels = Tensor::from_slice(store.label(index)).view([1, height, width]);

    let config: SegmenterConfig = config::resolve(PRESETS, Some("unet-paper-256"), None, &[])?;
    let original = normalised(&images, width);
    let over: &[i64] = &[2, 3];
    let (low, high) = (original.amin(over, true), original.amax(over, true));
    let mut rows = Vec::new();
    for config in strongest(&config.augmentation) {
        let changes = Augmentation::draw(&config, SEED, 0, 1, manifest.channels.len());
        let (moved, moved_labels) = changes.moved(&original, &labels);
        // What nothing moves is the original itself, which is changed in place.
        let shown = (changes.altered(moved.copy()) - &low) / (&high - &low) * 255.0;
        let shown = shown.clamp(0.0, 255.0).round().to_kind(Kind::Uint8);
        rows.push(SheetImage { image: bytes(&shown)?, label: bytes(&moved_labels)? });
    }
    let layout = StoreLayout {
        channels: manifest.channels.clone(),
        height: manifest.height,
        width: manifest.width,
        labels: manifest.labels.clone(),
    };
    fs::write(out, sheet::render("phantom, augmented", false, &layout, &rows).png)?;
    Ok(())
}

/// Nothing at all, then one change after the other, always and at its strongest.
fn strongest(preset: &AugmentationConfig) -> Vec<AugmentationConfig> {
    let never = |change: Change| Change { probability: 0.0, ..change };
    let nothing = AugmentationConfig {
        on: true,
        mirror_probability: 0.0,
        rotation: never(preset.rotation),
        scaling: never(preset.scaling),
        noise: never(preset.noise),
        blur: never(preset.blur),
        low_resolution: never(preset.low_resolution),
        brightness: never(preset.brightness),
        contrast: never(preset.contrast),
        gamma: never(preset.gamma),
        inverted_gamma: never(preset.inverted_gamma),
    };
    let most = |change: Change| Change { probability: 1.0, low: change.high, high: change.high };
    let least = |change: Change| Change { probability: 1.0, low: change.low, high: change.low };
    vec![
        nothing.clone(),
        AugmentationConfig { mirror_probability: 1.0, ..nothing.clone() },
        AugmentationConfig { rotation: most(preset.rotation), ..nothing.clone() },
        AugmentationConfig { scaling: most(preset.scaling), ..nothing.clone() },
        AugmentationConfig { noise: most(preset.noise), ..nothing.clone() },
        AugmentationConfig { blur: most(preset.blur), ..nothing.clone() },
        AugmentationConfig { low_resolution: least(preset.low_resolution), ..nothing.clone() },
        AugmentationConfig { brightness: most(preset.brightness), ..nothing.clone() },
        AugmentationConfig { contrast: most(preset.contrast), ..nothing.clone() },
        AugmentationConfig { gamma: most(preset.gamma), ..nothing.clone() },
        AugmentationConfig { inverted_gamma: most(preset.inverted_gamma), ..nothing },
    ]
}

/// The values of a u8 tensor.
fn bytes(tensor: &Tensor) -> Result<Vec<u8>, tch::TchError> {
    Vec::<u8>::try_from(tensor.contiguous().flatten(0, -1))
}
