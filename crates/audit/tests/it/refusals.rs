//! Inputs that cannot be audited.

use synthmr_audit::gates::Gates;
use synthmr_audit::{AuditError, AuditOptions, Watch, audit};

use crate::cohort::{Fixture, input, layout, write_set};

pub(crate) struct Silent;

impl Watch for Silent {
    fn should_stop(&self) -> bool {
        false
    }
    fn progress(&mut self, _: u64, _: u64) {}
}

#[test]
fn rejects_stores_that_do_not_belong_together() {
    let fixture = Fixture::new();
    let slices: Vec<_> = (0..3).map(|i| fixture.slice(i)).collect();
    let good = fixture.set("syn.store", &slices);
    let mut other = layout(&fixture.store);
    other.channels[0] = "T9".into();
    let named_otherwise = write_set(&fixture.path("t9.store"), other, &slices);
    let run = |real, synthetic, memory_gib: f64| {
        let indices = [0, 1];
        let options = AuditOptions {
            real,
            synthetic,
            indices: &indices,
            inputs: [input("real", real), input("syn", synthetic)],
            gates: Gates::load(None).unwrap(),
            planted: 1,
            seed: 1,
            memory_bytes: (memory_gib * f64::from(1 << 30)) as u64,
            folder: &fixture.path("out"),
        };
        match audit(&options, &mut Silent) {
            Err(error) => error,
            Ok(_) => panic!("accepted"),
        }
    };
    let message = run(&fixture.store, &named_otherwise, 4.0).to_string();
    assert!(message.contains("channels: expected T1, T1ce, T2, FLAIR, found T9"), "{message}");
    let message = run(&good, &good, 4.0).to_string();
    assert!(message.contains("expected the store of a cohort, found a synthetic set"), "{message}");
    assert!(matches!(run(&fixture.store, &good, 0.9), AuditError::Memory { .. }));
    assert!(!fixture.path("out").exists(), "a refusal leaves nothing behind");
}
