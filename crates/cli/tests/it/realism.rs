use std::fs;

use crate::{TINY_GENERATOR, TINY_SEGMENTER, make_store, run};

#[test]
fn realism_is_measured_cached_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    make_store(folder);
    run(folder, &format!("train generator {TINY_GENERATOR} --data ph.store:train --kimg 0.016 --out gen"), 0);
    run(folder, "sample gen --count 24 --seed 1 --out syn.store", 0);
    let realism = "realism --real ph.store:train --synthetic syn.store --draws 10 --features random-conv";
    let (out, err) = run(folder, &format!("{realism} --out realism.json"), 0);
    assert!(
        out.contains("frechet") && out.contains("held out: real images of other subjects (none)"),
        "{out}"
    );
    assert!(
        err.contains("warning: 3 real subjects") && err.contains("a network that learnt nothing"),
        "{err}"
    );
    let first = fs::read(folder.join("realism.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&first).unwrap();
    for result in record["results"].as_array().unwrap() {
        assert!(result["n_real"].as_u64() > Some(0) && result["n_synthetic"] == 24, "{result}");
    }
    assert_eq!(fs::read_dir(folder.join("features")).unwrap().count(), 8, "2 sets, 4 contrasts");
    // A damaged file of the cache is made again, and says so.
    let file = fs::read_dir(folder.join("features")).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, "damaged").unwrap();
    let (json, err) = run(folder, &format!("{realism} --json --out again.json"), 0);
    assert!(err.contains("is not what was written to it: it is made again"), "{err}");
    assert_eq!(fs::read(folder.join("again.json")).unwrap(), first);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), record);

    run(
        folder,
        &format!("train segmenter {TINY_SEGMENTER} --kimg 0.016 --train ph.store:train --out seg"),
        0,
    );
    let realism = "realism --real ph.store:train --synthetic syn.store --draws 10 --features";
    run(folder, &format!("{realism} segmenter:seg --out domain.json"), 0);
    let (_, err) = run(folder, &format!("{realism} segmenter:gen --out x.json"), 2);
    assert!(err.contains("expected a segmenter, found a generator"), "{err}");
    fs::write(folder.join("w.safetensors"), "no weights").unwrap();
    let (_, err) = run(folder, &format!("{realism} inception-v3:w.safetensors --out x.json"), 3);
    assert!(err.contains("w.safetensors: expected a safetensors file") && err.contains("hint:"), "{err}");
    let (_, err) =
        run(folder, "realism --real syn.store --synthetic syn.store --features random-conv --out x.json", 2);
    assert!(err.contains("expected a cohort's store, found a synthetic set"), "{err}");
    assert!(!folder.join("x.json").exists());

    run(folder, "report --synthetic syn.store --realism domain.json --realism realism.json --out r.html", 0);
    let page = fs::read_to_string(folder.join("r.html")).unwrap();
    assert!(
        page.contains("bottleneck of a network trained on ph.store:train") && page.contains("frechet"),
        "{page}"
    );
}

#[test]
fn weights_that_are_not_there_are_named_with_the_way_to_get_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    make_store(folder);
    run(folder, &format!("train generator {TINY_GENERATOR} --data ph.store:train --kimg 0.016 --out gen"), 0);
    run(folder, "sample gen --count 24 --seed 1 --out syn.store", 0);
    let output = crate::synthmr(folder)
        .env("SYNTHMR_CACHE", folder)
        .args(["realism", "--real", "ph.store", "--synthetic", "syn.store", "--out", "r.json"])
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{err}");
    assert!(err.contains("hint: `cargo xtask weights`"), "{err}");
}
