//! `cargo xtask VERB`: everything a contributor or CI does with this repository.
//!
//! Invariant: xtask never depends on libtorch, nor on a crate that does, because it is what sets libtorch up.
//! It is also the only part of the repository that may cause a download (through pip and cargo); the program
//! `synthmr` itself never talks to the network.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool prints")]

#[cfg(not(unix))]
compile_error!("synthmr is built on Linux and macOS; on Windows, use the Linux of WSL 2");

mod arguments;
mod bench;
mod check;
mod demo;
mod failure;
mod libtorch;
mod test;
mod weights;
mod workspace;

use std::process::ExitCode;

use arguments::Verb;
use failure::Failure;
use workspace::Workspace;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn run() -> Result<(), Failure> {
    let verb = arguments::parse(std::env::args().skip(1))?;
    if let Verb::Help = verb {
        println!("{}", arguments::USAGE);
        return Ok(());
    }
    let workspace = Workspace::find()?;
    match verb {
        Verb::Help => Ok(()),
        Verb::Libtorch { cuda } => libtorch::run(&workspace, cuda),
        Verb::Weights => weights::run(&workspace.root),
        Verb::Check => check::run(&workspace),
        Verb::Test { filter } => test::run(&workspace, filter.as_deref()),
        Verb::Demo { quick, dir } => demo::run(&workspace, quick, &dir),
        Verb::Bench(options) => bench::run(&workspace, &options),
    }
}
