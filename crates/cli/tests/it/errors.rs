use std::fs;

use crate::{TINY_GENERATOR, TINY_SEGMENTER, make_store, run};

#[test]
fn usage_errors_end_with_2_and_say_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (line, expected) in [
        ("chekc ph", "unrecognized subcommand"),
        ("phantom", "<DIR>"),
        ("phantom ph --subjects 0", "expected 1 to 9999 phantom subjects, found 0"),
        ("import ph --out s --resolution 100", "100"),
        ("import ph --out s --recipe papr", "papr"),
        ("import ph --out s --split train=0.5,tset=0.5", "tset"),
        ("import ph --out s --pseudonym-key 1 --pseudonym-key-file k", "cannot be used with"),
        ("train generator --data ph.store --out gen", "--preset edm-tiny-64"),
        ("train generator --data ph.store --out gen --preset stylegan2-tiny", "stylegan2-tiny-64"),
        ("train generator --data ph.store:tets --out gen", "expected one of train, val, control, test"),
        (
            "train generator --data ph.store --out gen --preset stylegan2-tiny-64 --set bacth=8",
            "hint: did you mean `batch`?",
        ),
        (
            "train generator --data ph.store --out gen --preset edm-tiny-64 --set loss.r1_gamma=1.0",
            "unknown key `loss.r1_gamma`",
        ),
        (
            "train generator --data ph.store --out gen --preset edm-tiny-64 --set process.kind=ddpm",
            "hint: this kind has other settings; begin with a preset of it",
        ),
        (
            "train generator --data ph.store --out gen --preset edm-tiny-64 --set network.attention=[7]",
            "network.attention: expected sides of the levels, [32, 16, 8]",
        ),
        (
            "train generator --data s --out gen --preset edm-tiny-64 --devices cpu,cpu --device cpu",
            "cannot be used with",
        ),
        (
            "train segmenter --train s --out seg --preset unet-tiny-64 --devices cpu,cpu",
            "unexpected argument",
        ),
        (
            "train generator --data ph.store --out gen --preset stylegan2-tiny-64 --kimg 0",
            "kimg: expected more than 0",
        ),
        ("train segmenter --out seg --preset unet-tiny-64", "--train"),
        ("train segmenter --out seg --preset unet-tiny-64 --train a*0", "positive number after the star"),
        (
            "train segmenter --out seg --preset unet-tiny-64 --train a --train b:val*2",
            "--train b:val: expected the part train, found val; this is refused on purpose",
        ),
        ("sample gen --count 1 --out s --truncation 9", "expected a number from 0 to 2"),
        ("sample gen --count 2 --first 2147483646 --out s", "to add up to at most 2147483647"),
        ("sample gen --count 1 --first 18446744073709551615 --out s", "to add up to at most 2147483647"),
        ("sample gen --count 1 --out s --device gpu", "unknown device \"gpu\""),
        ("evaluate seg --data ph.store:val --split test --out e.json", "--split test"),
        ("evaluate seg --data ph.store --out eval.csv", "expected a file name that ends in .json"),
        ("membership gen --real s --out m.json --non-members tets", "expected train, val, control or test"),
        (
            "realism --real a --synthetic b --out r.json --features vgg",
            "expected efficientnet-lite0, inception-v3:FILE",
        ),
        ("realism --real a --synthetic b --out r.json --features inception-v3", "expected inception-v3:FILE"),
        ("realism --real a:tset --synthetic b --out r.json", "expected one of train, val, control, test"),
        ("realism --real a --synthetic b --out r.json --draws 1", "10..=10000"),
        ("report --evaluation eval.json --out r.html", "expected NAME=FILE"),
        ("report --out r.html", "--real <STORE>|--synthetic <STORE>"),
        ("report --real a:tset --out r.html", "expected one of train, val, control, test"),
        (
            "audit --real ph.store --synthetic s --out a --memory-gib 0.1",
            "expected a number from 0.5 to 4096",
        ),
        ("doctor --threads 0", "1..=1024"),
    ] {
        let (_, err) = run(folder, line, 2);
        assert!(err.contains("error: ") && err.contains(expected), "synthmr {line}\n{err}");
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0, "a usage error leaves nothing behind");
}

#[test]
fn bad_input_ends_with_3_and_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("empty")).unwrap();
    fs::write(folder.join("own.toml"), "batch = 8\n\n[loss]\n  r1_gama = 1.0\n").unwrap();
    fs::write(folder.join("broken.toml"), "batch = = 8\n").unwrap();
    for (line, expected) in [
        ("check nowhere", "nowhere"),
        ("check empty", "hint: describe other names in a cohort.toml"),
        ("import empty --out s", "no subject found"),
        ("import empty --out s --pseudonym-key-file broken.toml", "broken.toml: expected one number from 0"),
        ("train generator --preset stylegan2-tiny-64 --data empty --out gen", "empty is not a slice store"),
        ("train segmenter --preset unet-tiny-64 --train nowhere --out seg", "nowhere is not a slice store"),
        (
            "train generator --preset stylegan2-tiny-64 --data s --out gen --config own.toml",
            "own.toml, line 4, column 3: unknown key `loss.r1_gama`\nhint: did you mean `loss.r1_gamma`?",
        ),
        (
            "train generator --data s --out gen --config broken.toml",
            "broken.toml: TOML parse error at line 1",
        ),
        ("sample empty --count 1 --out s", "empty is not a run"),
        ("evaluate empty --data ph.store --out e.json", "empty is not a run"),
        ("audit --real empty --synthetic s --out a", "empty is not a slice store"),
        (
            "audit --real s --synthetic s --out a --gates broken.toml",
            "broken.toml: TOML parse error at line 1",
        ),
        ("membership empty --real s --out m.json", "empty is not a run"),
        ("realism --real nowhere --synthetic empty --out r.json", "nowhere is not a slice store"),
        ("report --realism broken.toml --out r.html", "broken.toml: expected"),
        ("report --real empty --out r.html", "empty is not a slice store"),
        ("report --synthetic nowhere:train --out r.html", "hint: `synthmr import` and `synthmr sample` make"),
    ] {
        let (_, err) = run(folder, line, 3);
        assert!(err.contains("error: ") && err.contains(expected), "synthmr {line}\n{err}");
    }
}

