//! The output streams: results go to standard output, everything else to standard error, with colour where it shows.
//!
//! Decides nothing about the text; `report` does.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use mdetag_core::diagnostic::{Diagnostic, Sources};
use mdetag_core::report::escape::{self, JsonLog};
use mdetag_core::report::log;
use mdetag_core::report::style::Style;
use mdetag_core::report::tenants::Summary;
use mdetag_core::time::Timestamp;

use super::args::{Colour, Global, LogFormat};

#[derive(Clone, Debug)]
pub struct Console {
    /// Colour on standard output.
    pub colour: bool,
    /// Colour on standard error.
    pub error_colour: bool,
    /// Columns of the terminal; 100 without one.
    pub width: usize,
    /// Whether a progress bar may be drawn: standard error is a terminal, and no flag forbids it.
    pub bars: bool,
    /// Whether plain progress lines may be written instead.
    pub lines: bool,
    /// Whether questions are possible: standard input and standard error are terminals.
    pub asks: bool,
    /// Errors only.
    pub quiet: bool,
    /// Whether standard output is JSON.
    pub is_json: bool,
    /// Whether standard error is JSON, one object per line.
    pub logs_json: bool,
    /// Collects results instead of writing them, for one of several tenants.
    pub kept: Option<BufferedOutput>,
}

/// Results that wait for their turn.
#[derive(Clone, Debug, Default)]
pub struct BufferedOutput {
    text: Arc<Mutex<Vec<u8>>>,
    summary: Arc<Mutex<Option<Summary>>>,
}

impl BufferedOutput {
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.text.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes the figures of a report; the last report counts.
    pub fn note(&self, summary: Summary) {
        *self.summary.lock().unwrap_or_else(PoisonError::into_inner) = Some(summary);
    }

    /// The figures of the last report.
    pub fn summary(&self) -> Option<Summary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Write for BufferedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Console {
    /// From the flags and the types of the streams.
    pub fn new(global: &Global) -> Console {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        // The Windows console shows colours as garbage unless it is asked to interpret them.
        let draws = anstyle_query::windows::enable_ansi_colors().unwrap_or(true);
        let shows = |terminal: bool| match global.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto if set("NO_COLOR") => false,
            Colour::Auto
                if set("CLICOLOR_FORCE") && std::env::var("CLICOLOR_FORCE").as_deref() != Ok("0") =>
            {
                true
            }
            Colour::Auto => terminal && draws && std::env::var("TERM").as_deref() != Ok("dumb"),
        };
        let logs_json = matches!(global.log_format, LogFormat::Json);
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        let terminal_width = terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0));
        Console {
            colour: shows(out),
            error_colour: shows(err),
            width: columns.unwrap_or(terminal_width).clamp(40, 400),
            bars: err && !logs_json && !global.no_progress && !global.quiet,
            lines: (!err || logs_json) && !global.no_progress && !global.quiet,
            asks: io::stdin().is_terminal() && err,
            quiet: global.quiet,
            is_json: global.format.is_json(),
            logs_json,
            kept: None,
        }
    }

    /// No colour, no bars, no questions: used if the flags could not be parsed.
    pub fn plain() -> Console {
        Console {
            colour: false,
            error_colour: false,
            width: 100,
            bars: false,
            lines: false,
            asks: false,
            quiet: false,
            is_json: false,
            logs_json: false,
            kept: None,
        }
    }

    /// The style of text on standard output.
    pub fn style(&self, details: bool) -> Style {
        Style { colour: self.colour, width: self.width, details, ..Style::default() }
    }

    /// The style of text on standard error.
    pub fn error_style(&self) -> Style {
        Style { colour: self.error_colour, ..self.style(false) }
    }

    /// Writes a result to standard output.
    ///
    /// # Errors
    /// Standard output cannot be written, or its pipe is broken, which `main` ends quietly.
    pub fn result(&self, text: &str) -> io::Result<()> {
        let mut out = self.out();
        out.write_all(text.as_bytes())?;
        if !text.is_empty() && !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()
    }

    /// The writer of results. JSON contains names unchanged, so this writer makes it harmless for log readers.
    pub fn out(&self) -> Box<dyn Write> {
        match &self.kept {
            Some(kept) => Box::new(kept.clone()),
            None if self.is_json => Box::new(JsonLog::new(io::stdout().lock())),
            None => Box::new(io::stdout().lock()),
        }
    }

    /// Writes a line for people to standard error, unless quiet.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            self.complain(text);
        }
    }

    /// Writes a line to standard error, also if quiet. If even that fails, nobody can be told.
    pub fn complain(&self, text: &str) {
        if self.logs_json {
            return self.complain_raw(&log::line(now(), text));
        }
        let mut err = io::stderr().lock();
        let _ = err
            .write_all(text.as_bytes())
            .and_then(|()| if text.ends_with('\n') { Ok(()) } else { err.write_all(b"\n") });
    }

    /// Writes findings to standard error; `shown` makes the form for people.
    pub fn complain_of(&self, sources: &Sources, findings: &[Diagnostic], shown: impl FnOnce() -> String) {
        if self.logs_json {
            self.complain_raw(&log::findings(now(), sources, findings));
        } else {
            self.complain(&shown());
        }
    }

    /// Asks on standard error and reads one line from standard input.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn ask(&self, question: &str) -> io::Result<String> {
        match self.logs_json {
            true => self.complain(question),
            false => self.complain_raw(question),
        }
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }

    fn complain_raw(&self, text: &str) {
        let mut err = io::stderr().lock();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }
}

/// Writes the log lines of the logging library. Ignores a closed stream, because the library would panic.
struct LogLines {
    is_json: bool,
}

impl Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let text = if self.is_json { escape::json_text(&text) } else { log::harmless(&text) };
        let _ = io::stderr().lock().write_all(text.as_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn now() -> Timestamp {
    Timestamp::EPOCH.plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Sends log lines to standard error. Only our own lines, because a dependency's debug output could contain a header.
pub fn start_logging(global: &Global, console: &Console) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, 2) => "debug",
        (false, _) => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::new(format!("off,mdetag={level}"));
    let is_json = matches!(global.log_format, LogFormat::Json);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || LogLines { is_json })
        .with_target(false);
    // A second start (tests in one process) keeps the first subscriber.
    let _ = match global.log_format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(console.error_colour).without_time().try_init(),
    };
}
