//! Inputs from which no report is made.

use synthmr_core::Digest;
use synthmr_core::records::SCHEMA;
use synthmr_report::{ReportError, ReportInputs, render};

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
