//! Discovery and check of cohorts that have something wrong with them. The numbers N11 to N16 are those of
//! the project's list of bad inputs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use synthmr_data::cohort::{self, CheckReport, CohortError, Finding, Level};
use synthmr_data::nifti::{self, Datatype, Volume};

const SHAPE: [usize; 3] = [6, 5, 4];
const IMAGES: [&str; 4] = ["_t1", "_t1ce", "_t2", "_flair"];

fn affine() -> [[f64; 4]; 3] {
    [[-1.0, 0.0, 0.0, 5.0], [0.0, -1.0, 0.0, 4.0], [0.0, 0.0, 1.0, 0.0]]
}

/// Values that differ between seeds: grey levels 1 to 100 with a dark border.
fn image(seed: usize) -> Volume {
    let value = |i: usize| if i.is_multiple_of(7) { 0.0 } else { ((i * 37 + seed * 101) % 100 + 1) as f32 };
    Volume::new(SHAPE, affine(), (0..120).map(value).collect())
}

fn annotation(seed: usize) -> Volume {
    let value = |i: usize| if i % 11 == seed % 11 { [1.0, 2.0, 4.0][i % 3] } else { 0.0 };
    Volume::new(SHAPE, affine(), (0..120).map(value).collect())
}

/// A BraTS-named cohort that a test damages.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(subjects: &[&str]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (number, subject) in subjects.iter().enumerate() {
            for (channel, ending) in IMAGES.iter().enumerate() {
                folder.put(subject, ending, &image(10 * number + channel));
            }
            folder.put(subject, "_seg", &annotation(number));
        }
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, subject: &str, ending: &str) -> PathBuf {
        self.path().join(subject).join(format!("{subject}{ending}.nii.gz"))
    }

    fn put(&self, subject: &str, ending: &str, volume: &Volume) {
        fs::create_dir_all(self.path().join(subject)).unwrap();
        nifti::write(&self.file(subject, ending), volume, Datatype::F32).unwrap();
    }

    fn check(&self) -> CheckReport {
        cohort::check(self.path()).unwrap()
    }

    /// The only finding there is.
    #[track_caller]
    fn one(&self, level: Level) -> Finding {
        let report = self.check();
        assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
        assert_eq!(report.findings[0].level, level);
        assert!(!report.findings[0].hint.is_empty());
        report.findings[0].clone()
    }

    #[track_caller]
    fn fault(&self) -> Finding {
        self.one(Level::Fault)
    }
}

fn changed(mut volume: Volume, at: usize, value: f32) -> Volume {
    volume.voxels[at] = value;
    volume
}

#[test]
fn a_good_cohort_has_no_findings() {
    let folder = Folder::new(&["b", "a"]);
    let report = folder.check();
    assert_eq!(report, CheckReport { subjects: 2, volumes: 10, findings: vec![] });
    let cohort = cohort::discover(folder.path()).unwrap();
    assert_eq!(cohort.channels, ["T1", "T1ce", "T2", "FLAIR"]);
    let ids: Vec<&str> = cohort.subjects.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(cohort.subjects[0].images[1], folder.file("a", "_t1ce"));
    assert_eq!(cohort.subjects[0].annotation, folder.file("a", "_seg"));
}

#[test]
fn names_of_2018_to_2024_are_found() {
    let folder = Folder::new(&[]);
    let new = ["-t1n", "-t1c", "-t2w", "-t2f", "-seg"];
    for (name, endings) in
        [("HGG/Brats18_X_1", ["_t1", "_t1ce", "_t2", "_flair", "_seg"]), ("BraTS-GLI-00000-000", new)]
    {
        let home = folder.path().join(name);
        fs::create_dir_all(&home).unwrap();
        let subject = home.file_name().unwrap().to_str().unwrap();
        for ending in endings {
            let name = format!("{subject}{ending}.nii");
            nifti::write(&home.join(name), &image(0), Datatype::U8).unwrap();
        }
    }
    fs::write(folder.path().join("survival_info.csv"), "x").unwrap();
    let cohort = cohort::discover(folder.path()).unwrap();
    assert_eq!(cohort.subjects.len(), 2);
    assert!(cohort.subjects[0].images[3].ends_with("BraTS-GLI-00000-000-t2f.nii"));
    assert!(cohort.subjects[1].images[3].ends_with("Brats18_X_1_flair.nii"));
}

