//! N10: bombs are refused without taking the memory that they ask for. A binary of its own, because the
//! peak that the system reports is that of the whole process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![cfg(target_os = "linux")]

use std::io::Write;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use synthmr_data::nifti;

/// Highest resident size of this process so far, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}

fn gzip(pieces: &[&[u8]]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    pieces.iter().for_each(|piece| encoder.write_all(piece).unwrap());
    encoder.finish().unwrap()
}

/// A member that unpacks to 64 KiB that do not pack.
fn noise() -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    gzip(&[&(0..64 << 10).map(|_| next()).collect::<Vec<u8>>()])
}

fn with_extents(header: &[u8], extents: [i16; 3]) -> Vec<u8> {
    let mut header = header.to_vec();
    for (axis, extent) in extents.into_iter().enumerate() {
        header[42 + 2 * axis..44 + 2 * axis].copy_from_slice(&extent.to_le_bytes());
    }
    header
}

#[test]
fn n10_bombs_are_refused_within_time_and_memory() {
    let header = &include_bytes!("golden/nifti/base.nii")[..352];
    let zeros = gzip(&[&vec![0; 64 << 20]]);
    let cases = [
        // 10 MB that unpack to 10 GB, behind the header of a small volume.
        ("small header, 10 GB", [gzip(&[header]), zeros.repeat(160)].concat()),
        // Small enough on disk to be opened: refused at the first byte after the volume.
        ("small header, 900 MB", [gzip(&[header]), zeros.repeat(14)].concat()),
        // The largest volume allowed, in a file that cannot hold it.
        ("512^3, nothing", gzip(&[&with_extents(header, [512; 3])])),
        // Half of a volume that is declared in full.
        (
            "320^3, cut off",
            [gzip(&[&with_extents(header, [320; 3])]), gzip(&[&vec![0; 32 << 20]]), noise()].concat(),
        ),
        // More than any limit.
        ("4096^3", gzip(&[&with_extents(header, [4096; 3])])),
        // An offset of 1 GB made of zeros.
        ("extension flag without end", [gzip(&[&header[..351], &[1]]), zeros.repeat(14)].concat()),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.nii.gz");
    let baseline = peak();
    for (name, bytes) in cases {
        std::fs::write(&path, bytes).unwrap();
        let start = Instant::now();
        let error = nifti::read(&path).expect_err(name);
        let (seconds, bytes) = (start.elapsed().as_secs_f64(), peak() - baseline);
        println!("{name}: {seconds:.3} s, {} MB: {error}", bytes >> 20);
        assert!(error.refusal().is_some(), "{name}: {error}");
        assert!(seconds < 2.0, "{name}: {seconds} s");
        assert!(bytes < 256 << 20, "{name}: {bytes} bytes");
    }
}
