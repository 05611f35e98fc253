//! Intervals and floors from halves of the sets.
//!
//! A bootstrap repeats images. To features that is fatal: a repeated image has a neighbour at no distance, which empties the
//! balls of precision and recall, and fewer different images raise a Frechet distance. So every draw takes *half of the
//! subjects* of the real set and half of the images of the synthetic one, without repeats (half-sampling, McCarthy 1969;
//! subsampling, Politis, Romano and Wolf 1999). The deviation of a half's number from the whole's has the variance of the
//! whole's number itself where that falls with one over the size, so the spread of the draws is used as it is:
//!
//! * low, high = value + (quantiles of the draws - mean of the draws). The mean is taken off because numbers such as the
//!   Frechet distance depend on how many images there are, and halves have half as many.
//! * floor: the number between the drawn half and the other half of the real subjects, as if that were the synthetic set.
//! * matched: the number between the drawn half and as many synthetic images as the other half has. Where there are fewer,
//!   the other half is cut to their number, in the floor too: both have the same sizes.
//!
//! Draws take at most [`MOST_IMAGES`] images of a set. A share f of the images then stands for all, and the deviations are
//! multiplied by (f / (1 - f))^(1/2), which is 1 for halves.

use rayon::prelude::*;
use synthmr_core::random::{Draw, Stream, rng};

/// Most images of a set in a draw: decompositions grow with the cube of it.
pub const MOST_IMAGES: usize = 1000;

/// Data of a set of images of which some can be taken.
pub trait Rows: Sized + Sync {
    /// The images `rows`, in that order.
    fn gathered(&self, rows: &[u32]) -> Self;
}

/// What belongs together in one draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halves {
    /// Half of the real subjects.
    pub real: Vec<u32>,
    /// The other half.
    pub other_real: Vec<u32>,
    /// Half of the synthetic images.
    pub synthetic: Vec<u32>,
    /// As many synthetic images as [`Self::other_real`] has.
    pub matched: Vec<u32>,
}

/// All draws of a measurement; the same for all metrics, so that their numbers belong together.
#[derive(Clone, Debug)]
pub struct Draws {
    draws: Vec<Halves>,
    level: f64,
    /// What deviations are multiplied by.
    spread: f64,
}

/// A number with what it is worth. Parts are none where the number is not defined, or there are no halves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// The number.
    pub value: Option<f64>,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
    /// Mean, lower and upper end of the floor.
    pub floor: Option<(f64, f64, f64)>,
    /// The number at the floor's sizes.
    pub matched: Option<f64>,
}

impl Draws {
    /// `count` draws from the units of both sets: lists of images that belong to one subject, or an image each. With a
    /// single real unit there are no halves, and no draws.
    pub fn new(real: &[Vec<u32>], synthetic: &[Vec<u32>], count: usize, seed: u64, level: f64) -> Self {
        if real.len() < 2 || synthetic.len() < 2 {
            return Self { draws: Vec::new(), level, spread: 1.0 };
        }
        let draw = |index: usize| {
            let mut random = rng(seed, Stream::Realism, index as u64);
            let mut order = |units: &[Vec<u32>]| {
                let mut order: Vec<usize> = (0..units.len()).collect();
                random.shuffle(&mut order);
                order
            };
            let (reals, synthetics) = (order(real), order(synthetic));
            let half = reals.len() / 2;
            let mut other_real = taken(real, &reals[half..], MOST_IMAGES);
            other_real.truncate(synthetic.iter().map(Vec::len).sum());
            let matched = taken(synthetic, &synthetics, other_real.len());
            let halves = Halves {
                real: taken(real, &reals[..half], MOST_IMAGES),
                synthetic: taken(synthetic, &synthetics[..synthetics.len() / 2], MOST_IMAGES),
                other_real,
                matched,
            };
            let images = |units: &[Vec<u32>]| units.iter().map(Vec::len).sum::<usize>() as f64;
            let share = (halves.real.len() as f64 / images(real))
                .max(halves.synthetic.len() as f64 / images(synthetic))
                .min(0.5);
            (halves, share)
        };
        let (draws, shares): (Vec<Halves>, Vec<f64>) = (0..count).map(draw).unzip();
        let share = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
        Self { draws, level, spread: (share / (1.0 - share)).sqrt() }
    }

