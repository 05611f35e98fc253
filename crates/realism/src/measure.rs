//! All metrics, with their intervals and floors.

use std::ops::ControlFlow;

use synthmr_core::random::{Draw, Stream, rng};
use synthmr_core::records::{Better, RealismRecord, RealismResult, RealismSettings, SCHEMA, Tool};
use synthmr_metrics::realism::frechet::frechet;
use synthmr_metrics::realism::inception_score::{SPLITS, inception_score};
use synthmr_metrics::realism::kid::{Kid, Subset, kid, squared_discrepancy};
use synthmr_metrics::realism::prdc::{NEAREST, Prdc, prdc};
use synthmr_metrics::realism::{FeatureError, FeatureMatrix};
use synthmr_nets::features::Sees;

use crate::extract::{Progress, extract};
use crate::halves::{Draws, MOST_IMAGES, Rows};
use crate::images::{Profiles, describe, similarities};
use crate::joint::{Joint, projection};
use crate::results::{Basis, FEATURE_METRICS, Name, annotation_names, profile_names, similarity_names};
use crate::sets::Set;
use crate::{Cache, FeatureSource, Observer, RealismError, Sets};

/// Level of the intervals.
const LEVEL: f64 = 0.95;
/// Subsets of the kernel distance, and most images of each set in one: what is usual.
const KERNEL_SUBSETS: usize = 100;
const KERNEL_IMAGES: usize = 1000;
/// Below this number of subjects halves say little.
const FEW_SUBJECTS: usize = 10;

/// What a caller may choose.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Draws of halves behind every interval and floor.
    pub draws: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Rows for FeatureMatrix {
    fn gathered(&self, rows: &[u32]) -> Self {
        self.view().gathered(rows)
    }
}

/// Both sets and the held-out one, in one form.
struct Three<T> {
    real: T,
    synthetic: T,
    held_out: Option<T>,
}

impl<T> Three<T> {
    /// The same made of each set.
    fn try_map<U>(
        &self,
        mut make: impl FnMut(&T) -> Result<U, RealismError>,
    ) -> Result<Three<U>, RealismError> {
        Ok(Three {
            real: make(&self.real)?,
            synthetic: make(&self.synthetic)?,
            held_out: self.held_out.as_ref().map(make).transpose()?,
        })
    }
}

impl Three<Set<'_>> {
    fn images(&self) -> usize {
        self.real.len() + self.synthetic.len() + self.held_out.as_ref().map_or(0, Set::len)
    }
}

impl<A, B> Three<(A, B)> {
    /// What each set has of both kinds. Features of large sets fill most of the memory: nothing is copied.
    fn unzip(self) -> (Three<A>, Three<B>) {
        let (real, of_real) = self.real;
        let (synthetic, of_synthetic) = self.synthetic;
        let (held_out, of_held_out) = self.held_out.unzip();
        let second = Three { real: of_real, synthetic: of_synthetic, held_out: of_held_out };
        (Three { real, synthetic, held_out }, second)
    }
}

/// Measures everything.
///
/// # Errors
/// [`RealismError`]: features that are not finite, files that cannot be written, an interruption.
pub fn measure(
    sets: &Sets,
    source: &FeatureSource,
    cache: &Cache,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<RealismRecord, RealismError> {
    let three = Three { real: sets.real(), synthetic: sets.synthetic(), held_out: sets.held_out() };
    let manifest = three.real.store.manifest();
    let channels = &manifest.channels;
    let classes: Vec<String> = manifest.labels.foreground().map(|(_, class)| class.name.clone()).collect();
    let units = three.real.units();
    let draws = Draws::new(&units, &three.synthetic.units(), options.draws, options.seed, LEVEL);
    let looks = match source.network.sees() {
        Sees::OneContrast => channels.len(),
        Sees::AllContrasts => 1,
    };
    let joints = usize::from(looks > 1);
    let mut progress = Progress::new(observer, ((2 * looks + joints + 1) * three.images()) as u64);
    let mut work = Work { three: &three, source, cache, draws: &draws, seed: options.seed };

    let mut results = work.of_features(channels, &mut progress)?;
    progress.note("contrasts and annotations");
    let (profiles, annotations) = three.try_map(|set| describe(set, &mut progress))?.unzip();
    let pixels = work.basis("pixels");
    results.extend(plain(&pixels, &draws, &profiles, profile_names(channels), Profiles::distances));
    results.extend(work.of_pairs(channels));
    let basis = work.basis("annotation");
    results.extend(plain(&basis, &draws, &annotations, annotation_names(&classes, channels), |a, b| {
        a.distances(b)
    }));

    let settings = settings(options, work.kernel_images());
    Ok(RealismRecord {
        schema: SCHEMA,
        tool: Tool::this(),
        real: three.real.record(),
        synthetic: three.synthetic.record(),
        held_out: three.held_out.as_ref().map(Set::record),
        real_subjects: units.len(),
        channels: channels.clone(),
        features: source.record.clone(),
        warnings: warnings(&results, units.len(), &source.record.name, &draws),
        settings,
        results,
    })
}

/// A measurement under way.
struct Work<'a> {
    three: &'a Three<Set<'a>>,
    source: &'a FeatureSource,
    cache: &'a Cache,
    draws: &'a Draws,
    seed: u64,
}