#[test]
fn a_damaged_cohort_is_listed_fault_by_fault() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run(folder, "phantom ph --subjects 2 --size 32", 0);
    let volume = folder.join("ph/Phantom_0002/Phantom_0002_t1.nii.gz");
    let bytes = fs::read(&volume).unwrap();
    fs::write(&volume, &bytes[..bytes.len() / 2]).unwrap();
    fs::remove_file(folder.join("ph/Phantom_0001/Phantom_0001_seg.nii.gz")).unwrap();
    let (out, err) = run(folder, "check ph", 3);
    assert!(out.contains("Phantom_0002_t1.nii.gz") && out.contains("Phantom_0001"), "{out}");
    assert!(out.contains("2 faults") && err.contains("hint:"), "{out}\n{err}");
    let (json, _) = run(folder, "check ph --json", 3);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["findings"].as_array().unwrap().len(), 2);
    run(folder, "import ph --out ph.store", 3);
    assert!(!folder.join("ph.store").exists());
}

#[test]
fn a_damaged_store_is_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    make_store(folder);
    let segmenter = format!("train segmenter {TINY_SEGMENTER} --kimg 0.016 --train ph.store");
    run(folder, &format!("{segmenter} --out seg"), 0);
    let shard = folder.join("ph.store/shard-00000.safetensors");
    let mut bytes = fs::read(&shard).unwrap();
    // A bit of a pixel somewhere in the middle of the images: no header and no label tells.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&shard, bytes).unwrap();
    for line in [
        format!("train generator {TINY_GENERATOR} --kimg 0.016 --data ph.store --out gen"),
        format!("{segmenter} --out other"),
        format!("{segmenter} --out seg"),
        "evaluate seg --data ph.store --out eval.json".to_owned(),
    ] {
        let (_, err) = run(folder, &line, 3);
        let expected = "shard-00000.safetensors is damaged: expected digest";
        assert!(err.contains(expected) && err.contains("hint:"), "synthmr {line}\n{err}");
    }
    for made in ["gen", "other", "eval.json"] {
        assert!(!folder.join(made).exists(), "{made}");
    }
}

#[test]
fn what_exists_is_neither_overwritten_nor_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    make_store(folder);
    let (_, err) = run(folder, "import ph --out ph.store --resolution 16", 2);
    assert!(err.contains("ph.store exists already"), "{err}");

    let train = format!("train generator {TINY_GENERATOR} --data ph.store --out gen --kimg 0.016");
    run(folder, &train, 0);
    let (_, err) = run(folder, &format!("{train} --set loss.r1_gamma=9"), 2);
    assert!(
        err.contains("config.loss.r1_gamma: ") && err.contains(" -> 9.0") && err.contains("hint:"),
        "{err}"
    );
    let (_, err) = run(folder, "evaluate gen --data ph.store --out e.json", 2);
    assert!(err.contains("expected a segmenter, found a generator"), "{err}");
    let (_, err) = run(folder, "train generator --preset stylegan2-tiny-64 --data ph.store --out x", 2);
    assert!(err.contains("expected 64x64, found 16x16"), "{err}");
    let held_out = format!("train generator {TINY_GENERATOR} --data ph.store:test --out x");
    let (_, err) = run(folder, &held_out, 2);
    assert!(err.contains("nothing may learn from them"), "{err}");
    assert!(!folder.join("x").exists());
}

#[test]
fn devices_that_cannot_share_a_batch_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    make_store(folder);
    let train = format!("train generator {TINY_GENERATOR} --data ph.store --out gen --kimg 0.016");
    for (devices, expected) in [
        ("cpu,cuda:9", "found that equal shares suit devices of one kind only"),
        ("cuda:0,cuda:0", "found that a GPU takes one share"),
        ("cuda,cuda:0", "found that a GPU takes one share"),
        ("cpu,,cpu", "unknown device \"\""),
        (
            "cpu,cpu",
            "batch: expected a multiple of 8, because 2 devices take equal shares of groups of 4 images",
        ),
    ] {
        let (_, err) = run(folder, &format!("{train} --devices {devices}"), 2);
        assert!(err.contains(expected) && err.contains("hint:"), "{devices}: {err}");
    }
    let (_, err) = run(folder, &format!("{train} --devices="), 2);
    assert!(err.contains("devices \"\": expected one or more") && err.contains("hint:"), "{err}");
    assert!(!folder.join("gen").exists());
}
