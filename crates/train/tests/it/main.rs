//! Training from outside.

mod segmentation;
mod segmentation_losses;
mod toy;
