//! What must hold between the records before any of them is shown.

use serde_json::Value;
use synthmr_core::Digest;
use synthmr_core::records::{Origin, SCHEMA};

use crate::encode;
use crate::error::ReportError;
use crate::inputs::{RealismInput, ReportInputs, SheetInput, StoreInput};

/// Refuses a schema other than [`SCHEMA`], as it stands in a JSON document.
pub(crate) fn schema_value(record: &str, found: Option<&Value>) -> Result<(), ReportError> {
    if found.and_then(Value::as_u64) == Some(u64::from(SCHEMA)) {
        return Ok(());
    }
    let found = found.map_or_else(|| "none".to_owned(), Value::to_string);
    Err(ReportError::Schema { record: record.to_owned(), known: SCHEMA, found })
}

fn schema(record: String, found: u32) -> Result<(), ReportError> {
    if found == SCHEMA {
        Ok(())
    } else {
        Err(ReportError::Schema { record, known: SCHEMA, found: found.to_string() })
    }
}

/// Checks all inputs against each other.
pub(crate) fn inputs(inputs: &ReportInputs) -> Result<(), ReportError> {
    if let Some(real) = &inputs.real {
        store(real, "real")?;
    }
    if let Some(synthetic) = &inputs.synthetic {
        store(synthetic, "synthetic")?;
    }
    for run in &inputs.runs {
        schema(format!("run {:?}", run.name), run.record.schema)?;
    }
    for (index, evaluation) in inputs.evaluations.iter().enumerate() {
        schema(format!("evaluation {:?}", evaluation.condition), evaluation.record.schema)?;
        if inputs.evaluations[..index].iter().any(|other| other.condition == evaluation.condition) {
            return Err(ReportError::DuplicateCondition { condition: evaluation.condition.clone() });
        }
    }
    for comparison in &inputs.comparisons {
        schema(format!("comparison {:?}", comparison.name), comparison.record.schema)?;
    }
    for realism in &inputs.realism {
        schema(format!("realism of {:?}", realism.record.synthetic.name), realism.record.schema)?;
    }
    realism(inputs)?;
    if let Some(audit) = &inputs.audit {
        schema(format!("audit {:?}", audit.name), audit.record.schema)?;
        let sides = [(&inputs.real, &audit.record.real), (&inputs.synthetic, &audit.record.synthetic)];
        for (given, audited) in sides {
            if let Some(given) = given.as_ref().filter(|given| given.digest != audited.digest) {
                return Err(ReportError::AuditOfAnother {
                    audit: audit.name.clone(),
                    audited: audited.name.clone(),
                    audited_digest: audited.digest.clone(),
                    store: given.name.clone(),
                    digest: given.digest.clone(),
                });
            }
        }
    }
    splits(inputs)
}

/// Records of realism must belong to the stores, to the evaluations and to each other, or ranks would mix what is not alike.
fn realism(inputs: &ReportInputs) -> Result<(), ReportError> {
    for (index, given) in inputs.realism.iter().enumerate() {
        realism_of_stores(inputs, given)?;
        let (before, record) = (&inputs.realism[..index], &given.record);
        if let Some(first) = before.first().filter(|first| first.record.real.digest != record.real.digest) {
            return Err(ReportError::RealismOfTwoCohorts {
                first: first.file.clone(),
                first_digest: first.record.real.digest.clone(),
                second: given.file.clone(),
                second_digest: record.real.digest.clone(),
            });
        }
        let Some(name) = &given.name else { continue };
        if inputs.evaluations.iter().all(|evaluation| evaluation.condition != *name) {
            let known = inputs.evaluations.iter().map(|evaluation| format!("{:?}", evaluation.condition));
            return Err(ReportError::UnknownCondition {
                file: given.file.clone(),
                name: name.clone(),
                known: known.collect::<Vec<_>>().join(", "),
            });
        }
        let is_same = |other: &&RealismInput| {
            let features = &other.record.features;
            other.name == given.name
                && (&features.name, &features.digest) == (&record.features.name, &record.features.digest)
        };
        if let Some(first) = before.iter().find(is_same) {
            return Err(ReportError::DuplicateRealism {
                condition: name.clone(),
                features: format!("{} ({})", record.features.name, record.features.digest.short()),
                first: first.file.clone(),
                second: given.file.clone(),
            });
        }
    }
    Ok(())
}

