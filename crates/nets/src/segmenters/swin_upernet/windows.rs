//! Windows of positions: which position of a feature map is where in which window (Liu et al. 2021, section 3.2).

use tch::{Device, Kind, Tensor};

/// Added to the scores of pairs that were no neighbours before the cyclic shift, as in the authors' code: small enough
/// for softmax to make nothing of them.
const APART: f64 = -100.0;

/// The division of a feature map of `side x side` positions into windows of `window x window`, made up to whole windows
/// by positions of zeros at the lower and right end, and moved cyclically by `shift` towards the upper left.
pub(super) struct Windows {
    /// Windows of an image.
    pub(super) count: i64,
    /// Positions of a window.
    pub(super) area: i64,
    /// Positions of an image.
    positions: i64,
    /// For each place of each window the position, or `positions` for one of zeros: `[count * area]`.
    inwards: Tensor,
    /// For each position its place: `[positions]`.
    outwards: Tensor,
    /// 0 for pairs that may attend to each other, [`APART`] for others: `[count, 1, area, area]`; none without shift.
    pub(super) mask: Option<Tensor>,
}

impl Windows {
    pub(super) fn new(side: i64, window: i64, shift: i64, device: Device) -> Self {
        let (rows, area) = ((side + window - 1) / window, window * window);
        let (whole, positions, count) = (rows * window, side * side, rows * rows);
        // Bands that were together before the shift have the same number.
        let band = |p: i64| i64::from(p >= whole - window) + i64::from(p >= whole - shift);
        let mut inwards = Vec::with_capacity((count * area) as usize);
        let mut outwards = vec![0i64; positions as usize];
        let mut bands = Vec::with_capacity((count * area) as usize);
        for place in 0..count * area {
            let (index, inner) = (place / area, place % area);
            let row = index / rows * window + inner / window;
            let column = index % rows * window + inner % window;
            let (from_row, from_column) = ((row + shift) % whole, (column + shift) % whole);
            if from_row < side && from_column < side {
                let position = from_row * side + from_column;
                outwards[position as usize] = place;
                inwards.push(position);
            } else {
                inwards.push(positions);
            }
            bands.push(band(row) * 3 + band(column));
        }
        let mask = (shift > 0).then(|| {
            let bands = Tensor::from_slice(&bands).view([count, area]).to_device(device);
            let apart = bands.unsqueeze(1).not_equal_tensor(&bands.unsqueeze(2));
            (apart.to_kind(Kind::Float) * APART).unsqueeze(1)
        });
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(device);
        Self { count, area, positions, inwards: tensor(&inwards), outwards: tensor(&outwards), mask }
    }

    /// True when windows hold positions of zeros.
    pub(super) fn padded(&self) -> bool {
        self.count * self.area > self.positions
    }

    /// From positions to windows: `[n, positions (+ 1 of zeros when padded), c] -> [n * count, area, c]`.
    pub(super) fn gather(&self, x: &Tensor) -> Tensor {
        let (n, rows, c) = sizes(x);
        x.reshape([n * rows, c]).index_select(0, &shifted(&self.inwards, n, rows)).view([-1, self.area, c])
    }

    /// From windows to positions: `[n * count, area, c] -> [n, positions, c]`.
    pub(super) fn scatter(&self, x: &Tensor) -> Tensor {
        let (windows, area, c) = sizes(x);
        let (n, places) = (windows / self.count, self.count * area);
        let index = shifted(&self.outwards, n, places);
        x.reshape([windows * area, c]).index_select(0, &index).view([n, self.positions, c])
    }
}

/// Indices of one image repeated for `n` images of `rows` rows each.
fn shifted(index: &Tensor, n: i64, rows: i64) -> Tensor {
    let starts = Tensor::arange(n, (Kind::Int64, index.device())) * rows;
    (starts.unsqueeze(1) + index).flatten(0, -1)
}

fn sizes(x: &Tensor) -> (i64, i64, i64) {
    x.size3().unwrap_or_else(|_| panic!("positions are [n, rows, c], found {:?}", x.size()))
}

/// Which row of the table of relative positions belongs to a pair of places in a window: `[area * area]`, the place
/// that attends first (Liu et al. 2021, equation 4).
pub(super) fn relative_positions(window: i64, device: Device) -> Tensor {
    let area = window * window;
    let span = 2 * window - 1;
    let pair = |pair: i64| {
        let (a, b) = (pair / area, pair % area);
        let rows = a / window - b / window + window - 1;
        let columns = a % window - b % window + window - 1;
        rows * span + columns
    };
    let values: Vec<i64> = (0..area * area).map(pair).collect();
    Tensor::from_slice(&values).to_device(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back_where_they_were() {
        for (side, window, shift) in [(8, 4, 0), (8, 4, 2), (6, 4, 2), (2, 4, 2), (7, 3, 1)] {
            let windows = Windows::new(side, window, shift, Device::Cpu);
            let x = Tensor::arange(3 * side * side * 2, (Kind::Float, Device::Cpu)).view([3, side * side, 2]);
            let padded = if windows.padded() { x.constant_pad_nd([0, 0, 0, 1]) } else { x.shallow_clone() };
            let inside = windows.gather(&padded);
            assert_eq!(inside.size(), [3 * windows.count, window * window, 2]);
            assert_eq!(inside.sum(Kind::Double), x.sum(Kind::Double));
            assert_eq!(windows.scatter(&inside), x);
        }
    }

    #[test]
    fn the_first_window_is_moved_by_the_shift_and_the_last_is_divided() {
        let windows = Windows::new(4, 2, 1, Device::Cpu);
        let x = Tensor::arange(16, (Kind::Float, Device::Cpu)).view([1, 16, 1]);
        let inside = windows.gather(&x);
        let window = |i: i64| Vec::<f32>::try_from(inside.get(i).flatten(0, -1)).unwrap();
        assert_eq!(window(0), [5.0, 6.0, 9.0, 10.0]);
        assert_eq!(window(3), [15.0, 12.0, 3.0, 0.0]);
        let apart = windows.mask.unwrap().not_equal(0.0).flatten(1, -1);
        let apart = apart.sum_dim_intlist([1].as_slice(), false, Kind::Int64);
        // None in the first window; halves that meet at one seam have 8 pairs apart, the last window's quarters 12.
        assert_eq!(Vec::<i64>::try_from(apart).unwrap(), [0, 8, 8, 12]);
    }
}
