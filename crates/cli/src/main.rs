//! The program `synthmr`: the only crate that parses arguments, prints, reads the clock or exits.
//!
//! stdout carries results, stderr progress and errors. Exit codes: 0 done, 1 a finding (an audit or a gate
//! failed, training diverged), 2 usage, 3 bad input, 4 environment, 5 interrupted and resumable, 70 a bug.

mod arguments;
mod commands;
mod console;
mod engine;
mod estimate;
mod failure;
mod features;
mod system;
mod watch;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use failure::{Code, Failure};

fn main() -> ExitCode {
    panic::set_hook(Box::new(|info| console::error(&Failure::from_panic(info).to_string())));
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) => return console::usage(&message),
    };
    match panic::catch_unwind(AssertUnwindSafe(|| commands::run(arguments))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            console::error(&failure.to_string());
            failure.code().into()
        }
        Err(payload) => Code::of_panic(payload.as_ref()).into(),
    }
}
