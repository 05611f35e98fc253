//! Null is null: how often an audit finds copying in images of new subjects, as a JSON line.
//!
//! `cargo run --release -p synthmr-audit --example null_resamples REAL STRANGERS [RESAMPLES]`
//!
//! Control subjects of the cohort REAL and all subjects of STRANGERS, who are in no cohort, are searched once. Then, again and
//! again, half of them stand for the synthetic set and the others for control.

#![expect(clippy::print_stdout, reason = "an example prints its results")]

use std::error::Error;
use std::path::Path;

use synthmr_audit::Searcher;
use synthmr_audit::calibration::{Calibration, NullSubject, Query};
use synthmr_audit::detectors::{Annotation, Correlation};
use synthmr_audit::slices::Reference;
use synthmr_audit::statistics::{Count, Resampling};
use synthmr_core::Split;
use synthmr_core::random::{Draw, Stream, rng};
use synthmr_data::store::SliceStore;
use synthmr_metrics::statistics::benjamini_hochberg;

/// As an audit has them: false alarms, false discoveries, and the gate on the excess.
const RATES: [f64; 3] = [0.01, 0.01, 0.005];
/// Slices searched at once.
const AT_ONCE: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [real, strangers] = [0, 1].map(|i| arguments.get(i).map(Path::new).ok_or("expected REAL STRANGERS"));
    let (real, strangers) = (SliceStore::open(real?)?, SliceStore::open(strangers?)?);
    let resamples: u64 = arguments.get(2).map_or(Ok(400), |n| n.parse())?;
    synthmr_nets::engine::set_threads(1);
    let reference = Reference::new(&real);
    let searcher = Searcher::new(vec![
        Box::new(Correlation::new(&reference, &|| false)?),
        Box::new(Annotation::new(&reference)?),
    ]);
    let search = |of: &Reference<'_>, subject: usize| -> Result<Vec<Query>, Box<dyn Error>> {
        let own = std::ptr::eq(of, &reference).then_some(subject);
        let mut queries = Vec::new();
        let positions: Vec<usize> = of.positions(subject).collect();
        for some in positions.chunks(AT_ONCE) {
            queries.extend(searcher.search(&of.read(some)?, &vec![own; some.len()])?);
        }
        Ok(queries)
    };
    let mut null = Vec::new();
    for subject in [reference.of_part(Split::Val), reference.of_part(Split::Train)].concat() {
        null.push(NullSubject { subject, queries: search(&reference, subject)? });
    }
    let calibration = Calibration::new(&null, RATES[0]);
    let mut pool = Vec::new();
    for subject in reference.of_part(Split::Control) {
        pool.push(search(&reference, subject)?);
    }
    let new = Reference::new(&strangers);
    for subject in 0..new.subjects.len() {
        pool.push(search(&new, subject)?);
    }

    let count = |queries: &Vec<Query>| Count {
        flagged: queries.iter().filter(|query| calibration.flags(query)).count(),
        n: queries.len(),
    };
    let (mut confirmed, mut excess, mut either) = (0, 0, 0);
    for resample in 0..resamples {
        let mut random = rng(0, Stream::Bootstrap, resample);
        random.shuffle(&mut pool);
        let (set, control) = pool.split_at(pool.len() / 2);
        let p = |query: &Query, held_out: bool| {
            let score = if held_out { calibration.held_out(query) } else { calibration.train(query) };
            score.map_or(1.0, |score| calibration.p_value(score.value))
        };
        let of_side = |held_out| set.iter().flatten().map(move |query| p(query, held_out));
        let p_values: Vec<f64> = of_side(false).chain(of_side(true)).collect();
        let found = benjamini_hochberg(&p_values, RATES[1]).contains(&true);
        let counts: Vec<Count> = set.iter().map(count).collect();
        let images = Count {
            flagged: counts.iter().map(|count| count.flagged).sum(),
            n: counts.iter().map(|count| count.n).sum(),
        };
        let control: Vec<Count> = control.iter().map(count).collect();
        let resampling = Resampling { resamples: 1000, seed: resample, level: 0.95 };
        let beyond = resampling.excess(images, &control).low.is_some_and(|low| low > RATES[2]);
        confirmed += u64::from(found);
        excess += u64::from(beyond);
        either += u64::from(found || beyond);
    }
    println!(
        "{}",
        serde_json::json!({
            "resamples": resamples,
            "subjects": pool.len(),
            "images": pool.iter().map(Vec::len).sum::<usize>(),
            "flagged": pool.iter().map(|queries| count(queries).flagged).sum::<usize>(),
            "confirmed": confirmed,
            "excess": excess,
            "either": either,
        })
    );
    Ok(())
}