impl<'a> Work<'a> {
    fn basis<'b>(&self, features: &'b str) -> Basis<'b> {
        Basis { features, n_real: self.three.real.len(), n_synthetic: self.three.synthetic.len() }
    }

    fn kernel_images(&self) -> usize {
        KERNEL_IMAGES.min(self.three.real.len().min(self.three.synthetic.len()) / 2)
    }

    /// The metrics of features: contrast by contrast and joint, or joint alone.
    fn of_features(
        &mut self,
        channels: &[String],
        progress: &mut Progress<'_>,
    ) -> Result<Vec<RealismResult>, RealismError> {
        let mut results = Vec::new();
        if self.source.network.sees() == Sees::AllContrasts {
            let extracted =
                self.three.try_map(|set| extract(self.source, set, None, self.cache, progress))?;
            progress.note(&format!("metrics of {}", self.source.record.name));
            let (features, probabilities) = extracted.unzip();
            return self.of_extracted("joint", &features, probabilities, progress);
        }
        let dims = self.source.record.dims;
        let several = channels.len() > 1;
        let mut joints = self
            .three
            .try_map(|set| Ok(Joint::new(if several { set.len() } else { 0 }, channels.len(), dims)))?;
        for (index, channel) in channels.iter().enumerate() {
            let extracted =
                self.three.try_map(|set| extract(self.source, set, Some(index), self.cache, progress))?;
            progress.note(&format!("metrics of {}, {channel}", self.source.record.name));
            let (features, probabilities) = extracted.unzip();
            results.extend(self.of_extracted(channel, &features, probabilities, progress)?);
            if several {
                let projection = projection(index, channels.len(), dims);
                let projection = projection.as_ref();
                joints.real.add(index, &features.real, projection);
                joints.synthetic.add(index, &features.synthetic, projection);
                if let (Some(joint), Some(held_out)) = (&mut joints.held_out, &features.held_out) {
                    joint.add(index, held_out, projection);
                }
            }
        }
        if several {
            progress.note(&format!("metrics of {}, all contrasts together", self.source.record.name));
            let failed = |source| self.failed("joint", source);
            let joints = Three {
                real: joints.real.finish().map_err(failed)?,
                synthetic: joints.synthetic.finish().map_err(failed)?,
                held_out: joints.held_out.map(Joint::finish).transpose().map_err(failed)?,
            };
            results.extend(self.of_matrices("joint", &joints, progress)?);
        }
        Ok(results)
    }

    fn failed(&self, channel: &str, source: FeatureError) -> RealismError {
        if matches!(source, FeatureError::Stopped { .. }) {
            return RealismError::Interrupted;
        }
        RealismError::Metric {
            features: self.source.record.name.clone(),
            channel: channel.to_owned(),
            source,
        }
    }

    fn of_extracted(
        &self,
        channel: &str,
        features: &Three<FeatureMatrix>,
        probabilities: Three<Option<FeatureMatrix>>,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<RealismResult>, RealismError> {
        let score = match (&probabilities.real, &probabilities.synthetic) {
            (Some(real), Some(synthetic)) => {
                let score = self.score(channel, real, synthetic);
                Some(score.map_err(|source| self.failed(channel, source))?)
            }
            _ => None,
        };
        // They are half as large as the features, and not needed any more.
        drop(probabilities);
        let mut results = self.of_matrices(channel, features, progress)?;
        results.extend(score);
        Ok(results)
    }

    /// Frechet and kernel distance, precision, recall, density and coverage.
    fn of_matrices(
        &self,
        channel: &str,
        features: &Three<FeatureMatrix>,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<RealismResult>, RealismError> {
        let failed = |source| self.failed(channel, source);
        let (start, images) = (progress.done(), self.three.images() as f64);
        let (real, synthetic) = (features.real.view(), features.synthetic.view());
        let kernel = self.kernel(features).map_err(failed)?;
        let whole = frechet(real, synthetic).map_err(failed)?;
        // Neighbours take longest with many images, and draws with few.
        let mut first_half = |share: f64| progress.part(start, 0.5 * share * images);
        let shares = prdc(real, synthetic, NEAREST, &mut first_half).map_err(failed)?;
        let values = in_order(whole.distance, Some(kernel.mean), &shares);
        let second_half = |share: f64| match progress.part(start, (0.5 + 0.5 * share) * images) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(FeatureError::Stopped { metric: "intervals" }),
        };
        let estimates = self
            .draws
            .estimates(&values, &features.real, &features.synthetic, of_draw, second_half)
            .map_err(failed)?;
        let held_out = features.held_out.as_ref().map(|held_out| of_two(&features.real, held_out));
        let held_out = held_out.transpose().map_err(failed)?;
        let basis = self.basis(&self.source.record.name);
        let mut results = Vec::new();
        for (index, (metric, better)) in FEATURE_METRICS.into_iter().enumerate() {
            let name = Name { metric, channel: channel.to_owned(), better };
            let held_out = held_out.as_ref().and_then(|values| values[index]);
            let mut result = basis.result(name, &estimates[index], held_out);
            match metric {
                "frechet" => result.rank_deficient = whole.rank_deficient,
                "kid" => result.deviation = Some(kernel.deviation),
                _ => {}
            }
            results.push(result);
        }
        Ok(results)
    }

    fn kernel(&self, features: &Three<FeatureMatrix>) -> Result<Kid, FeatureError> {
        let size = self.kernel_images();
        let draw = |index: usize, set: &FeatureMatrix| {
            let mut order: Vec<u32> = (0..set.view().rows() as u32).collect();
            rng(self.seed, Stream::Realism, (3 << 32) + index as u64).shuffle(&mut order);
            order.truncate(size);
            order
        };
        let subset = |index: usize| Subset {
            first: draw(2 * index, &features.real),
            second: draw(2 * index + 1, &features.synthetic),
        };
        let subsets: Vec<Subset> = (0..KERNEL_SUBSETS).map(subset).collect();
        kid(features.real.view(), features.synthetic.view(), &subsets)
    }

    /// The Inception Score of the synthetic set, beside that of halves of the real one.
    fn score(
        &self,
        channel: &str,
        real: &FeatureMatrix,
        synthetic: &FeatureMatrix,
    ) -> Result<RealismResult, FeatureError> {
        let whole = inception_score(synthetic.view(), SPLITS)?;
        let of_second = |_: &FeatureMatrix, second: &FeatureMatrix| {
            inception_score(second.view(), 1).map(|score| vec![Some(score.mean)])
        };
        let estimates = self.draws.estimates(&[Some(whole.mean)], real, synthetic, of_second, |_| Ok(()))?;
        let name = Name { metric: "inception_score", channel: channel.to_owned(), better: Better::Floor };
        let mut result = self.basis(&self.source.record.name).result(name, &estimates[0], None);
        result.deviation = Some(whole.deviation);
        Ok(result)
    }

    /// MS-SSIM of pairs of synthetic images, beside pairs of real ones.
    fn of_pairs(&self, channels: &[String]) -> Vec<RealismResult> {
        let (real, synthetic) =
            (similarities(&self.three.real, self.seed, 0), similarities(&self.three.synthetic, self.seed, 1));
        let units = |count: usize| (0..count as u32).map(|pair| vec![pair]).collect::<Vec<_>>();
        // Pairs share no image, so half of them are drawn where else half of the images are.
        let draws =
            Draws::new(&units(real.pairs()), &units(synthetic.pairs()), self.draws.len(), self.seed, LEVEL);
        let statistic =
            |_: &_, second: &crate::images::Similarities| Ok::<_, std::convert::Infallible>(second.means());
        let Ok(estimates) = draws.estimates(&synthetic.means(), &real, &synthetic, statistic, |_| Ok(()));
        let basis = self.basis("pixels");
        similarity_names(channels)
            .into_iter()
            .zip(estimates)
            .map(|(name, estimate)| basis.result(name, &estimate, None))
            .collect()
    }
}

