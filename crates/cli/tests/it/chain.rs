use std::fs;
use std::path::Path;

use synthmr_core::Digest;
use synthmr_data::store::SliceStore;

use crate::{TINY_GENERATOR, TINY_SEGMENTER, make_store, run};

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Digests of all files below a folder, without the lock and what differs by the clock.
fn contents(folder: &Path) -> Vec<(String, Digest)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if !name.starts_with('.') && !name.starts_with("events") {
                files.push((name, Digest::of(&fs::read(&path).unwrap())));
            }
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

/// What the report says of a network that was tested on what it learnt from.
const LEARNT: &str = "was tested on images that it learnt from";

/// Pages with patients' images are for their owner; the others are as the umask of the test says, at most.
fn check_readers(path: &Path, most: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert!(mode & 0o600 == 0o600 && mode & !most & 0o077 == 0, "{}: {mode:o}", path.display());
    }
    #[cfg(not(unix))]
    let _ = (path, most);
}

#[test]
fn the_commands_of_the_main_job() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    make_store(folder);
    let (out, _) = run(folder, "check ph", 0);
    assert!(out.contains("6 subjects, 30 volumes: 0 faults"), "{out}");

    let generator = format!("train generator {TINY_GENERATOR} --data ph.store --kimg 0.032");
    let (out, err) = run(folder, &format!("{generator} --out gen --dry-run"), 0);
    assert!(out.contains("channel_max = 8") && out.contains("# time    about"), "{out}\n{err}");
    assert!(!folder.join("gen").exists());
    fs::write(folder.join("own.toml"), out).unwrap();
    run(folder, "train generator --config own.toml --precision f32 --data ph.store:train --out gen", 0);
    run(folder, &format!("{generator} --out again"), 0);
    assert_eq!(contents(&folder.join("gen")), contents(&folder.join("again")));

    run(folder, "sample gen --count 12 --seed 1 --out syn.store", 0);
    let (text, _) = run(folder, "sample gen --count 5 --first 7 --seed 1 --out part.store --json", 0);
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["generators"][0]["images"], 5);
    let open = |name: &str| SliceStore::open(&folder.join(name)).unwrap();
    let (whole, part) = (open("syn.store"), open("part.store"));
    for i in 0..5 {
        assert_eq!(part.image(i), whole.image(7 + i), "image {}", 7 + i);
        assert_eq!((part.label(i), part.slice(i)), (whole.label(7 + i), 7 + i as i32));
    }

    attack(folder);

    let segmenter = format!("train segmenter {TINY_SEGMENTER} --kimg 0.032");
    run(folder, &format!("{segmenter} --train ph.store*3 --train syn.store --out seg"), 0);
    let (out, _) = run(folder, "evaluate seg --data ph.store --split test --out eval.json", 0);
    assert!(out.contains("region WT") && out.contains("mean of classes"), "{out}");
    let evaluation = json(&folder.join("eval.json"));
    for section in ["NCR", "ED", "ET"].map(|name| &evaluation["classes"][name]) {
        assert!(section["dice"].get("mean").is_some() && section["hd95"].get("high").is_some());
    }
    assert!(evaluation["regions"]["WT"]["dice"].get("low").is_some());
    let subjects = evaluation["subjects"].as_array().unwrap().len();
    assert!(evaluation["mean"]["dice"].get("mean").is_some() && subjects > 0);
    let csv = fs::read_to_string(folder.join("eval.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 6 * subjects, "{csv}");
    let (_, err) = run(folder, "evaluate seg --data syn.store:val --out e.json", 2);
    assert!(err.contains("expected a cohort's store, found a synthetic set"), "{err}");

    run(folder, "evaluate seg --data ph.store --volumes volumes --cohort ph --out eval-v.json", 0);
    assert_eq!(json(&folder.join("eval-v.json"))["mean"], evaluation["mean"]);
    assert_eq!(fs::read_dir(folder.join("volumes")).unwrap().count(), subjects);
    let (_, err) = run(folder, "evaluate seg --data ph.store --volumes volumes --out e.json", 2);
    assert!(err.contains("--cohort"), "{err}");

    run(folder, &format!("{segmenter} --train syn.store --out seg-s"), 0);
    run(folder, "evaluate seg-s seg --mirror --data ph.store --out both.json", 0);
    assert_eq!(json(&folder.join("both.json"))["models"].as_array().unwrap().len(), 2);
    run(folder, "evaluate seg-s --data ph.store --out eval-s.json", 0);
    let (out, err) = run(folder, "compare both=eval.json synthetic=eval-s.json --out compare.json", 0);
    assert!(out.contains("minus both") && err.contains("few seeds of both (1), synthetic (1)"), "{out}{err}");
    let rows = json(&folder.join("compare.json"))["rows"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 7);
    assert_eq!((&rows[3]["name"], &rows[3]["difference"]["n"]), (&"mean".into(), &subjects.into()));
    let refused = [
        ("a=eval.json a=eval.json b=eval-s.json", "was given twice"),
        ("a=eval.json,eval.json b=eval-s.json,eval-s.json", "was tested in a fold before"),
    ];
    for (files, expected) in refused {
        let (_, err) = run(folder, &format!("compare {files} --out c.json"), 3);
        assert!(err.contains(expected), "{err}");
    }
    folds(folder);

    let report = "report --real ph.store --synthetic syn.store --run gen --run seg \
        --evaluation both=eval.json --out report.html";
    run(folder, report, 0);
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(
        page.contains("</html>") && page.contains("ph.store:train*3") && !page.contains(LEARNT),
        "{page}"
    );
    check_readers(&folder.join("report.html"), 0o600);
    run(folder, "report --synthetic syn.store --run gen --out public.html", 0);
    check_readers(&folder.join("public.html"), 0o644);

    // A source with a weight is still the part that it is: testing on it shows nothing. It is refused, and of a record from
    // elsewhere the page says so.
    let (_, err) = run(folder, "evaluate seg --data ph.store:train --out learnt.json", 2);
    assert!(err.contains("on which it was trained") && !folder.join("learnt.json").exists(), "{err}");
    let record = fs::read_to_string(folder.join("eval.json")).unwrap();
    fs::write(folder.join("learnt.json"), record.replace("\"split\": \"test\"", "\"split\": \"train\""))
        .unwrap();
    let (_, err) = run(folder, "report --real ph.store:test --evaluation both=learnt.json --out l.html", 0);
    assert!(err.contains("note: --real ph.store: the whole store is shown"), "{err}");
    assert!(fs::read_to_string(folder.join("l.html")).unwrap().contains(LEARNT));
}

/// Membership in `gen`, which learnt from three subjects of `ph.store`; one is in `val` and two are in `test`.
fn attack(folder: &Path) {
    let membership = "membership gen --real ph.store --slices 2 --latent-steps 2 --out m.json";
    let (out, err) = run(folder, &format!("{membership} --non-members val,test"), 0);
    assert!(
        out.contains("not resolvable, needs 100 others") && err.contains("3 subjects in a group"),
        "{out}{err}"
    );
    let record = json(&folder.join("m.json"));
    assert_eq!((&record["member_subjects"], &record["non_member_subjects"]), (&3.into(), &3.into()));
    assert_eq!(
        (&record["members"]["images"], &record["non_members"]["split"]),
        (&6.into(), &"val,test".into())
    );
    assert_eq!(record["attacks"].as_array().unwrap().len(), 4);
    assert!(
        record["attacks"][0]["auc"]["low"].is_number()
            && record["attacks"][0]["detections"][0]["found"].is_null()
    );
    for (line, code, expected) in [
        (format!("{membership} --non-members train"), 2, "gen was trained on this part"),
        (format!("{membership} --non-members control"), 2, "expected slices in the part `control`"),
        (format!("{membership} --non-members val"), 3, "expected 2 or more subjects, found 1"),
        (
            "membership gen --real syn.store --out n.json".to_owned(),
            3,
            "the store that gen was trained on (ph.store)",
        ),
    ] {
        let (_, err) = run(folder, &line, code);
        assert!(err.contains(expected) && err.contains("hint:"), "synthmr {line}\n{err}");
    }
    assert!(!folder.join("n.json").exists());
}

#[test]
fn two_replicas_train_a_generator_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    make_store(folder);
    let train =
        format!("train generator {TINY_GENERATOR} --set network.mbstd_group=2 --data ph.store --out gen");
    let (out, _) = run(folder, &format!("{train} --kimg 0.032 --devices cpu,cpu"), 0);
    assert!(out.contains("gen: trained"), "{out}");
    assert_eq!(json(&folder.join("gen/run.json"))["engine"]["device"], "cpu,cpu");
    // The checkpoint is that of any run.
    run(folder, "sample gen --count 2 --seed 1 --out syn.store", 0);
    let (_, err) = run(folder, &format!("{train} --kimg 0.032"), 2);
    assert!(err.contains("engine.device: \"cpu,cpu\" -> \"cpu\""), "{err}");
}

