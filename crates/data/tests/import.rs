//! Import from outside: against numpy's golden values, the same bytes on any number of threads, no names in
//! what is shared, and faulty volumes named.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use synthmr_core::records::{ContactSheet, Origin};
use synthmr_core::{Digest, Split};
use synthmr_data::cohort::{self, Cohort};
use synthmr_data::import::{ImportError, ImportOptions, ImportSummary, PRIVATE_FILE, import};
use synthmr_data::nifti::{self, Datatype, Volume};
use synthmr_data::phantom::{self, PhantomOptions};
use synthmr_data::prepare::restore::{RestoreError, Restorer, SliceLabels};
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
    phantom::generate(&path, &PhantomOptions { subjects, seed: 7, size: 32 }, &|_| ControlFlow::Continue(()))
        .unwrap();
    cohort::discover(&path).unwrap()
}

fn import_on(threads: usize, cohort: &Cohort, out: &Path) -> ImportSummary {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let options = options(Recipe::Robust, 16, "train=0.6,val=0.1,control=0.1,test=0.2");
    pool.install(|| import(cohort, out, &options, &|_| ControlFlow::Continue(()))).unwrap()
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
        import(&cohort, &folder.path().join(name), &options, &|_| ControlFlow::Continue(())).unwrap().manifest
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
    let error = import(&cohort, &out, &options(Recipe::Robust, 16, "train=0.5,test=0.5"), &|_| {
        ControlFlow::Continue(())
    })
    .unwrap_err();
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
    assert!(faulty(|v| v.voxels[5] = f32::NAN, "t2").contains("found 1 voxels that are NaN"));
    assert!(faulty(|v| v.voxels[5] = f32::NEG_INFINITY, "t2").contains("NaN or infinite"));
    assert!(faulty(|v| v.voxels.fill(0.0), "t2").contains("found all voxels 0"));
    let negative = |v: &mut Volume| v.voxels.iter_mut().for_each(|voxel| *voxel = -3.0 - *voxel);
    assert!(faulty(negative, "t2").contains("positive intensities"));
    assert!(faulty(|v| v.voxels[5] = 1e30, "t2").contains("values of one order"));
    assert!(faulty(|v| v.voxels[9] = 0.9999, "seg").contains("[0.9999] (1 voxels)"));
    assert!(faulty(|v| v.voxels[9] = -1.0, "seg").contains("[0, 1, 2, 3, 4]"));
    assert!(faulty(|v| v.voxels[9] = 1e30, "seg").contains("among"));
    let cut = |v: &mut Volume| {
        v.shape[2] -= 1;
        v.voxels.truncate(v.shape.iter().product());
    };
    assert!(faulty(cut, "seg").contains("Phantom_0002_t1.nii.gz, found [32, 32, 20]"));
    assert!(faulty(|v| v.affine[0][3] += 1.0, "seg").contains("moves voxels by up to 1.000 mm"));
}

#[test]
fn rejects_resolutions_and_recipes_that_do_not_exist() {
    for resolution in [0, 8, 100, 2048] {
        let message = Preparation::new(Recipe::Robust, resolution).unwrap_err().to_string();
        assert!(message.contains(&format!("found {resolution}")) && message.contains("hint:"), "{message}");
    }
    assert!("papr".parse::<Recipe>().unwrap_err().to_string().contains("\"papr\""));
}

#[test]
fn one_patient_under_two_names_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cohort = small_phantom(folder.path(), 3);
    let path = |n: usize| folder.path().join(format!("ph/Phantom_000{n}/Phantom_000{n}_t2.nii.gz"));
    // The same values, stored in another way.
    let volume = nifti::read(&path(1)).unwrap().reorient("RAS".parse().unwrap());
    nifti::write(&path(3), &volume, Datatype::F32).unwrap();
    let out = folder.path().join("out.store");
    let options = options(Recipe::Robust, 16, "train=0.5,test=0.5");
    let message = import(&cohort, &out, &options, &|_| ControlFlow::Continue(())).unwrap_err().to_string();
    for part in
        ["subject Phantom_0003", "Phantom_0003_t2.nii.gz", "of subject Phantom_0001", "cross the split"]
    {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing of the store stays");
}

#[test]
fn guessed_orientations_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let cohort = small_phantom(folder.path(), 2);
    let options = options(Recipe::Robust, 16, "train=0.5,test=0.5");
    let quiet = import(&cohort, &folder.path().join("quiet.store"), &options, &|_| ControlFlow::Continue(()))
        .unwrap();
    assert_eq!(quiet.warnings, []);
    for subject in &cohort.subjects {
        for path in subject.images.iter().chain([&subject.annotation]) {
            let volume = nifti::read(path).unwrap();
            let plain = folder.path().join("plain.nii");
            nifti::write(&plain, &volume, Datatype::F32).unwrap();
            let mut bytes = fs::read(&plain).unwrap();
            bytes[252..256].fill(0);
            // The name says gzip; the reader looks at the bytes.
            fs::write(path, bytes).unwrap();
        }
    }
    let summary =
        import(&cohort, &folder.path().join("out.store"), &options, &|_| ControlFlow::Continue(())).unwrap();
    assert_eq!(summary.warnings.len(), 10, "{:#?}", summary.warnings);
    let first = summary.warnings[0].to_string();
    assert!(first.contains("Phantom_0001_t1.nii.gz") && first.contains("an orientation"), "{first}");
    let steps = |summary: &ImportSummary| match &summary.manifest.origin {
        Origin::Cohort { preparation, .. } => preparation.steps.join("\n"),
        Origin::Sampled(_) => panic!("not real"),
    };
    assert!(steps(&summary).contains("10 warnings") && !steps(&quiet).contains("warnings"));
}