    /// Number of draws.
    pub fn len(&self) -> usize {
        self.draws.len()
    }

    /// True where a set cannot be halved.
    pub fn is_empty(&self) -> bool {
        self.draws.is_empty()
    }

    /// What `statistic`, several numbers at once, makes of the draws, beside `values`, the numbers of all images. `watch`
    /// is told the share of the draws that are done.
    ///
    /// # Errors
    /// The first error of `statistic` or `watch`.
    pub fn estimates<D: Rows, E: Send>(
        &self,
        values: &[Option<f64>],
        real: &D,
        synthetic: &D,
        statistic: impl Fn(&D, &D) -> Result<Vec<Option<f64>>, E> + Sync,
        mut watch: impl FnMut(f64) -> Result<(), E>,
    ) -> Result<Vec<Estimate>, E> {
        let of_draw = |halves: &Halves| {
            let half = real.gathered(&halves.real);
            let drawn = statistic(&half, &synthetic.gathered(&halves.synthetic))?;
            let floor = statistic(&half, &real.gathered(&halves.other_real))?;
            let matched = statistic(&half, &synthetic.gathered(&halves.matched))?;
            Ok([drawn, floor, matched])
        };
        let mut drawn: Vec<[Vec<Option<f64>>; 3]> = Vec::with_capacity(self.draws.len());
        for draws in self.draws.chunks(2 * rayon::current_num_threads()) {
            drawn.extend(draws.par_iter().map(of_draw).collect::<Result<Vec<_>, E>>()?);
            watch(drawn.len() as f64 / self.draws.len() as f64)?;
        }
        let column = |kind: usize, number: usize| -> Option<Vec<f64>> {
            let column: Option<Vec<f64>> = drawn.iter().map(|draw| draw[kind][number]).collect();
            column.filter(|column| !column.is_empty())
        };
        let estimate = |(number, &value): (usize, &Option<f64>)| Estimate {
            value,
            interval: value.zip(column(0, number)).map(|(value, drawn)| self.interval(value, drawn)),
            floor: column(1, number).map(|drawn| {
                let mean = mean(&drawn);
                let (low, high) = self.quantiles(drawn);
                (mean, low, high)
            }),
            matched: column(2, number).map(|drawn| mean(&drawn)),
        };
        Ok(values.iter().enumerate().map(estimate).collect())
    }

    fn interval(&self, value: f64, drawn: Vec<f64>) -> (f64, f64) {
        let mean = mean(&drawn);
        let (low, high) = self.quantiles(drawn);
        (value + self.spread * (low - mean), value + self.spread * (high - mean))
    }

