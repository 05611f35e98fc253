//! The NIfTI reader and writer against nibabel's golden values, and against files that are not what they say.
//! The numbers N1 to N14 are those of the project's list of bad inputs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod nifti_support;

use std::path::{Path, PathBuf};

use nifti_support::{Patch, affine_close, base, gunzip, gzip, put_f32, put_i16, same_values};
use synthmr_data::nifti::{self, AffineSource, AxisCodes, Datatype, NiftiError, Part, Volume};

/// A folder that holds one file at a time.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("v.nii")
    }

    fn read(&self, bytes: &[u8]) -> Result<Volume, NiftiError> {
        std::fs::write(self.path(), bytes).unwrap();
        nifti::read(&self.path())
    }

    /// The field and the message of a refusal.
    #[track_caller]
    fn refusal(&self, bytes: &[u8]) -> (String, String) {
        let error = self.read(bytes).expect_err("the file was accepted");
        let message = error.to_string();
        let refusal = error.refusal().unwrap_or_else(|| panic!("not a refusal: {message}"));
        assert!(message.contains("v.nii") && message.contains("\nhint: "), "{message}");
        (refusal.field.clone(), message)
    }
}

/// What nibabel makes of a file: the layout that `tools/golden/nifti.py` writes.
struct Meaning {
    shape: [usize; 3],
    affine: [[f64; 4]; 3],
    values: Vec<f32>,
}

impl Meaning {
    fn parse(bytes: &[u8]) -> Self {
        let (shape, rest) = bytes.split_at(12);
        let (affine, values) = rest.split_at(96);
        let number = |i: usize| f64::from_le_bytes(affine[8 * i..8 * i + 8].try_into().unwrap());
        Self {
            shape: std::array::from_fn(|i| {
                u32::from_le_bytes(shape[4 * i..4 * i + 4].try_into().unwrap()) as usize
            }),
            affine: std::array::from_fn(|row| std::array::from_fn(|column| number(4 * row + column))),
            values: values.chunks_exact(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect(),
        }
    }

    fn is(&self, volume: &Volume) -> bool {
        volume.shape == self.shape
            && affine_close(&volume.affine, &self.affine)
            && same_values(&volume.voxels, &self.values)
    }
}

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nifti");
    std::fs::read(folder.join(name)).unwrap()
}

/// N6, N7, N8: ten types in both byte orders, slopes and intercepts, both forms, extensions, extra axes.
#[test]
fn random_volumes_mean_what_nibabel_says() {
    let desk = Desk::new();
    let container = gunzip(&golden("volumes.bin.gz"));
    let (mut rest, mut count) = (&container[..], 0);
    while !rest.is_empty() {
        let length = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap()) as usize;
        let (raw, meaning) = rest[8..8 + length(0) + length(4)].split_at(length(0));
        let expected = Meaning::parse(meaning);
        for bytes in [raw.to_vec(), gzip(raw)] {
            let found = desk.read(&bytes).unwrap_or_else(|e| panic!("volume {count}: {e}"));
            assert!(expected.is(&found), "volume {count}: {found:?} is not {:?}", expected.affine);
        }
        rest = &rest[8 + length(0) + length(4)..];
        count += 1;
    }
    assert_eq!(count, 500);
}

/// N2: an error, or nibabel's meaning.
#[test]
fn corrupted_headers_are_refused_or_mean_what_nibabel_says() {
    let desk = Desk::new();
    let record: serde_json::Value = serde_json::from_slice(&golden("corruptions.json")).unwrap();
    let base = golden("base.nii");
    let reference = desk.read(&base).unwrap();
    let (mut refused, mut read) = (0, 0);
    for at in 0..348 {
        for (how, value) in [("00", 0), ("ff", 255), ("80", base[at] ^ 0x80)] {
            let mut bytes = base.clone();
            bytes[at] = value;
            let key = format!("{at}:{how}");
            let Ok(found) = desk.read(&bytes) else {
                refused += 1;
                continue;
            };
            read += 1;
            let refused_by_nibabel =
                record["refused"].as_array().unwrap().iter().any(|k| k.as_str() == Some(key.as_str()));
            assert!(!refused_by_nibabel, "{key}: read, although nibabel refuses it");
            match record["other"][&key].as_str() {
                Some(hex) => {
                    let bytes: Vec<u8> = (0..hex.len() / 2)
                        .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
                        .collect();
                    assert!(Meaning::parse(&bytes).is(&found), "{key}: another meaning than nibabel's");
                }
                None => {
                    assert!(affine_close(&found.affine, &reference.affine), "{key}");
                    assert_eq!((&found.shape, &found.voxels), (&reference.shape, &reference.voxels), "{key}");
                }
            }
        }
    }
    assert_eq!((refused + read, read), (1044, EXPECTED_READ));
}