#[test]
fn a_folder_without_subjects_says_what_was_expected() {
    let folder = Folder::new(&[]);
    let error = cohort::discover(folder.path()).unwrap_err();
    assert!(matches!(error, CohortError::Empty { .. }));
    assert!(error.to_string().contains("SUBJECT/SUBJECT_t1.nii.gz"), "{error}");
    assert!(cohort::discover(&folder.path().join("absent")).is_err());
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(cohort::discover(&file).unwrap_err().to_string().contains("expected a folder"));
}

#[test]
fn n11_values() {
    for (value, expected, found) in [
        (f32::NAN, "finite values", "1 voxels that are NaN or infinite"),
        (f32::INFINITY, "finite values", "1 voxels that are NaN or infinite"),
        (1e30, "values of one order", "1e30"),
    ] {
        let folder = Folder::new(&["a"]);
        folder.put("a", "_t2", &changed(image(2), 3, value));
        let fault = folder.fault();
        assert_eq!((fault.subject.as_str(), fault.file.as_str()), ("a", "a/a_t2.nii.gz"));
        assert!(fault.expected.starts_with(expected) && fault.found == found, "{fault}");
    }
    for (value, found) in [(0.0, "all voxels 0"), (7.0, "all voxels 7")] {
        let folder = Folder::new(&["a"]);
        folder.put("a", "_t1", &Volume::new(SHAPE, affine(), vec![value; 120]));
        assert_eq!(folder.fault().found, found);
    }
}

#[test]
fn saturated_images_are_a_warning() {
    let folder = Folder::new(&["a"]);
    let mut bright = image(0);
    bright.voxels[10..25].fill(32767.0);
    nifti::write(&folder.file("a", "_t1"), &bright, Datatype::I16).unwrap();
    let warning = folder.one(Level::Warning);
    assert!(warning.found.starts_with("15 voxels at it"), "{warning}");
    assert!(cohort::discover(folder.path()).is_ok());
}

#[test]
fn n12_labels() {
    for (value, found, hint) in [
        (0.9999, "0.9999 (1 voxels)", "nearest neighbour"),
        (5.0, "5 (1 voxels)", "cohort.toml"),
        (255.0, "255 (1 voxels)", "cohort.toml"),
        (-1.0, "-1 (1 voxels)", "cohort.toml"),
        (3e9, "3000000000 (1 voxels)", "cohort.toml"),
    ] {
        let folder = Folder::new(&["a"]);
        folder.put("a", "_seg", &changed(annotation(0), 1, value));
        let fault = folder.fault();
        assert_eq!((fault.expected.as_str(), fault.found.as_str()), ("label values [0, 1, 2, 3, 4]", found));
        assert!(fault.hint.contains(hint), "{fault}");
    }
    let folder = Folder::new(&["a", "b"]);
    for subject in ["a", "b"] {
        folder.put(subject, "_seg", &Volume::new(SHAPE, affine(), vec![0.0; 120]));
    }
    let report = folder.check();
    assert_eq!((report.fault_count(), report.warning_count()), (0, 2), "{:#?}", report.findings);
}

#[test]
fn n12_geometry() {
    let mut shape = image(2);
    shape.shape = [5, 6, 4];
    let mut spacing = image(2);
    spacing.affine[2][2] = 1.5;
    let mut shifted = image(2);
    shifted.affine[0][3] += 0.5;
    // The same axes in space, one voxel farther.
    let mut flipped = image(2);
    flipped.affine[0] = [1.0, 0.0, 0.0, 1.0];
    for (volume, what) in [(shape, "shape"), (spacing, "spacing"), (shifted, "affine"), (flipped, "affine")] {
        let folder = Folder::new(&["a"]);
        folder.put("a", "_t2", &volume);
        let fault = folder.fault();
        assert!(fault.expected.starts_with(what) && fault.expected.contains("a/a_t1.nii.gz"), "{fault}");
    }
    let folder = Folder::new(&["a"]);
    let mut rounded = image(2);
    rounded.affine[0][3] += 0.001;
    folder.put("a", "_t2", &rounded);
    assert!(folder.check().findings.is_empty(), "a rounded affine is the same place");
    for codes in ["RAS", "PIL", "SRA"] {
        let turned = image(2).reorient(codes.parse().unwrap());
        folder.put("a", "_t2", &turned);
        assert!(folder.check().findings.is_empty(), "{codes} is another order of the same voxels");
        folder.put("a", "_flair", &turned.reorient("LPS".parse().unwrap()));
        assert!(folder.fault().found.contains("a/a_t2.nii.gz"), "the same content in {codes}");
        folder.put("a", "_flair", &image(3));
    }
}

