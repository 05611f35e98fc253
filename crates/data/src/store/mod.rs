//! The slice store: a folder with `manifest.json` and shards of 2-D multi-channel slices with their label
//! maps, read by memory map. Real and synthetic sets have the same form, so every consumer takes either.
//!
//! A shard is a safetensors file with `images` u8 `[n, C, H, W]`, `labels` u8 `[n, H, W]` (class indices),
//! `subject` i32 `[n]` (index into the manifest's subjects, -1 for none) and `slice` i32 `[n]` (the slice's
//! number in its volume, or the image's number in its set).

mod error;
mod selection;
mod shard;
mod slices;
mod writer;

pub use error::StoreError;
pub use selection::{SelectionError, StoreSelection};
pub use slices::SliceStore;
pub use writer::{StoreLayout, StoreWriter};

/// The file that makes a folder a store.
pub const MANIFEST_FILE: &str = "manifest.json";

/// The name of a store's shard.
fn shard_file(index: usize) -> String {
    format!("shard-{index:05}.safetensors")
}
