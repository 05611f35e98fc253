//! Inputs from which no report is made.

use synthmr_core::Digest;
use synthmr_core::records::SCHEMA;
use synthmr_report::{RealismInput, ReportError, ReportInputs, render};

use crate::fixture;

fn refused(change: impl FnOnce(&mut ReportInputs)) -> ReportError {
    let mut inputs = fixture::study();
    change(&mut inputs);
    render(&inputs).unwrap_err()
}

#[test]
fn records_from_the_future_are_refused_by_name() {
    let future = SCHEMA + 1;
    let cases: [(ReportError, &str); 4] = [
        (refused(|i| i.real.as_mut().unwrap().manifest.schema = future), "ph.store"),
        (
            refused(|i| i.synthetic.as_mut().unwrap().sheet.as_mut().unwrap().record.schema = future),
            "contact sheet of \"syn.store\"",
        ),
        (refused(|i| i.runs[1].record.schema = future), "seg-real"),
        (refused(|i| i.evaluations[1].record.schema = future), "both"),
    ];
    for (error, name) in cases {
        assert!(matches!(error, ReportError::Schema { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(name) && message.contains("found 2"), "{message}");
    }
}

#[test]
fn an_evaluation_of_another_split_is_refused_with_both_digests() {
    let other = Digest::of(b"another split");
    let error = refused(|i| i.evaluations[1].record.split_digest = other.clone());
    let message = error.to_string();
    for part in ["\"both\"", "ph.store", other.as_str(), Digest::of(b"split").as_str()] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    // Without a store, the evaluations must still agree with each other.
    let error = refused(|i| {
        i.real = None;
        i.evaluations[2].record.split_digest = other.clone();
    });
    assert!(matches!(error, ReportError::SplitDisagrees { .. }), "{error}");
}

#[test]
fn stores_in_each_others_place_are_refused() {
    let error = refused(|i| std::mem::swap(&mut i.real, &mut i.synthetic));
    assert!(matches!(error, ReportError::WrongOrigin { given: "real", .. }), "{error}");
}

#[test]
fn two_evaluations_of_one_name_are_refused() {
    let error = refused(|i| i.evaluations[0].condition = "both".into());
    assert!(matches!(error, ReportError::DuplicateCondition { .. }), "{error}");
}

#[test]
fn pictures_that_are_not_what_their_record_says_are_refused() {
    let sheet = |change: fn(&mut synthmr_report::SheetInput)| {
        refused(|i| change(i.real.as_mut().unwrap().sheet.as_mut().unwrap()))
    };
    let errors = [
        sheet(|s| s.png = b"<svg onload=x>".to_vec()),
        sheet(|s| s.record.rows = 400),
        sheet(|s| s.record.columns.clear()),
        sheet(|s| s.record.cell_width = usize::MAX),
        refused(|i| i.runs[0].samples = Some(vec![])),
    ];
    for error in errors {
        assert!(matches!(error, ReportError::Picture { .. }), "{error}");
    }
}

#[test]
fn an_audit_of_another_set_is_refused() {
    for (other, named) in [("real", "ph.store"), ("synthetic", "syn.store")] {
        let error = refused(|i| {
            let record = &mut i.audit.as_mut().unwrap().record;
            let side = if other == "real" { &mut record.real } else { &mut record.synthetic };
            (side.name, side.digest) = ("other.store".into(), Digest::of(b"other"));
        });
        let message = error.to_string();
        assert!(matches!(error, ReportError::AuditOfAnother { .. }), "{message}");
        assert!(message.contains("audit of other.store") && message.contains(named), "{message}");
    }
}

/// Puts a second measurement beside the fixture's, changed.
fn add(inputs: &mut ReportInputs, name: &str, change: impl FnOnce(&mut RealismInput)) {
    let mut realism = fixture::realism(name);
    realism.file = format!("{name}/realism.json");
    change(&mut realism);
    inputs.realism.push(realism);
}

fn says(error: &ReportError, parts: &[&str]) {
    let message = error.to_string();
    for part in parts.iter().chain(&["\nhint: "]) {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
}

#[test]
fn realism_of_a_condition_that_nobody_evaluated_is_refused() {
    let error = refused(|i| add(i, "syntetic", |_| ()));
    assert!(matches!(error, ReportError::UnknownCondition { .. }), "{error}");
    says(&error, &["syntetic/realism.json", "\"syntetic\"", "(known: \"synthetic\", \"both\", \"real\")"]);
    let error = refused(|i| i.evaluations.clear());
    says(&error, &["synthetic.json", "(known: none)"]);
    // Without a name it belongs to no condition.
    let mut inputs = fixture::study();
    inputs.evaluations.clear();
    inputs.realism[0].name = None;
    render(&inputs).unwrap();
}

#[test]
fn realism_of_one_condition_by_one_network_counts_once() {
    let error = refused(|i| add(i, "synthetic", |_| ()));
    assert!(matches!(error, ReportError::DuplicateRealism { .. }), "{error}");
    let digest = Digest::of(b"random-conv");
    let named = ["synthetic.json", "synthetic/realism.json", "\"synthetic\"", "random-conv", digest.short()];
    says(&error, &named);
    // Other weights are another network, and sets without a condition may be many.
    let mut inputs = fixture::study();
    add(&mut inputs, "synthetic", |other| other.record.features.digest = Digest::of(b"other weights"));
    add(&mut inputs, "a", |other| other.name = None);
    add(&mut inputs, "b", |other| other.name = None);
    render(&inputs).unwrap();
}

#[test]
fn realism_beside_different_cohorts_is_refused() {
    let elsewhere = |realism: &mut RealismInput| {
        realism.record.real.digest = Digest::of(b"other");
    };
    let (ours, theirs) = (Digest::of(b"ph.store"), Digest::of(b"other"));
    let digests = [ours.short(), theirs.short()];
    let error = refused(|i| elsewhere(&mut i.realism[0]));
    assert!(matches!(error, ReportError::RealismBesideAnother { .. }), "{error}");
    says(&error, &["synthetic.json", "but ph.store is", digests[0], digests[1]]);
    let error = refused(|i| {
        i.real = None;
        i.audit = None;
        add(i, "both", elsewhere);
    });
    assert!(matches!(error, ReportError::RealismOfTwoCohorts { .. }), "{error}");
    says(&error, &["synthetic.json", "both/realism.json", digests[0], digests[1]]);
}

#[test]
fn realism_of_another_set_needs_a_name() {
    let another = |realism: &mut RealismInput| {
        realism.record.synthetic.digest = Digest::of(b"other");
    };
    let error = refused(|i| {
        another(&mut i.realism[0]);
        i.realism[0].name = None;
    });
    assert!(matches!(error, ReportError::RealismOfAnother { .. }), "{error}");
    let (ours, theirs) = (Digest::of(b"syn.store"), Digest::of(b"other"));
    says(&error, &["synthetic.json", "syn.store is", ours.short(), theirs.short()]);
    let mut inputs = fixture::study();
    another(&mut inputs.realism[0]);
    render(&inputs).unwrap();
}
