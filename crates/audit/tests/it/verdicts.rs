//! What an audit says, and what it must not.

use synthmr_audit::verdict::{FORBIDDEN, check};

#[test]
fn forbidden_words_are_refused_wherever_they_stand() {
    for text in [
        "The set is anonymous.",
        "This is Safe to share",
        "GDPR-compliant",
        "de-identified",
        "we guarantee that",
        "carries no risk",
        "Anonymised images",
    ] {
        assert!(check(text).is_err(), "{text:?} was accepted");
    }
    assert!(check("It flagged 3 of 1000 synthetic images.").is_ok());
    assert!(FORBIDDEN.iter().all(|word| *word == word.to_lowercase()));
}
