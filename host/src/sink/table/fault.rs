//! What goes wrong with tables, whatever the database.

use std::str::FromStr;

use crate::connect::NameFault;
use crate::record::{ErrorClass, Lane, Position};

#[derive(Debug, thiserror::Error)]
pub enum TableFault {
    #[error("rows of a table have columns, and without a rule there are none")]
    NoRule,
    #[error(transparent)]
    Name(#[from] NameFault),
    #[error("`{option}:` names column `{column}`, which the rule does not give")]
    NoColumn { option: &'static str, column: String },
    #[error("`key:` names column `{column}` twice")]
    KeyTwice { column: String },
    #[error("`newest:` tells rows of one key apart, and there is no `key:`")]
    NewestWithoutKey,
    #[error("`newest:` names column `{column}`, and lists have no order")]
    NewestList { column: String },

    #[error(
        "a newer pinhost wrote it: it has format {found}, and this one knows formats up to {known}"
    )]
    NewerFormat { found: usize, known: usize },
    #[error("{table} holds `{value}`, which is no {what}")]
    State { table: &'static str, what: &'static str, value: String },

    #[error("there is no table {table}")]
    NoTable { table: String, ddl: String },
    #[error("{table} is a view, which takes no rows")]
    View { table: String },
    #[error("table {table} has no column {columns}")]
    NoColumns { table: String, columns: String, ddl: String },
    #[error("nothing keeps the rows of table {table} apart by {key}")]
    NoUniqueKey { table: String, key: String, ddl: String },
    #[error("rows of table {table} do not tell which records they were made of")]
    NoProvenance { table: String },
    #[error("lane {lane} has records of which nobody knows where they were read before")]
    NoPast { lane: Lane },

    #[error(
        "the table refuses too many rows of a unit, {found} of them so far, the last because: {reason}"
    )]
    TooManyRefused { found: usize, reason: String },

    #[error("pipeline {pipeline} is known here with source {known}, and this is {here}")]
    OtherSource { pipeline: String, known: String, here: String },
    #[error("pipeline {pipeline} is known here with table {known}, and this is {here}")]
    OtherTarget { pipeline: String, known: String, here: String },

    #[error("table {table} has no column `{column}` to look at")]
    UnknownColumn { table: String, column: String },
    #[error("a lane was claimed by somebody who only looks")]
    NoSource,
    #[error("a unit of lane {unit} came with a claim of lane {claim}")]
    OtherLane { unit: Lane, claim: Lane },
    #[error("lane {lane} cannot go from {from} to {to}")]
    Backwards { lane: Lane, from: Position, to: Position },
    #[error("records of lane {lane} from {from} to {to} do not add up: {sums}")]
    Unbalanced { lane: Lane, from: Position, to: Position, sums: String },
    #[error("rows came with other columns than the sink was opened for")]
    OtherColumns,
}

impl TableFault {
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NoTable { .. }
            | Self::View { .. }
            | Self::NoColumns { .. }
            | Self::NoUniqueKey { .. }
            | Self::NoProvenance { .. }
            | Self::NoPast { .. }
            | Self::TooManyRefused { .. } => ErrorClass::Systemic,
            Self::UnknownColumn { .. }
            | Self::NoRule
            | Self::Name(_)
            | Self::NoColumn { .. }
            | Self::KeyTwice { .. }
            | Self::NewestWithoutKey
            | Self::NewestList { .. }
            | Self::NewerFormat { .. }
            | Self::State { .. }
            | Self::OtherSource { .. }
            | Self::OtherTarget { .. }
            | Self::NoSource
            | Self::OtherLane { .. }
            | Self::Backwards { .. }
            | Self::Unbalanced { .. }
            | Self::OtherColumns => ErrorClass::Fatal,
        }
    }

    pub(crate) fn help(&self) -> Option<String> {
        Some(match self {
            Self::NoTable { ddl, .. } | Self::NoColumns { ddl, .. } => {
                format!("make it, or let pinhost do so by `create: true`:\n{ddl}")
            }
            Self::NoUniqueKey { ddl, .. } => format!("an index does:\n{ddl}"),
            Self::NoProvenance { .. } => {
                "only rows with `_pinhost_lane` and `_pinhost_position` can be replaced".to_owned()
            }
            Self::NoPast { .. } => {
                "replace what an archive of pinhost's has, with its indexes beside it".to_owned()
            }
            Self::View { .. } => "name a table that the view is made of".to_owned(),
            Self::TooManyRefused { .. } => {
                "make the table take what the rule gives, or mend the rule; if the rows are really like that, make \
                 units smaller by `unit: { rows: … }`: each has so many"
                    .to_owned()
            }
            Self::NewerFormat { .. } => "use that pinhost, or a newer one".to_owned(),
            Self::OtherSource { .. } | Self::OtherTarget { .. } => {
                "give the pipeline another `name:`; under it, it starts anew".to_owned()
            }
            Self::Name(fault) => fault.help().to_owned(),
            Self::NoRule => "give the pipeline a `rule:`".to_owned(),
            _ => return None,
        })
    }
}

/// A text that pinhost stored, as what it stands for.
pub(crate) fn parsed<T: FromStr>(
    table: &'static str,
    what: &'static str,
    text: &str,
) -> Result<T, TableFault> {
    text.parse().map_err(|_| TableFault::State { table, what, value: text.to_owned() })
}
