//! Progress for people, and signals: the program's side of [`synthmr_train::Watch`].

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;
use synthmr_core::records::Tick;
use synthmr_train::Watch;

use crate::console;
use crate::failure::{Code, Failure};
use crate::system;

/// Seconds between two plain lines of progress where there are no ticks, so that a log stays readable.
const LINE_SECONDS: f64 = 10.0;

/// Weight of the newest measurement in the shown rate.
const RATE_SMOOTHING: f64 = 0.1;

/// Whether a signal asked this process to stop, for work that has no [`Watch`].
pub(crate) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// From here on signals ask instead of ending the program; see [`Terminal::new`].
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self(stop_flag()?))
    }

    /// What a callback answers that may stop the work that calls it.
    pub(crate) fn wish(&self) -> ControlFlow<()> {
        if self.0.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// A bar on a terminal, lines elsewhere.
pub(crate) struct Terminal {
    unit: &'static str,
    stop: Arc<AtomicBool>,
    begun: Instant,
    begun_unix: f64,
    bar: Option<ProgressBar>,
    is_terminal: bool,
    last: Option<(f64, u64)>,
    rate: f64,
    total: u64,
    last_line: f64,
}

impl Terminal {
    /// A watch that counts `unit`s. From here on SIGINT, SIGTERM and SIGUSR1 ask the work to save and stop; a
    /// second SIGINT ends the program at once, which loses at most what came after the last checkpoint.
    pub(crate) fn new(unit: &'static str) -> Result<Self, Failure> {
        let begun_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Ok(Self {
            unit,
            stop: stop_flag()?,
            begun: Instant::now(),
            begun_unix: begun_unix.as_secs_f64(),
            bar: None,
            is_terminal: std::io::stderr().is_terminal(),
            last: None,
            rate: 0.0,
            total: 0,
            last_line: 0.0,
        })
    }

    /// Measures the rate from here on: what was done before took no time of this run.
    pub(crate) fn count_from(&mut self, done: u64) {
        self.last = Some((self.begun.elapsed().as_secs_f64(), done));
    }

    /// Removes the bar.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn print(&self, text: &str) {
        let text = console::printable(text);
        match &self.bar {
            Some(bar) => bar.suspend(|| console::note(&text)),
            None => console::note(&text),
        }
    }

    /// Rate, time left, memory.
    fn condition(&self, done: u64) -> String {
        let mut parts = Vec::new();
        if self.rate > 0.0 {
            let precision = if self.rate < 10.0 { 2 } else { 0 };
            parts.push(format!("{:.precision$} {}/s", self.rate, self.unit));
            let left = self.total.saturating_sub(done) as f64 / self.rate;
            parts.push(format!("{} left", console::duration(left)));
        }
        parts.extend(system::own_bytes().map(console::bytes));
        parts.join(", ")
    }

    fn measure(&mut self, now: f64, done: u64) {
        if let Some((then, before)) = self.last.filter(|last| last.1 < done) {
            let rate = done.saturating_sub(before) as f64 / (now - then).max(1e-6);
            let known = self.rate > 0.0;
            self.rate = if known { self.rate + RATE_SMOOTHING * (rate - self.rate) } else { rate };
        }
        self.last = Some((now, done));
    }

    fn show_bar(&mut self, done: u64) {
        let (unit, total) = (self.unit, self.total);
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(total);
            // The template is a constant; a mistake in it would only cost the bar its form.
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {prefix}  {msg}") {
                bar.set_style(style);
            }
            bar.with_prefix(unit)
        });
        bar.set_length(total);
        bar.set_position(done);
        let condition = self.condition(done);
        if let Some(bar) = &self.bar {
            bar.set_message(condition);
        }
    }
}

impl Watch for Terminal {
    fn seconds(&self) -> f64 {
        // Counted from 1970 for TensorBoard, by a clock that never goes back.
        self.begun_unix + self.begun.elapsed().as_secs_f64()
    }

    fn should_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn progress(&mut self, images_done: u64, images_total: u64) {
        let now = self.begun.elapsed().as_secs_f64();
        self.total = images_total;
        self.measure(now, images_done);
        if self.is_terminal {
            self.show_bar(images_done);
        } else if now - self.last_line >= LINE_SECONDS {
            self.last_line = now;
            let condition = self.condition(images_done);
            console::note(&format!("{images_done}/{images_total} {}: {condition}", self.unit));
        }
    }

    fn tick(&mut self, tick: &Tick) {
        self.last_line = self.begun.elapsed().as_secs_f64();
        let values: Vec<String> = tick
            .values
            .iter()
            .filter(|(name, _)| *name != "images_per_second")
            .map(|(name, value)| format!("{name} {}", short(*value)))
            .collect();
        let condition = self.condition(tick.images_seen);
        let seen = tick.images_seen;
        let of_total = if self.total > 0 { format!("/{}", self.total) } else { String::new() };
        self.print(&format!("{seen}{of_total} {}: {condition}; {}", self.unit, values.join(", ")));
    }

    fn note(&mut self, message: &str) {
        self.print(&format!("note: {message}"));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Four significant digits: enough for people, `events.jsonl` has all.
fn short(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e4).contains(&magnitude) {
        let digits = (3 - magnitude.log10().floor() as i32).clamp(0, 6) as usize;
        format!("{value:.digits$}")
    } else {
        format!("{value:.2e}")
    }
}

/// The flag that signals set; registered once a process.
fn stop_flag() -> Result<Arc<AtomicBool>, Failure> {
    static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(stop) = STOP.get() {
        return Ok(stop.clone());
    }
    let stop = Arc::new(AtomicBool::new(false));
    let refused = |e: std::io::Error| Failure::new(Code::Environment, &e);
    // Handlers run in the order of registration: the first SIGINT finds the flag down and raises it.
    flag::register_conditional_shutdown(SIGINT, Code::Interrupted as i32, stop.clone()).map_err(refused)?;
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
        flag::register(signal, stop.clone()).map_err(refused)?;
    }
    Ok(STOP.get_or_init(|| stop).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_four_digits() {
        let shown = [0.0, 0.123456, 12.3456, 1234.56, 1e-5, -2.5e7].map(short);
        assert_eq!(shown, ["0", "0.1235", "12.35", "1235", "1.00e-5", "-2.50e7"]);
    }
}
