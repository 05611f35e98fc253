//! What a check says about a cohort.

use std::fmt;
use std::path::Path;

use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The cohort cannot be imported as it is.
    Fault,
    /// The import goes on; a person should know.
    Warning,
}

/// One thing that is wrong, or worth knowing, with everything needed to mend it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The subject's name as found; empty when it concerns the whole cohort. Control characters are escaped.
    pub subject: String,
    /// Fault or warning.
    pub level: Level,
    /// The file or folder, relative to the cohort; empty when it concerns the whole subject.
    pub file: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub hint: String,
}

impl Finding {
    pub(crate) fn new(
        level: Level,
        subject: &str,
        file: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            subject: subject.to_owned(),
            level,
            file: file.into(),
            expected: expected.into(),
            found: found.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Fault => "fault",
            Level::Warning => "warning",
        };
        write!(f, "{level}: ")?;
        for place in [&self.subject, &self.file] {
            if !place.is_empty() {
                write!(f, "{place}: ")?;
            }
        }
        write!(f, "expected {}, found {}\nhint: {}", self.expected, self.found, self.hint)
    }
}

/// A path as text that is safe on a terminal: control characters and invalid UTF-8 are escaped.
pub(crate) fn printable(path: &Path) -> String {
    let mut out = String::new();
    for c in path.to_string_lossy().chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}
