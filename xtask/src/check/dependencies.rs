//! Which crate may depend on which: the table, and its comparison with what cargo resolved.
//!
//! The table holds for normal and build dependencies. Tests may reach further, because what they link is never
//! shipped.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::findings;
use crate::failure::Failure;
use crate::workspace::Workspace;

/// One line of the table. Names of our own crates are given without the `synthmr-`.
struct Row {
    package: &'static str,
    /// Our crates that it may name in its manifest.
    may: &'static [&'static str],
    /// Packages that must not be anywhere below it.
    never: &'static [&'static str],
}

/// The bindings of libtorch.
const TCH: &str = "tch";
const TORCH_SYS: &str = "torch-sys";
const CLAP: &str = "clap";

/// The architecture, as `ARCHITECTURE.md` explains it.
const TABLE: [Row; 11] = [
    Row { package: "core", may: &[], never: &[TCH, TORCH_SYS, CLAP] },
    Row { package: "data", may: &["core"], never: &[TCH, TORCH_SYS, CLAP] },
    Row { package: "nets", may: &["core"], never: &["synthmr-data", CLAP] },
    Row {
        package: "train",
        may: &["core", "data", "nets"],
        never: &["synthmr-metrics", "synthmr-audit", "synthmr-study", "synthmr-report", CLAP],
    },
    Row { package: "metrics", may: &["core"], never: &[TCH, TORCH_SYS, CLAP, "synthmr-data"] },
    Row {
        package: "realism",
        may: &["core", "data", "nets", "metrics"],
        never: &["synthmr-train", "synthmr-report", CLAP],
    },
    Row {
        package: "audit",
        may: &["core", "data", "nets", "metrics"],
        never: &["synthmr-train", "synthmr-report", CLAP],
    },
    Row {
        package: "study",
        may: &["core"],
        never: &[TCH, TORCH_SYS, CLAP, "synthmr-data", "synthmr-nets", "synthmr-metrics"],
    },
    Row { package: "report", may: &["core"], never: &[TCH, TORCH_SYS, CLAP, "synthmr-data", "synthmr-nets"] },
    Row {
        package: "cli",
        may: &["core", "data", "nets", "train", "metrics", "realism", "audit", "study", "report"],
        never: &[],
    },
    Row { package: "xtask", may: &["core"], never: &[TCH, TORCH_SYS] },
];

/// Clients of the network, which nothing here may contain: synthmr never talks to it.
const NETWORK: [&str; 9] =
    ["attohttpc", "curl", "hyper", "isahc", "minreq", "reqwest", "tokio", "tungstenite", "ureq"];

/// The resolved graph: package -> (direct, for shipped code). Packages with one name and two versions are one.
#[derive(Debug, Default)]
struct Graph {
    members: BTreeSet<String>,
    edges: BTreeMap<String, BTreeSet<String>>,
}

/// The step of `cargo xtask check`.
pub(super) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let graph = Graph::from_metadata(&workspace.metadata()?)
        .ok_or_else(|| Failure::environment("`cargo metadata` has another form than expected"))?;
    findings(
        violations(&graph),
        "the table is in xtask/src/check/dependencies.rs; change it only with a decision",
    )
}

impl Graph {
    fn from_metadata(metadata: &Value) -> Option<Self> {
        let mut names = BTreeMap::new();
        for package in metadata["packages"].as_array()? {
            names.insert(package["id"].as_str()?, package["name"].as_str()?);
        }
        let mut graph = Self::default();
        for member in metadata["workspace_members"].as_array()? {
            graph.members.insert((*names.get(member.as_str()?)?).to_owned());
        }
        for node in metadata["resolve"]["nodes"].as_array()? {
            let from = *names.get(node["id"].as_str()?)?;
            for dependency in node["deps"].as_array()? {
                let kinds = dependency["dep_kinds"].as_array()?;
                if kinds.iter().all(|kind| kind["kind"] == "dev") {
                    continue;
                }
                let to = *names.get(dependency["pkg"].as_str()?)?;
                graph.edges.entry(from.to_owned()).or_default().insert(to.to_owned());
            }
        }
        Some(graph)
    }