/// How many of the 1,044 corruptions leave a file that is read; the others are refused.
const EXPECTED_READ: usize = 964;

#[test]
fn n1_files_cut_anywhere_are_refused() {
    let desk = Desk::new();
    let whole = base();
    assert!(desk.read(&whole).is_ok());
    for length in 0..whole.len() {
        desk.refusal(&whole[..length]);
        desk.refusal(&gzip(&whole[..length]));
    }
}

#[test]
fn n3_dimensions() {
    let desk = Desk::new();
    for (at, value, field) in [
        (40, 0, "dim[0]"),
        (40, 1, "dim[0]"),
        (40, 2, "dim[0]"),
        (40, 8, "dim[0]"),
        (40, -1, "dim[0]"),
        (40, 200, "dim[0]"),
        (42, 0, "dim[1]"),
        (44, -1, "dim[2]"),
        (46, 32767, "dim[3]"),
    ] {
        assert_eq!(desk.refusal(&base().patch(put_i16(at, value))).0, field);
    }
    let series = base().patch(put_i16(40, 4)).patch(put_i16(48, 2));
    assert!(desk.refusal(&series).1.contains("split the series"));
    assert!(desk.read(&base().patch(put_i16(40, 4)).patch(put_i16(48, 1))).is_ok());
}

#[test]
fn rejects_volumes_over_the_limits() {
    let desk = Desk::new();
    let huge = |extent: i16| [42, 44, 46].iter().fold(base(), |b, &at| b.patch(put_i16(at, extent)));
    assert_eq!(desk.refusal(&huge(32767)).0, "dim[1]");
    assert_eq!(desk.refusal(&huge(4096)).0, "dim");
    // Within the limits, but not in this file: refused before memory is taken.
    assert_eq!(desk.refusal(&huge(512)).0, "file length");
    assert_eq!(desk.refusal(&gzip(&huge(512))).0, "file length");
}

#[test]
fn n4_types() {
    let desk = Desk::new();
    for (code, name) in [
        (0, "unknown"),
        (1, "1-bit"),
        (32, "complex64"),
        (128, "RGB24"),
        (1536, "float128"),
        (2304, "RGBA32"),
        (99, "unknown"),
    ] {
        let (field, message) = desk.refusal(&base().patch(put_i16(70, code)));
        assert!(field == "datatype" && message.contains(name), "{message}");
    }
    for bits in [0, 8, 32, -16] {
        assert_eq!(desk.refusal(&base().patch(put_i16(72, bits))).0, "bitpix");
    }
}

#[test]
fn n5_offsets_and_extensions() {
    let desk = Desk::new();
    for flag in [0, 1] {
        for offset in [0.0, f32::NAN, -1.0, 1e30, 351.0, 352.5, f32::INFINITY] {
            let bytes = base().patch(put_f32(108, offset)).patch((348, vec![flag]));
            assert_eq!(desk.refusal(&bytes).0, "vox_offset", "offset {offset}");
        }
    }
    let extended = |flag: u8, size: i32| {
        let mut bytes = base().patch(put_f32(108, 416.0)).patch((348, vec![flag, 0, 0, 0]));
        let mut block = vec![7; 64];
        block[..4].copy_from_slice(&size.to_le_bytes());
        bytes.splice(352..352, block);
        bytes
    };
    let expected = desk.read(&base()).unwrap();
    assert_eq!(desk.read(&extended(1, 64)).unwrap(), expected);
    for size in [0, -1, 7, 80, i32::MAX] {
        assert_eq!(desk.refusal(&extended(1, size)).0, "extension size", "size {size}");
        assert_eq!(desk.read(&extended(0, size)).unwrap(), expected, "without the flag nothing is walked");
    }
    // Two blocks of 32 bytes, the second of which says that it is longer.
    let bytes = extended(1, 32).patch((384, 48i32.to_le_bytes().to_vec()));
    assert_eq!(desk.refusal(&bytes).0, "extension size");
}

#[test]
fn rejects_extensions_over_the_limit() {
    let desk = Desk::new();
    assert_eq!(desk.refusal(&base().patch(put_f32(108, (128u32 << 20) as f32))).0, "vox_offset");
}

