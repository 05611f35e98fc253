//! How numbers look, in one place: three decimals for Dice, one for millimetres, thousands separated,
//! shares in per cent, and a dash for what a record does not have.

use synthmr_core::records::Interval;

/// Stands where a record has no value.
pub(crate) const NONE: &str = "\u{2013}";

/// A count with thousands separated: `12,345`.
pub(crate) fn count(n: impl TryInto<u64>) -> String {
    let digits = n.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun, `1 subject`, `12 subjects`.
pub(crate) fn counted(n: impl TryInto<u64>, noun: &str) -> String {
    let n = n.try_into().unwrap_or(u64::MAX);
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// The word that stands after a count: `one` for one thing, and `several` for any other number of them.
pub(crate) fn noun(n: usize, one: &'static str, several: &'static str) -> &'static str {
    if n == 1 { one } else { several }
}

/// A number with a fixed number of decimals, or a dash when it is absent or not finite.
pub(crate) fn fixed(value: Option<f64>, decimals: usize) -> String {
    match value {
        Some(value) if value.is_finite() => format!("{value:.decimals$}"),
        _ => NONE.to_owned(),
    }
}

/// The range of an interval, `[0.780-0.841]`; nothing when an end is missing.
pub(crate) fn range(interval: &Interval, decimals: usize) -> String {
    match (interval.low, interval.high) {
        (Some(low), Some(high)) if low.is_finite() && high.is_finite() => {
            format!("[{low:.decimals$}-{high:.decimals$}]")
        }
        _ => String::new(),
    }
}

/// A mean with its interval, `0.812 [0.780-0.841]`.
pub(crate) fn interval(value: &Interval, decimals: usize) -> String {
    let (mean, range) = (fixed(value.mean, decimals), range(value, decimals));
    if range.is_empty() { mean } else { format!("{mean} {range}") }
}

/// A share as a percentage with two significant digits or more: `84 %`, `3.1 %`, `0.042 %`.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if !percent.is_finite() {
        return NONE.to_owned();
    }
    let decimals = match percent.abs() {
        p if p == 0.0 || p >= 9.95 => 0,
        p if p >= 0.995 => 1,
        p if p >= 0.0995 => 2,
        _ => 3,
    };
    format!("{percent:.decimals$} %")
}

/// A measured value with four significant digits, for hover texts and legends.
pub(crate) fn measured(value: f64) -> String {
    if !value.is_finite() {
        return "not finite".to_owned();
    }
    let magnitude = value.abs();
    if (10_000.0..1e15).contains(&magnitude) {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", count(magnitude.round() as u64));
    }
    if magnitude != 0.0 && !(1e-4..1e15).contains(&magnitude) {
        return format!("{value:.2e}");
    }
    let before_point = if magnitude < 1.0 { 1 } else { magnitude.log10().floor() as usize + 1 };
    let extra = if magnitude != 0.0 && magnitude < 0.1 { 2 } else { 0 };
    let text = format!("{value:.*}", 4usize.saturating_sub(before_point) + extra);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A tick of a linear axis whose largest value is `largest` and whose ticks are `step` apart: as many
/// decimals as the step needs, thousands as `k` and millions as `M`.
pub(crate) fn tick(value: f64, step: f64, largest: f64) -> String {
    let (unit, suffix) = match largest.abs() {
        l if l >= 1e12 => return if value == 0.0 { "0".to_owned() } else { format!("{value:.0e}") },
        l if l >= 1e9 => (1e9, "G"),
        l if l >= 1e6 => (1e6, "M"),
        l if l >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    if value == 0.0 {
        return "0".to_owned();
    }
    let step = step / unit;
    if step < 1e-4 {
        return format!("{value:.1e}");
    }
    // The small addend keeps a step of 0.1, whose logarithm is a hair off -1, at one decimal.
    let decimals = if step >= 1.0 { 0 } else { (-step.log10() - 1e-9).ceil() as usize };
    format!("{:.decimals$}{suffix}", value / unit)
}

/// A tick of a logarithmic axis: `0.01`, `1`, `100`, `10k`, `1e-5`.
pub(crate) fn log_tick(value: f64) -> String {
    match value {
        v if !(1e-3..1e9).contains(&v) => format!("{v:.0e}"),
        v if v >= 1e6 => format!("{:.0}M", v / 1e6),
        v if v >= 1e4 => format!("{:.0}k", v / 1e3),
        v if v >= 1.0 => format!("{v:.0}"),
        v => format!("{v:.3}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        for (n, expected) in cases {
            assert_eq!(count(n as u64), expected);
        }
        assert_eq!(counted(1, "subject"), "1 subject");
        assert_eq!(counted(0, "subject"), "0 subjects");
        assert_eq!([0, 1, 2].map(|n| noun(n, "copy", "copies")), ["copies", "copy", "copies"]);
    }

    #[test]
    fn intervals_look_as_in_a_paper() {
        let full = Interval { mean: Some(0.8119), low: Some(0.78), high: Some(0.8412), n: 9 };
        assert_eq!(interval(&full, 3), "0.812 [0.780-0.841]");
        assert_eq!(interval(&Interval { low: None, ..full }, 3), "0.812");
        assert_eq!(interval(&Interval::default(), 3), NONE);
        assert_eq!(fixed(Some(f64::NAN), 3), NONE);
    }

    #[test]
    fn percentages_keep_two_digits() {
        let cases = [(0.0, "0 %"), (0.84, "84 %"), (1.02, "102 %"), (0.031, "3.1 %"), (0.00042, "0.042 %")];
        for (share, expected) in cases {
            assert_eq!(percent(share), expected);
        }
        assert_eq!(percent(f64::INFINITY), NONE);
    }

    #[test]
    fn measured_values_have_four_digits() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (0.81234, "0.812"),
            (0.012345, "0.01235"),
            (12.3456, "12.35"),
            (-1234.56, "-1235"),
            (123_456.0, "123,456"),
            (1e-7, "1.00e-7"),
        ];
        for (value, expected) in cases {
            assert_eq!(measured(value), expected);
        }
        assert_eq!(measured(f64::NAN), "not finite");
    }

    #[test]
    fn ticks_have_the_decimals_of_their_step() {
        assert_eq!(tick(0.2, 0.2, 1.0), "0.2");
        assert_eq!(tick(0.25, 0.05, 0.5), "0.25");
        assert_eq!(tick(0.1, 0.1, 0.5), "0.1");
        assert_eq!(tick(400.0, 200.0, 2000.0), "400");
        assert_eq!(tick(12_500.0, 500.0, 14_000.0), "12.5k");
        assert_eq!(tick(2.5e7, 5e6, 2.5e7), "25M");
        assert_eq!(tick(0.0, 5e6, 2.5e7), "0");
        assert_eq!(log_tick(0.01), "0.01");
        assert_eq!(log_tick(1e5), "100k");
        assert_eq!(log_tick(1e-5), "1e-5");
    }
}
