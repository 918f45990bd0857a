//! What is wrong with what a ledger holds, or with what it is asked to write, wherever it is kept.

use std::fmt::Display;
use std::str::FromStr;

use crate::record::{ErrorClass, Lane, Position};

#[derive(Debug, thiserror::Error)]
pub enum LedgerFault {
    #[error(
        "a newer pinhost wrote it: it has format {found}, and this one knows formats up to {known}"
    )]
    NewerFormat { found: usize, known: usize },
    #[error("{place} holds `{value}`, which is no {what}")]
    State { place: String, what: &'static str, value: String },
    #[error("pipeline {pipeline} is known here with source {known}, and this is {here}")]
    OtherSource { pipeline: String, known: String, here: String },
    #[error("pipeline {pipeline} is known here with table {known}, and this is {here}")]
    OtherTarget { pipeline: String, known: String, here: String },
    #[error("a lane was claimed by somebody who only looks")]
    NoSource,
    #[error("a unit of lane {unit} came with a claim of lane {claim}")]
    OtherLane { unit: Lane, claim: Lane },
    #[error("lane {lane} cannot go from {from} to {to}")]
    Backwards { lane: Lane, from: Box<Position>, to: Box<Position> },
    #[error("records of lane {lane} from {from} to {to} do not add up: {sums}")]
    Unbalanced { lane: Lane, from: Box<Position>, to: Box<Position>, sums: String },
}

impl LedgerFault {
    /// A text that pinhost stored, as what it stands for.
    pub(crate) fn parsed<T: FromStr>(
        place: impl Display,
        what: &'static str,
        text: &str,
    ) -> Result<T, Self> {
        text.parse().map_err(|_| Self::state(place, what, text))
    }

    pub(crate) fn backwards(lane: Lane, from: Position, to: Position) -> Self {
        Self::Backwards { lane, from: from.into(), to: to.into() }
    }

    pub(crate) fn unbalanced(lane: Lane, from: Position, to: Position, sums: String) -> Self {
        Self::Unbalanced { lane, from: from.into(), to: to.into(), sums }
    }

    pub(crate) fn state(place: impl Display, what: &'static str, value: &str) -> Self {
        Self::State { place: place.to_string(), what, value: value.to_owned() }
    }

    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NewerFormat { .. }
            | Self::State { .. }
            | Self::OtherSource { .. }
            | Self::OtherTarget { .. }
            | Self::NoSource
            | Self::OtherLane { .. }
            | Self::Backwards { .. }
            | Self::Unbalanced { .. } => ErrorClass::Fatal,
        }
    }

    pub(crate) fn help(&self) -> Option<String> {
        Some(match self {
            Self::NewerFormat { .. } => "use that pinhost, or a newer one".to_owned(),
            Self::OtherSource { .. } | Self::OtherTarget { .. } => {
                "give the pipeline another `name:`; under it, it starts anew".to_owned()
            }
            Self::State { .. }
            | Self::NoSource
            | Self::OtherLane { .. }
            | Self::Backwards { .. }
            | Self::Unbalanced { .. } => return None,
        })
    }
}
