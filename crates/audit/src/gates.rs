//! What is asked of an audit: limits with their reasons, from a TOML file.

use std::path::Path;

use serde::Deserialize;
use synthmr_core::files;
use synthmr_core::records::GateRecord;

use crate::AuditError;

/// The gates that are used when no file is given.
pub const DEFAULT: &str = include_str!("gates.toml");

/// Gates with what was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Whether the audit can tell anything.
    pub about_the_audit: Vec<GateRecord>,
    /// What it found in the set.
    pub about_the_set: Vec<GateRecord>,
}

/// A limit with the reason for it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The limit.
    pub limit: f64,
    /// Where it comes from.
    pub reason: String,
}

/// All gates; a file names every one.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gates {
    /// Most stores and parts that the generator learnt from, this cohort's training part not among them.
    pub other_sources: Limit,
    /// Fewest subjects behind the null scores.
    pub null_subjects: Limit,
    /// Fewest control subjects.
    pub control_subjects: Limit,
    /// Largest share of control images that is flagged.
    pub control_false_alarms: Limit,
    /// Largest upper end of its interval.
    pub control_false_alarms_upper: Limit,
    /// Smallest recall of slightly changed copies, all cells together.
    pub slight_recall: Limit,
    /// The same for strongly changed ones.
    pub strong_recall: Limit,
    /// Most confirmed copies.
    pub confirmed: Limit,
    /// Largest lower end of the excess over control.
    pub excess_lower: Limit,
    /// Most confirmed copies of held-out subjects.
    pub held_out_copies: Limit,
}

impl Gates {
    /// Reads a file, or takes the default.
    ///
    /// # Errors
    /// [`AuditError::File`] when it cannot be read, [`AuditError::Gates`] with line and column when it is no gates file, a
    /// limit is not a number of at least 0, or a reason is empty.
    pub fn load(path: Option<&Path>) -> Result<Self, AuditError> {
        match path {
            Some(path) => Self::parse(&files::read_text(path)?, &path.display().to_string()),
            None => Self::parse(DEFAULT, "default gates"),
        }
    }

    fn parse(text: &str, path: &str) -> Result<Self, AuditError> {
        let fault = |message: String| AuditError::Gates { path: path.to_owned(), message };
        let gates: Self = toml::from_str(text).map_err(|e| fault(e.to_string().trim_end().to_owned()))?;
        for (name, limit) in gates.limits() {
            if !limit.limit.is_finite() || limit.limit < 0.0 {
                return Err(fault(format!("{name}: expected a limit of at least 0, found {}", limit.limit)));
            }
            if limit.reason.trim().is_empty() {
                return Err(fault(format!("{name}: expected a reason, found none")));
            }
        }
        Ok(gates)
    }

    fn limits(&self) -> [(&'static str, &Limit); 10] {
        [
            ("other_sources", &self.other_sources),
            ("null_subjects", &self.null_subjects),
            ("control_subjects", &self.control_subjects),
            ("control_false_alarms", &self.control_false_alarms),
            ("control_false_alarms_upper", &self.control_false_alarms_upper),
            ("slight_recall", &self.slight_recall),
            ("strong_recall", &self.strong_recall),
            ("confirmed", &self.confirmed),
            ("excess_lower", &self.excess_lower),
            ("held_out_copies", &self.held_out_copies),
        ]
    }

    /// Every gate with what was found.
    pub fn judge(&self, found: &Findings) -> Judged {
        let at_least =
            |name: &str, limit: &Limit, found: Option<f64>| gate(name, limit, found, |f, l| f >= l);
        let at_most = |name: &str, limit: &Limit, found: Option<f64>| gate(name, limit, found, |f, l| f <= l);
        let about_the_audit = vec![
            at_most(
                "other data that the generator learnt from, at most",
                &self.other_sources,
                Some(found.other_sources),
            ),
            at_least(
                "subjects behind the threshold, at least",
                &self.null_subjects,
                Some(found.null_subjects),
            ),
            at_least("control subjects, at least", &self.control_subjects, Some(found.control_subjects)),
            at_most(
                "share of control images flagged, at most",
                &self.control_false_alarms,
                found.false_alarms,
            ),
            at_most(
                "upper end of its interval over subjects, at most",
                &self.control_false_alarms_upper,
                found.false_alarms_upper,
            ),
            at_least("recall of slightly changed copies, at least", &self.slight_recall, found.slight_recall),
            at_least("recall of strongly changed copies, at least", &self.strong_recall, found.strong_recall),
        ];
        let about_the_set = vec![
            at_most("confirmed copies, at most", &self.confirmed, Some(found.confirmed)),
            at_most("lower end of the excess over control, at most", &self.excess_lower, found.excess_lower),
            at_most(
                "copies of held-out subjects, at most",
                &self.held_out_copies,
                Some(found.held_out_copies),
            ),
        ];
        Judged { about_the_audit, about_the_set }
    }
}

/// What gates are compared with; none where it could not be found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Findings {
    /// Stores and parts that the generator learnt from besides the cohort's training part.
    pub other_sources: f64,
    /// Subjects behind the null scores.
    pub null_subjects: f64,
    /// Control subjects.
    pub control_subjects: f64,
    /// Share of control images flagged.
    pub false_alarms: Option<f64>,
    /// Upper end of its interval.
    pub false_alarms_upper: Option<f64>,
    /// Recall of slightly changed copies.
    pub slight_recall: Option<f64>,
    /// Recall of strongly changed copies.
    pub strong_recall: Option<f64>,
    /// Confirmed copies.
    pub confirmed: f64,
    /// Lower end of the excess over control.
    pub excess_lower: Option<f64>,
    /// Confirmed copies of held-out subjects.
    pub held_out_copies: f64,
}

