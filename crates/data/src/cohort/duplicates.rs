//! Volumes with the same shape and values: one patient under two names, or one contrast under two.

use std::collections::BTreeMap;

use synthmr_core::Digest;

use super::finding::{Finding, Level};

/// Who has a content.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    /// The subject's name, printable.
    pub(crate) subject: String,
    /// The file, printable.
    pub(crate) file: String,
    /// The contrast, or the annotation.
    pub(crate) role: String,
}

/// The contents of a cohort's volumes seen so far, and who had each first.
#[derive(Debug, Default)]
pub(crate) struct Contents(BTreeMap<Digest, Holder>);

impl Contents {
    /// Adds a volume's content; a fault when another volume has it already.
    pub(crate) fn add(&mut self, digest: &Digest, holder: Holder) -> Option<Finding> {
        let Some(first) = self.0.get(digest) else {
            self.0.insert(digest.clone(), holder);
            return None;
        };
        let (found, hint) = if first.subject == holder.subject {
            let hint = "one contrast under two names: replace one of them";
            (format!("the content of {}", first.file), hint)
        } else {
            let hint = "one patient under two names would cross the split: remove one of them";
            (format!("the content of {} of subject {}", first.file, first.subject), hint)
        };
        let expected = format!("{} values of its own", holder.role);
        Some(Finding::new(Level::Fault, &holder.subject, holder.file, expected, found, hint))
    }
}
