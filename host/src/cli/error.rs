//! What went wrong, for the person who typed the command: what, where, and what to type.

use std::error::Error;
use std::fmt::{self, Display, Write as _};
use std::io;
use std::process::ExitCode;

use super::{log, output};
use crate::decode::IntakeFault;
use crate::plugin::{self, ConfigureError, PluginError, PluginFileError, SandboxError};
use crate::source::arrow::ArrowSourceError;
use crate::written::{ERROR, Finding, Findings, HELP, Place};

/// How a command ends. The numbers are a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// It went wrong while it ran; also: a test case failed.
    Failed,
    /// What the user wrote is wrong.
    Input,
    /// The environment is: something is missing, unreachable, denied or full.
    Environment,
    /// `diff --exit-code` found differences.
    Differs,
    /// Ended by the signal of this number.
    Signal(u8),
}

impl Exit {
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Input => 2,
            Self::Environment => 3,
            Self::Differs => 4,
            Self::Signal(number) => 128 + number,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub struct CliError(Box<Told>);

#[derive(Debug)]
struct Told {
    exit: Exit,
    message: String,
    place: Option<Place>,
    findings: Vec<plugin::Finding>,
    help: Option<String>,
    /// Everything that is wrong with a pipeline or a rule: then that is the message.
    written: Option<Findings>,
}

impl CliError {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self(Box::new(Told {
            exit,
            message: message.into(),
            place: None,
            findings: Vec::new(),
            help: None,
            written: None,
        }))
    }

    /// What the user wrote is wrong.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Exit::Input, message)
    }

    /// Something of the machine is.
    pub fn environment(message: impl Into<String>) -> Self {
        Self::new(Exit::Environment, message)
    }

    /// It went wrong while it ran.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// A file could not be read or written: the user's to mend if another one was meant.
    pub fn io(message: impl Into<String>, cause: &io::Error) -> Self {
        Self::new(exit_of(cause), message).because(cause)
    }

    /// What to type.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.0.place = Some(place);
        self
    }

    /// The causes are told too, each once.
    #[must_use]
    pub fn because(mut self, cause: &dyn Error) -> Self {
        let mut next = Some(cause);
        while let Some(cause) = next {
            let said = cause.to_string();
            let message = &mut self.0.message;
            if message.is_empty() {
                *message = said;
            } else if !message.ends_with(&said) {
                let _ = write!(message, ": {said}");
            }
            next = cause.source();
        }
        self
    }

    pub fn exit(&self) -> Exit {
        self.0.exit
    }

    pub(super) fn print(&self) {
        if log::is_json() {
            self.log();
        } else {
            output::talk(self);
        }
    }

    /// A line of the log for each thing that is wrong.
    fn log(&self) {
        let Told { message, place, findings, help, written, exit: _ } = &*self.0;
        let at = |place: &Option<Place>| place.as_ref().map(Place::at);
        if let Some(written) = written {
            for Finding { message, place, help, .. } in written.as_slice() {
                tracing::error!(place = at(place), help, "{message}");
            }
            return;
        }
        let mut message = message.clone();
        for finding in findings {
            let _ = write!(message, "\n{}", output::plain(&output::finding(finding, "  ")));
        }
        tracing::error!(place = at(place), help, "{message}");
    }
}

impl Display for CliError {
    /// Coloured: what prints it takes the colours out where they are not wanted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { message, place, findings, help, written, exit: _ } = &*self.0;
        if let Some(written) = written {
            written.fmt(f)?;
        } else {
            write!(f, "{ERROR}error:{ERROR:#} {message}")?;
        }
        if let Some(place) = place {
            write!(f, "\n{place}")?;
        }
        for finding in findings {
            write!(f, "\n{}", output::finding(finding, "  "))?;
        }
        if let Some(help) = help {
            write!(f, "\n  {HELP}help:{HELP:#} {}", help.replace('\n', "\n        "))?;
        }
        Ok(())
    }
}

impl From<PluginFileError> for CliError {
    fn from(error: PluginFileError) -> Self {
        let exit = match &error {
            PluginFileError::Unreadable { source, .. } => exit_of(source),
            _ => Exit::Input,
        };
        let mut told = Self::new(exit, "").because(&error);
        told.0.help = error.help().map(str::to_owned);
        told
    }
}

fn exit_of(error: &io::Error) -> Exit {
    use io::ErrorKind::{InvalidData, InvalidFilename, IsADirectory, NotADirectory, NotFound};
    match error.kind() {
        NotFound | NotADirectory | IsADirectory | InvalidFilename | InvalidData => Exit::Input,
        _ => Exit::Environment,
    }
}

impl From<PluginError> for CliError {
    fn from(error: PluginError) -> Self {
        let mut told = Self::input(error.to_string());
        told.0.help = error.help().map(str::to_owned);
        told
    }
}

impl From<ConfigureError> for CliError {
    fn from(error: ConfigureError) -> Self {
        let message = error.to_string();
        match error {
            ConfigureError::Findings { findings, .. } => {
                let mut told = Self::input(message);
                told.0.findings = findings;
                told
            }
            ConfigureError::TooLarge { .. } => Self::input(message),
            ConfigureError::Failed { .. } => Self::failed(message),
        }
    }
}

impl From<ArrowSourceError> for CliError {
    fn from(error: ArrowSourceError) -> Self {
        let told = Self::input("").because(&error);
        let ArrowSourceError::Columns { faults, columns } = error else { return told };
        let finding = |fault: IntakeFault| plugin::Finding {
            pointer: String::new(),
            message: fault.to_string(),
            help: None,
        };
        let mut told = told.help(format!("the stream has {}", columns.join(", ")));
        told.0.findings = faults.into_iter().map(finding).collect();
        told
    }
}

impl From<Findings> for CliError {
    fn from(findings: Findings) -> Self {
        let mut told = Self::input("");
        told.0.written = Some(findings);
        told
    }
}

impl From<SandboxError> for CliError {
    fn from(error: SandboxError) -> Self {
        Self::environment(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(error: &CliError) -> String {
        anstream::adapter::strip_str(&error.to_string()).to_string()
    }

    #[test]
    fn the_causes_are_told_once() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        let error = PluginFileError::Unreadable { path: "shout.wasm".into(), source: missing };
        let error = CliError::from(error);
        assert_eq!(error.exit(), Exit::Input);
        assert_eq!(plain(&error), "error: shout.wasm cannot be read: entity not found");
    }
}
