//! Limits on what is read from outside, each with its reason. A file beyond a limit is refused with an
//! error that names the limit; every constant here has a `rejects_*` test where it is applied.

/// Longest subject name, in bytes: file systems allow 255 for one path component.
pub const SUBJECT_NAME_BYTES: usize = 200;

/// Largest volume, in voxels: 15 times a BraTS volume (240 x 240 x 155), more than any MR volume of a head.
/// As f32 it takes 512 MiB.
pub const VOLUME_VOXELS: u64 = 512 * 512 * 512;

/// Largest extent of one volume axis: NIfTI-1 stores 16-bit signed extents, and real scans stay below.
pub const VOLUME_EXTENT: u64 = 4096;

/// Largest number of a real subject's slice, counted from 0: the last one along the longest axis.
pub const SLICE_NUMBER: i32 = VOLUME_EXTENT as i32 - 1;

/// Largest NIfTI extension block, in bytes: real ones hold a few kilobytes of XML or DICOM fields.
pub const NIFTI_EXTENSION_BYTES: u64 = 64 << 20;

/// How many times larger than its gzip file a volume may be declared, beyond [`GZIP_FREE_BYTES`]: DEFLATE never
/// exceeds 1032 (258 bytes for two bits), so a smaller file cannot hold the volume. It is refused before memory
/// is taken; the voxel limit bounds what any file can make us take.
pub const GZIP_RATIO: u64 = 1032;

/// Unpacked bytes that a header may always declare, whatever the ratio.
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
