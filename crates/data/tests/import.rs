//! Import from outside: against numpy's golden values, the same bytes on any number of threads, no names in
//! what is shared, and faulty volumes named.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use synthmr_core::records::{ContactSheet, Origin};
use synthmr_core::{Digest, Split};
use synthmr_data::cohort::{self, Cohort};
use synthmr_data::import::{ImportError, ImportOptions, ImportSummary, PRIVATE_FILE, import};
use synthmr_data::nifti::{self, Datatype, Volume};
use synthmr_data::phantom::{self, PhantomOptions};
use synthmr_data::prepare::{Preparation, Recipe};
use synthmr_data::split::SplitRequest;
use synthmr_data::store::SliceStore;

fn options(recipe: Recipe, resolution: usize, split: &str) -> ImportOptions {
    ImportOptions {
        preparation: Preparation::new(recipe, resolution).unwrap(),
        split: SplitRequest::parse(split).unwrap(),
        seed: 7,
        pseudonym_key: 99,
    }
}

fn small_phantom(folder: &Path, subjects: usize) -> Cohort {
    let path = folder.join("ph");
    phantom::generate(&path, &PhantomOptions { subjects, seed: 7, size: 32 }, &|_| {}).unwrap();
    cohort::discover(&path).unwrap()
}

fn import_on(threads: usize, cohort: &Cohort, out: &Path) -> ImportSummary {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let options = options(Recipe::Robust, 16, "train=0.6,val=0.1,control=0.1,test=0.2");
    pool.install(|| import(cohort, out, &options, &|_| {})).unwrap()
}

#[derive(Deserialize)]
struct Golden {
    resolution: usize,
    recipes: std::collections::BTreeMap<String, GoldenSlices>,
}

#[derive(Deserialize)]
struct GoldenSlices {
    slices: Vec<i32>,
    images: String,
    labels: String,
    spacing_mm: [f64; 3],
}

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |b: u8| (b as char).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Golden values: `tools/golden/prepare.py`. Compared exactly: both sides do the same arithmetic in f64.
#[test]
fn preparation_is_that_of_nibabel_and_numpy() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/prepare");
    let golden: Golden = serde_json::from_slice(&fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let cohort = cohort::discover(&folder).unwrap();
    assert_eq!(golden.recipes.len(), 2);
    for (recipe, expected) in golden.recipes {
        let preparation = Preparation::new(recipe.parse().unwrap(), golden.resolution).unwrap();
        let found = preparation.subject(&cohort, &cohort.subjects[0]).unwrap();
        assert_eq!(found.slices, expected.slices, "{recipe}");
        assert_eq!(found.images, from_hex(&expected.images), "{recipe}");
        assert_eq!(found.labels, from_hex(&expected.labels), "{recipe}");
        for (found, expected) in std::iter::zip(found.spacing_mm, expected.spacing_mm) {
            assert!((found - expected).abs() < 1e-6, "{recipe}");
        }
    }
}

#[test]
fn the_bytes_do_not_depend_on_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let cohort = small_phantom(folder.path(), 5);
    let summaries =
        [1, 3].map(|threads| import_on(threads, &cohort, &folder.path().join(format!("{threads}.store"))));
    assert_eq!(summaries[0], summaries[1]);
    for file in ["manifest.json", "sheet.json", "sheet.png", PRIVATE_FILE] {
        let [a, b] =
            ["1.store", "3.store"].map(|store| fs::read(folder.path().join(store).join(file)).unwrap());
        assert_eq!(a, b, "{file}");
    }
}

