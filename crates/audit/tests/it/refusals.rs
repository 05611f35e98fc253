//! Inputs that cannot be audited.

use synthmr_audit::gates::Gates;
use synthmr_audit::{AuditError, AuditOptions, Watch, audit};
use synthmr_core::records::{MembershipRecord, SCHEMA, Tool};
use synthmr_data::store::SliceStore;

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
    let attacked = |real, synthetic, memory_gib: f64, membership| {
        let indices = [0, 1];
        let options = AuditOptions {
            real,
            synthetic,
            indices: &indices,
            inputs: [input("real", real), input("syn", synthetic)],
            gates: Gates::load(None).unwrap(),
            membership,
            embedding: None,
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
    let run = |real, synthetic, memory_gib| attacked(real, synthetic, memory_gib, Vec::new());
    let message = run(&fixture.store, &named_otherwise, 4.0).to_string();
    assert!(message.contains("channels: expected T1, T1ce, T2, FLAIR, found T9"), "{message}");
    let message = run(&good, &good, 4.0).to_string();
    assert!(message.contains("expected the store of a cohort, found a synthetic set"), "{message}");
    assert!(matches!(run(&fixture.store, &good, 0.9), AuditError::Memory { .. }));
    let of_model = |members: &SliceStore| MembershipRecord {
        schema: SCHEMA,
        tool: Tool::this(),
        model: input("gen", members),
        members: input("real", members),
        non_members: input("real", members),
        member_subjects: 9,
        non_member_subjects: 4,
        slices_a_subject: None,
        seed: 0,
        level: 0.95,
        attacks: Vec::new(),
        warnings: Vec::new(),
    };
    let message = attacked(&fixture.store, &good, 4.0, vec![of_model(&good)]).to_string();
    assert!(message.contains("cohort of the membership"), "{message}");
    let message = attacked(&fixture.store, &good, 4.0, vec![of_model(&fixture.store)]).to_string();
    assert!(message.contains("generator of the membership"), "{message}");
    assert!(!fixture.path("out").exists(), "a refusal leaves nothing behind");
}
