//! Writes the report of the tests' fixture, to look at the page without training anything:
//! `cargo run --release -p synthmr-report --example fixture_report -- report.html`.

#[path = "../tests/it/fixture.rs"]
#[expect(clippy::unwrap_used, reason = "the fixture belongs to the tests")]
mod fixture;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).unwrap_or_else(|| "fixture-report.html".into());
    let study = fixture::study();
    let html = synthmr_report::render(&study)?;
    let access = synthmr_report::access(&study);
    synthmr_core::files::write_with(path.as_ref(), access, |file| file.write_all(html.as_bytes()))?;
    Ok(())
}
