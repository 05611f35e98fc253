//! One file a verb: arguments in, calls into the libraries, results out.

pub(crate) mod adopt;
pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod evaluate;
pub(crate) mod import;
pub(crate) mod membership;
pub(crate) mod phantom;
pub(crate) mod realism;
pub(crate) mod report;
pub(crate) mod sample;
pub(crate) mod train;

use crate::arguments::{Arguments, Verb};
use crate::failure::Failure;

/// Runs one command.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { common, verb } = arguments;
    match verb {
        Verb::Doctor(doctor) => doctor.run(common),
        Verb::Check(check) => check.run(common),
        Verb::Phantom(phantom) => phantom.run(common),
        Verb::Import(import) => import.run(common),
        Verb::Train(train) => train.run(common),
        Verb::Adopt(adopt) => adopt.run(common),
        Verb::Sample(sample) => sample.run(common),
        Verb::Realism(realism) => realism.run(common),
        Verb::Evaluate(evaluate) => evaluate.run(common),
        Verb::Compare(compare) => compare.run(common),
        Verb::Audit(audit) => audit.run(common),
        Verb::Membership(membership) => membership.run(common),
        Verb::Report(report) => report.run(),
        Verb::Demo(demo) => demo.run(common),
    }
}
