//! The study's measure: the largest Pearson correlation with any training image, one contrast, whole image, no mask.
//!
//! Akbar, Wang, Eklund: Beware of diffusion models for synthesizing medical images, 2025 (arXiv 2305.07644). It is given for
//! comparison with the literature and decides nothing: the black background, which all images share, lifts it.
//!
//! Matrix products of images with mean 0 and norm 1, in bf16 where the processor multiplies in it (an error of up to 0.004
//! near 1), and exactly in f32 for the nearest image that they find.

use synthmr_data::store::{SliceStore, StoreError};
use synthmr_nets::engine::Precision;
use tch::{Device, Kind, Tensor};

/// Images that are read and standardised at once.
const READ_AT_ONCE: usize = 256;

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
    let rows = (memory_bytes / 3 / (pixels * kind.elt_size_in_bytes() as u64)).max(READ_AT_ONCE as u64) as usize;
    let mut nearest: Vec<(f32, u32)> = vec![(-2.0, 0); queries.len()];
    for (r, reals) in among.chunks(rows).enumerate() {
        let real_rows = rows_of(real_store, reals, channel, kind)?;
        for (q, chunk) in queries.chunks(rows.min(4096)).enumerate() {
            let query_rows = rows_of(query_store, chunk, channel, kind)?;
            let (best, at) = query_rows.matmul(&real_rows.tr()).max_dim(1, false);
            let best = Vec::<f32>::try_from(best.to_kind(Kind::Float)).unwrap_or_default();
            let at = Vec::<i64>::try_from(at).unwrap_or_default();
            let start = q * rows.min(4096);
            for (slot, (value, at)) in nearest[start..].iter_mut().zip(best.into_iter().zip(at)) {
                if value > slot.0 {
                    *slot = (value, (r * rows + at as usize) as u32);
                }
            }
            if !step((chunk.len() * reals.len()) as u64) {
                return Ok(None);
            }
        }
    }
    for (chunk, slots) in queries.chunks(READ_AT_ONCE).zip(nearest.chunks_mut(READ_AT_ONCE)) {
        let matched: Vec<u32> = slots.iter().map(|slot| among[slot.1 as usize]).collect();
        let a = rows_of(query_store, chunk, channel, Kind::Float)?;
        let b = rows_of(real_store, &matched, channel, Kind::Float)?;
        let exact = (a * b).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
        let exact = Vec::<f32>::try_from(exact).unwrap_or_default();
        slots.iter_mut().zip(exact).zip(matched).for_each(|((slot, r), index)| *slot = (r, index));
    }
    Ok(Some(nearest))
}

/// One contrast of slices with mean 0 and norm 1, one row a slice.
fn rows_of(store: &SliceStore, indices: &[u32], channel: usize, kind: Kind) -> Result<Tensor, StoreError> {
    let pixels = store.manifest().label_bytes();
    let mut parts = Vec::with_capacity(indices.len().div_ceil(READ_AT_ONCE));
    for chunk in indices.chunks(READ_AT_ONCE) {
        let mut bytes = Vec::with_capacity(chunk.len() * pixels);
        for &index in chunk {
            bytes.extend_from_slice(&store.image(index as usize)[channel * pixels..(channel + 1) * pixels]);
        }
        let x = Tensor::from_slice(&bytes).view([chunk.len() as i64, pixels as i64]).to_kind(Kind::Float);
        let x = &x - x.mean_dim([1i64].as_slice(), true, Kind::Float);
        let norm = x.square().sum_dim_intlist([1i64].as_slice(), true, Kind::Float).sqrt();
        parts.push((x / norm.clamp_min(1e-6)).to_kind(kind));
    }
    Ok(Tensor::cat(&parts, 0))
}
