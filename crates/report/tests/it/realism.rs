//! The section on realism: floors, and ranks beside Dice.

use synthmr_core::Digest;
use synthmr_core::records::{FeatureRecord, RealismResult};
use synthmr_report::{EvaluationInput, RealismInput, ReportInputs, render};

use crate::fixture;
use crate::page::text_of;

/// The section alone, as somebody reads it.
fn section(inputs: &ReportInputs) -> String {
    let text = text_of(&render(inputs).unwrap());
    let start = text.find("How close the synthetic images are").unwrap();
    text[start..].split("Segmentation networks that learnt").next().unwrap().to_owned()
}

/// A study of so many conditions whose Dice rises, with a measurement of each: its index changes that.
fn conditions(count: usize, change: impl Fn(usize, &mut RealismInput)) -> ReportInputs {
    let mut study = fixture::study();
    let evaluation = study.evaluations[0].clone();
    let condition = |index: usize| format!("condition-{index}");
    let evaluations = (0..count).map(|index| {
        let mut evaluation = EvaluationInput { condition: condition(index), ..evaluation.clone() };
        evaluation.record.mean.dice.mean = Some(0.5 + 0.05 * index as f64);
        evaluation
    });
    let realism = (0..count).map(|index| {
        let mut realism = fixture::realism(&condition(index));
        realism.record.results.iter_mut().for_each(|result| result.value = Some(9.0 - index as f64));
        change(index, &mut realism);
        realism
    });
    (study.evaluations, study.realism) = (evaluations.collect(), realism.collect());
    study
}

/// Measures by another network; the numbers of no network stay what they are.
fn by(realism: &mut RealismInput, name: &str, weights: &str) {
    let before = realism.record.features.clone();
    let digest = Digest::of(weights.as_bytes());
    for result in realism.record.results.iter_mut().filter(|result| result.features == before.name) {
        result.features = name.into();
    }
    realism.record.features = FeatureRecord { name: name.into(), digest, ..before };
}

/// Makes the distance of spectra one of pixels, as it is in records.
fn with_pixels(realism: &mut RealismInput) {
    let spectrum =
        realism.record.results.iter_mut().find(|result| result.metric == "power_spectrum").unwrap();
    spectrum.features = "pixels".into();
}

#[test]
fn realism_stands_beside_its_floor() {
    let text = section(&fixture::study());
    for expected in [
        "frechet random-conv, joint 3.25 [2.925, 3.575] lower is nearer 3.413 0.5 [0.4, 0.6] no",
        "power spectrum random-conv, mean 0.25 [0.225, 0.275] lower is nearer 0.263 0.25 [0.2, 0.3] yes",
        // There is none of all contrasts together.
        "inception score random-conv, T1 1.75 [1.575, 1.925] as the floor 1.838 1.5 [1.2, 1.8] no",
        "the annotation, and the Inception Score of each contrast",
        "7 real subjects &#60;few&#62;",
        "Ranks beside Dice need 4 synthetic sets with an evaluation; this report has 1 such set.",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing in {text}");
    }
    assert!(!text.contains("7.125"), "other numbers of single contrasts are in the record");
    assert!(!text.contains("rank correlation with Dice"), "one set has no ranks");
    let empty = text_of(&render(&ReportInputs { title: "Empty".into(), ..Default::default() }).unwrap());
    assert!(empty.contains("Realism was not measured."));
}

#[test]
fn ranks_beside_dice_need_pairs() {
    let text = section(&conditions(4, |index, realism| {
        realism.record.results[0].value = Some([3.0, 2.0, 0.5, 1.0][index]);
    }));
    assert!(text.contains("rank correlation with Dice over 4 synthetic sets"), "{text}");
    // Frechet falls from set to set as Dice rises, but for one exchange.
    assert!(text.contains("frechet (random-conv, joint) -0.80"), "{text}");
    assert!(!text.contains("Not ranked") && !text.contains("need 4"), "{text}");
}

