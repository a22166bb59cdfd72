//! A progress bar on standard error, where a person sees it.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// All bars of the process: what else is written to standard error goes above them.
pub(super) fn bars() -> &'static MultiProgress {
    static BARS: OnceLock<MultiProgress> = OnceLock::new();
    BARS.get_or_init(MultiProgress::new)
}

/// Standard error, above the bars.
pub(super) struct AboveBars;

impl Write for AboveBars {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.write_all(text)?;
        Ok(text.len())
    }

    fn write_all(&mut self, text: &[u8]) -> io::Result<()> {
        bars().suspend(|| io::stderr().write_all(text))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A bar, or nothing.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Of `size` bytes.
    pub(crate) fn bytes(shown: bool, size: u64) -> Self {
        Self::new(
            shown,
            Some(size),
            "{bar:30} {bytes:>10} of {total_bytes}  {bytes_per_sec}  {eta} left",
        )
    }

    /// Of so many records.
    pub(crate) fn records(shown: bool, count: u64) -> Self {
        Self::new(
            shown,
            Some(count),
            "{bar:30} {pos:>10} of {len}  {per_sec}  {eta} left",
        )
    }

    /// Of bytes, how many is not known.
    pub(crate) fn counter(shown: bool) -> Self {
        Self::new(
            shown,
            None,
            "{spinner} {bytes:>10}  {bytes_per_sec}  {elapsed}",
        )
    }

    fn new(shown: bool, size: Option<u64>, form: &str) -> Self {
        if !shown {
            return Progress {
                bar: ProgressBar::hidden(),
            };
        }
        let bar = size.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        let bar = bars().add(bar);
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress { bar }
    }

    pub(crate) fn advance(&self, by: u64) {
        self.bar.inc(by);
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
