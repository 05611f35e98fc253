//! The audit from outside: a phantom cohort, sets that copy it and sets that do not.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as tests do")]

mod cohort;
mod embedding;
mod heads;
mod learned;
mod refusals;
mod search;
mod verdicts;
mod whole;