#[test]
fn every_number_is_ranked_over_the_sets_that_have_it() {
    let study = conditions(6, |index, realism| {
        let results = &mut realism.record.results;
        let named = |metric: &str, channel: &str, value: Option<f64>| RealismResult {
            metric: metric.into(),
            channel: channel.into(),
            value,
            ..results[0].clone()
        };
        let mut more = vec![
            named("kid", "T2", (index > 0).then_some(index as f64)),
            named("kid", "joint", (index > 2).then_some(1.0)),
            named("recall", "joint", Some(0.0)),
            named("density", "T1", Some([1.0, 3.0, 2.0, 1.5, 2.5, 1.2][index])),
        ];
        more.extend(["a", "b", "c", "d"].map(|channel| named("coverage", channel, Some(index as f64))));
        if index == 0 {
            more.remove(1);
        }
        results.extend(more);
    });
    let text = section(&study);
    for expected in [
        "rank correlation with Dice over 6 synthetic sets",
        // The study's distance of one contrast, and the Inception Score, which is of one contrast only.
        "frechet (random-conv, T1) -1.00",
        "inception score (random-conv, T1) -1.00",
        "kid (random-conv, T2) over 5 of 6 sets +1.00",
        "recall (random-conv, joint) nothing to order, all are equal \u{2013}",
        "Not ranked, because fewer than 4 sets have a value: 1 number of random-conv.",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing in {text}");
    }
    // The main numbers and the five strongest others stand first; no script opens the rest.
    let (main, rest) = text.split_once("The same for the other numbers").unwrap();
    for of_main in ["recall (", "frechet (random-conv, T1)", "coverage (random-conv, c)"] {
        assert!(main.contains(of_main) && !rest.contains(of_main), "{of_main:?} in {text}");
    }
    for of_rest in ["coverage (random-conv, d) +1.00", "density (random-conv, T1) +0.03"] {
        assert!(rest.contains(of_rest) && !main.contains(of_rest), "{of_rest:?} in {text}");
    }
    let strongest = main.find("kid (random-conv, T2)").unwrap();
    assert!(strongest < main.find("recall (").unwrap(), "strongest first");
    let html = render(&study).unwrap();
    assert!(html.contains("<details>\n<summary>") && html.contains("</details>"));
}

#[test]
fn records_by_two_networks_count_a_condition_once() {
    let twice = |count| {
        let mut study = conditions(count, |_, realism| with_pixels(realism));
        for index in 0..count {
            let mut more = study.realism[index].clone();
            by(&mut more, "efficientnet-lite0", "imagenet");
            study.realism.push(more);
        }
        section(&study)
    };
    let text = twice(3);
    assert!(text.contains("this report has 3 such sets"), "{text}");
    assert!(!text.contains("rank correlation with Dice"), "{text}");
    let text = twice(4);
    assert!(text.contains("rank correlation with Dice over 4 synthetic sets"), "{text}");
    for once in [
        "frechet (random-conv, joint)",
        "frechet (efficientnet-lite0, joint)",
        "power spectrum (pixels, mean)",
    ] {
        assert_eq!(text.matches(&format!("{once} -1.00")).count(), 1, "{once:?} in {text}");
    }
}

#[test]
fn two_runs_of_a_segmenter_are_two_networks() {
    let run = |index: usize| if index < 4 { "one run" } else { "another run" };
    let text = section(&conditions(7, |index, realism| {
        with_pixels(realism);
        by(realism, "segmenter", run(index));
    }));
    let [one, another] =
        [run(0), run(6)].map(|run| format!("segmenter {}", Digest::of(run.as_bytes()).short()));
    for expected in [
        format!("frechet ({one}, joint) over 4 of 7 sets -1.00"),
        "power spectrum (pixels, mean) -1.00".to_owned(),
        format!("fewer than 4 sets have a value: 3 numbers of {another}."),
        format!("features: {another} (640 numbers)"),
    ] {
        assert!(text.contains(&expected), "{expected:?} is missing in {text}");
    }
}

#[test]
fn parts_of_the_cohort_are_not_ranked_together() {
    let text = section(&conditions(7, |index, realism| {
        with_pixels(realism);
        if index > 3 {
            realism.record.real.split = "test".into();
        }
    }));
    for expected in [
        "frechet (random-conv beside ph.store:train, joint) over 4 of 7 sets -1.00",
        "3 numbers of random-conv beside ph.store:test, 1 number of pixels beside ph.store:test.",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing in {text}");
    }
}
