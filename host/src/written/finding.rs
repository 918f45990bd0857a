//! What is wrong with a file that somebody wrote: where, and what to do about it.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};

/// A place in a file that the user wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub path: PathBuf,
    /// Counted from 1, like the column; the column counts characters.
    pub line: usize,
    pub column: usize,
    /// Characters that are marked.
    pub width: usize,
    /// The whole line.
    pub text: String,
}

impl Place {
    /// `pins.yaml:5:9`
    pub fn at(&self) -> String {
        format!("{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It cannot run like this.
    Error,
    /// It can, but perhaps not as it was meant.
    Warning,
}

/// How far somebody came who wants to run what was written: each is asked after the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// The files can be read and make sense.
    Read,
    /// A plugin is sound machine code.
    Compile,
    /// A plugin speaks the contract.
    Contract,
    /// A plugin takes its configuration and the columns that it meets.
    Configure,
}

impl Gate {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "reading",
            Self::Compile => "compiling",
            Self::Contract => "the contract",
            Self::Configure => "configuring",
        }
    }
}

/// Something that should be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub message: String,
    /// None for what concerns a file as a whole.
    pub place: Option<Place>,
    /// What to do about it.
    pub help: Option<String>,
    /// Where it was met.
    pub gate: Gate,
    /// Nobody knows what should stand there: whatever else was found there is a consequence.
    pub(crate) hides: bool,
}

impl Finding {
    pub fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            severity: Severity::Error,
            message,
            place: None,
            help: None,
            gate: Gate::Read,
            hides: false,
        }
    }

    #[must_use]
    pub fn at(self, place: Place) -> Self {
        Self { place: Some(place), ..self }
    }

    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    #[must_use]
    pub(crate) fn met_at(self, gate: Gate) -> Self {
        Self { gate, ..self }
    }

    #[must_use]
    pub fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// Says that other findings at the same place are not to be told.
    #[must_use]
    pub(crate) fn hiding(self) -> Self {
        Self { hides: true, ..self }
    }

    fn is_hidden_by(&self, other: &Self) -> bool {
        let (Some(place), Some(hidden)) = (&self.place, &other.place) else { return false };
        other.hides
            && !self.hides
            && (&place.path, place.line) == (&hidden.path, hidden.line)
            && place.column < hidden.column + hidden.width
            && hidden.column < place.column + place.width
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const HELP: Style = AnsiColor::Cyan.on_default();
const FRAME: Style = AnsiColor::Blue.on_default();

impl fmt::Display for Finding {
    /// Coloured: what prints it takes the colours out where they are not wanted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.severity {
            Severity::Error => write!(f, "{ERROR}error:{ERROR:#} {}", self.message)?,
            Severity::Warning => write!(f, "{WARNING}warning:{WARNING:#} {}", self.message)?,
        }
        if let Some(place) = &self.place {
            write!(f, "\n{place}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  {HELP}help:{HELP:#} {}", help.replace('\n', "\n        "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, width, text, .. } = self;
        let margin = " ".repeat(line.to_string().len());
        // Tabs stay tabs, so that the mark stands below what it marks.
        let before = text.chars().take(column - 1);
        let before: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let mark = "^".repeat((*width).max(1));
        writeln!(f, "{FRAME}{margin}-->{FRAME:#} {}", self.at())?;
        writeln!(f, "{FRAME}{margin} |{FRAME:#}")?;
        writeln!(f, "{FRAME}{line} |{FRAME:#} {}", text.trim_end())?;
        write!(f, "{FRAME}{margin} |{FRAME:#} {before}{ERROR}{mark}{ERROR:#}")
    }
}

/// Everything that was found in a file and in those that it names, at least one error among it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// By their places: first those of `first`, the file that was asked for.
    pub(crate) fn sorted(first: &Path, found: &[Finding]) -> Self {
        let told = |finding: &&Finding| !found.iter().any(|other| finding.is_hidden_by(other));
        let mut found: Vec<Finding> = found.iter().filter(told).cloned().collect();
        let key = |finding: &Finding| {
            finding
                .place
                .as_ref()
                .map(|place| (place.path != first, place.path.clone(), place.line, place.column))
        };
        found.sort_by_key(key);
        Self(found)
    }

    pub fn as_slice(&self) -> &[Finding] {
        &self.0
    }

    /// As text without colours, for anything but a terminal.
    pub fn plain(&self) -> String {
        anstream::adapter::strip_str(&self.to_string()).to_string()
    }

    /// How far it went: what comes after the first fault is a consequence, or a guess.
    pub fn gate(&self) -> Gate {
        let errors = self.0.iter().filter(|finding| finding.is_error());
        errors.map(|finding| finding.gate).min().unwrap_or(Gate::Read)
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.0 {
            write!(f, "{finding}\n\n")?;
        }
        match self.0.len() {
            1 => f.write_str("1 finding"),
            more => write!(f, "{more} findings"),
        }
    }
}

impl Error for Findings {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stands_below_what_it_marks() {
        let place = Place {
            path: Path::new("cases/a.yaml").into(),
            line: 12,
            column: 4,
            width: 7,
            text: "\t  expects: {}".into(),
        };
        let finding =
            Finding::new("unknown key `expects`").at(place).help("did you mean `expect`?");
        let expected = "\
error: unknown key `expects`
  --> cases/a.yaml:12:4
   |
12 | \t  expects: {}
   | \t  ^^^^^^^
  help: did you mean `expect`?";
        assert_eq!(anstream::adapter::strip_str(&finding.to_string()).to_string(), expected);
    }
}
