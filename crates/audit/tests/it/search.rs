//! What the detectors find, by the scores of an audit's own calibration.

use synthmr_audit::Searcher;
use synthmr_audit::calibration::{Calibration, NullSubject, Query};
use synthmr_audit::detectors::{Annotation, Correlation, nearest_plain};
use synthmr_audit::planted::{CELLS, Sources};
use synthmr_audit::slices::Reference;
use synthmr_core::Split;
use synthmr_core::records::Tier;

use crate::cohort::Fixture;

/// Copies of every cell.
const COPIES: usize = 6;
/// Cells that a cohort of 32-pixel images cannot promise: what is left of its subjects there, these changes hide.
const TOO_SMALL_FOR: [&str; 2] = ["noise of 10 %", "shading"];

#[test]
fn changed_copies_are_found_and_new_subjects_are_not() {
    let fixture = Fixture::new();
    let reference = Reference::new(&fixture.store);
    let searcher = Searcher::new(vec![
        Box::new(Correlation::new(&reference, &|| false).unwrap()),
        Box::new(Annotation::new(&reference).unwrap()),
    ]);
    let of_subject = |subject: usize| {
        let positions: Vec<usize> = reference.positions(subject).step_by(3).collect();
        let own = vec![Some(subject); positions.len()];
        searcher.search(&reference.read(&positions).unwrap(), &own).unwrap()
    };
    let null: Vec<NullSubject> = [reference.of_part(Split::Val), reference.of_part(Split::Train)]
        .concat()
        .into_iter()
        .map(|subject| NullSubject { subject, queries: of_subject(subject) })
        .collect();
    let calibration = Calibration::new(&null, 0.01);
    assert!(calibration.twins.is_empty(), "{:?}", calibration.twins);
    let share = |queries: &[Query]| {
        queries.iter().filter(|query| calibration.flags(query)).count() as f64 / queries.len() as f64
    };

    // Nobody's images: those of control and test subjects, which decided nothing.
    let fresh: Vec<Query> = [reference.of_part(Split::Control), reference.of_part(Split::Test)]
        .concat()
        .into_iter()
        .flat_map(of_subject)
        .collect();
    assert!(share(&fresh) <= 0.04, "{} of {} new images are flagged", share(&fresh), fresh.len());

    // One source a training subject, from the middle of the head.
    let train = reference.of_part(Split::Train);
    let at = |shift: usize, beside: usize| -> Vec<usize> {
        (0..COPIES)
            .map(|i| {
                let own = reference.positions(train[(i + shift) % train.len()]);
                own.start + own.len() * (2 + i % 3) / 6 + beside
            })
            .collect()
    };
    let positions = at(0, 0);
    let read = |positions: &[usize]| reference.read(positions).unwrap();
    let sources = Sources {
        source: read(&positions),
        neighbour: read(&at(0, 1)),
        other: read(&at(1, 0)),
        fresh: read(&at(2, 0)),
    };
    let (mut promised, mut right, mut weak) = ((0, 0), 0, Vec::new());
    for (name, tier, change) in CELLS {
        let copies = searcher.search(&change.apply(&sources, 3), &[None; COPIES]).unwrap();
        let recall = share(&copies);
        let searched = copies.iter().zip(&positions);
        right += searched
            .filter(|(query, source)| {
                let found = calibration.train(query).map(|score| score.matched.position);
                found.is_some_and(|found| reference.subject_of(found) == reference.subject_of(**source))
            })
            .count();
        if tier == Tier::Partial || TOO_SMALL_FOR.contains(&name) {
            continue;
        }
        promised = (promised.0 + (recall * COPIES as f64).round() as usize, promised.1 + COPIES);
        if recall < 0.8 {
            weak.push(format!("{name}: {recall}"));
        }
    }
    // One of six may be missed in a cell; in all together, hardly any.
    assert!(weak.is_empty(), "{weak:?}");
    assert!(promised.0 * 100 >= promised.1 * 96, "{promised:?}");
    assert!(right * 10 >= CELLS.len() * COPIES * 8, "{right} copies lead to their subject");

    // A copy of a subject that was held out is seen as that.
    let control = reference.of_part(Split::Control)[0];
    let position = reference.positions(control).start + 5;
    let leak = searcher.search(&read(&[position]), &[None]).unwrap();
    let score = calibration.held_out(&leak[0]).unwrap();
    assert_eq!(score.matched.position, position);
    assert!(calibration.p_value(score.value) < 1e-4 && !calibration.flags(&leak[0]), "{score:?}");

    // Positions belong to their subjects, from the first to the last.
    for subject in 0..reference.subjects.len() {
        assert!(reference.positions(subject).all(|position| reference.subject_of(position) == subject));
    }

    // A query's own subject is no match for it.
    let own = searcher.search(&read(&[positions[0]]), &[Some(train[0])]).unwrap();
    let matched = own[0].found[0].train.unwrap();
    assert!(reference.subject_of(matched.position) != train[0] && matched.similarity < 0.999);
    let itself = searcher.search(&read(&[positions[0]]), &[None]).unwrap();
    assert_eq!(itself[0].found[0].train.unwrap().position, positions[0]);
}

/// The nearest image and its correlation are those of a plain loop over all pairs.
#[test]
fn plain_correlation_equals_the_loop_over_pairs() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let (queries, among) = (store.indices(Split::Control), store.indices(Split::Train));
    let pixels = 32 * 32;
    let pearson = |a: u32, b: u32| {
        let [x, y] = [a, b].map(|index| &store.image(index as usize)[pixels..2 * pixels]);
        let mean = |v: &[u8]| v.iter().map(|&p| f64::from(p)).sum::<f64>() / pixels as f64;
        let (mx, my) = (mean(x), mean(y));
        let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
        for (&p, &q) in x.iter().zip(y) {
            let (dx, dy) = (f64::from(p) - mx, f64::from(q) - my);
            (xy, xx, yy) = (xy + dx * dy, xx + dx * dx, yy + dy * dy);
        }
        xy / (xx * yy).sqrt()
    };
    // A bound on memory that makes several blocks.
    let found = nearest_plain((store, &queries), (store, &among), 1, 1, &mut |_| true).unwrap().unwrap();
    for (&query, (r, index)) in queries.iter().zip(&found) {
        let best = among.iter().map(|&real| pearson(query, real)).fold(f64::NEG_INFINITY, f64::max);
        assert!((pearson(query, *index) - f64::from(*r)).abs() < 1e-5);
        // Only where more than four images are within bf16's error of the best could another one be taken.
        assert!(best - f64::from(*r) < 0.002, "{best} {r}");
    }
    assert_eq!(nearest_plain((store, &queries), (store, &among), 0, 1, &mut |_| false).unwrap(), None);
}
