//! Networks against implementations that are not ours, with weights exchanged.

mod golden;
mod stylegan2;
mod unet;
