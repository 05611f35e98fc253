//! Draws the numbers of sets that are worse in one known way, as an SVG picture.
//!
//! `cargo run --release -p synthmr-realism --example degradations OUT.svg [STORE]`
//!
//! The sets are images of the part test of STORE, or of phantom subjects, beside the part train, with features of random
//! convolutions. Above is what can be wrong with images, below what can be wrong with annotations.

#[path = "common/mod.rs"]
mod common;

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use common::{
    Degradation, OF_ANNOTATIONS, OF_IMAGES, Silent, levels, phantom_store, subjects, value, write_degraded,
};
use synthmr_core::Split;
use synthmr_core::records::RealismRecord;
use synthmr_data::store::{SliceStore, StoreSelection};
use synthmr_nets::tch::Device;
use synthmr_realism::{Cache, FeatureSource, Options, Sets, measure};

/// Columns of the upper panel, of images.
const IMAGE_METRICS: [(&str, &str); 10] = [
    ("frechet", "joint"),
    ("kid", "joint"),
    ("precision", "joint"),
    ("recall", "joint"),
    ("density", "joint"),
    ("coverage", "joint"),
    ("power_spectrum", "mean"),
    ("intensity_histogram", "mean"),
    ("cross_contrast", "mean"),
    ("ms_ssim", "mean"),
];
/// Columns of the lower panel, of annotations; few subjects have few places of tumours, so they are there once more.
const ANNOTATION_METRICS: [(&str, &str); 6] = [
    ("annotation_intensity", "ED/T2"),
    ("annotation_area", "ED"),
    ("annotation_position", "ED"),
    ("annotation_components", "ED"),
    ("annotation_presence", "ET"),
    ("annotation_borders", "all"),
];
const CELL: (f64, f64) = (120.0, 62.0);
const LEFT: f64 = 120.0;
/// Height of a panel's heads.
const HEADS: f64 = 44.0;
/// Height of the lines below the panels.
const LEGEND: f64 = 40.0;
/// Draws behind the floors, and behind numbers whose floors are not drawn.
const DRAWS: [usize; 2] = [10, 2];

/// Numbers of a degradation's levels.
struct Curve {
    kind: Degradation,
    levels: Vec<(usize, RealismRecord)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let out =
        std::env::args().nth(1).map(PathBuf::from).ok_or("expected the name of the picture: OUT.svg")?;
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let given = std::env::args().nth(2).map(PathBuf::from);
    let store = match &given {
        Some(path) => SliceStore::open(path)?,
        None => phantom_store(folder, 32, 64)?,
    };
    let of = if given.is_some() { "real" } else { "phantom" };
    let real = given.unwrap_or_else(|| folder.join("ph.store"));
    let test = store.indices(Split::Test);
    let count = subjects(&store, &test);
    let record = |kind: Degradation, level: usize| -> Result<RealismRecord, Box<dyn Error>> {
        let path = folder.join(format!("{kind:?}-{level}.store"));
        write_degraded(&store, &test, kind, level, &path)?;
        measured(folder, &real, &path, DRAWS[level.min(1)])
    };
    let same = record(Degradation::Blur, 0)?;
    let curve = |kind: Degradation| -> Result<Curve, Box<dyn Error>> {
        let mut curve = Curve { kind, levels: vec![(0, same.clone())] };
        for level in levels(kind, count).into_iter().skip(1) {
            curve.levels.push((level, record(kind, level)?));
        }
        Ok(curve)
    };
    let of_images = OF_IMAGES.map(curve).into_iter().collect::<Result<Vec<Curve>, _>>()?;
    let of_annotations = OF_ANNOTATIONS.map(curve).into_iter().collect::<Result<Vec<Curve>, _>>()?;
    let what = format!("{count} {of} subjects at {0} x {0}", store.manifest().width);
    synthmr_core::files::write(&out, picture(&same, &of_images, &of_annotations, &what).as_bytes())?;
    Ok(())
}

fn measured(
    folder: &Path,
    real: &Path,
    synthetic: &Path,
    draws: usize,
) -> Result<RealismRecord, Box<dyn Error>> {
    let real = StoreSelection { path: real.to_owned(), split: Some(Split::Train) };
    let sets = Sets::open(&real, &StoreSelection { path: synthetic.to_owned(), split: None })?;
    let source = FeatureSource::random_conv(Device::Cpu);
    let options = Options { draws, seed: 0 };
    Ok(measure(&sets, &source, &Cache::new(&folder.join("features")), &options, &mut Silent)?)
}

