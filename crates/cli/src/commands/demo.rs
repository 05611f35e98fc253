//! `synthmr demo`: the whole chain on a phantom cohort, as the commands a user would type.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use serde::{Deserialize, Serialize};
use synthmr_core::files;
use synthmr_core::records::Tool;
use synthmr_train::run::is_finished;

use crate::arguments::{Arguments, Common};
use crate::commands;
use crate::console;
use crate::failure::{Code, Failure};

/// What the demo was begun as; another kind in the same folder would mix two of them.
const PLAN_FILE: &str = "demo.json";

/// Run the whole chain on a phantom cohort.
///
/// Every step is printed as the command that does it. Run again, the demo continues where it stopped.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Folder that everything goes into.
    #[arg(long, value_name = "DIR", default_value = "demo")]
    out: PathBuf,
    /// A fifth of the work: shows that everything runs, not how good it gets.
    #[arg(long)]
    quick: bool,
}

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    subjects: usize,
    generator_kimg: f64,
    synthetic_images: usize,
    segmenter_kimg: f64,
}

/// At most ten minutes on two cores.
const FULL: Size = Size { subjects: 24, generator_kimg: 36.0, synthetic_images: 1000, segmenter_kimg: 5.0 };
/// About two minutes.
const QUICK: Size = Size { subjects: 12, generator_kimg: 2.0, synthetic_images: 256, segmenter_kimg: 1.6 };

/// `demo.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    tool: Tool,
    size: Size,
}

/// One command, and whether its result is there already.
struct Step {
    words: Vec<OsString>,
    is_done: bool,
}

impl Demo {
    /// Runs all steps that are not done.
    pub(crate) fn run(&self, common: Common) -> Result<(), Failure> {
        let begun = Instant::now();
        files::create_folder(&self.out)?;
        let plan = Plan { tool: Tool::this(), size: if self.quick { QUICK } else { FULL } };
        self.begin(&plan)?;
        let steps = self.steps(plan.size);
        let count = steps.len();
        for (i, step) in steps.into_iter().enumerate() {
            let mut words = step.words;
            if let Some(threads) = common.threads {
                words.extend(["--threads".into(), threads.to_string().into()]);
            }
            let done = if step.is_done { "  (done)" } else { "" };
            console::note(&format!("\n[{}/{count}] $ {}{done}", i + 1, shown(&words)));
            if !step.is_done {
                let arguments = Arguments::try_parse_from(&words)
                    .map_err(|e| Failure::in_words(Code::Bug, &format!("the demo's own command: {e}")))?;
                commands::run(arguments)?;
            }
        }
        console::note(&format!("\ndone in {}", console::duration(begun.elapsed().as_secs_f64())));
        Ok(())
    }

    /// Writes down what this demo is, or compares it with what it was begun as.
    fn begin(&self, plan: &Plan) -> Result<(), Failure> {
        let path = self.out.join(PLAN_FILE);
        if !path.exists() {
            return Ok(files::write_json(&path, plan)?);
        }
        if files::read_json::<Plan>(&path)? == *plan {
            return Ok(());
        }
        let words = format!(
            "{} holds a demo of another size or version\nhint: choose another folder, or remove this one",
            self.out.display()
        );
        Err(Failure::in_words(Code::Usage, &words))
    }

    fn steps(&self, size: Size) -> Vec<Step> {
        let at = |name: &str| self.out.join(name);
        let [cohort, real, generator, synthetic] = ["ph", "ph.store", "gen", "syn.store"].map(at);
        let is_store = |path: &Path| path.join("manifest.json").is_file();
        let mut steps = vec![
            Step::new(cohort.is_dir())
                .word("phantom")
                .path(&cohort)
                .pair("--subjects", size.subjects)
                .pair("--seed", 7),
            Step::new(is_store(&real)).word("check").path(&cohort),
            Step::new(is_store(&real))
                .word("import")
                .path(&cohort)
                .option("--out", &real)
                .pair("--resolution", 64)
                .pair("--split", "train=0.6,val=0.1,control=0.1,test=0.2")
                .pair("--seed", 7),
            Step::new(is_finished(&generator))
                .word("train")
                .word("generator")
                .pair("--preset", "edm-tiny-64")
                .option("--data", &real)
                .option("--out", &generator)
                .pair("--kimg", size.generator_kimg),
            Step::new(is_store(&synthetic))
                .word("sample")
                .path(&generator)
                .pair("--count", size.synthetic_images)
                .pair("--seed", 1)
                .option("--out", &synthetic),
        ];
        let mut report = Step::new(false)
            .word("report")
            .pair("--title", "Demo")
            .option("--real", &real)
            .option("--synthetic", &synthetic)
            .option("--run", &generator);
        for (condition, sources) in
            [("real", &[&real][..]), ("synthetic", &[&synthetic][..]), ("both", &[&real, &synthetic][..])]
        {
            let run = at(&format!("seg-{condition}"));
            let evaluation = at(&format!("eval-{condition}.json"));
            let mut train = Step::new(is_finished(&run))
                .word("train")
                .word("segmenter")
                .pair("--preset", "unet-tiny-64")
                .option("--out", &run)
                .pair("--kimg", size.segmenter_kimg);
            for source in sources {
                train = train.option("--train", source);
            }
            steps.push(train);
            steps.push(
                Step::new(evaluation.is_file())
                    .word("evaluate")
                    .path(&run)
                    .option("--data", &real)
                    .pair("--split", "test")
                    .option("--out", &evaluation),
            );
            let mut named = OsString::from(format!("{condition}="));
            named.push(&evaluation);
            report = report.option("--run", &run).option("--evaluation", Path::new(&named));
        }
        steps.push(report.option("--out", &at("report.html")));
        steps
    }
}

impl Step {
    fn new(is_done: bool) -> Self {
        Self { words: vec!["synthmr".into()], is_done }
    }

    fn word(mut self, word: &str) -> Self {
        self.words.push(word.into());
        self
    }

    fn path(mut self, path: &Path) -> Self {
        self.words.push(path.into());
        self
    }

    fn pair(self, flag: &str, value: impl ToString) -> Self {
        self.word(flag).word(&value.to_string())
    }

    fn option(self, flag: &str, path: &Path) -> Self {
        self.word(flag).path(path)
    }
}

/// The command as it is typed in a shell.
fn shown(words: &[OsString]) -> String {
    let quoted = |word: &OsString| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_a_command_that_parses() {
        let demo = Demo { out: "a b".into(), quick: true };
        for step in demo.steps(QUICK) {
            let text = shown(&step.words);
            assert!(Arguments::try_parse_from(&step.words).is_ok(), "{text}");
            assert!(text.contains("'a b/"), "{text}");
        }
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(shown(&["a b".into(), "it's".into(), "x=1".into()]), r"'a b' 'it'\''s' x=1");
    }
}