/// The real images must be the cohort's, and the synthetic ones the set's unless they are another condition's.
fn realism_of_stores(inputs: &ReportInputs, realism: &RealismInput) -> Result<(), ReportError> {
    let RealismInput { name, file, record } = realism;
    if let Some(store) = inputs.real.as_ref().filter(|store| store.digest != record.real.digest) {
        return Err(ReportError::RealismBesideAnother {
            file: file.clone(),
            measured_digest: record.real.digest.clone(),
            store: store.name.clone(),
            digest: store.digest.clone(),
        });
    }
    let unnamed = inputs.synthetic.as_ref().filter(|_| name.is_none());
    if let Some(store) = unnamed.filter(|store| store.digest != record.synthetic.digest) {
        return Err(ReportError::RealismOfAnother {
            file: file.clone(),
            measured_digest: record.synthetic.digest.clone(),
            store: store.name.clone(),
            digest: store.digest.clone(),
        });
    }
    Ok(())
}

fn store(store: &StoreInput, given: &'static str) -> Result<(), ReportError> {
    schema(format!("store {:?}", store.name), store.manifest.schema)?;
    if store.manifest.is_real() != (given == "real") {
        let origin = match store.manifest.origin {
            Origin::Cohort { .. } => "imported from a cohort",
            Origin::Sampled(_) => "drawn from a generator",
        };
        return Err(ReportError::WrongOrigin { store: store.name.clone(), given, origin });
    }
    match &store.sheet {
        Some(contact_sheet) => sheet(&store.name, contact_sheet),
        None => Ok(()),
    }
}

/// The picture must hold the grid that its record describes, or names would stand over the wrong columns.
fn sheet(name: &str, sheet: &SheetInput) -> Result<(), ReportError> {
    let picture = format!("contact sheet of {name:?}");
    schema(picture.clone(), sheet.record.schema)?;
    let (width, height) = encode::png_size(&picture, &sheet.png)?;
    let record = &sheet.record;
    let needed = (
        record.columns.len().saturating_mul(record.cell_width),
        record.rows.saturating_mul(record.cell_height),
    );
    if record.columns.is_empty() || needed.0 > width || needed.1 > height {
        let message = format!(
            "expected {} columns of {} and {} rows of {} pixels, found a picture of {width} x {height}",
            record.columns.len(),
            record.cell_width,
            record.rows,
            record.cell_height
        );
        return Err(ReportError::Picture { picture, message });
    }
    Ok(())
}

/// Every evaluation must have been made on the division that the store has, and without a store all on one.
fn splits(inputs: &ReportInputs) -> Result<(), ReportError> {
    let reference: Option<(String, &Digest)> = match &inputs.real {
        Some(StoreInput { name, manifest, .. }) => match &manifest.origin {
            Origin::Cohort { split, .. } => Some((format!("the store {name:?}"), &split.digest)),
            Origin::Sampled(_) => None,
        },
        None => inputs
            .evaluations
            .first()
            .map(|first| (format!("evaluation {:?}", first.condition), &first.record.split_digest)),
    };
    let Some((other, other_split)) = reference else { return Ok(()) };
    match inputs.evaluations.iter().find(|evaluation| evaluation.record.split_digest != *other_split) {
        Some(evaluation) => Err(ReportError::SplitDisagrees {
            evaluation: evaluation.condition.clone(),
            evaluation_split: evaluation.record.split_digest.clone(),
            other,
            other_split: other_split.clone(),
        }),
        None => Ok(()),
    }
}
