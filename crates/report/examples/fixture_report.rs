//! Writes the report of the tests' fixture, to look at the page without training anything:
//! `cargo run --release -p synthmr-report --example fixture_report -- report.html`.

#[path = "../tests/it/fixture.rs"]
#[expect(dead_code, reason = "the tests use parts of the fixture that a whole page does not")]
mod fixture;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).unwrap_or_else(|| "fixture-report.html".into());
    let html = synthmr_report::render(&fixture::study())?;
    synthmr_core::files::write(path.as_ref(), html.as_bytes())?;
    Ok(())
}
