//! Whether batches can be shared out among devices.

use super::{FamilyKind, GeneratorConfig};
use crate::TrainError;
use crate::gan::path_length_images;

/// Refuses batches that so many devices cannot share equally, with groups of the minibatch standard deviation whole: what
/// is computed would not be what one device computes.
///
/// # Errors
/// [`TrainError::Mismatch`] with the batch and what would divide.
pub(super) fn check(config: &GeneratorConfig, devices: u64) -> Result<(), TrainError> {
    if devices == 1 {
        return Ok(());
    }
    let mut batches = vec![("batch", config.batch as u64)];
    let mut group = 1;
    if let FamilyKind::Gan(gan) = config.family.kind() {
        let rules = gan.rules();
        group = gan.networks().minibatch_group() as u64;
        batches
            .extend(rules.growth.iter().flat_map(|growth| &growth.batches).map(|&n| ("growth.batches", n)));
        if rules.loss.path_length_weight > 0.0 {
            let images = path_length_images(config.batch as u64);
            let what = "images of the path-length penalty, half of batch";
            divides(what, images, devices, &format!("{devices} devices take equal shares"))?;
        }
    }
    for (key, batch) in batches {
        // A batch smaller than a group is a group.
        let whole = group.min(batch);
        let shares = match whole {
            1 => format!("{devices} devices take equal shares"),
            _ => format!(
                "{devices} devices take equal shares of groups of {whole} images (network.mbstd_group)"
            ),
        };
        divides(key, batch, devices * whole, &shares)?;
    }
    Ok(())
}

fn divides(what: &str, images: u64, divisor: u64, why: &str) -> Result<(), TrainError> {
    if images.is_multiple_of(divisor) {
        return Ok(());
    }
    Err(TrainError::Mismatch {
        what: what.to_owned(),
        expected: format!("a multiple of {divisor}, because {why}"),
        found: images.to_string(),
        hint: "choose another batch, or another number of devices".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::generator::PRESETS;

    fn message(preset: &str, settings: &[&str], devices: u64) -> Option<String> {
        let settings: Vec<String> = settings.iter().map(|&text| text.to_owned()).collect();
        let config: GeneratorConfig = config::resolve(PRESETS, Some(preset), None, &settings).unwrap();
        config.validate().unwrap();
        check(&config, devices).err().map(|error| error.to_string())
    }

    #[test]
    fn batches_divide_at_every_level_and_in_whole_groups() {
        assert_eq!(message("edm-tiny-64", &["batch=6"], 3), None);
        let found = message("edm-tiny-64", &["batch=6"], 4).unwrap();
        assert!(found.contains("batch: expected a multiple of 4") && found.contains("found 6"), "{found}");

        let growing =
            |batches| ["batch=8", "network.mbstd_group=2", batches, "growth.rate_shares=[1.0, 1.0]"];
        assert_eq!(message("progan-tiny-64", &growing("growth.batches=[16, 12]"), 2), None);
        let found = message("progan-tiny-64", &growing("growth.batches=[16, 10]"), 2).unwrap();
        assert!(found.contains("growth.batches: expected a multiple of 4"), "{found}");
        assert!(found.contains("groups of 2 images") && found.contains("found 10"), "{found}");

        // The whole batch is one group.
        let found = message("r3gan-tiny-64", &["batch=2", "network.mbstd_group=4"], 2).unwrap();
        assert!(found.contains("a multiple of 4"), "{found}");
        assert_eq!(message("r3gan-tiny-64", &["batch=2", "network.mbstd_group=4"], 1), None);

        let lengths = ["batch=6", "network.mbstd_group=1", "loss.path_length_weight=2.0"];
        let found = message("stylegan2-tiny-64", &lengths, 2).unwrap();
        assert!(found.contains("path-length") && found.contains("found 3"), "{found}");
    }

    #[test]
    fn presets_divide_on_two_devices() {
        for preset in PRESETS {
            assert_eq!(message(preset.name, &[], 2), None, "{}", preset.name);
        }
    }
}
