//! What can go wrong outside, and what is done about it.

use std::error::Error;
use std::fmt;

/// What the runtime does about an error of a source or a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorClass {
    /// It passes: tried again for ever, with back-off.
    Transient,
    /// Somebody has to mend something: the lane halts and holds its position, and goes on by itself once
    /// it is mended.
    Systemic,
    /// Another owner has the lane: what is not committed is dropped.
    Fenced,
    /// A promise is broken: the pipeline stops.
    Fatal,
}

impl ErrorClass {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Systemic => "systemic",
            Self::Fenced => "fenced",
            Self::Fatal => "fatal",
        }
    }
}

/// Why a source or a sink could not do its work.
#[derive(Debug)]
pub struct ConnectorError {
    pub class: ErrorClass,
    pub help: Option<String>,
    cause: Box<dyn Error + Send + Sync>,
}

impl ConnectorError {
    pub fn new(class: ErrorClass, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { class, help: None, cause: cause.into() }
    }

    /// What it was at first, if it was that.
    pub fn cause<E: Error + 'static>(&self) -> Option<&E> {
        self.cause.downcast_ref()
    }

    /// What to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for ConnectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl Error for ConnectorError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}
