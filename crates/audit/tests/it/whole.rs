//! A whole audit: copies among new images, stopped and gone on with, filtered.

use synthmr_audit::gates::Gates;
use synthmr_audit::{Audit, AuditError, AuditOptions, Watch, audit, filter};
use synthmr_core::Split;
use synthmr_data::store::SliceStore;

use crate::cohort::{Fixture, input};

/// Stops after some steps of progress, and counts them.
struct Steps {
    left: u64,
    done: u64,
}

impl Watch for Steps {
    fn should_stop(&self) -> bool {
        self.left == 0
    }
    fn progress(&mut self, done: u64, total: u64) {
        assert!(done <= total);
        self.left = self.left.saturating_sub(1);
        self.done += 1;
    }
}

fn run(fixture: &Fixture, synthetic: &SliceStore, name: &str, steps: u64) -> Result<Audit, AuditError> {
    let indices: Vec<u32> = (0..synthetic.len() as u32).collect();
    let options = AuditOptions {
        real: &fixture.store,
        synthetic,
        indices: &indices,
        inputs: [input("ph.store", &fixture.store), input("syn.store", synthetic)],
        gates: Gates::load(None).unwrap(),
        membership: Vec::new(),
        embedding: None,
        planted: 1,
        seed: 1,
        memory_bytes: 4 << 30,
        folder: &fixture.path(name),
    };
    audit(&options, &mut Steps { left: steps, done: 0 })
}

#[test]
fn hidden_copies_are_confirmed_removed_and_lead_to_their_subjects() {
    let fixture = Fixture::new();
    let train = fixture.store.indices(Split::Train);
    // Images of people who are not in the cohort stand for honest ones.
    let mut slices = fixture.strangers();
    let honest = slices.len();
    let mut mirrored = |index: u32, gain: f64| {
        let (image, label) = fixture.slice(index);
        let flip =
            |x: &[u8]| x.chunks(32).flat_map(|row| row.iter().rev().copied().collect::<Vec<_>>()).collect();
        let image: Vec<u8> = flip(&image);
        slices.push((image.iter().map(|&p| (f64::from(p) * gain) as u8).collect(), flip(&label)));
    };
    let copied: Vec<u32> = (0..6).map(|i| train[i * train.len() / 6 + 9]).collect();
    copied.iter().for_each(|&index| mirrored(index, 0.8));
    let synthetic = fixture.set("syn.store", &slices);

    // The same command again and again ends with what one run gives.
    let whole = run(&fixture, &synthetic, "whole", u64::MAX).unwrap();
    let mut rounds = 0;
    let resumed = loop {
        match run(&fixture, &synthetic, "parts", 4) {
            Err(AuditError::Interrupted) => rounds += 1,
            result => break result.unwrap(),
        }
        if rounds == 2 {
            // Goes on from here: what was finished is not searched again.
            break run(&fixture, &synthetic, "parts", u64::MAX).unwrap();
        }
    };
    assert_eq!((resumed.record == whole.record, resumed.images == whole.images, rounds), (true, true, 2));

    let Audit { record, images, pairs, .. } = whole;
    assert!(!record.passed && record.verdict.starts_with("Copies found: "), "{}", record.verdict);
    let expected: Vec<usize> = (honest..synthetic.len()).collect();
    let mut confirmed: Vec<usize> = images
        .images
        .iter()
        .filter(|image| image.confirmed && image.split == Split::Train)
        .map(|image| image.index)
        .collect();
    confirmed.sort_unstable();
    assert_eq!(confirmed, expected, "{}", record.verdict);
    for image in images.images.iter().filter(|image| expected.contains(&image.index)) {
        let source = copied[image.index - honest] as usize;
        assert_eq!(fixture.store.subject(image.nearest), fixture.store.subject(source));
    }
    let subjects: std::collections::BTreeSet<_> =
        copied.iter().map(|&index| fixture.store.subject(index as usize)).collect();
    assert_eq!(record.patients.train_copied, subjects.len());
    assert_eq!((record.n, record.duplicates), (synthetic.len(), 0));
    assert_eq!(record.held_out_copies, 0);
    assert!(
        record.flagged <= 6 + honest / 20 && record.control_flagged * 25 <= record.control_n,
        "{}",
        record.verdict
    );
    assert!(pairs.len() >= 6 && pairs.iter().all(|sheet| sheet.record.inside && sheet.record.rows == 4));

    let out = fixture.path("filtered.store");
    let indices: Vec<u32> = (0..synthetic.len() as u32).collect();
    let kept = filter(&synthetic, &indices, &images, &out).unwrap();
    let filtered = SliceStore::open(&out).unwrap();
    filtered.verify().unwrap();
    assert_eq!(filtered.len(), kept);
    let numbers: Vec<usize> = (0..kept).map(|i| filtered.slice(i) as usize).collect();
    assert!(images.images.iter().all(|image| !numbers.contains(&image.index)));
    assert!(out.join("removed.json").is_file());
    // Where everything is flagged, nothing is written.
    let flagged: Vec<u32> = images.images.iter().map(|image| image.index as u32).collect();
    let none = fixture.path("none.store");
    assert_eq!((filter(&synthetic, &flagged, &images, &none).unwrap(), none.exists()), (0, false));

    // What names an image or a subject stays out of the record.
    let text = serde_json::to_string(&record).unwrap();
    assert!(images.images.iter().all(|image| !text.contains(image.subject.as_str())));
}
