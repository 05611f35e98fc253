//! The audit as a data steward meets it: exit codes, what lies in the folder, who may read it.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::{run, spawn};

fn record(path: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(path.join("audit.json")).unwrap()).unwrap()
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The training part in the place of a synthetic set is a copy throughout; killed and typed again, it is found.
#[test]
fn an_exact_replay_is_found_after_a_kill_and_stays_inside() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run(folder, "phantom ph --subjects 14 --seed 7 --size 64", 0);
    let split = "train=0.5,val=0.1,control=0.2,test=0.2";
    run(folder, &format!("import ph --out ph.store --resolution 32 --split {split} --seed 7"), 0);
    let line = "audit --real ph.store --synthetic ph.store:train --out audit --planted 1";
    let mut child = spawn(folder, line);
    let work = folder.join("audit/work");
    while fs::read_dir(&work).map_or(0, Iterator::count) < 2 {
        assert!(child.try_wait().unwrap().is_none(), "ended before it could be killed");
        sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.join("audit/audit.json").exists());

    let (out, err) = run(folder, line, 1);
    assert!(out.contains("Copies found: ") && err.contains("confirmed copies, at most"), "{out}\n{err}");
    let found = record(&folder.join("audit"));
    assert_eq!((&found["flagged"], &found["confirmed"]), (&found["n"], &found["n"]), "{out}");
    assert_eq!(found["passed"], false);
    assert_eq!(found["patients"]["train_copied"], found["patients"]["train_n"]);
    let mut names: Vec<String> = fs::read_dir(folder.join("audit"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [".lock", "audit.json", "images.json", "pairs", "private.html", "public.html"]);

    let page = fs::read_to_string(folder.join("audit/public.html")).unwrap();
    let images = fs::read_to_string(folder.join("audit/images.json")).unwrap();
    let images: serde_json::Value = serde_json::from_str(&images).unwrap();
    let subject = images["images"][0]["subject"].as_str().unwrap();
    assert!(
        !page.contains("data:image") && !page.contains(&subject[..12]),
        "the public page is for the outside"
    );
    let inside = fs::read_to_string(folder.join("audit/private.html")).unwrap();
    assert!(inside.contains("data:image/png") && inside.contains(&subject[..12]));
    assert!(inside.contains("real patients&#39; pixels, do not pass on"));
    #[cfg(unix)]
    for private in ["images.json", "private.html", "pairs/pair-01.png", "pairs/pair-01.json"] {
        assert_eq!(mode(&folder.join("audit").join(private)), 0o600, "{private}");
    }

    run(folder, "report --real ph.store --audit audit/audit.json --out report.html", 0);
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("The memorisation audit did not pass"));

    // A cohort without control subjects cannot be audited, and says so.
    run(folder, "import ph --out no.store --resolution 32 --split train=0.7,val=0.3 --seed 7", 0);
    let (_, err) = run(folder, "audit --real no.store --synthetic ph.store:test --out none", 3);
    assert!(err.contains("expected at least 1 subjects in the part `control`, found 0"), "{err}");
    assert!(!folder.join("none").exists(), "a refusal leaves nothing behind");
    let line = "audit --real ph.store --synthetic ph.store:test --out none --filter kept.store";
    let (_, err) = run(folder, line, 2);
    assert!(err.contains("expected a synthetic set, found the store of a cohort"), "{err}");
    assert!(!folder.join("none").exists());
}
