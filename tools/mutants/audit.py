"""Mutants of the audit: each of these faults, put into the code by itself, must make a test of the crate fail.

    python tools/mutants/audit.py [NAME...]        in a clone of its own: files are changed while it runs, and restored

Prints a line for every mutant, with the first test that fails; ends with 1 if one survives or a place is not found. A run
takes a build and at most the tests of `synthmr-audit` for each.
"""

import pathlib
import re
import subprocess
import sys

SOURCE = pathlib.Path(__file__).parents[2] / "crates" / "audit" / "src"

# Name: file, what stands there once, what is put in its place.
MUTANTS = {
    "train and held-out subjects exchanged": (
        "detectors/margin.rs",
        "subjects[entry.0].split == Split::Train;",
        "subjects[entry.0].split != Split::Train;",
    ),
    "flips and turns left out": (
        "detectors/candidates.rs",
        "for flip in 0..DIHEDRAL {",
        "for flip in (0..DIHEDRAL).map(|_| 0) {",
    ),
    "background not masked": (
        "detectors/candidates.rs",
        "let inside = sampled(mask, pose, side).gt(0.5).to_kind(Kind::Float);",
        "let inside = sampled(mask, pose, side).ones_like();",
    ),
    "background compared": (
        "detectors/similarity.rs",
        "let inner = eroded(heads, query.size()[2] / 32);",
        "let inner = eroded(heads, query.size()[2] / 32).ones_like();",
    ),
    "subjects off by one": (
        "slices.rs",
        "partition_point(|subject| subject.start <= position) - 1",
        "partition_point(|subject| subject.start < position).max(1) - 1",
    ),
    "a query's own subject not left out": (
        "detectors/candidates.rs",
        "if let Some(subject) = own {",
        "if let (Some(subject), false) = (own, true) {",
    ),
    "similarity in the place of the margin": (
        "detectors/margin.rs",
        "margin: fisher(entry.1) - level,",
        "margin: fisher(entry.1) - level * 0.0,",
    ),
    "ten times the false alarms": (
        "calibration.rs",
        "calibration.threshold = calibration.at_exceedance(rate);",
        "calibration.threshold = calibration.at_exceedance(rate * 10.0);",
    ),
    "slices counted instead of subjects": (
        "calibration.rs",
        "let weight = 1.0 / (kept.len() * subject.queries.len().max(1)) as f64;",
        "let weight = 1.0 / kept.iter().map(|s| s.queries.len()).sum::<usize>() as f64;",
    ),
    "no alignment": (
        "alignment.rs",
        "for _ in 0..rounds {",
        "for _ in 0..rounds * 0 {",
    ),
    "copies planted unchanged": (
        "planted.rs",
        "C::Rotation(degrees) => moved(1.0, degrees, 0.0),",
        "C::Rotation(degrees) => moved(1.0, degrees * 0.0, 0.0),",
    ),
    "p values too small": (
        "calibration.rs",
        "TAIL * (-(score - begin) / mean).exp()",
        "TAIL * (-4.0 * (score - begin) / mean).exp()",
    ),
    "images resampled instead of subjects": (
        "statistics.rs",
        "self.interval(rate(subjects), subjects.len(), |random| rate_of(random, subjects))",
        "self.interval(rate(subjects), subjects.len(), |random| { let all = subjects.iter().fold(Count::default(), |a, b| "
        "Count { flagged: a.flagged + b.flagged, n: a.n + b.n }); Some(resampled(random, all)) })",
    ),
    "the filter keeps what was flagged": (
        "filter.rs",
        "filter(|index| !flagged.contains_key(&(*index as usize)))",
        "filter(|index| flagged.contains_key(&(*index as usize)))",
    ),
    "no correction for many images": (
        "flagged.rs",
        "let mut of_train = benjamini_hochberg(&p_values, rate);",
        "let mut of_train: Vec<bool> = p_values.iter().map(|&p| p <= rate).collect();",
    ),
    "other data that was learnt from not counted": (
        "conclusion.rs",
        "if input.digest != *cohort || input.split != train {",
        "if input.digest != *cohort && input.split != train {",
    ),
    "networks that know a subject search for it": (
        "detectors/learned.rs",
        "own.is_some_and(|own| half_of(self.reference, own) == Some(number))",
        "own.is_some_and(|own| half_of(self.reference, own) == Some(2 + number))",
    ),
    "scores of images for everybody": (
        "work.rs",
        "files::write_with(&path, Access::Private,",
        "files::write_with(&path, Access::Shared,",
    ),
}


def main(names):
    survived = []
    for name, (file, old, new) in MUTANTS.items():
        if names and name not in names:
            continue
        path = SOURCE / file
        text = path.read_text()
        if text.count(old) < 1:
            print(f"{name}: its place is not in {file}")
            survived.append(name)
            continue
        path.write_text(text.replace(old, new, 1))
        try:
            command = ["cargo", "nextest", "run", "--release", "-p", "synthmr-audit"]
            done = subprocess.run(command, capture_output=True, text=True)
        finally:
            path.write_text(text)
        output = done.stdout + done.stderr
        failed = re.search(r"FAIL \[.*?\] (?:\(.*?\) )?(.*)", output)
        if failed:
            print(f"{name}: killed by {failed.group(1)}", flush=True)
        elif done.returncode != 0:
            print(f"{name}: does not compile", flush=True)
            survived.append(name)
        else:
            print(f"{name}: SURVIVED", flush=True)
            survived.append(name)
    sys.exit(1 if survived else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
