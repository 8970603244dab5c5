//! Progress of long work on standard error: a bar on a terminal, a plain line every 30 seconds otherwise.
//!
//! The words come from `report::progress`; this room only decides where and when they appear.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use mdetag::tenant::ReadProgress;
use mdetag_core::report::progress;

use super::console::Console;

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// A line that is drawn again and again, or written now and then.
pub struct Meter {
    bar: Option<ProgressBar>,
    console: Console,
    last: Mutex<Instant>,
}

impl Meter {
    /// A bar over `total` steps; 0 makes a spinner.
    pub fn start(console: &Console, total: u64) -> Meter {
        let bar = console.bars.then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(8));
            let template = if total == 0 { "{spinner} {msg}" } else { "{wide_bar} {percent:>3} %\n{msg}" };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Meter { bar, console: console.clone(), last: Mutex::new(Instant::now()) }
    }

    /// Shows how far the work is. `text` is made only when it is shown.
    pub fn show(&self, done: u64, text: impl Fn() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(folded(&text(), self.console.width));
        } else if self.console.lines {
            let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if last.elapsed() >= LINE_EVERY {
                *last = Instant::now();
                self.console.complain(&text());
            }
        }
    }

    /// A line that stays, above a bar if there is one.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => self.console.say(text),
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Breaks a line at its ` · ` where the terminal would break it anywhere.
fn folded(text: &str, width: usize) -> String {
    let (mut folded, mut used) = (String::new(), 0);
    for part in text.split(" · ") {
        let columns = part.chars().count();
        match used {
            0 => used = columns,
            _ if used + 3 + columns < width => {
                folded.push_str(" · ");
                used += 3 + columns;
            }
            _ => {
                folded.push('\n');
                used = columns;
            }
        }
        folded.push_str(part);
    }
    folded
}

/// Progress of a read of the list.
pub struct Reading {
    meter: Meter,
}

impl Reading {
    /// Starts with nothing read.
    pub fn start(console: &Console) -> Reading {
        Reading { meter: Meter::start(console, 0) }
    }

    /// Shows how far the read is.
    pub fn show(&self, read: &ReadProgress) {
        self.meter.show(0, || {
            progress::reading(&progress::Reading {
                devices: read.devices,
                pages: read.pages,
                pass: read.pass,
                wait: read.waiting,
            })
        });
    }

    /// Takes the line away.
    pub fn end(&self) {
        self.meter.end();
    }
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn a_line_breaks_between_its_parts() {
        assert_eq!(folded("1 of 2 · 3 a minute · 4 left", 22), "1 of 2 · 3 a minute\n4 left");
        assert_eq!(folded("1 of 2", 3), "1 of 2");
    }
}
