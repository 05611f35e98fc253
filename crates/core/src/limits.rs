//! Limits on what is read from outside, each with its reason. A file beyond a limit is refused with an
//! error that names the limit; every constant here has a `rejects_*` test where it is applied.

/// Longest subject name, in bytes: file systems allow 255 for one path component.
pub const SUBJECT_NAME_BYTES: usize = 200;

/// Largest volume, in voxels: 16 times a 512 x 512 x 512 scan is more than any MR volume, and
/// as f32 it is still addressable on the smallest machine we promise to run on.
pub const VOLUME_VOXELS: u64 = 512 * 512 * 512;

/// Largest extent of one volume axis: NIfTI-1 stores 16-bit signed extents, and real scans stay below.
pub const VOLUME_EXTENT: u64 = 4096;

/// Largest NIfTI extension block, in bytes: real ones hold a few kilobytes of XML or DICOM fields.
pub const NIFTI_EXTENSION_BYTES: u64 = 64 << 20;

/// How many times larger than its file a gzip stream may unpack, beyond [`GZIP_FREE_BYTES`]. DEFLATE itself
/// cannot exceed 1032; the voxel limit bounds the memory, this one stops reading padding after the volume.
pub const GZIP_RATIO: u64 = 1100;

/// Unpacked bytes that are always allowed, whatever the ratio.
pub const GZIP_FREE_BYTES: u64 = 1 << 20;

/// Most members of one gzip stream: block-compressed files hold a member for every 64 KiB, which allows
/// volumes of 4 GiB; beyond it, members are empty and only cost time.
pub const GZIP_MEMBERS: usize = 65_536;

/// Most zero bytes after a gzip stream: tapes and block devices pad to a block, never beyond this.
pub const GZIP_PADDING_BYTES: u64 = 64 << 10;

/// Largest JSON or TOML document that is parsed, in bytes: our own manifests stay below 100 bytes a slice.
pub const DOCUMENT_BYTES: u64 = 64 << 20;

/// Largest header of a safetensors file, in bytes (the limit of the format's own reference reader).
pub const SAFETENSORS_HEADER_BYTES: u64 = 100_000_000;

/// Most subjects in one cohort; BraTS 2023 has about 2,000.
pub const COHORT_SUBJECTS: usize = 1_000_000;

/// Most image channels: contrasts of one study. Beyond it the axis is more likely time than contrast.
pub const IMAGE_CHANNELS: usize = 32;

/// Most label classes, background included: a grey-coded annotation must keep its levels apart.
pub const LABEL_CLASSES: usize = 32;

/// Largest training resolution; a power of two.
pub const RESOLUTION: usize = 1024;