#[test]
fn the_paper_recipe_says_which_contrast_decides() {
    let folder = tempfile::tempdir().unwrap();
    let mut cohort = small_phantom(folder.path(), 2);
    let options = options(Recipe::Paper, 16, "train=0.5,test=0.5");
    let run = |cohort: &Cohort, name: &str| {
        let summary =
            import(cohort, &folder.path().join(name), &options, &|_| ControlFlow::Continue(())).unwrap();
        let Origin::Cohort { preparation, .. } = summary.manifest.origin else { panic!("not real") };
        (preparation.steps.join("\n"), summary.warnings)
    };
    let (steps, warnings) = run(&cohort, "a.store");
    assert!(steps.contains("square's T1 pixels") && warnings.is_empty(), "{steps}");
    cohort.channels[0] = "MPRAGE".into();
    let (steps, warnings) = run(&cohort, "b.store");
    assert!(steps.contains("square's MPRAGE pixels"), "{steps}");
    assert!(warnings.len() == 1 && warnings[0].found.contains("MPRAGE was used instead"), "{warnings:?}");
}

/// Slices of the store's first subject, with their label maps.
fn first_subject(store: &SliceStore) -> (Digest, Vec<i32>, Vec<u8>) {
    let Origin::Cohort { subjects, .. } = &store.manifest().origin else { panic!("a synthetic set") };
    let slices: Vec<usize> = (0..store.len()).filter(|&i| store.subject(i) == Some(0)).collect();
    let labels = slices.iter().flat_map(|&i| store.label(i).to_vec()).collect();
    (subjects[0].pseudonym.clone(), slices.iter().map(|&i| store.slice(i)).collect(), labels)
}

/// Truth written as if it were a prediction must be the annotation, voxel by voxel, whatever the file's orientation.
#[test]
fn label_maps_return_to_the_grid_of_their_annotation() {
    let folder = tempfile::tempdir().unwrap();
    let cohort = small_phantom(folder.path(), 1);
    let path = cohort.subjects[0].annotation.clone();
    for codes in ["LPS", "RAS", "SAL", "PIR"] {
        for path in cohort.subjects[0].images.iter().chain([&path]) {
            let volume = nifti::read(path).unwrap().reorient(codes.parse().unwrap());
            nifti::write(path, &volume, Datatype::I16).unwrap();
        }
        let original = nifti::read(&path).unwrap();
        for resolution in [32, 16] {
            let out = folder.path().join(format!("{codes}{resolution}.store"));
            let options = options(Recipe::Robust, resolution, "train=1");
            import(&cohort, &out, &options, &|_| ControlFlow::Continue(())).unwrap();
            let store = SliceStore::open(&out).unwrap();
            let (subject, slices, labels) = first_subject(&store);
            let restorer = Restorer::new(&store, cohort.clone()).unwrap();
            let of = SliceLabels { subject: &subject, slices: &slices, truth: &labels, labels: &labels };
            let written = nifti::read(&restorer.write(&of, folder.path()).unwrap()).unwrap();
            assert_eq!((written.shape, written.affine), (original.shape, original.affine), "{codes}");
            let [written, original] = [written, original.clone()].map(|v| v.reorient("LPS".parse().unwrap()));
            let plane = original.shape[0] * original.shape[1];
            let planes = written.voxels.chunks(plane).zip(original.voxels.chunks(plane));
            for (z, (written, original)) in planes.enumerate() {
                let agree = written.iter().zip(original).filter(|(a, b)| a == b).count();
                match (slices.contains(&(z as i32)), resolution) {
                    (true, 32) => assert_eq!(agree, plane, "{codes}, slice {z}"),
                    // Reduced by 2: the commonest class of four pixels is that of most of them.
                    (true, _) => assert!(20 * agree > 19 * plane, "{codes}, slice {z}: {agree} of {plane}"),
                    (false, _) => assert!(written.iter().all(|&value| value == 0.0)),
                }
            }
        }
    }
}

#[test]
fn label_maps_of_another_cohort_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cohort = small_phantom(folder.path(), 1);
    let out = folder.path().join("a.store");
    import(&cohort, &out, &options(Recipe::Robust, 16, "train=1"), &|_| ControlFlow::Continue(())).unwrap();
    let store = SliceStore::open(&out).unwrap();
    let (subject, slices, labels) = first_subject(&store);
    let of = SliceLabels { subject: &subject, slices: &slices, truth: &labels, labels: &labels };

    let other = Digest::of(b"another");
    let restorer = Restorer::new(&store, cohort.clone()).unwrap();
    let stranger = restorer.write(&SliceLabels { subject: &other, ..of }, folder.path());
    assert!(matches!(stranger, Err(RestoreError::Subject { .. })));
    // One voxel block of the annotation becomes tumour.
    let path = &cohort.subjects[0].annotation;
    let mut volume = nifti::read(path).unwrap();
    let middle = volume.voxels.len() / 2;
    volume.voxels[middle..middle + 200].fill(2.0);
    nifti::write(path, &volume, Datatype::U8).unwrap();
    let error = restorer.write(&of, folder.path()).unwrap_err();
    assert!(matches!(error, RestoreError::Changed { .. }), "{error}");

    let empty = Cohort { subjects: Vec::new(), ..cohort.clone() };
    assert!(matches!(Restorer::new(&store, empty), Err(RestoreError::Subject { .. })));
    fs::remove_file(out.join(PRIVATE_FILE)).unwrap();
    let error = Restorer::new(&store, cohort).unwrap_err();
    assert!(matches!(error, RestoreError::Names { .. }), "{error}");
}