    fn direct(&self, package: &str) -> impl Iterator<Item = &String> {
        self.edges.get(package).into_iter().flatten()
    }

    /// Everything below a package, each with the package that brought it.
    fn below(&self, package: &str) -> BTreeMap<String, String> {
        let mut brought_by = BTreeMap::new();
        let mut open = vec![package.to_owned()];
        while let Some(from) = open.pop() {
            for to in self.direct(&from) {
                if !brought_by.contains_key(to) {
                    brought_by.insert(to.clone(), from.clone());
                    open.push(to.clone());
                }
            }
        }
        brought_by
    }
}

fn full_name(package: &str) -> String {
    if package == "xtask" { package.to_owned() } else { format!("synthmr-{package}") }
}

fn violations(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    for member in &graph.members {
        let Some(row) = TABLE.iter().find(|row| full_name(row.package) == *member) else {
            found.push(format!("{member} has no line in the dependency table"));
            continue;
        };
        for to in graph.direct(member).filter(|to| graph.members.contains(*to)) {
            if !row.may.iter().any(|name| full_name(name) == *to) {
                found.push(format!("{member} depends on {to}; it may depend on {:?}", row.may));
            }
        }
        let below = graph.below(member);
        for never in row.never.iter().chain(&NETWORK) {
            if let Some(by) = below.get(*never) {
                found.push(format!("{member} must not contain {never}, which comes with {by}"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn graph(members: &[&str], edges: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::default();
        graph.members.extend(members.iter().map(|&name| name.to_owned()));
        for (from, to) in edges {
            graph.edges.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        graph
    }

    #[test]
    fn the_intended_graph_passes() {
        let members = ["synthmr-core", "synthmr-nets", "synthmr-train", "synthmr-cli", "xtask"];
        let edges = [
            ("synthmr-nets", "synthmr-core"),
            ("synthmr-nets", "tch"),
            ("synthmr-train", "synthmr-nets"),
            ("synthmr-cli", "synthmr-train"),
            ("synthmr-cli", "clap"),
            ("tch", "torch-sys"),
        ];
        assert_eq!(violations(&graph(&members, &edges)), Vec::<String>::new());
    }

    /// Members, edges, and what must be found.
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

    #[test]
    fn each_kind_of_violation_is_found() {
        let cases: [Case<'_>; 5] = [
            (&["synthmr-new"], &[], "synthmr-new has no line in the dependency table"),
            (
                &["synthmr-report", "synthmr-train"],
                &[("synthmr-report", "synthmr-train")],
                "synthmr-report depends on synthmr-train; it may depend on [\"core\"]",
            ),
            (
                &["synthmr-metrics"],
                &[("synthmr-metrics", "helper"), ("helper", "tch")],
                "synthmr-metrics must not contain tch, which comes with helper",
            ),
            (
                &["xtask"],
                &[("xtask", "torch-sys")],
                "xtask must not contain torch-sys, which comes with xtask",
            ),
            (&["synthmr-cli"], &[("synthmr-cli", "ureq")], "synthmr-cli must not contain ureq"),
        ];
        for (members, edges, expected) in cases {
            let found = violations(&graph(members, edges)).join("\n");
            assert!(found.contains(expected), "expected `{expected}` in `{found}`");
        }
    }

    #[test]
    fn cargos_metadata_is_read_without_test_dependencies() {
        let metadata = json!({
            "packages": [{"id": "1", "name": "synthmr-data"}, {"id": "2", "name": "tch"}, {"id": "3", "name": "zip"}],
            "workspace_members": ["1"],
            "resolve": {"nodes": [
                {"id": "1", "deps": [
                    {"pkg": "2", "dep_kinds": [{"kind": "dev"}]},
                    {"pkg": "3", "dep_kinds": [{"kind": "dev"}, {"kind": null}]},
                ]},
                {"id": "2", "deps": []},
            ]},
        });
        let graph = Graph::from_metadata(&metadata).unwrap();
        assert_eq!(graph.direct("synthmr-data").collect::<Vec<_>>(), ["zip"]);
        assert_eq!(violations(&graph), Vec::<String>::new());
    }
}
