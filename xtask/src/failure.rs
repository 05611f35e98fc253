//! Why a verb stopped: what was expected and found, what to do about it, and the exit code.

use std::fmt;
use std::io;
use std::path::Path;

/// Exit codes, the same meanings as the program's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// A check, a test or a bench found something.
    Finding = 1,
    /// The command line is not one of ours.
    Usage = 2,
    /// The machine lacks something: a tool, the network, disk space.
    Environment = 4,
}

/// An error that ends a verb. Printed once, by `main`.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    pub(crate) fn environment(message: impl Into<String>) -> Self {
        Self::new(Exit::Environment, message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Turns an I/O error into a failure that names what was tried and where.
    pub(crate) fn io<'a>(action: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |error| {
            let failure = Self::environment(format!("cannot {action} {}: {error}", path.display()));
            match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => failure.hint(
                    "the disk is full: free some space, or name a folder on another disk in SYNTHMR_CACHE",
                ),
                io::ErrorKind::PermissionDenied => {
                    failure.hint("check who owns the folder, or name another one in SYNTHMR_CACHE")
                }
                _ => failure,
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_with_its_file_and_a_hint() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let failure = Failure::io("write", Path::new("cache/x"))(full);
        let text = failure.to_string();
        assert!(text.starts_with("cannot write cache/x: "), "{text}");
        assert!(text.contains("\nhint: the disk is full"), "{text}");
        assert_eq!(failure.exit, Exit::Environment);
    }
}