/// The metrics of [`FEATURE_METRICS`] between two sets, all of whose images are in memory.
fn of_two(a: &FeatureMatrix, b: &FeatureMatrix) -> Result<Vec<Option<f64>>, FeatureError> {
    let (a, b) = (a.view(), b.view());
    let distance = frechet(a, b)?.distance;
    // Whole sets have their kernel distance from subsets: all pairs of large ones would not fit.
    let small = a.rows().max(b.rows()) <= 2 * MOST_IMAGES;
    let kernel = small.then(|| squared_discrepancy(a, b)).transpose()?;
    let shares = prdc(a, b, NEAREST, &mut |_| ControlFlow::Continue(()))?;
    Ok(in_order(distance, kernel, &shares))
}

/// As [`of_two`]; nothing where a half holds too few images, as where a subject has three of them.
fn of_draw(a: &FeatureMatrix, b: &FeatureMatrix) -> Result<Vec<Option<f64>>, FeatureError> {
    match of_two(a, b) {
        Err(FeatureError::TooFew { .. }) => Ok(vec![None; FEATURE_METRICS.len()]),
        found => found,
    }
}

/// Numbers in the order of [`FEATURE_METRICS`].
fn in_order(distance: f64, kernel: Option<f64>, shares: &Prdc) -> Vec<Option<f64>> {
    let shares = [shares.precision, shares.recall, shares.density, shares.coverage];
    [Some(distance), kernel].into_iter().chain(shares.map(Some)).collect()
}