fn gate(name: &str, limit: &Limit, found: Option<f64>, met: impl Fn(f64, f64) -> bool) -> GateRecord {
    GateRecord {
        name: name.to_owned(),
        limit: limit.limit,
        found,
        met: found.is_some_and(|found| met(found, limit.limit)),
        reason: limit.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_gates_are_complete_and_each_can_fail() {
        let gates = Gates::load(None).unwrap();
        let good = Findings {
            other_sources: 0.0,
            null_subjects: 20.0,
            control_subjects: 5.0,
            false_alarms: Some(0.01),
            false_alarms_upper: Some(0.02),
            slight_recall: Some(0.99),
            strong_recall: Some(0.9),
            confirmed: 0.0,
            excess_lower: Some(-0.01),
            held_out_copies: 0.0,
        };
        let judged = |findings: &Findings| {
            let Judged { about_the_audit, about_the_set } = gates.judge(findings);
            let first = about_the_audit.len();
            let met =
                [about_the_audit, about_the_set].concat().iter().map(|gate| gate.met).collect::<Vec<_>>();
            (met, first)
        };
        assert!(judged(&good).0.iter().all(|met| *met));
        let bad = [
            Findings { other_sources: 1.0, ..good },
            Findings { null_subjects: 9.0, ..good },
            Findings { control_subjects: 2.0, ..good },
            Findings { false_alarms: Some(0.03), ..good },
            Findings { false_alarms_upper: Some(0.2), ..good },
            Findings { slight_recall: Some(0.5), ..good },
            Findings { strong_recall: None, ..good },
            Findings { confirmed: 1.0, ..good },
            Findings { excess_lower: Some(0.02), ..good },
            Findings { held_out_copies: 1.0, ..good },
        ];
        for (i, findings) in bad.iter().enumerate() {
            let (met, first) = judged(findings);
            assert_eq!(met.iter().position(|met| !met), Some(i), "{findings:?}");
            // What speaks of copies in the set comes after what speaks of the audit.
            let of_set = findings.confirmed > 0.0
                || findings.held_out_copies > 0.0
                || findings.excess_lower != good.excess_lower;
            assert_eq!(i >= first, of_set, "{findings:?}");
        }
    }

    #[test]
    fn rejects_gates_without_reason_or_with_unknown_names() {
        for (from, to, expected) in [
            ("limit = 10", "limit = -1", "null_subjects: expected a limit of at least 0"),
            ("limit = 10", "limit = nan", "null_subjects: expected a limit"),
            ("[null_subjects]", "[nul_subjects]", "unknown field `nul_subjects`"),
            ("limit = 10", "limt = 10", "line"),
        ] {
            let message = Gates::parse(&DEFAULT.replace(from, to), "g.toml").unwrap_err().to_string();
            assert!(message.contains("g.toml") && message.contains(expected), "{message}");
        }
        let silent = "[confirmed]\nlimit = 0\nreason = \" \"\n";
        let (before, rest) = DEFAULT.split_once("[confirmed]").unwrap();
        let after = &rest[rest.find("[excess_lower]").unwrap()..];
        let message = Gates::parse(&format!("{before}{silent}{after}"), "g.toml").unwrap_err().to_string();
        assert!(message.contains("confirmed: expected a reason"), "{message}");
    }
}
