use crate::run;

#[test]
fn the_verbs_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let (help, _) = run(folder.path(), "--help", 0);
    insta::assert_snapshot!(help);
}

#[test]
fn every_verb_has_help_with_examples_of_its_values() {
    let folder = tempfile::tempdir().unwrap();
    for (verb, expected) in [
        ("doctor", "--disk <DIR>"),
        ("check", "<COHORT>"),
        ("phantom", "--subjects <N>"),
        ("import", "train=0.6,val=0.1,control=0.1,test=0.2"),
        ("train generator", "--data <STORE[:part]>"),
        ("train segmenter", "--train <STORE[*weight]>"),
        ("sample", "--truncation <PSI>"),
        ("realism", "[default: efficientnet-lite0]"),
        ("evaluate", "[default: test]"),
        ("compare", "<NAME=FILE[,FILE...]>"),
        ("audit", "--filter <STORE>"),
        ("membership", "--non-members <PART,PART>"),
        ("report", "--evaluation <NAME=FILE>"),
        ("demo", "--quick"),
    ] {
        let (help, _) = run(folder.path(), &format!("{verb} --help"), 0);
        assert!(help.contains(expected), "{verb}:\n{help}");
    }
}

#[test]
fn the_doctor_reports_to_people_and_programs() {
    let folder = tempfile::tempdir().unwrap();
    let (text, _) = run(folder.path(), "doctor", 0);
    assert!(text.contains("libtorch   2.11.0") && text.contains("threads    1 "), "{text}");
    let (json, _) = run(folder.path(), "doctor --json", 0);
    let diagnosis: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(diagnosis["libtorch"], "2.11.0");
    assert!(diagnosis["disk_free_bytes"].as_u64().unwrap() > 0);
}

/// jemalloc says at exit what it ran with: our options must have reached it, for libtorch's sake.
#[cfg(target_os = "linux")]
#[test]
fn freed_memory_is_kept_for_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let output = crate::synthmr(folder.path()).env("MALLOC_CONF", "stats_print:true").arg("doctor").output();
    let text = String::from_utf8(output.unwrap().stderr).unwrap();
    for option in ["opt.dirty_decay_ms: -1", "opt.muzzy_decay_ms: -1", "opt.lg_extent_max_active_fit: 30"] {
        assert!(text.contains(option), "{option} is missing in\n{text}");
    }
}
