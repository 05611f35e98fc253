//! Networks that turn images into vectors; one network a file.

mod copy_embedding;
mod pose;

pub use copy_embedding::{CopyEmbeddingNet, CopyEmbeddingSizes};
pub use pose::canonical;