#[test]
fn n13_missing_and_double_files() {
    let folder = Folder::new(&["a", "b"]);
    fs::remove_file(folder.file("a", "_t2")).unwrap();
    let fault = folder.fault();
    assert_eq!((fault.subject.as_str(), fault.found.as_str()), ("a", "none"));
    assert_eq!(fault.expected, "one T2 volume, such as a_t2.nii.gz");
    let CohortError::Faults { findings, .. } = cohort::discover(folder.path()).unwrap_err() else { panic!() };
    assert_eq!(findings, [fault]);

    // As in the published BraTS 2020, where one annotation has a name of its own.
    let folder = Folder::new(&["a"]);
    fs::rename(folder.file("a", "_seg"), folder.path().join("a/W39_Segm.nii.gz")).unwrap();
    assert!(folder.fault().hint.contains("a/W39_Segm.nii.gz"));

    let folder = Folder::new(&["a"]);
    fs::copy(folder.file("a", "_t1"), folder.path().join("a/a-t1n.nii.gz")).unwrap();
    let report = folder.check();
    let found: Vec<&str> = report.findings.iter().map(|f| f.found.as_str()).collect();
    assert!(found.contains(&"a/a-t1n.nii.gz and a/a_t1.nii.gz"), "{found:?}");
}

#[test]
fn n13_one_subject_under_two_names() {
    let folder = Folder::new(&["a"]);
    fs::rename(folder.file("a", "_t2"), folder.path().join("a/b_t2.nii.gz")).unwrap();
    let fault = folder.fault();
    assert!(fault.found.contains("\"b\"") && fault.hint.contains("two names"), "{fault}");

    let folder = Folder::new(&["a-1"]);
    for (channel, ending) in IMAGES.iter().enumerate() {
        folder.put("A_1", ending, &image(50 + channel));
    }
    folder.put("A_1", "_seg", &annotation(5));
    assert!(folder.one(Level::Warning).found.contains("only in case or punctuation"));
}

#[test]
fn n13_duplicate_content_under_two_ids() {
    let folder = Folder::new(&["a", "b"]);
    // Stored in another way, the same values.
    nifti::write(&folder.file("b", "_flair"), &image(3), Datatype::I32).unwrap();
    let fault = folder.fault();
    assert_eq!((fault.subject.as_str(), fault.file.as_str()), ("b", "b/b_flair.nii.gz"));
    assert!(
        fault.found.contains("a/a_flair.nii.gz of subject a") && fault.hint.contains("cross the split"),
        "{fault}"
    );

    let folder = Folder::new(&["a"]);
    folder.put("a", "_t1ce", &image(0));
    assert!(folder.fault().hint.contains("one contrast under two names"));
}

#[test]
fn every_fault_is_listed() {
    let folder = Folder::new(&["a", "b", "c"]);
    fs::write(folder.file("a", "_t1"), b"not a volume").unwrap();
    let whole = fs::read(folder.file("a", "_t2")).unwrap();
    fs::write(folder.file("a", "_t2"), &whole[..whole.len() - 9]).unwrap();
    fs::remove_file(folder.file("b", "_seg")).unwrap();
    folder.put("c", "_seg", &changed(annotation(2), 1, 9.0));
    folder.put("c", "_t1", &changed(image(20), 1, f32::NAN));
    let report = folder.check();
    let files: Vec<&str> = report.findings.iter().map(|f| f.file.as_str()).collect();
    assert_eq!(
        files,
        ["a/a_t1.nii.gz", "a/a_t2.nii.gz", "", "c/c_seg.nii.gz", "c/c_t1.nii.gz"],
        "{:#?}",
        report.findings
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["findings"][0]["level"], "fault");
    assert!(json["findings"][1]["expected"].as_str().unwrap().starts_with("gzip stream"));
}

#[test]
fn orientation_that_is_a_guess_is_a_warning() {
    let folder = Folder::new(&["a"]);
    for ending in IMAGES.iter().chain(&["_seg"]) {
        let volume = nifti::read(&folder.file("a", ending)).unwrap();
        let plain = folder.path().join("a").join(format!("a{ending}.nii"));
        nifti::write(&plain, &volume, Datatype::F32).unwrap();
        let mut bytes = fs::read(&plain).unwrap();
        bytes[252..256].fill(0);
        fs::write(&plain, bytes).unwrap();
        fs::remove_file(folder.file("a", ending)).unwrap();
    }
    let report = folder.check();
    assert_eq!((report.fault_count(), report.warning_count()), (0, 5), "{:#?}", report.findings);
    assert!(report.findings[0].expected.contains("an orientation"));
}

