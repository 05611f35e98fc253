//! Checks of one volume: its header's contradictions and its values.

use std::collections::BTreeMap;

use synthmr_core::ids::Digester;
use synthmr_core::{Digest, LabelScheme};

use super::finding::Level;
use super::layout::Role;
use crate::nifti::{AffineSource, Datatype, Grid, Header, Volume, largest_distance};

/// An image whose largest magnitude exceeds the 99.9th percentile of its non-zero magnitudes this many
/// times has a damaged voxel: it would take the whole grey scale. MR images stay far below 100.
const OUTLIER_FACTOR: f32 = 1000.0;

/// An image with at least this many voxels at its type's largest value has lost what was above.
const SATURATED_VOXELS: usize = 10;

/// Most unknown label values that are listed one by one.
const LISTED_VALUES: usize = 5;

/// What the checks need to know of the cohort.
pub(super) struct Context<'a> {
    pub(super) channels: &'a [String],
    pub(super) labels: &'a LabelScheme,
}

impl Context<'_> {
    pub(super) fn role_name(&self, role: Role) -> &str {
        match role {
            Role::Channel(index) => &self.channels[index],
            Role::Annotation => "annotation",
        }
    }
}

/// Receives level, expected, found and hint.
pub(crate) type Report<'a> = &'a mut dyn FnMut(Level, String, String, &str);

/// Warnings about a header that can be read in more than one way.
pub(crate) fn check_header(header: &Header, report: Report<'_>) {
    if header.affine_source == AffineSource::Base {
        report(
            Level::Warning,
            "an orientation: an sform or a qform with a code above 0".to_owned(),
            "neither; the first axis is taken to run from right to left, as nibabel does".to_owned(),
            "set the sform, or left and right may be exchanged",
        );
    }
    if let (AffineSource::Sform, Some(qform)) = (header.affine_source, &header.qform) {
        let distance = largest_distance(header.shape, &header.affine, qform);
        if distance > 1.0 {
            report(
                Level::Warning,
                "an sform and a qform that agree".to_owned(),
                format!("voxels up to {distance:.1} mm apart; the sform was used, as nibabel does"),
                "remove the wrong one",
            );
        }
    }
    let spacing = header.spacing_mm();
    if header.pixdim_mm.iter().zip(spacing).any(|(stored, used)| (stored - used).abs() > 0.01 * used) {
        report(
            Level::Warning,
            format!("pixdim equal to the affine's spacing, {spacing:?} mm"),
            format!("{:?}; the affine was used", header.pixdim_mm),
            "write the volume again with the right spacing",
        );
    }
}

/// Checks that a volume is on the grid of its subject's first one, `reference`. Both were turned to LPS: files
/// of one subject may store their axes differently.
pub(crate) fn check_grid(expected: &Grid, reference: &str, found: &Grid, report: Report<'_>) {
    if let Some(difference) = expected.difference(found) {
        let expected = format!("{} {}, as in {reference}", difference.what, difference.expected);
        let hint = "register and resample the subject's volumes onto one grid";
        report(Level::Fault, expected, difference.found, hint);
    }
}

/// Checks that all values are numbers; false when they are not.
pub(crate) fn check_finite(volume: &Volume, report: Report<'_>) -> bool {
    let count = volume.non_finite_count();
    if count > 0 {
        report(
            Level::Fault,
            "finite values".to_owned(),
            format!("{count} voxels that are NaN or infinite"),
            "replace them, for instance by 0 outside the brain",
        );
    }
    count == 0
}

/// Checks an image's values; false when they are not worth comparing with other volumes.
pub(crate) fn check_image(header: &Header, volume: &Volume, report: Report<'_>) -> bool {
    if !check_finite(volume, report) {
        return false;
    }
    let first = volume.voxels[0];
    if volume.voxels.iter().all(|&v| v == first) {
        let found = if first == 0.0 { "all voxels 0".to_owned() } else { format!("all voxels {first}") };
        let hint = "the volume is empty: export it again";
        report(Level::Fault, "an image".to_owned(), found, hint);
        return false;
    }
    let (typical, largest) = magnitudes(&volume.voxels);
    if largest > OUTLIER_FACTOR * typical {
        report(
            Level::Fault,
            format!("values of one order; 99.9 % of the non-zero ones are below {typical:e}"),
            format!("{largest:e}"),
            "replace the damaged voxels",
        );
    }
    if let Some(top) = stored_maximum(header) {
        let saturated = volume.voxels.iter().filter(|&&v| v == top).count();
        if saturated >= SATURATED_VOXELS {
            report(
                Level::Warning,
                format!("values below {top}, the largest that {} can hold", header.datatype.name()),
                format!("{saturated} voxels at it: what was brighter is lost"),
                "export the volume again with a scale that fits",
            );
        }
    }
    true
}