#[test]
fn n6_slopes() {
    let desk = Desk::new();
    let plain = desk.read(&base().patch(put_f32(112, 1.0)).patch(put_f32(116, 0.0))).unwrap().voxels;
    let scaled = |slope, intercept| {
        desk.read(&base().patch(put_f32(112, slope)).patch(put_f32(116, intercept))).unwrap().voxels
    };
    for slope in [0.0, f32::NAN, f32::INFINITY] {
        assert_eq!(scaled(slope, f32::NAN), plain, "slope {slope} means that values are not scaled");
    }
    assert_eq!(scaled(-1.0, 3.0), plain.iter().map(|v| 3.0 - v).collect::<Vec<_>>());
    let bytes = base().patch(put_f32(112, 2.0)).patch(put_f32(116, f32::NAN));
    assert_eq!(desk.refusal(&bytes).0, "scl_inter");
}

#[test]
fn n8_affines() {
    let desk = Desk::new();
    let header = |bytes: &[u8]| {
        std::fs::write(desk.path(), bytes).unwrap();
        nifti::read_header(&desk.path()).unwrap()
    };
    let forms = |qform, sform| base().patch(put_i16(252, qform)).patch(put_i16(254, sform));
    assert_eq!(header(&forms(1, 2)).affine_source, AffineSource::Sform);
    assert_eq!(header(&forms(1, 0)).affine_source, AffineSource::Qform);
    assert!(affine_close(&header(&forms(1, 0)).affine, &header(&forms(0, 1)).affine));
    let neither = header(&forms(0, 0));
    assert_eq!(neither.affine_source, AffineSource::Base);
    assert_eq!(neither.affine[0], [-2.0, 0.0, 0.0, 2.0]);

    // Disagreeing: the sform counts, and the qform is there to be compared.
    let shifted = header(&forms(1, 1).patch(put_f32(268, 99.0)));
    assert_eq!((shifted.affine[0][3], shifted.qform.unwrap()[0][3]), (10.0, 99.0));

    for (bytes, field) in [
        (forms(0, 1).patch((280, vec![0; 16])), "sform"),
        (forms(0, 1).patch(put_f32(280, f32::NAN)), "sform"),
        (forms(1, 0).patch(put_f32(256, 1.0)), "qform"),
        (forms(1, 0).patch(put_f32(268, f32::INFINITY)), "qform"),
        (forms(1, 0).patch(put_f32(76, 0.5)), "pixdim[0]"),
        (forms(1, 0).patch(put_f32(80, 0.0)), "pixdim[1]"),
        (forms(0, 0).patch(put_f32(84, -3.0)), "pixdim[2]"),
        (forms(9, 1), "qform_code"),
        (forms(0, -1), "sform_code"),
        (base().patch((123, vec![3])), "xyzt_units"),
    ] {
        assert_eq!(desk.refusal(&bytes).0, field);
    }
}

#[test]
fn n9_gzip() {
    let desk = Desk::new();
    let raw = base();
    let expected = desk.read(&raw).unwrap();
    let packed = gzip(&raw);
    assert_eq!(desk.read(&packed).unwrap(), expected, "gzip is recognised whatever the name");
    // A plain file under a gzip name.
    let path = desk.folder.path().join("plain.nii.gz");
    std::fs::write(&path, &raw).unwrap();
    assert_eq!(nifti::read(&path).unwrap(), expected);

    for length in 0..packed.len() {
        desk.refusal(&packed[..length]);
    }
    for trailer in 1..=8 {
        let mut bytes = packed.clone();
        let at = bytes.len() - trailer;
        bytes[at] ^= 1;
        let field = if trailer > 4 { "gzip CRC-32" } else { "gzip length" };
        assert_eq!(desk.refusal(&bytes).0, field);
    }
    // Every field that a member's header may have.
    let fields =
        [&[0x1f, 0x8b, 8, 2 + 4 + 8 + 16, 0, 0, 0, 0, 0, 3, 3, 0][..], b"abcname\0comment\0", &[7, 7]];
    let dressed = [&fields.concat(), &packed[10..]].concat();
    assert_eq!(desk.read(&dressed).unwrap(), expected);
    for length in 0..dressed.len() {
        desk.refusal(&dressed[..length]);
    }
    for (at, value) in [(2, 7), (3, 0x20)] {
        assert_eq!(desk.refusal(&packed.clone().patch((at, vec![value]))).0, "gzip header");
    }
    let members = [&raw[..100], &raw[100..350], &[], &raw[350..]].map(gzip).concat();
    assert_eq!(desk.read(&members).unwrap(), expected);
    assert_eq!(desk.read(&[&packed[..], &[0; 512]].concat()).unwrap(), expected, "zero padding is allowed");
    for garbage in [&b"garbage"[..], &[0, 0, 0, 1], &[0x1f], &packed[..20]] {
        desk.refusal(&[&packed[..], garbage].concat());
    }
    assert_eq!(desk.refusal(&[raw.clone(), vec![0]].concat()).0, "file length");
    assert_eq!(desk.refusal(&gzip(&[raw, vec![0]].concat())).0, "after the voxels");
}