/// Evaluations of disjoint subjects are the folds of one seed.
fn folds(folder: &Path) {
    for (name, segmenter) in [("eval", "seg"), ("eval-s", "seg-s")] {
        run(folder, &format!("evaluate {segmenter} --data ph.store:val --out {name}-val.json"), 0);
        // In a cross-validation every fold is tested with a training of its own.
        let path = folder.join(format!("{name}-val.json"));
        let mut record = json(&path);
        record["models"][0]["digest"] = serde_json::to_value(Digest::of(name.as_bytes())).unwrap();
        fs::write(path, record.to_string()).unwrap();
    }
    let (_, err) = run(folder, "compare a=eval.json,eval-val.json b=eval-s.json --out c.json", 3);
    assert!(err.contains("expected 2 evaluations, one a fold, as in the first condition, found 1"), "{err}");
    let files = "a=eval.json,eval-val.json b=eval-s.json,eval-s-val.json";
    run(folder, &format!("compare {files} --out folds.json"), 0);
    let [folds, first] = ["folds.json", "compare.json"].map(|name| json(&folder.join(name)));
    let n = |record: &serde_json::Value| record["rows"][3]["value"]["n"].as_u64().unwrap();
    assert_eq!((folds["data"].as_array().unwrap().len(), first["data"].as_array().unwrap().len()), (2, 1));
    assert!(n(&folds) > n(&first));
}
