//! The result in words: one rule for every sentence, and words that no audit may use.

use synthmr_core::records::{AuditRecord, Interval, MembershipRecord, SensitivityRecord, Tier};

use crate::AuditError;

/// Beginnings of words that promise what an audit cannot know. They are refused in every verdict.
pub const FORBIDDEN: [&str; 12] = [
    "anonym",
    "safe",
    "gdpr",
    "hipaa",
    "de-identif",
    "deidentif",
    "no risk",
    "risk-free",
    "guarantee",
    "certif",
    "complian",
    "private data",
];

/// Cells with a lower recall than this are named.
const WEAK: f64 = 0.9;

/// The verdict of a record whose numbers are there.
///
/// # Errors
/// [`AuditError::Wording`] when a name in the record would bring a forbidden word into it.
pub fn verdict(record: &AuditRecord) -> Result<String, AuditError> {
    let mut sentences = vec![result(record)];
    sentences.push(format!(
        "It flagged {} of {} synthetic images (control: {} of {} images of {} subjects that no generator has seen).",
        record.flagged, record.n, record.control_flagged, record.control_n, record.control_subjects
    ));
    let rate = percent(record.settings.false_alarm_rate);
    for (tier, what) in [(Tier::Slight, "slightly"), (Tier::Strong, "strongly")] {
        let recall = pooled_recall(&record.sensitivity, tier);
        if let Some(recall) = recall {
            sentences.push(format!(
                "At {rate} false alarms this audit finds {} of {what} changed copies.",
                with_range(&recall)
            ));
        }
    }
    let weak: Vec<String> = record
        .sensitivity
        .iter()
        .filter(|cell| cell.tier != Tier::Partial && cell.recall.mean.is_some_and(|recall| recall < WEAK))
        .map(|cell| format!("{} ({})", cell.name, percent(cell.recall.mean.unwrap_or(0.0))))
        .collect();
    if !weak.is_empty() {
        sentences.push(format!("Weak spots: {}.", weak.join(", ")));
    }
    sentences.push(format!(
        "{} of {} training subjects have at least one confirmed copy (held-out subjects: {} of {}).",
        record.patients.train_copied,
        record.patients.train_n,
        record.patients.control_copied,
        record.patients.control_n
    ));
    if !record.unresolved.is_empty() {
        sentences.push(format!("Not resolved: {}.", record.unresolved.join("; ")));
    }
    sentences.extend(record.membership.iter().filter_map(attack));
    let other = if record.membership.is_empty() { "" } else { " by other attacks, on weights or images" };
    sentences.push(format!(
        "It cannot exclude partial copies or membership inference{other}, and what it says of copies is about this set of \
         images only."
    ));
    let text = sentences.join(" ");
    check(&text)?;
    Ok(text)
}

/// What the attack that was chosen beforehand tells of one generator's weights.
fn attack(membership: &MembershipRecord) -> Option<String> {
    let attack = membership.attacks.first()?;
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    Some(format!(
        "From a generator's weights, {} training and {} other subjects are told apart with an AUC of {} [{}-{}]; 0.5 is chance.",
        membership.member_subjects,
        membership.non_member_subjects,
        number(attack.auc.mean),
        number(attack.auc.low),
        number(attack.auc.high)
    ))
}

/// The first sentence.
fn result(record: &AuditRecord) -> String {
    if record.confirmed + record.held_out_copies > 0 {
        let of_held_out = match record.held_out_copies {
            0 => String::new(),
            n => format!(", and {n} of subjects that should have been held out"),
        };
        return format!(
            "Copies found: {} images are copies of training subjects{of_held_out}, as far as chance can be told (at most {} of \
             them falsely).",
            record.confirmed,
            percent(record.settings.discovery_rate)
        );
    }
    if record.passed {
        return "No copies were found beyond chance.".to_owned();
    }
    let unmet: Vec<&str> =
        record.gates.iter().filter(|gate| !gate.met).map(|gate| gate.name.as_str()).collect();
    let unmet = unmet.join("; ");
    if record.unresolved.is_empty() {
        format!("No single copy is certain, but these gates are not met: {unmet}.")
    } else {
        format!("This audit cannot decide: these gates are not met: {unmet}.")
    }
}

/// Found copies of all cells of a tier together.
pub fn pooled_recall(cells: &[SensitivityRecord], tier: Tier) -> Option<Interval> {
    let (found, n) = cells
        .iter()
        .filter(|cell| cell.tier == tier)
        .fold((0, 0), |(found, n), cell| (found + cell.found, n + cell.n));
    (n > 0).then(|| synthmr_metrics::statistics::clopper_pearson(found, n, 0.95))
}

/// Refuses a text with a forbidden word.
///
/// # Errors
/// [`AuditError::Wording`].
pub fn check(text: &str) -> Result<(), AuditError> {
    let text = text.to_lowercase();
    match FORBIDDEN.iter().find(|word| text.contains(*word)) {
        Some(word) => Err(AuditError::Wording { word }),
        None => Ok(()),
    }
}

fn with_range(share: &Interval) -> String {
    let part =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{:.0}", 100.0 * value));
    format!("{} % [{}-{}]", part(share.mean), part(share.low), part(share.high))
}

fn percent(share: f64) -> String {
    let value = 100.0 * share;
    if (value - value.round()).abs() < 0.05 { format!("{value:.0} %") } else { format!("{value:.1} %") }
}
