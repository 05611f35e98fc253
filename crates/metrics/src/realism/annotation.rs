//! What an annotation looks like, image by image: areas, parts, places, and what touches what.

/// One class in one image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassShape {
    /// Pixels of the class.
    pub area: u32,
    /// Parts that do not touch, corners counted as touching.
    pub components: u32,
    /// Mean row of its pixels, from 0 to 1 over the image; 0 without any.
    pub row: f64,
    /// Mean column of its pixels, from 0 to 1 over the image; 0 without any.
    pub column: f64,
}

/// The annotation of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// The foreground classes, from class 1 on.
    pub classes: Vec<ClassShape>,
    /// Neighbouring pixels of two different classes, `[classes, classes]` with the background, the smaller class first:
    /// above the diagonal.
    pub borders: Vec<u32>,
}

/// Describes class indices `labels` `[height, width]`, all below `classes`.
pub fn describe(labels: &[u8], height: usize, width: usize, classes: usize) -> Annotation {
    assert_eq!(labels.len(), height * width, "a label for every pixel");
    let mut shapes = vec![ClassShape::default(); classes - 1];
    let mut borders = vec![0; classes * classes];
    for (index, &label) in labels.iter().enumerate() {
        let (y, x) = (index / width, index % width);
        if let Some(shape) = usize::from(label).checked_sub(1).map(|class| &mut shapes[class]) {
            shape.area += 1;
            shape.row += (y as f64 + 0.5) / height as f64;
            shape.column += (x as f64 + 0.5) / width as f64;
        }
        let right = (x + 1 < width).then(|| labels[index + 1]);
        let below = (y + 1 < height).then(|| labels[index + width]);
        for other in right.into_iter().chain(below).filter(|&other| other != label) {
            borders[usize::from(label.min(other)) * classes + usize::from(label.max(other))] += 1;
        }
    }
    for shape in shapes.iter_mut().filter(|shape| shape.area > 0) {
        shape.row /= f64::from(shape.area);
        shape.column /= f64::from(shape.area);
    }
    let mut seen = vec![false; labels.len()];
    for start in 0..labels.len() {
        if labels[start] != 0 && !seen[start] {
            shapes[usize::from(labels[start]) - 1].components += 1;
            flood(labels, height, width, start, &mut seen);
        }
    }
    Annotation { classes: shapes, borders }
}

/// Marks everything of the same class that is connected with `start`.
fn flood(labels: &[u8], height: usize, width: usize, start: usize, seen: &mut [bool]) {
    let mut open = vec![start];
    seen[start] = true;
    while let Some(index) = open.pop() {
        let (y, x) = (index / width, index % width);
        for y in y.saturating_sub(1)..(y + 2).min(height) {
            for x in x.saturating_sub(1)..(x + 2).min(width) {
                let next = y * width + x;
                if labels[next] == labels[start] && !seen[next] {
                    seen[next] = true;
                    open.push(next);
                }
            }
        }
    }
}

/// Half the sum of absolute differences of two counts, each made to sum to 1: the share that has to change places. None
/// when one is empty.
pub fn total_variation(a: &[f64], b: &[f64]) -> Option<f64> {
    let (sum_a, sum_b): (f64, f64) = (a.iter().sum(), b.iter().sum());
    if sum_a <= 0.0 || sum_b <= 0.0 {
        return None;
    }
    Some(a.iter().zip(b).map(|(a, b)| (a / sum_a - b / sum_b).abs()).sum::<f64>() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_by_hand() {
        #[rustfmt::skip]
        let labels = [
            1, 0, 0, 2,
            0, 1, 0, 2,
            0, 0, 0, 0,
            1, 1, 2, 0,
        ];
        let Annotation { classes, borders } = describe(&labels, 4, 4, 3);
        // The diagonal pair of class 1 is one part.
        assert_eq!((classes[0].area, classes[0].components), (4, 2));
        assert_eq!((classes[1].area, classes[1].components), (3, 2));
        assert_eq!(classes[0].row, (0.5 + 1.5 + 3.5 + 3.5) / 16.0);
        assert_eq!(classes[1].column, (3.5 + 3.5 + 2.5) / 12.0);
        // Class 1 to background: 2 + 4 + 1 + 1; class 2: 2 + 1 + 2; 1 to 2: 1.
        assert_eq!((borders[1], borders[2], borders[5]), (8, 5, 1));
        assert_eq!(borders.iter().sum::<u32>(), 14);
    }

    #[test]
    fn shares_that_change_places() {
        assert_eq!(total_variation(&[1.0, 1.0, 0.0], &[0.0, 2.0, 2.0]), Some(0.5));
        assert_eq!(total_variation(&[0.0], &[1.0]), None);
    }
}
