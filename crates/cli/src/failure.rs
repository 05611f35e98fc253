//! Why a command did not do what was asked, and the exit code that says so to a script.

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::panic::PanicHookInfo;
use std::process::ExitCode;

use synthmr_audit::AuditError;
use synthmr_audit::embedding::EmbeddingError;
use synthmr_core::files::FileError;
use synthmr_data::cohort::CohortError;
use synthmr_data::import::ImportError;
use synthmr_data::phantom::PhantomError;
use synthmr_data::prepare::PrepareError;
use synthmr_data::prepare::restore::RestoreError;
use synthmr_data::split::SplitError;
use synthmr_data::store::StoreError;
use synthmr_metrics::MetricsError;
use synthmr_nets::engine::CudaError;
use synthmr_realism::RealismError;
use synthmr_report::ReportError;
use synthmr_train::TrainError;
use synthmr_train::checkpoint::CheckpointError;
use synthmr_train::config::{ConfigError, Origin};
use synthmr_train::run::RunError;

/// The meaning of an exit code. Zero is not here: it has no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The work was done, and what it found is not good.
    Finding = 1,
    /// The command cannot be meant this way.
    Usage = 2,
    /// A file from outside is not what it should be.
    Input = 3,
    /// The machine: disk, permissions, memory, devices, another process.
    Environment = 4,
    /// Stopped on request; the same command continues.
    Interrupted = 5,
    /// A fault of this program.
    Bug = 70,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        ExitCode::from(code as u8)
    }
}

impl Code {
    /// Running out of memory reaches us as a panic in the bindings of libtorch; it is not a bug.
    pub(crate) fn of_panic(payload: &(dyn std::any::Any + Send)) -> Self {
        if is_out_of_memory(panic_text(payload)) { Code::Environment } else { Code::Bug }
    }
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

fn is_out_of_memory(text: &str) -> bool {
    text.contains("can't allocate memory") || text.contains("out of memory")
}

/// A failure with its exit code and what to print: causes after colons, hints on lines of their own.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    message: String,
    hints: Vec<String>,
}

impl Failure {
    /// A failure described by an error and the errors below it. Many errors of the libraries already quote
    /// their cause; it is not said twice.
    pub(crate) fn new(code: Code, error: &dyn Error) -> Self {
        let mut failure = Self { code, message: String::new(), hints: Vec::new() };
        let mut next: Option<&dyn Error> = Some(error);
        while let Some(error) = next {
            failure.add(&error.to_string());
            next = error.source();
        }
        failure
    }

    /// A failure in words; lines that begin with `hint:` are hints.
    pub(crate) fn in_words(code: Code, words: &str) -> Self {
        let mut failure = Self { code, message: String::new(), hints: Vec::new() };
        failure.add(words);
        failure
    }

    /// What the panic hook prints.
    pub(crate) fn from_panic(info: &PanicHookInfo<'_>) -> Self {
        let text = panic_text(info.payload());
        if is_out_of_memory(text) {
            let first = text.lines().find(|line| is_out_of_memory(line)).unwrap_or("out of memory");
            let hint = "hint: a smaller batch (`--set batch=4`) or a smaller preset needs less";
            return Self::in_words(Code::Environment, &format!("{}\n{hint}", first.trim()));
        }
        let place = info.location().map_or_else(String::new, |place| format!(" ({place})"));
        let hint = "hint: this is a bug in synthmr: please report it with the command and this message";
        Self::in_words(Code::Bug, &format!("internal error: {text}{place}\n{hint}"))
    }

    /// The exit code.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    fn add(&mut self, text: &str) {
        let (hints, lines): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("hint:"));
        let words = lines.join("\n");
        if self.message.is_empty() {
            self.message = words;
        } else if !self.message.contains(&words) {
            self.message = format!("{}: {words}", self.message);
        }
        for hint in hints {
            if !self.hints.iter().any(|known| known == hint) {
                self.hints.push(hint.to_owned());
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hints.iter().try_for_each(|hint| write!(f, "\n{hint}"))
    }
}

/// Files from outside are input; what the system refuses is the environment.
fn file_code(error: &FileError) -> Code {
    match error {
        FileError::Io { source, .. } => match source.kind() {
            ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory => Code::Input,
            _ => Code::Environment,
        },
        FileError::Document { .. } | FileError::Schema { .. } => Code::Input,
        FileError::Exists { .. } => Code::Usage,
        FileError::InUse { .. } => Code::Environment,
    }
}

fn store_code(error: &StoreError) -> Code {
    match error {
        StoreError::File(file) => file_code(file),
        StoreError::EmptySplit { .. } => Code::Usage,
        _ => Code::Input,
    }
}

fn checkpoint_code(error: &CheckpointError) -> Code {
    match error {
        CheckpointError::File(file) => file_code(file),
        CheckpointError::Kind { .. } => Code::Bug,
        _ => Code::Input,
    }
}

