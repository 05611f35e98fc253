//! What can be wrong with annotations. Each fault is made so that it changes one number and leaves the others, as far as
//! pixels allow: what is magnified keeps its parts, what is moved or cut keeps its pixels, what is exchanged its areas.

use synthmr_core::random::{Draw, Rng};

use super::{Degradation, exchanged};

/// Degrades all annotations of a set.
pub(super) fn degrade(
    labels: &mut [&mut Vec<u8>],
    [height, width]: [usize; 2],
    degradation: Degradation,
    level: usize,
    random: &mut Rng,
) {
    match degradation {
        Degradation::ForeignLabels => {
            let before: Vec<Vec<u8>> = labels.iter().map(|label| label.to_vec()).collect();
            for (place, other) in exchanged(labels.len(), level, random) {
                labels[place].clone_from(&before[other]);
            }
        }
        Degradation::LargeLabels => {
            labels.iter_mut().for_each(|label| magnify(label, [height, width], 1.0 + 0.2 * level as f64));
        }
        Degradation::MovedLabels => {
            let by = [height, width].map(|side| (side << (level - 1)) / 32);
            labels.iter_mut().for_each(|label| shift(label, [height, width], by));
        }
        Degradation::CutLabels => {
            labels.iter_mut().for_each(|label| cut(label, [height, width], level));
        }
        Degradation::MissingClass => {
            let class = labels.iter().flat_map(|label| label.iter()).copied().max().unwrap_or(0);
            let mut with: Vec<_> = labels.iter_mut().filter(|label| label.contains(&class)).collect();
            random.shuffle(&mut with);
            let share = with.len() * level / 4;
            let pixels = with.into_iter().take(share).flat_map(|label| label.iter_mut());
            pixels.filter(|pixel| **pixel == class).for_each(|pixel| *pixel = 0);
        }
        Degradation::MixedBorders => {
            labels.iter_mut().for_each(|label| mix(label, [height, width], level, random));
        }
        _ => unreachable!("{degradation:?} is a fault of images"),
    }
}

/// First and last row and column of what is annotated.
fn bounds(label: &[u8], width: usize) -> Option<[(usize, usize); 2]> {
    let marked = || label.iter().enumerate().filter(|(_, class)| **class > 0).map(|(index, _)| index);
    let of = |place: &dyn Fn(usize) -> usize| Some((marked().map(place).min()?, marked().map(place).max()?));
    Some([of(&|index| index / width)?, of(&|index| index % width)?])
}

/// Magnifies about the middle of what is annotated; each pixel has the class of the nearest one before.
fn magnify(label: &mut [u8], [height, width]: [usize; 2], factor: f64) {
    let Some(bounds) = bounds(label, width) else { return };
    let [row, column] = bounds.map(|(first, last)| (first + last) as f64 / 2.0);
    let from = |place: usize, middle: f64| middle + (place as f64 - middle) / factor;
    let before = label.to_vec();
    for y in 0..height {
        for x in 0..width {
            let (v, u) = (from(y, row).round() as usize, from(x, column).round() as usize);
            label[y * width + x] = before[v * width + u];
        }
    }
}

/// Moves down and to the right; what leaves the image comes back on the other side, so that no pixel is lost.
fn shift(label: &mut [u8], [height, width]: [usize; 2], [down, right]: [usize; 2]) {
    label.rotate_right(down % height * width);
    label.chunks_exact_mut(width).for_each(|row| row.rotate_right(right % width));
}

/// Cuts at `count` rows that divide what is annotated evenly: what is below a cut moves down by an empty row.
fn cut(label: &mut [u8], [height, width]: [usize; 2], count: usize) {
    let Some([(first, last), _]) = bounds(label, width) else { return };
    // From below, so that the rows of other cuts stay where they are.
    for number in (1..=count).rev() {
        let row = first + (last + 1 - first) * number / (count + 1);
        label.copy_within(row * width..(height - 1) * width, (row + 1) * width);
        label[row * width..(row + 1) * width].fill(0);
    }
}

/// Exchanges some neighbours of two different foreground classes: every class keeps its area, its edge does not.
fn mix(label: &mut [u8], [height, width]: [usize; 2], thirds: usize, random: &mut Rng) {
    let before = label.to_vec();
    let right = (0..height * width).filter(|index| index % width + 1 < width).map(|index| (index, index + 1));
    let below = (0..(height - 1) * width).map(|index| (index, index + width));
    let differ = |&(a, b): &(usize, usize)| before[a] > 0 && before[b] > 0 && before[a] != before[b];
    let mut neighbours: Vec<(usize, usize)> = right.chain(below).filter(differ).collect();
    random.shuffle(&mut neighbours);
    neighbours.truncate(neighbours.len() * thirds / 3);
    neighbours.into_iter().for_each(|(a, b)| label.swap(a, b));
}
