//! The lines that benches print, and what they say together.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

/// The `system` of our own lines; every other system is a peer.
const OURS: &str = "synthmr";

/// One measurement.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Row {
    /// The work, the same word for all systems.
    pub(super) bench: String,
    /// Who did it. Ours begin with `synthmr`.
    pub(super) system: String,
    pub(super) seconds_median: f64,
    pub(super) seconds_min: f64,
    pub(super) seconds_max: f64,
    pub(super) runs: u64,
}

impl Row {
    /// Parses a line; further fields are left to the reader of the output.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let row: Self = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let ordered = row.seconds_min <= row.seconds_median && row.seconds_median <= row.seconds_max;
        if !ordered || row.seconds_min <= 0.0 || row.runs == 0 {
            return Err("expected 0 < seconds_min <= seconds_median <= seconds_max and runs > 0".to_owned());
        }
        Ok(row)
    }
}

/// One row per bench and system: the median of the rounds' medians, the extremes of all.
pub(super) fn merged(rows: Vec<Row>) -> Vec<Row> {
    let mut groups: BTreeMap<(String, String), Vec<Row>> = BTreeMap::new();
    for row in rows {
        groups.entry((row.bench.clone(), row.system.clone())).or_default().push(row);
    }
    let merge = |((bench, system), rows): ((String, String), Vec<Row>)| Row {
        bench,
        system,
        seconds_median: median(rows.iter().map(|row| row.seconds_median).collect()),
        seconds_min: rows.iter().map(|row| row.seconds_min).fold(f64::INFINITY, f64::min),
        seconds_max: rows.iter().map(|row| row.seconds_max).fold(0.0, f64::max),
        runs: rows.iter().map(|row| row.runs).sum(),
    };
    groups.into_iter().map(merge).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// A line for each of our rows and each peer's row on the same bench: below 1, ours is faster.
pub(super) fn ratios(rows: &[Row]) -> Vec<Value> {
    let (ours, peers): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.system.starts_with(OURS));
    let mut lines = Vec::new();
    for our in ours {
        for peer in peers.iter().filter(|peer| peer.bench == our.bench) {
            lines.push(json!({
                "bench": our.bench,
                "system": our.system,
                "peer": peer.system,
                "ratio": rounded(our.seconds_median / peer.seconds_median),
                "ratio_of_minima": rounded(our.seconds_min / peer.seconds_min),
            }));
        }
    }
    lines
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bench: &str, system: &str, median: f64) -> Row {
        Row {
            bench: bench.into(),
            system: system.into(),
            seconds_median: median,
            seconds_min: median / 2.0,
            seconds_max: median * 2.0,
            runs: 5,
        }
    }

    #[test]
    fn rounds_are_merged_by_bench_and_system() {
        let rows =
            merged(vec![row("a", "x", 1.0), row("b", "x", 9.0), row("a", "x", 3.0), row("a", "x", 2.0)]);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].seconds_median, rows[0].seconds_min, rows[0].seconds_max), (2.0, 0.5, 6.0));
        assert_eq!(rows[0].runs, 15);
        assert_eq!(median(vec![1.0, 2.0]), 1.5);
    }

    #[test]
    fn a_ratio_needs_the_same_bench_on_both_sides() {
        let rows = [
            row("a", "synthmr", 1.0),
            row("a", "pytorch", 4.0),
            row("b", "synthmr", 1.0),
            row("c", "scipy", 1.0),
        ];
        let lines = ratios(&rows);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["peer"], "pytorch");
        assert_eq!(lines[0]["ratio"], 0.25);
    }

    #[test]
    fn rejects_a_line_that_is_no_measurement() {
        let good = r#"{"bench":"b","system":"s","seconds_median":2,"seconds_min":1,"seconds_max":3,"runs":4,"note":"x"}"#;
        assert!(Row::parse(good).is_ok());
        for bad in [
            good.replace("\"runs\":4", "\"runs\":0"),
            good.replace("\"seconds_min\":1", "\"seconds_min\":2.5"),
            good.replace("\"seconds_min\":1", "\"seconds_min\":0"),
            good.replace("\"system\":\"s\",", ""),
            "{".to_owned(),
        ] {
            assert!(Row::parse(&bad).is_err(), "{bad}");
        }
    }
}
