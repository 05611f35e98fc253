//! The command line, parsed by hand: five verbs do not justify compiling a parser before every set-up.

use std::path::PathBuf;

use crate::failure::{Exit, Failure};

/// What `cargo xtask help` prints.
pub(crate) const USAGE: &str = "\
cargo xtask VERB

  libtorch [--cuda]            get the pinned engine into the per-user cache and link it as .libtorch
                               (--cuda: the CUDA libraries as well, about 2.5 GB to download)
  weights                      get the weights of EfficientNet-lite0 (17 MB), the default of `synthmr realism`
  check                        format, lints, dependency table, house rules, documentation
  test [FILTER]                every test that CI runs
  demo [--quick] [--dir DIR]   the whole chain on a phantom cohort; ends by naming a report
                               (default DIR: demo, demo-quick)
  bench [FILTER] [--python PYTHON] [--rounds N] [-- RUNS [THREADS [SIDE [BATCH]]]]
                               timings as JSON lines; with --python, beside the peers in tools/bench

environment
  SYNTHMR_CACHE      folder for the engine (default: XDG_CACHE_HOME/synthmr, else ~/.cache/synthmr)
  SYNTHMR_WHEELS     folder that holds the wheels named in libtorch.lock.toml: nothing is downloaded
  SYNTHMR_REAL_DATA  folder with real subjects, for the tests that use them
  LIBTORCH, LIBTORCH_USE_PYTORCH
                     an engine of your own; it wins, and nothing is set up";

/// A bench run, as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BenchOptions {
    /// Only benches whose name contains this.
    pub(crate) filter: Option<String>,
    /// The Python that runs the peers; without it they are skipped.
    pub(crate) python: Option<PathBuf>,
    /// How often each bench and its peer take turns.
    pub(crate) rounds: usize,
    /// What follows `--`, for bench and peers alike.
    pub(crate) sizes: Vec<String>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Help,
    Libtorch { cuda: bool },
    Weights,
    Check,
    Test { filter: Option<String> },
    Demo { quick: bool, dir: PathBuf },
    Bench(BenchOptions),
}

/// Bench and peer take turns at least twice, so that a slow minute of the machine meets both.
const DEFAULT_ROUNDS: usize = 2;

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message).hint("`cargo xtask help` lists the verbs and their options")
}

/// Parses the words after `cargo xtask`.
pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Verb, Failure> {
    let mut words = words.into_iter();
    let Some(verb) = words.next() else { return Ok(Verb::Help) };
    let mut filter = None;
    let mut flags = Flags::default();
    while let Some(word) = words.next() {
        if verb == "bench" && word == "--" {
            flags.sizes = words.by_ref().collect();
            break;
        }
        let mut value = |of: &str| words.next().ok_or_else(|| usage(format!("{of} expects a value")));
        match (verb.as_str(), word.as_str()) {
            (_, "--help" | "-h") => return Ok(Verb::Help),
            ("libtorch", "--cuda") => flags.cuda = true,
            ("demo", "--quick") => flags.quick = true,
            ("demo", "--dir") => flags.dir = Some(value("--dir")?.into()),
            ("bench", "--python") => flags.python = Some(value("--python")?.into()),
            ("bench", "--rounds") => flags.rounds = Some(rounds_from(&value("--rounds")?)?),
            ("test" | "bench", other) if !other.starts_with('-') && filter.is_none() => filter = Some(word),
            _ => return Err(usage(format!("`{word}` is no argument of `{verb}`"))),
        }
    }
    match verb.as_str() {
        "help" | "--help" | "-h" => Ok(Verb::Help),
        "libtorch" => Ok(Verb::Libtorch { cuda: flags.cuda }),
        "weights" => Ok(Verb::Weights),
        "check" => Ok(Verb::Check),
        "test" => Ok(Verb::Test { filter }),
        "demo" => {
            Ok(Verb::Demo { quick: flags.quick, dir: flags.dir.unwrap_or_else(|| demo_folder(flags.quick)) })
        }
        "bench" => Ok(Verb::Bench(BenchOptions {
            filter,
            python: flags.python,
            rounds: flags.rounds.unwrap_or(DEFAULT_ROUNDS),
            sizes: flags.sizes,
        })),
        other => Err(usage(format!("expected a verb, found `{other}`"))),
    }
}

#[derive(Default)]
struct Flags {
    cuda: bool,
    quick: bool,
    dir: Option<PathBuf>,
    python: Option<PathBuf>,
    rounds: Option<usize>,
    sizes: Vec<String>,
}

/// A demo refuses to go on in the folder of one of another size, so each size has its own.
fn demo_folder(quick: bool) -> PathBuf {
    if quick { "demo-quick".into() } else { "demo".into() }
}

fn rounds_from(text: &str) -> Result<usize, Failure> {
    match text.parse() {
        Ok(rounds) if (1..=100).contains(&rounds) => Ok(rounds),
        _ => Err(usage(format!("--rounds expects a number from 1 to 100, found `{text}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Verb, Failure> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn every_verb_parses_with_its_options() {
        assert_eq!(parsed("").unwrap(), Verb::Help);
        assert_eq!(parsed("weights").unwrap(), Verb::Weights);
        assert_eq!(parsed("check").unwrap(), Verb::Check);
        assert_eq!(parsed("libtorch --cuda").unwrap(), Verb::Libtorch { cuda: true });
        assert_eq!(parsed("test nifti").unwrap(), Verb::Test { filter: Some("nifti".into()) });
        assert_eq!(parsed("demo --quick --dir out").unwrap(), Verb::Demo { quick: true, dir: "out".into() });
        assert_ne!(parsed("demo").unwrap(), parsed("demo --dir demo-quick").unwrap());
        assert_eq!(parsed("demo --quick").unwrap(), Verb::Demo { quick: true, dir: "demo-quick".into() });
        let bench = BenchOptions {
            filter: Some("unet".into()),
            python: Some("py".into()),
            rounds: 3,
            sizes: vec!["5".into(), "2".into()],
        };
        assert_eq!(parsed("bench unet --python py --rounds 3 -- 5 2").unwrap(), Verb::Bench(bench));
    }

    #[test]
    fn rejects_what_no_verb_takes() {
        for line in ["tets", "check --quick", "demo --dir", "test a b", "bench --rounds 0", "libtorch cuda"] {
            let failure = parsed(line).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{line}");
            assert!(failure.hint.is_some(), "{line}");
        }
    }
}
