//! Learned embeddings as a measure of the audit.

use synthmr_audit::detectors::{Detector, Learned};
use synthmr_audit::embedding::EmbeddingConfig;
use synthmr_audit::slices::Reference;
use synthmr_core::Split;

use crate::cohort::Fixture;

#[test]
fn a_network_says_nothing_of_subjects_that_it_learnt_from_and_finds_copies_of_all() {
    let fixture = Fixture::new();
    let reference = Reference::new(&fixture.store);
    let config =
        EmbeddingConfig { images: 1024, batch: 64, width: 8, stages: 2, ..EmbeddingConfig::default() };
    let folder = tempfile::tempdir().unwrap();
    let new = |stop: &dyn Fn() -> bool| Learned::new(&reference, &config, folder.path(), stop);
    let learned = new(&|| false).unwrap();
    // What was trained is there, so nobody is asked.
    let again = new(&|| panic!("trained twice")).unwrap();

    let subjects = [reference.of_part(Split::Train), reference.of_part(Split::Val)].concat();
    let at = |&subject: &usize| reference.positions(subject).start + reference.subjects[subject].len / 2;
    let positions: Vec<usize> = subjects.iter().map(at).collect();
    let slices = reference.read(&positions).unwrap();
    let own: Vec<Option<usize>> = subjects.iter().map(|&subject| Some(subject)).collect();
    let found = learned.search(&slices, &own).unwrap();
    assert_eq!(found, again.search(&slices, &own).unwrap());
    assert_eq!((found.len(), learned.measures().len()), (1, 1));
    for (query, &subject) in subjects.iter().enumerate() {
        let matched = found[0][query].train.unwrap();
        assert_ne!(reference.subject_of(matched.position), subject, "a subject is no match for itself");
    }
    // A copy is no query of a subject: both compare it, and name its source.
    let train = reference.of_part(Split::Train).len();
    let copies = learned.search(&slices, &vec![None; own.len()]).unwrap().remove(0);
    for (found, &subject) in copies.iter().zip(&subjects[..train]) {
        let matched = found.train.unwrap();
        assert_eq!(reference.subject_of(matched.position), subject);
        assert!(matched.similarity > 0.999, "{}", matched.similarity);
    }
    // Two halves that exchange a subject are two different networks: a null query hears the one that has not seen it.
    let without: Vec<f64> = found[0].iter().filter_map(|found| Some(found.train?.similarity)).collect();
    let with: Vec<f64> = copies.iter().filter_map(|found| Some(found.held_out?.similarity)).collect();
    assert!(without.len() == own.len() && with.len() == own.len());
}