#[test]
fn a_store_describes_its_cohort_without_names() {
    let folder = tempfile::tempdir().unwrap();
    let cohort = small_phantom(folder.path(), 6);
    let out = folder.path().join("ph.store");
    let summary = import_on(2, &cohort, &out);
    let store = SliceStore::open(&out).unwrap();
    store.verify().unwrap();
    assert_eq!(store.manifest(), &summary.manifest);
    assert_eq!(store.manifest().channels, cohort.channels);
    let Origin::Cohort { subjects, split, preparation } = &store.manifest().origin else {
        panic!("not real")
    };
    assert_eq!(subjects.len(), 6);
    assert_eq!(preparation.recipe, "robust");
    assert_eq!(split.request, "train=0.6,val=0.1,control=0.1,test=0.2");
    // 240 mm over 32 voxels is 7.5 mm; 32 voxels become 16 pixels.
    assert_eq!(subjects[0].spacing_mm, [15.0, 15.0, 7.5]);
    for part in Split::ALL {
        let slices = store.select(Some(part)).unwrap();
        assert_eq!(slices.len(), summary.parts[&part].slices);
        assert!(slices.iter().all(|&i| subjects[store.subject(i as usize).unwrap() as usize].split == part));
    }
    assert!((summary.class_share.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    assert!(summary.without_slices.is_empty());

    let private = fs::read_to_string(out.join(PRIVATE_FILE)).unwrap();
    for (subject, record) in cohort.subjects.iter().zip(subjects) {
        assert!(private.contains(subject.id.as_str()) && private.contains(record.pseudonym.as_str()));
        assert_eq!(record.pseudonym, subject.id.pseudonym(99));
    }
    for file in ["manifest.json", "sheet.json", "shard-00000.safetensors", "sheet.png"] {
        let bytes = fs::read(out.join(file)).unwrap();
        assert!(!bytes.windows(7).any(|window| window.eq_ignore_ascii_case(b"phantom")), "a name in {file}");
    }
    let sheet: ContactSheet = serde_json::from_slice(&fs::read(out.join("sheet.json")).unwrap()).unwrap();
    assert!(sheet.inside && sheet.rows == 8 && sheet.columns.len() == 5);
    #[cfg(unix)]
    for file in [PRIVATE_FILE, "sheet.png"] {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(out.join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
}

#[test]
fn another_seed_or_key_changes_what_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let cohort = small_phantom(folder.path(), 5);
    let run = |name: &str, change: fn(&mut ImportOptions)| {
        let mut options = options(Recipe::Paper, 16, "train=0.6,test=0.4");
        change(&mut options);
        import(&cohort, &folder.path().join(name), &options, &|_| {}).unwrap().manifest
    };
    let (first, key) = (run("a", |_| {}), run("b", |o| o.pseudonym_key = 1));
    assert_eq!(first.shards, key.shards);
    let pseudonyms = |origin: &Origin| -> Vec<Digest> {
        let Origin::Cohort { subjects, .. } = origin else { panic!("not real") };
        subjects.iter().map(|subject| subject.pseudonym.clone()).collect()
    };
    assert_ne!(pseudonyms(&first.origin), pseudonyms(&key.origin));
}

/// A subject whose T2 or annotation was changed, and what importing it says.
fn faulty(change: impl Fn(&mut Volume), suffix: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let cohort = small_phantom(folder.path(), 2);
    let path = folder.path().join(format!("ph/Phantom_0002/Phantom_0002_{suffix}.nii.gz"));
    let mut volume = nifti::read(&path).unwrap();
    change(&mut volume);
    nifti::write(&path, &volume, Datatype::F32).unwrap();
    let out = folder.path().join("out.store");
    let error =
        import(&cohort, &out, &options(Recipe::Robust, 16, "train=0.5,test=0.5"), &|_| {}).unwrap_err();
    assert!(!out.exists());
    assert!(matches!(error, ImportError::Prepare(_)), "{error}");
    let message = error.to_string();
    let names_both =
        message.contains("subject Phantom_0002") && message.contains(&format!("_{suffix}.nii.gz"));
    assert!(names_both && message.contains("hint:"), "{message}");
    message
}

#[test]
fn rejects_faulty_volumes_by_subject_and_file() {
    assert!(faulty(|v| v.voxels[5] = f32::NAN, "t2").contains("found 1 that are NaN"));
    assert!(faulty(|v| v.voxels[5] = f32::NEG_INFINITY, "t2").contains("NaN or infinite"));
    assert!(faulty(|v| v.voxels.fill(0.0), "t2").contains("found none"));
    assert!(faulty(|v| v.voxels.fill(-3.0), "t2").contains("positive intensities"));
    assert!(faulty(|v| v.voxels[9] = 0.9999, "seg").contains("[0.9999] (1 voxels)"));
    assert!(faulty(|v| v.voxels[9] = -1.0, "seg").contains("[0, 1, 2, 3, 4]"));
    assert!(faulty(|v| v.voxels[9] = 1e30, "seg").contains("among"));
    let cut = |v: &mut Volume| {
        v.shape[2] -= 1;
        v.voxels.truncate(v.shape.iter().product());
    };
    assert!(faulty(cut, "seg").contains("found [32, 32, 20]"));
    assert!(faulty(|v| v.affine[0][3] += 1.0, "seg").contains("found a corner 1.000 mm away"));
}

#[test]
fn rejects_resolutions_and_recipes_that_do_not_exist() {
    for resolution in [0, 8, 100, 2048] {
        let message = Preparation::new(Recipe::Robust, resolution).unwrap_err().to_string();
        assert!(message.contains(&format!("found {resolution}")) && message.contains("hint:"), "{message}");
    }
    assert!("papr".parse::<Recipe>().unwrap_err().to_string().contains("\"papr\""));
}
