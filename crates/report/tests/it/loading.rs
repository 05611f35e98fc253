//! Reading stores, runs and evaluations from disk.

use std::fs;

use synthmr_core::files;
use synthmr_report::{
    AuditInput, EvaluationInput, RealismInput, ReportError, ReportInputs, RunInput, StoreInput, render,
};

use crate::fixture;

#[test]
fn what_steps_write_is_what_the_report_reads() {
    let folder = tempfile::tempdir().unwrap();
    let study = fixture::study();
    let real = study.real.as_ref().unwrap();
    let store = folder.path().join("ph.store");
    files::create_folder(&store).unwrap();
    files::write_json(&store.join("manifest.json"), &real.manifest).unwrap();
    let loaded = StoreInput::load(&store).unwrap();
    assert_eq!((loaded.name.as_str(), loaded.sheet.is_none()), ("ph.store", true));
    let sheet = real.sheet.as_ref().unwrap();
    files::write_json(&store.join("sheet.json"), &sheet.record).unwrap();
    files::write(&store.join("sheet.png"), &sheet.png).unwrap();
    let loaded = StoreInput::load(&store).unwrap();
    assert_eq!(loaded.manifest, real.manifest);
    assert_eq!(loaded.sheet.as_ref().unwrap().png, sheet.png);

    let run = folder.path().join("gen");
    files::create_folder(&run.join("samples")).unwrap();
    files::write_json(&run.join("run.json"), &study.runs[0].record).unwrap();
    let lines = study.runs[0].ticks.iter().map(|tick| serde_json::to_string(tick).unwrap() + "\n");
    files::write(&run.join("events.jsonl"), lines.collect::<String>().as_bytes()).unwrap();
    files::write(&run.join("samples").join("000800.png"), b"old").unwrap();
    let newest = fixture::picture(1, 5, 2);
    files::write(&run.join("samples").join("001600.png"), &newest).unwrap();
    let generator = RunInput::load(&run).unwrap();
    assert_eq!(generator.record, study.runs[0].record);
    assert_eq!(generator.ticks.len(), study.runs[0].ticks.len());
    assert!(generator.ticks[700].values["loss_generator"].is_nan());
    assert_eq!(generator.samples.as_deref(), Some(&newest[..]));

    let eval = folder.path().join("eval.json");
    files::write_json(&eval, &study.evaluations[0].record).unwrap();
    let evaluation = EvaluationInput::load("synthetic", &eval).unwrap();
    assert_eq!(evaluation.record, study.evaluations[0].record);

    let path = folder.path().join("audit.json");
    let mut record = study.audit.clone().unwrap().record;
    record.real.digest = loaded.digest.clone();
    files::write_json(&path, &record).unwrap();
    let audit = AuditInput::load(&path).unwrap();
    assert_eq!(audit.record, record);

    let path = folder.path().join("realism.json");
    let mut record = study.realism[0].record.clone();
    record.real.digest = loaded.digest.clone();
    files::write_json(&path, &record).unwrap();
    let realism = RealismInput::load(Some("synthetic"), &path).unwrap();
    assert_eq!(realism.record, record);
    assert_eq!(realism.file, path.to_str().unwrap(), "a message says which of several realism.json");

    let html = render(&ReportInputs {
        title: "Loaded".into(),
        real: Some(loaded),
        synthetic: None,
        runs: vec![generator],
        evaluations: vec![evaluation],
        comparisons: Vec::new(),
        realism: vec![realism],
        audit: Some(audit),
    });
    let html = html.unwrap();
    let place = folder.path().to_str().unwrap();
    assert!(!html.contains(place), "the page says where the files lie");
}

#[test]
fn a_future_schema_is_named_before_its_unknown_fields() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("eval.json");
    files::write(&path, b"{\"schema\": 9, \"a_new_field\": 1}").unwrap();
    let error = EvaluationInput::load("real", &path).unwrap_err();
    assert!(matches!(error, ReportError::Schema { .. }), "{error}");
    assert!(error.to_string().contains("eval.json"), "{error}");

    files::write(&path, b"{\"schema\": 1,\n\"a_new_field\": 1}").unwrap();
    let message = EvaluationInput::load("real", &path).unwrap_err().to_string();
    assert!(message.contains("eval.json") && message.contains("line 2"), "{message}");
}

#[test]
fn a_run_that_has_just_begun_has_no_ticks() {
    let folder = tempfile::tempdir().unwrap();
    files::write_json(&folder.path().join("run.json"), &fixture::study().runs[0].record).unwrap();
    let run = RunInput::load(folder.path()).unwrap();
    assert!(run.ticks.is_empty() && run.samples.is_none());
}

#[test]
fn missing_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let message = StoreInput::load(folder.path()).unwrap_err().to_string();
    assert!(message.contains("manifest.json"), "{message}");
    let store = folder.path();
    let study = fixture::study();
    let real = study.real.as_ref().unwrap();
    files::write_json(&store.join("manifest.json"), &real.manifest).unwrap();
    files::write_json(&store.join("sheet.json"), &real.sheet.as_ref().unwrap().record).unwrap();
    let message = StoreInput::load(store).unwrap_err().to_string();
    assert!(message.contains("sheet.png"), "{message}");
    fs::write(store.join("sheet.json"), "{\"schema\": 1}").unwrap();
    assert!(StoreInput::load(store).is_err());
}
