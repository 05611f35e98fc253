//! How a training loop and its caller talk.

use synthmr_core::records::Tick;

/// The caller's side of a long computation: progress goes out, a wish to stop and the time come in.
pub trait Watch {
    /// Seconds since any fixed moment; only differences are used, and only for rates that people read.
    fn seconds(&self) -> f64;

    /// True when the computation should save its state and return [`Outcome::Interrupted`]. Asked at every step.
    fn should_stop(&self) -> bool;

    /// Called at every step: how far the computation has come.
    fn progress(&mut self, images_done: u64, images_total: u64);

    /// Called at every tick (a few times a minute to an hour): values for people, as written to `events.jsonl`.
    fn tick(&mut self, tick: &Tick);

    /// Something a person should know: a damaged checkpoint was skipped, training resumes at some point.
    fn note(&mut self, message: &str);
}

/// How a long computation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is done.
    Finished,
    /// It was asked to stop; the same command resumes it.
    Interrupted,
    /// A rule of the configuration ended it early; what there is is complete, and a note says why.
    Stopped,
}

/// How a complete run ended.
pub(crate) fn ended(stopped: Option<String>, watch: &mut dyn Watch) -> Outcome {
    match stopped {
        Some(reason) => {
            watch.note(&format!("a rule ended the training: {reason}"));
            Outcome::Stopped
        }
        None => Outcome::Finished,
    }
}