#[cfg(unix)]
mod n16 {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    #[test]
    fn pipes_are_faults_and_do_not_hang() {
        let folder = Folder::new(&["a"]);
        fs::remove_file(folder.file("a", "_t1")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(folder.file("a", "_t1")).status().unwrap();
        assert!(made.success());
        let report = folder.check();
        assert!(report.findings.iter().any(|f| f.found.contains("a pipe")), "{:#?}", report.findings);
        assert!(cohort::discover(folder.path()).is_err());
    }

    #[test]
    fn links_out_of_sight_are_followed_and_reported() {
        let elsewhere = Folder::new(&["a", "b"]);
        let folder = Folder::new(&["a"]);
        symlink(elsewhere.path().join("b"), folder.path().join("b")).unwrap();
        let warning = folder.one(Level::Warning);
        assert_eq!(warning.file, "b");
        let elsewhere = elsewhere.path().join("b").canonicalize().unwrap();
        assert!(warning.found.contains(elsewhere.to_str().unwrap()), "{warning}");
        assert_eq!(cohort::discover(folder.path()).unwrap().warnings.len(), 1);
    }

    #[test]
    fn circular_and_broken_links_are_faults() {
        let folder = Folder::new(&["a"]);
        symlink(folder.path(), folder.path().join("a/loop")).unwrap();
        assert!(folder.fault().found.contains("a link to a folder that holds it"));
        fs::remove_file(folder.path().join("a/loop")).unwrap();
        symlink("nowhere", folder.path().join("a/broken.nii")).unwrap();
        assert!(folder.fault().found.contains("leads nowhere"));
    }

    #[test]
    fn odd_names_are_refused_or_escaped() {
        for name in ["a\nb", "-rf"] {
            let folder = Folder::new(&[name]);
            let fault = folder.fault();
            assert!(fault.expected.contains("usable subject name"), "{fault}");
            assert!(!fault.subject.contains('\n') && !fault.file.contains('\n'));
        }
        let folder = Folder::new(&["<script>", "Zoë"]);
        assert!(folder.check().findings.is_empty());

        let folder = Folder::new(&["a"]);
        fs::create_dir(folder.path().join(OsStr::from_bytes(b"\xff\xfe"))).unwrap();
        assert!(folder.fault().expected.contains("UTF-8"));
    }

    #[test]
    fn unreadable_files_are_faults() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new(&["a"]);
        let path = folder.file("a", "_t1");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        if fs::read(&path).is_ok() {
            println!("this user reads everything: left out");
            return;
        }
        assert!(folder.fault().found.contains("ermission"));
    }
}

#[test]
fn a_description_replaces_the_names_of_brats() {
    let folder = Folder::new(&[]);
    for (i, name) in ["p1", "p2"].iter().enumerate() {
        for sub in ["images", "labels"] {
            fs::create_dir_all(folder.path().join(sub)).unwrap();
        }
        let volume =
            |v: &Volume, path: String| nifti::write(&folder.path().join(path), v, Datatype::F32).unwrap();
        volume(&image(i), format!("images/{name}_0000.nii.gz"));
        volume(&changed(annotation(i), 1, 9.0), format!("labels/{name}.nii.gz"));
    }
    let text = "annotation = \"labels/{subject}.nii.gz\"\n[[channels]]\nname = \"T1\"\n\
                file = \"images/{subject}_0000.nii.gz\"\n[[classes]]\nname = \"background\"\nvalues = [0]\n\
                [[classes]]\nname = \"lesion\"\nvalues = [1, 2, 4, 9]\n";
    fs::write(folder.path().join("cohort.toml"), text).unwrap();
    let cohort = cohort::discover(folder.path()).unwrap();
    assert_eq!((cohort.channels.len(), cohort.subjects.len(), cohort.labels.class_count()), (1, 2, 2));
    assert!(folder.check().findings.is_empty(), "{:#?}", folder.check().findings);

    fs::write(folder.path().join("cohort.toml"), text.replace("[[channels]]", "[[chanels]]")).unwrap();
    let error = cohort::discover(folder.path()).unwrap_err().to_string();
    assert!(error.contains("cohort.toml: line 2") && error.contains("`channels`?"), "{error}");
}

/// The real subjects stay where they are; the test runs where they are at hand.
#[test]
fn real_subjects_have_no_faults() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/brats2021");
    let root = std::env::var_os("SYNTHMR_REAL_DATA").map_or(beside, PathBuf::from);
    if !root.is_dir() {
        println!("no real subjects at hand: left out");
        return;
    }
    let report = cohort::check(&root).unwrap();
    assert_eq!(report.fault_count(), 0, "{:#?}", report.findings);
    assert!(report.subjects >= 10);
}
