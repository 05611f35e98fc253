//! House rules that neither rustfmt nor clippy knows.
//!
//! Every forbidden word is written in two halves here, so that this file passes its own rules.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::findings;
use crate::failure::Failure;
use crate::workspace::Workspace;

/// Longest source file. Beyond it a file holds more than one idea.
const FILE_LINES: usize = 600;

/// The mark, in the first ten lines, of a file that is one long table and may be longer.
const TABLE_MARK: &str = concat!("tidy: ", "pure table");

/// Longest `ARCHITECTURE.md`: one that nobody reads to the end is not kept true.
const ARCHITECTURE_LINES: usize = 200;

/// Words that stay out of Rust sources, and why.
const FORBIDDEN: [(&str, &str); 5] = [
    (concat!("to", "do!("), "unfinished code is not merged"),
    (concat!("unimpl", "emented!("), "unfinished code is not merged"),
    (concat!("#[ign", "ore"), "a test runs or is deleted"),
    (concat!("db", "g!("), "left over from debugging"),
    (concat!("al", "low("), "use #[expect(lint, reason = \"...\")], which says when it is no longer needed"),
];

/// Folders of one person's machine, which mean nothing on another's.
const MACHINE_FOLDERS: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

/// Files that are text of ours; others (images, weights, volumes, the lock file of cargo) are not looked into.
const TEXT_ENDINGS: [&str; 10] =
    [".rs", ".toml", ".md", ".py", ".sh", ".yml", ".yaml", ".cff", ".html", ".ci/run"];

/// The step of `cargo xtask check`.
pub(super) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let mut found = Vec::new();
    let mut crates = BTreeSet::new();
    for path in files(workspace)? {
        if let Some(name) = crate_of(&path) {
            crates.insert(name.to_owned());
        }
        if !TEXT_ENDINGS.iter().any(|ending| path.ends_with(ending)) {
            continue;
        }
        // A file that git knows and that was just deleted is no finding.
        let Ok(text) = fs::read_to_string(workspace.root.join(&path)) else { continue };
        found.extend(faults(&path, &text));
    }
    let path = workspace.root.join("ARCHITECTURE.md");
    let architecture = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
    found.extend(architecture_faults(&architecture, &crates));
    findings(found, "the rules are in xtask/src/check/tidy.rs and CONTRIBUTING.md")
}

/// Files of the repository and new ones that git would add, relative to the root.
fn files(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(&workspace.root)
        .output()
        .map_err(|error| Failure::environment(format!("cannot start git: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::environment(format!("`git ls-files` failed: {}", said.trim()))
            .hint("the check reads the list of files from git: run it in a clone"));
    }
    let names = String::from_utf8_lossy(&output.stdout);
    Ok(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// The folder of the crate whose manifest this is.
fn crate_of(path: &str) -> Option<&str> {
    match path.split('/').collect::<Vec<_>>()[..] {
        ["crates", name, "Cargo.toml"] => Some(name),
        ["xtask", "Cargo.toml"] => Some("xtask"),
        _ => None,
    }
}

/// What is wrong with one file.
fn faults(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let rust = path.ends_with(".rs");
    let lines = text.lines().count();
    let is_table = text.lines().take(10).any(|line| line.contains(TABLE_MARK));
    if rust && lines > FILE_LINES && !is_table {
        found.push(format!("{path}: {lines} lines, at most {FILE_LINES}"));
    }
    for (index, line) in text.lines().enumerate() {
        let at = format!("{path}:{}", index + 1);
        if line.ends_with([' ', '\t']) {
            found.push(format!("{at}: space at the end of the line"));
        }
        if let Some(folder) = machine_folder(line) {
            found.push(format!("{at}: names {folder}, a folder of one machine"));
        }
        for (word, why) in FORBIDDEN.iter().filter(|(word, _)| rust && has_word(line, word)) {
            found.push(format!("{at}: `{word}`: {why}"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        found.push(format!("{path}: the last line does not end"));
    }
    if crate_of(path).is_some() && !text.contains("[lints]\nworkspace = true") {
        found.push(format!("{path}: expected `[lints]` with `workspace = true`"));
    }
    found
}

/// Whether a word stands in a line and is not the end of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn machine_folder(line: &str) -> Option<&'static str> {
    MACHINE_FOLDERS.into_iter().find(|folder| {
        line.match_indices(folder).any(|(at, _)| {
            // `../x/` and `name/x/` are relative.
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '~' | '}' | '/'))
        })
    })
}

fn architecture_faults(text: &str, crates: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > ARCHITECTURE_LINES {
        found.push(format!("ARCHITECTURE.md: {lines} lines, at most {ARCHITECTURE_LINES}"));
    }
    for name in crates {
        let folder = if name == "xtask" { "`xtask`".to_owned() } else { format!("`crates/{name}`") };
        if !text.contains(&folder) {
            found.push(format!("ARCHITECTURE.md: does not name {folder}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts that the only fault found is the expected one.
    fn finds(path: &str, text: &str, expected: &str) {
        let found = faults(path, text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "expected `{expected}` in {found:?}");
    }

    #[test]
    fn a_good_file_passes() {
        let text =
            "//! Doc.\n\nfn disallow(path: &str) -> bool {\n    path.ends_with(\"network/work/x\")\n}\n";
        assert_eq!(faults("crates/core/src/lib.rs", text), Vec::<String>::new());
    }

    #[test]
    fn each_rule_is_seen_to_fail() {
        for (word, why) in FORBIDDEN {
            finds("a.rs", &format!("fn f() {{}} // {word}\n"), why);
            assert_eq!(faults("a.md", &format!("{word}\n")), Vec::<String>::new());
        }
        for folder in MACHINE_FOLDERS {
            finds("a.md", &format!("see {folder}me/x\n"), "a folder of one machine");
            finds(".ci/run", &format!("cd {folder}me\n"), "a folder of one machine");
            assert_eq!(faults("a.md", &format!("see ..{folder}me/x\n")), Vec::<String>::new());
        }
        finds("a.rs", "fn f() {} \n", "space at the end of the line");
        finds("a.rs", "fn f() {}", "the last line does not end");
        finds("crates/x/Cargo.toml", "[package]\n", "expected `[lints]`");
    }

    #[test]
    fn only_tables_may_be_long() {
        let long = "// line\n".repeat(FILE_LINES + 1);
        finds("a.rs", &long, "601 lines, at most 600");
        assert_eq!(faults("a.rs", &format!("// {TABLE_MARK}\n{long}")), Vec::<String>::new());
        assert_eq!(faults("a.md", &long), Vec::<String>::new());
    }

    #[test]
    fn the_architecture_names_every_crate_and_stays_short() {
        let crates: BTreeSet<String> = ["core", "xtask"].map(str::to_owned).into();
        let good = "- `crates/core`\n- `xtask`\n";
        assert_eq!(architecture_faults(good, &crates), Vec::<String>::new());
        assert_eq!(
            architecture_faults("- `xtask`\n", &crates),
            ["ARCHITECTURE.md: does not name `crates/core`"]
        );
        let long = good.repeat(101);
        assert_eq!(architecture_faults(&long, &crates), ["ARCHITECTURE.md: 202 lines, at most 200"]);
    }

    #[test]
    fn crates_are_known_by_their_manifests() {
        assert_eq!(crate_of("crates/core/Cargo.toml"), Some("core"));
        assert_eq!(crate_of("xtask/Cargo.toml"), Some("xtask"));
        assert_eq!(crate_of("crates/core/src/Cargo.toml"), None);
        assert_eq!(crate_of("Cargo.toml"), None);
    }
}
