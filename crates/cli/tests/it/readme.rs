//! The commands of the README, as somebody types them who has none of its files yet.

use crate::run;

const README: &str = include_str!("../../../../README.md");

/// Every `synthmr` command of the page with its words: lines of code blocks, and code inside of a sentence.
fn commands() -> Vec<String> {
    let mut commands = Vec::new();
    let mut in_block = false;
    for line in README.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            commands.extend(line.strip_prefix("synthmr ").map(str::to_owned));
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            commands.extend(spans.filter_map(|span| span.strip_prefix("synthmr ")).map(str::to_owned));
        }
    }
    commands
}

#[test]
fn the_commands_of_the_readme_are_understood() {
    let commands = commands();
    let tour =
        ["check", "import", "train generator", "sample", "train segmenter", "evaluate", "audit", "report"];
    for verb in tour {
        assert!(commands.iter().any(|command| command.starts_with(verb)), "synthmr {verb} in {commands:?}");
    }
    for command in commands {
        let folder = tempfile::tempdir().unwrap();
        // Needs no file: it works. The others are understood, values and presets included, and miss their input.
        let code = if ["phantom", "doctor"].iter().any(|verb| command.starts_with(verb)) { 0 } else { 3 };
        run(folder.path(), &command, code);
    }
}
