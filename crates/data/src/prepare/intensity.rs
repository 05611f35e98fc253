//! Intensities: from a scanner's arbitrary units to 8 bit.

use std::convert::Infallible;

use rayon::prelude::*;

use crate::nifti::Volume;

/// Voxels a thread handles at once.
const CHUNK: usize = 1 << 18;

/// Voxels that are skipped together when all of them are background: a third of a row.
const RUN: usize = 80;

/// 1 where any of the volumes is not zero. All have the same shape.
pub(super) fn brain_mask(volumes: &[Volume]) -> Vec<u8> {
    let mut mask = vec![0u8; volumes[0].voxels.len()];
    mask.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, mask)| {
        for volume in volumes {
            let voxels = &volume.voxels[chunk * CHUNK..][..mask.len()];
            for (mask, voxels) in mask.chunks_mut(RUN).zip(voxels.chunks(RUN)) {
                if voxels.iter().fold(0, |bits, voxel| bits | voxel.to_bits()) == 0 {
                    continue;
                }
                for (inside, &voxel) in mask.iter_mut().zip(voxels) {
                    *inside |= u8::from(voxel != 0.0);
                }
            }
        }
    });
    mask
}

/// The largest voxel; none for an empty volume.
pub(super) fn maximum(voxels: &[f32]) -> Option<f64> {
    voxels.iter().copied().reduce(f32::max).map(f64::from)
}

/// The quantile `q` of the voxels inside the mask, interpolated between the two nearest as numpy does by
/// default; none when the mask is empty. Exact, and only what lies above the quantile is sorted: a count by the
/// upper half of the numbers' bits finds where that begins.
pub(super) fn quantile(voxels: &[f32], mask: &[u8], q: f64) -> Option<f64> {
    let mut counts = vec![0u32; 1 << 16];
    for_each_inside(voxels, mask, |key| counts[(key >> 16) as usize] += 1);
    let count: usize = counts.iter().map(|&count| count as usize).sum();
    if count == 0 {
        return None;
    }
    let rank = q * (count - 1) as f64;
    let below = rank.floor() as usize;
    let (mut bin, mut before) = (0, 0);
    while before + counts[bin] as usize <= below {
        before += counts[bin] as usize;
        bin += 1;
    }
    let mut above = Vec::with_capacity(count - before);
    for_each_inside(voxels, mask, |key| {
        if (key >> 16) as usize >= bin {
            above.push(key);
        }
    });
    above.sort_unstable();
    let value = |rank: usize| f64::from(number(above[rank - before]));
    let (low, share) = (value(below), rank - below as f64);
    if share == 0.0 {
        return Some(low);
    }
    Some(low + (value(below + 1) - low) * share)
}

/// A number's bits as an integer that orders as the numbers do.
fn key(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// The number with a key.
fn number(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

/// Calls `use_key` with the key of every voxel inside the mask, in order.
fn for_each_inside(voxels: &[f32], mask: &[u8], mut use_key: impl FnMut(u32)) {
    for (voxels, mask) in voxels.chunks(RUN).zip(mask.chunks(RUN)) {
        if mask.iter().all(|&inside| inside == 0) {
            continue;
        }
        for (&voxel, &inside) in voxels.iter().zip(mask) {
            if inside != 0 {
                use_key(key(voxel));
            }
        }
    }
}

/// Writes `to(voxel)` wherever a voxel is not 0; `to(0)` must be 0. Six voxels of seven are background: runs of it
/// are found at the speed of memory, and their part of the result is never touched.
pub(super) fn map_occupied<E>(voxels: &[f32], to: impl Fn(f32) -> Result<u8, E>) -> Result<Vec<u8>, E> {
    let mut out = vec![0; voxels.len()];
    for (voxels, out) in voxels.chunks(RUN).zip(out.chunks_mut(RUN)) {
        if voxels.iter().fold(0, |bits, voxel| bits | voxel.to_bits()) == 0 {
            continue;
        }
        for (&voxel, out) in voxels.iter().zip(out) {
            *out = to(voxel)?;
        }
    }
    Ok(out)
}

/// `voxel / level * 255`, cut to an integer in `0..=255`; the study's arithmetic, in f64 as numpy's.
pub(super) fn cut_to_8_bit(voxels: &[f32], level: f64) -> Vec<u8> {
    // Casts to integers saturate: what is below 0 becomes 0.
    let Ok(out) = map_occupied(voxels, |voxel| Ok::<_, Infallible>((f64::from(voxel) / level * 255.0) as u8));
    out
}

/// `voxel / level * 255`, rounded and clipped to `0..=255`.
pub(super) fn round_to_8_bit(voxels: &[f32], level: f64) -> Vec<u8> {
    let scale = 255.0 / level;
    // A level near the smallest number would make the scale infinite and 0 times it NaN, which casts to 0.
    let Ok(out) = map_occupied(voxels, |voxel| Ok::<_, Infallible>((f64::from(voxel) * scale + 0.5) as u8));
    out
}

#[cfg(test)]
mod tests {
    use synthmr_core::random::{Draw, Stream, rng};

    use super::*;

    #[test]
    fn quantiles_are_those_of_a_sorted_list() {
        let mut random = rng(1, Stream::Test, 0);
        for n in [1usize, 2, 3, 100, 4097] {
            let voxels: Vec<f32> = (0..n).map(|_| (random.normal() * 100.0).round() as f32 / 7.0).collect();
            let mask: Vec<u8> = (0..n).map(|i| u8::from(i == 0 || random.chance(0.6))).collect();
            let mut inside: Vec<f64> =
                voxels.iter().zip(&mask).filter(|(_, m)| **m == 1).map(|(&v, _)| f64::from(v)).collect();
            inside.sort_by(f64::total_cmp);
            for q in [0.0, 0.25, 0.5, 0.995, 1.0] {
                let rank = q * (inside.len() - 1) as f64;
                let (low, high) = (inside[rank.floor() as usize], inside[rank.ceil() as usize]);
                let expected = low + (high - low) * rank.fract();
                assert_eq!(quantile(&voxels, &mask, q), Some(expected), "{n} {q}");
            }
        }
        assert_eq!(quantile(&[1.0], &[0], 0.5), None);
    }

    #[test]
    fn eight_bits_are_cut_or_rounded_and_clipped() {
        let voxels = [-5.0, 0.0, 0.5, 99.9, 100.0, 250.0];
        assert_eq!(cut_to_8_bit(&voxels, 100.0), [0, 0, 1, 254, 255, 255]);
        assert_eq!(round_to_8_bit(&voxels, 100.0), [0, 0, 1, 255, 255, 255]);
    }
}
