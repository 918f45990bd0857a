//! How a call into a plugin can go wrong, in words for a dead letter.

use std::fmt;

use super::log::{cut, printable};
use crate::record::DETAIL_BYTES_MAX;

/// Reasons are cut here; the contract names the figure.
pub(crate) const REASON_BYTES_MAX: usize = 200;

/// A call that gave no answer, or none that can be taken. The instance is not used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub fault: Fault,
    /// What the plugin said last: a panic's message.
    pub last_words: Option<String>,
    /// The plugin's functions, from the inside out.
    pub backtrace: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    Trap(String),
    /// The plugin gave up by itself: a panic ends like this, after its message.
    Unreachable,
    /// The call took longer than the limit of this name.
    Time(&'static str),
    /// A row took more instructions than its limit.
    Fuel,
    Memory,
    TableEntries,
    Output,
    /// `clean` answered with an error.
    Error(String),
    /// An answer that breaks the contract.
    Breach(String),
    /// No machine code that counts instructions could be made of the plugin.
    Uncounted(String),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { fault, last_words: None, backtrace: None }
    }
}

impl Failure {
    /// The same for all rows with this fault.
    pub fn reason(&self) -> String {
        let reason = match &self.fault {
            Fault::Unreachable if self.last_words.is_some() => "plugin panicked".to_owned(),
            Fault::Unreachable => {
                "plugin trapped: wasm `unreachable` instruction executed".to_owned()
            }
            Fault::Trap(trap) => format!("plugin trapped: {trap}"),
            Fault::Time(limit) => format!("plugin took longer than {limit}"),
            Fault::Fuel => {
                "plugin took more instructions for one row than limits.plugin.row_fuel".to_owned()
            }
            Fault::Memory => "plugin wanted more memory than limits.plugin.memory".to_owned(),
            Fault::TableEntries => {
                "plugin wanted more table entries than limits.plugin.table_entries".to_owned()
            }
            Fault::Output => "plugin returned more than limits.plugin.output".to_owned(),
            Fault::Error(_) => "plugin returned an error".to_owned(),
            Fault::Breach(breach) => format!("plugin broke the contract: {breach}"),
            Fault::Uncounted(cause) => format!("no row can be judged alone: {cause}"),
        };
        cut(&reason, REASON_BYTES_MAX).to_owned()
    }

    /// What was special this time.
    pub fn detail(&self) -> Option<String> {
        let said = match &self.fault {
            Fault::Error(message) => Some(printable(message, DETAIL_BYTES_MAX)),
            _ => self.last_words.clone(),
        };
        // Neither may push the other out.
        let said = said.as_deref().map(|said| match self.backtrace {
            Some(_) => cut(said, DETAIL_BYTES_MAX / 2),
            None => said,
        });
        let parts: Vec<&str> = [said, self.backtrace.as_deref()].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| cut(&parts.join("\n"), DETAIL_BYTES_MAX).to_owned())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason())?;
        if let Some(detail) = self.detail() {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_by_its_message_and_a_reason_that_all_panics_share() {
        let failure = Failure {
            fault: Fault::Unreachable,
            last_words: Some("panicked at src/lib.rs:7:9: no".into()),
            backtrace: Some("  0: shout::clean".into()),
        };
        assert_eq!(failure.reason(), "plugin panicked");
        assert_eq!(failure.detail().unwrap(), "panicked at src/lib.rs:7:9: no\n  0: shout::clean");
    }

    #[test]
    fn reasons_and_details_are_bounded_between_characters() {
        let failure = Failure::from(Fault::Breach("ö".repeat(1_000)));
        assert!(failure.reason().len() <= REASON_BYTES_MAX);
        let failure = Failure::from(Fault::Error("ö".repeat(10_000)));
        assert!(failure.detail().unwrap().len() <= DETAIL_BYTES_MAX);
    }
}
