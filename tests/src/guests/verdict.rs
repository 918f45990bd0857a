//! What the host owes each misbehaviour, whatever words it finds for it.

use super::misbehaviour::{Answer, BadPlan, Deed, Describing};

/// How an encounter ends, with limits as they are by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing happens to any row, but for what the answer says of it.
    Fine,
    /// The plugin is not loaded, or its step not configured.
    Refused,
    /// Findings are shown, as they would be of a good plugin.
    Findings,
    /// The call counts as a trap; guilty rows are rejected, all others come through.
    Trap,
    /// Fails in a batch, but no row does alone: every row comes through.
    TrapTogether,
    /// The host rejects the guilty rows itself; the instance goes on.
    Rejected,
    /// Allowed as far as one call can tell; only comparing calls shows it.
    Unnoticed,
}

impl Deed {
    /// When done in `clean`; in `configure` a `Trap` is `Refused`.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Nothing
            | Self::Slow
            | Self::Allocate
            | Self::LogFlood
            | Self::LogLong
            | Self::LogControlCharacters => Verdict::Fine,
            Self::Trap
            | Self::Panic
            | Self::StackOverflow
            | Self::OutOfBounds
            | Self::DivideByZero
            | Self::LoopForever
            | Self::AllocateForever
            | Self::LogThenTrap
            | Self::Fail
            | Self::FailEmpty
            | Self::FailLong
            | Self::FailControlCharacters => Verdict::Trap,
            // A new instance begins to count anew, so the same batch passes on it.
            Self::Leak | Self::TrapAfterCalls | Self::TrapTogether | Self::TrapAfterRows => {
                Verdict::TrapTogether
            }
            // A batch of several rows passes.
            Self::TrapAlone => Verdict::Fine,
        }
    }
}

impl BadPlan {
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::FindingsOne
            | Self::FindingsPointerNowhere
            | Self::FindingsPointerMalformed
            | Self::FindingsLong
            | Self::FindingsMany
            | Self::FindingsControlCharacters => Verdict::Findings,
            Self::FindingsNone
            | Self::ReadsUnknown
            | Self::ReadsTwice
            | Self::ReadsNameless
            | Self::WritesTwice
            | Self::WritesNameless
            | Self::WritesControlCharacters
            | Self::WritesLongName
            | Self::WritesMany
            | Self::TalliesMany
            | Self::TalliesTwice
            | Self::TalliesNameless
            | Self::TalliesControlCharacters
            | Self::TalliesLongName => Verdict::Refused,
        }
    }
}

impl Answer {
    pub fn verdict(self) -> Verdict {
        match self {
            Self::FloatNan
            | Self::FloatInfinite
            | Self::FloatListInfinite
            | Self::TimestampYearZero
            | Self::TimestampYear10000
            | Self::TimestampLeast => Verdict::Rejected,
            Self::CallsDiffer | Self::CutsDiffer => Verdict::Unnoticed,
            // Half of what is allowed; a lower limit on output makes it a trap.
            Self::ReplacedLarge => Verdict::Fine,
            other if super::name(other).starts_with("fine-") => Verdict::Fine,
            _ => Verdict::Trap,
        }
    }
}

impl Describing {
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Honest => Verdict::Fine,
            Self::Trap
            | Self::LoopForever
            | Self::NameEmpty
            | Self::NameLong
            | Self::NameControlCharacters
            | Self::SchemaNotJson
            | Self::SchemaArray
            | Self::SchemaFalse
            | Self::SchemaInvalid
            | Self::SchemaLong
            | Self::SchemaDeep => Verdict::Refused,
        }
    }
}
