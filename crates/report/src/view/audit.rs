//! What an audit found, in short; its own pages say the rest.

use synthmr_core::records::{AuditRecord, SensitivityRecord, Tier};

use super::training::source;
use crate::audit::{facts, share};
use crate::format;
use crate::inputs::AuditInput;

/// Recall below which a kind of copy is named.
const WEAK: f64 = 0.9;

/// Planted copies of one tier together.
#[derive(Clone, Debug)]
pub(crate) struct RecallRow {
    pub(crate) tier: &'static str,
    pub(crate) found: String,
    /// Kinds of which less than [`WEAK`] are found.
    pub(crate) weak: String,
}

/// One thing that was asked of the audit.
#[derive(Clone, Debug)]
pub(crate) struct GateRow {
    pub(crate) name: String,
    pub(crate) limit: String,
    pub(crate) found: String,
    pub(crate) is_met: bool,
}

/// The section, and what the summary says of it.
#[derive(Clone, Debug)]
pub(crate) struct AuditView {
    pub(crate) passed: bool,
    /// What was audited, against what, by what.
    pub(crate) audited: String,
    pub(crate) verdict: String,
    pub(crate) warnings: Vec<String>,
    pub(crate) facts: Vec<(String, &'static str)>,
    pub(crate) estimated_share: String,
    pub(crate) recalls: Vec<RecallRow>,
    pub(crate) gates: Vec<GateRow>,
}

impl AuditView {
    pub(crate) fn new(audit: &AuditInput) -> Self {
        let record = &audit.record;
        let gates = record.gates.iter().map(|gate| GateRow {
            name: gate.name.clone(),
            limit: gate.limit.to_string(),
            found: gate.found.map_or_else(|| format::NONE.to_owned(), format::measured),
            is_met: gate.met,
        });
        Self {
            passed: record.passed,
            audited: format!(
                "{} ({}, {}) against {} ({}), split {}, by {} {}",
                source(&record.synthetic),
                format::counted(record.n, "image"),
                record.synthetic.digest.short(),
                record.real.name,
                record.real.digest.short(),
                record.split_digest.short(),
                record.tool.name,
                record.tool.version
            ),
            verdict: record.verdict.clone(),
            warnings: record.warnings.clone(),
            facts: facts(record),
            estimated_share: share(&record.estimated_share),
            recalls: recalls(record),
            gates: gates.collect(),
        }
    }
}

fn recalls(record: &AuditRecord) -> Vec<RecallRow> {
    let tiers = [
        (Tier::Slight, "slightly changed"),
        (Tier::Strong, "strongly changed"),
        (Tier::Partial, "partial, not promised"),
    ];
    let row = |(tier, name)| {
        let cells: Vec<&SensitivityRecord> =
            record.sensitivity.iter().filter(|cell| cell.tier == tier).collect();
        let sum = |of: fn(&SensitivityRecord) -> usize| {
            format::count(cells.iter().map(|cell| of(cell)).sum::<usize>())
        };
        let weak = cells.iter().filter(|cell| cell.recall.mean.is_some_and(|recall| recall < WEAK));
        let weak: Vec<String> =
            weak.map(|cell| format!("{} ({} of {})", cell.name, cell.found, cell.n)).collect();
        RecallRow {
            tier: name,
            found: format!("{} of {}", sum(|cell| cell.found), sum(|cell| cell.n)),
            weak: if weak.is_empty() { "none".to_owned() } else { weak.join(", ") },
        }
    };
    tiers.map(row).into_iter().collect()
}
