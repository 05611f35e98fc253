//! Draws the numbers of sets that are worse in one known way, as an SVG picture.
//!
//! `cargo run --release -p synthmr-realism --example degradations OUT.svg [STORE]`
//!
//! The sets are images of the part test of STORE, or of phantom subjects, beside the part train, with features of random
//! convolutions.

#[path = "common/mod.rs"]
mod common;

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use common::{ALL, Silent, phantom_store, value, write_degraded};
use synthmr_core::Split;
use synthmr_core::records::RealismRecord;
use synthmr_data::store::{SliceStore, StoreSelection};
use synthmr_nets::tch::Device;
use synthmr_realism::{Cache, FeatureSource, Options, Sets, measure};

/// Columns of the picture.
const METRICS: [(&str, &str); 8] = [
    ("frechet", "joint"),
    ("precision", "joint"),
    ("recall", "joint"),
    ("power_spectrum", "mean"),
    ("intensity_histogram", "mean"),
    ("cross_contrast", "mean"),
    ("ms_ssim", "mean"),
    ("annotation_intensity", "ED/T2"),
];
const CELL: (f64, f64) = (104.0, 62.0);
const LEFT: f64 = 120.0;
const TOP: f64 = 44.0;

fn main() -> Result<(), Box<dyn Error>> {
    let out =
        std::env::args().nth(1).map(PathBuf::from).ok_or("expected the name of the picture: OUT.svg")?;
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let given = std::env::args().nth(2).map(PathBuf::from);
    let (store, of) = match &given {
        Some(path) => (SliceStore::open(path)?, "real subjects"),
        None => (phantom_store(folder, 12, 64)?, "12 phantom subjects"),
    };
    let real = given.unwrap_or_else(|| folder.join("ph.store"));
    let test = store.indices(Split::Test);
    let mut curves: Vec<Vec<RealismRecord>> = Vec::new();
    for kind in ALL {
        let record = |level: usize| -> Result<RealismRecord, Box<dyn Error>> {
            let path = folder.join(format!("{kind:?}-{level}.store"));
            write_degraded(&store, &test, kind, level, &path)?;
            measured(folder, &real, &path)
        };
        curves.push((0..4).map(record).collect::<Result<_, _>>()?);
    }
    synthmr_core::files::write(
        &out,
        picture(&curves, &format!("{of} at {0} x {0}", store.manifest().width)).as_bytes(),
    )?;
    Ok(())
}

fn measured(folder: &Path, real: &Path, synthetic: &Path) -> Result<RealismRecord, Box<dyn Error>> {
    let real = StoreSelection { path: real.to_owned(), split: Some(Split::Train) };
    let sets = Sets::open(&real, &StoreSelection { path: synthetic.to_owned(), split: None })?;
    let source = FeatureSource::random_conv(Device::Cpu);
    let options = Options { draws: 10, seed: 0 };
    Ok(measure(&sets, &source, &Cache::new(&folder.join("features")), &options, &mut Silent)?)
}

/// A row a degradation, a column a number; each column has one scale, and its floor as a line.
fn picture(curves: &[Vec<RealismRecord>], of: &str) -> String {
    let (width, height) = (LEFT + CELL.0 * METRICS.len() as f64, TOP + CELL.1 * curves.len() as f64 + 24.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"10\"><rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (column, (metric, channel)) in METRICS.into_iter().enumerate() {
        let left = LEFT + CELL.0 * column as f64;
        let values: Vec<Vec<f64>> = curves
            .iter()
            .map(|records| records.iter().map(|record| value(record, metric, channel)).collect())
            .collect();
        let top = values.iter().flatten().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
        let _ = writeln!(
            svg,
            "<text x=\"{left}\" y=\"16\" font-weight=\"bold\">{metric}</text><text x=\"{left}\" y=\"30\" fill=\"#666\">\
             {channel}, 0 to {top:.2}</text>"
        );
        let y = |row: usize, value: f64| {
            TOP + CELL.1 * (row as f64 + 1.0) - 8.0 - (CELL.1 - 16.0) * value / top.max(1e-12)
        };
        for (row, values) in values.iter().enumerate() {
            let points: Vec<String> = values
                .iter()
                .enumerate()
                .map(|(level, value)| {
                    format!("{:.1},{:.1}", left + 4.0 + 28.0 * level as f64, y(row, *value))
                })
                .collect();
            let base = y(row, 0.0);
            let _ = writeln!(
                svg,
                "<path d=\"M{left} {base:.1}h92\" stroke=\"#ccc\"/><polyline points=\"{}\" fill=\"none\" stroke=\"#1f6f8b\" \
                 stroke-width=\"2\"/>",
                points.join(" ")
            );
            let floor = curves[row][0].results.iter().find(|r| r.metric == metric && r.channel == channel);
            if let Some(floor) = floor.and_then(|result| result.floor) {
                let y = y(row, floor.min(top));
                let _ = writeln!(
                    svg,
                    "<path d=\"M{left} {y:.1}h92\" stroke=\"#c46a1b\" stroke-dasharray=\"3 2\"/>"
                );
            }
        }
    }
    for (row, kind) in ALL.into_iter().enumerate() {
        let y = TOP + CELL.1 * (row as f64 + 0.5);
        let _ = writeln!(svg, "<text x=\"8\" y=\"{y}\">{}</text>", label(kind));
    }
    let y = height - 8.0;
    let _ = writeln!(
        svg,
        "<text x=\"8\" y=\"{y}\" fill=\"#666\">Left to right: levels 0 (images of other subjects as they are) to 3. Dashed: \
         the floor. Random convolutions, {of}.</text></svg>"
    );
    svg
}

fn label(kind: common::Degradation) -> &'static str {
    use common::Degradation::{Blur, Duplicates, FewSubjects, ForeignContrast, ForeignLabels, Noise, Shift};
    match kind {
        Blur => "blur",
        Noise => "noise",
        Shift => "brighter",
        ForeignLabels => "labels exchanged",
        ForeignContrast => "T1 exchanged",
        FewSubjects => "few subjects",
        Duplicates => "images repeated",
    }
}