fn run_code(error: &RunError) -> Code {
    match error {
        RunError::File(file) => file_code(file),
        RunError::Checkpoint(checkpoint) => checkpoint_code(checkpoint),
        RunError::Changed { .. } => Code::Usage,
        RunError::NotARun { .. } | RunError::Schema { .. } | RunError::Untrained { .. } => Code::Input,
    }
}

fn split_code(error: &SplitError) -> Code {
    match error {
        SplitError::File(file) => file_code(file),
        SplitError::Request { .. } | SplitError::EmptyPart { .. } => Code::Usage,
        _ => Code::Input,
    }
}

fn prepare_code(error: &PrepareError) -> Code {
    match error {
        PrepareError::Resolution { .. } | PrepareError::Recipe { .. } => Code::Usage,
        _ => Code::Input,
    }
}

/// Writes `From` for errors whose code a function of the error decides.
macro_rules! failure_from {
    ($($error:ty => $code:expr),+ $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                let code: fn(&$error) -> Code = $code;
                Failure::new(code(&error), &error)
            }
        }
    )+};
}

failure_from! {
    FileError => file_code,
    StoreError => store_code,
    RunError => run_code,
    SplitError => split_code,
    PrepareError => prepare_code,
    CudaError => |error| match error {
        CudaError::UnknownDevice { .. } | CudaError::List { .. } => Code::Usage,
        _ => Code::Environment,
    },
    CohortError => |error| match error {
        CohortError::File(file) => file_code(file),
        _ => Code::Input,
    },
    PhantomError => |error| match error {
        PhantomError::File(file) => file_code(file),
        PhantomError::Volume { .. } => Code::Environment,
        PhantomError::Interrupted => Code::Interrupted,
        _ => Code::Usage,
    },
    ImportError => |error| match error {
        ImportError::Split(split) => split_code(split),
        ImportError::Prepare(prepare) => prepare_code(prepare),
        ImportError::Store(store) => store_code(store),
        ImportError::NoSubjects => Code::Input,
        ImportError::Interrupted => Code::Interrupted,
    },
    RestoreError => |error| match error {
        RestoreError::Names { source } => file_code(source),
        RestoreError::Prepare(prepare) => prepare_code(prepare),
        RestoreError::Write(_) => Code::Environment,
        _ => Code::Input,
    },
    ConfigError => |error| match error {
        ConfigError::Syntax { .. } => Code::Input,
        ConfigError::UnknownKey { origin: Origin::File { .. }, .. } => Code::Input,
        ConfigError::Value { origin: Origin::File { .. }, .. } => Code::Input,
        _ => Code::Usage,
    },
    TrainError => |error| match error {
        TrainError::Run(run) => run_code(run),
        TrainError::Checkpoint(checkpoint) => checkpoint_code(checkpoint),
        TrainError::Store(store) => store_code(store),
        TrainError::File(file) => file_code(file),
        TrainError::Selection(_) | TrainError::Setting { .. } | TrainError::Config { .. } | TrainError::Mismatch { .. } => Code::Usage,
        TrainError::Weights { .. } | TrainError::State { .. } | TrainError::Foreign { .. } => Code::Input,
        TrainError::NotFinite { .. } | TrainError::Drawn { .. } => Code::Finding,
    },
    MetricsError => |_| Code::Input,
    AuditError => |error| match error {
        AuditError::Store(store) => store_code(store),
        AuditError::File(file) => file_code(file),
        AuditError::Metrics(_) | AuditError::Gates { .. } | AuditError::Part { .. } => Code::Input,
        AuditError::Mismatch { .. } | AuditError::Memory { .. } => Code::Usage,
        AuditError::Embedding(EmbeddingError::NotFinite { .. }) => Code::Finding,
        AuditError::Embedding(_) => Code::Input,
        AuditError::Wording { .. } => Code::Bug,
        AuditError::Interrupted => Code::Interrupted,
    },
    RealismError => |error| match error {
        RealismError::Store(store) => store_code(store),
        RealismError::File(file) => file_code(file),
        RealismError::NotReal { .. } | RealismError::Shared { .. } => Code::Usage,
        RealismError::Interrupted => Code::Interrupted,
        _ => Code::Input,
    },
    ReportError => |error| match error {
        ReportError::File(file) => file_code(file),
        ReportError::Template(_) => Code::Bug,
        _ => Code::Input,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_come_last_and_causes_are_not_repeated() {
        let io = std::io::Error::from(ErrorKind::PermissionDenied);
        let error = FileError::Io { action: "read", path: "a.nii".into(), source: io };
        let failure = Failure::from(error);
        assert_eq!(failure.code(), Code::Environment);
        assert_eq!(failure.to_string(), "cannot read a.nii: permission denied");
        let failure = Failure::in_words(Code::Usage, "one\nhint: a\ntwo\nhint: a");
        assert_eq!(failure.to_string(), "one\ntwo\nhint: a");
    }

    #[test]
    fn memory_that_runs_out_is_no_bug() {
        let torch = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.".to_owned();
        assert_eq!(Code::of_panic(&torch), Code::Environment);
        assert_eq!(Code::of_panic(&"index out of bounds"), Code::Bug);
    }
}