/// The largest value that the voxels' type can express, after scaling; `None` for wide types.
fn stored_maximum(header: &Header) -> Option<f32> {
    let top: f64 = match header.datatype {
        Datatype::U8 => 255.0,
        Datatype::I8 => 127.0,
        Datatype::I16 => 32767.0,
        Datatype::U16 => 65535.0,
        _ => return None,
    };
    let (slope, intercept) = header.scaling.unwrap_or((1.0, 0.0));
    Some((top * slope + intercept) as f32)
}

/// The 99.9th percentile of the non-zero magnitudes, to 12 %, and the largest magnitude.
///
/// Counted by exponent and the three leading bits of the mantissa: the bits of a positive float rise with
/// its value, so one pass over the voxels and 2048 counters are enough.
fn magnitudes(voxels: &[f32]) -> (f32, f32) {
    let mut counts = vec![0usize; 1 << 11];
    let (mut largest, mut zeros) = (0, 0);
    for v in voxels {
        let bits = v.to_bits() & 0x7fff_ffff;
        largest = largest.max(bits);
        if bits == 0 {
            zeros += 1;
        } else {
            counts[(bits >> 20) as usize] += 1;
        }
    }
    // At least the largest one is left out, or a small volume's outlier would be its own percentile.
    let mut above = ((voxels.len() - zeros) / 1000).max(1);
    let mut bucket = counts.len() - 1;
    while bucket > 0 && (counts[bucket] == 0 || counts[bucket] <= above) {
        above -= counts[bucket].min(above);
        bucket -= 1;
    }
    // The bucket's upper end, so that a constant image with one grey level is not above its own percentile.
    (f32::from_bits(((bucket as u32 + 1) << 20) - 1), f32::from_bits(largest))
}

/// Checks an annotation's values; false when it is not worth comparing with other volumes.
pub(super) fn check_annotation(labels: &LabelScheme, volume: &Volume, report: Report<'_>) -> bool {
    if !check_finite(volume, report) {
        return false;
    }
    let mut known = [false; 256];
    for &value in labels.classes.iter().flat_map(|class| &class.source_values) {
        if let Ok(value) = u8::try_from(value) {
            known[usize::from(value)] = true;
        }
    }
    // Floats that are small whole numbers go through the table; all others are rare and counted by value.
    let mut others: BTreeMap<u32, usize> = BTreeMap::new();
    let mut foreground = false;
    for &v in &volume.voxels {
        let small = v as u8;
        if f32::from(small) == v && known[usize::from(small)] {
            foreground |= small != 0;
        } else if !is_known(labels, v) {
            *others.entry(v.to_bits()).or_default() += 1;
        } else {
            foreground = true;
        }
    }
    if !others.is_empty() {
        let mut values: Vec<(usize, f32)> = others.iter().map(|(&v, &n)| (n, f32::from_bits(v))).collect();
        values.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.total_cmp(&b.1)));
        let listed: Vec<String> =
            values.iter().take(LISTED_VALUES).map(|(n, v)| format!("{v} ({n} voxels)")).collect();
        let more = values.len().saturating_sub(LISTED_VALUES);
        let more = if more > 0 { format!(" and {more} other values") } else { String::new() };
        let fractional = values.iter().any(|(_, v)| v.fract() != 0.0);
        let hint = if fractional {
            "labels must be whole numbers: resample annotations with nearest neighbour, not linearly"
        } else {
            "name the value in the classes of a cohort.toml, or mend the annotation"
        };
        let mut known: Vec<i32> = labels.classes.iter().flat_map(|c| c.source_values.clone()).collect();
        known.sort_unstable();
        let expected = format!("label values {known:?}");
        report(Level::Fault, expected, format!("{}{more}", listed.join(", ")), hint);
    } else if !foreground {
        report(
            Level::Warning,
            "an annotation with foreground".to_owned(),
            "background only".to_owned(),
            "nothing to do if the subject has no lesion",
        );
    }
    foreground
}

/// Whether a value stands for a class; for values outside 0 to 255.
fn is_known(labels: &LabelScheme, value: f32) -> bool {
    value.fract() == 0.0
        && value.abs() < 16_777_216.0
        && labels.classes.iter().any(|class| class.source_values.contains(&(value as i32)))
}

/// The digest of shape and values. Taken after the turn to LPS it is equal for volumes that differ only in how
/// they are stored.
pub(crate) fn digest(volume: &Volume) -> Digest {
    let mut digester = Digester::new();
    for extent in volume.shape {
        digester.add(&(extent as u64).to_le_bytes());
    }
    let mut bytes = vec![0; 1 << 18];
    for voxels in volume.voxels.chunks(bytes.len() / 4) {
        for (cell, v) in bytes.as_chunks_mut().0.iter_mut().zip(voxels) {
            // Adding 0 makes -0 and 0 the same bits.
            *cell = (v + 0.0).to_le_bytes();
        }
        digester.add(&bytes[..4 * voxels.len()]);
    }
    digester.finish()
}
