//! Generators of images with their annotation; one family a folder.

pub mod stylegan2;