#[test]
fn rejects_padding_and_members_over_the_limits() {
    let desk = Desk::new();
    let packed = gzip(&base());
    assert_eq!(desk.refusal(&[packed.clone(), vec![0; 100 << 10]].concat()).0, "after the gzip stream");
    // A volume large enough that the members, not the length of the file, are what is refused.
    let raw = [42, 44, 46].iter().fold(base(), |b, &at| b.patch(put_i16(at, 100)));
    let raw = [&raw[..352], &vec![0; 2_000_000]].concat();
    assert!(desk.read(&[gzip(&raw), gzip(&[])].concat()).is_ok());
    let many = [gzip(&raw), gzip(&[]).repeat(synthmr_core::limits::GZIP_MEMBERS)].concat();
    assert_eq!(desk.refusal(&many).0, "gzip members");
}

#[test]
fn n11_nan_and_infinite_voxels_are_kept_and_counted() {
    let desk = Desk::new();
    let volume = Volume::new([2, 2, 1], unit(), vec![1.0, f32::NAN, f32::NEG_INFINITY, 1e30]);
    nifti::write(&desk.path(), &volume, Datatype::F32).unwrap();
    let found = nifti::read(&desk.path()).unwrap();
    assert!(same_values(&found.voxels, &volume.voxels));
    assert_eq!(found.non_finite_count(), 2);
}

#[test]
fn n14_relatives_are_refused_by_name() {
    let desk = Desk::new();
    let named = |bytes: &[u8], name: &str| {
        let (_, message) = desk.refusal(bytes);
        assert!(message.contains(name), "{message}");
    };
    named(&base().patch((0, 540i32.to_le_bytes().to_vec())), "NIfTI-2");
    named(&base().patch((0, 540i32.to_be_bytes().to_vec())), "NIfTI-2");
    named(&base().patch((344, b"ni1\0".to_vec())), "pair");
    named(&base().patch((344, vec![0; 4])), "Analyze 7.5");
    named(&base().patch((344, b"n+2\0".to_vec())), "n+2");
    named(&vec![0; 400].patch((128, b"DICM".to_vec())), "DICOM");
    named(&vec![0; 400].patch((0, b"BZh9".to_vec())), "bzip2");
    let image = desk.folder.path().join("v.img");
    std::fs::write(&image, [5; 400]).unwrap();
    assert!(nifti::read(&image).unwrap_err().to_string().contains(".hdr/.img pair"));
}

#[test]
fn n16_what_is_not_a_file_is_refused_without_waiting() {
    let desk = Desk::new();
    let error = nifti::read(desk.folder.path()).unwrap_err().to_string();
    assert!(error.contains("a folder"), "{error}");
    assert!(nifti::read(&desk.path()).is_err());
    #[cfg(unix)]
    {
        assert!(std::process::Command::new("mkfifo").arg(desk.path()).status().unwrap().success());
        let error = nifti::read(&desk.path()).unwrap_err().to_string();
        assert!(error.contains("a pipe"), "{error}");
    }
}

