//! The study's measure: the largest Pearson correlation with any training image, one contrast, whole image, no mask.
//!
//! Akbar, Wang, Eklund: Beware of diffusion models for synthesizing medical images, 2025 (arXiv 2305.07644). It is given for
//! comparison with the literature and decides nothing: the black background, which all images share, lifts it.
//!
//! Matrix products of images with mean 0 and norm 1, in bf16 where the processor multiplies in it, and exactly, in integers, for
//! the few nearest images of each block: the products' error near 1 is up to 0.004.

use synthmr_data::store::{SliceStore, StoreError};
use synthmr_nets::engine::Precision;
use tch::{Device, Kind, Tensor};

/// Images that are read and standardised at once: few enough that they stay in the processor's caches.
const READ_AT_ONCE: usize = 16;
/// Fewest images in a product.
const FEWEST_ROWS: u64 = 256;
/// Queries in one product.
const QUERIES_AT_ONCE: usize = 4096;
/// Images of a block that are compared exactly.
const KEPT: i64 = 4;

/// For each of the `queries`, the largest correlation of channel `channel` with any of the images `among`, and that image's
/// index. Memory is bounded by about `memory_bytes`; `step` is told of every finished block of products and may stop it.
///
/// # Errors
/// [`StoreError`] when a slice cannot be read. `None` when it was stopped.
///
/// # Panics
/// When the two stores have another size or the channel is not there.
pub fn nearest_plain(
    (query_store, queries): (&SliceStore, &[u32]),
    (real_store, among): (&SliceStore, &[u32]),
    channel: usize,
    memory_bytes: u64,
    step: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Vec<(f32, u32)>>, StoreError> {
    let manifest = real_store.manifest();
    let pixels = (manifest.height * manifest.width) as u64;
    let kind = Precision::best_for(Device::Cpu).kind();
    // A third for the real images, a third for the queries, a third for what is made on the way.
    let rows = (memory_bytes / 3 / (pixels * kind.elt_size_in_bytes() as u64)).max(FEWEST_ROWS) as usize;
    let at_once = rows.min(QUERIES_AT_ONCE);
    // The best of every block of real images, as positions in `among`.
    let mut candidates: Vec<Vec<u32>> = vec![Vec::new(); queries.len()];
    for (r, reals) in among.chunks(rows).enumerate() {
        let real_rows = rows_of(real_store, reals, channel, kind)?;
        for (q, chunk) in queries.chunks(at_once).enumerate() {
            let query_rows = rows_of(query_store, chunk, channel, kind)?;
            let kept = KEPT.min(reals.len() as i64);
            let (_, at) = query_rows.matmul(&real_rows.tr()).topk(kept, 1, true, false);
            let at = Vec::<i64>::try_from(at.flatten(0, -1)).unwrap_or_default();
            let slots = candidates[q * at_once..].iter_mut();
            for (slot, at) in slots.zip(at.chunks(kept as usize)) {
                slot.extend(at.iter().map(|&at| (r * rows) as u32 + at as u32));
            }
            if !step((chunk.len() * reals.len()) as u64) {
                return Ok(None);
            }
        }
    }
    let nearest = candidates.iter().zip(queries).map(|(found, &query)| {
        let mut nearest = (-2f32, 0u32);
        for &at in found {
            let index = among[at as usize];
            let r = pearson(plane(query_store, query, channel), plane(real_store, index, channel)) as f32;
            if r > nearest.0 {
                nearest = (r, index);
            }
        }
        nearest
    });
    Ok(Some(nearest.collect()))
}

/// One contrast of a slice.
fn plane(store: &SliceStore, index: u32, channel: usize) -> &[u8] {
    let pixels = store.manifest().label_bytes();
    &store.image(index as usize)[channel * pixels..(channel + 1) * pixels]
}

/// Pearson correlation of two images, 0 where one is constant. Sums are exact.
fn pearson(a: &[u8], b: &[u8]) -> f64 {
    // Sums of as many products as a u32 holds.
    const SAFE: usize = 1 << 15;
    let [mut of_a, mut of_b, mut of_aa, mut of_bb, mut of_ab] = [0i64; 5];
    for (a, b) in a.chunks(SAFE).zip(b.chunks(SAFE)) {
        let sum = |values: &[u8]| values.iter().map(|&x| u32::from(x)).sum::<u32>();
        let dot =
            |x: &[u8], y: &[u8]| x.iter().zip(y).map(|(&x, &y)| u32::from(x) * u32::from(y)).sum::<u32>();
        of_a += i64::from(sum(a));
        of_b += i64::from(sum(b));
        of_aa += i64::from(dot(a, a));
        of_bb += i64::from(dot(b, b));
        of_ab += i64::from(dot(a, b));
    }
    let n = a.len() as i64;
    let (xx, yy) = (n * of_aa - of_a * of_a, n * of_bb - of_b * of_b);
    if xx == 0 || yy == 0 {
        0.0
    } else {
        (n * of_ab - of_a * of_b) as f64 / ((xx as f64) * (yy as f64)).sqrt()
    }
}

/// One contrast of slices with mean 0 and norm 1, one row a slice.
fn rows_of(store: &SliceStore, indices: &[u32], channel: usize, kind: Kind) -> Result<Tensor, StoreError> {
    let pixels = store.manifest().label_bytes();
    let mut parts = Vec::with_capacity(indices.len().div_ceil(READ_AT_ONCE));
    for chunk in indices.chunks(READ_AT_ONCE) {
        let mut bytes = Vec::with_capacity(chunk.len() * pixels);
        for &index in chunk {
            bytes.extend_from_slice(plane(store, index, channel));
        }
        let x = Tensor::from_slice(&bytes).view([chunk.len() as i64, pixels as i64]).to_kind(Kind::Float);
        let x = &x - x.mean_dim([1i64].as_slice(), true, Kind::Float);
        let norm = x.square().sum_dim_intlist([1i64].as_slice(), true, Kind::Float).sqrt();
        parts.push((x / norm.clamp_min(1e-6)).to_kind(kind));
    }
    Ok(Tensor::cat(&parts, 0))
}