/// Both panels and what their lines are.
fn picture(same: &RealismRecord, of_images: &[Curve], of_annotations: &[Curve], what: &str) -> String {
    // Fewer images are no fault: they are drawn beside what they are compared with.
    let (beside, of_images): (Vec<&Curve>, Vec<&Curve>) =
        of_images.iter().partition(|curve| curve.kind == Degradation::FewImages);
    let few_subjects = of_images.iter().copied().filter(|curve| curve.kind == Degradation::FewSubjects);
    let of_annotations: Vec<&Curve> = of_annotations.iter().chain(few_subjects).collect();
    let width = LEFT + CELL.0 * IMAGE_METRICS.len() as f64;
    let second = HEADS + CELL.1 * of_images.len() as f64;
    let height = second + HEADS + CELL.1 * of_annotations.len() as f64 + LEGEND;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"10\"><rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    panel(&mut svg, 0.0, &IMAGE_METRICS, same, &of_images, beside.first().copied());
    panel(&mut svg, second, &ANNOTATION_METRICS, same, &of_annotations, beside.first().copied());
    let _ = writeln!(
        svg,
        "<text x=\"8\" y=\"{}\" fill=\"#666\">Left to right: levels 0 (images of other subjects as they are) to 3. \
         Dashed: the floor. Random convolutions, {what}.</text><text x=\"8\" y=\"{}\" fill=\"#666\">Grey: as many \
         images, any of all subjects.</text></svg>",
        height - 22.0,
        height - 8.0
    );
    svg
}

/// A row a degradation, a column a number; each column has one scale, and its floor as a line.
fn panel(
    svg: &mut String,
    top: f64,
    metrics: &[(&str, &str)],
    same: &RealismRecord,
    curves: &[&Curve],
    beside: Option<&Curve>,
) {
    for (row, curve) in curves.iter().enumerate() {
        let y = top + HEADS + CELL.1 * (row as f64 + 0.5);
        let _ = writeln!(svg, "<text x=\"8\" y=\"{y}\">{}</text>", label(curve.kind));
    }
    for (column, &(metric, channel)) in metrics.iter().enumerate() {
        let left = LEFT + CELL.0 * column as f64;
        let values = |curve: &Curve| -> Vec<(usize, f64)> {
            let of = |(level, record): &(usize, RealismRecord)| (*level, value(record, metric, channel));
            curve.levels.iter().map(of).filter(|(_, value)| value.is_finite()).collect()
        };
        let most = curves
            .iter()
            .copied()
            .chain(beside)
            .flat_map(values)
            .fold(0.0, |most, (_, value)| value.max(most));
        let _ = writeln!(
            svg,
            "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{metric}</text><text x=\"{left}\" y=\"{}\" \
             fill=\"#666\">{channel}, 0 to {most:.2}</text>",
            top + 16.0,
            top + 30.0
        );
        let floor = same.results.iter().find(|r| r.metric == metric && r.channel == channel);
        let floor = floor.and_then(|result| result.floor);
        for (row, curve) in curves.iter().enumerate() {
            let base = top + HEADS + CELL.1 * (row as f64 + 1.0) - 8.0;
            let y = |value: f64| base - (CELL.1 - 16.0) * value.clamp(0.0, most) / most.max(1e-12);
            let _ = writeln!(svg, "<path d=\"M{left} {base:.1}h92\" stroke=\"#ccc\"/>");
            let mut line = |curve: &Curve, colour: &str| {
                let point =
                    |(level, value)| format!("{:.1},{:.1}", left + 4.0 + 28.0 * level as f64, y(value));
                let points: Vec<String> = values(curve).into_iter().map(point).collect();
                let _ = writeln!(
                    svg,
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                    points.join(" ")
                );
            };
            if matches!(curve.kind, Degradation::FewSubjects | Degradation::LowSlices) {
                beside.into_iter().for_each(|beside| line(beside, "#aaa"));
            }
            line(curve, "#1f6f8b");
            if let Some(floor) = floor {
                let y = y(floor);
                let _ = writeln!(
                    svg,
                    "<path d=\"M{left} {y:.1}h92\" stroke=\"#c46a1b\" stroke-dasharray=\"3 2\"/>"
                );
            }
        }
    }
}

fn label(kind: Degradation) -> &'static str {
    match kind {
        Degradation::Blur => "blur",
        Degradation::Noise => "noise",
        Degradation::Shift => "brighter",
        Degradation::ForeignContrast => "T1 exchanged",
        Degradation::FewSubjects => "few subjects",
        Degradation::LowSlices => "low slices alone",
        Degradation::FewImages => "few images",
        Degradation::Duplicates => "images repeated",
        Degradation::ForeignLabels => "labels exchanged",
        Degradation::LargeLabels => "labels too large",
        Degradation::MovedLabels => "labels moved",
        Degradation::CutLabels => "labels cut",
        Degradation::MissingClass => "ET missing",
        Degradation::MixedBorders => "borders mixed",
    }
}