fn unit() -> [[f64; 4]; 3] {
    [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
}

#[test]
fn what_is_written_is_read_back() {
    let desk = Desk::new();
    let voxels: Vec<f32> = (0..200_000).map(|i| (i % 101) as f32).collect();
    let affine = [[-1.0, 0.0, 0.0, 90.5], [0.0, -1.5, 0.0, 120.0], [0.0, 0.0, 2.0, -70.0]];
    let volume = Volume::new([50, 40, 100], affine, voxels);
    for datatype in Datatype::ALL {
        for name in ["w.nii", "w.nii.gz"] {
            let path = desk.folder.path().join(name);
            nifti::write(&path, &volume, datatype).unwrap();
            let (header, found) = nifti::read_with_header(&path).unwrap();
            assert_eq!(found, volume, "{datatype:?}");
            assert_eq!((header.datatype, header.affine_source), (datatype, AffineSource::Sform));
            assert!(affine_close(&header.qform.unwrap(), &affine), "the qform says the same as the sform");
        }
    }
    let first = std::fs::read(desk.folder.path().join("w.nii.gz")).unwrap();
    nifti::write(&desk.folder.path().join("again.nii.gz"), &volume, Datatype::F64).unwrap();
    assert_eq!(first, std::fs::read(desk.folder.path().join("again.nii.gz")).unwrap(), "no time, no name");
}

/// nibabel reads the qform of all 48 orientations and of sheared and rotated volumes as our reader does
/// (golden volumes), so agreement of our two forms is agreement with nibabel.
#[test]
fn written_forms_agree_in_every_orientation() {
    let desk = Desk::new();
    let volume = Volume::new([2, 3, 4], unit(), (0..24).map(|i| i as f32).collect());
    for first in ["L", "R", "P", "A", "I", "S"] {
        for second in ["L", "R", "P", "A", "I", "S"] {
            for third in ["L", "R", "P", "A", "I", "S"] {
                let Ok(codes) = format!("{first}{second}{third}").parse::<AxisCodes>() else { continue };
                let turned = volume.clone().reorient(codes);
                nifti::write(&desk.path(), &turned, Datatype::U8).unwrap();
                let (header, found) = nifti::read_with_header(&desk.path()).unwrap();
                assert_eq!(found, turned);
                assert!(affine_close(&header.qform.unwrap(), &turned.affine), "{codes}");
                assert_eq!(found.reorient(AxisCodes::RAS), volume);
            }
        }
    }
    let sheared = [[1.0, 0.5, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
    nifti::write(&desk.path(), &Volume::new([2, 3, 4], sheared, volume.voxels), Datatype::U8).unwrap();
    let header = nifti::read_header(&desk.path()).unwrap();
    assert_eq!((header.affine, header.qform), (sheared, None), "a qform cannot hold shears");
}

#[test]
fn values_that_do_not_fit_are_refused_and_nothing_is_written() {
    let desk = Desk::new();
    for (value, datatype) in [
        (256.0, Datatype::U8),
        (-0.6, Datatype::U8),
        (32768.0, Datatype::I16),
        (f32::NAN, Datatype::I32),
        (2147483648.0, Datatype::I32),
        (-1.0, Datatype::U64),
    ] {
        let volume = Volume::new([1, 1, 1], unit(), vec![value]);
        let error = nifti::write(&desk.path(), &volume, datatype).unwrap_err();
        assert_eq!(error.refusal().unwrap().part, Part::Data, "{error}");
        assert!(!desk.path().exists());
    }
    for (value, stored) in [(255.4, 255.0), (-0.4, 0.0), (2.5, 2.0)] {
        nifti::write(&desk.path(), &Volume::new([1, 1, 1], unit(), vec![value]), Datatype::U8).unwrap();
        assert_eq!(nifti::read(&desk.path()).unwrap().voxels, [stored]);
    }
    let wrong = Volume::new([2, 1, 1], unit(), vec![0.0]);
    assert!(nifti::write(&desk.path(), &wrong, Datatype::U8).is_err());
    let flat = Volume::new([1, 1, 1], [[0.0; 4]; 3], vec![0.0]);
    assert!(nifti::write(&desk.path(), &flat, Datatype::U8).is_err());
}

#[test]
fn memory_of_another_volume_leaves_nothing_behind() {
    let desk = Desk::new();
    let expected = desk.read(&base()).unwrap();
    for length in [0, 5, 12, 100] {
        let (_, found) = nifti::read_reusing(&desk.path(), vec![f32::NAN; length]).unwrap();
        assert_eq!(found, expected);
    }
}

/// P6 begins here: a written header carries nothing but geometry and type.
#[test]
fn a_written_header_carries_no_identity() {
    let desk = Desk::new();
    nifti::write(&desk.path(), &Volume::new([1, 1, 1], unit(), vec![0.0]), Datatype::U8).unwrap();
    let bytes = std::fs::read(desk.path()).unwrap();
    // data_type, db_name, extents, session_error; slice timing, limits; descrip, aux_file; intent_name.
    for range in [4..38, 124..148, 148..252, 328..344, 348..352] {
        assert!(bytes[range.clone()].iter().all(|&b| b == 0), "bytes {range:?} are not empty");
    }
    assert_eq!(bytes.len(), 353);
}

/// A larger run than the golden files: `python tools/golden/nifti.py --random DIR N` makes the folder.
#[test]
fn large_run() {
    let Some(folder) = std::env::var_os("SYNTHMR_NIFTI_RUN") else {
        println!("SYNTHMR_NIFTI_RUN names no folder: the large run was left out");
        return;
    };
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.to_str().unwrap();
        let Some(stem) = name.strip_suffix(".nii.gz").or(name.strip_suffix(".nii")) else { continue };
        let expected = Meaning::parse(&std::fs::read(format!("{stem}.expected")).unwrap());
        assert!(expected.is(&nifti::read(&path).unwrap()), "{name}");
        count += 1;
    }
    println!("{count} volumes agree with nibabel");
}
