//! The two editions of an audit's page.

use synthmr_core::Digest;
use synthmr_core::records::{AuditImages, FlaggedImage, SCHEMA};
use synthmr_report::AuditPages;

use crate::fixture;
use crate::page::text_of;

#[test]
fn the_edition_that_may_be_shown_has_aggregates_only() {
    let audit = fixture::study().audit.unwrap().record;
    let subject = Digest::of(b"somebody");
    let image = FlaggedImage {
        index: 1234,
        score: 2.468,
        p_value: 1e-5,
        confirmed: true,
        measure: "brain".into(),
        similarity: 0.987,
        nearest: 77,
        subject: subject.clone(),
        split: synthmr_core::Split::Train,
        reason: "confirmed copy by <brain>".into(),
    };
    let images = AuditImages {
        schema: SCHEMA,
        real: audit.real.digest.clone(),
        synthetic: audit.synthetic.digest.clone(),
        images: vec![image],
    };
    let mut sheet = fixture::study().synthetic.unwrap().sheet.unwrap();
    sheet.record.title = "synthetic image 1234".into();
    let pages = AuditPages { record: &audit, images: &images, pairs: vec![(sheet.record, sheet.png)] };
    let (private, public) = (pages.private().unwrap(), pages.public().unwrap());

    let named = ["1234", "2.468", subject.short(), "data:image/png"];
    assert!(named.iter().all(|name| private.contains(name)), "the inside sees them");
    for name in named.iter().chain(&["<img"]) {
        assert!(!public.contains(name), "{name} is on the page that may be shown");
    }
    assert!(text_of(&private).starts_with("inside: real patients"));
    for page in [&private, &public] {
        let text = text_of(page);
        for expected in [
            "Not passed",
            "This audit cannot decide.",
            "noise of &#60;10&#62; %",
            "loss the loss of the &#60;discriminator&#62; 0.625 [0.400 to 0.800]",
            "at 10 %: 3 of 14 [5.0 % to 51 %]; at 1.0 %: not resolvable, needs 100 other subjects",
            "10 subjects in a group",
        ] {
            assert!(text.contains(expected), "{expected:?} is missing");
        }
        assert!(!page.contains("<script") && !page.contains("http://"));
    }
}

#[test]
fn one_thing_is_not_many() {
    let mut audit = fixture::study().audit.unwrap().record;
    (audit.settings.null_images, audit.settings.null_subjects, audit.control_subjects) = (1, 1, 1);
    audit.membership[0].non_member_subjects = 1;
    audit.membership[0].attacks[0].detections[1].needed = 1;
    let images = AuditImages {
        schema: SCHEMA,
        real: audit.real.digest.clone(),
        synthetic: audit.synthetic.digest.clone(),
        images: Vec::new(),
    };
    let pages = AuditPages { record: &audit, images: &images, pairs: Vec::new() };
    let text = text_of(&pages.public().unwrap());
    for expected in [
        "from 1 image of 1 other subject;",
        "all, interval over 1 subject ",
        "14 training and 1 other subject;",
        "needs 1 other subject ",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing in {text}");
    }
}
