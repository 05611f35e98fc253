//! The phantom cohort from outside: repeatable, extensible, as alike as people are, with tumours in the brain.

use std::fs;
use std::ops::ControlFlow;

use synthmr_data::cohort;
use synthmr_data::nifti::{self, Volume};
use synthmr_data::phantom::{self, DEFAULT_SIZE, PhantomError, PhantomOptions};
use synthmr_data::prepare::{Preparation, PreparedSubject, Recipe};

#[test]
fn a_subject_depends_on_seed_and_number_alone() {
    let third = phantom::subject(7, 2, 40).unwrap();
    assert_eq!(third, phantom::subject(7, 2, 40).unwrap());
    assert_ne!(third, phantom::subject(8, 2, 40).unwrap());
    assert_ne!(third, phantom::subject(7, 3, 40).unwrap());

    let folder = tempfile::tempdir().unwrap();
    for subjects in [2, 3] {
        let options = PhantomOptions { subjects, seed: 7, size: 40 };
        phantom::generate(
            &folder.path().join(subjects.to_string()),
            &options,
            &|_| ControlFlow::Continue(()),
        )
        .unwrap();
    }
    let file = |cohort: &str, name: &str| folder.path().join(cohort).join(name);
    for suffix in ["t1", "t1ce", "t2", "flair", "seg"] {
        let name = format!("Phantom_0002/Phantom_0002_{suffix}.nii.gz");
        assert_eq!(fs::read(file("2", &name)).unwrap(), fs::read(file("3", &name)).unwrap(), "{name}");
    }
    let cohort = cohort::discover(&folder.path().join("3")).unwrap();
    assert_eq!(cohort.channels, ["T1", "T1ce", "T2", "FLAIR"]);
    assert_eq!(cohort.subjects.len(), 3);
    for (path, image) in cohort.subjects[2].images.iter().zip(&third.images) {
        assert_eq!(&nifti::read(path).unwrap(), image);
    }
    assert_eq!(nifti::read(&cohort.subjects[2].annotation).unwrap(), third.annotation);
}

/// True when all 26 neighbours of voxel `i` are inside the brain.
fn is_surrounded(image: &Volume, i: usize) -> bool {
    let [nx, ny, nz] = image.shape;
    let (x, y, z) = (i % nx, i / nx % ny, i / nx / ny);
    if [x, y, z].contains(&0) || x + 1 == nx || y + 1 == ny || z + 1 == nz {
        return false;
    }
    let steps = (0..27).map(|n| (n % 3, n / 3 % 3, n / 9));
    steps
        .into_iter()
        .all(|(dx, dy, dz)| image.voxels[(x + dx - 1) + nx * ((y + dy - 1) + ny * (z + dz - 1))] > 0.0)
}

#[test]
fn tumours_lie_inside_the_brain_and_have_their_parts() {
    let mut with_enhancement = 0;
    for index in 0..10 {
        let subject = phantom::subject(3, index, 80).unwrap();
        let annotation = &subject.annotation.voxels;
        let voxels = |label: f32| annotation.iter().filter(|&&v| v == label).count();
        let (core, oedema, rim) = (voxels(1.0), voxels(2.0), voxels(4.0));
        assert_eq!(core + oedema + rim + voxels(0.0), annotation.len());
        // Voxels of 27 mm^3: a core of at least 2 ml, oedema of 5.
        assert!(core > 75 && oedema > 185, "subject {index}: {core} {oedema}");
        assert!(rim == 0 || rim > 185, "subject {index}: {rim}");
        with_enhancement += usize::from(rim > 0);
        let outside = (0..annotation.len())
            .filter(|&i| annotation[i] > 0.0)
            .filter(|&i| !is_surrounded(&subject.images[0], i))
            .count();
        assert_eq!(outside, 0, "subject {index}: tumour at the edge");
        for image in &subject.images {
            let same =
                image.voxels.iter().zip(&subject.images[0].voxels).all(|(a, b)| (*a > 0.0) == (*b > 0.0));
            assert!(same, "the contrasts show the same brain");
        }
    }
    assert_eq!(with_enhancement, 8);
}

/// Pearson's correlation over all contrasts, of the pixels inside both brains.
fn correlation(a: &[u8], b: &[u8], pixels: usize) -> f64 {
    let inside = |image: &[u8], p: usize| image.iter().skip(p).step_by(pixels).any(|&v| v > 0);
    let pairs: Vec<(f64, f64)> = (0..a.len())
        .filter(|i| inside(a, i % pixels) && inside(b, i % pixels))
        .map(|i| (f64::from(a[i]), f64::from(b[i])))
        .collect();
    let n = pairs.len() as f64;
    let mean = pairs.iter().fold((0.0, 0.0), |m, p| (m.0 + p.0 / n, m.1 + p.1 / n));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        let (x, y) = (x - mean.0, y - mean.1);
        (xy, xx, yy) = (xy + x * y, xx + x * x, yy + y * y);
    }
    xy / (xx * yy).sqrt()
}

/// DESIGN: different subjects correlate 0.8-0.9 inside the brain, same slice, over all contrasts.
#[test]
fn subjects_are_as_alike_as_registered_people() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ph");
    phantom::generate(&path, &PhantomOptions { subjects: 5, seed: 7, size: DEFAULT_SIZE }, &|_| {
        ControlFlow::Continue(())
    })
    .unwrap();
    let cohort = cohort::discover(&path).unwrap();
    let preparation = Preparation::new(Recipe::Robust, 64).unwrap();
    let prepared: Vec<PreparedSubject> =
        cohort.subjects.iter().map(|subject| preparation.subject(&cohort, subject).unwrap()).collect();
    assert!(prepared.iter().all(|subject| subject.slices.len() >= 25));
    let (pixels, bytes) = (64 * 64, 4 * 64 * 64);
    let mut found = Vec::new();
    for (i, a) in prepared.iter().enumerate() {
        for b in &prepared[i + 1..] {
            for (n, slice) in a.slices.iter().enumerate() {
                if let Some(m) = b.slices.iter().position(|other| other == slice) {
                    let (a, b) = (&a.images[n * bytes..][..bytes], &b.images[m * bytes..][..bytes]);
                    found.push(correlation(a, b, pixels));
                }
            }
        }
    }
    let mean = found.iter().sum::<f64>() / found.len() as f64;
    assert!((0.80..=0.90).contains(&mean), "mean correlation {mean:.3} of {} pairs", found.len());
}

#[test]
fn rejects_cohorts_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let generate = |subjects, size| {
        phantom::generate(&folder.path().join("x"), &PhantomOptions { subjects, seed: 1, size }, &|_| {
            ControlFlow::Continue(())
        })
    };
    assert!(matches!(generate(0, 64), Err(PhantomError::Subjects { found: 0 })));
    assert!(matches!(generate(10_000, 64), Err(PhantomError::Subjects { .. })));
    assert!(matches!(generate(1, 31), Err(PhantomError::Size { found: 31 })));
    assert!(matches!(generate(1, 481), Err(PhantomError::Size { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::create_dir(folder.path().join("x")).unwrap();
    assert!(matches!(generate(1, 32), Err(PhantomError::File(_))));
}
