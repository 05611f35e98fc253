//! All detectors on the same queries, block by block.

use synthmr_core::files::at;
use tch::Kind;

use crate::AuditError;
use crate::calibration::Query;
use crate::detectors::Detector;
use crate::foreground::foreground;
use crate::pose::reduced;
use crate::slices::Slices;
use crate::work::{Watch, Work};

/// Queries of one block: what a kill loses.
pub const BLOCK: usize = 64;
/// Side to which images are averaged before the share of the head is measured.
const SHARE_SIDE: i64 = 64;

/// Slices of a set, with the subject that each is searched without.
pub type Read = Result<(Slices, Vec<Option<usize>>), AuditError>;

/// The detectors of an audit.
pub struct Searcher<'a> {
    detectors: Vec<Box<dyn Detector + 'a>>,
}

impl<'a> Searcher<'a> {
    /// With these detectors; the order of their measures is that of [`Query::found`].
    pub fn new(detectors: Vec<Box<dyn Detector + 'a>>) -> Self {
        Self { detectors }
    }

    /// Name and description of every measure.
    pub fn measures(&self) -> Vec<(&'static str, &'static str)> {
        let of = |detector: &'_ dyn Detector| {
            let names = detector.measures().into_iter().enumerate();
            names.map(|(i, name)| (name, detector.describe(i))).collect::<Vec<_>>()
        };
        self.detectors.iter().flat_map(|detector| of(detector.as_ref())).collect()
    }

    /// What every measure finds for each query; `own` names the subject that a query belongs to.
    ///
    /// # Errors
    /// As [`Detector::search`].
    pub fn search(&self, queries: &Slices, own: &[Option<usize>]) -> Result<Vec<Query>, AuditError> {
        let mask = foreground(&reduced(&queries.square_images(), SHARE_SIDE));
        let shares = mask.mean_dim([1i64, 2, 3].as_slice(), false, Kind::Double);
        let shares = Vec::<f64>::try_from(shares).unwrap_or_default();
        let mut all: Vec<Query> =
            shares.into_iter().map(|share| Query { found: Vec::new(), share }).collect();
        for detector in &self.detectors {
            for measure in detector.search(queries, own)? {
                assert_eq!(measure.len(), all.len(), "a measure gives something for every query");
                all.iter_mut().zip(measure).for_each(|(query, found)| query.found.push(found));
            }
        }
        Ok(all)
    }
}

/// The running count of images and the wish to stop, over all sets of an audit.
pub struct Progress<'a> {
    pub(crate) watch: &'a mut dyn Watch,
    pub(crate) done: u64,
    pub(crate) total: u64,
}

impl Progress<'_> {
    pub(crate) fn add(&mut self, images: usize, resumed: bool) -> Result<(), AuditError> {
        self.done += images as u64;
        if resumed {
            self.watch.resumed(self.done);
        }
        self.watch.progress(self.done, self.total);
        if self.watch.should_stop() { Err(AuditError::Interrupted) } else { Ok(()) }
    }
}

/// Searches a set in blocks that are kept in `work`: `read` gives the slices and own subjects of a range of it.
///
/// # Errors
/// [`AuditError::Interrupted`] between blocks, and what searching gives.
pub fn search_set(
    searcher: &Searcher<'_>,
    work: &Work,
    progress: &mut Progress<'_>,
    (name, count): (&str, usize),
    read: &dyn Fn(std::ops::Range<usize>) -> Read,
) -> Result<Vec<Query>, AuditError> {
    let mut all = Vec::with_capacity(count);
    for start in (0..count).step_by(BLOCK) {
        let range = start..(start + BLOCK).min(count);
        let images = range.len();
        let (queries, resumed) = work.block(&format!("{name}-{start:08}"), || {
            let (slices, own) = read(range)?;
            searcher.search(&slices, &own)
        })?;
        if queries.len() != images {
            let message = format!("expected {images} queries, found {}", queries.len());
            return Err(at("read", std::path::Path::new(name))(std::io::Error::other(message)).into());
        }
        all.extend(queries);
        progress.add(images, resumed)?;
    }
    Ok(all)
}
