//! The audit's parts from outside, on heads that are drawn here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod embedding;
mod heads;
