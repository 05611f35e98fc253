use std::io::Write;

use sha2::{Digest, Sha256};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::super::hex;
use super::super::lock::Variant;
use super::*;

/// A lock file and a folder of wheels in miniature.
struct Miniature {
    folder: tempfile::TempDir,
    lock: Lock,
}

impl Miniature {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("torch-1.0-py3-none-any.whl");
        let mut writer = ZipWriter::new(File::create(&path).unwrap());
        for (name, content) in [("torch/lib/libtorch_cpu.so", "cpu"), ("torch/lib/libtorch_cuda.so", "cuda")]
        {
            writer.start_file(name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
        let bytes = fs::read(&path).unwrap();
        let lock = Lock {
            schema: 1,
            torch: "1.0".into(),
            pip_python: "3.11".into(),
            pip_abi: "cp311".into(),
            folders: vec![
                folder_with(&bytes, Variant::Cpu, "lib/libtorch_cpu.so"),
                folder_with(&bytes, Variant::Cuda, "lib/libtorch_cuda.so"),
            ],
        };
        Self { folder, lock }
    }

    fn cache(&self) -> Cache {
        Cache { folder: self.folder.path().join("cache") }
    }

    fn fill(&self) -> Result<(), Failure> {
        let cache = self.cache();
        let folders: Vec<&Folder> = self.lock.folders.iter().collect();
        fs::create_dir_all(&cache.folder).unwrap();
        let missing = cache.missing(&self.lock, &folders);
        let scratch = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(&cache.folder).unwrap();
        cache.build(&self.lock, &missing, &Source::Folder(self.folder.path().to_owned()), scratch.path())
    }
}

fn folder_with(wheel: &[u8], variant: Variant, library: &str) -> Folder {
    Folder {
        platform: "any".into(),
        variant,
        engine: ".".into(),
        unpacked_bytes: 1000,
        make: vec![("lib/libtorch.so".into(), "INPUT ( -ltorch_cpu )\n".into())],
        wheels: vec![Wheel {
            package: "torch".into(),
            version: "1.0".into(),
            file: "torch-1.0-py3-none-any.whl".into(),
            pip_platform: "any".into(),
            bytes: wheel.len() as u64,
            sha256: hex(&Sha256::digest(wheel)),
            take: vec![(format!("torch/{library}"), library.into())],
        }],
    }
}

#[test]
fn folders_hold_what_the_lock_file_says_and_nothing_else_stays() {
    let miniature = Miniature::new();
    miniature.fill().unwrap();
    let cache = miniature.cache();
    let cpu = cache.engine_of(&miniature.lock, &miniature.lock.folders[0]);
    let cuda = cache.engine_of(&miniature.lock, &miniature.lock.folders[1]);
    assert_eq!(fs::read_to_string(cpu.join("lib/libtorch_cpu.so")).unwrap(), "cpu");
    assert_eq!(fs::read_to_string(cpu.join("lib/libtorch.so")).unwrap(), "INPUT ( -ltorch_cpu )\n");
    assert_eq!(fs::read_to_string(cpu.join("build-version")).unwrap(), "1.0\n");
    assert!(!cpu.join("lib/libtorch_cuda.so").exists());
    assert_eq!(fs::read_to_string(cuda.join("lib/libtorch_cuda.so")).unwrap(), "cuda");
    assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 2);
    assert!(miniature.folder.path().join("torch-1.0-py3-none-any.whl").exists(), "the user's wheel stays");
}

#[test]
fn a_lost_or_cut_file_is_seen_and_repaired() {
    let miniature = Miniature::new();
    miniature.fill().unwrap();
    let folder = &miniature.lock.folders[0];
    let place = miniature.cache().place(&miniature.lock, folder);
    assert!(is_complete(&place));
    let library = place.join("lib/libtorch_cpu.so");
    for damage in [|path: &Path| fs::remove_file(path), |path: &Path| fs::write(path, "c")] {
        damage(&library).unwrap();
        assert!(!is_complete(&place));
        miniature.fill().unwrap();
        assert_eq!(fs::read_to_string(&library).unwrap(), "cpu");
    }
    fs::write(place.join(LISTING), "{").unwrap();
    assert!(!is_complete(&place));
}

#[test]
fn a_failed_set_up_leaves_nothing() {
    let miniature = Miniature::new();
    let wheel = miniature.folder.path().join("torch-1.0-py3-none-any.whl");
    fs::write(&wheel, "not a wheel").unwrap();
    let text = miniature.fill().unwrap_err().to_string();
    assert!(text.contains("SHA-256"), "{text}");
    assert_eq!(fs::read_dir(miniature.cache().folder).unwrap().count(), 0);
}

#[test]
fn the_slower_of_two_set_ups_keeps_the_folder_of_the_faster() {
    let miniature = Miniature::new();
    miniature.fill().unwrap();
    let cache = miniature.cache();
    let folder = &miniature.lock.folders[0];
    let place = cache.place(&miniature.lock, folder);
    fs::write(place.join("marker"), "of the first").unwrap();
    let scratch = tempfile::tempdir_in(&cache.folder).unwrap();
    let staged = scratch.path().join("cpu");
    fs::create_dir(&staged).unwrap();
    put_in_place(&staged, &place, scratch.path()).unwrap();
    assert!(place.join("marker").exists());
}

#[test]
fn what_a_killed_set_up_left_is_removed() {
    let miniature = Miniature::new();
    let cache = miniature.cache();
    let left = cache.folder.join(format!("{TEMPORARY}abc"));
    fs::create_dir_all(left.join("download")).unwrap();
    cache.remove_unfinished().unwrap();
    assert!(!left.exists());
}

#[test]
fn the_cache_is_where_the_user_says_or_where_caches_are() {
    let path = |text: &str| Some(PathBuf::from(text));
    assert_eq!(choose(path("own"), path("/x"), path("/h")).unwrap(), PathBuf::from("own"));
    assert_eq!(choose(None, path("/x"), path("/h")).unwrap(), PathBuf::from("/x/synthmr"));
    assert_eq!(choose(None, path("x"), path("/h")).unwrap(), PathBuf::from("/h/.cache/synthmr"));
    assert!(choose(None, None, None).is_err());
}

#[test]
fn space_is_reckoned_for_the_largest_wheel_twice_and_only_when_it_is_downloaded() {
    let miniature = Miniature::new();
    let folders: Vec<&Folder> = miniature.lock.folders.iter().collect();
    let wheel = folders[0].wheels[0].bytes;
    let unpacked = 2 * (1000 + SLACK_BYTES);
    assert_eq!(space_needed(&folders, false), unpacked);
    assert_eq!(space_needed(&folders, true), unpacked + 2 * wheel);
}

#[test]
fn a_full_disk_is_said_before_anything_is_downloaded() {
    let miniature = Miniature::new();
    let cache = miniature.cache();
    fs::create_dir_all(&cache.folder).unwrap();
    let mut folder = miniature.lock.folders[0].clone();
    folder.unpacked_bytes = 1 << 60;
    let text = cache.check_space(&[&folder], &Source::Pip { python: "python3" }).unwrap_err().to_string();
    assert!(text.contains("expected 1152921504."), "{text}");
    assert!(text.contains("SYNTHMR_CACHE"), "{text}");
}