    /// Quantiles at both ends of the level, between neighbouring values where they fall between.
    fn quantiles(&self, mut values: Vec<f64>) -> (f64, f64) {
        values.sort_by(f64::total_cmp);
        let last = (values.len() - 1) as f64;
        let at = |share: f64| {
            let place = share * last;
            let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        let tail = (1.0 - self.level) / 2.0;
        (at(tail), at(1.0 - tail))
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The images of units in their order, whole units as long as they fit, at least one unit.
fn taken(units: &[Vec<u32>], order: &[usize], most: usize) -> Vec<u32> {
    let mut rows: Vec<u32> = Vec::new();
    for &unit in order {
        if !rows.is_empty() && rows.len() + units[unit].len() > most {
            break;
        }
        rows.extend(&units[unit]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Numbers(Vec<f64>);

    impl Rows for Numbers {
        fn gathered(&self, rows: &[u32]) -> Self {
            Self(rows.iter().map(|&row| self.0[row as usize]).collect())
        }
    }

    fn difference(a: &Numbers, b: &Numbers) -> Result<Vec<Option<f64>>, ()> {
        Ok(vec![Some(mean(&b.0) - mean(&a.0))])
    }

    fn singles(count: u32) -> Vec<Vec<u32>> {
        (0..count).map(|i| vec![i]).collect()
    }

    fn normal(count: usize, shift: f64, index: u64) -> Numbers {
        let mut random = rng(5, Stream::Test, index);
        Numbers((0..count).map(|_| random.normal() + shift).collect())
    }

    #[test]
    fn halves_share_no_subject() {
        let subjects = [vec![0, 1, 2], vec![3, 4], vec![5, 6, 7], vec![8]];
        let draws = Draws::new(&subjects, &singles(10), 50, 1, 0.95);
        for halves in &draws.draws {
            let subject = |row: &u32| subjects.iter().position(|unit| unit.contains(row)).unwrap();
            assert!(
                halves
                    .real
                    .iter()
                    .all(|row| !halves.other_real.iter().any(|other| subject(row) == subject(other)))
            );
            assert_eq!(halves.real.len() + halves.other_real.len(), 9);
            assert_eq!((halves.synthetic.len(), halves.matched.len()), (5, halves.other_real.len()));
        }
        assert_ne!(draws.draws[0], draws.draws[1]);
        assert!(Draws::new(&subjects[..1], &singles(10), 50, 1, 0.95).is_empty());
    }

    #[test]
    fn a_small_synthetic_set_is_matched_by_as_many_real_images() {
        let subjects: Vec<Vec<u32>> =
            (0..8).map(|subject| (0..40).map(|i| 40 * subject + i).collect()).collect();
        for count in [30, 70, 1000] {
            for halves in &Draws::new(&subjects, &singles(count), 20, 1, 0.95).draws {
                assert_eq!(halves.matched.len(), halves.other_real.len());
                assert_eq!(halves.other_real.len(), 160.min(count as usize));
            }
        }
    }

    #[test]
    fn intervals_are_as_wide_as_the_numbers_vary() {
        // The difference of two means of 400 normal numbers deviates by (2 / 400)^(1/2) = 0.0707.
        let (real, synthetic) = (normal(400, 0.0, 1), normal(400, 1.0, 2));
        let draws = Draws::new(&singles(400), &singles(400), 400, 1, 0.95);
        let value = mean(&synthetic.0) - mean(&real.0);
        let found = draws.estimates(&[Some(value)], &real, &synthetic, difference, |_| Ok(())).unwrap()[0];
        let (low, high) = found.interval.unwrap();
        let expected = 2.0 * 1.96 * (2.0 / 400.0f64).sqrt();
        assert!(((high - low) / expected - 1.0).abs() < 0.15, "{} {expected}", high - low);
        assert!(low < value && value < high);
        // Between halves of the real set there is no difference but chance.
        let (floor, floor_low, floor_high) = found.floor.unwrap();
        assert!(floor.abs() < 0.03 && floor_low < -0.1 && floor_high > 0.1, "{floor}");
        assert!((found.matched.unwrap() - value).abs() < 0.03);
    }

    #[test]
    fn draws_of_large_sets_are_small_and_say_what_large_sets_vary() {
        let n = 40_000;
        let (real, synthetic) = (normal(n, 0.0, 1), normal(n, 1.0, 2));
        let units = singles(n as u32);
        let draws = Draws::new(&units, &units, 300, 1, 0.95);
        assert!(
            draws
                .draws
                .iter()
                .all(|halves| halves.real.len() == MOST_IMAGES && halves.other_real.len() == MOST_IMAGES)
        );
        let found = draws.estimates(&[Some(1.0)], &real, &synthetic, difference, |_| Ok(())).unwrap()[0];
        let (low, high) = found.interval.unwrap();
        let expected = 2.0 * 1.96 * (2.0 / n as f64).sqrt();
        assert!(((high - low) / expected - 1.0).abs() < 0.2, "{} {expected}", high - low);
    }

    #[test]
    fn numbers_that_a_draw_does_not_have_have_no_interval() {
        let (real, synthetic) = (normal(20, 0.0, 1), normal(20, 1.0, 2));
        let draws = Draws::new(&singles(20), &singles(20), 20, 1, 0.95);
        let none = |_: &Numbers, _: &Numbers| Ok::<_, ()>(vec![None]);
        let found = draws.estimates(&[Some(1.0)], &real, &synthetic, none, |_| Ok(())).unwrap()[0];
        assert_eq!(found, Estimate { value: Some(1.0), ..Estimate::default() });
    }
}
