//! Networks against implementations that are not ours, with weights exchanged.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod allocator;
mod diffusion_unet;
mod features;
mod golden;
mod growing;
mod optimisers;
mod resenc;
mod stylegan2;
mod stylegan3;
mod swin_upernet;
mod unet;