/// Results of a statistic that cannot fail.
fn plain<T: Rows>(
    basis: &Basis<'_>,
    draws: &Draws,
    sets: &Three<T>,
    names: Vec<Name>,
    statistic: impl Fn(&T, &T) -> Vec<Option<f64>> + Sync,
) -> Vec<RealismResult> {
    let values = statistic(&sets.real, &sets.synthetic);
    let held_out = sets.held_out.as_ref().map(|held_out| statistic(&sets.real, held_out));
    let sure = |a: &T, b: &T| Ok::<_, std::convert::Infallible>(statistic(a, b));
    let Ok(estimates) = draws.estimates(&values, &sets.real, &sets.synthetic, sure, |_| Ok(()));
    let of = |(index, name)| {
        basis.result(name, &estimates[index], held_out.as_ref().and_then(|values| values[index]))
    };
    names.into_iter().enumerate().map(of).collect()
}

fn settings(options: &Options, kernel_images: usize) -> RealismSettings {
    RealismSettings {
        draws: options.draws,
        seed: options.seed,
        level: LEVEL,
        nearest: NEAREST,
        kernel_subsets: KERNEL_SUBSETS,
        kernel_images,
        score_splits: SPLITS,
        interval_rule: format!(
            "draws of half of the real subjects and half of the synthetic images without repeats, at most {MOST_IMAGES} \
             images of each; the draws' quantiles, moved so that their mean is the value"
        ),
        floor_rule: "the same number between the drawn half of the real subjects and the other half; `matched` is between \
                     the drawn half and as many synthetic images as the other half has"
            .to_owned(),
    }
}

/// What limits the numbers.
fn warnings(results: &[RealismResult], subjects: usize, features: &str, draws: &Draws) -> Vec<String> {
    let mut warnings = Vec::new();
    if draws.is_empty() {
        warnings.push(
            "one real subject cannot be halved: no number has an interval or a floor, and none says anything"
                .into(),
        );
    } else if subjects < FEW_SUBJECTS {
        warnings.push(format!(
            "{subjects} real subjects: intervals and floors rest on halves of them, and are rough below {FEW_SUBJECTS}"
        ));
    }
    if !draws.is_empty() && results.iter().any(|result| result.metric == "frechet" && result.low.is_none()) {
        warnings.push(format!(
            "numbers of features have no interval and no floor: some halves of the subjects hold fewer than {} images",
            NEAREST + 1
        ));
    }
    let few: Vec<&str> =
        results.iter().filter(|result| result.rank_deficient).map(|result| result.channel.as_str()).collect();
    if !few.is_empty() {
        warnings.push(format!(
            "frechet of {features} ({}): no more images than features. It is larger than with more images, and may be \
             compared at equal numbers of images only: `matched` beside `floor`",
            few.join(", ")
        ));
    }
    if features == "random-conv" {
        warnings.push(
            "random-conv is a network that learnt nothing: its numbers order degradations of one kind, and may be \
             compared with their floor and with nothing else"
                .into(),
        );
    }
    warnings
}
