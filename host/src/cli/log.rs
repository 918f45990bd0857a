//! The process's own log, on stderr.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::ColorChoice;
use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::CliError;
use crate::written::secrets::mask;

#[derive(Debug, Args)]
#[command(next_help_heading = "Log, on stderr")]
pub(super) struct LogArgs {
    /// error, warn, info, debug or trace; or more finely `info,pinhost::plugin=debug`. What plugins
    /// say is `pinhost::plugin`.
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        default_value = "info",
        env = "PINHOST_LOG_LEVEL"
    )]
    log_level: String,
    /// How lines are written. With `json`, everything on stderr is an object a line.
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        env = "PINHOST_LOG_FORMAT"
    )]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Whether what is said is for machines: then it is a line of the log too.
pub(super) fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

pub(super) fn start(args: &LogArgs) -> Result<(), CliError> {
    let asked = args.log_level.trim().to_ascii_lowercase();
    let directives = if LEVELS.contains(&asked.as_str()) {
        // Ours at that level; of the libraries below, what is wrong. Where credentials were not found is of
        // interest when they are found nowhere: then the error says it.
        format!("warn,aws_config=error,pinhost={asked}")
    } else {
        args.log_level.clone()
    };
    let is_named = |part: &str| part.contains('=') || LEVELS.contains(&part.trim());
    let filter = EnvFilter::builder()
        .parse(&directives)
        .ok()
        .filter(|_| directives.to_ascii_lowercase().split(',').all(is_named))
        .ok_or_else(|| {
            CliError::input(format!("`{}` is no log level", args.log_level))
                .help(format!("one of {}", LEVELS.join(", ")))
        })?;
    let lines = fmt().with_env_filter(filter).with_writer(|| Masked(io::stderr()));
    match args.log_format {
        LogFormat::Json => {
            lines.json().flatten_event(true).finish().init();
            IS_JSON.store(true, Ordering::Relaxed);
        }
        LogFormat::Text => {
            let colours = anstream::AutoStream::choice(&io::stderr()) != ColorChoice::Never;
            lines.with_ansi(colours).without_time().with_target(false).finish().init();
        }
    }
    Ok(())
}

/// Takes whole lines, as the log writes them, and takes the secrets out.
struct Masked<W>(W);

impl<W: Write> Write for Masked<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.0.write_all(mask(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
