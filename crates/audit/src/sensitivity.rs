//! What planted copies say of an audit: the recall of every change, and whether known shares of copies are estimated rightly.

use synthmr_core::random::{Draw, Stream, rng};
use synthmr_core::records::{DoseRecord, SensitivityRecord, Tier};
use synthmr_metrics::statistics::clopper_pearson;

use crate::calibration::{Calibration, Query};
use crate::planted::CELLS;
use crate::slices::Reference;
use crate::statistics::{Count, Resampling};

/// Shares of copies that are planted for the dose-response line.
const DOSES: [f64; 5] = [0.0, 0.005, 0.01, 0.05, 0.2];
/// Images of a mixture of fresh images and copies.
const MIXTURE: usize = 2000;

/// Recall of every cell: `planted` holds its queries in the order of [`CELLS`], each copy of the real image at `sources`.
pub(crate) fn recalls(
    calibration: &Calibration,
    reference: &Reference<'_>,
    planted: &[Vec<Query>],
    sources: &[usize],
    level: f64,
) -> Vec<SensitivityRecord> {
    let cell = |((name, tier, _), queries): (&(&str, Tier, _), &Vec<Query>)| {
        let (mut found, mut subject_right) = (0, 0);
        for (query, &source) in queries.iter().zip(sources) {
            let Some(score) = calibration.train(query).filter(|_| calibration.flags(query)) else { continue };
            found += 1;
            let matched = reference.subject_of(score.matched.position);
            subject_right += usize::from(matched == reference.subject_of(source));
        }
        SensitivityRecord {
            name: (*name).to_owned(),
            tier: *tier,
            n: queries.len(),
            found,
            recall: clopper_pearson(found, queries.len(), level),
            subject_right,
        }
    };
    CELLS.iter().zip(planted).map(cell).collect()
}

/// Found copies of the tiers that are promised, all cells together.
pub(crate) fn promised(cells: &[SensitivityRecord]) -> Count {
    let promised = cells.iter().filter(|cell| cell.tier != Tier::Partial);
    promised
        .fold(Count::default(), |sum, cell| Count { flagged: sum.flagged + cell.found, n: sum.n + cell.n })
}

/// Mixtures of control images and promised copies with a known share, and what is estimated of each. Only scores are mixed,
/// which depend on nothing but their image.
pub(crate) fn dose_response(
    cells: &[SensitivityRecord],
    control: &[Count],
    resampling: &Resampling,
) -> Vec<DoseRecord> {
    let copies = promised(cells);
    let fresh = control.iter().fold(Count::default(), |sum, count| Count {
        flagged: sum.flagged + count.flagged,
        n: sum.n + count.n,
    });
    if copies.n == 0 || fresh.n == 0 {
        return Vec::new();
    }
    let mut random = rng(resampling.seed, Stream::Planted, 2);
    let dose = |planted: f64| {
        let copied = (planted * MIXTURE as f64).round() as usize;
        let mut flagged = 0;
        for i in 0..MIXTURE {
            let Count { flagged: found, n } = if i < copied { copies } else { fresh };
            flagged += usize::from((random.below(n as u64) as usize) < found);
        }
        let images = Count { flagged, n: MIXTURE };
        DoseRecord { planted, estimated: resampling.estimated_share(images, control, copies) }
    };
    DOSES.into_iter().map(dose).collect()
}
