//! What plugins say: bounded for each call, with nothing in it that a terminal would obey.

use std::fmt::Write as _;
use std::sync::Arc;

/// How much a plugin may say during one call; the contract names these figures.
const LINES_MAX: u32 = 1_000;
const BYTES_MAX: usize = 64 * 1024;
const LINE_BYTES_MAX: usize = 4 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// Takes the lines of a plugin. A trial of a new version has another one than the running version.
pub type LogSink = Arc<dyn Fn(LogLevel, &str) + Send + Sync>;

/// The log of `step`: lines of the host's own log.
pub fn traced(step: &str) -> LogSink {
    let step = step.to_owned();
    Arc::new(move |level, line| match level {
        LogLevel::Debug => tracing::debug!(target: "pinhost::plugin", step, "{line}"),
        LogLevel::Info => tracing::info!(target: "pinhost::plugin", step, "{line}"),
        LogLevel::Warn => tracing::warn!(target: "pinhost::plugin", step, "{line}"),
        LogLevel::Error => tracing::error!(target: "pinhost::plugin", step, "{line}"),
    })
}

/// Says nothing: where rows are run only to see what becomes of them.
pub fn discarded() -> LogSink {
    Arc::new(|_, _| {})
}

/// One instance's log.
pub(crate) struct GuestLog {
    sink: LogSink,
    lines: u32,
    bytes: usize,
    omitted: u64,
    /// The last line of level error, and whether it was shown.
    last_error: Option<(String, bool)>,
    /// What came in bytes and has not ended its line yet.
    begun: Vec<u8>,
}

impl GuestLog {
    pub(crate) fn new(sink: LogSink) -> Self {
        Self { sink, lines: 0, bytes: 0, omitted: 0, last_error: None, begun: Vec::new() }
    }

    pub(crate) fn begin_call(&mut self) {
        self.lines = 0;
        self.bytes = 0;
        self.last_error = None;
    }

    pub(crate) fn write(&mut self, level: LogLevel, message: &str) {
        let within = self.lines < LINES_MAX && self.bytes < BYTES_MAX;
        if !within && level != LogLevel::Error {
            self.omitted += 1;
            return;
        }
        let line = printable(message, LINE_BYTES_MAX);
        if within {
            self.lines += 1;
            self.bytes += line.len();
            (self.sink)(level, &line);
        } else {
            self.omitted += 1;
        }
        if level == LogLevel::Error {
            self.last_error = Some((line, within));
        }
    }

    /// Lines of a stream. A long one comes in pieces, so that one without an end takes no memory.
    pub(crate) fn write_bytes(&mut self, level: LogLevel, bytes: &[u8]) {
        for &byte in bytes {
            if byte != b'\n' {
                self.begun.push(byte);
            }
            if byte == b'\n' || self.begun.len() == LINE_BYTES_MAX {
                self.end_line(level);
            }
        }
    }

    fn end_line(&mut self, level: LogLevel) {
        let line = std::mem::take(&mut self.begun);
        self.write(level, &String::from_utf8_lossy(&line));
    }

    /// Ends a call. After a trap the last error is what the plugin said about it; it is shown even if
    /// there was too much before it.
    pub(crate) fn end_call(&mut self, trapped: bool) -> Option<String> {
        if !self.begun.is_empty() {
            self.end_line(LogLevel::Error);
        }
        let last_words = match self.last_error.take() {
            Some((line, shown)) if trapped => {
                if !shown {
                    self.omitted -= 1;
                    (self.sink)(LogLevel::Error, &line);
                }
                Some(line)
            }
            _ => None,
        };
        let omitted = std::mem::take(&mut self.omitted);
        if omitted > 0 {
            (self.sink)(LogLevel::Warn, &format!("{omitted} more lines were left out"));
        }
        last_words
    }
}

/// The first `bytes_max` bytes, cut between characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// Cut, with control characters spelled out: nothing that a terminal would obey, or a database refuse.
pub(crate) fn readable(text: &str, bytes_max: usize) -> String {
    let kept = cut(text, bytes_max);
    if !kept.contains(is_unreadable) {
        return kept.to_owned();
    }
    let mut spelled = String::with_capacity(bytes_max);
    for char in kept.chars() {
        if is_unreadable(char) {
            spelled.extend(char.escape_default());
        } else {
            spelled.push(char);
        }
    }
    spelled.truncate(spelled.floor_char_boundary(bytes_max));
    spelled
}

fn is_unreadable(char: char) -> bool {
    char.is_control() && char != '\n' && char != '\t'
}

/// A readable line that says how much of it is missing.
pub(crate) fn printable(text: &str, bytes_max: usize) -> String {
    let whole = text.trim_end_matches(['\r', '\n']);
    let mut line = readable(whole, bytes_max);
    if whole.len() > bytes_max {
        let missing = whole.len() - cut(whole, bytes_max).len();
        let _ = write!(line, " … {missing} bytes more");
    }
    line
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    type Lines = Arc<Mutex<Vec<(LogLevel, String)>>>;

    fn collected() -> (GuestLog, Lines) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = {
            let lines = Arc::clone(&lines);
            Arc::new(move |level, line: &str| lines.lock().unwrap().push((level, line.to_owned())))
        };
        (GuestLog::new(sink), lines)
    }

    #[test]
    fn a_flood_is_counted_and_the_last_error_before_a_trap_passes() {
        let (mut log, lines) = collected();
        log.begin_call();
        for _ in 0..5_000 {
            log.write(LogLevel::Info, "again");
        }
        log.write(LogLevel::Error, "panicked at src/lib.rs:1");
        assert_eq!(log.end_call(true).as_deref(), Some("panicked at src/lib.rs:1"));
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), 1_002);
        assert_eq!(lines[1_000], (LogLevel::Error, "panicked at src/lib.rs:1".into()));
        assert_eq!(lines[1_001], (LogLevel::Warn, "4000 more lines were left out".into()));
    }

    #[test]
    fn an_error_without_a_trap_is_no_last_word() {
        let (mut log, _) = collected();
        log.begin_call();
        log.write(LogLevel::Error, "only so");
        assert_eq!(log.end_call(false), None);
        log.begin_call();
        assert_eq!(log.end_call(true), None, "that was another call");
    }

    #[test]
    fn a_call_starts_with_a_full_measure() {
        let (mut log, lines) = collected();
        for _ in 0..3 {
            log.begin_call();
            log.write(LogLevel::Info, &"x".repeat(BYTES_MAX));
            log.end_call(false);
        }
        assert_eq!(lines.lock().unwrap().len(), 3);
    }

    #[test]
    fn nothing_reaches_a_terminal_that_it_would_obey() {
        assert_eq!(printable("\u{1b}[2Jgone\r\n", 100), "\\u{1b}[2Jgone");
        assert_eq!(printable("Wörter", 2), "W … 6 bytes more");
    }
}
