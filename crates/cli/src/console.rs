//! Everything that is printed. Text from files and their names may hold control characters, which could move
//! the cursor or rewrite the screen: they are escaped.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use serde::Serialize;

use crate::failure::{Code, Failure};

/// `text` with control characters escaped, line ends excepted.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// A line of the result, on stdout. A reader that has gone away (`| head`) is no failure.
pub(crate) fn result(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{}", printable(text));
}

/// The result for a program, on stdout.
pub(crate) fn json<T: Serialize>(record: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(record).map_err(|e| Failure::new(Code::Bug, &e))?;
    result(&text);
    Ok(())
}

/// Something to know while the work goes on, on stderr.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(text));
}

/// The last words of a failed command, on stderr.
pub(crate) fn error(text: &str) {
    note(&format!("error: {text}"));
}

/// What clap has to say: help and version are results, the rest is a usage error in clap's own colours.
pub(crate) fn usage(message: &clap::Error) -> ExitCode {
    let _ = message.print();
    if message.use_stderr() { Code::Usage.into() } else { ExitCode::SUCCESS }
}

/// Columns under a heading, the first to the left and the others to the right.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([heading[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let mut out = String::new();
    let first: Vec<String> = heading.iter().map(|&cell| cell.to_owned()).collect();
    for row in std::iter::once(&first).chain(rows) {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out
}

/// A number of bytes for people, in units of 1024.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A duration for people.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{whole} s"),
        (0, 0, _) => format!("{minutes} min {:02} s", whole % 60),
        (0, _, _) => format!("{hours} h {minutes:02} min"),
        _ => format!("{days} d {hours:02} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc\u{9b}"), "a\\u{1b}[2Jb\\r\nc\\u{9b}");
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["NCR".to_owned(), "0.81".to_owned()], vec!["background".into(), "1".into()]];
        assert_eq!(table(&["class", "Dice"], &rows), "class       Dice\nNCR         0.81\nbackground     1");
    }

    #[test]
    fn quantities_are_for_people() {
        assert_eq!([bytes(0), bytes(1536), bytes(1 << 30)], ["0 B", "1.5 KiB", "1.0 GiB"]);
        assert_eq!(bytes(200 << 20), "200 MiB");
        let times = [3.4, 75.0, 3_700.0, 200_000.0].map(duration);
        assert_eq!(times, ["3 s", "1 min 15 s", "1 h 01 min", "2 d 07 h"]);
    }
}
