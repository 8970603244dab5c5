//! Progress of long work on standard error: a bar on a terminal, a plain line every 30 seconds otherwise.
//!
//! `report::progress` has the words; this only decides where and when they appear.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use mdetag::store::ledger::Ledger;
use mdetag::tenant::ReadProgress;
use mdetag_core::apply::{self, Admission, LaneWait, Ticket};
use mdetag_core::plan::Lane;
use mdetag_core::report::progress::{self, WaitNotes};
use mdetag_core::time::Clock;

use super::console::Console;
use super::context::Context;

#[cfg(test)]
#[path = "../../tests/docs/picture.rs"]
mod picture;

/// The time between plain lines.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// A line that is drawn repeatedly, or written now and then.
pub struct Meter {
    bar: Option<ProgressBar>,
    console: Console,
    start: Instant,
    last: Mutex<Instant>,
    waits: Mutex<WaitNotes>,
}

impl Meter {
    /// A bar over `total` steps; 0 makes a spinner.
    pub fn start(console: &Console, total: u64) -> Meter {
        let bar = console.bars.then(|| {
            let bar = bar(total, ProgressDrawTarget::stderr_with_hz(8));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let start = Instant::now();
        let console = console.clone();
        Meter { bar, console, start, last: Mutex::new(start), waits: Mutex::default() }
    }

    /// Reports a wait with this much time left. `text` describes it, and is only made if it is shown. A bar shows waits by
    /// itself.
    pub fn wait(&self, left: Duration, text: impl Fn() -> String) {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if waits.is_due(left, self.start.elapsed()) && self.bar.is_none() {
            self.console.say(&text());
        }
    }

    /// Shows the progress. `text` is only made if it is shown.
    pub fn show(&self, done: u64, text: impl Fn() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(folded(&text(), self.console.width));
        } else if self.console.lines {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.elapsed() >= LINE_EVERY {
                *last = Instant::now();
                self.console.complain(&text());
            }
        }
    }

    /// A lasting line, above a bar if there is one.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => self.console.say(text),
        }
    }

    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: u64, target: ProgressDrawTarget) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), target);
    let template = if total == 0 { "{spinner} {msg}" } else { "{wide_bar} {percent:>3} %\n{msg}" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar
}

/// Breaks a line at its ` · `, where the terminal would break it anywhere.
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

impl Drop for Meter {
    /// A bar must not remain in the terminal's last line when a command is stopped.
    fn drop(&mut self) {
        self.end();
    }
}

/// Progress of a read, and the meter of its calls: every read reports its waits.
pub struct Reading {
    meter: Meter,
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    last: Mutex<ReadProgress>,
}

impl Reading {
    pub fn start(context: &Context, ledger: &Arc<Ledger>) -> Reading {
        Reading {
            meter: Meter::start(&context.console, 0),
            ledger: ledger.clone(),
            clock: ledger.clock().clone(),
            last: Mutex::default(),
        }
    }

    /// Shows how far the read is.
    pub fn show(&self, read: &ReadProgress) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone_from(read);
        self.meter.show(0, || far(read));
    }

    pub fn end(&self) {
        self.meter.end();
    }
}

fn far(read: &ReadProgress) -> String {
    progress::reading(&progress::Reading { devices: read.devices, pages: read.pages, pass: read.pass })
}

impl apply::Meter for Reading {
    fn admit(&self, lane: Lane) -> Admission {
        self.ledger.admit(lane)
    }

    fn answered(&self, ticket: Ticket, throttled: Option<Option<Duration>>) {
        self.ledger.answered(ticket, throttled);
    }

    fn waits(&self, wait: &LaneWait) {
        let text = || progress::waiting(wait, self.clock.now());
        if let Some(bar) = self.meter.bar.as_ref().filter(|_| wait.span >= Duration::from_secs(1)) {
            let read = far(&self.last.lock().unwrap_or_else(PoisonError::into_inner));
            bar.set_message(folded(&format!("{read} · {}", text()), self.meter.console.width));
        }
        self.meter.wait(wait.span, text);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use indicatif::{ProgressDrawTarget, TermLike};
    use mdetag_core::report::progress::{Applying, applying};

    use super::{bar, folded, picture};

    /// A terminal that records the output.
    #[derive(Clone, Debug, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl Screen {
        const WIDTH: u16 = 100;

        fn write(&self, text: &str) -> io::Result<()> {
            self.0.lock().expect("no panic").push_str(text);
            Ok(())
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            Screen::WIDTH
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write(&format!("{text}\n"))
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.write(text)
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_picture_of_the_bar_is_what_a_terminal_shows() {
        let screen = Screen::default();
        let bar = bar(2_400, ProgressDrawTarget::term_like(Box::new(screen.clone())));
        let far = Applying {
            ended: 1_020,
            changes: 2_400,
            failed: 0,
            per_minute: 100,
            left: Some((480, 1_500)),
            wait: Some(Duration::from_secs(17)),
            least: Some(Duration::from_secs(3_240)),
        };
        bar.set_message(folded(&applying(&far), Screen::WIDTH.into()));
        bar.set_position(1_020);
        screen.0.lock().expect("no panic").clear();
        bar.force_draw();
        // A frame fills each of its lines except the last.
        let frame: Vec<char> = screen.0.lock().expect("no panic").chars().collect();
        let lines = frame.chunks(Screen::WIDTH.into()).map(|line| line.iter().collect::<String>());
        let shown: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
        picture::terminal("progress.svg", "mdetag apply --auto-approve", &shown.join("\n"));
    }

    #[test]
    fn a_line_breaks_between_its_parts() {
        assert_eq!(folded("1 of 2 · 3 a minute · 4 left", 22), "1 of 2 · 3 a minute\n4 left");
        assert_eq!(folded("1 of 2", 3), "1 of 2");
    }
}
