//! The command line as it is typed.

use clap::{Parser, Subcommand};

use crate::commands::{
    adopt, audit, check, compare, demo, doctor, evaluate, import, membership, phantom, realism, report,
    sample, train,
};

/// Turns an annotated MR cohort into a synthetic data set that can be shared, and measures what it is worth.
#[derive(Debug, Parser)]
#[command(name = "synthmr", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb accepts.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Common {
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Threads to compute with [default: the physical cores that this process may use].
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Say what this machine offers: engine, processor, devices, memory, disk.
    Doctor(doctor::Doctor),
    /// List everything that is wrong with a cohort.
    Check(check::Check),
    /// Write a procedural cohort to try things on.
    Phantom(phantom::Phantom),
    /// Divide a cohort by subject and prepare its slices.
    Import(import::Import),
    /// Train a network; run again, an interrupted training continues.
    #[command(subcommand)]
    Train(train::Train),
    /// Make a run of a generator whose weights were trained elsewhere, to draw from.
    Adopt(adopt::Adopt),
    /// Draw synthetic images with their annotation from a generator.
    Sample(sample::Sample),
    /// Measure how close a synthetic set is to a real one.
    Realism(realism::Realism),
    /// Test a segmenter on held-out subjects.
    Evaluate(evaluate::Evaluate),
    /// Compare conditions subject by subject.
    Compare(compare::Compare),
    /// Search a synthetic set for copies of the cohort's images.
    Audit(audit::Audit),
    /// Measure whether a generator tells who it was trained on.
    Membership(membership::Membership),
    /// Put everything into one HTML file.
    Report(report::Report),
    /// Run the whole chain on a phantom cohort.
    Demo(demo::Demo),
}
