//! What the page shows, and what it must never show or do.

use synthmr_core::files::Access;
use synthmr_core::records::{Origin, Tick};
use synthmr_report::{ReportInputs, access, render};

use crate::fixture;

/// The page with tags and the whitespace between them removed, as somebody reads it.
pub(crate) fn text_of(html: &str) -> String {
    let body = html.split("</style>").nth(1).unwrap();
    let mut text = String::new();
    let mut in_tag = false;
    for c in body.chars() {
        match c {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                text.push(' ');
            }
            c if !in_tag => text.push(c),
            _ => {}
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_summary_says_what_it_is_and_what_it_is_not() {
    let text = text_of(&render(&fixture::study()).unwrap());
    for expected in [
        "84 % of the real-trained Dice",
        "synthetic 0.655 [0.605-0.695]",
        "real 0.781 [0.731-0.821]",
        "3 test subjects, mean over the classes, 95 % intervals",
        "The memorisation audit did not pass",
        "Whether a set may be shared is for people to decide",
        "12 subjects in the cohort",
        "100,000 synthetic images",
        "T1, T1ce, T2 and FLAIR",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing");
    }
}

#[test]
fn sections_hold_the_records_values() {
    let text = text_of(&render(&fixture::study()).unwrap());
    for expected in [
        "recipe robust",
        "train 7 4", // 7 subjects, and the first digit of their slices
        "0.42 % of pixels are unclean",
        "31 % of images have no annotated structure",
        "1 value not drawn",
        "103 % of real",
        "Conditions beside real",
        "synthetic mean over classes 12 0.655 [0.595-0.715] -0.125 [-0.155 to -0.095] 84 % below 0.001 0.031",
        "WT region 12 0.700 [0.640-0.760] -0.080 [-0.110 to -0.050] 90 % below 0.001 \u{2013}",
        "Only 3 test subjects",
        "ada.target 0.6",
        "generator.betas 0.0, 0.99",
        "libtorch 2.11.0, cpu, bf16, 2 threads",
        "absent in truth only: Dice 0",
        "13; digests",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing");
    }
}

#[test]
fn no_claim_that_the_audit_forbids() {
    let inputs = fixture::study();
    for html in [render(&inputs).unwrap(), render(&ReportInputs::default()).unwrap()] {
        let html = html.to_lowercase();
        for word in ["anonymous", "anonymis", "anonymiz", "safe to", "gdpr"] {
            assert!(!html.contains(word), "the page says {word:?}");
        }
    }
}

#[test]
fn the_page_asks_nobody_for_anything_and_runs_nothing() {
    let html = render(&fixture::study()).unwrap();
    assert!(html.contains(
        "Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'sha256-"
    ));
    for forbidden in
        ["http://", "https://", "<script", "<link", "<iframe", "<object", "javascript:", "url(", "@import"]
    {
        assert!(!html.contains(forbidden), "{forbidden:?} is in the page");
    }
    // A style attribute would need a policy that admits any inline style, and handlers one for scripts.
    for attribute in [" style=", " onclick=", " onload=", " onerror="] {
        assert!(!html.contains(attribute), "{attribute:?} is in the page");
    }
    for source in html.split("src=\"").skip(1) {
        assert!(source.starts_with("data:image/png;base64,"));
    }
    for target in html.split("href=\"").skip(1) {
        assert!(target.starts_with('#'));
        let id = format!("id=\"{}\"", &target[1..target.find('"').unwrap()]);
        assert!(html.contains(&id), "no {id}");
    }
}

#[test]
fn texts_from_records_are_harmless() {
    const EVIL: &str = "<script>alert('1')</script>\"><img src=x onerror=y>&";
    let mut inputs = fixture::study();
    let evil = || EVIL.to_owned();
    inputs.title = evil();
    for store in [&mut inputs.real, &mut inputs.synthetic].into_iter().flatten() {
        store.name = evil();
        store.manifest.channels[0] = evil();
        store.manifest.labels.classes[1].name = evil();
        store.manifest.labels.regions[0].name = evil();
        store.manifest.tool.version = evil();
        let sheet = store.sheet.as_mut().unwrap();
        sheet.record.title = evil();
        sheet.record.columns[0] = evil();
        match &mut store.manifest.origin {
            Origin::Cohort { preparation, split, .. } => {
                preparation.recipe = evil();
                preparation.steps[0] = evil();
                split.request = evil();
            }
            Origin::Sampled(sampling) => {
                sampling.generators[0].name = evil();
                sampling.label_quality.class_share.insert(evil(), 0.5);
            }
        }
    }
    for run in &mut inputs.runs {
        run.name = evil();
        run.record.config[EVIL] = serde_json::json!({ EVIL: [EVIL] });
        run.record.engine.device = evil();
        run.record.inputs[0].split = evil();
        run.ticks.push(Tick { images_seen: 1, values: [(evil(), 1.0), (format!("loss{EVIL}"), 2.0)].into() });
    }
    for evaluation in &mut inputs.evaluations {
        evaluation.condition.push_str(EVIL);
        let record = &mut evaluation.record;
        record.settings.empty_rule = evil();
        record.settings.hd95_rule = evil();
        record.classes.insert(evil(), record.mean);
        record.data.name = evil();
    }
    for realism in &mut inputs.realism {
        realism.name.as_mut().unwrap().push_str(EVIL);
        let record = &mut realism.record;
        record.features.name = evil();
        record.results[0].metric = evil();
        record.results[1].features = evil();
    }
    let html = render(&inputs).unwrap();
    assert!(!html.contains("<script"), "a script came through");
    assert!(!html.contains("<img src=x"), "an element came through");
    assert!(html.contains("&#60;script&#62;"), "the text itself is shown");
}

#[test]
fn real_pixels_are_marked_over_the_whole_page() {
    const MARK: &str = "inside: real patients' pixels, do not pass on";
    let text = |inputs: &ReportInputs| text_of(&render(inputs).unwrap()).replace("&#39;", "'");
    let mut inputs = fixture::study();
    assert!(text(&inputs).starts_with(MARK));
    assert_eq!(text(&inputs).matches(MARK).count(), 2, "banner and picture");

    inputs.real.as_mut().unwrap().sheet.as_mut().unwrap().record.inside = false;
    let unmarked = text(&inputs);
    assert!(!unmarked.contains(MARK));
    assert!(unmarked.starts_with("images of the cohort, not marked as patients' pixels"));

    assert_eq!(access(&inputs), Access::Private);
    inputs.real.as_mut().unwrap().sheet = None;
    assert!(text(&inputs).starts_with("synthmr report"), "no banner over synthetic pictures alone");
    assert_eq!(access(&inputs), Access::Shared);

    // A segmenter's grid shows images that it was given, which may be patients.
    inputs.runs[1].samples = Some(fixture::picture(1, 1, 3));
    assert!(text(&inputs).starts_with(MARK));
}

#[test]
fn what_is_missing_is_named_with_its_command() {
    let text = text_of(&render(&ReportInputs { title: "Empty".into(), ..Default::default() }).unwrap());
    for expected in [
        "No cohort was given",
        "synthmr import COHORT --out NAME.store",
        "No synthetic set was given",
        "synthmr sample RUN",
        "No run was given",
        "No network has been evaluated",
        "synthmr evaluate RUN --data STORE --split test --out eval.json",
        "No segmentation network has been evaluated",
        "No memorisation audit has been run",
        "Nothing in this report says that the synthetic images may be shared",
        "synthmr audit --real STORE --synthetic STORE --out audit",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing");
    }
    assert!(!text.contains("of the real-trained Dice, reached"), "a figure was made up");

    let mut inputs = fixture::study();
    inputs.evaluations.retain(|evaluation| evaluation.condition != "real");
    inputs.runs[0].ticks.clear();
    inputs.real.as_mut().unwrap().sheet.as_mut().unwrap().record.rows = 0;
    let text = text_of(&render(&inputs).unwrap());
    for expected in [
        "The network trained on real images has not been evaluated",
        "No evaluation of a network trained on &ldquo;real&rdquo; images",
        "This run has written no progress yet",
        "This store has no contact sheet",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing");
    }
    assert!(!text.contains("% of real"), "a ratio was made up");
}

#[test]
fn values_that_no_subject_has_are_dashes() {
    let mut inputs = fixture::study();
    for evaluation in &mut inputs.evaluations {
        evaluation.record.mean.dice = Default::default();
        evaluation.record.classes.clear();
    }
    let text = text_of(&render(&inputs).unwrap());
    assert!(text.contains("no mean Dice above zero"));
    assert!(!text.contains("NaN") && !text.contains("inf "));
}

#[test]
fn unequal_tests_give_no_ratio_and_a_warning() {
    let mut inputs = fixture::study();
    inputs.evaluations[0].record.data.digest = synthmr_core::Digest::of(b"another store");
    let text = text_of(&render(&inputs).unwrap());
    assert!(text.contains("were not tested on the same images: no ratio between them is shown"));
    assert!(text.contains("The two networks were not tested on the same images, so no ratio is shown"));

    let mut inputs = fixture::study();
    let trained_on = &mut inputs.evaluations[2].record.trained_on[0];
    // A weight in the mixture does not make them other images.
    (trained_on.split, trained_on.weight) = ("test".into(), Some(3.0));
    let text = text_of(&render(&inputs).unwrap());
    assert!(text.contains("was tested on images that it learnt from (ph.store:test*3)"));
    assert!(text.contains("A network was tested on images that it learnt from, so no ratio is shown"));
}

#[test]
fn the_same_inputs_give_the_same_page_and_it_stays_small() {
    let html = render(&fixture::study()).unwrap();
    assert_eq!(html, render(&fixture::study()).unwrap());
    let pictures: usize = html.split("base64,").skip(1).map(|rest| rest.find('"').unwrap()).sum();
    assert!(html.len() - pictures < 400_000, "{} bytes beside the pictures", html.len() - pictures);
}

#[test]
fn an_audit_stands_in_the_summary_and_in_a_section() {
    let mut inputs = fixture::study();
    let text = text_of(&render(&inputs).unwrap());
    for expected in [
        "The memorisation audit did not pass",
        "This audit cannot decide.",
        "7 of 256",
        "noise of &#60;10&#62; % (9 of 20)",
        "partial, not promised 19 of 20 none",
        "control subjects, at least 3 2 not met",
        "few control subjects.",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing");
    }
    assert!(!text.contains("No memorisation audit has been run") && !text.contains("No audit has been run"));
    inputs.audit.as_mut().unwrap().record.passed = true;
    assert!(render(&inputs).unwrap().contains("The memorisation audit met all its gates"));
}

#[test]
fn pictures_of_a_set_that_copies_are_for_the_inside() {
    let mut inputs = fixture::study();
    inputs.real.as_mut().unwrap().sheet = None;
    inputs.runs.iter_mut().for_each(|run| run.samples = None);
    let of = |inputs: &ReportInputs| (text_of(&render(inputs).unwrap()), access(inputs));
    const FOUND: &str = "drawn by a generator that copies real images, as an audit found: do not pass on";
    let (text, who) = of(&inputs);
    assert!(text.contains("an audit of the set found no certain copy") && who == Access::Shared);
    inputs.audit.as_mut().unwrap().record.confirmed = 1;
    let (text, who) = of(&inputs);
    assert!(text.starts_with(FOUND) && text.matches(FOUND).count() == 2 && who == Access::Private);
    // A grid of the same generator is no better.
    inputs.synthetic.as_mut().unwrap().sheet = None;
    inputs.runs[0].samples = Some(fixture::picture(1, 1, 3));
    assert!(of(&inputs).0.starts_with(FOUND) && of(&inputs).1 == Access::Private);
    inputs.audit = None;
    let (text, who) = of(&inputs);
    assert!(text.contains("not audited for copies of training images") && who == Access::Shared);
}

#[test]
fn one_thing_is_not_many() {
    let mut inputs = fixture::study();
    let real = &mut inputs.real.as_mut().unwrap().manifest;
    real.slices = 1;
    if let Origin::Cohort { subjects, .. } = &mut real.origin {
        subjects.truncate(1);
    }
    inputs.synthetic.as_mut().unwrap().manifest.slices = 1;
    inputs.runs[0].ticks = vec![Tick { images_seen: 1, values: [("loss".to_owned(), 1.0)].into() }];
    for evaluation in &mut inputs.evaluations {
        evaluation.record.subjects.truncate(1);
        evaluation.record.settings.resamples = 1;
    }
    inputs.comparisons[0].record.settings.resamples = 1;
    let realism = &mut inputs.realism[0].record;
    (realism.real.images, realism.features.dims, realism.settings.draws) = (1, 1, 1);
    let audit = &mut inputs.audit.as_mut().unwrap().record;
    (audit.confirmed, audit.duplicates, audit.control_n, audit.patients.control_n) = (1, 1, 1, 1);
    let text = text_of(&render(&inputs).unwrap());
    for expected in [
        "1 subject with 1 slice in",
        "1 subject in the cohort",
        "1 slice of the cohort",
        "1 synthetic image ",
        "1 test subject evaluated",
        "1 image seen.",
        "1 bootstrap resample of the subjects, seed",
        "1 bootstrap resample of the subjects and of the seeds",
        "1 resample of subjects",
        "beside 1 real image of",
        "random-conv (1 number)",
        "intervals from 1 draw.",
        "1 copy of a training subject confirmed",
        "1 synthetic image that equals another one",
        "of 1 control image flagged",
        "of 1 held-out subject with a confirmed copy",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing in {text}");
    }
}
